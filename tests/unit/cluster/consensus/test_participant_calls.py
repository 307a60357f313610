"""What callers ask of a participant, and what they are told."""

from __future__ import annotations

import asyncio

import pytest

from cluster.consensus.core.configuration import AddLearner
from cluster.consensus.core.messages import (
    AppendReply,
    AppendRequest,
    Durable,
    HardState,
    Message,
    TimeoutNow,
    VoteReply,
    founded,
)
from cluster.consensus.core.raft import Times
from cluster.consensus.forwarding import Forward, Forwarded
from cluster.consensus.interface import ProposalRefused, ProposalUnknown
from cluster.consensus.proposals import REQUEST_BITS
from cluster.log.commands import COMMAND_BYTES_MAX
from cluster.log.state import CommandResult
from tests.support.waiting import until
from tests.unit.cluster.consensus.core.by_hand import log_of
from tests.unit.cluster.consensus.test_participant import TIMEOUT_S, VOTERS, Rig


async def follower() -> Rig:
    rig = await Rig().start()
    rig.lead(b"x", commit=1)
    await rig.settle()
    rig.take_sent()
    return rig


async def leader() -> Rig:
    """Of three, with b:1 level."""
    rig = await Rig().start()
    rig.it._take(rig.it._raft.tick(rig.it._raft.deadline()))
    for pre, term in ((True, 0), (False, 1)):
        await rig.settle()
        rig.hear(VoteReply(1, pre, True), term=term)
    await rig.settle()
    for _ in range(2):  # it has the entry, and knows that it is committed
        rig.hear(AppendReply(True, 1))
        await rig.settle()
    assert rig.it.is_leader
    assert rig.it.applied == 1
    rig.take_sent()
    return rig


class TestWhoLeads:
    async def test_a_leader_hands_over_to_a_node_by_its_id(self) -> None:
        rig = await leader()
        assert await rig.it.transfer_leadership("n2")
        await rig.settle()
        wishes = [m.target for m in rig.sent if isinstance(m, Message) and m.body == TimeoutNow()]
        assert wishes == ["b:1"]
        await rig.it.stop()

    async def test_only_a_leader_hands_over(self) -> None:
        rig = await follower()
        assert not await rig.it.transfer_leadership("n2")
        assert rig.it.leader == "n2"
        await rig.it.stop()
        assert rig.it.leader is None

    async def test_a_leader_is_level_once_its_first_entry_is_applied(self) -> None:
        rig = await leader()
        assert rig.it.synced
        await rig.it.stop()

    async def test_heartbeats_are_sent_by_themselves(self) -> None:
        rig = await Rig(founded(VOTERS[:1]), times=Times(0.02, 0.1)).start()
        await until(lambda: rig.it.is_leader, "it leads")
        adding = asyncio.create_task(rig.it.add_peer("d:1", TIMEOUT_S))
        await until(lambda: len(rig.sent) > 5, "it sends heartbeats to the learner")
        await rig.it.stop()
        adding.cancel()


class TestProposals:
    async def test_a_leaders_own_are_answered_once_they_are_applied(self) -> None:
        rig = await leader()
        proposal = asyncio.create_task(rig.it.propose(b"p", TIMEOUT_S))
        await rig.settle()
        assert not proposal.done()
        rig.hear(AppendReply(True, 2))
        assert await proposal == CommandResult(True, 1)
        await rig.it.stop()

    async def test_those_of_others_are_placed_and_replicated(self) -> None:
        rig = await leader()
        rig.it.receive(Forward("b:1", "a:1", 7, b"p"))
        await rig.settle()
        assert Forwarded("a:1", "b:1", 7, 2, 1) in rig.sent
        appends = [m.body for m in rig.sent if isinstance(m, Message) and m.target == "b:1"]
        assert isinstance(appends[-1], AppendRequest)
        assert appends[-1].entries[-1].data == b"p"
        await rig.it.stop()

    async def test_each_start_numbers_them_anew(self) -> None:
        rig = await follower()
        proposal = asyncio.create_task(rig.it.propose(b"p", TIMEOUT_S))
        await rig.settle()
        (forward,) = rig.take_sent()
        assert isinstance(forward, Forward)
        assert forward.request >> REQUEST_BITS == 1  # the disk's first start
        await rig.it.stop()
        with pytest.raises(ProposalUnknown, match="stopping"):
            await proposal

    async def test_one_that_is_too_large_is_refused(self) -> None:
        rig = await follower()
        with pytest.raises(ProposalRefused, match="too large"):
            await rig.it.propose(b"x" * (COMMAND_BYTES_MAX + 1), TIMEOUT_S)
        await rig.it.stop()

    async def test_the_state_and_who_leads_are_watched(self) -> None:
        rig = await Rig().start()
        seen: list[tuple[str | None, int, bool]] = []
        rig.it.watch(lambda: seen.append((rig.it.leader, rig.it.applied, rig.it.synced)))
        rig.lead(b"x", b"y", commit=2)
        await rig.settle()
        assert seen == [("n2", 0, False), ("n2", 2, True)]
        rig.hear(AppendRequest(2, 1, (), 2))
        await rig.settle()
        assert len(seen) == 2  # nothing is new
        rig.hear(AppendRequest(2, 1, (), 2), term=2, source="c:1")
        await rig.settle()
        assert seen[-1] == ("n3", 2, True)
        await rig.it.stop()


