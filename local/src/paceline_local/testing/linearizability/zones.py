"""What the zones of values say about a history, in near-linear time and without search.

Gibbons & Korach ("Testing Shared Memories", SIAM J. Computing 26(4), 1997, section 4): a *cluster*
is a write and the reads that returned its value. Its *zone* lies between the first return and the
last invocation among them. If the first return comes first (a forward zone), the value was current
all through the zone. A register whose read values have one possible write each is linearizable
exactly if no two forward zones overlap and no backward zone lies inside a forward one. Anderson,
Li, Shah, Tolia & Wylie ("What Consistency Does Your Key-Value Store Actually Provide?", HotDep
2010) check stores in this way.

Both conditions are one. Cluster A *must yield* to B if an operation of B returned before one of A
was invoked: then A's value was current after B's. Two clusters conflict if each must yield to the
other, that is if the last invocation of each follows the first return of the other. Cycles of more
than two need no check: they contain one of two.

An operation that needs one value and leaves another (a swap, a conditional write that succeeded)
comes right after the cluster of the first and begins that of the second. Clusters so chained form a
*block*, which is judged like a cluster, after its inner order.

The argument holds for every value that has one possible source, whatever else happens to the key.
So a conflict proves a history illegal even where none does not prove it legal (``exact``).

A write of unknown outcome that was read happened, and its own return is no bound; one that nobody
read is left out. The initial value is written before everything.
"""

from bisect import bisect_left
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

from paceline_local.testing.linearizability.intervals import OPEN, Intervals
from paceline_local.testing.linearizability.models import Leaves, Model, Needs, Transition

State = TypeVar("State", bound=Hashable)

BEFORE_ALL = -1
"""The event of the write of the initial value."""


class Cluster(NamedTuple):
    """A write and the reads of its value. Operations are indices into the intervals, times are
    events there."""

    value: Hashable
    source: int | None
    """The operation that wrote the value; None for the initial value."""
    reads: Sequence[int]
    first_return: int
    last_invocation: int


class Block(NamedTuple):
    """Clusters that follow each other directly, in this order."""

    clusters: Sequence[Cluster]
    first_return: int
    last_invocation: int


@dataclass(frozen=True, slots=True)
class Zones:
    blocks: Sequence[Block]
    """In the order of the first return, without writes of unknown outcome that nobody read."""
    contradiction: str | None
    """Why the history is illegal; None if no conflict was found."""
    exact: bool
    """True if the history is legal when there is no contradiction."""
    hopeless: int | None
    """An operation that no delay of other operations can account for."""


def zones(history: Intervals, model: Model[State]) -> Zones | None:
    """Returns the zones; None if a value may have come from an operation of which the model cannot
    say what it leaves."""
    transitions = [model.transition(operation) for operation in history.operations]
    if any(transition.leaves is Leaves.SOMETHING for transition in transitions):
        return None
    found = _Builder(history, transitions, model.initial())
    blocks = found.blocks()
    return Zones(blocks, found.contradiction or conflict(blocks), found.exact, found.hopeless)


def conflict(blocks: Sequence[Block]) -> str | None:
    """Returns why two of the blocks, which are in the order of first return, must each yield to the
    other; None if there are no such two."""
    first_returns = [block.first_return for block in blocks]
    latest = running_latest([block.last_invocation for block in blocks])
    for index, block in enumerate(blocks):
        # Those to which this one must yield, among those that returned first.
        before = min(bisect_left(first_returns, block.last_invocation), index)
        if before:
            other = blocks[latest[before - 1]]
            if other.last_invocation > block.first_return:
                return f"{_values(other)} was current both before and after {_values(block)}"
    return None


def running_latest(times: Sequence[float]) -> list[int]:
    """Returns for each index the index of the greatest element up to there."""
    latest: list[int] = []
    for index, time in enumerate(times):
        latest.append(latest[-1] if latest and times[latest[-1]] > time else index)
    return latest


