"""A disk that is full is waited for; one that fails, or stands still, is told of."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import pytest

from cluster.consensus import carrying_out
from cluster.consensus.core.messages import (
    Append,
    AppendReply,
    AppendRequest,
    Entry,
    HardState,
    Kind,
    Message,
    VoteReply,
    VoteRequest,
    founded,
)
from cluster.consensus.core.raft import Times
from cluster.consensus.disk.errors import DiskFailed, DiskFull
from cluster.consensus.disk.thread import DiskThread
from cluster.consensus.interface import ProposalRefused, ProposalUnknown
from cluster.log.state import CommandResult
from tests.simulation.planting import Change, changed
from tests.support import waiting
from tests.support.memory_directory import MemoryDirectory
from tests.unit.cluster.consensus.test_participant import TIMEOUT_S, VOTERS, Rig
from tests.unit.cluster.consensus.test_participant_calls import leader

patience_s = 20.0
"""Less where what is waited for is kept from happening."""

FULL = DiskFull("there is no space for the log in /data")
X, Y = (Entry(index, 1, Kind.COMMAND, data) for index, data in ((1, b"x"), (2, b"y")))


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(carrying_out, "FULL_RETRY_S", 0.005)
    monkeypatch.setattr(carrying_out, "STANDS_STILL_S", 0.05)


async def until(condition: Callable[[], object], what: str) -> None:
    await waiting.until(condition, what, patience_s)


async def tried(rig: Rig, times: int = 2) -> None:
    """Waits until so many more writes were tried."""
    enough = rig.disk.calls + times
    await until(lambda: rig.disk.calls >= enough, "the write is tried again")


def bodies(rig: Rig) -> list[object]:
    return [one.body for one in rig.sent if isinstance(one, Message)]


async def follower() -> Rig:
    return await Rig().start()


# What is to hold, each alone: the plants below break it.


async def the_same_batch_is_written_again() -> None:
    rig = await follower()
    rig.disk.error = FULL
    rig.lead(b"x", commit=1)
    await tried(rig, 3)
    assert not rig.sent
    assert not rig.applied
    rig.disk.error = None
    await until(lambda: bool(rig.sent), "it is answered")
    assert rig.disk.writes == [HardState(1), Append((X,))]
    assert bodies(rig) == [AppendReply(True, 1)]
    assert rig.applied == [(b"x", True)]
    rig.lead(b"y", after=1)
    await rig.settle()
    assert rig.disk.writes[2:] == [Append((Y,))]
    await rig.it.stop()


async def what_waited_goes_after_it() -> None:
    """It was decided while the write was tried for the first time."""
    rig = await follower()
    rig.disk.goes.clear()
    rig.lead(b"x")
    await rig.settle()
    rig.lead(b"y", after=1)
    rig.disk.error = FULL
    rig.disk.goes.set()
    await tried(rig)
    assert not rig.sent
    rig.disk.error = None
    await until(lambda: len(rig.sent) == 2, "both are answered")
    assert rig.disk.writes == [HardState(1), Append((X,)), Append((Y,))]
    assert bodies(rig) == [AppendReply(True, 1), AppendReply(True, 2)]
    await rig.it.stop()


async def it_does_not_vote() -> None:
    rig = await follower()
    rig.disk.error = FULL
    rig.lead(b"x")
    await tried(rig)
    for pre in (True, False):
        rig.hear(VoteRequest(9, pre, 9, 9, forced=True), term=1 if pre else 9, source="c:1")
    await tried(rig)
    rig.disk.error = None
    await until(lambda: rig.it.trouble is None, "there is space again")
    await rig.settle()
    assert not [one for one in bodies(rig) if isinstance(one, VoteReply)]
    assert not [one for one in rig.disk.writes if isinstance(one, HardState) and one.vote]
    await rig.it.stop()


async def it_does_not_stand() -> None:
    rig = await follower()
    rig.disk.error = FULL
    rig.lead(b"x")
    await tried(rig)
    rig.it._raft._election_at = 0.0  # it is time
    rig.it._due()
    rig.disk.error = None
    await until(lambda: rig.it.trouble is None, "there is space again")
    assert not [one for one in bodies(rig) if isinstance(one, VoteRequest)]
    await rig.it.stop()


async def it_leads_no_more() -> None:
    rig = await leader()
    rig.disk.error = FULL
    proposal = asyncio.create_task(rig.it.propose(b"p", TIMEOUT_S))
    await tried(rig)
    assert not rig.it.is_leader
    assert rig.it.leader is None
    assert not rig.it.has_quorum
    assert not rig.it.synced
    with pytest.raises(ProposalRefused, match="the disk of n1 is full"):
        await rig.it.propose(b"q", TIMEOUT_S)
    assert not rig.sent
    rig.disk.error = None
    await until(lambda: rig.it.trouble is None, "there is space again")
    assert not rig.it.is_leader
    rig.hear(AppendRequest(1, 1, (other := Entry(2, 2, Kind.NOOP),), 2), term=2, source="c:1")
    await rig.settle()
    assert Append((other,)) in rig.disk.writes
    assert rig.it.leader == "n3"
    assert rig.it.has_quorum
    with pytest.raises(ProposalRefused, match="another leader's"):
        await proposal
    await rig.it.stop()


async def an_operator_is_told() -> None:
    rig = await follower()
    rig.lead(b"x", commit=1)
    await rig.settle()
    assert rig.it.trouble is None
    assert rig.it.has_quorum
    rig.disk.error = FULL
    rig.lead(b"y", after=1)
    await tried(rig)
    told = "the disk of n1 is full: there is no space for the log in /data"
    assert rig.it.trouble == told
    assert not rig.it.has_quorum
    rig.disk.error = None
    await until(lambda: rig.it.trouble is None, "there is space again")
    rig.hear(AppendRequest(2, 1, (), 2))
    assert rig.it.has_quorum
    await rig.it.stop()


async def stopping_waits_for_no_space() -> None:
    rig = await follower()
    rig.disk.error = FULL
    rig.lead(b"x", commit=1)
    await tried(rig)
    async with asyncio.timeout(TIMEOUT_S / 10):
        await rig.it.stop()
    assert rig.disk.closed
    assert not rig.sent
    assert not rig.applied


async def a_failure_ends_the_process(error: Exception | None = None) -> None:
    rig = await follower()
    told: list[str] = []
    rig.it.watch_failure(told.append)
    rig.lead(b"x")
    await rig.settle()
    proposal = asyncio.create_task(rig.it.propose(b"p", TIMEOUT_S))
    await rig.settle()
    rig.take_sent()
    rig.disk.error = error or DiskFailed("writing the log in /data has failed")
    rig.lead(b"y", after=1, commit=1)
    await rig.settle()
    calls = rig.disk.calls
    assert told == [f"the log cannot be written: {rig.disk.error}"]
    with pytest.raises(ProposalUnknown):
        await proposal
    rig.disk.error = None
    rig.lead(b"z", after=1, commit=1)
    rig.hear(VoteRequest(9, False, 9, 9), term=9, source="c:1")
    await asyncio.sleep(0.02)
    await rig.settle()
    assert rig.disk.calls == calls
    assert not rig.sent
    assert not rig.applied
    assert len(told) == 1
    await rig.it.stop()


async def a_failure_ends_the_wait_for_space() -> None:
    rig = await follower()
    told: list[str] = []
    rig.it.watch_failure(told.append)
    rig.disk.error = FULL
    rig.lead(b"x", commit=1)
    await tried(rig)
    rig.disk.error = DiskFailed("gone")
    await until(lambda: bool(told), "the owner is told")
    rig.disk.error = None
    await asyncio.sleep(0.02)
    assert not rig.sent
    assert not rig.disk.writes
    await rig.it.stop()


async def a_log_that_breaks_the_rules_ends_the_process() -> None:
    rig = await leader()
    told: list[str] = []
    rig.it.watch_failure(told.append)
    rig.hear(AppendRequest(1, 1, (), 0), term=1)
    await rig.settle()
    assert [one.partition(":")[0] for one in told] == ["the log is broken"]
    await rig.it.stop()


async def one_that_stands_still_is_told_of() -> None:
    rig = await follower()
    rig.lead(b"x", commit=1)
    await rig.settle()
    rig.disk.goes.clear()
    rig.lead(b"y", after=1)
    await rig.settle()
    assert rig.it.trouble is None
    assert rig.it.has_quorum
    await until(lambda: rig.it.trouble is not None, "it stands still")
    assert str(rig.it.trouble).startswith("the disk of n1 stands still: a write has taken")
    assert not rig.it.has_quorum
    rig.disk.goes.set()
    await rig.settle()
    assert rig.it.trouble is None
    assert rig.it.has_quorum
    await rig.it.stop()


Scenario = Callable[[], Awaitable[None]]

SCENARIOS: Sequence[Scenario] = (
    the_same_batch_is_written_again,
    what_waited_goes_after_it,
    it_does_not_vote,
    it_does_not_stand,
    it_leads_no_more,
    an_operator_is_told,
    stopping_waits_for_no_space,
    a_failure_ends_the_process,
    a_failure_ends_the_wait_for_space,
    a_log_that_breaks_the_rules_ends_the_process,
    one_that_stands_still_is_told_of,
)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda one: one.__name__)
def test_rules(scenario: Scenario) -> None:
    asyncio.run(scenario())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "error", [OSError(5, "Input/output error"), RuntimeError("a bug"), ValueError("another")]
)
async def test_any_other_error_of_a_write_is_final(error: Exception) -> None:
    await a_failure_ends_the_process(error)


IT = "cluster.consensus.carrying_out:CarryingOut"
PARTICIPANT = "cluster.consensus.participant:Participant"
WRITE = "await self._make_durable(ready.writes)"
WAIT = """if await self._is_stopping(FULL_RETRY_S):
                self.drop()
            continue"""

PLANTS: dict[str, tuple[Change, Scenario]] = {
    "a batch for which there is no space is skipped": (
        Change(f"{IT}._make_durable", WAIT, "self._full = None"),
        the_same_batch_is_written_again,
    ),
    "what waited is written in its place": (
        Change(f"{IT}._make_durable", WAIT, "self._full = None"),
        what_waited_goes_after_it,
    ),
    "messages are sent before what they speak of is durable": (
        Change(f"{IT}._write", WRITE, f"self._carry_out(Ready(messages=ready.messages)); {WRITE}"),
        the_same_batch_is_written_again,
    ),
    "a full disk votes": (
        Change(f"{IT}.is_blocked", "if self._full is not None:\n        return True\n    ", ""),
        it_does_not_vote,
    ),
    "a full disk stands for election": (
        Change(f"{IT}.is_blocked", "if self._full is not None:\n        return True\n    ", ""),
        it_does_not_stand,
    ),
    "a leader without space goes on leading": (
        Change(f"{PARTICIPANT}._withdraw", "self._raft.withdraw(self._loop.time())", "pass"),
        it_leads_no_more,
    ),
    "readiness does not know of the disk": (
        Change(
            f"{PARTICIPANT}.has_quorum",
            " and not self._carrying_out.trouble(self._loop.time())",
            "",
        ),
        one_that_stands_still_is_told_of,
    ),
    "nobody is told of a full disk": (
        Change(f"{PARTICIPANT}.trouble", "trouble and f", "None and f"),
        an_operator_is_told,
    ),
    "stopping waits for space": (
        Change(f"{IT}.end", "self._stopping.set()", "pass"),
        stopping_waits_for_no_space,
    ),
    "a failed write is made again": (
        Change(f"{IT}._make_durable", "except DiskFull as", "except Exception as"),
        a_failure_ends_the_process,
    ),
    "it goes on after a failed write": (
        Change(f"{IT}._fail", "self.drop()\n    self._failed(what, error)", "pass"),
        a_failure_ends_the_process,
    ),
    "it fails, and says nothing to its owner": (
        Change(f"{PARTICIPANT}._fail", "self._on_failed(self._failed)", "pass"),
        a_failure_ends_the_process,
    ),
}


@pytest.mark.parametrize("name", PLANTS)
def test_a_rule_left_out_shows(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "patience_s", 1.0)
    change, scenario = PLANTS[name]
    with changed([change]), pytest.raises((Exception, pytest.fail.Exception)):
        asyncio.run(scenario())  # type: ignore[arg-type]


async def test_the_only_voter_goes_on_by_itself() -> None:
    """With the files of a node, in a file system that runs full."""
    directory = MemoryDirectory(Path("/data"))
    rig = Rig(founded(VOTERS[:1]), times=Times(0.01, 0.02))
    rig.it = type(rig.it)(
        "n1",
        "a:1",
        rig.machine,
        DiskThread(directory, "a:1", preallocate_bytes=64),
        rig,
        lambda: 0.0,
        Times(0.01, 0.02),
    )
    await rig.start()
    await until(lambda: rig.it.is_leader and rig.it.synced, "it leads")
    assert await rig.it.propose(b"x", TIMEOUT_S) == CommandResult(True, 1)
    directory.space = 0
    proposals = [asyncio.create_task(rig.it.propose(b"y" * 100, TIMEOUT_S)) for _ in range(2)]
    await until(lambda: rig.it.trouble is not None, "it is full")
    assert not rig.it.has_quorum
    assert str(rig.it.trouble).startswith("the disk of n1 is full: there is no space for the log")
    assert "/data" in str(rig.it.trouble)
    directory.space = 1 << 20
    await until(lambda: rig.it.is_leader and rig.it.has_quorum, "it leads again")
    answers = await asyncio.gather(*proposals, return_exceptions=True)
    assert all(
        isinstance(one, CommandResult | ProposalRefused | ProposalUnknown) for one in answers
    )
    written = itertools.count(len(rig.machine.commands) + 1)
    assert await rig.it.propose(b"z", TIMEOUT_S) == CommandResult(True, next(written))
    await rig.it.stop()
    assert directory.open_files == 0
