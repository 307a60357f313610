"""What is counted of requests: by operation, table, protocol and end, and few labels of it."""

from __future__ import annotations

import random

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from cluster.service.metrics import LabelledCounter, LabelledHistogram, SeriesCollector
from cluster.settings import CacheSettings
from cluster.transport.origin import came_from, trace_id_of
from node.admin.series import request_series
from node.backend.calls import Success
from node.cache.caches import Caches
from node.reads.reading import ReadRequest
from node.requests.counts import (
    BOUNDS_S,
    OTHER,
    TABLES_MAX,
    Latencies,
    RequestCounts,
    Seen,
    Tally,
    end_of,
)
from node.requests.hit_samples import EVERY, HitSamples
from node.requests.hot_keys import HotKeys
from paceline.clock import now
from paceline.errors import (
    DynamoDBError,
    OutcomeUnknown,
    RequestError,
    Unavailable,
)
from tests.unit.node.frontends.doors import Node


def test_ends_of_requests() -> None:
    for error, end in (
        (RequestError("ValidationException", "x"), "error"),
        (RequestError("ThrottlingException", "x"), "throttled"),
        (DynamoDBError("ConditionalCheckFailedException", "x", 400), "error"),
        (DynamoDBError("ProvisionedThroughputExceededException", "x", 400), "throttled"),
        (DynamoDBError("InternalServerError", "x", 500), "fault"),
        (Unavailable("x"), "fault"),
        (OutcomeUnknown("x"), "fault"),
        (ValueError("x"), "fault"),
    ):
        assert end_of(error) == end, error


def test_what_callers_send_makes_no_label() -> None:
    counts = RequestCounts()
    for place in range(3 * TABLES_MAX):
        counts.add("GetItem", f"invented-{place}", "dax", "error")
        counts.add(f"Invented{place}", "", "http", "error")
    counts.add("GetItem", "there", "dax", "ok")
    counts.add("GetItem", "there", "dax", "error")
    found = dict(counts.labelled({"dax": {b"there": 5}, "http": {b"also": 2}}))
    assert found == {
        ("GetItem", OTHER, "dax", "error"): 3 * TABLES_MAX,
        (OTHER, "", "http", "error"): 3 * TABLES_MAX,
        ("GetItem", "there", "dax", "ok"): 6,
        ("GetItem", "there", "dax", "error"): 1,
        ("GetItem", "also", "http", "ok"): 2,
    }
    for place in range(3 * TABLES_MAX):
        counts.add("PutItem", f"real-{place}", "grpc", "ok")
    tables = {label[1] for label, _ in counts.labelled({})}
    assert len(tables) <= TABLES_MAX + 2


@pytest.mark.parametrize("seed", range(20))
def test_a_running_count_is_shared_out_among_tables(seed: int) -> None:
    rng = random.Random(seed)
    count = 0
    wanted: dict[bytes, int] = {}
    tally = Tally(lambda: count)
    for _ in range(50):
        table = rng.choice((b"a", b"b", b"c"))
        tally.turn(table)
        more = rng.randrange(4)
        count += more
        wanted[table] = wanted.get(table, 0) + more
        if rng.random() < 0.3:
            tally.by_table()
    assert dict(tally.by_table()) == {table: one for table, one in wanted.items() if one}


def test_times_fall_into_the_bucket_whose_end_they_do_not_pass() -> None:
    times = Latencies()
    for took_s in (0.0, BOUNDS_S[0], BOUNDS_S[3], 99.0):
        times.add(("GetItem", "miss"), took_s)
    ((labels, buckets, total),) = times.distributions()
    assert labels == ("GetItem", "miss")
    assert [count for _, count in buckets] == [2, 2, 2, *[3] * (len(BOUNDS_S) - 3), 4]
    assert buckets[-1][0] == "+Inf"
    assert total == pytest.approx(99.0 + BOUNDS_S[0] + BOUNDS_S[3])


async def test_every_way_through_the_operations_is_counted_once() -> None:
    node = Node()
    node.dynamodb.answer = lambda operation, params: Success({"Item": {"id": {"S": "a"}}})
    await node.tables.schema("table")
    operations = node.operations.by("grpc")
    get = ReadRequest("GetItem", {"TableName": "table", "Key": {"id": {"S": "a"}}})
    for _ in range(3):
        await operations.read(get, now() + 10)
    with pytest.raises(RequestError):
        await operations.write("PutItem", {"TableName": "table", "Item": {"id": {"S": ""}}}, now())
    assert operations.pending == node.operations.pending == 0
    found = dict(node.operations.work.counts.labelled({}))
    assert found[("GetItem", "table", "grpc", "ok")] == 3
    assert found[("PutItem", "table", "grpc", "error")] == 1
    assert sum(found.values()) == 4


