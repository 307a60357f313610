"""What is counted of requests: by operation, table, protocol and end, and few labels of it."""

from __future__ import annotations

import random

import pytest

from cluster.service.metrics import LabelledCounter
from node.admin.series import request_series
from node.backend.calls import Success
from node.reads.reading import ReadRequest
from node.requests.counts import (
    BOUNDS_S,
    OTHER,
    TABLES_MAX,
    Latencies,
    RequestCounts,
    Tally,
    end_of,
)
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
