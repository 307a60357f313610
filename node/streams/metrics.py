"""The metrics of followed streams for Prometheus, per table."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from math import inf

from cluster.service.metrics import (
    Distribution,
    Labelled,
    LabelledCounter,
    LabelledGauge,
    LabelledHistogram,
    Series,
)

DELAY_BUCKETS_S = (0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0, 60.0, 300.0, 3600.0)

DELAY_HELP = (
    "From a write until no node serves what was before it. Measured from "
    "ApproximateCreationDateTime, which is cut to whole seconds: up to one second too long"
)
LAG_HELP = "For how long records may have been there that not all nodes know of"


@dataclass(slots=True)
class StreamCounters:
    records: int = 0
    echoes: int = 0
    reads: int = 0
    errors: int = 0
    flushes: int = 0
    delays: list[int] = field(default_factory=lambda: [0] * (len(DELAY_BUCKETS_S) + 1))
    delay_sum_s: float = 0.0
    last_delay_s: float | None = None

    def delayed(self, delay_s: float) -> None:
        self.delays[bisect_left(DELAY_BUCKETS_S, delay_s)] += 1
        self.delay_sum_s += delay_s
        self.last_delay_s = delay_s

    def distribution(self, table: str) -> Distribution:
        total = 0
        buckets = []
        for bound, count in zip((*DELAY_BUCKETS_S, inf), self.delays, strict=True):
            total += count
            buckets.append(("+Inf" if bound == inf else str(bound), float(total)))
        return (table,), buckets, self.delay_sum_s


@dataclass(frozen=True, slots=True)
class Now:
    """How a followed table is doing; only the primary follows."""

    following: bool
    shards: int
    lag_s: float | None


def series(
    counters: Mapping[str, StreamCounters], now: Callable[[], Mapping[str, Now]]
) -> list[Series]:
    """``counters``: live, by table."""

    def count(value: Callable[[StreamCounters], int]) -> Labelled:
        return lambda: [((table,), value(each)) for table, each in counters.items()]

    def gauge(value: Callable[[Now], float | None]) -> Labelled:
        def values() -> Iterator[tuple[tuple[str, ...], float]]:
            for table, each in now().items():
                found = value(each)
                if found is not None:
                    yield (table,), found

        return values

    of = ("table",)
    return [
        LabelledCounter("stream_records", "Records applied", of, count(lambda c: c.records)),
        LabelledCounter(
            "stream_echoes",
            "Of these, passed over as the echo of the cluster's own writes",
            of,
            count(lambda c: c.echoes),
        ),
        LabelledCounter("stream_reads", "GetRecords calls", of, count(lambda c: c.reads)),
        LabelledCounter("stream_errors", "Steps that failed", of, count(lambda c: c.errors)),
        LabelledCounter(
            "stream_flushes",
            "Flushes of the table because records may be missing",
            of,
            count(lambda c: c.flushes),
        ),
        LabelledHistogram(
            "stream_delay_seconds",
            DELAY_HELP,
            of,
            lambda: [each.distribution(table) for table, each in counters.items()],
        ),
        LabelledGauge(
            "stream_following",
            "1: every record is read and none is missing",
            of,
            gauge(lambda n: n.following),
        ),
        LabelledGauge("stream_shards", "Shards being read", of, gauge(lambda n: n.shards)),
        LabelledGauge("stream_lag_seconds", LAG_HELP, of, gauge(lambda n: n.lag_s)),
    ]
