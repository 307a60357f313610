"""Roles: what lease events and views make of a node, and how it leaves."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

import pytest

from cluster.coherence.guard import Guard
from cluster.lease import Acquired
from cluster.settings import CacheSettings, LeaseSettings
from cluster.view import ClusterView, Member
from node.cache.caches import Caches
from node.replication.coordinator import SUCCESSOR_S, Coordinator, Here, There
from node.replication.primary_driver import PrimaryDriver
from paceline.errors import Unavailable
from tests.unit.node.fakes import Clock, until

NAMES = ("n1", "n2", "n3")


def view(epoch: int, primary: str | None, names: tuple[str, ...] = NAMES) -> ClusterView:
    members = tuple(Member(name, "a", "i", addresses={"grpc": f"{name}:1"}) for name in names)
    return ClusterView("c", members, epoch, primary, names)


class LeaseAgent:
    """The agent as the coordinator sees it; the test plays the log."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self.names = names
        self.view = view(0, None, names)
        self.primary_until = float("-inf")
        self.release_error: Exception | None = None
        self.released = 0
        self._on_view: Callable[[ClusterView], None] = lambda view: None
        self._on_lease: Callable[[Any], None] = lambda event: None

    def on_lease(self, callback: Callable[[Any], None]) -> None:
        self._on_lease = callback

    def subscribe(self, callback: Callable[[ClusterView], None]) -> None:
        self._on_view = callback

    def acquire(self, epoch: int, until_s: float) -> None:
        self.primary_until = until_s
        self._on_lease(Acquired(epoch, self.names, epoch == 1, until_s))
        self.show(epoch, "n1")

    def show(self, epoch: int, primary: str | None) -> None:
        self.view = view(epoch, primary, self.names)
        self._on_view(self.view)

    async def release(self, timeout_s: float) -> None:
        self.released += 1
        if self.release_error is not None:
            raise self.release_error
        self.show(self.view.epoch, None)


class Following:
    """The replica driver as the coordinator sees it."""

    def __init__(self) -> None:
        self.targets: list[Any] = []
        self.handed_back = 0

    def follow(self, target: Any) -> None:
        self.targets.append(target)

    def hand_back(self) -> None:
        self.handed_back += 1


class Node:
    def __init__(self, names: tuple[str, ...] = NAMES) -> None:
        self.clock = Clock()
        self.agent = cast(Any, LeaseAgent(names))
        guard = Guard(Caches.from_settings(CacheSettings()), 10.0)
        self.primary = PrimaryDriver("n1", guard, LeaseSettings(), self.clock)
        self.replica = cast(Any, Following())
        self.coordinator = Coordinator(
            "n1", self.agent, guard, self.primary, self.replica, self.clock
        )


@pytest.fixture
def node() -> Node:
    node = Node()
    node.agent.acquire(1, node.clock.time + 1.5)
    return node


def test_the_holder_is_where_writes_go_and_the_next_one_takes_over(node: Node) -> None:
    assert isinstance(node.coordinator.route(), Here)
    node.agent.show(2, "n2")
    assert node.coordinator.route() == There("n2", "n2:1", 2)
    assert node.replica.targets[-1].epoch == 2


async def test_a_node_that_released_the_lease_stays_until_another_holds_it(node: Node) -> None:
    leaving = asyncio.create_task(node.coordinator.hand_over(4.0))
    await until(lambda: node.agent.released == 1)
    for _ in range(20):
        await asyncio.sleep(0)
    assert not leaving.done()
    node.agent.show(2, "n2")
    await leaving


async def test_a_node_that_leaves_takes_no_read_lease_from_its_successor(node: Node) -> None:
    leaving = asyncio.create_task(node.coordinator.hand_over(4.0))
    await until(lambda: node.agent.released == 1)
    targets = list(node.replica.targets)
    node.agent.show(2, "n2")
    await leaving
    assert node.replica.targets == targets


async def test_a_replica_that_leaves_hands_its_read_lease_back() -> None:
    node = Node()
    node.agent.show(1, "n2")
    await node.coordinator.hand_over(4.0)
    assert node.replica.handed_back == 1
    assert node.agent.released == 0


async def test_a_node_that_is_alone_waits_for_no_successor() -> None:
    node = Node(("n1",))
    node.agent.acquire(1, node.clock.time + 1.5)
    await asyncio.wait_for(node.coordinator.hand_over(4.0), SUCCESSOR_S / 2)


async def test_without_a_majority_the_lease_just_runs_out(node: Node) -> None:
    node.agent.release_error = Unavailable("no majority")
    await asyncio.wait_for(node.coordinator.hand_over(4.0), SUCCESSOR_S / 2)
    assert node.primary.primary is None


async def test_a_lease_that_ran_out_is_not_released(node: Node) -> None:
    node.clock.time += 2.0
    await asyncio.wait_for(node.coordinator.hand_over(4.0), SUCCESSOR_S / 2)
    assert node.agent.released == 0
