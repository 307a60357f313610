"""A read's way: may a cache answer it, what is asked of DynamoDB if not, what of that is kept.

* ``cacheability`` - which reads a cache may answer, and how the others are passed on: pure
* ``reading`` - any read, by that rule
* ``items`` - one item: the cache, one load shared by all who miss
* ``misses`` - those loads: what meets goes as one BatchGetItem; ``miss_groups`` - what does: pure
* ``batch_get`` - BatchGetItem over the same cache; ``batch_forms`` - the same in DAX's form
* ``queries`` - Query and Scan over the query cache; ``dependencies`` - what a page depends on
* ``projections`` - which projections a node answers itself
* ``as_caller`` - reads in callers' own names; ``seen_rights`` - what they were allowed: pure
* ``single_flight`` - one load at a time per key
"""
