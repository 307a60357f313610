"""Drawing keys of an item cache at random, without a list of them. Pure, given its chance."""

from __future__ import annotations

from typing import TYPE_CHECKING

from node.cache.item_cache import ItemCache
from paceline.types import Key

if TYPE_CHECKING:
    import random

TRIES_MAX = 256
"""So many nodes are drawn until one of them holds an item: those have then all been as likely."""

STEPS_MAX = 1024
"""So many nodes in a row are looked at after that, in a cache that holds little but results of
queries: about half a millisecond."""


class Sampler:
    """Draws from the numbers of the cache's entries, each as likely as any other.

    Marks nothing as hit, and keeps nothing in memory.
    """

    def __init__(self, items: ItemCache, rng: random.Random) -> None:
        self._items = items
        self._rng = rng

    def draw(self, now: float) -> Key | None:
        """Returns the key of an entry that may be answered with; None if none was met."""
        items, rng = self._items, self._rng
        columns = items.columns
        count = len(columns.next)
        if not items.count:
            return None
        node = 0
        for tries in range(TRIES_MAX + STEPS_MAX):
            node = rng.randrange(count) if tries < TRIES_MAX else (node + 1) % count
            if items.is_live(node, now):
                return columns.names[columns.places[node]].decode(), columns.keys[node]
        return None
