"""The server's direction: a frame to parameters of an operation, and a result to a reply.

``params`` reads what ``paceline.dax.client.requests`` writes, ``replies`` writes what
``paceline.dax.client.results`` reads. Only nodes import it.
"""
