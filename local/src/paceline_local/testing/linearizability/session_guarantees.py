"""What every client may rely on within its own session.

Terry, Demers, Petersen, Spreitzer, Theimer & Welch ("Session Guarantees for Weakly Consistent
Replicated Data", PDIS 1994) name four:

* read your writes: a read sees every earlier write of its own session, or newer ones;
* monotonic reads: it sees everything that an earlier read of its session saw, or newer;
* monotonic writes: who sees a write sees those that its session had written before;
* writes follow reads: who sees a write sees those that its session had read before.

They concern all keys together: for the last two, a session that has read a write on one key must
not then read something older on another. (With two reads from two replicas such a session may also
have been failed by the second guarantee; a client cannot tell.)

The age of values is inferred from time, on the assumption that a write takes effect between its
invocation and its return. A value is *older* than another if its write, or a read of it, returned
before the write of the other was invoked. What is concurrent is never reported, so every violation
reported is one, and some are missed. Linearizability implies all four.

A session is a process. Calls of one process that overlap are in no order.
"""

from collections import Counter
from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Final, NamedTuple, TypeVar

from paceline_local.testing.linearizability.history import History, Operation
from paceline_local.testing.linearizability.intervals import OPEN, Intervals, intervals
from paceline_local.testing.linearizability.models import Leaves, Model
from paceline_local.testing.linearizability.zones import zones

State = TypeVar("State", bound=Hashable)


class Guarantee(Enum):
    READ_YOUR_WRITES = "read your writes"
    MONOTONIC_READS = "monotonic reads"
    MONOTONIC_WRITES = "monotonic writes"
    WRITES_FOLLOW_READS = "writes follow reads"


OF_OTHERS: Final = (Guarantee.MONOTONIC_WRITES, Guarantee.WRITES_FOLLOW_READS)
"""The guarantees that a session gives to other sessions, through its writes."""

_BY_WRITE: Final = (Guarantee.READ_YOUR_WRITES, Guarantee.MONOTONIC_WRITES)
_BY_READ: Final = (Guarantee.MONOTONIC_READS, Guarantee.WRITES_FOLLOW_READS)
"""(guarantee to the own session, guarantee to sessions that see its later writes) that a write, and
a read, of a session founds."""


@dataclass(frozen=True, slots=True)
class Violation:
    guarantee: Guarantee
    earlier: Operation
    """The operation that the read had to see: a write or read of its own session, or one that came
    before a write that its session has read."""
    later: Operation
    """The read that saw something older."""
    via: tuple[Operation, Operation] | None
    """For the last two guarantees: the write that came after ``earlier`` in its session, and the
    operation by which the session of ``later`` saw that write."""

    def __str__(self) -> str:
        seen = "" if self.via is None else f", after {self.via[1]} had seen {self.via[0]}"
        return f"{self.guarantee.value}: {self.later} saw less than {self.earlier}{seen}"


@dataclass(frozen=True, slots=True)
class Sessions:
    """The result; true in a condition if no guarantee was found broken."""

    violations: tuple[Violation, ...]
    reads: int
    """The number of reads that were judged."""
    unjudged: int
    """The number of reads of values that several writes, or none, may have written."""

    def __bool__(self) -> bool:
        return not self.violations

    def counts(self) -> dict[Guarantee, int]:
        found = Counter(violation.guarantee for violation in self.violations)
        return {guarantee: found[guarantee] for guarantee in Guarantee}


def sessions(history: History | Iterable[Operation], model: Model[State]) -> Sessions:
    if not isinstance(history, History):
        history = History(history)
    versions: dict[int, _Version] = {}
    reads = 0
    for operations in history.by_key().values():
        key = intervals(operations)
        reads += _reads(key, model)
        versions.update(_versions(key, model))
    walk = _Walk(versions)
    for is_return, operation in _events(history, versions):
        if is_return:
            walk.returned(operation)
        else:
            walk.invoked(operation)
    return Sessions(tuple(walk.violations), walk.reads, reads - walk.reads)


class _Version(NamedTuple):
    """The value that an operation wrote or read, as events of its key."""

    source: Operation | None
    written: int
    """The invocation of the write that made the value; the later, the newer."""
    first_return: int
    is_read: bool
    was_read: bool


class _Seen(NamedTuple):
    """A version that a session must not fall behind, and the reason."""

    version: _Version
    by: Operation
    via: tuple[Operation, Operation] | None = None


