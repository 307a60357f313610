"""The coherence protocol as state machines without I/O: see docs/coherence.md.

``guard`` decides on one node what may be answered and kept; ``primary`` (with ``replicas`` and
``log``) and ``replica`` are the two ends of a link; ``messages`` travel on it.
"""
