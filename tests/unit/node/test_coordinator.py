"""Roles: what lease events and views make of a node, and how it leaves."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

import pytest

from cluster.coherence.guard import Guard
from cluster.coherence.memory import Memory
from cluster.coherence.messages import Fence, Outcome, Position
from cluster.lease import Acquired, Lost
from cluster.settings import CacheSettings, LeaseSettings
from cluster.view import ClusterView, Member
from node.cache.caches import Caches
from node.replication.coordinator import CUT_OFF_S, Coordinator, Here, There
from node.replication.primary_driver import EpochOver, PrimaryDriver
from paceline.errors import Unavailable
from tests.unit.node.fakes import Clock, until

NAMES = ("n1", "n2", "n3")
ENDS_S = 10.0
"""For what waits for no successor: who does waits for ever, since the clock stands still."""


def view(epoch: int, primary: str | None, names: tuple[str, ...] = NAMES) -> ClusterView:
    members = tuple(Member(name, "a", "i", addresses={"grpc": f"{name}:1"}) for name in names)
    return ClusterView("c", members, epoch, primary, names)


class State:
    def __init__(self, names: tuple[str, ...]) -> None:
        self.voters = {name: f"{name}:0" for name in names}
        self.epoch_members: dict[int, tuple[str, ...]] = {}


class LeaseAgent:
    """The agent as the coordinator sees it; the test plays the log."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self.names = names
        self.view = view(0, None, names)
        self.primary_until = float("-inf")
        self.release_error: Exception | None = None
        self.released = 0
        self.resumed = 0
        self.state = State(names)
        self.epochs_wanted = 0
        self._on_view: Callable[[ClusterView], None] = lambda view: None
        self._on_lease: Callable[[Any], None] = lambda event: None

    def on_lease(self, callback: Callable[[Any], None]) -> None:
        self._on_lease = callback

    def subscribe(self, callback: Callable[[ClusterView], None]) -> None:
        self._on_view = callback

    def acquire(self, epoch: int, until_s: float) -> None:
        self.primary_until = until_s
        names = tuple(self.state.voters)
        self.state.epoch_members[epoch] = names
        self._on_lease(Acquired(epoch, names, epoch == 1, until_s))
        self.show(epoch, "n1")

    def lose(self, epoch: int) -> None:
        self.primary_until = float("-inf")
        self._on_lease(Lost(epoch))

    def begin_epoch(self) -> None:
        self.epochs_wanted += 1

    def show(self, epoch: int, primary: str | None) -> None:
        self.state.epoch_members.setdefault(epoch, self.names)
        self.view = view(epoch, primary, self.names)
        self._on_view(self.view)

    def resume(self) -> None:
        self.resumed += 1

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

    def leave(self, epoch: int) -> None:
        if self.targets and self.targets[-1] is not None and self.targets[-1].epoch < epoch:
            self.targets.append(None)

    def hand_back(self) -> None:
        self.handed_back += 1

    def tick(self) -> None: ...

    async def run(self) -> None:
        await asyncio.Event().wait()


class Node:
    def __init__(self, names: tuple[str, ...] = NAMES) -> None:
        self.clock = Clock()
        self.agent = cast(Any, LeaseAgent(names))
        guard = Guard(Caches.from_settings(CacheSettings()), 10.0)
        self.primary = PrimaryDriver("n1", guard, LeaseSettings(), self.clock)
        self.replica = cast(Any, Following())
        self.memories: dict[str, Memory | None] = {}
        self.asked: list[tuple[str, int, Position | None]] = []
        self.guard = guard
        self.coordinator = Coordinator(
            "n1", self.agent, guard, self.primary, self.replica, self.recall, self.clock
        )

    async def recall(self, address: str, epoch: int, position: Position | None) -> Memory:
        self.asked.append((address, epoch, position))
        memory = self.memories.get(address)
        if memory is None:
            raise Unavailable("not there")
        return memory


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
    await asyncio.wait_for(node.coordinator.hand_over(4.0), ENDS_S)


async def test_without_a_majority_the_lease_just_runs_out(node: Node) -> None:
    node.agent.release_error = Unavailable("no majority")
    await asyncio.wait_for(node.coordinator.hand_over(4.0), ENDS_S)
    assert node.primary.primary is None


async def test_a_lease_that_ran_out_is_not_released(node: Node) -> None:
    node.clock.time += 2.0
    await asyncio.wait_for(node.coordinator.hand_over(4.0), ENDS_S)
    assert node.agent.released == 0


# -- new epochs -----------------------------------------------------------------------------------

KEY = ("t", b"k")


