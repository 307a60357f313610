"""The driver's order within one turn of the loop, and what becomes of it when something raises."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from cluster.consensus.carrying_out import WAITING_MAX
from cluster.consensus.core.configuration import AddLearner
from cluster.consensus.core.messages import (
    Append,
    AppendReply,
    AppendRequest,
    Durable,
    Entry,
    HardState,
    Kind,
    Message,
    VoteReply,
    VoteRequest,
    founded,
)
from cluster.consensus.core.raft import Times
from cluster.consensus.forwarding import Forward, Forwarded, Letter
from cluster.consensus.interface import PROPOSALS_MAX, ProposalRefused, ProposalUnknown
from cluster.consensus.proposals import Proposals
from cluster.log.state import CommandResult
from tests.support.waiting import until
from tests.unit.cluster.consensus.core.by_hand import log_of
from tests.unit.cluster.consensus.test_participant import TIMEOUT_S, VOTERS, Rig


@pytest_asyncio.fixture
async def rig() -> AsyncIterator[Rig]:
    made = await Rig().start()
    yield made
    made.disk.goes.set()
    await made.it.stop()


class TestTurns:
    async def test_what_comes_as_a_write_ends_is_written_too(self, rig: Rig) -> None:
        """In the same turn of the loop, after the writer's last look at what waits."""
        loop = asyncio.get_running_loop()
        send = rig.it._links.send

        def send_and_hear(letter: Letter) -> None:
            rig.it._links.send = send  # type: ignore[method-assign]
            send(letter)
            loop.call_soon(rig.lead, b"y")
            loop.call_soon(lambda: rig.hear(AppendRequest(1, 1, (second,), 0)))
            loop.call_soon(lambda: rig.hear(AppendRequest(2, 1, (), 0)))

        second = Entry(2, 1, Kind.COMMAND, b"y")
        rig.it._links.send = send_and_hear  # type: ignore[method-assign]
        rig.lead(b"x")
        written_when_said: list[bool] = []

        def watch(letter: Letter) -> None:
            if isinstance(letter, Message) and letter.body == AppendReply(True, 2):
                written_when_said.append(Append((second,)) in rig.disk.writes)
            send(letter)

        def send_first(letter: Letter) -> None:
            send_and_hear(letter)
            rig.it._links.send = watch  # type: ignore[method-assign]

        rig.it._links.send = send_first  # type: ignore[method-assign]
        await rig.settle()
        assert Append((second,)) in rig.disk.writes
        assert written_when_said == [True, True]

    async def test_what_is_heard_while_something_is_said_waits_for_its_turn(self, rig: Rig) -> None:
        rig.lead(b"x", b"y", b"z")
        await rig.settle()
        rig.take_sent()
        send = rig.send

        def answer_at_once(letter: Letter) -> None:
            send(letter)
            if len(rig.sent) == 1:
                rig.hear(AppendRequest(3, 1, (), 3))

        rig.it._links.send = answer_at_once  # type: ignore[method-assign]
        rig.hear(AppendRequest(3, 1, (), 2))
        await rig.settle()
        assert rig.machine.commands == [b"x", b"y", b"z"]
        assert rig.it.trouble is None

    async def test_the_timer_is_set_for_what_was_decided(self) -> None:
        rig = await Rig(founded(VOTERS[:1]), times=Times(0.05, 0.1)).start()
        await until(lambda: rig.it.is_leader, "it leads")
        result = await rig.it.propose(b"x", TIMEOUT_S)
        assert result == CommandResult(True, 1)
        await rig.it.stop()


