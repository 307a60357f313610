"""A few disks of a log whose messages a test delivers, drops and keeps as it likes."""

from __future__ import annotations

from collections.abc import Iterable

from cluster.consensus.core.configuration import Change
from cluster.consensus.core.messages import (
    Body,
    Durable,
    Entry,
    HardState,
    Kind,
    Message,
    Ready,
    Snapshot,
    Write,
    founded,
)
from cluster.consensus.core.raft import Raft, Times
from tests.support.durable import written

TIMES = Times(tick_s=0.1, election_s=0.5)


class ByHand:
    """Time passes only with ``elapse``; what a disk is told to write is durable at once, unless
    ``sync`` is False."""

    def __init__(self, voters: str, others: str = "", **durable: Durable) -> None:
        self.now = 100.0
        self.rafts: dict[str, Raft] = {}
        self.messages: list[Message] = []
        self.applied: dict[str, list[Entry | Snapshot]] = {}
        self.writes: dict[str, list[Write]] = {}
        self.sync = True
        for name in voters + others:
            empty = Durable(HardState(), Snapshot())
            begin = durable.get(name, founded(list(voters)) if name in voters else empty)
            self.start(name, begin)

    def start(self, name: str, durable: Durable, boot: int = 1) -> Raft:
        """Also again, with what is left on its disk."""
        raft = Raft(name, boot, durable, TIMES, lambda: 0.5, self.now)
        self.rafts[name] = raft
        self.applied.setdefault(name, [])
        self.writes.setdefault(name, [])
        return raft

    def __getitem__(self, name: str) -> Raft:
        return self.rafts[name]

    def take(self, name: str, ready: Ready) -> None:
        self.writes[name] += ready.writes
        self.messages += ready.messages
        self.applied[name] += ready.applies
        if ready.writes and self.sync:
            self.take(name, self.rafts[name].synced(ready.mark, self.now))

    def elapse(self, seconds: float) -> None:
        self.now += seconds

    def tick(self, name: str) -> None:
        self.take(name, self.rafts[name].tick(self.now))

    def ticks(self, name: str, count: int) -> None:
        """So many ticks of a leader."""
        for _ in range(count):
            self.elapse(TIMES.tick_s)
            self.tick(name)

    def step(self, message: Message) -> None:
        self.take(message.target, self.rafts[message.target].step(message, self.now))

    def deliver(self, between: str | None = None, rounds: int = 50) -> None:
        """All messages among these disks, and what they answer; the others are lost."""
        for _ in range(rounds):
            if not self.messages:
                return
            message = self.messages.pop(0)
            if between is None or {message.source, message.target} <= set(between):
                self.step(message)

    def elect(self, name: str, voters: str | None = None) -> Raft:
        """After a time in which nobody heard anything. What it sends as leader is left."""
        for _ in range(2):  # one to step down, if it led
            self.elapse(1.0)
            self.tick(name)
        while self.messages and not self[name].is_leader:
            self.deliver(voters, 1)
        assert self[name].is_leader, f"{name} was not elected"
        return self[name]

    def propose(self, name: str, *commands: bytes, urgent: bool = True) -> list[Entry]:
        entries, ready = self[name].propose(commands, self.now, urgent=urgent)
        self.take(name, ready)
        return entries

    def change(self, name: str, change: Change) -> Entry | None:
        entry, ready = self[name].change(change, self.now)
        self.take(name, ready)
        return entry

    def on_disk(self, name: str, durable: Durable | None = None) -> Durable:
        """What it would start with again."""
        found = durable or Durable(HardState(), Snapshot())
        for write in self.writes[name]:
            found = written(found, write)
        return found


def log_of(*terms: int, data: str = "x") -> tuple[Entry, ...]:
    """Commands of these terms from index 1 on."""
    return tuple(
        Entry(n, term, Kind.COMMAND, f"{data}{n}".encode()) for n, term in enumerate(terms, 1)
    )


def disk(voters: Iterable[str], *terms: int, term: int = 0, vote: str | None = None) -> Durable:
    """A founder's, with a log of these terms."""
    begin = founded(list(voters))
    return Durable(HardState(term or max(terms, default=0), vote), begin.snapshot, log_of(*terms))


def told(raft: Raft, source: str, body: Body, term: int | None = None, boot: int = 1) -> Message:
    return Message(source, raft.name, boot, raft.term if term is None else term, body)
