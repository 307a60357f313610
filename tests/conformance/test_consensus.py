"""What every implementation of ``cluster.consensus.interface.Consensus`` does."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from cluster.consensus.interface import ProposalRefused
from cluster.log import commands as c
from cluster.log.commands import COMMAND_BYTES_MAX
from cluster.log.view import Member
from tests.support.consensus_clusters import (
    Cluster,
    LoneCluster,
    MemberCluster,
    Replica,
    SimulatedCluster,
    until,
)

TIMEOUT_S = 10.0
KINDS = ["lone", "lone-files", "simulated-3", "member-1", "member-3"]


def make(kind: str, path: Path, compact_entries: int = 2_000) -> Cluster:
    match kind:
        case "lone":
            return LoneCluster(None, compact_entries)
        case "lone-files":
            return LoneCluster(path / "log", compact_entries)
        case "simulated-3":
            return SimulatedCluster(3, compact_entries)
        case _:
            return MemberCluster(path, int(kind[-1]), compact_entries)


@pytest_asyncio.fixture
async def cluster(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Cluster]:
    kind, compact_entries = request.param
    made = make(kind, tmp_path, compact_entries)
    await made.start()
    await ready(made)
    try:
        yield made
    finally:
        await made.stop()


def cases(kinds: list[str], compact_entries: int = 2000) -> list[Any]:
    return [pytest.param((kind, compact_entries), id=kind) for kind in kinds]


async def ready(cluster: Cluster) -> None:
    await until(lambda: all(r.consensus.synced for r in cluster.replicas), "synced")
    for replica in cluster.replicas:
        replica.join()


def setting(n: int) -> bytes:
    return c.encode(c.SetSetting(f"k{n % 50}", str(n)))


def levelled(cluster: Cluster) -> bool:
    return len({r.state.snapshot() for r in cluster.replicas}) == 1


@pytest.mark.parametrize("cluster", cases(KINDS), indirect=True)
class TestEveryImplementation:
    async def test_there_is_one_leader_and_everybody_names_it(self, cluster: Cluster) -> None:
        await until(lambda: sum(r.consensus.is_leader for r in cluster.replicas) == 1, "one leader")
        await until(lambda: all(r.consensus.leader for r in cluster.replicas), "it is named")
        assert all(r.consensus.has_quorum for r in cluster.replicas)
        assert all(r.consensus.trouble is None for r in cluster.replicas)

    async def test_a_command_is_applied_everywhere_with_one_result(self, cluster: Cluster) -> None:
        for i, replica in enumerate(cluster.replicas):
            define = c.encode(c.DefineAttributeList(("a", f"b{i}")))
            result = await replica.consensus.propose(define, TIMEOUT_S)
            assert result.ok
            assert replica.state.names_of(result.value) == ("a", f"b{i}")
        await until(lambda: levelled(cluster), "all replicas have the same state")
        assert len({tuple(a[0] for a in r.applied) for r in cluster.replicas}) == 1

    async def test_the_proposer_sees_its_command_applied_before_the_answer(
        self, cluster: Cluster
    ) -> None:
        replica = cluster.replicas[-1]
        for n in range(20):
            await replica.consensus.propose(setting(n), TIMEOUT_S)
            assert replica.state.settings[f"k{n}"] == str(n)
            assert replica.applied[-1][2] is False

    async def test_refusals_by_the_state_are_results_not_errors(self, cluster: Cluster) -> None:
        replica = cluster.replicas[0]
        result = await replica.consensus.propose(c.encode(c.Release("x", "i", 5)), TIMEOUT_S)
        assert not result.ok
        assert not (await replica.consensus.propose(b"\xc1nonsense", TIMEOUT_S)).ok
        assert (await replica.consensus.propose(setting(1), TIMEOUT_S)).ok

    async def test_concurrent_proposals_are_all_applied_once_in_one_order(
        self, cluster: Cluster
    ) -> None:
        proposals = [
            cluster.replicas[n % len(cluster.replicas)].consensus.propose(setting(n), TIMEOUT_S)
            for n in range(60)
        ]
        assert all(r.ok for r in await asyncio.gather(*proposals))
        await until(lambda: all(len(r.applied) >= 60 for r in cluster.replicas), "all applied")
        orders = {tuple(a[0] for a in r.applied) for r in cluster.replicas}
        assert len(orders) == 1
        assert sorted(orders.pop()) == sorted(setting(n) for n in range(60))

    async def test_a_cancelled_caller_stops_nothing(self, cluster: Cluster) -> None:
        replica = cluster.replicas[0]
        task = asyncio.create_task(replica.consensus.propose(setting(7), TIMEOUT_S))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await until(lambda: replica.state.settings.get("k7") == "7", "applied all the same")
        assert (await replica.consensus.propose(setting(8), TIMEOUT_S)).ok

    async def test_too_large_a_command_is_refused(self, cluster: Cluster) -> None:
        with pytest.raises(ProposalRefused, match="too large"):
            await cluster.replicas[0].consensus.propose(b"x" * (COMMAND_BYTES_MAX + 1), TIMEOUT_S)

    async def test_after_stop_nothing_is_proposed(self, cluster: Cluster) -> None:
        replica = cluster.replicas[0]
        await replica.consensus.stop()
        assert not replica.consensus.is_leader
        assert replica.consensus.leader is None
        with pytest.raises(ProposalRefused):
            await replica.consensus.propose(setting(1), TIMEOUT_S)
        await replica.consensus.stop()

    async def test_adding_a_peer_that_is_there_or_removing_one_that_is_not(
        self, cluster: Cluster
    ) -> None:
        replica = cluster.replicas[0]
        assert replica.consensus.members == set(cluster.disks.values())
        await replica.consensus.add_peer(cluster.disks["n1"], TIMEOUT_S)
        await replica.consensus.remove_peer("no such disk", TIMEOUT_S)


async def agreed(replica: Replica, command: bytes) -> None:
    """Proposed until it is taken: on a busy machine the leader may change at any time, which ends
    proposals without effect."""
    while True:
        try:
            assert (await replica.consensus.propose(command, TIMEOUT_S)).ok
        except ProposalRefused:
            await asyncio.sleep(0.01)
        else:
            return


@pytest.mark.parametrize("cluster", cases(KINDS), indirect=True)
async def test_everything_survives_a_restart_and_is_marked_replayed(cluster: Cluster) -> None:
    first = cluster.replicas[0]
    commands: list[c.Command] = [
        c.Bootstrap("c-1", {"n1": "h:1"}),
        c.RegisterMember(Member("n1", "a", "i"), "d"),
    ]
    for command in commands:
        await agreed(first, c.encode(command))
    for n in range(30):
        await agreed(first, setting(n))
    before = first.state.snapshot()
    for index in range(len(cluster.replicas)):
        replica = await cluster.restart(index)
        await until(lambda r=replica: r.state.snapshot() == before, "the state is back")  # type: ignore[misc]
        assert replica.applied or replica.restored
        assert all(replayed for _, _, replayed in replica.applied)
    await ready(cluster)
    await agreed(cluster.replicas[0], setting(99))
    assert cluster.replicas[0].applied[-1][2] is False


@pytest.mark.parametrize("cluster", cases(KINDS, 40), indirect=True)
async def test_a_long_log_becomes_a_snapshot(cluster: Cluster, tmp_path: Path) -> None:
    first = cluster.replicas[0]
    for n in range(150):
        await agreed(first, setting(n))
    before = first.state.snapshot()
    replica = await cluster.restart(0)
    await until(lambda: replica.state.snapshot() == before, "the state is back")
    assert replica.restored == 1
    assert len(replica.applied) < 150
    await ready(cluster)
    await agreed(replica, setting(999))
    await until(lambda: levelled(cluster), "all replicas have the same state")
