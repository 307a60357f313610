"""What the driver adds to the core: its order, proposals of other nodes, disks that fail."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
import pytest_asyncio
import uvloop

from cluster.consensus import compacting
from cluster.consensus.carrying_out import WAITING_MAX
from cluster.consensus.core.configuration import Configuration
from cluster.consensus.core.messages import (
    Append,
    AppendRequest,
    Durable,
    Entry,
    HardState,
    Kind,
    Message,
    Rewrite,
    Snapshot,
    SnapshotPiece,
    Write,
    founded,
)
from cluster.consensus.core.raft import Times
from cluster.consensus.forwarding import Forward, Forwarded, Letter
from cluster.consensus.interface import (
    PROPOSALS_MAX,
    Peer,
    ProposalRefused,
    ProposalUnknown,
    Welcome,
)
from cluster.consensus.participant import Participant
from cluster.log.state import CommandResult
from tests.support.waiting import until

PEERS = {"n1": "a:1", "n2": "b:1", "n3": "c:1"}
VOTERS = tuple(PEERS.values())
PATIENT = Times(tick_s=100.0, election_s=1000.0)
"""Nothing happens by itself."""

TIMEOUT_S = 10.0


class ListMachine:
    def __init__(self) -> None:
        self.commands: list[bytes] = []

    def apply(self, data: bytes) -> CommandResult:
        self.commands.append(data)
        return CommandResult(True, len(self.commands))

    def snapshot(self) -> bytes:
        return b",".join(self.commands) or b"-"

    def restore(self, data: bytes) -> None:
        self.commands = [] if data == b"-" else data.split(b",")


class TestDisk:
    __test__ = False

    def __init__(self, durable: Durable) -> None:
        self.durable = durable
        self.writes: list[Write] = []
        self.calls = 0
        self.closed = False
        self.goes = asyncio.Event()
        self.goes.set()
        self.error: Exception | None = None

    async def is_new(self) -> bool:
        return False

    async def open(self, begin: Durable | None) -> tuple[int, Durable]:
        return 1, self.durable

    async def close(self) -> None:
        assert not self.closed
        self.closed = True

    async def write(self, writes: Sequence[Write]) -> None:
        self.calls += 1
        await self.goes.wait()
        if self.error is not None:
            raise self.error
        self.writes += writes


class Rig:
    """a:1, with what it sends."""

    def __init__(self, durable: Durable | None = None, **options: Any) -> None:
        self.disk = TestDisk(durable or founded(VOTERS))
        self.machine = ListMachine()
        self.sent: list[Letter] = []
        self.applied: list[tuple[bytes, bool]] = []
        self.restored: list[bytes] = []
        times = options.pop("times", PATIENT)
        self.it = Participant(
            "n1", "a:1", self.machine, self.disk, self, lambda: 0.0, times, **options
        )
        self.it.know_peers({node: Peer(disk, disk) for node, disk in PEERS.items()})

    def send(self, letter: Letter) -> None:
        self.sent.append(letter)

    async def start(self) -> Rig:
        await self.it.start(
            lambda data, result, replayed, age_s: self.applied.append((data, replayed)),
            self.restored.append,
            lambda node, disk: Welcome(),
        )
        return self

    def hear(self, body: Any, term: int = 1, source: str = "b:1") -> None:
        self.it.receive(Message(source, "a:1", 1, term, body))

    def lead(self, *commands: bytes, after: int = 0, commit: int = 0, term: int = 1) -> None:
        """b:1 leads, and sends these."""
        entries = tuple(
            Entry(after + n, term, Kind.COMMAND, data) for n, data in enumerate(commands, 1)
        )
        self.hear(AppendRequest(after, term if after else 0, entries, commit), term)

    async def settle(self) -> None:
        for _ in range(20):
            await asyncio.sleep(0)

    def take_sent(self) -> list[Letter]:
        sent, self.sent = self.sent, []
        return sent


@pytest_asyncio.fixture
async def rig() -> AsyncIterator[Rig]:
    made = await Rig().start()
    yield made
    made.disk.goes.set()
    await made.it.stop()


class TestOrder:
    async def test_nothing_is_said_or_applied_before_it_is_durable(self, rig: Rig) -> None:
        rig.disk.goes.clear()
        rig.lead(b"x", commit=1)
        await rig.settle()
        assert not rig.sent
        assert not rig.applied
        rig.disk.goes.set()
        await rig.settle()
        assert rig.disk.writes == [HardState(1), Append((Entry(1, 1, Kind.COMMAND, b"x"),))]
        assert len(rig.sent) == 1
        assert rig.applied == [(b"x", True)]

    async def test_what_is_decided_meanwhile_goes_with_one_sync(self, rig: Rig) -> None:
        rig.disk.goes.clear()
        rig.lead(b"x")
        await rig.settle()
        for n in range(5):
            rig.lead(b"y", after=n + 1)
        rig.disk.goes.set()
        await rig.settle()
        assert rig.disk.calls == 2
        assert len(rig.sent) == 6

    async def test_what_needs_no_write_is_said_at_once(self, rig: Rig) -> None:
        rig.lead(b"x")
        await rig.settle()
        rig.take_sent()
        rig.hear(AppendRequest(1, 1, (), 0))
        assert len(rig.sent) == 1

    async def test_what_needs_no_write_waits_for_what_does(self, rig: Rig) -> None:
        rig.disk.goes.clear()
        rig.lead(b"x")
        rig.hear(AppendRequest(1, 1, (), 1))
        await rig.settle()
        assert not rig.sent
        assert not rig.applied


class TestDisks:
    async def test_one_that_fails_ends_the_part(self, rig: Rig) -> None:
        rig.lead(b"x")
        await rig.settle()
        proposal = asyncio.create_task(rig.it.propose(b"p", TIMEOUT_S))
        await rig.settle()
        rig.disk.error = OSError(5, "Input/output error")
        rig.lead(b"y", after=1)
        await rig.settle()
        assert rig.it.trouble is not None
        assert "Input/output error" in rig.it.trouble
        with pytest.raises(ProposalUnknown):
            await proposal
        with pytest.raises(ProposalRefused, match="cannot be written"):
            await rig.it.propose(b"q", TIMEOUT_S)
        rig.take_sent()
        rig.hear(AppendRequest(1, 1, (), 0))
        await rig.settle()
        assert not rig.sent

    async def test_one_that_stands_still_takes_no_more_than_so_much(self, rig: Rig) -> None:
        rig.disk.goes.clear()
        rig.lead(b"x")
        await rig.settle()
        for _ in range(WAITING_MAX + 500):
            rig.hear(AppendRequest(1, 1, (), 0))
        rig.disk.goes.set()
        await rig.settle()
        assert len(rig.sent) <= WAITING_MAX + 2

    async def test_what_is_there_is_applied_once_it_is_known_to_be_committed(self) -> None:
        snapshot = Snapshot(2, 1, Configuration(VOTERS), b"s1,s2")
        durable = Durable(HardState(1), snapshot, (Entry(3, 1, Kind.COMMAND, b"x"),))
        rig = await Rig(durable).start()
        assert rig.restored == [b"s1,s2"]
        assert rig.it.applied == 2
        assert not rig.applied
        rig.lead(b"y", after=3, commit=4)
        await rig.settle()
        assert rig.applied == [(b"x", True), (b"y", True)]
        rig.lead(b"z", after=4, commit=5)
        await rig.settle()
        assert rig.applied[-1] == (b"z", False)
        assert rig.machine.commands == [b"s1", b"s2", b"x", b"y", b"z"]
        await rig.it.stop()

    async def test_a_long_log_becomes_a_snapshot(self) -> None:
        rig = await Rig(compact_entries=3).start()
        rig.lead(b"x", b"y", b"z", commit=3)
        await rig.settle()
        rewritten = rig.disk.writes[-1]
        assert getattr(rewritten, "snapshot", None) == Snapshot(
            3, 1, Configuration(VOTERS), b"x,y,z"
        )
        await rig.it.stop()

    async def test_a_state_too_large_for_a_snapshot_ends_nothing(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(compacting, "SNAPSHOT_BYTES_MAX", 4)
        rig = await Rig(compact_entries=3).start()
        rig.lead(b"x", b"y", b"z", commit=3)
        await rig.settle()
        rig.machine.commands = [b"x"]  # it has shrunk
        rig.lead(b"u", after=3, commit=4)
        await rig.settle()
        assert not any(isinstance(each, Rewrite) for each in rig.disk.writes), "not tried at once"
        rig.machine.commands = []
        rig.lead(b"v", b"w", after=4, commit=6)
        await rig.settle()
        assert rig.applied[-1] == (b"w", False)
        rewritten = rig.disk.writes[-1]
        assert getattr(rewritten, "snapshot", None) == Snapshot(6, 1, Configuration(VOTERS), b"v,w")
        await rig.it.stop()


class TestProposals:
    async def follower(self) -> Rig:
        rig = await Rig().start()
        rig.lead(b"x", commit=1)
        await rig.settle()
        rig.take_sent()
        return rig

    async def asked(self, rig: Rig) -> tuple[asyncio.Task[CommandResult], int]:
        task = asyncio.create_task(rig.it.propose(b"p", TIMEOUT_S))
        await rig.settle()
        (forward,) = rig.take_sent()
        assert isinstance(forward, Forward)
        assert (forward.target, forward.what) == ("b:1", b"p")
        return task, forward.request

    def answer(self, rig: Rig, request: int, index: int, term: int, reason: str = "") -> None:
        rig.it.receive(Forwarded("b:1", "a:1", request, index, term, reason))

    async def test_its_result_is_that_of_the_entry(self) -> None:
        rig = await self.follower()
        task, request = await self.asked(rig)
        self.answer(rig, request, 2, 1)
        rig.lead(b"p", after=1, commit=2)
        assert await task == CommandResult(True, 2)
        await rig.it.stop()

    async def test_what_the_leader_refuses_is_refused(self) -> None:
        rig = await self.follower()
        task, request = await self.asked(rig)
        self.answer(rig, request, 0, 0, "too busy")
        with pytest.raises(ProposalRefused, match="too busy"):
            await task
        await rig.it.stop()

    async def test_another_leaders_entry_in_its_place_refuses_it(self) -> None:
        rig = await self.follower()
        task, request = await self.asked(rig)
        self.answer(rig, request, 2, 1)
        entry = Entry(2, 2, Kind.COMMAND, b"other")
        rig.hear(AppendRequest(1, 1, (entry,), 2), term=2, source="c:1")
        with pytest.raises(ProposalRefused, match="another leader's"):
            await task
        await rig.it.stop()

    async def test_what_was_applied_before_the_answer_is_unknown(self) -> None:
        rig = await self.follower()
        task, request = await self.asked(rig)
        rig.lead(b"p", after=1, commit=2)
        await rig.settle()
        self.answer(rig, request, 2, 1)
        with pytest.raises(ProposalUnknown):
            await task
        await rig.it.stop()

    async def test_what_a_snapshot_passes_over_is_unknown(self) -> None:
        rig = await self.follower()
        task, request = await self.asked(rig)
        self.answer(rig, request, 2, 1)
        piece = SnapshotPiece(5, 1, Configuration(VOTERS), 3, 0, b"all")
        rig.hear(piece)
        with pytest.raises(ProposalUnknown, match="snapshot"):
            await task
        assert rig.restored == [b"all"]
        await rig.it.stop()

    async def test_no_answer_is_unknown(self) -> None:
        rig = await self.follower()
        with pytest.raises(ProposalUnknown, match="no answer"):
            await rig.it.propose(b"p", 0.01)
        await rig.it.stop()

    async def test_without_a_leader_it_is_refused(self, rig: Rig) -> None:
        with pytest.raises(ProposalRefused, match="no leader"):
            await rig.it.propose(b"p", TIMEOUT_S)

    async def test_too_many_at_once_are_refused(self) -> None:
        rig = await self.follower()
        tasks = [
            asyncio.create_task(rig.it.propose(b"p", TIMEOUT_S)) for _ in range(PROPOSALS_MAX + 1)
        ]
        with pytest.raises(ProposalRefused, match="under way"):
            await tasks[-1]
        await rig.it.stop()
        results = await asyncio.gather(*tasks[:-1], return_exceptions=True)
        assert all(isinstance(result, ProposalUnknown) for result in results)

    async def test_who_does_not_lead_says_so(self) -> None:
        rig = await self.follower()
        rig.it.receive(Forward("c:1", "a:1", 7, b"p"))
        (answer,) = rig.take_sent()
        assert isinstance(answer, Forwarded)
        assert (answer.target, answer.request, answer.index) == ("c:1", 7, 0)
        assert "does not lead" in answer.reason
        await rig.it.stop()


async def test_a_message_that_makes_no_sense_changes_nothing(rig: Rig) -> None:
    rig.hear(AppendRequest(0, 0, (Entry(9, 1, Kind.COMMAND),), 0))
    await rig.settle()
    assert not rig.sent
    assert rig.it.trouble is None
    rig.lead(b"x", commit=1)
    await rig.settle()
    assert rig.applied


async def test_stopping_waits_for_the_disk(rig: Rig) -> None:
    rig.disk.goes.clear()
    rig.lead(b"x")
    await rig.settle()
    stopping = asyncio.create_task(rig.it.stop())
    await rig.settle()
    assert not stopping.done()
    rig.disk.goes.set()
    await stopping
    assert rig.disk.closed
    assert rig.it.leader is None


def test_it_runs_on_uvloop() -> None:
    """Whose timers of a time that is past are no timers."""

    async def elected() -> None:
        rig = Rig(founded(["a:1"]), times=Times(0.01, 0.02))
        await rig.start()
        await until(lambda: rig.it.is_leader and rig.it.synced, "one voter leads")
        assert await rig.it.propose(b"x", TIMEOUT_S) == CommandResult(True, 1)
        await rig.it.stop()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(elected())
