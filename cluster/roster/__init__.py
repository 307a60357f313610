"""Which nodes clients are told of.

* ``endpoints``: the list of nodes for clients, from the log's view and what probes found out.
* ``liveness``: the decisions of a prober; ``prober`` carries them out over DAX connections.
* ``feed`` and ``servicer``: the list as a gRPC stream, for discovery services and clients.
"""
