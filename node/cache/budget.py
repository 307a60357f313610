"""The byte budget that all caches of a node share."""

from __future__ import annotations

from typing import Any

from node.cache.columns import Columns
from node.cache.eviction import PolicyMaker

ENTRY_SHARE_MAX = 10
"""An entry larger than one part in this many of the budget is not cached: for one key it would push
out too much that is worth more."""


class Budget:
    """At most ``bytes_max`` bytes of entries; beyond that the policy's victims go.

    Invariant: ``bytes`` is the sum of the sizes of all entries in the policy's order, and with the
    columns' memory and the policy's own never above ``bytes_max``, not even during an insertion:
    room is made first, so a new entry is never its own victim.

    One order over the entries of all caches, not a share for each: which of items and query
    results are worth keeping differs by application, and their counts of hits know it. What is
    inserted and not hit again goes first, so a scan of big results passes through.
    """

    def __init__(self, bytes_max: int, policy: PolicyMaker) -> None:
        self.bytes_max = bytes_max
        self.bytes = 0
        self.entries = Columns()
        self.policy = policy(self.entries)
        self.evictions = 0
        self.evicted_bytes = 0
        self.refused = 0
        """The number of entries not cached because of their size."""

    @property
    def bytes_used(self) -> int:
        """All that counts against ``bytes_max``."""
        return self.bytes + self.entries.bytes + self.policy.bytes

    def admits(self, size: int) -> bool:
        """True if an entry of that size is cached at all. Counts those that are not."""
        if size * ENTRY_SHARE_MAX <= self.bytes_max:
            return True
        self.refused += 1
        return False

    def add(self, place: int, key: bytes, value: Any, expires_at: float, size: int) -> int:
        """Takes in an admitted entry of ``size`` bytes, after making room for it, and returns its
        node. ``place``: from ``Columns.place``."""
        self._make_room(size)
        entries = self.entries
        while not entries.has_free:
            # Where there is no room for more nodes, a victim's serves.
            room = self.bytes_max - self.bytes_used - size
            if entries.growth_bytes <= room or not self.evict():
                break
        node = entries.take()
        entries.places[node] = place
        entries.keys[node] = key
        entries.values[node] = value
        entries.expires_at[node] = expires_at
        self.policy.insert(node)
        self.bytes += size
        return node

    def replace(self, node: int, value: Any, expires_at: float, more: int) -> bool:
        """Gives the entry another value, its place in the order and its hits kept: an overwrite is
        no read. ``more``: by how many bytes that is larger; a negative number if it is smaller.

        Returns False when the entry itself was evicted to make room: its owner has then dropped it.
        """
        self._make_room(more)
        entries = self.entries
        if not entries.is_linked(node):
            return False
        entries.values[node] = value
        entries.forms[node] = None
        entries.expires_at[node] = expires_at
        self.bytes += more
        return True

    def grow(self, node: int, size: int, more: int) -> bool:
        """Makes room for ``more`` bytes in an entry of ``size``, which the caller then takes.

        Returns False if it must not, because the entry would be too large, or was evicted (maybe
        just now).
        """
        if (size + more) * ENTRY_SHARE_MAX > self.bytes_max:
            return False
        self._make_room(more)
        if not self.entries.is_linked(node):
            return False
        self.bytes += more
        return True

    def remove(self, node: int, size: int) -> None:
        """Gives back the entry of ``size`` bytes; its owner has dropped it."""
        self.policy.remove(node)
        self.bytes -= size
        self.entries.give_back(node)

    def evict(self) -> bool:
        """Drops the policy's next victim. False: there is none."""
        node = self.policy.evict()
        if node is None:
            return False
        entries = self.entries
        self.evictions += 1
        freed = entries.owners[entries.places[node]].forget(node)
        self.bytes -= freed
        self.evicted_bytes += freed
        entries.give_back(node)
        return True

    def _make_room(self, size: int) -> None:
        while self.bytes + self.entries.bytes + self.policy.bytes + size > self.bytes_max:
            evicted = self.evict()
            assert evicted, "an admitted entry fits into an empty budget"
