"""Disks of a log in virtual time: links that lose and delay, crashes, disks that lose their tails.

Everything comes from the seed. What must hold is checked at each step, and, once the troubles are
over, that a command is committed again.
"""

from __future__ import annotations

import heapq
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from math import inf
from typing import Any

from cluster.consensus.core.configuration import (
    AddLearner,
    Change,
    Promote,
    Remove,
)
from cluster.consensus.core.messages import (
    AppendRequest,
    Body,
    Durable,
    HardState,
    Message,
    Ready,
    Snapshot,
    SnapshotPiece,
    founded,
)
from cluster.consensus.core.raft import ProposalDropped, Raft, Times
from tests.unit.cluster.consensus.core.watch import (
    Disk,
    Process,
    Violation,
    Watch,
    name_as_data,
)

TIMES = Times(tick_s=0.1, election_s=0.5)
EVENTS_MAX = 150_000

LOOK_S_MAX = 1.5
"""Between two looks at leaders, if what they saw is to be the same all the time."""

UNDER_WAY_MAX = 8
"""Messages with entries, or pieces of a snapshot, from a leader to a disk: one, and what is sent
again because the answer is late."""

QUIET_S = 15.0
"""After the troubles: enough for a few elections and any log to be brought level."""


@dataclass(frozen=True)
class Options:
    disks: int = 3
    spare: int = 2
    """Disks that may be taken in."""
    seconds: float = 30.0
    loss: float = 0.05
    stalls: float = 0.01
    """Of messages: those for which a link stands still for up to a second."""
    delay_s: float = 0.02
    slow_sync_s: float = 0.01
    trouble_s: float = 1.0
    """Something breaks, heals or is asked about as often as this, on average."""
    changes: bool = True
    compaction: int = 30
    """Entries after which a snapshot is taken."""
    resets: float = 0.3
    """Of troubles: those that are a connection which breaks."""
    late: float = 0.0
    """Of the messages under way as a connection breaks: those that arrive nevertheless, and later
    than what was sent over the next one. The others are lost."""
    tails: bool = True
    """Disks lose what they had confirmed: one at a time, and no other before it is whole."""


def is_data(body: Body) -> bool:
    if isinstance(body, AppendRequest):
        return bool(body.entries)
    return isinstance(body, SnapshotPiece) and bool(body.data)


