"""``AsyncClient``: the core on an event loop.

``client``      boto3's methods, awaitable
``driver``      executes the core's commands
``pool``        the connections to one node
``connection``  one of them
``fallback``    asks DynamoDB itself
``paging``, ``waiters``  botocore's, awaiting
"""
