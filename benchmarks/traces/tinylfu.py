"""A policy that nodes do not have, over the same links, to be compared with those that they do."""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.traces.sketch import Sketch
from node.cache.columns import Columns
from node.cache.eviction import Lru
from node.cache.nodes import Nodes

WINDOW_SHARE = 100
PROTECTED_PERCENT = 80


class _Queue(Lru):
    """Some of a policy's nodes, in order, counted."""

    def __init__(self, nodes: Nodes) -> None:
        super().__init__(nodes)
        self.nodes: set[int] = set()

    def insert(self, node: int) -> None:
        super().insert(node)
        self.nodes.add(node)

    def remove(self, node: int) -> None:
        super().remove(node)
        self.nodes.discard(node)

    def evict(self) -> int | None:
        node = super().evict()
        if node is not None:
            self.nodes.discard(node)
        return node

    def to_newest(self, node: int) -> None:
        self._move_to_newest(node)

    @property
    def oldest(self) -> int | None:
        oldest = self._prev[self._end]
        return None if oldest == self._end else oldest

    def __contains__(self, node: int) -> bool:
        return node in self.nodes

    def __len__(self) -> int:
        return len(self.nodes)


class WTinyLfu:
    """W-TinyLFU (Einziger, Friedman, Manes, 2015), as Caffeine has it, its window fixed at one
    percent: new entries in a small LRU window, then on probation, where one stays only if it was
    asked for more often than the one that goes for it; those hit there are protected."""

    bytes = 0
    """That of the sketch is not counted here."""

    def __init__(self, nodes: Nodes, entries: int) -> None:
        """``entries``: about how many the cache holds."""
        assert isinstance(nodes, Columns)
        self._keys = nodes.keys
        self._window, self._probation, self._protected = (_Queue(nodes) for _ in range(3))
        self.queues = (self._window, self._probation, self._protected)
        self._sketch = Sketch(entries)
        self._candidate: int | None = None
        """The last that left the window: it has to be worth more than the main part's oldest."""
        self.touch: Callable[[int], None] | None = self._hit

    def asked(self, key: bytes) -> None:
        """A request for the key comes, hit or not."""
        self._sketch.add(key)

    def _queue(self, node: int) -> _Queue:
        return next(queue for queue in self.queues if node in queue)

    def remove(self, node: int) -> None:
        self._queue(node).remove(node)

    def _hit(self, node: int) -> None:
        queue = self._queue(node)
        if queue is not self._probation:
            queue.to_newest(node)
            return
        self._probation.remove(node)
        self._protected.insert(node)
        main = len(self._probation) + len(self._protected)
        if len(self._protected) * 100 > main * PROTECTED_PERCENT:
            demoted = self._protected.evict()
            assert demoted is not None
            self._probation.insert(demoted)

    def insert(self, node: int) -> None:
        self._window.insert(node)
        total = sum(map(len, self.queues))
        if len(self._window) > max(1, total // WINDOW_SHARE):
            moved = self._window.evict()
            assert moved is not None
            self._probation.insert(moved)
            self._candidate = moved

    def evict(self) -> int | None:
        candidate, self._candidate = self._candidate, None
        victim = self._probation.oldest
        if victim is None:
            return self._protected.evict() or self._window.evict()
        if (
            candidate is not None
            and candidate in self._probation
            and self._frequency(candidate) <= self._frequency(victim)
        ):
            victim = candidate
        self._probation.remove(victim)
        return victim

    def _frequency(self, node: int) -> int:
        return self._sketch.count(self._keys[node])
