"""A program's numbers for Prometheus, read from plain counters when they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector
from prometheus_client.samples import Exemplar


@dataclass(frozen=True, slots=True)
class Counter:
    name: str
    help: str
    value: Callable[[], float]


@dataclass(frozen=True, slots=True)
class Gauge:
    name: str
    help: str
    value: Callable[[], float]


Labelled = Callable[[], Iterable[tuple[tuple[str, ...], float]]]
"""Gives pairs of label values, in the order of the labels, and the number counted under them."""


@dataclass(frozen=True, slots=True)
class LabelledCounter:
    name: str
    help: str
    labels: tuple[str, ...]
    values: Labelled


@dataclass(frozen=True, slots=True)
class LabelledGauge:
    name: str
    help: str
    labels: tuple[str, ...]
    values: Labelled


Example = tuple[str, float, float]
"""The id of a trace, the value that was seen there, and when, in seconds since the epoch."""
Bucket = tuple[str, float] | tuple[str, float, Example]
"""An upper bound (the last one is ``+Inf``), how many there are up to it, and one of them."""
Distribution = tuple[tuple[str, ...], Iterable[Bucket], float]
"""Label values, cumulated counts by upper bound, and the sum."""


@dataclass(frozen=True, slots=True)
class LabelledHistogram:
    name: str
    help: str
    labels: tuple[str, ...]
    values: Callable[[], Iterable[Distribution]]


Series = Counter | Gauge | LabelledCounter | LabelledGauge | LabelledHistogram


class SeriesCollector(Collector):
    """Hot paths count in plain attributes; a scrape pays for turning them into samples."""

    def __init__(self, series: Iterable[Series]) -> None:
        self._series = tuple(series)

    def collect(self) -> Iterator[Metric]:
        for series in self._series:
            name = f"paceline_{series.name}"
            match series:
                case Counter():
                    yield CounterMetricFamily(name, series.help, value=series.value())
                case Gauge():
                    yield GaugeMetricFamily(name, series.help, value=series.value())
                case LabelledCounter():
                    yield _labelled(
                        CounterMetricFamily(name, series.help, labels=series.labels), series
                    )
                case LabelledGauge():
                    yield _labelled(
                        GaugeMetricFamily(name, series.help, labels=series.labels), series
                    )
                case LabelledHistogram():
                    histogram = HistogramMetricFamily(name, series.help, labels=series.labels)
                    for labels, buckets, total in series.values():
                        histogram.add_metric(labels, [_bucket(one) for one in buckets], total)
                    yield histogram


def _bucket(bucket: Bucket) -> tuple[str, float] | tuple[str, float, Exemplar]:
    if len(bucket) == 2:
        return bucket
    bound, count, (trace, value, at) = bucket
    return bound, count, Exemplar({"trace_id": trace}, value, at)


def _labelled(
    family: CounterMetricFamily | GaugeMetricFamily, series: LabelledCounter | LabelledGauge
) -> Metric:
    for labels, value in series.values():
        family.add_metric(labels, value)
    return family
