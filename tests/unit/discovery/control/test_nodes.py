"""Reboots, more and fewer nodes: what is begun, what is told meanwhile, and how it ends."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from cluster.roster.endpoints import Health
from discovery.control.acting import Actor
from discovery.control.world import ACTING_S, Act
from paceline.errors import Unavailable
from tests.support.waiting import until
from tests.unit.discovery.control.control_world import THREE, Control, member, view_of

HERE = {"ClusterName": "paceline"}
END_S = 5.0


class FakeLauncher:
    """Does what it is asked once it is let."""

    def __init__(self, problem: str = "", refuses: str = "") -> None:
        self.let = asyncio.Event()
        self.problem = problem
        self.refuses = refuses
        self.done: list[Act] = []

    async def check(self, acts: Sequence[Act]) -> None:
        if self.refuses:
            raise Unavailable(self.refuses)

    async def do(self, act: Act) -> None:
        await self.let.wait()
        if self.problem:
            raise Unavailable(self.problem)
        self.done.append(act)


def acting(problem: str = "") -> tuple[Control, FakeLauncher]:
    control, launcher = Control(), FakeLauncher(problem)
    control.service.actor = Actor(launcher, control.service._ended)
    control.more["acts"] = True
    return control, launcher


async def told(control: Control) -> Any:
    return (await control.call("DescribeClusters"))["Clusters"][0]


def states(cluster: Any) -> dict[str, str]:
    return {one["NodeId"]: one["NodeStatus"] for one in cluster["Nodes"]}


async def over(control: Control) -> None:
    await until(lambda: control.records.get("acting", {}) == {}, "the end of it", END_S)


async def test_a_node_is_rebooted_and_nothing_else_meanwhile() -> None:
    control, launcher = acting()
    cluster = (await control.call("RebootNode", **HERE, NodeId="node-2"))["Cluster"]
    assert cluster["Status"] == "modifying"
    assert states(cluster)["node-2"] == "rebooting"
    for operation, asked in (
        ("RebootNode", {"NodeId": "node-1"}),
        ("IncreaseReplicationFactor", {"NewReplicationFactor": 4}),
        ("DecreaseReplicationFactor", {"NewReplicationFactor": 2}),
    ):
        name, message = await control.refused(operation, **HERE, **asked)
        assert (name, "node-2" in message) == ("InvalidClusterStateFault", True)
    launcher.let.set()
    await over(control)
    assert launcher.done == [Act("restart", "node-2")]
    assert (await told(control))["Status"] == "available"
    assert control.messages == ["The node node-2 is rebooted by request."]


async def test_nodes_are_added_in_the_zones_with_the_fewest() -> None:
    control, launcher = acting()
    cluster = (await control.call("IncreaseReplicationFactor", **HERE, NewReplicationFactor=5))[
        "Cluster"
    ]
    assert cluster["TotalNodes"] == 5
    assert states(cluster)["node-4"] == "creating"
    launcher.let.set()
    await over(control)
    assert launcher.done == [Act("add", "node-4", "a"), Act("add", "node-5", "b")]


async def test_or_where_it_is_said_and_by_the_lowest_free_numbers() -> None:
    control, launcher = acting()
    control.view = view_of(member(2, "a"), member(3, "b"), member(5, "b"))
    launcher.let.set()
    await control.call(
        "IncreaseReplicationFactor",
        **HERE,
        NewReplicationFactor=5,
        AvailabilityZones=["b", "eu-west-1a"],
    )
    await over(control)
    assert launcher.done == [Act("add", "node-1", "b"), Act("add", "node-4", "a")]


@pytest.mark.parametrize(
    ("asked", "nodes"),
    [
        ({}, ["node-3"]),
        ({"NodeIdsToRemove": ["node-1"]}, ["node-1"]),
        ({"AvailabilityZones": ["b"]}, ["node-2"]),
        ({"NewReplicationFactor": 1}, ["node-3", "node-2"]),
    ],
)
async def test_nodes_are_removed_the_primary_last(asked: dict[str, Any], nodes: list[str]) -> None:
    control, launcher = acting()
    request = {**HERE, "NewReplicationFactor": 2, **asked}
    cluster = (await control.call("DecreaseReplicationFactor", **request))["Cluster"]
    assert cluster["NodeIdsToRemove"] == sorted(nodes)
    assert {states(cluster)[one] for one in nodes} == {"deleting"}
    launcher.let.set()
    await over(control)
    assert [one.node for one in launcher.done] == nodes


async def test_what_fails_is_told_and_the_rest_is_not_begun() -> None:
    control, launcher = acting("there is no memory")
    launcher.let.set()
    await control.call("IncreaseReplicationFactor", **HERE, NewReplicationFactor=5)
    await over(control)
    assert launcher.done == []
    assert control.messages == [
        "The replication factor is raised from 3 to 5.",
        "The node node-4 was not added: there is no memory",
        "The node node-5 was not added: there is no memory",
    ]


async def test_what_the_launcher_cannot_do_is_refused_at_once() -> None:
    control, launcher = acting()
    launcher.refuses = "with --data-dir the nodes stay"
    for operation, asked, error in (
        ("RebootNode", {"NodeId": "node-2"}, "InvalidClusterStateFault"),
        (
            "IncreaseReplicationFactor",
            {"NewReplicationFactor": 4},
            "InsufficientClusterCapacityFault",
        ),
        ("DecreaseReplicationFactor", {"NewReplicationFactor": 2}, "InvalidClusterStateFault"),
    ):
        told = await control.refused(operation, **HERE, **asked)
        assert told == (error, "With --data-dir the nodes stay")


async def test_what_nobody_ends_is_over_after_a_while() -> None:
    control, _ = acting()
    control.now = 1_700_000_000.0
    await control.call("RebootNode", **HERE, NodeId="node-2")
    control.now += ACTING_S - 1
    assert (await told(control))["Status"] == "modifying"
    control.now += 2
    assert (await told(control))["Status"] == "available"
    await control.call("RebootNode", **HERE, NodeId="node-3")
    await control.service.actor.aclose()


@pytest.mark.parametrize(
    ("operation", "asked", "error"),
    [
        ("RebootNode", {"NodeId": "node-9"}, "NodeNotFoundFault"),
        ("RebootNode", {"NodeId": "node-1", "ClusterName": "other"}, "ClusterNotFoundFault"),
        (
            "IncreaseReplicationFactor",
            {"NewReplicationFactor": 3},
            "InvalidParameterValueException",
        ),
        (
            "IncreaseReplicationFactor",
            {"NewReplicationFactor": 12},
            "NodeQuotaForClusterExceededFault",
        ),
        (
            "IncreaseReplicationFactor",
            {"NewReplicationFactor": 5, "AvailabilityZones": ["a"]},
            "InvalidParameterCombinationException",
        ),
        (
            "IncreaseReplicationFactor",
            {"NewReplicationFactor": 4, "AvailabilityZones": ["z"]},
            "InvalidParameterValueException",
        ),
        (
            "DecreaseReplicationFactor",
            {"NewReplicationFactor": 0},
            "InvalidParameterValueException",
        ),
        (
            "DecreaseReplicationFactor",
            {"NewReplicationFactor": 3},
            "InvalidParameterValueException",
        ),
        (
            "DecreaseReplicationFactor",
            {"NewReplicationFactor": 2, "NodeIdsToRemove": ["node-7"]},
            "NodeNotFoundFault",
        ),
        (
            "DecreaseReplicationFactor",
            {"NewReplicationFactor": 1, "NodeIdsToRemove": ["node-2", "node-2"]},
            "InvalidParameterCombinationException",
        ),
        (
            "DecreaseReplicationFactor",
            {"NewReplicationFactor": 1, "AvailabilityZones": ["a", "a"]},
            "InvalidParameterCombinationException",
        ),
        (
            "DecreaseReplicationFactor",
            {"NewReplicationFactor": 2, "AvailabilityZones": ["a"], "NodeIdsToRemove": ["node-1"]},
            "InvalidParameterCombinationException",
        ),
    ],
)
async def test_it_is_refused(operation: str, asked: dict[str, Any], error: str) -> None:
    control, _ = acting()
    assert (await control.refused(operation, **{**HERE, **asked}))[0] == error


async def test_without_a_majority_nothing_is_begun() -> None:
    control, _ = acting()
    control.health = {"node-3": Health.UNREACHABLE}
    name, message = await control.refused("RebootNode", **HERE, NodeId="node-2")
    assert (name, "no majority" in message) == ("InvalidClusterStateFault", True)
    control.health["node-2"] = Health.UNREACHABLE
    for operation, factor in (("IncreaseReplicationFactor", 4), ("DecreaseReplicationFactor", 2)):
        name, _ = await control.refused(operation, **HERE, NewReplicationFactor=factor)
        assert name == "InvalidClusterStateFault"
    control.health, control.view = {}, view_of(member(1, "a"))
    await control.call("RebootNode", **HERE, NodeId="node-1")
    await control.service.actor.aclose()


async def test_without_a_launcher_it_is_said_so() -> None:
    control = Control()
    assert control.view is THREE
    for operation, asked, error in (
        ("RebootNode", {"NodeId": "node-2"}, "InvalidClusterStateFault"),
        (
            "IncreaseReplicationFactor",
            {"NewReplicationFactor": 4},
            "InsufficientClusterCapacityFault",
        ),
        ("DecreaseReplicationFactor", {"NewReplicationFactor": 2}, "InvalidClusterStateFault"),
    ):
        name, message = await control.refused(operation, **HERE, **asked)
        assert (name, "PACELINE_LAUNCHER_SOCKET" in message) == (error, True)
