"""``paceline doctor``: why a client does not reach its cluster, or is not answered.

``findings``     what is found, and what to do about it: pure
``target``       what an endpoint's URL names: pure
``reaching``     names, ports and TLS
``asking``       who serves there, what time it is there, and which nodes it names
``permission``   whether this environment's credentials are let in, and to a table
``examination``  all of it, in the order in which one rests on the other
"""