class _Session:
    """What one process did, and what it must see."""

    def __init__(self) -> None:
        self.owed: dict[Guarantee, dict[Hashable, _Seen]] = {g: {} for g in Guarantee}
        """The newest version by key, behind which no read of the session may fall."""
        self.log: dict[Guarantee, list[_Seen]] = {g: [] for g in OF_OTHERS}
        """The operations that raised the session's own claims, in order."""
        self.known: dict[tuple[Hashable, Guarantee], int] = {}
        """By process: how much of that process's log binds this session by now. One number is
        enough: what precedes a write of a process includes what precedes its earlier writes."""


class _Walk:
    """Goes through all events in the order of time."""

    def __init__(self, versions: dict[int, _Version]) -> None:
        self.versions = versions
        self.violations: list[Violation] = []
        self.reads = 0
        self.sessions: dict[Hashable, _Session] = {}
        self.before: dict[int, dict[Guarantee, int]] = {}
        """By write: the length of its session's log when the write was invoked."""

    def invoked(self, operation: Operation) -> None:
        version = self.versions[id(operation)]
        session = self._session(operation)
        if not version.is_read:
            if version.was_read:
                self.before[id(operation)] = {g: len(log) for g, log in session.log.items()}
            return
        self.reads += 1
        for guarantee, owed in session.owed.items():
            seen = owed.get(operation.key)
            if seen is not None and version.first_return < seen.version.written:
                self.violations.append(Violation(guarantee, seen.by, operation, seen.via))

    def returned(self, operation: Operation) -> None:
        version = self.versions[id(operation)]
        session = self._session(operation)
        own, others = _BY_READ if version.is_read else _BY_WRITE
        owed = session.owed[own].get(operation.key)
        if owed is None or owed.version.written < version.written:
            seen = _Seen(version, operation)
            session.owed[own][operation.key] = seen
            session.log[others].append(seen)
        source = version.source
        if version.is_read and source is not None and source.process != operation.process:
            self._follow(session, operation, source)

    def _follow(self, session: _Session, operation: Operation, source: Operation) -> None:
        """Records that ``operation`` saw ``source``: its session is bound by what the session of
        ``source`` did before."""
        other = self._session(source)
        # A read can have seen a write that is invoked at the same instant and comes later here.
        for guarantee, length in self.before.get(id(source), {}).items():
            known = session.known.get((source.process, guarantee), 0)
            if known < length:
                session.known[source.process, guarantee] = length
                owed = session.owed[guarantee]
                for version, by, _ in other.log[guarantee][known:length]:
                    seen = owed.get(by.key)
                    if seen is None or seen.version.written < version.written:
                        owed[by.key] = _Seen(version, by, (source, operation))

    def _session(self, operation: Operation) -> _Session:
        found = self.sessions.get(operation.process)
        if found is None:
            found = self.sessions[operation.process] = _Session()
        return found


def _reads(history: Intervals, model: Model[State]) -> int:
    return sum(
        history.returned[i] != OPEN and model.transition(operation).leaves is Leaves.SAME
        for i, operation in enumerate(history.operations)
    )


def _versions(history: Intervals, model: Model[State]) -> Iterator[tuple[int, _Version]]:
    """Returns the version of each operation, by the operation's identity, where the value has one
    possible source."""
    seen = zones(history, model)
    if seen is None:
        return
    for block in seen.blocks:
        for cluster in block.clusters:
            source = None if cluster.source is None else history.operations[cluster.source]
            written = -1 if cluster.source is None else history.invoked[cluster.source]
            known = source, written, cluster.first_return
            if source is not None:
                yield id(source), _Version(*known, False, bool(cluster.reads))
            for read in cluster.reads:
                yield id(history.operations[read]), _Version(*known, True, True)


def _events(history: History, versions: dict[int, _Version]) -> Iterator[tuple[bool, Operation]]:
    events: list[tuple[float, int, bool, int]] = []
    for index, operation in enumerate(history.operations):
        if id(operation) in versions:
            events.append((operation.invoked_at, operation.invoked_order, False, index))
            if operation.returned_at is not None:
                events.append((operation.returned_at, operation.returned_order, True, index))
    events.sort()
    for _, _, is_return, index in events:
        yield is_return, history.operations[index]
