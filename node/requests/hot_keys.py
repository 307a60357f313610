"""Which keys are read most, of the last minute or two, in bounded memory. Pure.

The counters are Misra and Gries' ("Finding repeated elements", 1982), which say the same as those
of Space-Saving (Agarwal et al., "Mergeable summaries", 2012): when there are too many, all lose as
much as the largest of those that go. They are thinned out at twice their number, so that an
addition takes constant time in the long run (Anderson et al., "A high-performance algorithm for
identifying frequent items in data streams", 2017).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

KEYS_MAX: Final = 128
"""After they are thinned out. No key is missing that was read more often than one in so many."""
WINDOW_S: Final = 60.0

Place = tuple[bytes, bytes]
"""The table in UTF-8, and the key as the cache has it."""


@dataclass(frozen=True, slots=True)
class HotKey:
    """``reads``: between ``least`` and this many, of the reads that were counted."""

    table: bytes
    key: bytes
    reads: int
    least: int


class Sketch:
    """``reads``: all that were counted. A key's true number is between what its counter says and
    ``lost`` more."""

    def __init__(self, keys_max: int = KEYS_MAX) -> None:
        self.reads = 0
        self.lost = 0
        self.counts: dict[Place, int] = {}
        self._keys_max = keys_max

    def add(self, place: Place, reads: int) -> None:
        self.reads += reads
        counts = self.counts
        counts[place] = counts.get(place, 0) + reads
        if len(counts) > 2 * self._keys_max:
            self._thin_out()

    def _thin_out(self) -> None:
        less = sorted(self.counts.values(), reverse=True)[self._keys_max]
        self.lost += less
        self.counts = {one: count - less for one, count in self.counts.items() if count > less}


class HotKeys:
    """Two sketches: of the window under way, and of the one before."""

    def __init__(self, keys_max: int = KEYS_MAX, window_s: float = WINDOW_S) -> None:
        self._keys_max = keys_max
        self._window_s = window_s
        self._began_at: float | None = None
        self._now, self._before = Sketch(keys_max), Sketch(keys_max)
        self._before_s = 0.0

    def add(self, table: bytes, key: bytes, reads: int, now: float) -> None:
        """``now``: seconds of a clock that never goes back."""
        began_at = self._began_at
        if began_at is None or now >= began_at + self._window_s:
            self._turn(now)
        self._now.add((table, key), reads)

    def _turn(self, now: float) -> None:
        began_at = self._began_at
        follows = began_at is not None and now < began_at + 2 * self._window_s
        self._before = self._now if follows else Sketch(self._keys_max)
        self._before_s = self._window_s if follows else 0.0
        self._now = Sketch(self._keys_max)
        self._began_at = began_at + self._window_s if follows and began_at is not None else now

    def seen(self, now: float) -> tuple[int, float]:
        """How many reads were counted, and in how many seconds."""
        if self._began_at is None:
            return 0, 0.0
        if now >= self._began_at + self._window_s:
            self._turn(now)
        return self._now.reads + self._before.reads, now - self._began_at + self._before_s

    def share_of_hottest(self, now: float) -> float:
        """Of all reads that were counted, at least so many were the first key's; 0 without any."""
        reads, _ = self.seen(now)
        first = next(self.hottest(now), None)
        return 0.0 if first is None or not reads else first.least / reads

    def hottest(self, now: float) -> Iterator[HotKey]:
        """The most read first."""
        self.seen(now)
        sketches = self._before, self._now
        least: dict[Place, int] = {}
        for sketch in sketches:
            for place, reads in sketch.counts.items():
                least[place] = least.get(place, 0) + reads
        lost = sum(sketch.lost for sketch in sketches)
        for place in sorted(least, key=lambda one: (-least[one], one)):
            yield HotKey(*place, reads=least[place] + lost, least=least[place])
