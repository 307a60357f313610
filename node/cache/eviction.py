"""Eviction policies over a doubly linked ring of nodes.

A policy orders nodes and names the next victim; it knows neither sizes nor what a node stands for.
The links and the counts of hits lie in the columns of ``Nodes``: a hit costs a comparison and at
most one store, an insertion no allocation. (docs/adr/0015-s3-fifo.md: why S3-FIFO is the
default.)
"""

from __future__ import annotations

from array import array
from collections.abc import Callable
from typing import Literal, Protocol

from node.cache.nodes import UNLINKED, Nodes


class Policy(Protocol):
    """The order of eviction of the nodes that were inserted and not yet removed or evicted."""

    touch: Callable[[int], None] | None
    """Has to be called on every hit, after it was counted. None means that the count is enough."""

    bytes: int
    """Memory of the policy itself, beside its nodes. It changes in ``evict`` alone."""

    def insert(self, node: int) -> None:
        """``node`` was just taken, and has an identity."""

    def remove(self, node: int) -> None: ...

    def evict(self) -> int | None:
        """Takes the next victim out of the order and returns it; None when nothing is left."""


PolicyMaker = Callable[[Nodes], Policy]


class _Ring:
    """A circular list with a sentinel, whose ``next`` is the newest node."""

    __slots__ = ("_end", "_next", "_nodes", "_prev")

    bytes: int = 0

    def __init__(self, nodes: Nodes) -> None:
        self._nodes = nodes
        self._next, self._prev = nodes.next, nodes.prev
        self._end = nodes.sentinel()

    def _link_after(self, at: int, node: int) -> None:
        following = self._next[at]
        self._prev[node] = at
        self._next[node] = following
        self._prev[following] = node
        self._next[at] = node

    def _unlink(self, node: int) -> None:
        before, after = self._prev[node], self._next[node]
        self._next[before] = after
        self._prev[after] = before
        self._next[node] = UNLINKED


SCAN_MAX = 4096
"""Nodes that one eviction passes over, since they were hit, before it takes any.

Without it the first eviction of a cache that filled up slowly, every entry hit, would walk the
whole ring (0.1 s per million entries) on the event loop that answers hits.
"""


class _Ghosts:
    """What was evicted of late, by 32 bits of its identity: a hint that is wrong now and then.

    A table of sets of two, in which the older gives way. It has two to four places, of eight bytes
    each, for everything that is to be remembered.
    """

    __slots__ = ("_count", "_places", "_shift")

    def __init__(self) -> None:
        self._count = 0
        """How many ever came, as a number of 32 bits: their order."""
        self._resize(6)

    @property
    def bytes(self) -> int:
        return 8 * len(self._places)

    def add(self, identity: int, most: int) -> None:
        """``most``: how many are to be remembered. When the table is too small for them, a larger
        one begins empty, since to move them would hold up the event loop."""
        if 2 * most > len(self._places):
            self._resize((2 * most - 1).bit_length())
        places = self._places
        name = identity & _WORD
        first, second = self._set(name)
        count = self._count
        if places[second] >> 32 == name or (
            places[first] >> 32 != name
            and (count - places[second]) & _WORD > (count - places[first]) & _WORD
        ):
            first = second
        self._count = count = (count + 1) & _WORD
        places[first] = name << 32 | count

    def take(self, identity: int, most: int) -> bool:
        """Whether it is among the last ``most``, and is not any more."""
        places = self._places
        name = identity & _WORD
        for place in self._set(name):
            ghost = places[place]
            if ghost and ghost >> 32 == name and (self._count - ghost) & _WORD < most:
                places[place] = 0
                return True
        return False

    def _set(self, name: int) -> tuple[int, int]:
        first = ((name * _SPREAD & _WORD) >> self._shift) << 1
        return first, first + 1

    def _resize(self, bits: int) -> None:
        self._places = array("Q", bytes(8 << bits))
        self._shift = 33 - bits


_WORD = 0xFFFFFFFF
_SPREAD = 0x9E3779B1


SMALL_SHARE = 10
PROMOTED_HITS = 2
"""Hits in the small queue that take a node to the main one."""


