"""Numbers for entries, and what policies know of each: its links and its hits. Pure.

Columns instead of an object for each entry: the links take four bytes each, and the garbage
collector, which would look at every object, meets none (docs/adr/0016-entries-in-columns.md).
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from sys import getsizeof

UNLINKED = 0xFFFFFFFF
"""No node: the ``next`` of those that are in no ring."""

HITS_MAX = 3

_GROWTH = 7
"""Columns grow by one part in this many, and a few: then CPython's lists take no more than they are
asked for, which is an eighth."""
_GROWTH_MIN = 8
_TRIM_MIN = 64


class Nodes:
    """Nodes that are taken and given back. The columns stay the same objects, and grow.

    Whoever hits a node counts that: ``if hits[node] < HITS_MAX: hits[node] += 1``.
    """

    def __init__(self) -> None:
        self.next = array("I")
        """The neighbour towards the oldest entry; ``UNLINKED`` while the node is in no ring."""
        self.prev = array("I")
        """The neighbour towards the newest entry; of a free node, the next free one."""
        self.hits = bytearray()
        """The number of hits since the entry was inserted, up to ``HITS_MAX``, less what a policy
        took off in passing over it."""
        self.main = bytearray()
        """The queue of S3-FIFO that the node is in: 1 for the main one, 0 for the small one."""
        self.used = 0
        self.bytes = 0
        """Memory of all columns. It does not shrink before every node was given back."""
        self._free = UNLINKED
        self._kept = 0
        self._headers = sum(map(getsizeof, self._columns()))

    def _columns(self) -> Sequence[array[int] | array[float] | bytearray | list[object]]:
        return (self.next, self.prev, self.hits, self.main)

    def _extend(self, count: int) -> None:
        """Makes every column longer by ``count``, ``prev`` excepted."""
        self.next.extend([UNLINKED] * count)
        self.hits.extend(bytes(count))
        self.main.extend(bytes(count))

    def identity(self, node: int) -> int:
        """The same for nodes that stand for the same thing at different times."""
        raise NotImplementedError

    def sentinel(self) -> int:
        """Returns a node, linked with itself, that is never given back. To be asked for before all
        others."""
        node = self.take()
        self._kept += 1
        self.next[node] = self.prev[node] = node
        return node

    def is_linked(self, node: int) -> bool:
        """False after the node was removed or evicted, until it is taken again."""
        return node < len(self.next) and self.next[node] != UNLINKED

    @property
    def has_free(self) -> bool:
        """True if ``take`` needs no more memory."""
        return self._free != UNLINKED

    def take(self) -> int:
        if self._free == UNLINKED:
            self._grow()
        node = self._free
        self._free = self.prev[node]
        self.hits[node] = self.main[node] = 0
        self.used += 1
        return node

    def give_back(self, node: int) -> None:
        """``node`` is in no ring any more."""
        self.prev[node] = self._free
        self._free = node
        self.used -= 1
        if self.used == self._kept and len(self.next) > _TRIM_MIN:
            for column in self._columns():
                del column[self._kept :]
            self._free = UNLINKED
            self._count()

    @property
    def growth_bytes(self) -> int:
        """The most that one more growth takes; arrays get an eighth more than they are asked for at
        most. (What is copied meanwhile, and then given back, does not count.)"""
        length = len(self.next)
        more = length // _GROWTH + _GROWTH_MIN
        return self._row_bytes * more + 3 * length // 2 + 320

    @property
    def _row_bytes(self) -> int:
        return 10

    def _grow(self) -> None:
        first = len(self.next)
        more = first // _GROWTH + _GROWTH_MIN
        self.prev.extend(range(first + 1, first + more + 1))
        self.prev[-1] = UNLINKED
        self._extend(more)
        self._free = first
        self._count()

    def _count(self) -> None:
        self.bytes = sum(map(getsizeof, self._columns())) - self._headers
