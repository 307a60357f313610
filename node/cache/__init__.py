"""A node's caches: items and query results under one byte budget.

Pure memory: nothing here waits, reads a clock or knows of DynamoDB. What may be kept, and when an
entry may be answered from, is decided by ``cluster.coherence``.
"""
