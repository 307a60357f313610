"""The primary lease as one node sees it. Pure: events and ``now`` in, actions out."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import Protocol

from cluster.log.commands import Command, Grant, Release
from cluster.log.state import CommandResult, LeaseRecord

NEVER = float("-inf")

RETRY_S = 0.3
"""How long a proposal without an answer is waited for before the next one. Doubles are harmless
(both name the same sequence, so one is refused); a lost one costs this much of the lease."""

REFUSED_RETRY_S = 0.05
"""The pause after a proposal that was surely not committed."""

TRANSFER_RETRY_S = 0.5
"""The pause between two attempts to move Raft leadership, no shorter than an election."""

OUTSTANDING_MAX = 64
"""The most own proposals that may still be applied: more than a lease's worth of retries."""


@dataclass(frozen=True, slots=True)
class Propose:
    command: Grant | Release


@dataclass(frozen=True, slots=True)
class TransferLeadership:
    """Raft leadership should move to ``to``; None: to whoever is most up to date."""

    to: str | None


@dataclass(frozen=True, slots=True)
class Acquired:
    """This node holds the lease of ``epoch`` and did not a moment ago, or held an older epoch.

    Comes again with the same epoch after a ``Lost`` when nobody else was granted it meanwhile.
    """

    epoch: int
    members: tuple[str, ...]
    first_epoch: bool
    until: float


@dataclass(frozen=True, slots=True)
class Renewed:
    until: float


@dataclass(frozen=True, slots=True)
class Lost:
    epoch: int


class PrimaryLeaseTimes(Protocol):
    """Durations of the primary lease; every node of a cluster has the same ones."""

    @property
    def primary_s(self) -> float: ...
    @property
    def renew_s(self) -> float: ...
    @property
    def margin(self) -> float: ...


LeaseEvent = Acquired | Renewed | Lost
Action = Propose | TransferLeadership | Acquired | Renewed | Lost


