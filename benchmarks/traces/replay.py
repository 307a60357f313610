"""A trace through the nodes' own budget, with a policy."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from math import inf

from benchmarks.traces.tinylfu import WTinyLfu
from node.cache.budget import Budget
from node.cache.eviction import Lru, PolicyMaker, S3Fifo, Sieve
from node.cache.nodes import HITS_MAX

ENTRY_BYTES = 1000
"""Beside it the memory of a node's policy itself counts."""

COLUMN_BYTES = 50
"""The share of an entry in the columns, which count by themselves."""

POLICIES: dict[str, Callable[[int], PolicyMaker]] = {
    "LRU": lambda entries: Lru,
    "SIEVE": lambda entries: Sieve,
    "S3-FIFO": lambda entries: S3Fifo,
    "W-TinyLFU": lambda entries: partial(WTinyLfu, entries=entries),
}
"""Makers of policies, by about how many entries the cache will hold."""


class Replay:
    """A cache that is asked for keys, and installs each that it has not.

    ``entries``: how many of ``ENTRY_BYTES`` it has room for.
    """

    def __init__(self, entries: int, policy: PolicyMaker) -> None:
        self._budget = Budget(entries * ENTRY_BYTES, policy)
        self._place = self._budget.entries.place(self, b"")
        self._entries: dict[bytes, int] = {}
        self.hits = 0
        self.requests = 0

    def forget(self, node: int) -> int:
        columns = self._budget.entries
        del self._entries[columns.keys[node]]
        size: int = columns.values[node]
        return size

    def run(self, requests: Iterable[tuple[bytes, int]]) -> None:
        """``requests``: of each the key, and how many times ``ENTRY_BYTES`` it takes."""
        entries, budget = self._entries, self._budget
        policy, hits = budget.policy, budget.entries.hits
        touch = policy.touch
        asked = getattr(policy, "asked", None)
        for key, times in requests:
            self.requests += 1
            if asked is not None:
                asked(key)
            node = entries.get(key)
            size = times * ENTRY_BYTES - COLUMN_BYTES
            if node is not None:
                self.hits += 1
                if hits[node] < HITS_MAX:
                    hits[node] += 1
                if touch is not None:
                    touch(node)
            elif budget.admits(size):
                entries[key] = budget.add(self._place, key, size, inf, size)

    @property
    def ratio(self) -> float:
        return self.hits / self.requests if self.requests else 0.0
