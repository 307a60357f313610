"""A node's caches: items and query results under one byte budget.

Pure memory: nothing here waits, reads a clock or knows of DynamoDB. What may be kept, and when an
entry may be answered from, is decided by ``cluster.coherence``.

``caches``       both together, as the guard wants them
``item_cache``   items, 'no such item' included, and what is parked while a write is under way
``query_cache``  pages of Query and Scan, by what they depend on
``query_keys``   places in a table and its indexes as bytes in DynamoDB's order
``entry``        what entries cost, how long they live, and an item's as it was found
``columns``      what is known of entries, by their numbers
``nodes``        those numbers, and the columns that policies use
``key_table``    from a table's keys to numbers, in dicts of a known density
``budget``       bytes of all entries together
``eviction``     which entry goes next: S3-FIFO, SIEVE or LRU
"""
