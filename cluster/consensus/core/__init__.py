"""Raft, as decisions alone: events and a time go in, what is to be done comes out.

* ``raft``: one disk's part in a log. Begin here.
* ``messages``: what goes between disks, what is to be written and applied, and in which order.
* ``configuration``: who votes, who only learns, and what a change of that is.
* ``election``: one in which the disk stands.
* ``leadership``: what a leader knows of the others, and sends them.
* ``log``: the entries that are not in the snapshot.
* ``incoming``: a snapshot that comes in pieces.
"""
