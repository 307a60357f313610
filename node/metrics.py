"""The node's numbers for Prometheus, read from plain counters when they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector


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


class NodeCollector(Collector):
    """Hot paths count in plain attributes; a scrape pays for turning them into samples."""

    def __init__(self, series: Iterable[Counter | Gauge]) -> None:
        self._series = tuple(series)

    def collect(self) -> Iterator[Metric]:
        for series in self._series:
            name = f"paceline_{series.name}"
            if isinstance(series, Counter):
                yield CounterMetricFamily(name, series.help, value=series.value())
            else:
                yield GaugeMetricFamily(name, series.help, value=series.value())
