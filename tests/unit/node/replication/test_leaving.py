"""How a node leaves: the primary lease goes on in order, and is not taken again."""

from __future__ import annotations

import asyncio

import pytest

from cluster.coherence.messages import (
    Ack,
    LeaseReply,
    LeaseRequest,
    Outcome,
    Position,
    Subscribe,
)
from cluster.coherence.primary import Primary, Send
from cluster.coherence.takeover_report import TakeoverReport
from node.replication.coordinator import SUCCESSOR_S
from node.replication.membership import GIVE_WAY_S
from paceline.errors import Unavailable
from tests.support.waiting import until
from tests.unit.node.replication.coordinator_rig import ENDS_S, KEY, Node, settled


@pytest.fixture
def node() -> Node:
    node = Node()
    node.agent.acquire(1, node.clock.time + 1.5)
    return node


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
    assert node.agent.declined == 1  # what it has claimed may be granted yet


def leased(primary: Primary, node_id: str, now: float) -> float:
    """The length of the read lease that this primary gives to a new replica."""
    primary.subscribed(1, Subscribe(node_id, "i", primary.epoch, None), now)
    primary.received(1, Ack(primary.position), now)
    [sent] = primary.received(1, LeaseRequest(1), now)
    assert isinstance(sent, Send)
    assert isinstance(sent.message, LeaseReply)
    return sent.message.duration_s


async def test_a_node_that_stops_while_it_takes_over_releases_the_lease() -> None:
    node = Node()
    node.agent.show(1, "n3")
    node.guard.position = Position(1, 4)
    node.agent.acquire(2, node.clock.time + 1.5)
    leaving = asyncio.create_task(node.coordinator.hand_over(4.0))
    await until(lambda: node.agent.released == 1)
    node.agent.show(3, "n2")
    await asyncio.wait_for(leaving, ENDS_S)
    assert node.primary.primary is None


async def test_nor_does_it_begin_the_epoch_when_the_others_answer_after_all() -> None:
    node = Node()
    node.agent.show(1, "n3")
    node.guard.position = Position(1, 4)
    node.reports["n2"] = node.reports["n3"] = TakeoverReport(Position(1, 4), (), (), (), False)
    node.agent.acquire(2, node.clock.time + 1.5)
    leaving = asyncio.create_task(node.coordinator.hand_over(4.0))
    await until(lambda: node.agent.released == 1)
    await settled()
    assert node.primary.primary is None
    leaving.cancel()
    await asyncio.gather(leaving, return_exceptions=True)


async def test_a_leaving_node_declines_the_lease_that_it_is_granted() -> None:
    node = Node()
    node.agent.show(1, "n3")
    await node.coordinator.hand_over(4.0)
    before = node.agent.declined
    node.agent.acquire(2, node.clock.time + 1.5)
    await settled()
    assert node.agent.declined == before + 1
    assert node.primary.primary is None
    assert node.asked == []  # it takes nothing over


async def test_nor_does_a_leaving_holder_begin_an_epoch_that_is_not_its_next(node: Node) -> None:
    primary = node.primary.primary
    assert primary is not None
    node.primary.begin(primary, [KEY])
    leaving = asyncio.create_task(node.coordinator.hand_over(4.0))
    await settled()
    assert not leaving.done()
    node.agent.acquire(3, node.clock.time + 1.5)
    assert node.agent.declined == 1
    assert node.primary.primary is None
    await asyncio.wait_for(leaving, ENDS_S)


async def test_a_leaving_holder_ends_the_epoch_that_it_had_wanted_before(node: Node) -> None:
    former = node.primary.primary
    assert former is not None
    fence, _ = node.primary.begin(former, [KEY])
    assert leased(former, "n2", node.clock.time) > 0
    leaving = asyncio.create_task(node.coordinator.hand_over(40.0))
    await settled()
    node.primary.settle(former, fence, Outcome.REJECTED, [None])
    node.agent.acquire(2, node.clock.time + 20.0)
    primary = node.primary.primary
    assert primary is not None
    assert primary is not former
    assert leased(primary, "n3", node.clock.time) == 0  # it gives no read lease any more
    fence, _ = node.primary.begin(primary, [KEY])
    await asyncio.sleep(0.1)
    assert not node.agent.released  # n2's lease, which the epoch before gave, is alive
    node.clock.time += 1.1
    await asyncio.sleep(0.1)
    assert not node.agent.released  # a write is under way
    node.primary.settle(primary, fence, Outcome.SUCCESS, [None])
    await until(lambda: node.agent.released == 1)
    assert node.primary.primary is None
    node.agent.show(3, "n2")
    await asyncio.wait_for(leaving, ENDS_S)


