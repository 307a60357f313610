"""The replicated log, in one order on all nodes.

* ``interface``: what the cluster needs of such a log.
* ``core``: the decisions, which are Raft's. Pure.
* ``participant`` drives them in an ``environment`` of disk and links, ``carrying_out`` has what is
  decided written before it is said; ``proposals`` and ``forwarding`` are what callers wait for,
  ``wire`` the letters as bytes, ``links`` the streams for them, ``member`` all of it with a
  listener. ``founding`` decides how such a log begins, ``beginning`` carries that out, by
  ``introductions``; ``named_peers`` are those that a log which was found names.
* ``compacting``: when it becomes a snapshot; ``receipts``: when entries came; ``alarm``: a timer.
* ``disk``: what a log is on, in two files.
"""
