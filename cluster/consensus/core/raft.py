"""Raft: one disk's part in a log that a majority of disks keeps. Pure: events and ``now`` in,
``Ready`` out.

As in Ongaro's thesis (2014): elections (3.4), with a vote asked for first that binds nobody
(pre-vote, 9.6), and no answer to candidates while there is a leader (4.2.3); replication (3.5) and
commits (3.6); changes of one member at a time (4.1), learners that are brought level before they
count (4.2.1); a leader without a majority steps down (6.2); hand-over of leadership (3.10);
snapshots in pieces (5). There are no reads by a lease of the leader.

Who takes part is a *disk*, under a name that is drawn when it is first used. A disk that was
emptied has another name: it has forgotten its votes, and must not vote for the one it was.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from cluster.consensus.core.configuration import Change, changed
from cluster.consensus.core.election import Election
from cluster.consensus.core.incoming import Incoming
from cluster.consensus.core.leadership import HANDED_OVER, NEVER, Leadership
from cluster.consensus.core.log import InvariantBroken, Log
from cluster.consensus.core.messages import (
    AppendReply,
    AppendRequest,
    Body,
    Durable,
    Entry,
    HardState,
    Kind,
    Message,
    Ready,
    Snapshot,
    SnapshotPiece,
    SnapshotReply,
    TimeoutNow,
    VoteReply,
    VoteRequest,
    Write,
    check,
)

NOT_LEADER = "this node does not lead the log"


class ProposalDropped(Exception):
    """The proposal is not in the log and never will be; the reason is in words for the caller."""


@dataclass(frozen=True, slots=True)
class Times:
    """In seconds, and the same on all disks of a log. Heartbeats are some ticks apart. A follower
    that hears nothing of a leader stands for election after ``election_s`` to twice that."""

    tick_s: float
    election_s: float


class Raft:
    """``jitter`` gives numbers from 0 to 1, uniformly. ``boot`` grows with each start on this disk.
    The snapshot of ``durable`` has been applied already; which of its entries are committed, a
    leader will say."""

    def __init__(
        self,
        name: str,
        boot: int,
        durable: Durable,
        times: Times,
        jitter: Callable[[], float],
        now: float,
    ) -> None:
        self.name = name
        self._boot = boot
        self._hard = durable.hard
        self._times = times
        self._jitter = jitter
        self.log = Log(durable.snapshot, durable.entries)
        self.commit = durable.snapshot.index
        self.level_at: int | None = None
        """The index at which the state is as new as the leader's was when last heard of; of a
        leader, the index of all that was committed before its election."""
        self.leader: str | None = None
        self._heard_at = NEVER
        """The time at which the leader was last heard of."""
        self._election_at = NEVER
        self._now = now
        self._election: Election | None = None
        self._leadership: Leadership | None = None
        self._incoming = Incoming()
        self._writes: list[Write] = []
        self._messages: list[Message] = []
        self._applies: list[Entry | Snapshot] = []
        self._put_off_election(now)
        if self.log.configuration.voters == (name,):
            self._election_at = now  # there is nobody to wait for

    # What is known

    @property
    def term(self) -> int:
        return self._hard.term

    @property
    def is_leader(self) -> bool:
        return self._leadership is not None

    @property
    def is_mending(self) -> bool:
        return self._hard.mending

    def is_level(self, name: str, now: float) -> bool:
        """As leader: True if this learner may be promoted."""
        leadership = self._leadership
        return leadership is not None and leadership.is_level(name, self.commit, now)

    def deadline(self) -> float:
        """The time at which ``tick`` has something to do, if nothing else happens."""
        if self._leadership is None:
            return self._election_at
        transfer = self._leadership.transfer
        until = transfer.until if transfer is not None else float("inf")
        return min(self._leadership.beat_at(), self._leadership.quorum_until(), until)

    # Events

    def tick(self, now: float) -> Ready:
        self._now, leadership = now, self._leadership
        if leadership is None:
            if now >= self._election_at:
                self._stand(now, forced=False)
            return self._ready()
        if now >= leadership.quorum_until():
            self._follow(None, now)
            return self._ready()
        if leadership.transfer is not None and now >= leadership.transfer.until:
            leadership.transfer = None
        for name, body in leadership.heartbeat(self.commit, now):
            self._send(name, body)
        return self._ready()

    def step(self, message: Message, now: float) -> Ready:
        """Takes a message. Raises ValueError for one that makes no sense; nothing has changed
        then."""
        if message.target != self.name:
            return Ready()  # for the disk that was at this address before
        self._now, body = now, message.body
        if isinstance(body, VoteRequest) and not body.forced and self._has_leader(now):
            return Ready()
        check(message.term, body)
        if message.term > self.term:
            self._learn_term(message.term, now)
        match body:
            case VoteRequest():
                self._vote(message, body, now)
            case VoteReply():
                self._count_vote(message.source, body, now)
            case AppendRequest():
                if self._hears(message, now):
                    self._accept(message.source, body)
            case AppendReply():
                self._confirmed(message, body, now)
            case SnapshotPiece():
                if self._hears(message, now):
                    self._receive(message.source, body)
            case SnapshotReply():
                if self._leadership is not None and message.term == self.term:
                    self._leadership.snapshot_received(message.source, message.boot, body, now)
            case TimeoutNow():
                if message.term == self.term and message.source == self.leader:
                    self._stand(now, forced=True)
        return self._ready()

    def synced(self, mark: int, now: float) -> Ready:
        """Takes the news that all writes up to ``mark`` are durable."""
        self._now = now
        self.log.synced(mark)
        self._advance()
        return self._ready()

    def unreachable(self, name: str, now: float) -> Ready:
        """The connection of ``name`` was reset, as happens when its process ends. If it led, this
        disk soon stands for election; if it leads yet, nobody votes for that."""
        if name == self.leader and self._leadership is None:
            self._heard_at = NEVER
            soon = now + self._times.tick_s * self._jitter()
            self._election_at = min(self._election_at, soon)
        return self._ready()

    def withdraw(self, now: float) -> None:
        """This disk cannot take part for a while: it neither leads nor stands, and does not know
        who does, as after a long silence."""
        self._follow(None, now)

    def propose(
        self, commands: Sequence[bytes], now: float, *, urgent: bool = True
    ) -> tuple[list[Entry], Ready]:
        """Returns the entries that the commands will be, if this leader remains it. Raises
        ``ProposalDropped``. ``urgent``: other disks hear at once that they are committed."""
        self._now, leadership = now, self._leadership
        if leadership is None:
            raise ProposalDropped(NOT_LEADER)
        if leadership.transfer is not None:
            raise ProposalDropped(HANDED_OVER)
        if refused := leadership.no_room(commands, self.commit):
            raise ProposalDropped(refused)
        entries = self._append_own([(Kind.COMMAND, data) for data in commands], urgent)
        return entries, self._ready()

    def change(self, change: Change, now: float) -> tuple[Entry | None, Ready]:
        """Returns None if it would change nothing. ProposalDropped: also while another change, or
        the first entry of this leader's term, is not committed (Ongaro, raft-dev, July 2015)."""
        self._now, leadership = now, self._leadership
        if leadership is None:
            raise ProposalDropped(NOT_LEADER)
        if refused := leadership.change_refused(self.commit):
            raise ProposalDropped(refused)
        before = self.log.configuration
        try:
            after = changed(before, change)
        except ValueError as error:
            raise ProposalDropped(str(error)) from error
        if after == before:
            return None, Ready()
        if refused := leadership.would_harm(change, after, self.commit, now):
            raise ProposalDropped(refused)
        (entry,) = self._append_own([(Kind.CONFIGURATION, after.encode())], urgent=True)
        leadership.follow_configuration(now)
        self._send_updates()
        self._advance()
        return entry, self._ready()

    def transfer(self, target: str | None, now: float) -> tuple[bool, Ready]:
        """Asks ``target`` (None: the disk with most of the log) to lead; False if it cannot."""
        if self._leadership is None or not self._leadership.begin_transfer(target, now):
            return False, Ready()
        self._send_updates()
        return True, self._ready()

    def compact(self, index: int, data: bytes) -> Ready:
        """Takes ``data``, the state after the entry at ``index``, which was applied."""
        if not self.log.base < index <= self.commit:
            raise ValueError(f"{index} is not between {self.log.base} and {self.commit}")
        self._writes.append(self.log.compact(index, data))
        return self._ready()

    # Elections

    def _has_leader(self, now: float) -> bool:
        """True while no candidate is listened to: one that was cut off cannot depose a leader."""
        if self._leadership is not None:
            return now < self._leadership.quorum_until()
        return self.leader is not None and now < self._heard_at + self._times.election_s

    def _can_stand(self) -> bool:
        return self.name in self.log.configuration.voters and not self._hard.mending

    def _put_off_election(self, now: float) -> None:
        self._election_at = now + self._times.election_s * (1 + self._jitter())

    def _stand(self, now: float, forced: bool) -> None:
        self._put_off_election(now)
        self.leader = None
        if not self._can_stand():
            return
        if forced:
            self._begin_election(now, forced)
        else:
            self._ask_for_votes(Election(self.name, self.term + 1, pre=True), now)

    def _begin_election(self, now: float, forced: bool) -> None:
        self._put_off_election(now)
        self._write_hard(HardState(self.term + 1, self.name))
        self._ask_for_votes(Election(self.name, self.term, pre=False, forced=forced), now)

    def _ask_for_votes(self, election: Election, now: float) -> None:
        self._election = election
        for name in self.log.configuration.voters:
            if name != self.name:
                self._send(name, election.request(self.log))
        self._count(now)

    def _vote(self, message: Message, request: VoteRequest, now: float) -> None:
        may_vote = not self._hard.mending and self.log.is_up_to_date(
            request.last_index, request.last_term
        )
        if request.pre:
            granted = may_vote and request.election > self.term
        else:
            granted = (
                may_vote
                and request.election == message.term == self.term
                and self._hard.vote in (None, message.source)
            )
            if granted:
                self._write_hard(replace(self._hard, vote=message.source))
                self._put_off_election(now)
        self._send(message.source, VoteReply(request.election, request.pre, granted))

    def _count_vote(self, voter: str, reply: VoteReply, now: float) -> None:
        if self._election is not None:
            self._election.count(voter, reply)
            self._count(now)

    def _count(self, now: float) -> None:
        election = self._election
        assert election is not None
        if not election.is_won(self.log):
            return
        if election.pre:
            self._begin_election(now, forced=False)
            return
        self._election = None
        self._incoming.clear()
        self.leader = self.name
        times = self._times
        self._leadership = Leadership(self.name, self.log, now, times.tick_s, times.election_s)
        self.level_at = self._leadership.first_index
        self._append_own([(Kind.NOOP, b"")], urgent=True)

    def _learn_term(self, term: int, now: float) -> None:
        self._write_hard(HardState(term, None, self._hard.mending))
        self._follow(None, now)

    def _follow(self, leader: str | None, now: float) -> None:
        if self._leadership is not None:
            self._leadership = None
            self._put_off_election(now)
        self._election = None
        self.leader = leader

    def _hears(self, message: Message, now: float) -> bool:
        """Accepts whoever leads this term, and tells a leader of an earlier term."""
        if message.term < self.term:
            self._send(message.source, AppendReply(False, 0))
            return False
        if self._leadership is not None:
            raise InvariantBroken(f"{message.source} leads term {self.term}, as this disk does")
        self._follow(message.source, now)
        self._heard_at = now
        self._put_off_election(now)
        return True

    # The log

    def _append_own(self, contents: Sequence[tuple[Kind, bytes]], urgent: bool) -> list[Entry]:
        """As leader, appends an entry. ``synced`` counts it."""
        first = self.log.last + 1
        entries = [
            Entry(first + n, self.term, kind, data) for n, (kind, data) in enumerate(contents)
        ]
        self._writes.append(self.log.append(entries))
        if urgent and self._leadership is not None:
            self._leadership.urgent_to = self.log.last
        self._send_updates()
        return entries

    def _accept(self, leader: str, request: AppendRequest) -> None:
        log, before = self.log, request.before_index
        if before < self.commit:
            # What is committed is the same everywhere: nothing of it can be wrong.
            self._confirm(leader, self.commit, request.mend_to)
            return
        if log.term_at(before) != request.before_term:
            if before == self.commit > 0:
                raise InvariantBroken(f"{leader} has another entry at {before}: this is committed")
            hint = log.last_at_most(before - 1, request.before_term)
            self._send(leader, AppendReply(False, hint, before, self._hard.mending))
            return
        entries = request.entries
        while entries and log.term_at(entries[0].index) == entries[0].term:
            entries = entries[1:]
        if entries:
            self._writes.append(log.append(entries))
        self._incoming.clear()  # whatever came of a snapshot is not needed any more
        index = before + len(request.entries)
        self.level_at = max(request.commit, self.commit)
        self._commit_to(min(request.commit, index))
        if not request.news:
            self._confirm(leader, index, request.mend_to)

    def _confirm(self, leader: str, index: int, mend_to: int) -> None:
        if self._hard.mending and 0 < mend_to <= index:
            self._write_hard(replace(self._hard, mending=False))
        self._send(leader, AppendReply(True, index, mending=self._hard.mending))

    def _confirmed(self, message: Message, reply: AppendReply, now: float) -> None:
        leadership = self._leadership
        if leadership is None or message.term != self.term:
            return
        if leadership.appended(message.source, message.boot, reply, now):
            self._advance()

    def _advance(self) -> None:
        if self._leadership is not None:
            self._commit_to(self._leadership.commit())
            self._send_updates()

    def _commit_to(self, index: int) -> None:
        if index > self.commit:
            self._applies.extend(self.log.between(self.commit, index))
            self.commit = index

    # Snapshots

    def _receive(self, leader: str, piece: SnapshotPiece) -> None:
        if piece.index <= self.commit:
            self._confirm(leader, self.commit, 0)
            return
        if self.log.term_at(piece.index) == piece.term:
            # It is all here; only that it is committed was not known.
            self._commit_to(piece.index)
            self._confirm(leader, piece.index, 0)
            return
        snapshot = self._incoming.add(self.term, piece)
        if snapshot is None:
            self._send(leader, SnapshotReply(piece.index, self._incoming.received))
            return
        self._writes.append(self.log.restart(snapshot))
        self._applies.append(snapshot)
        self.commit = piece.index
        self.level_at = max(self.level_at or 0, piece.index)
        self._confirm(leader, piece.index, 0)

    # Out

    def _write_hard(self, hard: HardState) -> None:
        self._hard = hard
        self.log.written()
        self._writes.append(hard)

    def _send(self, target: str, body: Body) -> None:
        self._messages.append(Message(self.name, target, self._boot, self.term, body))

    def _send_updates(self) -> None:
        if self._leadership is not None:
            for name, body in self._leadership.updates(self.commit, self._now):
                self._send(name, body)

    def _ready(self) -> Ready:
        self._send_updates()
        ready = Ready(
            tuple(self._writes), tuple(self._messages), tuple(self._applies), self.log.mark
        )
        self._writes, self._messages, self._applies = [], [], []
        return ready
