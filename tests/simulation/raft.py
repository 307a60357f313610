"""A small Raft: the part of the simulator's consensus that decides what is in the log.

Elections, terms, the log-matching rule, commit by a majority of the current term, snapshots and
changes of one voter at a time are as in the paper (Ongaro and Ousterhout 2014; Ongaro's thesis,
chapter 4). Messages go through ``Wire``, which may lose, delay and reorder them. Like pysyncobj,
with which nodes really run, it has no pre-vote, and a leader without a majority gives up.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from cluster.consensus.interface import (
    OnApplied,
    OnRestored,
    ProposalRefused,
    ProposalUnknown,
    StateMachine,
)
from cluster.log.state import CommandResult
from tests.simulation.raft_log import COMMAND, NOOP, VOTERS, Entry, RaftDisk

HEARTBEAT_S = 0.1
ELECTION_S = (0.5, 1.0)
LEADER_GIVES_UP_S = 1.0
CONNECTED_S = 1.5
"""Heard of within so long, a peer counts as connected. All four are those of
``cluster.consensus.raft_setup``."""

SYNC_S = 0.001
"""For an entry to be on the leader's own disk."""

ENTRIES_PER_MESSAGE = 64
COMPACT_ENTRIES = 2_000
FOUNDING_ENTRIES_MAX = 100
"""A disk that the cluster does not know yet votes only on logs as short as this: as
``cluster.consensus.raft_transport`` has it."""


class Wire(Protocol):
    """Carries calls between processes: ``deliver`` is given the Raft that runs at ``target``."""

    def send(self, source: str, target: str, deliver: Callable[[Any], object]) -> None: ...


