"""Where the nodes are, and where the client is."""
