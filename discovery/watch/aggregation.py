"""Values of a time to statistics of periods, as CloudWatch does it. Pure.

Times are seconds since the epoch. A value stands at the beginning of the time that it is of. Of
counts a node gives one value a minute, as DAX does: an average of counts is one of whole minutes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from discovery.watch.catalogue import Kind

FINE_S: Final = 10
COARSE_S: Final = 300
MINUTE_S: Final = 60

DAY_S: Final = 86_400
SUB_MINUTE: Final = (1, 5, 10, 20, 30)

STATISTICS: Final = ("SampleCount", "Average", "Sum", "Minimum", "Maximum")
_PERCENTILE: Final = re.compile(r"p(100(?:\.0{1,10})?|\d{1,2}(?:\.\d{1,10})?)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Value:
    """``count`` values, beginning at ``at``: one, or several that only their sum and ends are known
    of."""

    at: int
    count: float
    total: float
    low: float
    high: float

    @classmethod
    def single(cls, at: int, value: float) -> Value:
        return cls(at, 1, value, value, value)


def minutes(values: Iterable[Value]) -> list[Value]:
    """Of one node's single counts: one a minute. Others stay as they are."""
    sums: dict[int, float] = {}
    made: list[Value] = []
    for one in values:
        if one.count > 1:
            made.append(one)
        else:
            at = one.at - one.at % MINUTE_S
            sums[at] = sums.get(at, 0.0) + one.total
    made += [Value.single(at, total) for at, total in sums.items()]
    return made


def rolled_up(kind: Kind, values: Iterable[Value]) -> Value | None:
    """All of one node and one span of ``COARSE_S`` as one."""
    parts = minutes(values) if kind == "count" else list(values)
    if not parts:
        return None
    at = min(one.at for one in parts)
    return Value(
        at - at % COARSE_S,
        sum(one.count for one in parts),
        sum(one.total for one in parts),
        min(one.low for one in parts),
        max(one.high for one in parts),
    )


def is_period(period_s: int) -> bool:
    return period_s in SUB_MINUTE or (period_s >= MINUTE_S and period_s % MINUTE_S == 0)


def aligned_start(start: float, period_s: int, now: float) -> int:
    """To which time CloudWatch rounds down the start that is asked for: to seconds of the period if
    it is shorter than a minute, else to a minute, five, or an hour, the older it is."""
    age_s = now - start
    if age_s >= 63 * DAY_S:
        step = 3_600
    elif age_s >= 15 * DAY_S:
        step = COARSE_S
    else:
        step = min(period_s, MINUTE_S)
    return int(start // step) * step


@dataclass(frozen=True, slots=True)
class Period:
    """All values that begin in it, of all nodes."""

    at: int
    values: Sequence[Value]

    def statistic(self, name: str) -> float | None:
        """``name``: one of ``STATISTICS``, or a percentile. None: it cannot be told."""
        values = self.values
        match name:
            case "SampleCount":
                return sum(one.count for one in values)
            case "Sum":
                return sum(one.total for one in values)
            case "Average":
                return sum(one.total for one in values) / sum(one.count for one in values)
            case "Minimum":
                return min(one.low for one in values)
            case "Maximum":
                return max(one.high for one in values)
        return percentile([*values], percent_of(name))


def is_statistic(name: str) -> bool:
    return name in STATISTICS or _PERCENTILE.fullmatch(name) is not None


def percent_of(name: str) -> float:
    """``name``: a percentile, as ``p99.9``."""
    return float(name[1:])


def percentile(values: Sequence[Value], percent: float) -> float | None:
    """Between the two values that are next to it. None: of some only sums and ends are known."""
    if any(one.count > 1 and one.low != one.high for one in values):
        return None
    ordered = sorted(one.total / one.count for one in values for _ in range(int(one.count)))
    place = percent / 100 * (len(ordered) - 1)
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


def periods(
    kind: Kind, by_node: Mapping[str, Sequence[Value]], start: int, end: float, period_s: int
) -> list[Period]:
    """Those with a value, in order, from ``start`` on, each ``period_s`` long; values at ``end`` or
    later are left out."""
    found: dict[int, list[Value]] = {}
    for values in by_node.values():
        taken = [one for one in values if start <= one.at < end]
        if kind == "count" and period_s >= MINUTE_S:
            taken = minutes(taken)
        for one in taken:
            at = max(one.at, start)  # a minute that began before the start
            found.setdefault(start + (at - start) // period_s * period_s, []).append(one)
    return [Period(at, found[at]) for at in sorted(found)]
