"""Measures how stale the reads of a history were.

A history is *Delta-atomic* if it is linearizable once every read is taken for one that was invoked
Delta earlier: each read returned a value that was current at some time between Delta before its
invocation and its return (Golab, Li & Shah, "Analyzing Consistency Properties for Fun and Profit",
PODC 2011). The staleness of a history is the smallest such Delta; 0 means that the history is
linearizable.

Two blocks of clusters that conflict (see the zones module) have to come in one of two orders. Some
Delta allows each order; the pair needs the smaller of the two, and the staleness is the largest
Delta that any pair needs. Only operations that merely observe are shifted. A swap or conditional
write that replaced an old value is not a stale read but an error, which no Delta explains.
"""

import math
from bisect import bisect_left
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

from paceline_local.testing.linearizability.history import History, Operation
from paceline_local.testing.linearizability.intervals import Intervals, intervals
from paceline_local.testing.linearizability.models import Model
from paceline_local.testing.linearizability.zones import Block, Cluster, running_latest, zones

State = TypeVar("State", bound=Hashable)


@dataclass(frozen=True, slots=True)
class KeyStaleness:
    key: Hashable
    delta: float
    """In the unit of the history's times. It is infinite if no Delta helps: the value was never
    written, or was read before it was. Where equal times are ordered by their tie-break, 0 may
    stand for an arbitrarily small Delta."""
    exact: bool
    """False if some values have several possible writes, or some operations need other than one
    value. Those are not looked at, and ``delta`` is a lower bound."""
    read: Operation | None
    """The stalest read; of infinite staleness, the operation that no Delta helps."""
    newer: Operation | None
    """The operation that shows that the value was no longer current: it returned ``delta`` before
    ``read`` was invoked. None where the value was never there at all."""


@dataclass(frozen=True, slots=True)
class Staleness:
    keys: Mapping[Hashable, KeyStaleness]

    @property
    def delta(self) -> float:
        return max((key.delta for key in self.keys.values()), default=0.0)

    @property
    def exact(self) -> bool:
        return all(key.exact for key in self.keys.values())

    @property
    def worst(self) -> KeyStaleness | None:
        return max(self.keys.values(), key=lambda key: key.delta, default=None)


def staleness(history: History | Iterable[Operation], model: Model[State]) -> Staleness:
    """Returns the staleness of each key, and with that of the history."""
    if not isinstance(history, History):
        history = History(history)
    return Staleness(
        {key: _of_key(key, intervals(ops), model) for key, ops in history.by_key().items()}
    )


class _Need(NamedTuple):
    """The cost of one of two orders: ``read`` has to be shifted past the return of ``newer``."""

    delta: float
    read: Operation | None
    newer: Operation | None


_NONE = _Need(-math.inf, None, None)


class _Span(NamedTuple):
    """The bounds of some clusters that follow each other."""

    first_return: float
    first: Operation | None
    """None stands for the initial value, which is before everything."""
    last_read: float
    last: Operation | None
    fixed: float
    """The last invocation of an operation that cannot be shifted."""
    fixed_by: Operation | None

    def until(self, other: "_Span") -> _Need:
        """Returns the cost of placing all of this span before all of ``other``."""
        if self.fixed > other.first_return:
            return _Need(math.inf, self.fixed_by, other.first)
        return _Need(self.last_read - other.first_return, self.last, other.first)

    def shifted(self, delta: float) -> float:
        return max(self.fixed, self.last_read - delta)


def _of_key(key: Hashable, history: Intervals, model: Model[State]) -> KeyStaleness:
    seen = zones(history, model)
    if seen is None:
        return KeyStaleness(key, 0.0, False, None, None)
    if seen.contradiction is None:
        return KeyStaleness(key, 0.0, seen.exact, None, None)
    worst = _NONE
    spans = []
    for block in seen.blocks:
        inner, span = _within(history, block)
        worst = max(worst, inner, key=lambda need: need.delta)
        spans.append(span)
    spans.sort(key=lambda span: span.first_return)
    if seen.hopeless is not None:
        worst = _Need(math.inf, history.operations[seen.hopeless], None)
    while (need := _needed(spans, max(worst.delta, 0.0))).delta > max(worst.delta, 0.0):
        worst = need
    exact = seen.exact or worst.delta == math.inf
    return KeyStaleness(key, max(worst.delta, 0.0), exact, worst.read, worst.newer)


def _within(history: Intervals, block: Block) -> tuple[_Need, _Span]:
    """Returns the cost of the order inside the block, and the block as one span."""
    worst = _NONE
    whole: _Span | None = None
    for cluster in block.clusters:
        span = _span(history, cluster)
        if whole is None:
            whole = span
            continue
        worst = max(worst, whole.until(span), key=lambda need: need.delta)
        first = min(whole, span, key=lambda s: s.first_return)
        last = max(whole, span, key=lambda s: s.last_read)
        fixed = max(whole, span, key=lambda s: s.fixed)
        whole = _Span(
            first.first_return,
            first.first,
            last.last_read,
            last.last,
            fixed.fixed,
            fixed.fixed_by,
        )
    assert whole is not None
    return (worst if worst.delta > 0 else _NONE), whole


def _span(history: Intervals, cluster: Cluster) -> _Span:
    members = list(cluster.reads)
    fixed, fixed_by = -math.inf, None
    first_return, first = -math.inf, None
    if cluster.source is not None:
        members.append(cluster.source)
        fixed_by = history.operations[cluster.source]
        fixed = fixed_by.invoked_at
        first = history.operations[min(members, key=history.returned.__getitem__)]
        first_return = math.inf if first.returned_at is None else first.returned_at
    last = None
    if cluster.reads:
        last = history.operations[max(cluster.reads, key=history.invoked.__getitem__)]
    return _Span(
        first_return, first, -math.inf if last is None else last.invoked_at, last, fixed, fixed_by
    )


def _needed(spans: list[_Span], delta: float) -> _Need:
    """Returns the greatest need among pairs for which ``delta`` is too small.

    The need of each pair is a lower bound of the answer, so repeating this until no pair is left
    ends at exactly the answer.
    """
    worst = _NONE
    first_returns = [span.first_return for span in spans]
    latest = running_latest([span.shifted(delta) for span in spans])
    for index, span in enumerate(spans):
        before = min(bisect_left(first_returns, span.shifted(delta)), index)
        if not before:
            continue
        other = spans[latest[before - 1]]
        if other.shifted(delta) > span.first_return:
            need = min(other.until(span), span.until(other), key=lambda need: need.delta)
            worst = max(worst, need, key=lambda need: need.delta)
    return worst
