"""The discovery program: tells clients who is in the cluster, and keeps no state of its own.

``main``      the command
``program``   puts the parts together
``watcher``   follows the cluster through one node at a time
``following`` a stream of whichever node is followed
``principals`` follows who may call
``sources``   which report to accept, which node to ask next: pure
``endpoints`` answers DAX clients
``services``  the port for AWS's own services
``sts``       AWS's Security Token Service
``watch``     what becomes of the nodes' metrics
``cloudwatch`` AWS's API of them
``control``   the control plane: AWS's API of DAX
"""
