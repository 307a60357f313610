"""The coherence protocol between nodes.

``coordinator``     this node's role: primary, replica, neither; where the primary is
``membership``      when the primary begins another epoch, or gives the lease away
``primary_driver``  the primary's half of the protocol at work: links, waiting writes
``replica_driver``  the replica's half: one link to the primary
``forwarding``      operations that are carried to the primary
``gathering``       messages wait for others to share a frame with
``channels``        one gRPC channel per peer
``wire``            messages and results as bytes
``packing``         fences and settles as bytes, for all replicas at once
"""
