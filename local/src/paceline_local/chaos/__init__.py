"""Faults on order for a cluster on this machine: lost programs, partitions, slow and broken links.

Every link between the cluster's programs, and from each node to DynamoDB, goes through a proxy in
a process of its own (``python -m paceline_local.chaos``). The process that runs the cluster keeps
the list of faults and serves the commands; ``Chaos`` is their client.
"""
