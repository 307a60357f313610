"""What a leader knows of the other disks, and what it sends them. Pure.

Each disk has one message with entries, or one piece of a snapshot, under way at a time: the next is
sent when it is answered. So what is proposed meanwhile goes together, and what is under way is
bounded, whatever the disk does. The answer to a heartbeat tells whether what was sent before it
has been lost: messages to a disk keep their order, or are lost.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from cluster.consensus.core.log import Log
from cluster.consensus.core.messages import (
    AppendReply,
    AppendRequest,
    Body,
    SnapshotPiece,
    SnapshotReply,
    TimeoutNow,
)

NEVER = float("-inf")

HANDED_OVER = "the leadership is being handed over"

ENTRIES_MAX = 256
ENTRIES_BYTES_MAX = 256 * 1024
PIECE_BYTES = 256 * 1024
"""The most bytes of entries, or of a snapshot, in one message. A single entry may be larger."""


@dataclass(slots=True)
class Progress:
    """What a leader knows of one other disk. ``match``: that disk has the leader's log, durably, up
    to there."""

    next: int
    match: int = 0
    heard_at: float = NEVER
    waiting: bool = False
    """True while something that was sent has not been answered."""
    commit_sent: int = -1
    snapshot_index: int = 0
    """The snapshot that is being sent, up to ``snapshot_offset``; 0 for none."""
    snapshot_offset: int = 0
    boot: int = 0
    """The number of the disk's start. Answers of an earlier start are not believed."""
    mend_to: int = 0


@dataclass(slots=True)
class Transfer:
    target: str
    until: float
    asked: bool = False


