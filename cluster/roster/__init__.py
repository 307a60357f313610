"""Which nodes clients are told of.

* ``endpoints``: the list of nodes for clients, from the log's view and what probes found out.
* ``liveness``: the decisions of a prober; ``prober`` carries them out over DAX connections.
* ``live_roster``: what this process knows now, for everyone in it who asks or waits.
* ``servicer``: the list as a gRPC stream, for discovery services and clients.
* ``looking``: a stream that tells of something again when it has changed.
* ``principals_feed``: who may call, sealed, for discovery services.
* ``control_feed``: the control plane's records, for discovery services, and their changes.
"""
