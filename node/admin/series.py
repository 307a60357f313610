"""The numbers of ``/metrics`` that are about requests, caches and the machine (docs/metrics.md)."""

from __future__ import annotations

from collections import Counter as Counted
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from cluster.service.metrics import (
    Counter,
    Gauge,
    LabelledCounter,
    LabelledGauge,
    LabelledHistogram,
    Series,
)
from cluster.transport.client_server import ClientServer
from node.admin.machine import memory_bytes_max, network_bytes, network_packets
from node.cache.caches import Caches
from node.operations import Operations
from node.requests.capacity import KINDS, Kind
from paceline.clock import now

_Labelled = Iterable[tuple[tuple[str, ...], float]]


def request_series(
    operations: Operations, caches: Caches, clients: Callable[[], Sequence[ClientServer]]
) -> list[Series]:
    counters = operations.reads.counters
    met = operations.reads.items.misses.counters
    budget, work = caches.budget, operations.work

    def requests() -> _Labelled:
        at_once = {"dax": counters.at_once_dax.by_table(), "http": counters.at_once_http}
        return work.counts.labelled(at_once)

    def connections() -> _Labelled:
        held: Counted[str] = Counted()
        for server in clients():
            held[server.protocol] += server.connections
        return [((protocol,), count) for protocol, count in held.items()]

    def rejected() -> _Labelled:
        found: Counted[tuple[str, ...]] = Counted()
        for server in clients():
            for reason, count in server.rejected.items():
                found[server.protocol, reason] += count
        return list(found.items())

    return [
        LabelledCounter(
            "requests",
            "Requests that came as far as an operation, and how they ended",
            ("operation", "table", "protocol", "result"),
            requests,
        ),
        LabelledHistogram(
            "request_seconds",
            "Time of requests that went well",
            ("operation", "cache"),
            work.latencies.distributions,
        ),
        LabelledHistogram(
            "upstream_seconds",
            "Time of single attempts at DynamoDB, and how they ended",
            ("operation", "result"),
            operations.backend.latencies.distributions,
        ),
        LabelledCounter("lookups", "Looks into a cache", _LOOKED, lambda: _lookups(operations)),
        Counter("item_hits", "Reads answered from the item cache", lambda: counters.hits),
        Counter("item_misses", "Reads fetched from DynamoDB", lambda: counters.misses),
        Counter("miss_batches", "BatchGetItem for misses", lambda: met.batches),
        Counter("batched_misses", "Misses they asked for", lambda: met.keys),
        Counter("unbatched_misses", "Of these, by GetItem in the end", lambda: met.again),
        Counter("query_hits", "Pages from the cache", lambda: counters.query_hits),
        Counter("query_misses", "Pages fetched", lambda: counters.query_misses),
        Counter(
            "queries_invalidated",
            "Cached pages that a write could change",
            lambda: caches.queries.invalidated,
        ),
        Counter("evictions", "Entries evicted", lambda: budget.evictions),
        Counter("evicted_bytes", "Their bytes", lambda: budget.evicted_bytes),
        Gauge("cache_bytes", "Memory of all entries", lambda: budget.bytes_used),
        Gauge("cache_bytes_max", "The most it may be", lambda: budget.bytes_max),
        Gauge("cache_items", "Cached items", lambda: caches.items.count),
        Gauge("cache_queries", "Cached pages", lambda: caches.queries.count),
        Gauge("requests_in_work", "Unanswered", lambda: operations.pending),
        LabelledGauge("connections", "Clients' connections", ("protocol",), connections),
        LabelledCounter("connections_rejected", "Ended unasked", ("protocol", "reason"), rejected),
        *_sampled_series(operations),
        *_capacity_series(operations),
    ]


_LOOKED: Final = ("table", "cache", "result")


def _lookups(operations: Operations) -> _Labelled:
    """A table with hits has misses, too, if none: nobody has to tell none from nothing."""
    counters, counts = operations.reads.counters, operations.work.counts
    found: Counted[tuple[str, ...]] = Counted()
    for at_once in (counters.at_once_dax.by_table(), counters.at_once_http):
        for name, count in at_once.items():
            shown = counts.shown(name.decode("utf-8", "replace"))
            found[shown, "item", "hit"] += count
            found[shown, "item", "miss"] += 0
    for (table, cache, result), count in counters.looked.items():
        shown = counts.shown(table)
        for each in ("hit", "miss"):
            found[shown, cache, each] += count if each == result else 0
    return list(found.items())


def _sampled_series(operations: Operations) -> list[Series]:
    """What is learned from one hit in sixteen, and why reads passed the caches by."""
    counters = operations.reads.counters
    samples, counts = operations.reads.counters.samples, operations.work.counts

    def saved() -> _Labelled:
        by_table: dict[str, float] = {}
        for name, units in samples.saved_units.items():
            table = counts.shown(name.decode("utf-8", "replace"))
            by_table[table] = by_table.get(table, 0.0) + units
        return [((table,), units) for table, units in by_table.items()]

    return [
        LabelledCounter(
            "bypasses",
            "Reads passed through",
            ("reason",),
            lambda: [((why,), count) for why, count in counters.passed_by_reason.items()],
        ),
        Counter(
            "negative_item_hits",
            "Of the hits, those that said that there is no item: from one hit in sixteen",
            lambda: samples.negative,
        ),
        LabelledCounter(
            "read_capacity_saved_units",
            "Read capacity that hits did not consume, eventually consistent; of items from one in "
            "sixteen",
            ("table",),
            saved,
        ),
        LabelledHistogram(
            "hit_age_seconds",
            "How long items had been cached when they were hit: from one hit in 256",
            ("table",),
            samples.ages.distributions,
        ),
        Gauge(
            "hottest_key_share",
            "Of all reads of the last minute or two, those of the key that was read most",
            lambda: samples.hot_keys.share_of_hottest(now()),
        ),
    ]


def _capacity_series(operations: Operations) -> list[Series]:
    consumed, counts = operations.backend.capacity, operations.work.counts

    def units(kind: Kind) -> Callable[[], _Labelled]:
        def told() -> _Labelled:
            found: dict[tuple[str, ...], float] = {}
            for table, source, count in consumed.of(kind):
                label = counts.shown(table), source
                found[label] = found.get(label, 0.0) + count
            return list(found.items())

        return told

    return [
        LabelledCounter(
            f"{kind}_capacity_consumed_units",
            "Capacity that DynamoDB's answers told, or else that the sizes of items make likely",
            ("table", "source"),
            units(kind),
        )
        for kind in KINDS
    ]


def machine_series() -> list[Series]:
    return [
        LabelledCounter(
            "network_bytes",
            "Of all interfaces of the container, or of the machine",
            ("direction",),
            network_bytes,
        ),
        LabelledCounter(
            "network_packets",
            "Of all interfaces of the container, or of the machine",
            ("direction",),
            network_packets,
        ),
        Gauge("memory_bytes_max", "The container's limit, or the machine's", memory_bytes_max),
    ]
