"""The SDK's clients while nodes are killed, stopped and restarted: no read fails, no acknowledged
write is lost, none is made twice, and what is unknown was made at most once.

How long things take is measured by ``benchmarks/sdk_failover.py``; here only what is told counts,
since a test may share its machine.
"""

import asyncio
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import paceline
from paceline.client.settings import CONNECTIONS_MAX, Settings
from paceline.errors import OutcomeUnknown, Unavailable
from tests.chaos.sdk_faults import FAULTS, rolling_restart, total_loss, zone_killed
from tests.chaos.sdk_world import CountedDynamoDB, Report, judge, longest_gap, sdk_world
from tests.support.cluster import Cluster
from tests.support.embedded import boto3_client
from tests.support.sdk_load import (
    TABLE_KEYS,
    Call,
    Menu,
    Seen,
    counters,
    item_key,
    value_of,
)

RATE_PER_S = 80.0
"""Two nodes at a time start on a machine that runs other tests, too."""
PATIENT = Settings(attempt_s=10.0, read_deadline_s=30.0, write_deadline_s=30.0)
"""For what is to be seen of a healthy cluster on a machine with other work."""
BUDGET_PER_S = 300.0
ARRIVAL_S = 1.0
"""By how much calls to DynamoDB may bunch between the budget and the wire."""


def kept(report: Report) -> None:
    assert report.problems == []
    assert report.read_failures == []
    for seen in report.seen.values():
        assert len(seen.acks) > 10
        assert len(seen.read_ends) > 50


def new_seed() -> str:
    return str(random.SystemRandom().randrange(10**6))


