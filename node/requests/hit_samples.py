"""What is learned from one hit in sixteen or so, so that the others cost nothing for it. Pure.

Which hits these are is drawn, so that no pattern of requests falls in with it.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Final

from node.requests.counts import Latencies
from node.requests.draws import Draws
from node.requests.hot_keys import HotKeys
from paceline.dax.responses import MISS_REPLY

EVERY: Final = 16
"""The mean distance between two samples."""

UNIT_BYTES: Final = 4096
"""DynamoDB reads so many for one unit, or for half of one if the read is eventually consistent."""
_READ_UNITS: Final = 0.5

AGES_S: Final = (0.1, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 14400.0, 86400.0)
"""Of the histogram of ages."""
AGES_OF: Final = 16
"""Of so many samples the age of one is looked at."""
Ages = Callable[[bytes, bytes, float], float | None]
"""By table and key, how many seconds before a time it was cached; None: that is not known."""

Left = Callable[[float, bytes, str], None]
Later = Callable[[Left, float, bytes, str], object]
"""Calls its first argument with the others once the turn of the event loop is over."""
Took = Callable[[float, bytes, str], None]
"""Is told how many seconds after it was found a sampled hit had left, its table and protocol."""


def units_of(size: int) -> float:
    """The read capacity that DynamoDB asks for ``size`` bytes, eventually consistent; for nothing
    as for the least."""
    return _READ_UNITS * max(1, -(-size // UNIT_BYTES))


class HitSamples:
    """``due_at``: how many hits there are when the next one is to be given to ``take``. Nothing is
    taken before ``begin``."""

    def __init__(self) -> None:
        self.due_at: float = inf
        self.hot_keys = HotKeys()
        self.negative = 0
        """Hits that said that there is no item: an estimate."""
        self.saved_units: dict[bytes, float] = {}
        """By table: the read capacity that hits did not consume. Of items an estimate; their size
        is that of the reply, which lacks the names of attributes."""
        self.ages = Latencies(AGES_S)
        """By table, of items that were hit."""
        self._age_of: Ages | None = None
        self._later: Later | None = None
        self._took: Took | None = None
        self._clock: Callable[[], float] | None = None
        self._draws = Draws()

    def begin(
        self,
        clock: Callable[[], float],
        later: Later,
        took: Took,
        age_of: Ages | None = None,
    ) -> None:
        self._age_of = age_of
        self._clock, self._later, self._took = clock, later, took
        self.due_at = EVERY

    def take(self, hits: int, table: bytes, key: bytes, reply: bytes, now: float) -> None:
        """One hit stands for ``EVERY``. ``hits``: with this one; ``now``: when it was found."""
        drawn = self._draws.next() >> 16
        self.due_at = hits + 1 + drawn % (2 * EVERY - 1)
        self.hot_keys.add(table, key, EVERY, now)
        if drawn % AGES_OF == 0 and self._age_of is not None:
            age_s = self._age_of(table, key, now)
            if age_s is not None:
                self.ages.add((table.decode("utf-8", "replace"),), age_s, AGES_OF * EVERY)
        if reply is MISS_REPLY:
            self.negative += EVERY
        self._saved(table, EVERY * units_of(len(reply)))

    def take_at_once(
        self, hits: int, table: bytes, key: bytes, reply: bytes, now: float, protocol: str
    ) -> None:
        """The same, of a hit that is answered in this turn of the event loop."""
        self.take(hits, table, key, reply, now)
        if self._later is not None:
            self._later(self._left, now, table, protocol)

    def page(self, table: bytes, size: int) -> None:
        """Every page of a Query or Scan that a cache answered."""
        self._saved(table, units_of(size))

    def missed(self, table: bytes, key: bytes, now: float) -> None:
        if self._clock is not None:
            self.hot_keys.add(table, key, 1, now)

    def _saved(self, table: bytes, units: float) -> None:
        saved = self.saved_units
        saved[table] = saved.get(table, 0.0) + units

    def _left(self, found_at: float, table: bytes, protocol: str) -> None:
        if self._clock is not None and self._took is not None:
            self._took(self._clock() - found_at, table, protocol)