def remembered(epoch: int, sequence: int) -> Memory:
    return Memory(Position(epoch, sequence), (), (), (), False)


async def settled() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_a_new_primary_goes_on_from_what_a_majority_remembers() -> None:
    node = Node()
    node.agent.show(1, "n3")
    node.guard.position = Position(1, 3)
    missed = Fence(Position(1, 4), (KEY,))
    node.memories["n2:1"] = Memory(missed.position, (missed,), (missed,), (), False)
    node.agent.acquire(2, node.clock.time + 1.5)
    assert node.coordinator.route() is None  # no write before that
    await settled()
    assert sorted(node.asked) == [("n2:1", 2, Position(1, 3)), ("n3:1", 2, Position(1, 3))]
    route = node.coordinator.route()
    assert isinstance(route, Here)
    assert route.primary.position == Position(2, 0)
    assert node.guard.unknown_keys(node.clock.time) == (KEY,)
    assert not node.guard.all_unknown(node.clock.time)


async def test_without_a_majority_every_key_is_unknown() -> None:
    node = Node()
    node.agent.show(1, "n3")
    node.guard.position = Position(1, 4)
    node.agent.acquire(2, node.clock.time + 1.5)
    await settled()
    assert isinstance(node.coordinator.route(), Here)
    assert node.guard.all_unknown(node.clock.time)


async def test_a_lease_lost_meanwhile_ends_the_takeover_and_a_new_one_starts_again() -> None:
    node = Node()
    node.agent.show(1, "n3")
    node.guard.position = Position(1, 4)
    node.agent.acquire(2, node.clock.time + 1.5)
    node.agent.lose(2)
    await settled()
    assert node.coordinator.route() is None
    node.memories["n2:1"] = remembered(1, 4)
    node.agent.acquire(2, node.clock.time + 1.5)
    await settled()
    assert isinstance(node.coordinator.route(), Here)
    assert not node.guard.all_unknown(node.clock.time)


async def test_a_primary_that_is_asked_by_the_next_one_ends_its_epoch(node: Node) -> None:
    primary = node.primary.primary
    assert primary is not None
    fence, _ = node.primary.begin(primary, [KEY])
    memory = node.coordinator.remember(2, None)
    assert memory is not None
    assert memory.position == fence
    assert memory.unknown == (KEY,)
    assert node.coordinator.route() is None or node.coordinator.route() != Here(primary)
    assert not primary.holds(node.clock.time)
    assert node.coordinator.remember(1, None) is None  # an epoch that is over


async def test_a_replica_that_was_asked_follows_no_older_primary() -> None:
    node = Node()
    node.agent.show(1, "n3")
    assert node.replica.targets[-1].epoch == 1
    assert node.coordinator.remember(2, None) is not None
    assert node.replica.targets[-1] is None
    node.agent.show(1, "n3")
    assert node.replica.targets[-1] is None
    node.agent.show(2, "n2")
    assert node.replica.targets[-1].epoch == 2


async def test_another_set_of_members_takes_effect_with_an_epoch_of_its_own(node: Node) -> None:
    former = node.primary.primary
    assert former is not None
    fence, _ = node.primary.begin(former, [KEY])
    running = asyncio.create_task(node.coordinator.run())
    node.agent.state.voters["n4"] = "n4:0"
    try:
        await until(lambda: former._paused)
        assert node.agent.epochs_wanted == 0  # a write is under way
        node.primary.settle(former, fence, Outcome.SUCCESS, [None])
        await until(lambda: node.agent.epochs_wanted == 1)
        node.agent.acquire(2, node.clock.time + 1.5)
        primary = node.primary.primary
        assert primary is not None
        assert primary.members == {"n1", "n2", "n3", "n4"}
        assert node.asked == []  # it has everything itself
        assert not node.guard.all_unknown(node.clock.time)
        assert primary.position == Position(2, 0)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_a_holder_that_can_fence_nothing_gives_way(node: Node) -> None:
    primary = node.primary.primary
    assert primary is not None
    running = asyncio.create_task(node.coordinator.run())
    try:
        _, ready = node.primary.begin(primary, [KEY])
        await until(lambda: node.coordinator._cut_off_since is not None)
        for _ in range(4):
            node.clock.time += CUT_OFF_S / 4
            node.primary.renewed(node.clock.time + 1.5)
            await asyncio.sleep(0.03)
        await until(lambda: node.agent.released == 1)
        assert isinstance(ready.exception(), EpochOver)
        assert node.coordinator.route() is None
        assert node.agent.resumed == 0
        node.agent.show(2, "n2")
        await until(lambda: node.agent.resumed == 1)
        assert node.coordinator.route() == There("n2", "n2:1", 2)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
