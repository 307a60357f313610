"""What a node says of itself.

``addresses``  where it is reached, and whether the settings say so without contradiction
``status``     ``/status``, ``/readyz`` and ``/metrics``; whether clients should be sent here
``series``     the numbers of ``/metrics`` that are not a part's own
``machine``    what the machine says of itself: traffic and memory
``members``    who takes part in the replicated log: commands, and what is told of it
``principals`` who may call: commands, and what is told of them
``roles``      what they may take on, and ``table_policies`` of tables: the same
``sealed_log`` where all three are kept
``hot_keys``   which keys are read most: a command
``request_log`` its last lines: a command
``commands``   all of these together
``port``       the server that tells and takes all that
"""
