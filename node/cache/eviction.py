"""Eviction policies over an intrusive doubly linked ring.

A policy orders nodes and names the next victim; it knows neither sizes nor what a node holds.
The links and the count of hits live in the node itself: a hit costs a comparison and at most one
attribute store, an insertion no allocation. (docs/adr/0015-s3-fifo.md: why S3-FIFO is the
default.)
"""

from __future__ import annotations

from array import array
from collections.abc import Callable
from typing import Literal, Protocol

HITS_MAX = 3


class Linked:
    """What a policy links. Whoever hits it counts that: ``if hits < HITS_MAX: hits += 1``."""

    __slots__ = ("hits", "main", "next", "prev")

    next: Linked
    """Towards the oldest; ``UNLINKED`` while in no ring, which keeps removed nodes acyclic:
    they are freed at once, not by the cycle collector."""
    prev: Linked
    """Towards the newest."""
    hits: int
    """Since it was inserted, up to ``HITS_MAX``, less what a policy took off in passing over it."""
    main: bool
    """Where S3-FIFO has it: in the main queue, or in the small one."""

    def __init__(self) -> None:
        self.next = UNLINKED
        self.prev = UNLINKED
        self.hits = 0
        self.main = False

    @property
    def linked(self) -> bool:
        return self.next is not UNLINKED

    @property
    def identity(self) -> int:
        """The same for nodes that stand for the same thing at different times."""
        raise NotImplementedError


UNLINKED: Linked = Linked.__new__(Linked)


class Policy(Protocol):
    """The order of eviction of the nodes that were inserted and not yet removed or evicted."""

    touch: Callable[[Linked], None] | None
    """Has to be called on every hit, after it was counted. None means that the count is enough."""

    bytes: int
    """Memory of the policy itself, beside its nodes. It changes in ``evict`` alone."""

    def insert(self, node: Linked) -> None: ...

    def remove(self, node: Linked) -> None: ...

    def replace(self, old: Linked, new: Linked) -> None:
        """Puts ``new`` in the place of ``old``, with its count of hits: an overwrite is no read."""

    def evict(self) -> Linked | None:
        """Takes the next victim out of the order and returns it; None when nothing is left."""


class _Ring:
    """A circular list with a sentinel, whose ``next`` is the newest node."""

    __slots__ = ("_end",)

    bytes: int = 0

    def __init__(self) -> None:
        self._end = Linked()
        self._end.next = self._end.prev = self._end

    def _link_newest(self, node: Linked) -> None:
        self._link_after(self._end, node)

    @staticmethod
    def _link_after(at: Linked, node: Linked) -> None:
        following = at.next
        node.prev = at
        node.next = following
        following.prev = node
        at.next = node

    @staticmethod
    def _unlink(node: Linked) -> None:
        node.prev.next = node.next
        node.next.prev = node.prev
        node.next = node.prev = UNLINKED

    @staticmethod
    def _relink(old: Linked, new: Linked) -> None:
        new.next, new.prev = old.next, old.prev
        new.hits, new.main = old.hits, old.main
        new.next.prev = new
        new.prev.next = new
        old.next = old.prev = UNLINKED


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

    touch: Callable[[Linked], None] | None

    def __init__(self, scan_max: int = SCAN_MAX) -> None:
        super().__init__()
        self.touch = None
        self._middle = Linked()
        self._link_after(self._end, self._middle)
        self._small = self._main = 0
        self._ghosts = _Ghosts()
        self.bytes = self._ghosts.bytes
        self._scan_max = scan_max

    def insert(self, node: Linked) -> None:
        node.main = self._ghosts.take(node.identity, self._main)
        self._begin(node)

    def remove(self, node: Linked) -> None:
        if node.main:
            self._main -= 1
        else:
            self._small -= 1
        self._unlink(node)

    def replace(self, old: Linked, new: Linked) -> None:
        self._relink(old, new)

    def evict(self) -> Linked | None:
        for passed in range(self._scan_max + 1):
            small, main = self._small, self._main
            if small and (not main or small >= (small + main) // SMALL_SHARE):
                node = self._middle.prev
            elif main:
                node = self._end.prev
            else:
                return None
            self.remove(node)
            if node.hits < (1 if node.main else PROMOTED_HITS) or passed == self._scan_max:
                break
            node.hits = node.hits - 1 if node.main else 0
            node.main = True
            self._begin(node)
        if not node.main:
            self._ghosts.add(node.identity, self._main)
            self.bytes = self._ghosts.bytes
        return node

    def _begin(self, node: Linked) -> None:
        if node.main:
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

    touch: Callable[[Linked], None] | None

    def __init__(self, scan_max: int = SCAN_MAX) -> None:
        super().__init__()
        self.touch = None
        self._hand = self._end
        """The next candidate; the sentinel stands for 'start at the oldest'."""
        self._scan_max = scan_max

    def insert(self, node: Linked) -> None:
        self._link_newest(node)

    def remove(self, node: Linked) -> None:
        if self._hand is node:
            self._hand = node.prev
        self._unlink(node)

    def replace(self, old: Linked, new: Linked) -> None:
        if self._hand is old:
            self._hand = new
        self._relink(old, new)

    def evict(self) -> Linked | None:
        end = self._end
        node = self._hand
        for _ in range(self._scan_max):
            if node is end:
                node = end.prev
                if node is end:
                    return None
            if not node.hits:
                break
            node.hits = 0
            node = node.prev
        else:
            if node is end:
                node = end.prev
        self._hand = node.prev
        self._unlink(node)
        return node


class Lru(_Ring):
    """Evicts the least recently used node first, as DAX does. ``touch`` moves a node to the newest
    end."""

    __slots__ = ("touch",)

    touch: Callable[[Linked], None] | None

    def __init__(self) -> None:
        super().__init__()
        self.touch = self._move_to_newest

    def _move_to_newest(self, node: Linked) -> None:
        node.prev.next = node.next
        node.next.prev = node.prev
        self._link_newest(node)

    def insert(self, node: Linked) -> None:
        self._link_newest(node)

    def remove(self, node: Linked) -> None:
        self._unlink(node)

    def replace(self, old: Linked, new: Linked) -> None:
        self._relink(old, new)

    def evict(self) -> Linked | None:
        node = self._end.prev
        if node is self._end:
            return None
        self._unlink(node)
        return node


EvictionName = Literal["s3fifo", "sieve", "lru"]


def policy_named(name: EvictionName) -> Policy:
    policies: dict[EvictionName, Callable[[], Policy]] = {
        "s3fifo": S3Fifo,
        "sieve": Sieve,
        "lru": Lru,
    }
    return policies[name]()
