"""Nodes killed, paused and cut off under load: nothing stale, nothing lost, soon back.

The short forms do several things to one cluster, one after the other; the long ones are every
scenario by itself. ``make chaos`` runs them too, and writes the report.
"""

import random
import statistics
from pathlib import Path

import pytest

from tests.chaos import scenarios
from tests.chaos.arena import BOUND_S, Report, under_load
from tests.chaos.roto import Roto
from tests.chaos.scenarios import SCENARIOS, Round, Scenario
from tests.support.cluster import Cluster

KILLS = 20
GOAL_MEDIAN_S = 2.0
GOAL_LONGEST_S = 4.0
SOAK_ROUNDS = 3


async def run(
    cluster: Cluster,
    directory: Path,
    rounds: list[Round],
    *,
    scenario: Scenario | None = None,
    dynamodb: Roto | None = None,
) -> Report:
    seed = str(random.SystemRandom().randrange(10**6))
    async with under_load(
        cluster,
        directory,
        seed,
        dynamodb=dynamodb,
        reads_may_fail=scenario is not None and scenario.reads_may_fail,
        leases_released=scenario is not None and scenario.leases_released,
    ) as (arena, report):
        for one in rounds:
            await one(arena)
        await arena.official_writes()
    print(
        f"{report.operations} operations checked in {report.check_s:.1f} s "
        f"({report.steps} steps), staleness {report.staleness_s} s"
    )
    for fault in report.faults:
        print(f"  {fault.gap_s:5.2f} s without a write: {fault.what}")
    print(f"protocol client {report.protocol}\nofficial client {report.official}")
    return report


def kept(report: Report) -> None:
    """Every promise: ``problems`` has all that was broken, the verdict has to be positive."""
    assert report.problems == []
    assert report.verdict == "ok"
    assert report.protocol.reads > 0
    assert report.protocol.writes > 0
    assert report.official.writes > 0
    for fault in report.faults:
        assert fault.gap_s <= BOUND_S or not fault.writes_possible, fault.what


async def test_nodes_are_killed(cluster: Cluster, tmp_path: Path) -> None:
    """The primary, and then all but the primary."""
    rounds = [scenarios.primary_killed, scenarios.last_node]
    report = await run(cluster, tmp_path, rounds)
    kept(report)


@pytest.mark.full(minutes=1)
async def test_nodes_are_paused_and_parted(cluster: Cluster, tmp_path: Path) -> None:
    rounds = [
        scenarios.primary_replaced,
        scenarios.primary_isolated,
        scenarios.bridge,
    ]
    report = await run(cluster, tmp_path, rounds)
    kept(report)


async def test_a_writer_behind_the_cluster_is_noticed(cluster: Cluster, tmp_path: Path) -> None:
    """The one thing that the cluster cannot keep its promise against shows that stale reads of
    real nodes do not escape the check."""
    async with under_load(cluster, tmp_path, "behind") as (arena, report):
        for number in range(30):  # many, since a write through the cluster may hide one
            await arena.write_behind("w0", f"behind {number}")
            await arena.hold(0.1, 0.2)
    assert report.verdict == "illegal"
    assert "w0" in "\n".join(report.problems)


@pytest.mark.soak
async def test_the_primary_is_killed_many_times(cluster: Cluster, tmp_path: Path) -> None:
    report = await run(cluster, tmp_path, [scenarios.primary_killed] * KILLS)
    kept(report)
    gaps = [fault.gap_s for fault in report.faults]
    assert statistics.median(gaps) <= 1.5 * GOAL_MEDIAN_S
    assert max(gaps) <= 2 * GOAL_LONGEST_S


@pytest.mark.soak
@pytest.mark.parametrize("nodes", [3, 5])
@pytest.mark.parametrize("name", [name for name, one in SCENARIOS.items() if not one.own_dynamodb])
async def test_scenario(
    name: str, nodes: int, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    one = SCENARIOS[name]
    if nodes < one.nodes_min:
        pytest.skip(f"it takes {one.nodes_min} nodes")
    cluster: Cluster = request.getfixturevalue("chaos_cluster" if nodes == 3 else "five_nodes")
    cluster.heal()
    kept(await run(cluster, tmp_path, [one.round] * SOAK_ROUNDS, scenario=one))


@pytest.mark.soak
async def test_dynamodb_is_killed(tmp_path: Path) -> None:
    one = SCENARIOS["dynamodb-killed"]
    with (
        Roto(tmp_path / "roto") as dynamodb,
        Cluster(tmp_path, arguments=["--chaos", f"--dynamodb={dynamodb.endpoint}"]) as cluster,
    ):
        cluster.wait_serving()
        kept(
            await run(cluster, tmp_path, [one.round] * SOAK_ROUNDS, scenario=one, dynamodb=dynamodb)
        )
