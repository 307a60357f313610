"""How clients and peers come in: requests to operations and back.

``dax``       DAX's protocol
``json_api``  DynamoDB's JSON API, by whichever transport
``http``      its transport of its own
``grpc``      typed messages over gRPC
``peers``     what other nodes of the cluster ask for
"""
