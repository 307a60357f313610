"""Explains an illegal history by as few of its operations as possible.

The first step takes the shortest prefix in time that is illegal. The second weakens one operation
after the other: an operation that only observed is left out, and any other is given an unknown
outcome. If the rest is still illegal, the operation plays no part in the contradiction, because its
time of effect makes no difference. Weakening never makes an illegal history of a legal one, while
deletion could: think of deleting the write of a value that is read. The more outcomes are unknown,
the more is legal, so after one pass no further operation can be weakened.
"""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from itertools import chain

from paceline_local.testing.linearizability import timeline
from paceline_local.testing.linearizability.history import Operation
from paceline_local.testing.linearizability.intervals import OPEN, Intervals
from paceline_local.testing.linearizability.verdict import Answer, Explanation

ATTEMPTS_MIN = 50
"""The budget is divided by at least this many attempts, so that a hopeless one cannot use up the
budget of all others."""

CONTEXT_MAX = 8
"""The most writes shown beside an explanation; more would bury it."""


@dataclass(slots=True)
class Judge:
    """Judges parts of one history, within one budget for all of them."""

    judge: Callable[[Intervals, int], tuple[Answer, int]]
    """Judges a part within a number of steps. Returns the answer and the steps taken."""
    steps_left: int
    complete: bool = True
    attempt_steps_max: int = field(init=False)

    def __post_init__(self) -> None:
        self.attempt_steps_max = max(1, self.steps_left // ATTEMPTS_MIN)

    def illegal(self, history: Intervals) -> bool:
        """Returns True if the part is illegal. It returns False, too, if the budget runs out: then
        the part is only not made smaller."""
        if self.steps_left <= 0:
            self.complete = False
            return False
        answer, steps = self.judge(history, min(self.attempt_steps_max, self.steps_left))
        self.steps_left -= steps
        if answer is Answer.UNKNOWN:
            self.complete = False
        return answer is Answer.ILLEGAL


def shortest_prefix(history: Intervals, judge: Judge) -> Intervals:
    """Returns the prefix of an illegal ``history`` that ends with the return that made it
    illegal."""
    returns = sorted(event for event in history.returned if event != OPEN)
    low, high = 0, len(returns) - 1  # the prefix up to returns[high] is illegal
    while low < high:
        middle = (low + high) // 2
        if judge.illegal(history.prefix(returns[middle])):
            high = middle
        else:
            low = middle + 1
    return history.prefix(returns[high])


def minimised(
    history: Intervals, judge: Judge, observes: Callable[[Operation], bool]
) -> tuple[Intervals, list[int]]:
    """Returns ``history`` weakened as far as it stays illegal, and the indices of the operations
    that are left.

    Operations that only observe are tried first: a write of unknown outcome that nobody reads
    constrains nothing, while one that is still read may be anywhere.
    """
    observers = {i for i, operation in enumerate(history.operations) if observes(operation)}
    kept = _needed(
        [i for i in sorted(observers) if history.returned[i] != OPEN],
        lambda kept: judge.illegal(history.without(observers.difference(kept))),
    )
    seen = history.without(observers.difference(kept))
    changing = [
        i
        for i, operation in enumerate(seen.operations)
        if seen.returned[i] != OPEN and not observes(operation)
    ]
    kept = _needed(
        changing, lambda kept: judge.illegal(seen.weakened(set(changing).difference(kept)))
    )
    core = seen.weakened(set(changing).difference(kept))
    return core, [i for i in range(len(core)) if core.returned[i] != OPEN]


def _needed(candidates: list[int], illegal: Callable[[list[int]], bool]) -> list[int]:
    """Returns the indices that must be kept for the rest to be illegal. It tries to drop many at
    once first."""
    size = len(candidates)
    while size:
        start = 0
        while start < len(candidates):
            rest = candidates[:start] + candidates[start + size :]
            if illegal(rest):
                candidates = rest
            else:
                start += size
        size = 0 if size == 1 else (size + 1) // 2
    return candidates


def explanation(
    every: Sequence[Operation],
    history: Intervals,
    judge: Judge,
    prefix_judge: Judge,
    observes: Callable[[Operation], bool],
    reason_of: Callable[[Intervals], str | None],
) -> Explanation:
    """Explains an illegal ``history``; ``every`` holds its operations and those that failed for
    sure.

    ``prefix_judge`` must find at least the whole history illegal.
    """
    core, kept = minimised(shortest_prefix(history, prefix_judge), judge, observes)
    operations = tuple(core.operations[index] for index in kept)
    context = _context(every, operations)
    reason = reason_of(core)
    if reason is None:
        last = max(operations, key=lambda o: (o.returned_at or 0, o.returned_order))
        reason = f"no order of these gives their results; until then there was one: {last}"
    failed = [o for o in context if o.failed]
    if failed:
        reason += f"; of a write that failed for sure: {failed[0]}"
    return Explanation(
        operations, context, reason, judge.complete, timeline.render(operations, context)
    )


def _context(every: Sequence[Operation], core: Sequence[Operation]) -> tuple[Operation, ...]:
    """Returns the writes of values that the core read, as far as the core does not hold them
    itself."""
    seen: set[Hashable] = {o.result for o in core if o.result not in (None, True, False)}
    inside = set(map(_identity, core))
    return tuple(
        operation
        for operation in every
        if seen.intersection(_argument_values(operation)) and _identity(operation) not in inside
    )[:CONTEXT_MAX]


def _argument_values(operation: Operation) -> Sequence[Hashable]:
    if isinstance(operation.argument, tuple):
        return list(chain([operation.argument], operation.argument))
    return [operation.argument]


def _identity(operation: Operation) -> tuple[Hashable, ...]:
    return (
        operation.process,
        operation.kind,
        operation.argument,
        operation.invoked_at,
        operation.invoked_order,
    )
