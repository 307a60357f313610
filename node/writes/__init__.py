"""Everything that is fenced at the primary: writes, what is told of them, flushes.

``path``      one write: to the primary, planned, fenced, sent, settled, answered
``plan``      which items a write touches, and what is under their keys when it is done (pure)
``effects``   where in its table's indexes a write may change something
``fencing``   one round of a fence, and the way to the primary
``callers``   in whose name, where callers' own credentials are used
``in_doubt``  writes whose lease lapsed under way: the next primary is told
``flush``     dropping a table, or everything, from all caches
"""
