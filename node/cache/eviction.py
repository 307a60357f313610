"""Eviction policies over an intrusive doubly linked ring.

A policy orders nodes and names the next victim; it knows neither sizes nor what a node holds.
The links and the visited bit live in the node itself, so that a hit costs one attribute store and
an insertion no allocation. (docs/adr/0002-sieve.md: why SIEVE is the default.)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, Protocol


class Linked:
    """What a policy links. ``visited``: it was hit since it was inserted or last passed over."""

    __slots__ = ("next", "prev", "visited")

    next: Linked
    """Towards the oldest; ``UNLINKED`` while in no ring, which keeps removed nodes acyclic:
    they are freed at once, not by the cycle collector."""
    prev: Linked
    """Towards the newest."""
    visited: bool

    def __init__(self) -> None:
        self.next = UNLINKED
        self.prev = UNLINKED
        self.visited = False

    @property
    def linked(self) -> bool:
        return self.next is not UNLINKED


UNLINKED: Linked = Linked.__new__(Linked)


class Policy(Protocol):
    """The order of eviction of the nodes that were inserted and not yet removed or evicted."""

    touch: Callable[[Linked], None] | None
    """Has to be called on every hit, after ``visited`` was set. None means that the bit is
    enough."""

    def insert(self, node: Linked) -> None: ...

    def remove(self, node: Linked) -> None: ...

    def replace(self, old: Linked, new: Linked) -> None:
        """Puts ``new`` in the place of ``old``, with its visited bit: an overwrite is no read."""

    def evict(self) -> Linked | None:
        """Takes the next victim out of the order and returns it; None when nothing is left."""


class _Ring:
    """A circular list with a sentinel, whose ``next`` is the newest node."""

    __slots__ = ("_end",)

    def __init__(self) -> None:
        self._end = Linked()
        self._end.next = self._end.prev = self._end

    def _link_newest(self, node: Linked) -> None:
        end = self._end
        newest = end.next
        node.prev = end
        node.next = newest
        newest.prev = node
        end.next = node

    @staticmethod
    def _unlink(node: Linked) -> None:
        node.prev.next = node.next
        node.next.prev = node.prev
        node.next = node.prev = UNLINKED

    @staticmethod
    def _relink(old: Linked, new: Linked) -> None:
        new.next, new.prev, new.visited = old.next, old.prev, old.visited
        new.next.prev = new
        new.prev.next = new
        old.next = old.prev = UNLINKED


SIEVE_SCAN_MAX = 4096
"""Visited nodes that one eviction passes over before it takes the next one regardless.

Without it the first eviction of a cache that filled up slowly, every entry hit, would walk the
whole ring (0.1 s per million entries) on the event loop that answers hits.
"""


class Sieve(_Ring):
    """SIEVE (Zhang, Yang, Yue, Vigfusson, Rashmi: "SIEVE is Simpler than LRU", NSDI 2024).

    Nodes stay in order of insertion. A hand walks from the oldest towards the newest, clears the
    visited bits that it meets and evicts the first node without one; the next eviction goes on
    from there, and from the oldest again after the newest. Amortised O(1).
    """

    __slots__ = ("_hand", "_scan_max", "touch")

    touch: Callable[[Linked], None] | None

    def __init__(self, scan_max: int = SIEVE_SCAN_MAX) -> None:
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
            if not node.visited:
                break
            node.visited = False
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


def policy_named(name: Literal["sieve", "lru"]) -> Policy:
    return Sieve() if name == "sieve" else Lru()