async def test_writes_that_never_end_keep_the_lease_no_longer_than_they_are_given(
    node: Node,
) -> None:
    primary = node.primary.primary
    assert primary is not None
    node.primary.begin(primary, [KEY])
    leaving = asyncio.create_task(node.coordinator.hand_over(1.0))
    await settled()
    assert node.agent.released == 0
    node.clock.time += 1.0
    await until(lambda: node.agent.released == 1)
    node.agent.show(2, "n2")
    await asyncio.wait_for(leaving, ENDS_S)
    assert node.guard.unknown_keys(node.clock.time) == (KEY,)


async def test_but_read_leases_are_waited_for_in_any_case(node: Node) -> None:
    primary = node.primary.primary
    assert primary is not None
    assert leased(primary, "n2", node.clock.time) > 0
    leaving = asyncio.create_task(node.coordinator.hand_over(0.0))
    await asyncio.sleep(0.1)
    assert node.agent.released == 0
    node.clock.time += 1.1
    await until(lambda: node.agent.released == 1)
    node.agent.show(2, "n2")
    await asyncio.wait_for(leaving, ENDS_S)


async def test_a_node_that_is_alone_waits_for_no_successor() -> None:
    node = Node(("n1",))
    node.agent.acquire(1, node.clock.time + 1.5)
    await asyncio.wait_for(node.coordinator.hand_over(4.0), ENDS_S)


async def test_without_a_majority_the_lease_just_runs_out(node: Node) -> None:
    node.agent.release_error = Unavailable("no majority")
    await asyncio.wait_for(node.coordinator.hand_over(4.0), ENDS_S)
    assert node.primary.primary is None


@pytest.mark.parametrize("names", [("n1", "n2"), ("n1", "n2", "n3")])
async def test_a_successor_is_waited_for_where_there_can_be_one(names: tuple[str, ...]) -> None:
    node = Node(names)
    node.agent.acquire(1, node.clock.time + 1.5)
    leaving = asyncio.create_task(node.coordinator.hand_over(4.0))
    await until(lambda: node.agent.released == 1)
    await settled()
    assert not leaving.done()
    node.agent.show(2, "n2")
    await asyncio.wait_for(leaving, ENDS_S)


async def test_a_release_that_nobody_heard_of_has_no_successor(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    passing(node, monkeypatch)
    began = node.clock.time
    node.agent.release_error = Unavailable("no majority")
    node.agent.show(1, None)
    await asyncio.wait_for(node.coordinator.hand_over(4.0), ENDS_S)
    assert node.clock.time == began


@pytest.mark.parametrize("after_s", [1.5, 2.0])
async def test_a_lease_that_ran_out_is_not_released(node: Node, after_s: float) -> None:
    node.clock.time += after_s
    await asyncio.wait_for(node.coordinator.hand_over(4.0), ENDS_S)
    assert node.agent.released == 0


def passing(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    """Time passes only where the coordinator waits, by as much as it waits at most."""

    async def changed(timeout_s: float) -> None:
        node.clock.time += timeout_s
        await asyncio.sleep(0)

    monkeypatch.setattr(node.coordinator, "changed", changed)


async def test_a_successor_is_waited_for_no_longer_than_its_bound(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    passing(node, monkeypatch)
    began = node.clock.time
    await asyncio.wait_for(node.coordinator.hand_over(4.0), ENDS_S)
    assert node.agent.released == 1
    assert node.clock.time == pytest.approx(began + SUCCESSOR_S)


async def test_a_node_that_gives_way_claims_the_lease_again_if_nobody_takes_it(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    passing(node, monkeypatch)
    began = node.clock.time
    primary = node.primary.primary
    assert primary is not None
    await asyncio.wait_for(node.coordinator._membership._give_way(primary), ENDS_S)
    assert node.agent.released == 1
    assert node.agent.resumed == 1
    assert node.clock.time == pytest.approx(began + GIVE_WAY_S)
