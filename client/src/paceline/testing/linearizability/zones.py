"""Registers of which every read value has one possible write: judged without search.

Gibbons & Korach ("Testing Shared Memories", SIAM J. Computing 26(4), 1997, section 4): a *cluster*
is a write and the reads that returned its value. Its *zone* lies between the first return and the
last invocation among them. If the first return comes first (a forward zone), the value was current
all through the zone. The history is linearizable exactly if no two forward zones overlap and no
backward zone lies inside a forward one. Anderson, Li, Shah, Tolia & Wylie ("What Consistency Does
Your Key-Value Store Actually Provide?", HotDep 2010) check stores in this way.

Both conditions are one. Cluster A *must yield* to B if an operation of B returned before one of A
was invoked: then A's value was current after B's was. A and B conflict if each must yield to the
other, that is if A's last invocation follows B's first return and the reverse.

A write of unknown outcome that was read happened, and its own return is no bound; one that nobody
read is left out. The initial value is written before everything.
"""

from bisect import bisect_left
from collections.abc import Hashable, Sequence
from typing import NamedTuple, TypeVar

from paceline.testing.linearizability.history import Operation
from paceline.testing.linearizability.intervals import OPEN, Intervals
from paceline.testing.linearizability.models import Model

State = TypeVar("State", bound=Hashable)

BEFORE_ALL = -1
"""Event of the write of the initial value."""


class Cluster(NamedTuple):
    """A write and its reads, as indices into the intervals."""

    value: Hashable
    write: int | None
    """None is the initial value."""
    reads: Sequence[int]
    first_return: int
    last_invocation: int


class Contradiction(NamedTuple):
    """Why a history is illegal; ``operations`` are the ones that the reason speaks of."""

    reason: str
    operations: tuple[Operation, ...]


class Accesses(NamedTuple):
    """A key's writes by value, and its reads by value."""

    writes: dict[Hashable, list[int]]
    reads: dict[Hashable, list[int]]
    initial: Hashable

    def unique(self) -> bool:
        """Whether every value that was read has at most one possible write."""
        return all(
            len(self.writes.get(value, ())) + (value == self.initial) <= 1 for value in self.reads
        )


def accesses(history: Intervals, model: Model[State]) -> Accesses | None:
    """None if the key has other operations than reads and writes. Reads without answer are left
    out."""
    found = Accesses({}, {}, model.initial())
    for index, operation in enumerate(history.operations):
        access = model.access(operation)
        if access is None:
            return None
        if access.is_write:
            found.writes.setdefault(access.value, []).append(index)
        elif history.returned[index] != OPEN:
            found.reads.setdefault(access.value, []).append(index)
    return found


def from_nowhere(history: Intervals, found: Accesses) -> list[Contradiction]:
    """Reads of values that no write can have given them; ``found`` is to be unique."""
    problems = []
    for value, reads in found.reads.items():
        if value in found.writes:
            write = found.writes[value][0]
            for read in reads:
                if history.returned[read] < history.invoked[write]:
                    both = (history.operations[read], history.operations[write])
                    reason = f"{value!r} was read before its write was invoked"
                    problems.append(Contradiction(reason, both))
        elif value != found.initial:
            reason = f"{value!r} was read but never written"
            problems.append(Contradiction(reason, (history.operations[reads[0]],)))
    return problems


def clusters(history: Intervals, found: Accesses) -> list[Cluster]:
    """By first return; without writes that nobody read and whose outcome is unknown."""
    invoked, returned = history.invoked, history.returned
    made = []
    for value, writes in found.writes.items():
        reads = found.reads.get(value, [])
        if reads:
            members = [writes[0], *reads]
            first = min(returned[member] for member in members)
            last = max(invoked[member] for member in members)
            made.append(Cluster(value, writes[0], reads, first, last))
        else:
            made.extend(
                Cluster(value, write, (), returned[write], invoked[write])
                for write in writes
                if returned[write] != OPEN
            )
    if found.initial in found.reads and found.initial not in found.writes:
        reads = found.reads[found.initial]
        last = max(invoked[read] for read in reads)
        made.append(Cluster(found.initial, None, reads, BEFORE_ALL, last))
    made.sort(key=lambda cluster: cluster.first_return)
    return made


def conflict(made: Sequence[Cluster]) -> tuple[Cluster, Cluster] | None:
    """Two clusters that must yield to each other; ``made`` by first return."""
    first_returns = [cluster.first_return for cluster in made]
    latest: list[int] = []  # the one with the last invocation among this and all before
    for index, cluster in enumerate(made):
        if latest and made[latest[-1]].last_invocation > cluster.last_invocation:
            latest.append(latest[-1])
        else:
            latest.append(index)
    for index, cluster in enumerate(made):
        # Those to which this one must yield, among those that returned first.
        before = min(bisect_left(first_returns, cluster.last_invocation), index)
        if before and made[latest[before - 1]].last_invocation > cluster.first_return:
            return made[latest[before - 1]], cluster
    return None


def contradiction(history: Intervals, found: Accesses) -> Contradiction | None:
    """None if the history is linearizable; ``found`` is to be unique."""
    problems = from_nowhere(history, found)
    if problems:
        return problems[0]
    pair = conflict(clusters(history, found))
    if pair is None:
        return None
    one, other = pair
    reason = f"{one.value!r} was current both before and after {other.value!r}"
    return Contradiction(reason, _proof(history, one, other))


def _proof(history: Intervals, *pair: Cluster) -> tuple[Operation, ...]:
    """The first to return and the last to be invoked of each."""
    proof = set()
    for cluster in pair:
        members = list(cluster.reads)
        if cluster.write is not None:
            members.append(cluster.write)
            proof.add(cluster.write)
        proof.add(min(members, key=history.returned.__getitem__))
        proof.add(max(members, key=history.invoked.__getitem__))
    return tuple(history.operations[index] for index in sorted(proof))
