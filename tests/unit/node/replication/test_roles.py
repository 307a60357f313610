"""What becomes of a node's role when grants, views and questions of others come in any order."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from cluster.coherence.messages import Fence, Outcome, Position
from cluster.coherence.takeover_report import TakeoverReport
from cluster.log.primary_lease import Lost, Renewed
from cluster.log.view import Member
from node.replication import coordinator
from node.replication.coordinator import Here, There
from tests.support.waiting import until
from tests.unit.node.replication.coordinator_rig import KEY, NAMES, Node, settled, view

LEASE_S = 1.5


def remembered(epoch: int, sequence: int) -> TakeoverReport:
    return TakeoverReport(Position(epoch, sequence), (), (), (), False)


def holder() -> Node:
    node = Node()
    node.agent.acquire(1, node.clock.time + LEASE_S)
    return node


def taking_over(epoch: int = 2) -> Node:
    """It was granted the lease after n3, and has asked the others."""
    node = Node()
    node.agent.show(1, "n3")
    node.guard.position = Position(1, 4)
    node.guard.extend(node.clock.time + 60, node.clock.time)
    node.agent.acquire(epoch, node.clock.time + LEASE_S)
    return node


def serving(node: Node) -> bool:
    return node.clock.time < node.guard.serve_until


# -- grants ---------------------------------------------------------------------------------------


def test_a_grant_of_the_epoch_that_it_has_renews_its_lease() -> None:
    node = holder()
    primary = node.primary.primary
    assert primary is not None
    node.agent.acquire(1, node.clock.time + 5.0)
    assert node.primary.primary is primary
    assert primary.position == Position(1, 0)
    assert primary.holds(node.clock.time + 4.99)
    assert not primary.holds(node.clock.time + 5.0)


async def test_a_holder_whose_next_grant_is_not_the_epoch_after_asks_the_others() -> None:
    """What was between may have been another node's."""
    node = holder()
    node.agent.state.epoch_members[2] = NAMES
    node.agent.acquire(3, node.clock.time + LEASE_S)
    assert node.primary.primary is None
    assert node.coordinator.route() is None
    await settled()
    assert {node_id for node_id, _, _ in node.asked} == {"n2", "n3"}
    assert node.guard.all_unknown(node.clock.time)  # nobody has answered


async def test_a_node_that_takes_over_serves_nothing_and_follows_nobody_meanwhile() -> None:
    node = taking_over()
    assert not serving(node)
    assert node.replica.targets[-1] is None
    await settled()
    assert serving(node)


async def test_a_lease_that_is_lost_and_granted_again_orphans_what_was_under_way() -> None:
    node = holder()
    primary = node.primary.primary
    assert primary is not None
    fence, _ = node.primary.begin(primary, [KEY])
    node.agent.lose(1)
    assert not primary.holds(node.clock.time)
    node.agent.acquire(1, node.clock.time + LEASE_S)
    assert primary.holds(node.clock.time)
    assert not node.primary.settle(primary, fence, Outcome.SUCCESS, [None])


async def test_a_renewal_is_the_primarys_and_wakes_who_waits() -> None:
    node = holder()
    primary = node.primary.primary
    assert primary is not None
    for event in (Renewed(node.clock.time + 5.0), Lost(1)):
        waiting = asyncio.create_task(node.coordinator.changed(60.0))
        await settled()
        node.agent._on_lease(event)
        assert primary.holds(node.clock.time + 4.99) is isinstance(event, Renewed)
        await asyncio.wait_for(waiting, 10.0)


async def test_of_two_grants_in_a_row_only_the_later_one_begins() -> None:
    node = Node()
    late = asyncio.Event()

    async def recall(address: str, epoch: int, position: Position | None) -> TakeoverReport:
        if epoch == 2:
            await late.wait()
        return remembered(1, 4)

    node.coordinator._recall = recall
    node.agent.show(1, "n3")
    node.guard.position = Position(1, 4)
    for epoch in (2, 3):
        node.agent.acquire(epoch, node.clock.time + LEASE_S)
        await settled()
    late.set()
    await settled()
    assert node.primary.primary is not None
    assert node.primary.primary.epoch == 3


