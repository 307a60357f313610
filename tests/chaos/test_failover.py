"""Nodes killed, paused and restarted under load: nothing stale, nothing lost, soon back."""

import asyncio
import statistics
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from typing import Any

import pytest

from paceline.errors import OutcomeUnknown
from tests.support.cluster import DISCOVERY, Cluster
from tests.support.load import Freshness, LeaseWatch, Load, OfficialLoad, ProtocolLoad
from tests.support.protocol_client import ClusterClient

SEED = 20260801
KILLS = 3
SOAK_KILLS = 20
GOAL_MEDIAN_S = 2.0
GOAL_MAX_S = 4.0
BOUND_S = 10.0
"""In the short tests, which share a small machine: as long as a DAX client's write may wait."""
OFFICIAL_S = 25.0
"""The official client learns of a new roster after 4 s at most, of a dead node after 7 s."""


@contextmanager
def checked(freshness: Freshness, cluster: Cluster, plain: Any, *loads: Load) -> Iterator[None]:
    """The promises, whatever the test does meanwhile."""
    print(f"seed {SEED}")
    with LeaseWatch(cluster.status, cluster.node_ids) as watch:
        yield
    for load in loads:
        load.check_end_state(plain)
    assert freshness.violations == []
    assert watch.violations == []
    assert watch.claims > 0
    assert freshness.reads_checked > 0


@asynccontextmanager
async def under_load(
    cluster: Cluster, plain: Any, table: str, *, guarded: bool = False
) -> AsyncIterator[tuple[ProtocolLoad, OfficialLoad]]:
    """Both kinds of clients at work, and at the end no failed read of the protocol client."""
    freshness = Freshness()
    more = {"seed": SEED, "guarded": guarded}
    protocol = ProtocolLoad(cluster.addresses, freshness, table, prefix="p", **more)
    official = await asyncio.to_thread(
        OfficialLoad, cluster.dax, freshness, table, prefix="o", **more
    )
    async with AsyncExitStack() as stack:
        stack.enter_context(checked(freshness, cluster, plain, protocol, official))
        stack.enter_context(official)
        await stack.enter_async_context(protocol)
        await protocol.progress()
        yield protocol, official
    print(
        f"{len(protocol.seen.writes)} + {len(official.seen.writes)} writes, "
        f"{freshness.reads_checked} reads checked; unknown outcomes "
        f"{protocol.seen.unknown} + {official.seen.unknown}; failed reads of the official client "
        f"{len(official.seen.read_failures)} of {official.seen.reads}; longest read of the "
        f"protocol client {protocol.seen.read_longest_s:.2f} s"
    )
    assert protocol.seen.read_failures == []


async def kill(cluster: Cluster, node_id: str) -> tuple[float, float]:
    """Kill a node; when that began, and when the process was gone."""
    killed_at = time.monotonic()
    await asyncio.to_thread(cluster.kill, node_id)
    return killed_at, time.monotonic()


async def revive(cluster: Cluster, node_id: str) -> None:
    await asyncio.to_thread(cluster.start_again, node_id)
    await asyncio.to_thread(cluster.wait_ready, node_id)
    await asyncio.to_thread(cluster.wait_serving)


async def primary_killed(cluster: Cluster, load: ProtocolLoad, times: int) -> list[float]:
    """Seconds from each SIGKILL of the primary to the next write that succeeded."""
    recovered = []
    for number in range(times):
        victim = await asyncio.to_thread(cluster.primary)
        killed_at, gone_at = await kill(cluster, victim)
        recovered.append(await load.recovery(gone_at) + gone_at - killed_at)
        print(f"kill {number + 1}: {victim}, a write again after {recovered[-1]:.2f} s")
        await revive(cluster, victim)
        await load.progress()
    return recovered


async def official_recovers(official: OfficialLoad, load: ProtocolLoad) -> float:
    since = time.monotonic()
    await load.until(
        lambda: official.seen.recovery_s(since) is not None,
        "the official client writes again",
        OFFICIAL_S,
    )
    return time.monotonic() - since


async def test_the_primary_is_killed(cluster: Cluster, plain: Any, table: str) -> None:
    async with under_load(cluster, plain, table) as (protocol, official):
        recovered = await primary_killed(cluster, protocol, KILLS)
        await official_recovers(official, protocol)
    print(f"goals: median {GOAL_MEDIAN_S} s, maximum {GOAL_MAX_S} s; {sorted(recovered)}")
    assert max(recovered) <= BOUND_S


@pytest.mark.soak
async def test_the_primary_is_killed_many_times(cluster: Cluster, plain: Any, table: str) -> None:
    async with under_load(cluster, plain, table) as (protocol, official):
        recovered = await primary_killed(cluster, protocol, SOAK_KILLS)
        await official_recovers(official, protocol)
    median = statistics.median(recovered)
    print(
        f"{SOAK_KILLS} kills: median {median:.2f} s (goal {GOAL_MEDIAN_S}), "
        f"maximum {max(recovered):.2f} s (goal {GOAL_MAX_S})"
    )
    assert median <= 1.5 * GOAL_MEDIAN_S
    assert max(recovered) <= 2 * GOAL_MAX_S


async def test_a_replica_is_killed_and_restarted(cluster: Cluster, plain: Any, table: str) -> None:
    async with under_load(cluster, plain, table) as (protocol, official):
        victim = (await asyncio.to_thread(cluster.replicas))[0]
        _, gone_at = await kill(cluster, victim)
        # Its read lease has to run out before writes need not wait for it any more.
        assert await protocol.recovery(gone_at) <= BOUND_S
        await protocol.progress()
        await revive(cluster, victim)
        await protocol.progress()
        await official_recovers(official, protocol)


