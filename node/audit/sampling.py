"""Drawing keys of an item cache at random, without a list of them. Pure, given its chance."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from node.cache.entry import Entry
from node.cache.eviction import Linked
from node.cache.item_cache import ItemCache
from paceline.types import Key

if TYPE_CHECKING:
    import random

STEPS_MAX = 1024
"""Longest walk from one key to the next: about 0.1 ms. At one key a second, half a million entries
are gone round in a quarter of an hour."""

TRAIL_MAX = 4
"""The most places kept to go on from, since the last one may have been evicted. They are few
because each keeps its entry, of up to 400 KB, in memory until the next draw."""


class Sampler:
    """Walks the ring in which the cache keeps its entries, a random number of steps a draw.

    Steps are drawn alike everywhere, so over a round every entry that stays is drawn about equally
    often. Marks nothing as hit.
    """

    def __init__(self, items: ItemCache, rng: random.Random) -> None:
        self._items = items
        self._rng = rng
        self._trail: deque[Linked] = deque(maxlen=TRAIL_MAX)

    def draw(self, now: float) -> Key | None:
        """Returns the key of an entry that may be answered with; None if none was met."""
        node = self._start()
        if node is None:
            return None
        steps = self._rng.randint(1, STEPS_MAX)
        for step in range(1, 2 * STEPS_MAX):
            node = node.next
            if step < steps or not isinstance(node, Entry):
                continue
            if self._live(node, now):
                self._trail.append(node)
                return node.table.decode(), node.key
        return None

    def _start(self) -> Linked | None:
        while self._trail:
            if self._trail[-1].linked:
                return self._trail[-1]
            self._trail.pop()
        tables = list(self._items.tables.values())
        return next(iter(self._rng.choice(tables).values())) if tables else None

    def _live(self, entry: Entry, now: float) -> bool:
        """False for entries that are parked, cleared, expired, or of another cache."""
        entries = self._items.tables.get(entry.table)
        return entries is not None and entries.get(entry.key) is entry and now < entry.expires_at
