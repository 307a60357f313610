"""Where the nodes are, and in which zone the client is.

``feed``   follows the cluster's roster, by gRPC or by polls of DAX ``endpoints``
``zones``  asks the instance's metadata service
"""
