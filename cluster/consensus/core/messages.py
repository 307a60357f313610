"""What goes between the disks of a log, and what is to be written and applied. Pure.

The names are those of Ongaro's thesis ("Consensus: Bridging Theory and Practice", 2014), where a
message is in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

from cluster.consensus.core.configuration import Configuration, decode_configuration

SNAPSHOT_BYTES_MAX = 64 * 1024 * 1024
"""The most bytes of a snapshot that is received: several times what the state may grow to."""

NOBODY = Configuration()


class Kind(IntEnum):
    """The kind of an entry. The numbers are on disks and on the wire."""

    NOOP = 0
    COMMAND = 1
    CONFIGURATION = 2


@dataclass(frozen=True, slots=True)
class Entry:
    index: int
    term: int
    kind: Kind
    data: bytes = b""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The state after the entry at ``index``, which is of ``term``. Index 0 is that of a log just
    founded."""

    index: int = 0
    term: int = 0
    configuration: Configuration = NOBODY
    data: bytes = b""


@dataclass(frozen=True, slots=True)
class HardState:
    """``mending``: this disk has lost entries that it may have confirmed. It neither votes nor
    counts until a leader has given them back: of two voters, the other cannot be elected then."""

    term: int = 0
    vote: str | None = None
    mending: bool = False


@dataclass(frozen=True, slots=True)
class Durable:
    """What a disk holds. ``entries`` follow ``snapshot``."""

    hard: HardState
    snapshot: Snapshot
    entries: tuple[Entry, ...] = ()


def founded(voters: Sequence[str]) -> Durable:
    """Returns what each disk of a log that begins with these voters holds."""
    return Durable(HardState(), Snapshot(0, 0, Configuration(tuple(sorted(voters)))))


# What a disk is to do


@dataclass(frozen=True, slots=True)
class Append:
    """A write. The first entry takes the place of whatever is at its index and behind it."""

    entries: tuple[Entry, ...]


@dataclass(frozen=True, slots=True)
class Rewrite:
    """A write. The log becomes ``snapshot`` and ``entries``."""

    snapshot: Snapshot
    entries: tuple[Entry, ...] = ()


Write = HardState | Append | Rewrite


# What one disk says to another


@dataclass(frozen=True, slots=True)
class VoteRequest:
    """``election`` is its term. ``pre``: the voter is only asked whether it would vote, and nothing
    changes. ``forced``: a leader wished for the election, so having a leader is no reason to
    refuse."""

    election: int
    pre: bool
    last_index: int
    last_term: int
    forced: bool = False


@dataclass(frozen=True, slots=True)
class VoteReply:
    election: int
    pre: bool
    granted: bool


@dataclass(frozen=True, slots=True)
class AppendRequest:
    """Entries that follow the one at ``before_index``; none: a heartbeat.

    ``mend_to``: to a disk that is mending, the index from which on it has everything. ``news``:
    this says only that more is committed, to a disk that has confirmed all entries; that is not
    answered.
    """

    before_index: int
    before_term: int
    entries: tuple[Entry, ...]
    commit: int
    mend_to: int = 0
    news: bool = False


@dataclass(frozen=True, slots=True)
class AppendReply:
    """``index``: when accepted, the log is the leader's up to there, and on disk; else where the
    leader should try next, after it tried ``before_index``."""

    accepted: bool
    index: int
    before_index: int = 0
    mending: bool = False


@dataclass(frozen=True, slots=True)
class SnapshotPiece:
    """``data`` from ``offset`` of a snapshot's ``size`` bytes."""

    index: int
    term: int
    configuration: Configuration
    size: int
    offset: int
    data: bytes


@dataclass(frozen=True, slots=True)
class SnapshotReply:
    """The number of bytes of the snapshot at ``index`` that have come. Once all are on disk, an
    ``AppendReply`` says so."""

    index: int
    offset: int


@dataclass(frozen=True, slots=True)
class TimeoutNow:
    """The leader wishes that the receiver stands for election at once."""


Body = (
    VoteRequest
    | VoteReply
    | AppendRequest
    | AppendReply
    | SnapshotPiece
    | SnapshotReply
    | TimeoutNow
)


@dataclass(frozen=True, slots=True)
class Message:
    """``source`` and ``target`` are names of disks. ``boot`` grows with each start of the source;
    ``term`` is the source's current one."""

    source: str
    target: str
    boot: int
    term: int
    body: Body


@dataclass(frozen=True, slots=True)
class Ready:
    """What follows from a step. Several may be joined by ``+`` and carried out together, in this
    order:

    1. ``writes``, in order, are made durable. With a single sync for all.
    2. Only then are ``messages`` sent: they speak of what is durable.
    3. ``applies``, in order, go to the state machine: committed entries, or a snapshot that takes
       the place of everything before it.
    4. ``Raft.synced`` is told ``mark``, if there were writes.
    """

    writes: tuple[Write, ...] = ()
    messages: tuple[Message, ...] = ()
    applies: tuple[Entry | Snapshot, ...] = ()
    mark: int = 0

    def __add__(self, later: Ready) -> Ready:
        return Ready(
            self.writes + later.writes,
            self.messages + later.messages,
            self.applies + later.applies,
            max(self.mark, later.mark),
        )

    def __bool__(self) -> bool:
        return bool(self.writes or self.messages or self.applies)


def check(term: int, body: Body) -> None:
    """Raises ValueError for a message that no leader sends."""
    if isinstance(body, SnapshotPiece):
        end = body.offset + len(body.data)
        if not (body.index > 0 and 0 <= body.offset <= end <= body.size <= SNAPSHOT_BYTES_MAX):
            raise ValueError(f"bytes {body.offset} to {end} of a snapshot of {body.size}")
    if isinstance(body, AppendRequest):
        if body.news and (body.entries or body.mend_to):
            raise ValueError("more than news in a message that is not answered")
        index, last_term = body.before_index, body.before_term
        for entry in body.entries:
            index += 1
            if entry.index != index or not last_term <= entry.term <= term:
                raise ValueError(f"entry {entry.index} of term {entry.term} in place {index}")
            last_term = entry.term
            if entry.kind == Kind.CONFIGURATION:
                decode_configuration(entry.data)
