"""The replicated log, in one order on all nodes.

* ``interface``: what the cluster needs of such a log.
* ``raft``: the implementation of clusters, on pysyncobj; ``raft_consumer`` applies its entries,
  ``raft_transport`` and ``raft_sockets`` carry its messages, ``raft_setup`` and ``raft_files``
  check what it starts from.
* ``single_node``: the implementation of a node that is alone.
* ``core``: a Raft of our own, which is to take their place; the simulation runs on it.
  ``participant`` drives it in an ``environment`` of disk and links, ``carrying_out`` has what it
  decides written before it is said; ``proposals`` and ``forwarding`` are what callers wait for,
  ``wire`` its letters as bytes, ``links`` the streams for them, ``member`` all of it with a
  listener, ``founding`` how such a log begins.
* ``disk``: what a log is on, in two files.
"""
