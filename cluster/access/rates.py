"""How often somebody may do something: a token bucket for each name. Pure."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, TypeVar

from cluster.access.recent import Recent

K = TypeVar("K", bound=Hashable)

NAMES_MAX = 8192
"""The most buckets at a time, some 1 MB. Who is forgotten among more begins with a full one."""


class Rates(Generic[K]):
    """Each at most ``burst`` at once, and ``per_s`` in the long run."""

    def __init__(self, per_s: float, burst: float, names_max: int = NAMES_MAX) -> None:
        self._step_s = 1.0 / per_s
        self._ahead_s = max(0.0, burst - 1.0) / per_s
        self._full_at: Recent[K, list[float]] = Recent(names_max)
        """When a bucket is full again, if nothing more is taken: all that there is to know of it,
        in a list of one, which is written without another look."""

    def __len__(self) -> int:
        return len(self._full_at)

    def take(self, name: K, now: float) -> bool:
        """``now``: seconds, on a clock that does not step back. False: there is nothing left for
        ``name``, and nothing was taken."""
        found = self._full_at.get(name)
        if found is None:
            self._full_at.put(name, [now + self._step_s])
            return True
        full_at = found[0]
        if full_at - now > self._ahead_s:
            return False
        found[0] = max(full_at, now) + self._step_s
        return True
