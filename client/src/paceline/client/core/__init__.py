"""What the SDK decides, without I/O, clocks, threads, randomness or botocore.

``call_flow``    a client's state and the course of its calls, as generators of commands
``commands``     those commands, and their outcomes
``retry``        what a call does next after each attempt
``routing``      which node an attempt goes to; ``breaker`` and ``budget`` are its parts
``roster``       the nodes of a cluster; ``seeds``: the addresses to learn them from
``definitions``  the key schemas and attribute lists that requests and replies are encoded by
``plain_get``    the codec of a GetItem of a whole item; ``fast_get``: its calls
``carried``      which calls DAX's methods carry, and how all others pass through
``legacy``       parameters from before expressions, as expressions
``errors``       the application's exceptions
"""
