"""Roles: what lease events and views make of a node."""

from __future__ import annotations

import asyncio

import pytest

from cluster.coherence.messages import (
    Fence,
    Outcome,
    Position,
)
from cluster.coherence.takeover_report import TakeoverReport
from node.replication.coordinator import Here, There
from node.replication.membership import CUT_OFF_S
from node.replication.primary_driver import EpochOver
from tests.support.waiting import until
from tests.unit.node.replication.coordinator_rig import KEY, NAMES, Node, settled, view


@pytest.fixture
def node() -> Node:
    node = Node()
    node.agent.acquire(1, node.clock.time + 1.5)
    return node


def test_the_holder_is_where_writes_go_and_the_next_one_takes_over(node: Node) -> None:
    assert isinstance(node.coordinator.route(), Here)
    node.agent.show(2, "n2")
    assert node.coordinator.route() == There("n2", 2)
    assert node.replica.targets[-1].epoch == 2


# -- the first epoch ------------------------------------------------------------------------------


@pytest.mark.parametrize("names", [("n1",), ("n1", "n2"), NAMES])
def test_the_first_epoch_of_an_empty_log_begins_with_every_key_unknown(
    names: tuple[str, ...],
) -> None:
    """The log may be empty because an earlier cluster lost it, with a write on its way."""
    node = Node(names, untouched=False)
    node.agent.acquire(1, node.clock.time + 1.5)
    assert isinstance(node.coordinator.route(), Here)
    assert node.guard.begin_fill(("t", b"k"), node.clock.time) is None
    assert node.guard.all_unknown(node.clock.time + 9.9)
    assert not node.guard.all_unknown(node.clock.time + 10.0)


def test_the_first_epoch_on_an_untouched_dynamodb_may_cache_at_once() -> None:
    node = Node(untouched=True)
    node.agent.acquire(1, node.clock.time + 1.5)
    assert node.guard.begin_fill(("t", b"k"), node.clock.time) is not None
    assert node.untouched == []  # it is asked once


def test_a_later_epoch_is_not_taken_for_the_first_on_an_untouched_dynamodb() -> None:
    node = Node(("n1",), untouched=True)
    node.agent.acquire(1, node.clock.time + 1.5)
    node.untouched = [True]
    node.agent.acquire(2, node.clock.time + 1.5)
    assert node.untouched == [True]


async def test_a_single_member_that_starts_again_begins_with_every_key_unknown() -> None:
    """It finds its log again, but what was under way was in its memory alone."""
    node = Node(("n1",), untouched=True)
    node.agent.show(1, None)
    node.agent.acquire(2, node.clock.time + 1.5)
    await settled()
    assert isinstance(node.coordinator.route(), Here)
    assert node.guard.all_unknown(node.clock.time + 9.9)


# -- new epochs -----------------------------------------------------------------------------------


def remembered(epoch: int, sequence: int) -> TakeoverReport:
    return TakeoverReport(Position(epoch, sequence), (), (), (), False)


async def test_a_new_primary_goes_on_from_what_a_majority_remembers() -> None:
    node = Node()
    node.agent.show(1, "n3")
    node.guard.position = Position(1, 3)
    missed = Fence(Position(1, 4), (KEY,))
    node.reports["n2"] = TakeoverReport(missed.position, (missed,), (missed,), (), False)
    node.agent.acquire(2, node.clock.time + 1.5)
    assert node.coordinator.route() is None  # no write before that
    await settled()
    assert sorted(node.asked) == [("n2", 2, Position(1, 3)), ("n3", 2, Position(1, 3))]
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
    node.reports["n2"] = remembered(1, 4)
    node.agent.acquire(2, node.clock.time + 1.5)
    await settled()
    assert isinstance(node.coordinator.route(), Here)
    assert not node.guard.all_unknown(node.clock.time)


async def test_a_primary_that_is_asked_by_the_next_one_ends_its_epoch(node: Node) -> None:
    primary = node.primary.primary
    assert primary is not None
    fence, _ = node.primary.begin(primary, [KEY])
    report = node.coordinator.report_for_takeover(2, None)
    assert report is not None
    assert report.position == fence
    assert report.unknown == (KEY,)
    assert node.coordinator.route() is None or node.coordinator.route() != Here(primary)
    assert not primary.holds(node.clock.time)
    assert node.coordinator.report_for_takeover(1, None) is None  # an epoch that is over


async def test_a_replica_that_was_asked_follows_no_older_primary() -> None:
    node = Node()
    node.agent.show(1, "n3")
    assert node.replica.targets[-1].epoch == 1
    assert node.coordinator.report_for_takeover(2, None) is not None
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
        await until(lambda: node.coordinator._membership._cut_off_since is not None)
        for _ in range(4):
            node.clock.time += CUT_OFF_S / 4
            node.primary.renewed(node.clock.time + 1.5)
            node.coordinator._membership.tick()
        await until(lambda: node.agent.released == 1)
        assert isinstance(ready.exception(), EpochOver)
        assert node.coordinator.route() is None
        assert node.agent.resumed == 0
        node.agent.show(2, "n2")
        await until(lambda: node.agent.resumed == 1)
        assert node.coordinator.route() == There("n2", 2)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_a_node_that_takes_over_follows_no_primary_of_before() -> None:
    node = Node()
    node.agent.show(1, "n3")
    node.guard.position = Position(1, 4)
    node.agent.acquire(2, node.clock.time + 1.5)
    node.agent.show(1, "n3")  # a view that comes late
    assert node.replica.targets[-1] is None


async def test_a_member_that_was_removed_begins_no_epoch_of_the_others(node: Node) -> None:
    primary = node.primary.primary
    assert primary is not None
    del node.agent.state.voters["n1"]
    node.coordinator._membership.tick()
    await settled()
    assert not primary._paused
    assert node.agent.epochs_wanted == 0


async def test_only_members_of_the_epochs_before_are_asked_what_they_remember() -> None:
    node = Node()
    node.agent.show(1, "n3")
    node.guard.position = Position(1, 4)
    node.agent.names = (*NAMES, "n4")
    node.agent.state.voters["n4"] = "n4:0"
    node.agent.view = view(1, None, node.agent.names)
    node.agent.acquire(2, node.clock.time + 1.5)
    await settled()
    assert {node_id for node_id, _, _ in node.asked} == {"n2", "n3"}
    assert node.primary.primary is not None
    assert node.primary.primary.members == {*NAMES, "n4"}


def test_who_was_asked_by_a_later_primary_tells_an_earlier_one_nothing() -> None:
    node = Node()
    node.agent.show(1, "n3")
    assert node.coordinator.report_for_takeover(3, None) is not None
    assert node.coordinator.report_for_takeover(2, None) is None
    assert node.coordinator.report_for_takeover(3, None) is not None  # its question may come twice


async def test_a_takeover_ends_when_another_node_holds_a_later_epoch() -> None:
    node = Node()
    node.agent.show(1, "n3")
    node.guard.position = Position(1, 4)
    node.reports["n2"] = node.reports["n3"] = remembered(1, 4)
    node.agent.acquire(2, node.clock.time + 1.5)
    node.agent.show(3, "n2")
    await settled()
    assert node.primary.primary is None
    assert node.coordinator.route() == There("n2", 3)
    assert node.replica.targets[-1].epoch == 3


async def test_who_waits_for_a_change_wakes_with_the_next_one_and_not_before(node: Node) -> None:
    for epoch in (2, 3):
        waiting = asyncio.create_task(node.coordinator.changed(60.0))
        await settled()
        assert not waiting.done()
        node.agent.show(epoch, "n2")
        await asyncio.wait_for(waiting, 10.0)