@pytest.fixture(scope="module")
def five(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster(tmp_path_factory.mktemp("sdk-5"), nodes=5) as cluster:
        cluster.wait_serving()
        yield cluster


def within_budget(dynamodb: CountedDynamoDB, rate_per_s: float) -> bool:
    return dynamodb.over_budget(rate_per_s, rate_per_s) <= rate_per_s * ARRIVAL_S


@pytest.mark.full(minutes=1)
async def test_reads_stay_in_their_zone(five: Cluster) -> None:
    """There are two nodes in each client's zone, and one in the third."""
    async with sdk_world(five, new_seed(), rate_per_s=RATE_PER_S, settings=PATIENT) as (
        world,
        report,
    ):
        await world.hold(3.0)
        stats = [client.stats() for client in world.clients.values()]
    kept(report)
    for one in stats:
        reads = one["local_reads"] + one["remote_reads"]
        assert reads > 50
        assert one["local_reads"] >= 0.95 * reads


async def test_a_thousand_requests_of_every_kind_at_a_time(five: Cluster) -> None:
    table = "thousand"
    plain = boto3_client(five.dynamodb)
    plain.create_table(TableName=table, BillingMode="PAY_PER_REQUEST", **TABLE_KEYS)
    plain.close()
    menu = Menu("async", table, random.Random(7), counters("async"))
    calls = [menu.next() for _ in range(1000)]
    async with paceline.AsyncClient(five.dax, zone="a", settings=PATIENT) as client:
        answers = await asyncio.gather(
            *(getattr(client, call.method)(**call.params) for call in calls)
        )
        pools = client._driver._pools.values()
        # None is closed within so short a time: so many were open at once.
        assert max(len(pool.connections) for pool in pools) <= CONNECTIONS_MAX
        assert sum(len(pool.connections) for pool in pools) > CONNECTIONS_MAX
        raised = [
            call.results(answer)[call.keys[0]]
            for call, answer in zip(calls, answers, strict=True)
            if call.method == "update_item"
        ]
        for name in counters("async"):
            found = await client.get_item(TableName=table, Key=item_key(name))
            raised.remove(value_of(found["Item"]))
        stats = client.stats()
    assert stats["unknown_outcomes"] == 0
    assert stats["retries"] == 0


@pytest.mark.full(minutes=1)
async def test_zones_restarts_and_a_total_loss(five: Cluster) -> None:
    """The zone is the primary's, and two of the five nodes."""
    async with sdk_world(
        five, new_seed(), rate_per_s=RATE_PER_S, fallback_rate_per_s=BUDGET_PER_S
    ) as (world, report):
        world.brief = True
        for fault in (zone_killed, rolling_restart):
            await fault(world)
        outcome = await total_loss(world)
    kept(report)
    assert outcome.fallback_s.keys() == report.seen.keys(), "both turned to DynamoDB"
    for dynamodb in world.dynamodb.values():
        assert within_budget(dynamodb, BUDGET_PER_S)


@pytest.mark.soak
@pytest.mark.parametrize("nodes", [3, 6])
async def test_every_fault(tmp_path: Path, nodes: int) -> None:
    with Cluster(tmp_path, nodes=nodes) as cluster:
        for name, fault in FAULTS.items():
            cluster.heal()
            budget = BUDGET_PER_S if name == "total-loss" else None
            async with sdk_world(cluster, new_seed(), fallback_rate_per_s=budget) as (
                world,
                report,
            ):
                await fault(world)
            kept(report)


# -- the measure itself ------------------------------------------------------------------------


def seen_with(*calls: tuple[Call, dict[str, object] | Exception]) -> Seen:
    seen = Seen("async")
    for call, outcome in calls:
        if isinstance(outcome, Exception):
            seen.failed(call, outcome, 0.0)
        else:
            seen.succeeded(call, outcome, 0.0)
    return seen


class Table:
    """What DynamoDB has at the end, as boto3 tells it."""

    def __init__(self, **values: str | int) -> None:
        self._values = values

    def get_item(self, **params: Any) -> dict[str, Any]:
        found = self._values.get(params["Key"]["pk"]["S"])
        if found is None:
            return {}
        return {"Item": {"v": {"N": str(found)} if isinstance(found, int) else {"S": found}}}


ADD = Call("update_item", {}, ("n/0",))
PUT = Call("put_item", {}, ("p/0",), "new")
DONE: dict[str, Any] = {"Attributes": {"v": {"N": "1"}}}
UNKNOWN = OutcomeUnknown("?")


@pytest.mark.parametrize(
    ("calls", "table", "says"),
    [
        ([(ADD, DONE), (ADD, UNKNOWN)], Table(n=1), ""),
        ([(ADD, DONE), (ADD, UNKNOWN)], Table(n=2), ""),
        ([(ADD, DONE), (ADD, UNKNOWN)], Table(n=3), "after 1 acknowledged increments and 1 of"),
        ([(ADD, DONE)], Table(), "is None after 1 acknowledged"),
        ([(ADD, DONE), (ADD, DONE)], Table(n=2), "told the same result"),
        ([(ADD, Unavailable("not sent"))], Table(n=1), "after 0 acknowledged increments and 0 of"),
        ([(PUT, {})], Table(p="new"), ""),
        ([(PUT, {})], Table(p="old"), "illegal"),
        ([(PUT, UNKNOWN)], Table(), ""),
        ([(PUT, Unavailable("not sent"))], Table(p="new"), "illegal"),
        ([(PUT, ValueError("a mistake"))], Table(), "a mistake"),
    ],
)
def test_what_is_lost_or_made_twice_is_found(
    calls: list[tuple[Call, Any]], table: Table, says: str
) -> None:
    report = Report({"async": seen_with(*calls)})
    judge(report, table, "t")
    assert bool(report.problems) == bool(says), report.problems
    assert says in "\n".join(report.problems)


def test_gaps_and_budgets() -> None:
    assert longest_gap([1.0, 2.0, 5.0, 9.0], 0.0, 6.0) == 3.0
    assert longest_gap([], 1.0, 3.5) == 2.5
    dynamodb = CountedDynamoDB("http://127.0.0.1:1")
    dynamodb.calls = [(2.0, 5), (0.0, 5), (1.0, 5)]
    assert dynamodb.over_budget(5.0, 5.0) == 0.0
    assert dynamodb.over_budget(4.0, 5.0) == 2.0
    assert dynamodb.over_budget(5.0, 1.0) == 4.0
    dynamodb.close()