class World:
    def __init__(self, seed: int, options: Options = Options()) -> None:
        self.rng = random.Random(seed)
        self.options = options
        self.now = 0.0
        self.seen: Counter[str] = Counter()
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0
        self._link_free: dict[tuple[str, str], float] = {}
        self._connections: dict[tuple[str, str], int] = {}
        """How often it broke."""
        self._under_way: Counter[tuple[str, str, int]] = Counter()
        self._cut: set[tuple[str, str]] = set()
        founders = [f"d{n}" for n in range(options.disks)]
        spares = [f"d{n}" for n in range(options.disks, options.disks + options.spare)]
        begin = founded(founders)
        empty = Durable(HardState(), Snapshot())
        self.disks = {name: Disk(name, begin) for name in founders}
        self.disks.update({name: Disk(name, empty) for name in spares})
        self.processes: dict[str, Process] = {}
        self._watch = Watch(self.disks, self.seen)
        self._commands = 0
        self._alone_since: dict[tuple[str, int], float] = {}
        """By name and term."""
        self._looked_at = 0.0
        for name in self.disks:
            self.start(name)

    # -- time -------------------------------------------------------------------------------

    def at(self, when: float, what: Callable[[], None]) -> None:
        self._count += 1
        heapq.heappush(self._events, (when, self._count, what))

    def run(self, until: float) -> None:
        while self._events and self._events[0][0] <= until:
            self.now, _, what = heapq.heappop(self._events)
            what()
            self.seen["events"] += 1
            if self.seen["events"] > EVENTS_MAX:
                raise Violation(f"{EVENTS_MAX} events, and it is {self.now:.1f} s")
        self.now = until

    # -- processes --------------------------------------------------------------------------

    def start(self, name: str) -> None:
        disk = self.disks[name]
        disk.boot += 1
        durable = disk.durable
        raft = Raft(name, disk.boot, durable, TIMES, self.rng.random, self.now)
        state = self._watch.states[durable.snapshot.index]
        process = Process(disk, raft, list(state), durable.snapshot.index)
        self.processes[name] = process
        self._wake(process)

    def crash(self, name: str) -> None:
        process = self.processes.pop(name)
        process.alive = False
        writes = (process.syncing or Ready()).writes + process.waiting.writes
        for write in writes[: self.rng.randint(0, len(writes))]:
            process.disk.write(write)  # written, if not synced; or not
        self.seen["crashes"] += 1
        for other in list(self.processes.values()):
            if self._connected(name, other.disk.name) and self.rng.random() < 0.5:
                self.reset(name, other.disk.name)

    def lose_tail(self, name: str) -> None:
        """Of a disk whose process has ended."""
        disk = self.disks[name]
        entries = disk.durable.entries
        kept = self.rng.randint(0, len(entries))
        hard = replace(disk.durable.hard, mending=True)
        disk.durable = replace(disk.durable, entries=entries[:kept], hard=hard)
        disk.whole = False
        self.seen["tails lost"] += 1

    def _wake(self, process: Process) -> None:
        """At its deadline. One alarm is under way at most: one that comes too early sets the next,
        so that a deadline which every message puts off is no event for each of them."""
        when = max(process.raft.deadline(), self.now)
        if when >= process.alarm:
            return
        process.alarm = when

        def due() -> None:
            if not process.alive or process.alarm != when:
                return
            process.alarm = inf
            if process.raft.deadline() <= self.now:
                self._take(process, process.raft.tick(self.now))
            else:
                self._wake(process)

        self.at(when, due)

    def _take(self, process: Process, ready: Ready) -> None:
        self._watch.look_at(process)
        process.waiting += ready
        self._wake(process)
        if process.syncing is None and process.waiting:
            self._sync(process)

    def _sync(self, process: Process) -> None:
        process.syncing, process.waiting = process.waiting, Ready()
        took = self.rng.random() * self.options.slow_sync_s if process.syncing.writes else 0.0

        def synced() -> None:
            if process.alive:
                self._synced(process)

        self.at(self.now + took, synced)

    def _synced(self, process: Process) -> None:
        ready = process.syncing
        assert ready is not None
        for write in ready.writes:
            process.disk.write(write)
        for message in ready.messages:
            self._send(message)
        for one in ready.applies:
            self._watch.apply(process, one)
        process.syncing = None
        follows = Ready()
        if ready.writes:
            follows = process.raft.synced(ready.mark, self.now)
        raft = process.raft
        if process.applied_index - raft.log.base >= self.options.compaction:
            # Each disk packs the same state differently.
            data = b"\0".join([name_as_data(raft.name), *process.applied])
            follows += raft.compact(process.applied_index, data)
        if not process.disk.whole and not raft.is_mending:
            process.disk.whole = True
            self.seen["mended"] += 1
        self._take(process, follows)

    # -- links ------------------------------------------------------------------------------

    def _connected(self, source: str, target: str) -> bool:
        return (source, target) not in self._cut

    def _send(self, message: Message) -> None:
        source, target = message.source, message.target
        self._watch.check_sent(message)
        if not self._connected(source, target) or self.rng.random() < self.options.loss:
            return
        delay = self.rng.random() * self.options.delay_s
        if self.rng.random() < self.options.stalls:
            delay += self.rng.random()
        arrives = max(self.now + delay, self._link_free.get((source, target), 0.0))
        self._link_free[source, target] = arrives
        connection = self._connections.get((source, target), 0)
        data = is_data(message.body)
        self._count_under_way(message, data)
        doubled = self.rng.random() < 0.02
        self.at(arrives, lambda: self._arrive(message, connection, data))
        if doubled:
            self.at(arrives, lambda: self._arrive(message, connection, False))

    def _count_under_way(self, message: Message, data: bool) -> None:
        key = message.source, message.target, message.term
        self._under_way[key] += data
        if self._under_way[key] > UNDER_WAY_MAX:
            raise Violation(f"{self._under_way[key]} messages under way from and to {key}")
        self.seen["under way"] = max(self.seen["under way"], self._under_way[key])

    def _arrive(self, message: Message, connection: int, data: bool) -> None:
        source, target = message.source, message.target
        self._under_way[source, target, message.term] -= data
        if connection != self._connections.get((source, target), 0):
            if self.rng.random() < self.options.late:
                self.seen["late"] += 1
                later = self._connections[source, target]
                when = self.now + self.rng.random() * self.rng.choice((0.05, 1.0))
                self.at(when, lambda: self._arrive(message, later, False))
            return
        process = self.processes.get(target)
        if process is not None:
            self._take(process, process.raft.step(message, self.now))

    def reset(self, one: str, other: str) -> None:
        """What is under way between the two is lost, or late; who is there notices."""
        self.seen["resets"] += 1
        for source, target in ((one, other), (other, one)):
            self._connections[source, target] = self._connections.get((source, target), 0) + 1
            self._link_free.pop((source, target), None)
            if source in self.processes:
                process = self.processes[source]
                self._take(process, process.raft.unreachable(target, self.now))

    # -- what must hold ---------------------------------------------------------------------

    def _check_isolated(self) -> None:
        """A leader that reaches nobody is none for long."""
        if self.now - self._looked_at > LOOK_S_MAX:
            self._alone_since.clear()  # it may have heard somebody meanwhile
        self._looked_at = self.now
        alone = {}
        for name, process in self.processes.items():
            voters = process.raft.log.configuration.voters
            others = [voter for voter in voters if voter != name]
            reached = [v for v in others if v in self.processes and self._connected(v, name)]
            if process.raft.is_leader and others and not reached:
                led = name, process.raft.term
                alone[led] = self._alone_since.get(led, self.now)
                if self.now - alone[led] > 3.0:
                    raise Violation(f"{name} still leads, though it hears nobody")
        self._alone_since = alone

    # -- troubles ---------------------------------------------------------------------------

    @property
    def leader(self) -> Process | None:
        leading = [p for p in self.processes.values() if p.raft.is_leader]
        return max(leading, key=lambda p: p.raft.term) if leading else None

    def propose(self) -> None:
        leading = [p for p in self.processes.values() if p.raft.is_leader]
        if not leading:
            return
        process = self.rng.choice(leading)
        commands = []
        for _ in range(self.rng.choice((1, 1, 1, 5))):
            self._commands += 1
            commands.append(b"%d" % self._commands)
        try:
            _, ready = process.raft.propose(commands, self.now)
        except ProposalDropped:
            return
        self._take(process, ready)

    def change(self, change: Change) -> bool:
        process = self.leader
        if process is None:
            return False
        try:
            entry, ready = process.raft.change(change, self.now)
        except ProposalDropped:
            self.seen["changes refused"] += 1
            return False
        if entry is not None:
            self.seen[type(change).__name__] += 1
            if isinstance(change, Promote):
                self._watch.check_promoted(change.name, process.raft)
        self._take(process, ready)
        return True

    def trouble(self) -> None:
        rng = self.rng
        names = sorted(self.disks)
        down = [name for name in names if name not in self.processes]
        if rng.random() < self.options.resets:
            self.reset(*rng.sample(names, 2))
            return
        receiving = [n for n, p in self.processes.items() if p.raft._incoming.received]
        if receiving and rng.random() < 0.3:
            self.seen["crashes while a snapshot comes"] += 1
            self.crash(rng.choice(receiving))
            return
        match rng.randrange(10):
            case 0 | 1 if self.processes:
                name = rng.choice(sorted(self.processes))
                self.crash(name)
                if rng.random() < 0.3:
                    self.start(name)
            case 2 | 3 if down:
                name = rng.choice(down)
                if self.options.tails and rng.random() < 0.5 and self._may_lose(name):
                    self.lose_tail(name)
                self.start(name)
            case 4:
                self._cut_off(rng.choice(names))
            case 5:
                self._cut.clear()
            case 6:
                leader = self.leader
                if leader is not None:
                    target = rng.choice([None, *names])
                    _, ready = leader.raft.transfer(target, self.now)
                    self._take(leader, ready)
            case _ if self.options.changes:
                self.change_something()

    def _may_lose(self, name: str) -> bool:
        """What is lost is on another disk of its majority as long as no second one loses it."""
        return all(disk.whole for disk in self.disks.values()) and bool(
            self.disks[name].durable.entries
        )

    def _cut_off(self, name: str) -> None:
        for other in self.disks:
            if other != name:
                one_way = self.rng.random() < 0.2
                if self.rng.random() < 0.7:
                    self._cut.add((name, other))
                    if not one_way:
                        self._cut.add((other, name))
        self.seen["cuts"] += 1

    def change_something(self) -> None:
        leader = self.leader
        if leader is None:
            return
        configuration = leader.raft.log.configuration
        outside = [name for name in self.disks if name not in configuration.members]
        choice = self.rng.random()
        if configuration.learners and choice < 0.5:
            self.change(Promote(self.rng.choice(configuration.learners)))
        elif outside and choice < 0.75:
            self.change(AddLearner(self.rng.choice(sorted(outside))))
        elif len(configuration.members) > 2:
            self.change(Remove(self.rng.choice(configuration.members)))

    # -- the whole --------------------------------------------------------------------------

    def live(self) -> Counter[str]:
        end = self.options.seconds

        def again(what: Callable[[], Any], mean_s: float) -> None:
            def once() -> None:
                if self.now < end:
                    what()
                    self.at(self.now + self.rng.expovariate(1 / mean_s), once)

            self.at(self.rng.expovariate(1 / mean_s), once)

        again(self.propose, 0.1)
        again(self.trouble, self.options.trouble_s)
        again(self._check_isolated, 0.5)
        self.run(end)
        self.heal()
        return self.seen

    def _can_elect(self) -> bool:
        """Whether there is one for whom a majority may vote: disks that mend may not."""
        whole = {p.raft.name: p.raft for p in self.processes.values() if not p.raft.is_mending}
        for raft in whole.values():
            log = raft.log
            voters = [
                name
                for name, other in whole.items()
                if other.log.is_up_to_date(log.last, log.last_term)
            ]
            if raft.name in log.configuration.voters and log.configuration.is_majority(voters):
                return True
        return False

    def heal(self) -> None:
        """No trouble any more: a command is to be committed, and known to every voter."""
        self._cut.clear()
        self.options = replace(self.options, loss=0.0, stalls=0.0, slow_sync_s=0.01)
        for name in sorted(self.disks):
            if name not in self.processes:
                self.start(name)
        self.run(self.now + QUIET_S)
        if not self._can_elect():
            self.seen["stuck"] += 1
            return
        leader = self.leader
        if leader is None:
            raise Violation("no leader, though nothing is broken any more")
        before = leader.raft.commit
        _, ready = leader.raft.propose([b"the end"], self.now)
        self._take(leader, ready)
        self.run(self.now + 2.0)
        if leader.raft.commit <= before:
            raise Violation("nothing is committed, though nothing is broken any more")
        if self._under_way and max(self._under_way.values()) > 3:
            raise Violation(f"there are still messages under way: {self._under_way}")
        for name in leader.raft.log.configuration.members:
            applied = self.processes[name].applied_index
            if applied < before + 1:
                raise Violation(f"{name} is at {applied}, not at {before + 1}")
        self.seen["terms"] = leader.raft.term
