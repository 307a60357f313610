"""The metrics that are kept, by their names in CloudWatch, and how they follow from what a node
says. Pure.

Names and units are DAX's (https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/
dax-metrics-dimensions-dax.html); those that DAX does not have are in a namespace of their own.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from discovery.watch.exposition import Samples

Kind = Literal["count", "level"]
"""``count``: how much there was since the last scrape; ``level``: how much there is."""

DAX: Final = "AWS/DAX"
OWN: Final = "Paceline"
STARTED: Final = "process_start_time_seconds"

Labels = Mapping[str, tuple[str, ...]]
"""By label, its values; what is not named may have any."""


@dataclass(frozen=True, slots=True)
class Metric:
    name: str
    unit: str
    kind: Kind
    source: str
    """The name in Prometheus."""
    labels: Labels
    of: str = ""
    """A level is a percentage of this one."""
    namespace: str = DAX


def _count(name: str, source: str, unit: str = "Count", **labels: str | tuple[str, ...]) -> Metric:
    wanted = {key: (one,) if isinstance(one, str) else one for key, one in labels.items()}
    return Metric(name, unit, "count", source, wanted)


def _requests(name: str, **labels: str | tuple[str, ...]) -> Metric:
    return _count(name, "paceline_requests_total", "Count", **labels)


def _own(name: str, source: str) -> Metric:
    return Metric(name, "Count", "count", source, {}, namespace=OWN)


def _level(name: str, unit: str, source: str, of: str = "", namespace: str = DAX) -> Metric:
    return Metric(name, unit, "level", source, {}, of, namespace)


CPU: Final = Metric("CPUUtilization", "Percent", "level", "process_cpu_seconds_total", {})

METRICS: Final[tuple[Metric, ...]] = (
    CPU,
    _level("CacheMemoryUtilization", "Percent", "paceline_cache_bytes", "paceline_cache_bytes_max"),
    _level(
        "MemoryUtilization",
        "Percent",
        "process_resident_memory_bytes",
        "paceline_memory_bytes_max",
    ),
    _level("EstimatedDbSize", "Bytes", "paceline_cache_bytes"),
    _level("ClientConnections", "Count", "paceline_connections"),
    _count("NetworkBytesIn", "paceline_network_bytes_total", "Bytes", direction="in"),
    _count("NetworkBytesOut", "paceline_network_bytes_total", "Bytes", direction="out"),
    _count("NetworkPacketsIn", "paceline_network_packets_total", direction="in"),
    _count("NetworkPacketsOut", "paceline_network_packets_total", direction="out"),
    _requests("GetItemRequestCount", operation="GetItem"),
    _requests("BatchGetItemRequestCount", operation="BatchGetItem"),
    _requests("BatchWriteItemRequestCount", operation="BatchWriteItem"),
    _requests("DeleteItemRequestCount", operation="DeleteItem"),
    _requests("PutItemRequestCount", operation="PutItem"),
    _requests("UpdateItemRequestCount", operation="UpdateItem"),
    _requests("QueryRequestCount", operation="Query"),
    _requests("ScanRequestCount", operation="Scan"),
    _requests("TransactGetItemsCount", operation="TransactGetItems"),
    _requests("TransactWriteItemsCount", operation="TransactWriteItems"),
    _requests("TotalRequestCount"),
    _requests("ErrorRequestCount", result=("error", "throttled")),
    _requests("FaultRequestCount", result="fault"),
    _requests("FailedRequestCount", result=("error", "throttled", "fault")),
    _requests("ThrottledRequestCount", result="throttled"),
    _count("ItemCacheHits", "paceline_lookups_total", cache="item", result="hit"),
    _count("ItemCacheMisses", "paceline_lookups_total", cache="item", result="miss"),
    _count("QueryCacheHits", "paceline_lookups_total", cache="query", result="hit"),
    _count("QueryCacheMisses", "paceline_lookups_total", cache="query", result="miss"),
    _count("ScanCacheHits", "paceline_lookups_total", cache="scan", result="hit"),
    _count("ScanCacheMisses", "paceline_lookups_total", cache="scan", result="miss"),
    _count("EvictedSize", "paceline_evicted_bytes_total", "Bytes"),
    _count("EvictedItemCount", "paceline_evictions_total"),
    _own("ConsumedReadCapacityUnits", "paceline_read_capacity_consumed_units_total"),
    _own("ConsumedWriteCapacityUnits", "paceline_write_capacity_consumed_units_total"),
    _own("SavedReadCapacityUnits", "paceline_read_capacity_saved_units_total"),
    _level("Primary", "Count", "paceline_primary", namespace=OWN),
    _level("Serving", "Count", "paceline_serving", namespace=OWN),
    _level("ReplicationLag", "Count", "paceline_replication_lag", namespace=OWN),
)
BY_NAME: Final = {(one.namespace, one.name): one for one in METRICS}
SOURCES: Final = frozenset(
    {STARTED, *(one.source for one in METRICS), *(one.of for one in METRICS if one.of)}
)


@dataclass(frozen=True, slots=True)
class Scrape:
    """What a node said, at a time in seconds of any clock that only goes forward. ``tables``: by
    table and metric, what it has counted of it."""

    at: float
    samples: Samples
    tables: Mapping[str, Mapping[str, float]] = field(default_factory=dict)


def values_of(now: Scrape, before: Scrape | None, gap_s: float) -> dict[str, float]:
    """By metric's name, what ``now`` says; of a count, what there was since ``before``.

    Without a scrape before it, or if that was more than ``gap_s`` ago, there are only levels: what
    was counted meanwhile belongs to no short time. A node that was started anew meanwhile has
    counted from nothing.
    """
    elapsed_s = math.inf if before is None else now.at - before.at
    is_new = before is None or started_anew(now, before)
    found: dict[str, float] = {}
    for metric in METRICS:
        value: float | None
        if metric.kind == "count" or metric is CPU:
            value = _total(now, metric.source, metric.labels)
            if value is None or not 0 < elapsed_s <= gap_s:
                continue
            assert before is not None
            earlier = 0.0 if is_new else _total(before, metric.source, metric.labels) or 0.0
            value = value - earlier if value >= earlier else value
            if metric is CPU:
                value = min(100.0, 100.0 * value / elapsed_s)
        else:
            value = _total(now, metric.source, metric.labels)
            if value is not None and metric.of:
                whole = _total(now, metric.of, {})
                value = 100.0 * value / whole if whole else None
        if value is not None and math.isfinite(value):
            found[metric.name] = value
    return found


def started_anew(now: Scrape, before: Scrape) -> bool:
    return _total(now, STARTED, {}) != _total(before, STARTED, {})


def _total(scrape: Scrape, name: str, labels: Labels) -> float | None:
    """None: there is no such metric; 0 if it has no sample with these labels."""
    samples = scrape.samples.get(name)
    if samples is None:
        return None
    return sum(
        value
        for found, value in samples
        if all(found.get(key) in wanted for key, wanted in labels.items())
    )


def kept(samples: Samples) -> Samples:
    """What of it is needed."""
    return {name: samples[name] for name in SOURCES if name in samples}