class _Builder:
    def __init__(
        self, history: Intervals, transitions: Sequence[Transition], initial: Hashable
    ) -> None:
        self.history = history
        self.transitions = transitions
        self.initial = initial
        self.contradiction: str | None = None
        self.hopeless: int | None = None
        self.exact = True
        self.sources: dict[Hashable, list[int]] = {}
        self.reads: dict[Hashable, list[int]] = {}
        self.replacing: dict[Hashable, list[int]] = {}
        """Operations that need the value, leave another one, and did happen."""
        self._sort_out()

    def blocks(self) -> list[Block]:
        clusters = self._clusters()
        followed = {
            value: replacing[0]
            for value, replacing in self.replacing.items()
            if self._unique(value)
        }
        following = {cluster.source: cluster for cluster in clusters}
        blocks = []
        for cluster in clusters:
            if self._follows(cluster):
                continue
            chain = [cluster]
            while self._unique(chain[-1].value) and chain[-1].value in followed:
                chain.append(following.pop(followed[chain[-1].value]))
            blocks.append(self._block(chain))
            following.pop(cluster.source)
        if following:
            values = ", ".join(repr(cluster.value) for cluster in following.values())
            self._contradict(
                f"each of {values} can only have replaced another of them", min(followed.values())
            )
        blocks.sort(key=lambda block: block.first_return)
        return blocks

    def _unique(self, value: Hashable) -> bool:
        return len(self.sources.get(value, ())) + (value == self.initial) == 1

    def _follows(self, cluster: Cluster) -> bool:
        """True if the cluster comes right after another one."""
        if cluster.source is None:
            return False
        needs = self.transitions[cluster.source].needs
        return not isinstance(needs, Needs) and self._unique(needs)

    def _sort_out(self) -> None:
        """Finds out which operations wrote, read and replaced each value."""
        for index, (_, leaves) in enumerate(self.transitions):
            if leaves is not Leaves.SAME:
                self.sources.setdefault(leaves, []).append(index)
        happened = [
            index for index in range(len(self.history)) if self.history.returned[index] != OPEN
        ]
        known = set(happened)
        while happened:
            index = happened.pop()
            needs, leaves = self.transitions[index]
            if isinstance(needs, Needs):
                self.exact = self.exact and needs is Needs.NOTHING
                continue
            users = self.reads if leaves is Leaves.SAME else self.replacing
            users.setdefault(needs, []).append(index)
            if not self._unique(needs):
                self.exact = False
                if needs != self.initial and needs not in self.sources:
                    self._contradict(f"{needs!r} was read but never written", index)
            elif needs != self.initial and self.sources[needs][0] not in known:
                # Of unknown outcome, but it was seen.
                happened.append(self.sources[needs][0])
                known.add(self.sources[needs][0])
        self.happened = known
        for value, replacing in self.replacing.items():
            if self._unique(value) and len(replacing) > 1:
                one, other = sorted(replacing)[:2]
                both = f"{self.history.operations[one]} and {self.history.operations[other]}"
                self._contradict(f"{value!r} was replaced twice: {both}", other)

    def _clusters(self) -> list[Cluster]:
        clusters = []
        for value, sources in self.sources.items():
            unique = self._unique(value)
            for source in sources:
                if source in self.happened:
                    reads = self.reads.get(value, ()) if unique else ()
                    clusters.append(self._cluster(value, source, reads))
        if self._unique(self.initial) and (
            self.initial in self.reads or self.initial in self.replacing
        ):
            clusters.append(self._cluster(self.initial, None, self.reads.get(self.initial, ())))
        return clusters

    def _cluster(self, value: Hashable, source: int | None, reads: Sequence[int]) -> Cluster:
        returned, invoked = self.history.returned, self.history.invoked
        first_return = min([returned[read] for read in reads], default=OPEN)
        last_invocation = max([invoked[read] for read in reads], default=BEFORE_ALL)
        if source is None:
            return Cluster(value, None, reads, BEFORE_ALL, last_invocation)
        if first_return < invoked[source]:
            early = min(reads, key=returned.__getitem__)
            self._contradict(f"{value!r} was read before its write was invoked", early)
        return Cluster(
            value,
            source,
            reads,
            min(first_return, returned[source]),
            max(last_invocation, invoked[source]),
        )

    def _block(self, chain: list[Cluster]) -> Block:
        latest = running_latest([cluster.last_invocation for cluster in chain])
        for position, cluster in enumerate(chain[1:]):
            earlier = chain[latest[position]]
            if earlier.last_invocation > cluster.first_return:
                self._contradict(
                    f"{earlier.value!r} was seen after {cluster.value!r} had replaced it"
                )
        first_return = min(cluster.first_return for cluster in chain)
        return Block(chain, first_return, chain[latest[-1]].last_invocation)

    def _contradict(self, reason: str, hopeless: int | None = None) -> None:
        if self.contradiction is None:
            self.contradiction = reason
        if self.hopeless is None:
            self.hopeless = hopeless


def _values(block: Block) -> str:
    values = [repr(cluster.value) for cluster in block.clusters]
    return values[0] if len(values) == 1 else f"{values[0]} to {values[-1]}"
