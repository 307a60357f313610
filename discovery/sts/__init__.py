"""AWS's Security Token Service, for the principals of a cluster.

``service``    its operations; draws ids and secrets by chance
``parameters`` what they may be asked for, and AWS's words for what not: pure
``trusting``   whether a role may be taken on: pure
``issuing``    what the new session is to be: pure
"""
