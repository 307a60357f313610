"""The client's direction: parameters of an operation to a frame, and a reply to a result.

``requests`` writes what ``paceline.dax.server.params`` reads, ``results`` reads what
``paceline.dax.server.replies`` writes.
"""