class Leadership:
    """The state of a leader, for one term."""

    def __init__(self, me: str, log: Log, now: float, election_s: float) -> None:
        self._me = me
        self._log = log
        self._election_s = election_s
        self.first_index = log.last + 1
        """The index of the first entry of the own term. A majority alone does not commit earlier
        entries."""
        self._peers: dict[str, Progress] = {}
        self.transfer: Transfer | None = None
        self.follow_configuration(now)

    def follow_configuration(self, now: float) -> None:
        members = self._log.configuration.members
        for name in self._peers.keys() - set(members):
            del self._peers[name]
        for name in members:
            if name != self._me and name not in self._peers:
                self._peers[name] = Progress(self._log.last + 1, heard_at=now)
        if self.transfer is not None and not self._can_lead(self.transfer.target):
            self.transfer = None

    # Whether it still leads

    def quorum_until(self) -> float:
        """The time until which a majority has been heard of recently enough (check-quorum: Ongaro's
        thesis, section 6.2). Afterwards the leader steps down, so that its clients look for another
        one."""
        heard = {name: peer.heard_at for name, peer in self._peers.items()}
        heard[self._me] = float("inf")
        return self._log.configuration.reached_by_majority(heard, NEVER) + self._election_s

    def commit(self) -> int:
        """Returns the index of the last entry that a majority has on disk, if the entry is of the
        own term, else 0 (Raft, section 5.4.2: an older term's entry may still be replaced, however
        many have it)."""
        matches = {name: peer.match for name, peer in self._peers.items()}
        matches[self._me] = self._log.stable
        index = self._log.configuration.reached_by_majority(matches, 0)
        return index if index >= self.first_index else 0

    def is_level(self, name: str, commit: int, now: float) -> bool:
        """True if a learner may become a voter: it has what is committed, and answers."""
        peer = self._peers.get(name)
        return (
            peer is not None
            and not peer.mend_to
            and peer.match >= commit
            and now < peer.heard_at + self._election_s
        )

    def change_refused(self, commit: int) -> str:
        """Returns why the members cannot be changed now; empty if they can."""
        if self.transfer is not None:
            return HANDED_OVER
        if commit < self.first_index:
            return "this leader has not committed anything yet"
        if self._log.configuration_index > commit:
            return "another change of members is not committed yet"
        return ""

    # Answers

    def appended(self, source: str, boot: int, reply: AppendReply, now: float) -> bool:
        """Takes the answer of a disk. Returns True if more may be committed now."""
        peer = self._known(source, boot, now)
        if peer is None:
            return False
        if reply.mending:
            self._mend(peer, boot)
        if not reply.accepted:
            if reply.before_index == peer.next - 1:
                peer.next = max(min(reply.index, self._log.last) + 1, peer.match + 1)
                peer.waiting = False
            return False
        peer.waiting = False
        peer.snapshot_index = 0
        if reply.index > self._log.last:
            return False  # nobody can have more than the leader: not of this log
        peer.next = max(peer.next, reply.index + 1)
        if reply.mending:
            return False
        peer.mend_to = 0
        if reply.index <= peer.match:
            return False
        peer.match = reply.index
        return True

    def snapshot_received(self, source: str, boot: int, reply: SnapshotReply, now: float) -> None:
        peer = self._known(source, boot, now)
        if peer is not None and peer.snapshot_index == reply.index:
            peer.snapshot_offset = reply.offset
            peer.waiting = False

    def _known(self, source: str, boot: int, now: float) -> Progress | None:
        peer = self._peers.get(source)
        if peer is None or boot < peer.boot:
            return None
        peer.heard_at = now
        return peer

    def _mend(self, peer: Progress, boot: int) -> None:
        """Notes a disk that may have lost what it confirmed. All that was committed by its word is
        in this log already, so the disk is whole again once it has all of it."""
        if peer.boot != boot or not peer.mend_to:
            peer.boot = boot
            peer.match = 0
            peer.mend_to = max(self._log.last, 1)

    # What to send

    def heartbeat(self, commit: int) -> Iterator[tuple[str, Body]]:
        for name, peer in self._peers.items():
            yield name, self._next(peer, commit, empty=True)

    def updates(self, commit: int) -> Iterator[tuple[str, Body]]:
        """Returns messages to those disks that wait for nothing and lack something."""
        for name, peer in self._peers.items():
            if not peer.waiting and (peer.next <= self._log.last or peer.commit_sent < commit):
                peer.waiting = True
                yield name, self._next(peer, commit)
        transfer = self.transfer
        if transfer is None or transfer.asked:
            return
        if self._peers[transfer.target].match == self._log.last:
            transfer.asked = True
            yield transfer.target, TimeoutNow()

    def _next(self, peer: Progress, commit: int, empty: bool = False) -> Body:
        log = self._log
        if peer.next <= log.base:
            return self._piece(peer, empty)
        before = peer.next - 1
        before_term = log.term_at(before)
        assert before_term is not None
        entries = () if empty else log.after(before, ENTRIES_MAX, ENTRIES_BYTES_MAX)
        peer.commit_sent = commit
        return AppendRequest(before, before_term, entries, commit, peer.mend_to)

    def _piece(self, peer: Progress, empty: bool) -> SnapshotPiece:
        snapshot = self._log.snapshot
        if peer.snapshot_index != snapshot.index:
            peer.snapshot_index, peer.snapshot_offset = snapshot.index, 0
        offset = peer.snapshot_offset
        return SnapshotPiece(
            snapshot.index,
            snapshot.term,
            snapshot.configuration,
            len(snapshot.data),
            offset,
            b"" if empty else snapshot.data[offset : offset + PIECE_BYTES],
        )

    # Handing over

    def begin_transfer(self, target: str | None, now: float) -> bool:
        """Begins to hand over to ``target`` (None: the disk with most of the log). Returns False if
        there is none to hand over to."""
        if target is None:
            level = [
                (peer.match, name) for name, peer in self._peers.items() if self._can_lead(name)
            ]
            target = max(level)[1] if level else None
        if target is None or not self._can_lead(target):
            return False
        self.transfer = Transfer(target, now + self._election_s)
        return True

    def _can_lead(self, name: str) -> bool:
        peer = self._peers.get(name)
        return peer is not None and not peer.mend_to and name in self._log.configuration.voters