class S3Fifo(_Ring):
    """S3-FIFO (Yang, Zhang, Qiu, Yue, Vinayak: "FIFO Queues are All You Need for Cache Eviction",
    SOSP 2023).

    Nodes begin in a small queue, a tenth of them, and go on to the main one if they were hit
    twice before its end; else they are evicted, and remembered for as long as the main queue is
    long: what comes back meanwhile begins in the main one. At its end nodes that were hit begin
    again, with one hit less.

    Both queues are in one ring: the newest of the small one after ``_end``, that of the main one
    after ``_middle``. Amortised O(1).
    """

    __slots__ = ("_ghosts", "_main", "_middle", "_scan_max", "_small", "bytes", "touch")

    touch: Callable[[int], None] | None

    def __init__(self, nodes: Nodes, scan_max: int = SCAN_MAX) -> None:
        super().__init__(nodes)
        self.touch = None
        self._middle = nodes.sentinel()
        self._link_after(self._end, self._middle)
        self._small = self._main = 0
        self._ghosts = _Ghosts()
        self.bytes = self._ghosts.bytes
        self._scan_max = scan_max

    def insert(self, node: int) -> None:
        main = self._ghosts.take(self._nodes.identity(node), self._main)
        self._nodes.main[node] = main
        self._begin(node, main)

    def remove(self, node: int) -> None:
        if self._nodes.main[node]:
            self._main -= 1
        else:
            self._small -= 1
        self._unlink(node)

    def evict(self) -> int | None:
        hits, in_main = self._nodes.hits, self._nodes.main
        for passed in range(self._scan_max + 1):
            small, main = self._small, self._main
            if small and (not main or small >= (small + main) // SMALL_SHARE):
                node = self._prev[self._middle]
            elif main:
                node = self._prev[self._end]
            else:
                return None
            self.remove(node)
            was_main = in_main[node]
            if hits[node] < (1 if was_main else PROMOTED_HITS) or passed == self._scan_max:
                break
            hits[node] = hits[node] - 1 if was_main else 0
            in_main[node] = 1
            self._begin(node, True)
        if not in_main[node]:
            self._ghosts.add(self._nodes.identity(node), self._main)
            self.bytes = self._ghosts.bytes
        return node

    def _begin(self, node: int, main: bool) -> None:
        if main:
            self._link_after(self._middle, node)
            self._main += 1
        else:
            self._link_after(self._end, node)
            self._small += 1


class Sieve(_Ring):
    """SIEVE (Zhang, Yang, Yue, Vigfusson, Rashmi: "SIEVE is Simpler than LRU", NSDI 2024).

    Nodes stay in order of insertion. A hand walks from the oldest towards the newest, forgets the
    hits that it meets and evicts the first node without one; the next eviction goes on
    from there, and from the oldest again after the newest. Amortised O(1).
    """

    __slots__ = ("_hand", "_scan_max", "touch")

    touch: Callable[[int], None] | None

    def __init__(self, nodes: Nodes, scan_max: int = SCAN_MAX) -> None:
        super().__init__(nodes)
        self.touch = None
        self._hand = self._end
        """The next candidate; the sentinel stands for 'start at the oldest'."""
        self._scan_max = scan_max

    def insert(self, node: int) -> None:
        self._link_after(self._end, node)

    def remove(self, node: int) -> None:
        if self._hand == node:
            self._hand = self._prev[node]
        self._unlink(node)

    def evict(self) -> int | None:
        end, hits = self._end, self._nodes.hits
        node = self._hand
        for _ in range(self._scan_max):
            if node == end:
                node = self._prev[end]
                if node == end:
                    return None
            if not hits[node]:
                break
            hits[node] = 0
            node = self._prev[node]
        else:
            if node == end:
                node = self._prev[end]
        self._hand = self._prev[node]
        self._unlink(node)
        return node


class Lru(_Ring):
    """Evicts the least recently used node first, as DAX does. ``touch`` moves a node to the newest
    end."""

    __slots__ = ("touch",)

    touch: Callable[[int], None] | None

    def __init__(self, nodes: Nodes) -> None:
        super().__init__(nodes)
        self.touch = self._move_to_newest

    def _move_to_newest(self, node: int) -> None:
        self._unlink(node)
        self._link_after(self._end, node)

    def insert(self, node: int) -> None:
        self._link_after(self._end, node)

    def remove(self, node: int) -> None:
        self._unlink(node)

    def evict(self) -> int | None:
        node = self._prev[self._end]
        if node == self._end:
            return None
        self._unlink(node)
        return node


EvictionName = Literal["s3fifo", "sieve", "lru"]


def policy_named(name: EvictionName) -> PolicyMaker:
    policies: dict[EvictionName, PolicyMaker] = {
        "s3fifo": S3Fifo,
        "sieve": Sieve,
        "lru": Lru,
    }
    return policies[name]