class TestWhatRaises:
    @pytest.mark.parametrize("behind_a_write", [False, True])
    async def test_a_state_that_cannot_follow_ends_the_part(
        self, rig: Rig, behind_a_write: bool
    ) -> None:
        """Entries that it had passed over would be missing in it for ever."""

        def broken(data: bytes) -> CommandResult:
            raise KeyError(data)

        rig.lead(b"x", b"y")
        await rig.settle()
        proposal = asyncio.create_task(rig.it.propose(b"p", TIMEOUT_S))
        await rig.settle()
        rig.machine.apply = broken  # type: ignore[method-assign]
        if behind_a_write:
            rig.lead(b"z", after=2, commit=2)
        else:
            rig.hear(AppendRequest(2, 1, (), 2))
        await rig.settle()
        assert "cannot be followed" in str(rig.it.trouble)
        with pytest.raises(ProposalUnknown):
            await proposal
        del rig.machine.apply  # type: ignore[method-assign]
        rig.take_sent()
        rig.hear(AppendRequest(2, 1, (), 2))
        await rig.settle()
        assert not rig.machine.commands
        assert not rig.sent

    async def test_a_log_that_breaks_the_rules_ends_the_part(self, rig: Rig) -> None:
        rig.lead(b"x", commit=1)
        await rig.settle()
        rig.take_sent()
        rig.disk.goes.clear()
        rig.lead(b"y", after=1, commit=2)
        await rig.settle()
        rig.hear(AppendRequest(2, 2, (), 2), term=2, source="c:1")
        assert "another entry at 2" in str(rig.it.trouble)
        rig.disk.goes.set()
        await rig.settle()
        assert rig.machine.commands == [b"x"]
        assert not rig.sent
        with pytest.raises(ProposalRefused, match="another entry"):
            await rig.it.propose(b"p", TIMEOUT_S)

    async def test_a_write_that_is_cancelled_ends_the_part(self, rig: Rig) -> None:
        rig.disk.goes.clear()
        rig.lead(b"x")
        await rig.settle()
        (writing,) = [t for t in asyncio.all_tasks() if t.get_coro().__name__ == "_write"]  # type: ignore[union-attr]
        writing.cancel()
        await rig.settle()
        assert "cannot be written" in str(rig.it.trouble)


async def test_the_reset_of_the_leaders_connection_is_silence(rig: Rig) -> None:
    rig.lead(b"x")
    await rig.settle()
    rig.take_sent()
    wanted = VoteRequest(2, False, 1, 1)
    rig.hear(wanted, term=2, source="c:1")
    rig.it.unreachable("c:1")
    rig.hear(wanted, term=2, source="c:1")
    await rig.settle()
    assert not rig.sent
    rig.it.unreachable("b:1")
    rig.hear(wanted, term=2, source="c:1")
    await rig.settle()
    assert [one.body for one in rig.sent if isinstance(one, Message)][-1] == VoteReply(
        2, False, True
    )


async def test_who_lost_its_leader_stands_soon() -> None:
    """Its timer was set for much later."""
    rig = await Rig(times=Times(0.02, 1000.0)).start()
    rig.lead(b"x")
    await rig.settle()
    rig.take_sent()
    rig.it.unreachable("b:1")
    await until(lambda: bool(rig.sent), "it asks for votes")
    assert all(isinstance(getattr(one, "body", None), VoteRequest) for one in rig.sent)
    await rig.it.stop()


async def test_who_hears_nothing_more_stands() -> None:
    """Though its timer was set before it heard something, and so for an earlier time."""
    rig = await Rig(times=Times(0.02, 0.05)).start()
    rig.lead(b"x")
    rig.hear(AppendRequest(1, 1, (), 0))
    await until(
        lambda: any(isinstance(getattr(one, "body", None), VoteRequest) for one in rig.sent),
        "it asks for votes",
    )
    await rig.it.stop()


@pytest.mark.parametrize("why", ["its disk stands still", ""])
async def test_who_may_not_stand_does_not(why: str) -> None:
    entries = log_of(1, 1)
    full = Durable(HardState(1), founded(VOTERS).snapshot, entries)
    rig = await Rig(full).start()
    rig.disk.goes.clear()
    rig.lead(b"x", after=len(entries), commit=0)
    await rig.settle()
    beats = WAITING_MAX + 1 if why == "its disk stands still" else 1
    for _ in range(beats):
        rig.hear(AppendRequest(len(entries) + 1, 1, (), 0))
    rig.it._raft._election_at = 0.0  # it is time
    rig.it._due()
    rig.disk.goes.set()
    await rig.settle()
    asked = [one for one in rig.sent if isinstance(getattr(one, "body", None), VoteRequest)]
    assert bool(asked) is not bool(why)
    await rig.it.stop()


