"""What must hold of a log, seen from outside: who leads, who votes, what is applied."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from math import inf

from cluster.consensus.core.configuration import decode_configuration
from cluster.consensus.core.messages import (
    AppendReply,
    Durable,
    Entry,
    Kind,
    Message,
    Ready,
    Snapshot,
    TimeoutNow,
    VoteReply,
    VoteRequest,
    Write,
)
from cluster.consensus.core.raft import Raft
from tests.support.durable import written


class Violation(AssertionError):
    pass


def name_as_data(name: str) -> bytes:
    """A snapshot begins with its maker's name, of another length each: no two are the same."""
    return b"%s%s" % (name.encode(), b"." * int(name[1:]))


def state_of(data: bytes) -> tuple[bytes, ...]:
    name, *state = data.split(b"\0")
    if name != name_as_data(name.decode().rstrip(".")):
        raise Violation(f"a snapshot of {name!r}: pieces of several")
    return tuple(state)


@dataclass
class Disk:
    """One that outlives the processes on it."""

    name: str
    durable: Durable
    boot: int = 0
    whole: bool = True

    def write(self, write: Write) -> None:
        self.durable = written(self.durable, write)


@dataclass
class Process:
    disk: Disk
    raft: Raft
    applied: list[bytes]
    applied_index: int
    waiting: Ready = field(default_factory=Ready)
    syncing: Ready | None = None
    alive: bool = True
    alarm: float = inf
    """When it looks next whether its deadline is over."""


class Watch:
    """Of all disks. Keeps what was seen, to compare what is seen later."""

    def __init__(self, disks: dict[str, Disk], seen: Counter[str]) -> None:
        self._disks = disks
        self.seen = seen
        self._leaders: dict[int, str] = {}
        self._votes: dict[tuple[str, int], str] = {}
        self._committed: dict[int, tuple[Entry, int]] = {}
        """By index; with the term of the disk that applied it first."""
        self.states: dict[int, tuple[bytes, ...]] = {0: ()}

    def look_at(self, process: Process) -> None:
        raft, name = process.raft, process.disk.name
        if not raft.is_leader:
            return
        known = self._leaders.setdefault(raft.term, name)
        if known != name:
            raise Violation(f"term {raft.term} has two leaders: {known} and {name}")
        if process.alive and getattr(process, "led", 0) != raft.term:
            process.led = raft.term  # type: ignore[attr-defined]
            self.seen["leaders"] += 1
            for index, (entry, term) in self._committed.items():
                there = index <= raft.log.base or raft.log.term_at(index) == entry.term
                if term < raft.term and not there:
                    raise Violation(f"{name} leads term {raft.term} without entry {index}")

    def check_sent(self, message: Message) -> None:
        if message.term > self._disks[message.source].durable.hard.term:
            raise Violation(f"{message.source} speaks of {message.term}; its disk knows less")
        match message.body:
            case VoteReply(election, pre=False, granted=True):
                self._votes_once(message.source, election, message.target)
            case VoteRequest(election, pre=False):
                self._votes_once(message.source, election, message.source)
                self._stands(message.source)
            case AppendReply(accepted=True, index=index, mending=False):
                durable = self._disks[message.source].durable
                last = durable.entries[-1].index if durable.entries else durable.snapshot.index
                # A leader of a later term may have replaced entries in the same batch of writes.
                # What was confirmed to the earlier one was on disk before, or nobody hears of it.
                replaced = durable.hard.term > message.term
                if index > last and not replaced:
                    raise Violation(f"{message.source} confirms {index}, but has {last} on disk")
            case TimeoutNow():
                self.seen["transfers"] += 1

    def _stands(self, name: str) -> None:
        durable = self._disks[name].durable
        known = [e for e in durable.entries if e.kind == Kind.CONFIGURATION]
        newest = durable.snapshot.configuration
        if known:
            newest = decode_configuration(known[-1].data)
        if name not in newest.voters:
            raise Violation(f"{name} stands, which is no voter")

    def check_promoted(self, name: str, leader: Raft) -> None:
        durable = self._disks[name].durable
        last = durable.entries[-1].index if durable.entries else durable.snapshot.index
        # One that has lost what it confirmed says so, and neither votes nor counts meanwhile.
        if last < leader.commit and not durable.hard.mending:
            raise Violation(f"{name} becomes a voter at {last}, while {leader.commit} is committed")

    def _votes_once(self, voter: str, election: int, candidate: str) -> None:
        hard = self._disks[voter].durable.hard
        if (hard.term, hard.vote) != (election, candidate) and hard.term <= election:
            raise Violation(f"{voter} says that it votes in {election}; its disk has {hard}")
        before = self._votes.setdefault((voter, election), candidate)
        if before != candidate:
            raise Violation(f"{voter} votes for {before} and {candidate} in {election}")

    def apply(self, process: Process, what: Entry | Snapshot) -> None:
        name = process.disk.name
        if isinstance(what, Snapshot):
            if what.index <= process.applied_index:
                raise Violation(f"{name} goes back to {what.index}")
            state = state_of(what.data)
            if state != self.states.get(what.index):
                raise Violation(f"{name} is given another state of {what.index}")
            process.applied, process.applied_index = list(state), what.index
            self.seen["snapshots"] += 1
            return
        if what.index != process.applied_index + 1:
            raise Violation(f"{name} applies {what.index} after {process.applied_index}")
        known, _ = self._committed.setdefault(what.index, (what, process.raft.term))
        if known != what:
            raise Violation(f"{what.index} is {known} and, at {name}, {what}")
        durable = process.disk.durable
        on_disk = {entry.index: entry for entry in durable.entries}
        if what.index > durable.snapshot.index and on_disk.get(what.index) != what:
            raise Violation(f"{name} applies {what.index}, which is not on its disk")
        process.applied_index = what.index
        if what.kind == Kind.COMMAND:
            process.applied.append(what.data)
        self.states.setdefault(what.index, tuple(process.applied))
        self.seen["applied"] += 1
