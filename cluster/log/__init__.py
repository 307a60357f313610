"""What the entries of the replicated log mean. Pure.

* ``commands``: the entries and their encoding.
* ``state``: what all entries together say; a snapshot is this.
* ``known_lists``, ``stream_checkpoints``, ``sealed_principals``, ``control_records``: parts of it.
* ``lifetimes``: what the control plane has set for caches.
* ``view``: one frozen picture of the state, on which decisions are made.
* ``primary_lease``: who is the primary, from when on and until when.
"""
