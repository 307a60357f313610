"""A node of the cluster: caches in front of DynamoDB, and what keeps them true.

``main``         the command: settings, and then the program
``program``      the one place that names all parts of a node and puts them together
``founding``     what a node begins with: its data directory, and whether DynamoDB is untouched
``authorization``  whether callers' policies count
``ways_upstream``  the ways to DynamoDB, with the node's credentials or callers' own
``roster_feed``  the picture of the cluster that clients and discovery get
``control``      the control plane: its records for discovery, its lifetimes for the caches
``replicated_log``  this node's part in the replicated log
``frontends``    how clients and peers come in
``streams``      what writers outside the cluster did
``audit``        comparing what is cached with DynamoDB
``members_port`` where other members come in, and ways to theirs
``admin``        what the node says of itself
``watching``     what watches requests, as it is set
``request_log``  a line about each request, or about some
``tracing``      spans of requests, and of what is asked of DynamoDB for them
``operations``   DynamoDB's operations, whichever front end they came by
``reads``        a read's way
``writes``       a write's way, and that of everything else that is fenced
``access``       what requests need to be allowed, and whether they are (pure)
``tables``       what is known of tables: descriptions, keys, attribute lists
``replication``  the coherence protocol over gRPC, and this node's role in it
``backend``      DynamoDB
``cache``        items and query results (pure)
``access``       what requests need to be allowed, and whether they are
``requests``     what requests name and may change, read from their text alone (pure)
``values``       values of any size, read and written in slices (pure)
"""
