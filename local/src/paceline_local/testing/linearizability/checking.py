"""Checks a history: each key by the cheapest method that can judge it."""

from collections.abc import Hashable, Iterable
from typing import Generic, Literal, NamedTuple, TypeVar

from paceline_local.testing.linearizability import explaining
from paceline_local.testing.linearizability.history import History, Operation
from paceline_local.testing.linearizability.intervals import Intervals, intervals
from paceline_local.testing.linearizability.models import Leaves, Model
from paceline_local.testing.linearizability.search import search
from paceline_local.testing.linearizability.verdict import Answer, Explanation, KeyVerdict, Verdict
from paceline_local.testing.linearizability.zones import zones as zones_of

State = TypeVar("State", bound=Hashable)

STEPS_MAX = 5_000_000
"""The search's budget per key, in operations looked at: some seconds, and at most some hundred
megabytes of configurations."""

EXPLAIN_STEPS_MAX = 5_000_000
"""The budget per key, in operations looked at, of all attempts to make its explanation smaller."""

EXPLANATIONS_MAX = 5
"""The most keys explained. A broken store breaks many keys, all for the same reason."""


def check(
    history: History | Iterable[Operation],
    model: Model[State],
    *,
    steps_max: int = STEPS_MAX,
    explain_steps_max: int = EXPLAIN_STEPS_MAX,
    explanations_max: int = EXPLANATIONS_MAX,
    zones: bool = True,
) -> Verdict:
    """Returns a verdict: are the operations of each key linearizable as those of one ``model``?

    The budgets are in operations that the search looks at, per key. With ``zones`` False, keys are
    searched even where zones could judge them. Raises ValueError for an operation that the model
    does not have.
    """
    if not isinstance(history, History):
        history = History(history)
    verdicts: dict[Hashable, KeyVerdict] = {}
    explained = 0
    for key, operations in history.by_key().items():
        checker = _Key(operations, model, zones)
        judgement = checker.judge(checker.history, steps_max)
        why: Explanation | None = None
        if judgement.answer is Answer.ILLEGAL and explained < explanations_max:
            explained += 1
            why = checker.explain(judgement.method, explain_steps_max)
        verdicts[key] = KeyVerdict(
            key,
            judgement.answer,
            len(operations),
            judgement.method,
            judgement.steps,
            why,
        )
    return Verdict(verdicts)


class _Judgement(NamedTuple):
    answer: Answer
    method: Literal["zones", "search"]
    steps: int


class _Key(Generic[State]):
    def __init__(self, operations: list[Operation], model: Model[State], zones: bool) -> None:
        self.operations = operations
        self.model = model
        self.by_zones = zones
        self.history = intervals(operations)

    def judge(self, history: Intervals, steps_max: int) -> _Judgement:
        seen = zones_of(history, self.model) if self.by_zones else None
        if seen is not None:
            if seen.contradiction is not None:
                return _Judgement(Answer.ILLEGAL, "zones", 0)
            if seen.exact:
                return _Judgement(Answer.OK, "zones", 0)
        found = search(history, self.model, steps_max)
        return _Judgement(found.answer, "search", found.steps)

    def explain(self, method: str, steps_max: int) -> Explanation:
        def judge(history: Intervals, steps_max: int) -> tuple[Answer, int]:
            judgement = self.judge(history, steps_max)
            return judgement.answer, judgement.steps

        def judge_zones(history: Intervals, steps_max: int) -> tuple[Answer, int]:
            return (Answer.OK if reason(history) is None else Answer.ILLEGAL), 0

        def reason(history: Intervals) -> str | None:
            seen = zones_of(history, self.model)
            return None if seen is None else seen.contradiction

        def observes(operation: Operation) -> bool:
            return self.model.transition(operation).leaves is Leaves.SAME

        whole = explaining.Judge(judge, steps_max)
        quick = explaining.Judge(judge_zones, steps_max)
        return explaining.explanation(
            self.operations,
            self.history,
            whole,
            quick if method == "zones" else whole,
            observes,
            reason,
        )