class LeaseKeeper:
    """Keeps one node's side of the promise that at most one node holds the lease at any instant.

    Only rates of clocks are trusted. Let a grant last ``d`` and the margin be ``m``:

    1. The holder counts ``d`` from before it proposed the grant; nothing that was replayed from
       a journal or a snapshot, and no proposal of an earlier process, makes a holder.
    2. Every other node counts ``d * (1 + m)`` from when the grant came to it, or from when it
       applied one that it found in its log, and claims the lease only after that: later than 1 in
       real time as long as two clocks' rates differ by less than ``m``.
    3. A grant names the sequence that its proposer had applied. One who has not applied the
       latest grant, and so has not counted it, is refused by every node alike.
    4. A holder that releases stops believing before it proposes the release, and believes no
       grant that it had proposed before.

    The Raft leader flag authorises nothing; it only chooses who claims, so that claims do not
    collide. The holder renews through whoever leads.
    """

    def __init__(
        self, node_id: str, incarnation: str, duration_s: float, renew_s: float, margin: float
    ) -> None:
        self._me = node_id
        self._incarnation = incarnation
        self._duration_s = duration_s
        self._renew_s = renew_s
        self._margin = margin
        self._record = LeaseRecord()
        self._until = NEVER
        self._believed_epoch: int | None = None
        """The epoch of the last Acquired, until Lost is reported."""
        self._block_until = NEVER
        self._outstanding: dict[int, float] = {}
        """Own grants that may still be applied: proposal id to the time before proposing."""
        self._last_proposal_id = 0
        self._quiet_until = NEVER
        """No proposal is made before this time: one is under way, or was just refused."""
        self._renew_at = NEVER
        self._transfer_at = NEVER
        self._releasing = False
        self._new_epoch_wanted = False

    def holds(self, now: float) -> bool:
        """True while this node holds the lease. Ask at each use: no flag survives a pause."""
        return now < self._until

    @property
    def until(self) -> float:
        """The end of the last lease held, which may be over: compare with a fresh ``now``."""
        return self._until

    @property
    def released(self) -> bool:
        """True once a release was asked for and the log shows that this process holds nothing."""
        return self._releasing and not self._recorded_as_mine()

    def restored(self, record: LeaseRecord, now: float) -> list[Action]:
        """The state was replaced by a snapshot whose grant may be alive."""
        self._adopt(record, now)
        return self._drop_if_not_mine()

    def applied(
        self,
        command: Command,
        result: CommandResult,
        record: LeaseRecord,
        replayed: bool,
        now: float,
        came_at: float,
    ) -> list[Action]:
        """A command was applied; ``record`` is the state's lease record after it. ``came_at``: a
        time since which this node has had the command, and before which nobody had proposed it
        here; ``now`` if that is not known."""
        if not isinstance(command, Grant | Release):
            return []
        mine = (command.holder, command.incarnation) == (self._me, self._incarnation)
        started = None
        if mine and isinstance(command, Grant):
            started = self._outstanding.pop(command.proposal_id, None)
        if mine:
            self._quiet_until = NEVER if result.ok else now + REFUSED_RETRY_S
        if not result.ok:
            return []
        self._adopt(record, came_at)
        if isinstance(command, Release):
            self._block_until = NEVER
        elif started is not None and not replayed:
            return self._believe(started + command.duration_s, started, now)
        return self._drop_if_not_mine()

    def renews(self, proposal: Grant | Release, now: float) -> bool:
        """Whether ``proposal`` changes nothing for anybody but when the lease ends: nobody needs
        to know soon that it is committed, since all count from when they got it."""
        return isinstance(proposal, Grant) and not proposal.new_epoch and self.holds(now)

    def not_committed(self, proposal: Grant | Release, now: float) -> None:
        """``proposal`` is not in the log and never will be."""
        if isinstance(proposal, Grant):
            self._outstanding.pop(proposal.proposal_id, None)
        self._quiet_until = now + REFUSED_RETRY_S

    def tick(
        self, now: float, raft_leader: bool, synced: bool, members: tuple[str, ...]
    ) -> list[Action]:
        """``members``: the set that an epoch beginning now would count over, () if not known."""
        actions = self._lapse(now)
        if now < self._quiet_until:
            return actions
        command: Grant | Release | None = None
        if self._releasing:
            if self._recorded_as_mine():
                command = Release(self._me, self._incarnation, self._record.seq)
            elif raft_leader and now >= self._transfer_at:
                self._transfer_at = now + TRANSFER_RETRY_S
                actions.append(TransferLeadership(None))
        elif self._recorded_as_mine():
            if self._me in members and (now >= self._renew_at or self._new_epoch_wanted):
                command = self._grant(now, members, self._new_epoch_wanted)
        elif now < self._block_until:
            if raft_leader and self._record.holder != self._me and now >= self._transfer_at:
                self._transfer_at = now + TRANSFER_RETRY_S
                actions.append(TransferLeadership(self._record.holder))
        elif raft_leader and synced and self._me in members:
            command = self._grant(now, members, False)
        if command is not None:
            self._quiet_until = now + RETRY_S
            actions.append(Propose(command))
        return actions

    def deadline(
        self, now: float, raft_leader: bool, synced: bool, members: tuple[str, ...]
    ) -> float:
        """The time until which ``tick`` has nothing to do, if it is told the same: the past for at
        once, infinity for never."""
        lapses_at = inf if self._believed_epoch is None else self._until
        return min(
            lapses_at, max(self._quiet_until, self._next_at(now, raft_leader, synced, members))
        )

    def _next_at(
        self, now: float, raft_leader: bool, synced: bool, members: tuple[str, ...]
    ) -> float:
        """When there is something to propose or to hand over."""
        if self._releasing:
            if self._recorded_as_mine():
                return NEVER
            return self._transfer_at if raft_leader else inf
        if self._recorded_as_mine():
            if self._me not in members:
                return inf
            return NEVER if self._new_epoch_wanted else self._renew_at
        claims_at = self._block_until if raft_leader and synced and self._me in members else inf
        if now < self._block_until and raft_leader and self._record.holder != self._me:
            return min(claims_at, self._transfer_at)
        return claims_at

    def release(self, now: float) -> list[Action]:
        """Planned hand-over: from now on this node does not hold the lease and does not claim
        it until ``resume``. To be called when no read lease is out and every write is settled."""
        self._releasing = True
        self._outstanding.clear()
        self._quiet_until = NEVER
        self._until = NEVER
        return self._lapse(now)

    def resume(self) -> None:
        self._releasing = False

    def want_new_epoch(self) -> None:
        """The holder begins a new epoch with its next grant: how a change of members takes
        effect. Without effect on a node that is not the holder."""
        self._new_epoch_wanted = self._believed_epoch is not None

    def _grant(self, now: float, members: tuple[str, ...], new_epoch: bool) -> Grant:
        self._last_proposal_id += 1
        if len(self._outstanding) >= OUTSTANDING_MAX:
            del self._outstanding[min(self._outstanding)]
        self._outstanding[self._last_proposal_id] = now
        return Grant(
            holder=self._me,
            incarnation=self._incarnation,
            expected_seq=self._record.seq,
            duration_s=self._duration_s,
            members=members,
            proposal_id=self._last_proposal_id,
            new_epoch=new_epoch,
        )

    def _recorded_as_mine(self) -> bool:
        record = self._record
        return (record.holder, record.incarnation) == (self._me, self._incarnation)

    def _adopt(self, record: LeaseRecord, came_at: float) -> None:
        self._record = record
        if record.holder is not None:
            self._block_until = came_at + record.duration_s * (1 + self._margin)

    def _believe(self, until: float, started: float, now: float) -> list[Action]:
        self._renew_at = started + self._renew_s
        self._until = until
        if now >= self._until:
            return self._lapse(now)
        record = self._record
        if self._believed_epoch == record.epoch:
            return [Renewed(self._until)]
        self._new_epoch_wanted = False
        self._believed_epoch = record.epoch
        return [Acquired(record.epoch, record.members, record.epoch == 1, self._until)]

    def _drop_if_not_mine(self) -> list[Action]:
        if self._recorded_as_mine():
            return []
        self._until = NEVER
        return self._lapse(NEVER)

    def _lapse(self, now: float) -> list[Action]:
        if self._believed_epoch is None or now < self._until:
            return []
        lost = Lost(self._believed_epoch)
        self._believed_epoch = None
        self._new_epoch_wanted = False
        return [lost]
