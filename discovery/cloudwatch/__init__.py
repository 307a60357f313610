"""AWS's CloudWatch, for the metrics of the cluster.

``assembly``    puts it together with the history and who fills it
``service``     its requests, in all three protocols; who may make them
``cbor``        the bytes of one of the protocols: pure
``protocols``   requests and answers in each of them
``wire``        parameters and results in each protocol, by the service's model: pure
``models``      the model, which botocore has
``reading``     the operations that read metrics
``alarming``    those on alarms, and their states; ``acting``: who is told of them
``dashboards``  those on dashboards
``pushing``     sends the cluster's metrics to a CloudWatch elsewhere
``selecting``   which metrics a request is about: pure
"""