async def test_lookups_and_capacity_are_told_by_table() -> None:
    node = Node()
    item = {"id": {"S": "a"}, "text": {"S": "x" * 5_000}}
    node.dynamodb.answer = lambda operation, params: Success({"Item": item})
    for table in ("one", "two"):
        await node.tables.schema(table)
        for _ in range(3):
            asked = {"TableName": table, "Key": {"id": {"S": "a"}}}
            await node.operations.read(ReadRequest("GetItem", asked), now() + 10)
    series = {one.name: one for one in request_series(node.operations, node.caches, lambda: ())}
    lookups = series["lookups"]
    assert isinstance(lookups, LabelledCounter)
    assert dict(lookups.values()) == {
        ("one", "item", "hit"): 2,
        ("one", "item", "miss"): 1,
        ("two", "item", "hit"): 2,
        ("two", "item", "miss"): 1,
    }


def test_traces_become_exemplars_in_openmetrics_alone() -> None:
    times = Latencies()
    for took_s in (0.00007, 0.003, 0.004):
        times.add(("GetItem", "miss"), took_s)
    times.saw(("GetItem", "miss"), Seen("4bf9", 0.003, 12.5))
    times.saw(("GetItem", "miss"), Seen("77aa", 0.004, 13.5))
    registry = CollectorRegistry()
    labels = "operation", "cache"
    registry.register(
        SeriesCollector([LabelledHistogram("x_seconds", "x", labels, times.distributions)])
    )
    text = openmetrics.generate_latest(registry).decode()
    found = [
        (sample.labels["le"], sample.exemplar.labels, sample.exemplar.value)
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.exemplar is not None
    ]
    assert found == [("0.005", {"trace_id": "77aa"}, 0.004)]
    assert "77aa" not in generate_latest(registry).decode()


@pytest.mark.parametrize(
    ("trace", "found"),
    [
        (f"00-{'4b' * 16}-00f067aa0ba902b7-01", "4b" * 16),
        (f"Root=1-5759e988-{'bd' * 12};Parent=53995c3f42cd8ad8", f"1-5759e988-{'bd' * 12}"),
        (f"Self=1-2;Root=1-5759e988-{'bd' * 12}", f"1-5759e988-{'bd' * 12}"),
        ("00-short-00f067aa0ba902b7-01", ""),
        ('x"} 1', ""),
        ("", ""),
    ],
)
def test_a_trace_is_taken_only_in_a_known_form(trace: str, found: str) -> None:
    assert trace_id_of(trace) == found


async def test_a_miss_of_a_trace_is_an_example_and_a_hit_is_none() -> None:
    node = Node()
    node.dynamodb.answer = lambda operation, params: Success({"Item": {"id": {"S": "a"}}})
    await node.tables.schema("table")
    get = ReadRequest("GetItem", {"TableName": "table", "Key": {"id": {"S": "a"}}})
    came_from("127.0.0.1", {b"traceparent": f"00-{'4b' * 16}-00f067aa0ba902b7-01".encode()})
    for _ in range(2):
        await node.operations.read(get, now() + 10)
    seen = {
        labels: [bucket[2].trace for bucket in buckets if len(bucket) == 3]
        for labels, buckets, _ in node.operations.work.latencies.distributions()
    }
    assert seen == {("GetItem", "miss"): ["4b" * 16], ("GetItem", "hit"): []}


def test_the_age_of_a_hit_follows_from_its_lifetime() -> None:
    caches = Caches.from_settings(
        CacheSettings(record_ttl_millis=60_000, negative_ttl_millis=9_000)
    )
    caches.items.install("t", b"a", b"\x01", 100.0)
    caches.items.install("t", b"none", None, 100.0)
    assert caches.items.age_s(b"t", b"a", 130.0) == 30.0
    assert caches.items.age_s(b"t", b"none", 104.0) == 4.0
    assert caches.items.age_s(b"t", b"b", 130.0) is None
    assert caches.items.age_s(b"u", b"a", 130.0) is None
    forever = Caches.from_settings(CacheSettings(record_ttl_millis=0))
    forever.items.install("t", b"a", b"\x01", 100.0)
    assert forever.items.age_s(b"t", b"a", 130.0) is None
    samples = HitSamples()
    samples.begin(lambda: 0.0, lambda *_: None, lambda *_: None, caches.items.age_s)
    for hits in range(1, 8001):
        samples.take(hits, b"t", b"a", b"reply", 130.0)
        samples.take(hits, b"t", b"gone", b"reply", 130.0)
    ((labels, buckets, total),) = samples.ages.distributions()
    assert labels == ("t",)
    young, old = (bucket[1] for bucket in buckets if bucket[0] in ("15.0", "60.0"))
    assert young == 0
    assert 6000 * EVERY < old < 10000 * EVERY
    assert total == 30.0 * old


def test_the_share_of_the_key_that_is_read_most() -> None:
    hot = HotKeys(window_s=60.0)
    assert hot.share_of_hottest(1.0) == 0.0
    hot.add(b"t", b"a", 48, 1.0)
    hot.add(b"t", b"b", 16, 1.0)
    assert hot.share_of_hottest(2.0) == 0.75
