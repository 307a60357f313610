"""The check: every key by the cheapest method that can judge it."""

from collections.abc import Hashable, Iterable
from typing import Generic, TypeVar

from paceline.testing.linearizability import explaining
from paceline.testing.linearizability.history import History, Operation
from paceline.testing.linearizability.intervals import Intervals, intervals
from paceline.testing.linearizability.models import Model
from paceline.testing.linearizability.search import search
from paceline.testing.linearizability.verdict import Answer, Explanation, KeyVerdict, Verdict
from paceline.testing.linearizability.zones import accesses, contradiction

State = TypeVar("State", bound=Hashable)

STEPS_MAX = 1_000_000
"""Per key: some seconds, and at most some hundred megabytes of configurations to remember."""

EXPLAIN_STEPS_MAX = 1_000_000
"""Per key, over all attempts to make its explanation smaller."""

EXPLANATIONS_MAX = 5
"""Keys explained; a broken store breaks many keys, and all for the same reason."""


def check(
    history: History | Iterable[Operation],
    model: Model[State],
    *,
    steps_max: int = STEPS_MAX,
    explain_steps_max: int = EXPLAIN_STEPS_MAX,
    explanations_max: int = EXPLANATIONS_MAX,
    zones: bool = True,
) -> Verdict:
    """Whether each key's operations are linearizable as those of one ``model``.

    The budgets count calls of ``model.step`` per key. ``zones`` False searches even where the fast
    path could judge. ValueError for an operation that the model does not have.
    """
    if not isinstance(history, History):
        history = History(history)
    verdicts: dict[Hashable, KeyVerdict] = {}
    explained = 0
    for key, operations in history.by_key().items():
        checker = _Key(operations, model, zones)
        answer, steps = checker.judge(checker.history, steps_max)
        why: Explanation | None = None
        if answer is Answer.ILLEGAL and explained < explanations_max:
            explained += 1
            why = checker.explain(explain_steps_max)
        verdicts[key] = KeyVerdict(
            key,
            answer,
            len(operations),
            "zones" if checker.by_zones else "search",
            steps,
            why,
        )
    return Verdict(verdicts)


class _Key(Generic[State]):
    def __init__(self, operations: list[Operation], model: Model[State], zones: bool) -> None:
        self.operations = operations
        self.model = model
        self.history = intervals(operations)
        found = accesses(self.history, model) if zones else None
        self.by_zones = found is not None and found.unique()

    def judge(self, history: Intervals, steps_max: int) -> tuple[Answer, int]:
        """Also of a part of the key's history: fewer reads leave the values as unique as before."""
        if self.by_zones:
            return Answer.OK if self.reason(history) is None else Answer.ILLEGAL, 0
        found = search(history, self.model, steps_max)
        return found.answer, found.steps

    def reason(self, history: Intervals) -> str | None:
        if not self.by_zones:
            return None
        found = accesses(history, self.model)
        problem = None if found is None else contradiction(history, found)
        return None if problem is None else problem.reason

    def explain(self, steps_max: int) -> Explanation:
        judge = explaining.Judge(self.judge, steps_max)
        return explaining.explanation(self.operations, self.history, judge, self.reason)