# -- takeovers ------------------------------------------------------------------------------------


async def test_who_is_no_member_any_more_is_not_waited_for() -> None:
    node = Node()
    node.agent.names = ("n1", "n2", "n9")
    node.agent.show(1, "n9")
    node.agent.names = NAMES
    node.guard.position = Position(1, 4)
    node.reports["n2"] = remembered(1, 4)
    node.agent.state.epoch_members[1] = ("n1", "n2", "n9")
    node.agent.view = view(1, None, NAMES)
    node.agent.acquire(2, node.clock.time + LEASE_S)
    await settled()
    assert [node_id for node_id, _, _ in node.asked] == ["n2"]
    assert isinstance(node.coordinator.route(), Here)
    assert not node.guard.all_unknown(node.clock.time)


async def test_a_takeover_that_fails_by_an_error_of_ours_starts_over() -> None:
    """Else nobody could write."""
    node = Node()

    async def recall(*_: object) -> TakeoverReport:
        raise ValueError("a defect")

    node.coordinator._recall = recall
    node.agent.show(1, "n3")
    node.guard.position = Position(1, 4)
    node.agent.acquire(2, node.clock.time + LEASE_S)
    await settled()
    assert isinstance(node.coordinator.route(), Here)
    assert node.guard.all_unknown(node.clock.time)


async def test_who_waits_for_a_primary_is_woken_when_the_takeover_has_ended() -> None:
    node = taking_over()
    waiting = asyncio.create_task(node.coordinator.changed(60.0))
    await asyncio.wait_for(waiting, 10.0)
    assert isinstance(node.coordinator.route(), Here)


async def test_a_holder_that_took_over_follows_the_next_one() -> None:
    node = taking_over()
    await settled()
    node.agent.show(3, "n2")
    assert node.replica.targets[-1].epoch == 3
    assert not serving(node)


async def test_a_node_that_takes_over_gives_up_when_a_later_epoch_asks_it() -> None:
    node = taking_over()
    node.reports["n2"] = node.reports["n3"] = remembered(1, 4)
    assert node.coordinator.report_for_takeover(3, None) is not None
    await settled()
    assert node.primary.primary is None
    assert node.coordinator.route() is None


async def test_the_takeover_ends_with_the_node() -> None:
    node = taking_over()
    running = asyncio.create_task(node.coordinator.run())
    takeover = node.coordinator._takeover
    assert takeover is not None
    await asyncio.sleep(0)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert takeover.done()


# -- questions of a new primary -------------------------------------------------------------------


def test_the_epoch_that_is_its_own_or_earlier_gets_no_report() -> None:
    node = holder()
    assert node.coordinator.report_for_takeover(1, None) is None
    assert isinstance(node.coordinator.route(), Here)
    assert serving(node)


def test_an_epoch_before_the_one_that_is_seen_gets_no_report() -> None:
    node = Node()
    node.agent.show(5, "n3")
    assert node.coordinator.report_for_takeover(4, None) is None
    assert node.coordinator.report_for_takeover(5, None) is not None


async def test_who_was_asked_serves_nothing_until_it_follows_who_asked() -> None:
    node = Node()
    node.agent.show(1, "n3")
    node.guard.position = Position(1, 4)
    node.guard.extend(node.clock.time + 60, node.clock.time)
    waiting = asyncio.create_task(node.coordinator.changed(60.0))
    await settled()
    report = node.coordinator.report_for_takeover(2, Position(1, 4))
    assert report is not None
    assert report.position == Position(1, 4)
    assert not serving(node)
    await asyncio.wait_for(waiting, 10.0)


# -- views ----------------------------------------------------------------------------------------


def test_an_older_view_does_not_end_the_epoch() -> None:
    node = holder()
    node.agent.acquire(2, node.clock.time + LEASE_S)
    targets = list(node.replica.targets)
    node.agent.show(1, "n2")
    node.agent.show(2, "n2")  # impossible, but no reason to give up what the log has granted
    assert isinstance(node.coordinator.route(), Here)
    assert node.replica.targets == targets