async def test_a_replica_is_paused_and_continued(cluster: Cluster, plain: Any, table: str) -> None:
    async with under_load(cluster, plain, table, guarded=True) as (protocol, _):
        victim = (await asyncio.to_thread(cluster.replicas))[-1]
        cluster.pause(victim)
        paused_at = time.monotonic()
        assert await protocol.recovery(paused_at) <= BOUND_S
        await protocol.progress()
        cluster.resume(victim)
        await asyncio.to_thread(cluster.wait_serving)
        await protocol.progress()


async def test_the_primary_is_paused_and_continued(
    cluster: Cluster, plain: Any, table: str
) -> None:
    async with under_load(cluster, plain, table, guarded=True) as (protocol, official):
        victim = await asyncio.to_thread(cluster.primary)
        cluster.pause(victim)
        paused_at = time.monotonic()

        def another_leads() -> bool:
            others = [node_id for node_id in cluster.node_ids if node_id != victim]
            found = [cluster.status(node_id) for node_id in others]
            return any(status is not None and status["role"] == "primary" for status in found)

        await protocol.until(another_leads, "another node is primary", BOUND_S)
        await protocol.recovery(paused_at)
        await protocol.progress()
        cluster.resume(victim)
        await asyncio.to_thread(cluster.wait_serving)
        await protocol.progress()
        await official_recovers(official, protocol)


async def test_discovery_is_killed_and_restarted(cluster: Cluster, plain: Any, table: str) -> None:
    async with under_load(cluster, plain, table) as (protocol, official):
        await asyncio.to_thread(cluster.kill, DISCOVERY)
        failed = len(official.seen.read_failures)
        unknown = official.seen.unknown
        since = time.monotonic()
        # Longer than the official client's 4 s between two looks at the roster.
        await protocol.until(lambda: time.monotonic() > since + 5.0, "5 s pass", 10.0)
        assert len(official.seen.read_failures) == failed
        assert official.seen.unknown == unknown
        await asyncio.to_thread(cluster.start_again, DISCOVERY)
        async with AsyncExitStack() as stack:
            late = await asyncio.to_thread(_late_client, cluster, protocol.freshness, table)
            stack.enter_context(late)
            await official_recovers(late, protocol)


def _late_client(cluster: Cluster, freshness: Freshness, table: str) -> OfficialLoad:
    """A client that starts when discovery has just come back."""
    until = time.monotonic() + BOUND_S
    while True:
        try:
            return OfficialLoad(cluster.dax, freshness, table, prefix="late", seed=SEED)
        except Exception:
            if time.monotonic() > until:
                raise


async def test_reads_go_on_at_the_last_node(cluster: Cluster, plain: Any, table: str) -> None:
    """Without a majority there is no lease: the node passes reads through and holds writes."""
    async with under_load(cluster, plain, table) as (protocol, official):
        survivor, *victims = [
            await asyncio.to_thread(cluster.primary),
            *await asyncio.to_thread(cluster.replicas),
        ]
        for victim in victims:
            await kill(cluster, victim)

        def lease_lost() -> bool:
            status = cluster.status(survivor)
            return status is not None and not status["serving"]

        await protocol.until(lease_lost, "the last node has no lease any more", BOUND_S)
        reads = protocol.seen.reads
        await protocol.until(lambda: protocol.seen.reads > reads + 50, "reads go on", BOUND_S)
        for victim in victims:
            await asyncio.to_thread(cluster.start_again, victim)
        await asyncio.to_thread(cluster.wait_serving)
        await protocol.progress()
        await official_recovers(official, protocol)


async def test_no_write_is_made_twice(cluster: Cluster, plain: Any, table: str) -> None:
    """Sums of increments across a failover: all that were acknowledged, none of them doubled.

    Not with the official clients: those repeat a write themselves when its connection ends.
    """
    client = ClusterClient(cluster.addresses)
    counted = dict.fromkeys((f"counter {number}" for number in range(6)), 0)
    unknown = dict.fromkeys(counted, 0)
    stop = asyncio.Event()

    async def count(key: str) -> None:
        while not stop.is_set():
            try:
                await client.write(
                    "UpdateItem",
                    TableName=table,
                    Key={"id": {"S": key}},
                    UpdateExpression="ADD v :one",
                    ExpressionAttributeValues={":one": {"N": "1"}},
                )
            except OutcomeUnknown:
                unknown[key] += 1
            else:
                counted[key] += 1

    async def counted_on(by: int = 60) -> None:
        wanted = sum(counted.values()) + by
        until = time.monotonic() + 3 * BOUND_S
        while sum(counted.values()) < wanted:
            assert time.monotonic() < until, f"{counted}: not {by} more increments"
            await asyncio.sleep(0.02)

    async with asyncio.TaskGroup() as group:
        for key in counted:
            group.create_task(count(key))
        try:
            for _ in range(2):
                await counted_on()
                victim = await asyncio.to_thread(cluster.primary)
                await kill(cluster, victim)
                await counted_on()
                await revive(cluster, victim)
        finally:
            stop.set()
    client.close()
    print(f"{sum(counted.values())} increments, {sum(unknown.values())} of unknown outcome")
    for key, sure in counted.items():
        found = plain.get_item(TableName=table, Key={"id": {"S": key}}, ConsistentRead=True)
        total = int(found["Item"]["v"]["N"])
        assert sure <= total <= sure + unknown[key], key
