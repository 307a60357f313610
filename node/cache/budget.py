"""The byte budget that all caches of a node share."""

from __future__ import annotations

from typing import cast

from node.cache.entry import CacheEntry
from node.cache.eviction import Policy

ENTRY_SHARE_MAX = 10
"""An entry larger than one part in this many of the budget is not cached: for one key it would push
out too much that is worth more."""


class Budget:
    """At most ``bytes_max`` bytes of entries; beyond that the policy's victims go.

    Invariant: ``bytes`` is the sum of the sizes of all entries in the policy's order, and with the
    policy's own memory never above ``bytes_max``, not even during an insertion: room is made first,
    so a new entry is never its own victim.

    One order over the entries of all caches, not a share for each: which of items and query
    results are worth keeping differs by application, and their counts of hits know it. What is
    inserted and not hit again goes first, so a scan of big results passes through.
    """

    def __init__(self, bytes_max: int, policy: Policy) -> None:
        self.bytes_max = bytes_max
        self.bytes = 0
        self.policy = policy
        self.evictions = 0
        self.refused = 0
        """The number of entries not cached because of their size."""

    def admits(self, size: int) -> bool:
        """True if an entry of that size is cached at all. Counts those that are not."""
        if size * ENTRY_SHARE_MAX <= self.bytes_max:
            return True
        self.refused += 1
        return False

    def add(self, entry: CacheEntry, size: int | None = None) -> None:
        """Takes in an admitted entry, after making room for it. ``size``: its own, if known."""
        size = entry.size if size is None else size
        self._make_room(size)
        self.policy.insert(entry)
        self.bytes += size

    def replace(self, old: CacheEntry, new: CacheEntry) -> bool:
        """Puts ``new`` (admitted) in the place of ``old``.

        Returns False when ``old`` itself was evicted to make room: its owner has then dropped it,
        and ``new`` is in the order as a new entry.
        """
        self._make_room(new.size - old.size)
        if not old.linked:
            self.add(new)
            return False
        self.policy.replace(old, new)
        self.bytes += new.size - old.size
        return True

    def grow(self, entry: CacheEntry, size: int) -> bool:
        """Makes room for ``size`` more bytes in ``entry``, which the caller then takes.

        Returns False if it must not, because ``entry`` would be too large, or was evicted (maybe
        just now).
        """
        if (entry.size + size) * ENTRY_SHARE_MAX > self.bytes_max:
            return False
        self._make_room(size)
        if not entry.linked:
            return False
        self.bytes += size
        return True

    def remove(self, entry: CacheEntry) -> None:
        """Gives back the bytes of ``entry``; its owner drops it."""
        self.policy.remove(entry)
        self.bytes -= entry.size

    def _make_room(self, size: int) -> None:
        while self.bytes + self.policy.bytes + size > self.bytes_max:
            victim = cast("CacheEntry", self.policy.evict())
            assert victim is not None, "an admitted entry fits into an empty budget"
            self.bytes -= victim.size
            self.evictions += 1
            victim.owner.forget(victim)
