"""DynamoDB's own HTTP API (JSON 1.0) on a node.

``server``      listener and limits, shared with the DAX front end
``protocol``    one connection: HTTP/1.1 in order, flow control, its end
``handler``     requests to operations, or on to DynamoDB as they came
``parameters``  which requests are surely well-formed, in the form of the operation layer (pure)
``replies``     bytes of replies, and errors in DynamoDB's words (pure)
"""