def test_a_view_without_a_primary_or_with_itself_changes_no_role() -> None:
    node = holder()
    for primary in (None, "n1"):
        node.agent.show(1, primary)
        assert isinstance(node.coordinator.route(), Here)
    other = Node()
    other.agent.show(3, "n1")  # the grant itself has not come yet
    assert other.coordinator.route() is None
    assert other.replica.targets == []
    follower = Node()
    follower.agent.show(1, "n2")
    follower.agent.show(1, None)  # its lease is over, but what it sends until then still counts
    assert [target.epoch for target in follower.replica.targets] == [1]


def test_a_primary_without_an_address_is_neither_followed_nor_asked_to_write() -> None:
    node = Node()
    node.agent.show(1, "n2")
    assert node.coordinator.route() == There("n2", 1)
    members = (Member("n1", "a", "i"), Member("n2", "a", "i"))
    for gone in (members, members[:1]):
        node.agent.view = replace(view(2, "n2"), members=gone)
        node.agent._on_view(node.agent.view)
        assert node.coordinator.route() is None
        assert node.replica.targets[-1] is None


def test_a_node_is_primary_only_while_its_lease_is_valid() -> None:
    node = holder()
    assert node.coordinator.is_primary
    node.clock.time += LEASE_S
    assert not node.coordinator.is_primary
    assert isinstance(node.coordinator.route(), Here)  # it may be renewed yet
    node.agent.acquire(1, node.clock.time + LEASE_S)
    node.agent.show(2, "n2")
    assert not node.coordinator.is_primary


async def test_all_who_wait_for_a_change_are_woken_by_it() -> None:
    node = holder()
    waiting = [asyncio.create_task(node.coordinator.changed(60.0)) for _ in range(2)]
    await settled()
    node.agent.show(2, "n2")
    await asyncio.wait_for(asyncio.gather(*waiting), 10.0)


async def test_no_wait_for_a_change_is_longer_than_it_was_given() -> None:
    for timeout_s in (0.01, 0.0, -1.0):
        await asyncio.wait_for(holder().coordinator.changed(timeout_s), 10.0)


# -- time -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("who", ["primary", "replica"])
async def test_what_is_due_sooner_is_looked_at_sooner(
    who: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(coordinator, "LOOK_S", 1000.0)
    node = holder()
    ticks: list[float] = []
    monkeypatch.setattr(node.primary, "tick", lambda: ticks.append(node.clock.time))
    running = asyncio.create_task(node.coordinator.run())
    try:
        await until(lambda: len(ticks) == 1)
        getattr(node, who).on_deadline(node.clock.time + 2000.0)
        await settled()
        assert len(ticks) == 1
        getattr(node, who).on_deadline(node.clock.time + 5.0)
        await until(lambda: len(ticks) == 2)
    finally:
        running.cancel()


async def test_time_passes_for_guard_primary_and_replica(monkeypatch: pytest.MonkeyPatch) -> None:
    node = holder()
    ticks: list[str] = []
    monkeypatch.setattr(node.replica, "tick", lambda: ticks.append("replica"))
    monkeypatch.setattr(node.primary, "tick", lambda: ticks.append("primary"))
    node.guard.quarantine([KEY], node.clock.time)
    node.clock.time += 10.0
    running = asyncio.create_task(node.coordinator.run())
    try:
        await until(lambda: len(ticks) >= 4)
        assert set(ticks) == {"primary", "replica"}
        assert KEY not in node.guard._unknown
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_a_takeover_reflects_what_was_missed_at_the_time_of_its_end() -> None:
    node = Node()
    node.agent.show(1, "n3")
    node.guard.position = Position(1, 3)
    missed = Fence(Position(1, 4), (KEY,))
    node.reports["n2"] = TakeoverReport(missed.position, (missed,), (missed,), (), False)
    node.agent.acquire(2, node.clock.time + LEASE_S)
    node.clock.time += 1.0
    await settled()
    assert node.guard.unknown_keys(node.clock.time + 9.99) == (KEY,)
    assert node.guard.unknown_keys(node.clock.time + 10.0) == ()
