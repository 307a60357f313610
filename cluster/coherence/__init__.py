"""The coherence protocol as state machines without I/O: see docs/coherence.md.

``guard``           decides on one node what may be answered and kept
``fills``           reads under way whose results may be kept
``queries``         what query results depend on, and what a write changes in them
``query_fences``    the scopes in which writes are under way
``effects``         what a write may change in indexes
``primary``         the primary's half, for one epoch
``replicas``        what the primary knows of its replicas
``replica``         a replica's half
``log``             recent messages, for nodes that return
``takeover_report`` what a node tells the primary of a new epoch
``takeover``        how that primary goes on, or starts over
``messages``        what travels, and what caches must offer
"""
