"""What a node says of itself.

``addresses``  where it is reached, and whether the settings say so without contradiction
``status``     ``/status``, ``/readyz`` and ``/metrics``; whether clients should be sent here
``members``    who takes part in the replicated log: commands, and what is told of it
``principals`` who may call: commands, and what is told of them
``commands``   those two together
``port``       the server that tells and takes all that
"""
