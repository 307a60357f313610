"""What a leader knows of the other disks, and what it sends them. Pure.

Each disk has one message with entries, or one piece of a snapshot, under way at a time: the next is
sent when it is answered. So what is proposed meanwhile goes together, and what is under way is
bounded, whatever the disk does. The answer to a heartbeat tells whether what was sent before it
has been lost: messages to a disk keep their order, or are lost.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from cluster.consensus.core.configuration import Change, Configuration, Promote, Remove
from cluster.consensus.core.log import Log
from cluster.consensus.core.messages import (
    AppendReply,
    AppendRequest,
    Body,
    Snapshot,
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

UNCOMMITTED_MAX = 2_000
UNCOMMITTED_BYTES_MAX = 16 * 1024 * 1024
"""The most entries that are not committed, and the most bytes of those of this term. More are
refused; a single command may be larger than what is left."""

BEAT_TICKS = 2
SPOKEN_TICKS = 3
"""So many ticks after the last heartbeat, or the last other message, comes the next heartbeat to a
disk that owes no answer. A log that is written to regularly needs none."""

SOON_S = 0.001
"""Heartbeats that are due so soon go with those that are due now."""

BEATS_MAX = 5
"""The most heartbeats that are expected to be under way to a disk: with more, it would not count as
heard of."""


@dataclass(slots=True)
class Progress:
    """What a leader knows of one other disk. ``match``: that disk has the leader's log, durably, up
    to there."""

    next: int
    match: int = 0
    heard_at: float = NEVER
    waiting: bool = False
    """True while something that was sent has not been answered."""
    sent_to: int = 0
    """The index that the answer confirms."""
    beats: int = 0
    """The number of heartbeats that were sent after it."""
    beats_before: int = 0
    """The number of heartbeats before it whose answers may still come. They cannot tell whether it
    was lost."""
    spoken_at: float = NEVER
    quiet_ticks: int = BEAT_TICKS
    """So long after that comes the next heartbeat, if the disk owes no answer."""
    commit_sent: int = -1
    """The disk was told that its entries up to this index are committed."""
    refusals: int = 0
    """The number of refusals in a row."""
    snapshot: Snapshot | None = None
    """The snapshot that is being sent, even if there is a newer one. The disk has
    ``snapshot_offset`` bytes of it."""
    snapshot_offset: int = 0
    mend_to: int = 0


@dataclass(slots=True)
class Transfer:
    target: str
    until: float
    asked: bool = False


class Leadership:
    """The state of a leader, for one term."""

    def __init__(self, me: str, log: Log, now: float, tick_s: float, election_s: float) -> None:
        self._uncommitted: deque[tuple[int, int]] = deque()
        """(last index, bytes) of each lot of commands that was taken and is not committed."""
        self._uncommitted_bytes = 0
        self._me = me
        self._log = log
        self._tick_s = tick_s
        self._election_s = election_s
        self.first_index = log.last + 1
        """The index of the first entry of the own term. A majority alone does not commit earlier
        entries."""
        self._peers: dict[str, Progress] = {}
        self._boots: dict[str, int] = {}
        """The latest known start of each disk. Answers of an earlier start are not believed, also
        if the disk was removed and added again."""
        self.urgent_to = log.last
        """The index of the last entry whose commitment the disks are told of at once. Of later ones
        the next message to them tells."""
        self.transfer: Transfer | None = None
        self.follow_configuration(now)

    def follow_configuration(self, now: float) -> None:
        members = self._log.configuration.members
        for name in self._peers.keys() - set(members):
            del self._peers[name]
        for name in members:
            if name != self._me and name not in self._peers:
                self._peers[name] = Progress(self._log.last + 1, heard_at=now, spoken_at=now)
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

    def no_room(self, commands: Sequence[bytes], commit: int) -> str | None:
        """Returns why these commands are too many, if they are; else they count from now on."""
        last = self._log.last + len(commands)
        if last - commit > UNCOMMITTED_MAX:
            return f"{UNCOMMITTED_MAX} entries are not committed yet"
        waiting = self._uncommitted
        while waiting and waiting[0][0] <= commit:
            self._uncommitted_bytes -= waiting.popleft()[1]
        if self._uncommitted_bytes >= UNCOMMITTED_BYTES_MAX:
            return f"{UNCOMMITTED_BYTES_MAX} bytes of entries are not committed yet"
        size = sum(map(len, commands))
        waiting.append((last, size))
        self._uncommitted_bytes += size
        return None

    def is_level(self, name: str, commit: int, now: float) -> bool:
        """True if a learner may become a voter: it has what is committed, and answers."""
        peer = self._peers.get(name)
        return (
            peer is not None
            and not peer.mend_to
            and peer.match >= commit
            and self._answers(peer, now)
        )

    def _answers(self, peer: Progress, now: float) -> bool:
        return now < peer.heard_at + self._election_s

    def change_refused(self, commit: int) -> str:
        """Returns why the members cannot be changed now; empty if they can."""
        if self.transfer is not None:
            return HANDED_OVER
        if commit < self.first_index:
            return "this leader has not committed anything yet"
        if self._log.configuration_index > commit:
            return "another change of members is not committed yet"
        return ""

    def would_harm(self, change: Change, after: Configuration, commit: int, now: float) -> str:
        """Returns why the change must not be made now; empty if it may be."""
        name = change.name
        match change:
            case Promote():
                if not self.is_level(name, commit, now):
                    return f"{name} is not level with the log yet"
            case Remove():
                if name == self._me:
                    return "a leader does not remove itself; hand the leadership over first"
                there = [
                    one
                    for one, peer in self._peers.items()
                    if self._answers(peer, now) and not peer.mend_to
                ]
                if name in self._log.configuration.voters and not after.is_majority(
                    [self._me, *there]
                ):
                    return f"without {name}, too few voters answer for a majority"
        return ""

    # Answers

    def appended(self, source: str, boot: int, reply: AppendReply, now: float) -> bool:
        """Takes the answer of a disk. Returns True if more may be committed now."""
        peer = self._known(source, boot, now)
        if peer is None:
            return False
        if reply.mending:
            self._mend(peer, source, boot)
        if not reply.accepted:
            if reply.before_index == peer.next - 1:
                self._refused(peer, reply)
            return False
        if reply.index > self._log.last:
            return False  # nobody can have more than the leader: not of this log
        if reply.index >= min(peer.sent_to, peer.next) or (
            peer.beats and reply.index == peer.next - 1
        ):
            # Any other answer is to an earlier message: a second one would be under way.
            peer.waiting = False
        peer.refusals = 0
        peer.snapshot, peer.snapshot_offset = None, 0
        peer.next = max(peer.next, reply.index + 1)
        if reply.mending:
            return False
        peer.mend_to = 0
        if reply.index <= peer.match:
            return False
        peer.match = reply.index
        return True

    def _refused(self, peer: Progress, reply: AppendReply) -> None:
        """Goes back to the index that the follower names, and with each refusal in a row at least
        twice as far, since the logs of two leaders may differ in many entries. Goes no further back
        than the entries kept here unless the follower asks for it. Never sends the same again at
        once."""
        back = min(reply.index, peer.next - 1 - (1 << min(peer.refusals, 30)))
        back = max(back, min(reply.index, self._log.start), peer.match)
        if back < peer.next - 1:
            peer.next = back + 1
            peer.refusals += 1
            peer.waiting = False

    def snapshot_received(self, source: str, boot: int, reply: SnapshotReply, now: float) -> None:
        peer = self._known(source, boot, now)
        if peer is None or peer.snapshot is None or peer.snapshot.index != reply.index:
            return
        if not 0 <= reply.offset <= len(peer.snapshot.data):
            return
        if reply.offset == peer.snapshot_offset and peer.beats_before:
            peer.beats_before -= 1
        elif reply.offset != peer.snapshot_offset or peer.beats:
            peer.snapshot_offset = reply.offset
            peer.waiting = False

    def _known(self, source: str, boot: int, now: float) -> Progress | None:
        peer = self._peers.get(source)
        if peer is None or boot < self._boots.get(source, 0):
            return None
        peer.heard_at = now
        return peer

    def _mend(self, peer: Progress, name: str, boot: int) -> None:
        """Notes a disk that may have lost what it confirmed. All that was committed by its word is
        in this log already, so the disk is whole again once it has all of it."""
        if self._boots.get(name) != boot or not peer.mend_to:
            self._boots[name] = boot
            peer.match = 0
            peer.waiting = False  # what was sent to the process before, this one does not answer
            peer.mend_to = max(self._log.last, 1)

    # What to send

    def beat_at(self) -> float:
        """When the next heartbeat is due: to a disk that has not heard anything for some ticks, or
        for one tick if it owes an answer, since that may have been lost."""
        return min(map(self._beat_at, self._peers.values()), default=float("inf"))

    def _beat_at(self, peer: Progress) -> float:
        return peer.spoken_at + self._tick_s * (1 if peer.waiting else peer.quiet_ticks)

    def heartbeat(self, commit: int, now: float) -> Iterator[tuple[str, Body]]:
        """Returns the heartbeats that are due."""
        for name, peer in self._peers.items():
            if now >= self._beat_at(peer) - SOON_S:
                peer.beats += 1
                peer.spoken_at, peer.quiet_ticks = now, BEAT_TICKS
                yield name, self._next(peer, commit, empty=True)

    def updates(self, commit: int, now: float) -> Iterator[tuple[str, Body]]:
        """Returns messages to those disks that wait for nothing and lack something."""
        for name, peer in self._peers.items():
            if peer.waiting:
                continue
            if peer.next <= self._log.last or (
                peer.commit_sent < commit and peer.match != peer.next - 1
            ):
                peer.waiting = True
                peer.beats, peer.beats_before = 0, min(peer.beats, BEATS_MAX)
                yield name, self._next(peer, commit)
            elif peer.commit_sent < min(commit, self.urgent_to):
                yield name, self._news(peer, commit)
            else:
                continue
            peer.spoken_at, peer.quiet_ticks = now, SPOKEN_TICKS
        transfer = self.transfer
        if transfer is None or transfer.asked:
            return
        if self._peers[transfer.target].match == self._log.last:
            transfer.asked = True
            yield transfer.target, TimeoutNow()

    def _next(self, peer: Progress, commit: int, empty: bool = False) -> Body:
        log = self._log
        if peer.next <= log.start:
            return self._piece(peer, empty)
        before = peer.next - 1
        before_term = log.term_at(before)
        assert before_term is not None
        entries = () if empty else log.after(before, ENTRIES_MAX, ENTRIES_BYTES_MAX)
        reached = before + len(entries)
        if not empty:
            peer.sent_to = reached
        peer.commit_sent = min(commit, reached)
        return AppendRequest(before, before_term, entries, commit, peer.mend_to)

    def _news(self, peer: Progress, commit: int) -> AppendRequest:
        """To a disk that has confirmed the whole log. If it is lost, the next message says the
        same."""
        peer.commit_sent = commit
        term = self._log.term_at(peer.match)
        assert term is not None
        return AppendRequest(peer.match, term, (), commit, news=True)

    def _piece(self, peer: Progress, empty: bool) -> SnapshotPiece:
        if peer.snapshot is None or not peer.snapshot_offset:
            peer.snapshot = self._log.snapshot
        snapshot, offset = peer.snapshot, peer.snapshot_offset
        if not empty:
            peer.sent_to = snapshot.index
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
        """Begins to hand over to ``target`` (None: of the disks that answer, the one with most of
        the log). Returns False if there is none to hand over to, or if it has not answered this
        leader: nothing is proposed meanwhile, and a dead one would be waited for."""
        if target is None:
            level = [
                (self._answers(peer, now), peer.match, name)
                for name, peer in self._peers.items()
                if self._can_lead(name)
            ]
            target = max(level)[2] if level else None
        if target is None or not self._can_lead(target):
            return False
        peer = self._peers[target]
        if not peer.match or not self._answers(peer, now):
            return False
        self.transfer = Transfer(target, now + self._election_s)
        return True

    def _can_lead(self, name: str) -> bool:
        peer = self._peers.get(name)
        return peer is not None and not peer.mend_to and name in self._log.configuration.voters