class Raft:
    """Elections, replication and commits of one voter at ``address``.

    ``machine`` is applied to in the loop, before ``_on_applied`` is called. Subclasses say what
    begins and ends a process.
    """

    def __init__(
        self,
        node_id: str,
        peers: Mapping[str, str],
        machine: StateMachine,
        disk: RaftDisk,
        wire: Wire,
        rng: random.Random,
        *,
        known: bool = False,
        compact_entries: int = COMPACT_ENTRIES,
        pace: float = 1.0,
    ) -> None:
        """``known``: the cluster has accepted this disk before. ``pace``: by which all times are
        multiplied; the same on all peers."""
        self._pace = pace
        self._id = node_id
        self.address = peers[node_id]
        self._ids = {address: peer for peer, address in peers.items()}
        self._founders = tuple(sorted(peers.values()))
        self.machine = machine
        self._disk = disk
        self._wire = wire
        self._rng = rng
        self._may_vote = known
        self._compact_entries = compact_entries
        self._journal_end = disk.last
        self._running = False
        self._role = "follower"
        self._leader: str | None = None
        self._votes: set[str] = set()
        self._next: dict[str, int] = {}
        self._match: dict[str, int] = {}
        self._heard: dict[str, float] = {}
        self._commit = disk.base
        self._applied = disk.base
        self._level_at = -1
        """What the leader last named as committed; as leader, the first entry of the own term."""
        self._was_synced = False
        self._election_at = 0.0
        self._waiting: dict[int, tuple[int, asyncio.Future[CommandResult]]] = {}
        """Log index to (term, who waits for its result)."""
        self._loop: asyncio.AbstractEventLoop
        self._on_applied: OnApplied
        self._on_restored: OnRestored
        self._after_apply: Callable[[], None] = lambda: None
        if not disk.base_voters:
            disk.base_voters = self._founders

    def watch(self, after_apply: Callable[[], None]) -> None:
        """``after_apply`` is called whenever entries were applied."""
        self._after_apply = after_apply

    def _start(self) -> None:
        self._running = True
        if self._disk.snapshot is not None:
            self.machine.restore(self._disk.snapshot)
            self._on_restored(self._disk.snapshot)
        self._put_off_election()
        self._loop.call_later(self._election_at - self._loop.time(), self._election_due)
        self._loop.call_later(self._pace * HEARTBEAT_S, self._beat)

    @property
    def applied(self) -> int:
        """Index of the last entry applied."""
        return self._applied

    @property
    def is_running(self) -> bool:
        return self._running

    @property
    def _level(self) -> bool:
        return self._level_at >= 0 and self._applied >= self._level_at

    # -- the leader's log ---------------------------------------------------------------------

    def _accept(
        self, kind: str, data: Any, future: asyncio.Future[CommandResult] | None
    ) -> int | None:
        """As leader: appends; the index, or None after refusing."""
        if kind == VOTERS:
            data = self._changed_voters(*data)
            if data is None:
                if future is not None:
                    future.set_exception(ProposalRefused("another change of voters is under way"))
                return None
        self._disk.append(Entry(self._disk.term, kind, data))
        index = self._disk.last
        if future is not None:
            self._waiting[index] = (self._disk.term, future)
        self._replicate()
        self._loop.call_later(SYNC_S, self._advance_commit)
        return index

    def _changed_voters(self, address: str, present: bool) -> tuple[str, ...] | None:
        for index in range(self._commit + 1, self._disk.last + 1):
            if self._disk.entry(index).kind == VOTERS:
                return None
        if not self._level or (address == self.address and not present):
            return None
        voters = set(self._disk.voters())
        if present:
            voters.add(address)
        else:
            voters.discard(address)
        return tuple(sorted(voters))

    # -- elections ----------------------------------------------------------------------------

    def _put_off_election(self) -> None:
        low, high = ELECTION_S
        wait_s = self._pace * (low + (high - low) * self._rng.random())
        self._election_at = self._loop.time() + wait_s

    def _election_due(self) -> None:
        if not self._running:
            return
        now = self._loop.time()
        if now >= self._election_at:
            if self._role != "leader" and self.address in self._disk.voters():
                self._stand()
            else:
                self._put_off_election()
        self._loop.call_later(max(self._election_at - now, 0.01), self._election_due)

    def _stand(self) -> None:
        disk = self._disk
        if not self._may_vote and disk.last > FOUNDING_ENTRIES_MAX:
            self._put_off_election()
            return
        disk.term += 1
        disk.voted_for = self.address
        self._role, self._leader = "candidate", None
        self._votes = {self.address}
        self._put_off_election()
        term, last, me = disk.term, disk.last, self.address
        last_term = disk.term_at(last) or 0
        for peer in disk.voters():
            if peer != me:
                self._wire.send(me, peer, lambda raft: raft._vote_wanted(me, term, last, last_term))
        self._count_votes()

    def _vote_wanted(self, source: str, term: int, last: int, last_term: int) -> None:
        if not self._running:
            return
        if not self._may_vote and last > FOUNDING_ENTRIES_MAX:
            return
        self._heard_of(source)
        self._note_term(term)
        disk = self._disk
        mine = (disk.term_at(disk.last) or 0, disk.last)
        granted = (
            term == disk.term
            and disk.voted_for in (None, source)
            and (last_term, last) >= mine
            and self._role == "follower"
        )
        if granted:
            disk.voted_for = source
            self._put_off_election()
            me = self.address
            self._wire.send(me, source, lambda raft: raft._voted(me, term))

    def _voted(self, source: str, term: int) -> None:
        self._heard_of(source)
        if self._running and self._role == "candidate" and term == self._disk.term:
            self._votes.add(source)
            self._count_votes()

    def _count_votes(self) -> None:
        voters = self._disk.voters()
        if sum(voter in self._votes for voter in voters) * 2 <= len(voters):
            return
        self._role, self._leader = "leader", self.address
        self._next = dict.fromkeys(voters, self._disk.last + 1)
        self._match = dict.fromkeys(voters, 0)
        now = self._loop.time()
        self._heard.update(dict.fromkeys(voters, now))
        self._level_at = self._disk.last + 1
        self._accept(NOOP, None, None)

    def _told_to_lead(self, term: int) -> None:
        if self._running and term == self._disk.term and self._role == "follower":
            self._stand()

    def _note_term(self, term: int) -> None:
        if term > self._disk.term:
            self._disk.term = term
            self._disk.voted_for = None
            self._step_down()

    def _step_down(self) -> None:
        if self._role == "leader":
            self._put_off_election()
        self._role, self._leader = "follower", None

    def _heard_of(self, source: str) -> None:
        self._heard[source] = self._loop.time()

    # -- replication --------------------------------------------------------------------------

    def _beat(self) -> None:
        if not self._running:
            return
        self._loop.call_later(self._pace * HEARTBEAT_S, self._beat)
        if self._role == "leader":
            since = self._loop.time() - self._pace * LEADER_GIVES_UP_S
            voters = self._disk.voters()
            heard = sum(v == self.address or self._heard.get(v, -1e9) > since for v in voters)
            if heard * 2 <= len(voters):
                self._step_down()
            else:
                self._replicate()
        elif self._leader is not None and self._leader != self.address:
            self._forget_silent_leader(self._leader)

    def _forget_silent_leader(self, leader: str) -> None:
        if self._heard.get(leader, -1e9) < self._loop.time() - self._pace * CONNECTED_S:
            self._leader = None

    def _replicate(self) -> None:
        for peer in self._disk.voters():
            if peer != self.address:
                self._send_entries(peer)

    def _send_entries(self, peer: str) -> None:
        disk, me = self._disk, self.address
        first = self._next.setdefault(peer, disk.last + 1)
        term, commit = disk.term, self._commit
        if first <= disk.base and disk.snapshot is not None:
            state = (disk.base, disk.base_term, disk.base_voters, disk.snapshot)
            self._wire.send(me, peer, lambda raft: raft._snapshot_sent(me, term, *state))
            return
        before = first - 1
        before_term = disk.term_at(before)
        start = first - disk.base - 1
        entries = disk.entries[start : start + ENTRIES_PER_MESSAGE]
        self._wire.send(
            me,
            peer,
            lambda raft: raft._entries_sent(me, term, before, before_term, entries, commit),
        )

    def _follows(self, source: str, term: int) -> bool:
        if not self._running or term < self._disk.term:
            return False
        self._note_term(term)
        self._role, self._leader = "follower", source
        self._heard_of(source)
        self._put_off_election()
        return True

    def _entries_sent(
        self,
        source: str,
        term: int,
        before: int,
        before_term: int | None,
        entries: list[Entry],
        commit: int,
    ) -> None:
        if not self._follows(source, term):
            if self._running:
                self._answer(source, False, 0)
            return
        disk = self._disk
        if before > disk.base and disk.term_at(before) != before_term:
            self._answer(source, False, min(before - 1, disk.last))
            return
        index = before
        for entry in entries:
            index += 1
            if index <= disk.base:
                continue
            known = disk.term_at(index)
            if known is not None and known != entry.term:
                assert index > self._commit, "a committed entry would be overwritten"
                disk.cut_after(index - 1)
                known = None
            if known is None:
                disk.append(entry)
        self._answer(source, True, index)
        self._level_at = commit
        self._commit = max(self._commit, min(commit, index))
        self._apply()

    def _answer(self, leader: str, good: bool, index: int) -> None:
        me, term = self.address, self._disk.term
        self._wire.send(me, leader, lambda raft: raft._answered(me, term, good, index))

    def _answered(self, source: str, term: int, good: bool, index: int) -> None:
        if not self._running:
            return
        self._heard_of(source)
        self._note_term(term)
        if self._role != "leader" or term != self._disk.term:
            return
        if good:
            self._match[source] = max(self._match.get(source, 0), index)
            self._next[source] = max(self._next.get(source, 1), index + 1)
            self._advance_commit()
            if self._next[source] <= self._disk.last - ENTRIES_PER_MESSAGE:
                self._send_entries(source)
        else:
            self._next[source] = max(index + 1, 1)
            self._send_entries(source)

    def _snapshot_sent(
        self,
        source: str,
        term: int,
        base: int,
        base_term: int,
        voters: tuple[str, ...],
        snapshot: bytes,
    ) -> None:
        if not self._follows(source, term):
            return
        disk = self._disk
        if base > self._applied:
            disk.restart_at(base, base_term, voters, snapshot)
            self.machine.restore(snapshot)
            self._commit = max(self._commit, base)
            self._applied = base
            self._on_restored(snapshot)
            self._refuse_passed()
        self._answer(source, True, self._applied)

    # -- commits ------------------------------------------------------------------------------

    def _advance_commit(self) -> None:
        if self._role != "leader":
            return
        disk, voters = self._disk, self._disk.voters()
        self._match[self.address] = disk.last
        matches = sorted((self._match.get(voter, 0) for voter in voters), reverse=True)
        index = matches[len(voters) // 2]
        if index > self._commit and disk.term_at(index) == disk.term:
            self._commit = index
            self._apply()

    def _apply(self) -> None:
        before = self._applied
        while self._applied < self._commit:
            self._applied += 1
            index = self._applied
            entry = self._disk.entry(index)
            result = CommandResult(True)
            if entry.kind == COMMAND:
                result = self.machine.apply(entry.data)
                self._on_applied(entry.data, result, index <= self._journal_end or not self._ready)
            term, future = self._waiting.pop(index, (0, None))
            if future is not None and not future.done():
                if term == entry.term:
                    future.set_result(result)
                else:
                    future.set_exception(ProposalRefused("another leader's took its place"))
        self._was_synced = self._was_synced or self._level
        self._refuse_passed()
        self._compact()
        if self._applied != before:
            self._after_apply()

    @property
    def _ready(self) -> bool:
        """This process has caught up once: what is applied from then on is not replayed."""
        return self._was_synced

    def _refuse_passed(self) -> None:
        for index in [i for i in self._waiting if i <= self._applied]:
            _, future = self._waiting.pop(index)
            if not future.done():
                future.set_exception(ProposalUnknown("a snapshot took its place"))

    def _compact(self) -> None:
        disk = self._disk
        count = self._applied - disk.base
        if count < self._compact_entries:
            return
        voters = disk.base_voters
        for entry in disk.entries[:count]:
            if entry.kind == VOTERS:
                voters = entry.data
        term = disk.term_at(self._applied) or 0
        disk.restart_at(self._applied, term, voters, self.machine.snapshot())
