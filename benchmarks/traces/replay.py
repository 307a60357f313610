"""A trace through the nodes' own budget, with a policy."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import inf

from benchmarks.traces.tinylfu import WTinyLfu
from node.cache.budget import Budget
from node.cache.entry import CacheEntry
from node.cache.eviction import HITS_MAX, Lru, Policy, S3Fifo, Sieve

ENTRY_BYTES = 1000
"""Beside it the memory of a node's policy itself counts."""

POLICIES: dict[str, Callable[[int], Policy]] = {
    "LRU": lambda entries: Lru(),
    "SIEVE": lambda entries: Sieve(),
    "S3-FIFO": lambda entries: S3Fifo(),
    "W-TinyLFU": WTinyLfu,
}
"""Makers of policies, given about how many entries the cache will hold."""


class Sized(CacheEntry):
    """An entry of so many bytes."""

    __slots__ = ("bytes",)

    def __init__(self, owner: Replay, key: bytes, size: int) -> None:
        super().__init__(owner, b"", key, inf)
        self.bytes = size

    @property
    def size(self) -> int:
        return self.bytes


class Replay:
    """A cache that is asked for keys, and installs each that it has not."""

    def __init__(self, entries: int, policy: Policy) -> None:
        self._budget = Budget(entries * ENTRY_BYTES, policy)
        self._entries: dict[bytes, Sized] = {}
        self.hits = 0
        self.requests = 0

    def forget(self, entry: CacheEntry) -> None:
        del self._entries[entry.key]

    def run(self, requests: Iterable[tuple[bytes, int]]) -> None:
        """``requests``: of each the key, and how many times ``ENTRY_BYTES`` it takes."""
        entries, budget = self._entries, self._budget
        policy = budget.policy
        touch = policy.touch
        asked = getattr(policy, "asked", None)
        for key, size in requests:
            self.requests += 1
            if asked is not None:
                asked(key)
            entry = entries.get(key)
            if entry is not None:
                self.hits += 1
                if entry.hits < HITS_MAX:
                    entry.hits += 1
                if touch is not None:
                    touch(entry)
            elif budget.admits(size * ENTRY_BYTES):
                entry = Sized(self, key, size * ENTRY_BYTES)
                budget.add(entry)
                entries[key] = entry

    @property
    def ratio(self) -> float:
        return self.hits / self.requests if self.requests else 0.0