class TestChanges:
    async def test_one_that_is_not_committed_is_no_success(self) -> None:
        """It may yet be taken back, by another leader."""
        rig = await Rig().start()
        rig.lead(b"x", commit=1)
        await rig.settle()
        after = founded(VOTERS[:2]).snapshot.configuration
        entry = Entry(2, 1, Kind.CONFIGURATION, after.encode())
        rig.hear(AppendRequest(1, 1, (entry,), 1))
        await rig.settle()
        removal = asyncio.create_task(rig.it.remove_peer("c:1", TIMEOUT_S))
        await rig.settle()
        assert not removal.done()
        rig.hear(AppendRequest(2, 1, (), 2))
        rig.it.receive(Forwarded("b:1", "a:1", _request(rig), 0, 0, "another change"))
        await removal
        await rig.it.stop()

    async def test_it_is_forwarded(self) -> None:
        rig = await Rig().start()
        rig.lead(b"x", commit=1)
        await rig.settle()
        adding = asyncio.create_task(rig.it.add_peer("d:1", 0.1))
        await rig.settle()
        assert [one.what for one in rig.sent if isinstance(one, Forward)] == [AddLearner("d:1")]
        with pytest.raises(ProposalUnknown):
            await adding
        await rig.it.stop()


def _request(rig: Rig) -> int:
    return [one.request for one in rig.sent if isinstance(one, Forward)][-1]


class TestProposals:
    def future(self) -> asyncio.Future[CommandResult]:
        return asyncio.get_running_loop().create_future()

    async def test_an_answer_to_the_process_before_is_none_to_this_one(self) -> None:
        """It would be told another command's fate: refused, though it is in the log."""
        before, now = Proposals(1), Proposals(2)
        old = before.forward(self.future())
        future = self.future()
        new = now.forward(future)
        now.answered(Forwarded("b", "a", old, 0, 0, "too busy"), 0)
        assert not future.done()
        now.answered(Forwarded("b", "a", new, 7, 1), 0)
        now.applied(Entry(7, 1, Kind.COMMAND), CommandResult(True, 5))
        assert future.result() == CommandResult(True, 5)

    async def test_one_that_nobody_waits_for_does_not_count(self) -> None:
        """Else a node that led without a majority could propose nothing for a long time."""
        rig = await Rig(founded(VOTERS[:2])).start()
        rig.it._take(rig.it._raft.tick(rig.it._raft.deadline()))
        for pre, term in ((True, 0), (False, 1)):
            await rig.settle()
            rig.hear(VoteReply(1, pre, True), term=term)
        await rig.settle()
        assert rig.it.is_leader
        await asyncio.gather(
            *(rig.it.propose(b"p", 0.01) for _ in range(PROPOSALS_MAX)), return_exceptions=True
        )
        with pytest.raises(ProposalUnknown):
            await rig.it.propose(b"p", 0.01)
        assert not len(rig.it._proposals)
        await rig.it.stop()

    async def test_what_was_applied_just_before_the_answer_is_unknown(self) -> None:
        it, future = Proposals(1), self.future()
        it.answered(Forwarded("b", "a", it.forward(future), 7, 1), 7)
        with pytest.raises(ProposalUnknown):
            future.result()

    async def test_each_of_two_at_a_place_hears_its_own_fate(self) -> None:
        it = Proposals(1)
        first, second, third = self.future(), self.future(), self.future()
        it.place(7, 1, first)
        it.place(7, 3, second)
        it.place(8, 3, third)
        assert len(it) == 3
        it.applied(Entry(7, 1, Kind.COMMAND), CommandResult(True, 5))
        assert first.result() == CommandResult(True, 5)
        with pytest.raises(ProposalRefused, match="another leader's"):
            second.result()
        assert len(it) == 1
        it.forget(0, third)
        it.forget(0, second)
        assert len(it) == 0
        it.applied(Entry(8, 3, Kind.COMMAND), CommandResult(True))
        assert not third.done()
        it.place(9, 3, third)
        it.passed(8)
        assert not third.done()
        it.passed(9)
        with pytest.raises(ProposalUnknown, match="snapshot"):
            third.result()
