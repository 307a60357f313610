"""What a node says of itself.

``addresses``  where it is reached, and whether the settings say so without contradiction
``readiness``  whether clients should be sent here (pure)
``status``     ``/status``, ``/readyz`` and ``/metrics``
``metrics``    the kinds of numbers that Prometheus is told
"""
