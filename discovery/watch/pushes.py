"""What is pushed to somebody else's CloudWatch, and by which discovery process. Pure.

One process pushes at a time. A record in the cluster's log says who, and up to which time it has
taken what there was: it is written, by compare-and-set, before anything is sent. So a time is
sent once or, if that fails, not at all, and never twice. Who has not moved that record for a while,
as the others see it by clocks of their own, has its place taken.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from discovery.watch.aggregation import Value, periods
from discovery.watch.catalogue import METRICS

RECORD: Final = "pushing"
PATIENCE: Final = 3
"""Intervals."""
BACK_MAX: Final = 5
"""Intervals that are made up for when another process goes on."""
DATA_MAX: Final = 500
"""Of one PutMetricData; CloudWatch takes 1000."""


@dataclass(frozen=True, slots=True)
class Pushing:
    """``until``: seconds since the epoch."""

    by: str
    until: int

    def to_bytes(self) -> bytes:
        return json.dumps({"by": self.by, "until": self.until}).encode()

    @classmethod
    def of(cls, record: bytes | None) -> Pushing | None:
        """None: there is none, or none that this release reads."""
        try:
            told = json.loads(record or b"")
            return cls(str(told["by"]), int(told["until"]))
        except (ValueError, KeyError, TypeError):
            return None


class Turn:
    """Whose turn it is, as one process sees it."""

    def __init__(self, me: str, interval_s: int) -> None:
        self._me = me
        self._interval_s = interval_s
        self._seen: Pushing | None = None
        self._seen_at = 0.0

    def span(self, record: bytes | None, until: int, now: float) -> tuple[int, int] | None:
        """The beginning and end of what this process may take; None: another one pushes, or there
        is nothing yet. ``until``: a multiple of the interval; ``now``: of any clock that goes on.
        """
        pushing = Pushing.of(record)
        if pushing is None:
            return until - self._interval_s, until
        if pushing.by != self._me:
            if pushing != self._seen:
                self._seen, self._seen_at = pushing, now
            if now - self._seen_at < PATIENCE * self._interval_s:
                return None
        begin = max(pushing.until, until - BACK_MAX * self._interval_s)
        return (begin, until) if begin < until else None


Read = Callable[[str, float, float], Mapping[str, Sequence[Value]]]
"""By metric, start and end: what each node of the cluster gave."""


def data_of(read: Read, cluster: str, span: tuple[int, int], interval_s: int) -> Iterator[Any]:
    """MetricData of all metrics of a cluster, a set of statistics for each interval."""
    start, end = span
    for metric in METRICS:
        for period in periods(metric.kind, read(metric.name, start, end), start, end, interval_s):
            yield {
                "MetricName": metric.name,
                "Dimensions": [{"Name": "ClusterName", "Value": cluster}],
                "Timestamp": period.at,
                "Unit": metric.unit,
                "StatisticValues": {
                    "SampleCount": period.statistic("SampleCount"),
                    "Sum": period.statistic("Sum"),
                    "Minimum": period.statistic("Minimum"),
                    "Maximum": period.statistic("Maximum"),
                },
            }


def batches(data: Iterable[Any]) -> Iterator[list[Any]]:
    batch: list[Any] = []
    for one in data:
        batch.append(one)
        if len(batch) == DATA_MAX:
            yield batch
            batch = []
    if batch:
        yield batch
