"""``Client``: the core in the threads that call it.

``client``      boto3's methods
``driver``      executes the core's commands; its thread follows the roster
``pool``        the connections to one node
``connection``  one of them
``hedging``     reads that a second node is asked, too
"""