class TestMembers:
    async def test_neither_oneself_nor_the_leader_is_removed(self) -> None:
        rig = await follower()
        with pytest.raises(ProposalRefused, match="cannot remove itself"):
            await rig.it.remove_peer("a:1", TIMEOUT_S)
        with pytest.raises(ProposalRefused, match="leads the log"):
            await rig.it.remove_peer("b:1", TIMEOUT_S)
        assert not rig.sent
        await rig.it.stop()

    async def test_a_refusal_is_told_when_the_time_is_over(self) -> None:
        rig = await leader()
        adding = asyncio.create_task(rig.it.add_peer("d:1", TIMEOUT_S))
        await rig.settle()
        with pytest.raises(ProposalRefused, match="another change"):
            await rig.it.add_peer("e:1", 0.2)
        assert rig.it.voters == frozenset(VOTERS)
        rig.hear(AppendReply(True, 2))
        await adding
        assert rig.it.members == frozenset((*VOTERS, "d:1"))
        assert rig.it.voters == frozenset(VOTERS)
        await rig.it.stop()

    async def test_a_node_that_stops_asks_no_longer(self) -> None:
        rig = await leader()
        adding = [asyncio.create_task(rig.it.add_peer(f"{n}:1", TIMEOUT_S)) for n in "de"]
        await rig.settle()
        await rig.it.stop()
        await asyncio.wait(adding, timeout=TIMEOUT_S / 2)
        assert isinstance(adding[0].exception(), ProposalUnknown)  # it may be in the log
        assert isinstance(adding[1].exception(), ProposalRefused)

    async def test_a_learner_that_has_the_log_becomes_a_voter(self) -> None:
        rig = await leader()
        adding = asyncio.create_task(rig.it.add_peer("d:1", TIMEOUT_S))
        await rig.settle()
        rig.hear(AppendReply(True, 2))
        await adding
        rig.it._promote(rig.it._loop.time())
        assert "d:1" not in rig.it.voters
        rig.hear(AppendReply(True, 2), source="d:1")
        rig.it._promote(rig.it._loop.time())
        assert "d:1" in rig.it.voters
        await rig.it.stop()

    async def test_it_does_so_where_nothing_else_was_due(self) -> None:
        """As of a log that is written to all the time, which needs no heartbeats: the timer rings
        for one that is needless by then."""
        rig = await leader()
        adding = asyncio.create_task(rig.it.add_peer("d:1", TIMEOUT_S))
        await rig.settle()
        rig.hear(AppendReply(True, 2))
        await adding
        rig.hear(AppendReply(True, 2), source="d:1")
        assert rig.it._raft.deadline() > rig.it._loop.time()
        assert "d:1" not in rig.it.voters
        rig.it._due()
        assert "d:1" in rig.it.voters
        await rig.it.stop()

    async def test_what_is_asked_for_already_is_so(self) -> None:
        rig = await follower()
        await rig.it.add_peer("c:1", TIMEOUT_S)
        await rig.it.remove_peer("d:1", TIMEOUT_S)
        assert not rig.sent
        await rig.it.stop()


async def test_what_follows_a_silent_start_is_no_replay() -> None:
    """A leader that begins with nothing applies its own entries as new ones."""
    rig = await leader()
    proposal = asyncio.create_task(rig.it.propose(b"p", TIMEOUT_S))
    await rig.settle()
    rig.hear(AppendReply(True, 2))
    await proposal
    assert rig.applied == [(b"p", False)]
    await rig.it.stop()


async def test_who_was_level_once_does_not_replay_when_it_falls_behind() -> None:
    rig = await follower()
    rig.lead(b"y", after=1, commit=5)
    await rig.settle()
    assert not rig.it.synced
    rig.lead(b"z", after=2, commit=5)
    await rig.settle()
    assert rig.applied == [(b"x", True), (b"y", False), (b"z", False)]
    await rig.it.stop()


async def test_who_is_level_with_nothing_replays_nothing() -> None:
    rig = await Rig().start()
    rig.hear(AppendRequest(0, 0, (), 0))
    await rig.settle()
    rig.lead(b"x", commit=1)
    await rig.settle()
    assert rig.applied == [(b"x", False)]
    await rig.it.stop()


async def test_what_was_on_the_disk_is_replayed_even_if_the_state_is_level() -> None:
    durable = Durable(HardState(1), founded(VOTERS).snapshot, log_of(1))
    rig = await Rig(durable).start()
    rig.hear(AppendRequest(1, 1, (), 0))
    await rig.settle()
    assert rig.it.synced
    rig.hear(AppendRequest(1, 1, (), 1))
    await rig.settle()
    assert [replayed for _, replayed in rig.applied] == [True]
    await rig.it.stop()


async def test_a_change_that_changes_nothing_is_made() -> None:
    rig = await leader()
    assert await rig.it._submit(AddLearner("b:1"), TIMEOUT_S) == CommandResult(True)
    await rig.it.stop()
