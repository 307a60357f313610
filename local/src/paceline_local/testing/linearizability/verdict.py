"""The verdict of a check, for each key and for the whole history."""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Literal

from paceline_local.testing.linearizability.history import Operation


class Answer(Enum):
    OK = "ok"
    ILLEGAL = "illegal"
    UNKNOWN = "unknown"
    """The budget ran out first. That is not OK: raise the budget, or record shorter histories."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """A small part of an illegal history that is illegal by itself."""

    operations: tuple[Operation, ...]
    """These operations contradict each other, whether and whenever other operations that could
    change the state took effect."""
    context: tuple[Operation, ...]
    """The writes of values that were read. The contradiction does not need them."""
    reason: str
    complete: bool
    """False if the budget ran out before the part was as small as it could be."""
    timeline: str

    def __str__(self) -> str:
        return f"{self.reason}\n{self.timeline}"


@dataclass(frozen=True, slots=True)
class KeyVerdict:
    key: Hashable
    answer: Answer
    operations: int
    method: Literal["zones", "search"]
    steps: int
    """The number of operations that the search looked at; 0 without a search."""
    explanation: Explanation | None = None

    def __str__(self) -> str:
        head = f"key {self.key!r}: {self.answer.value} ({self.operations} operations, {self.method}"
        head += f", {self.steps} steps)" if self.method == "search" else ")"
        return head if self.explanation is None else f"{head}\n{self.explanation}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The verdict of a history; true in a condition only if every key is OK."""

    keys: Mapping[Hashable, KeyVerdict]

    @property
    def answer(self) -> Answer:
        """ILLEGAL if any key is, else UNKNOWN if any key is, else OK."""
        answers = {key.answer for key in self.keys.values()}
        for answer in (Answer.ILLEGAL, Answer.UNKNOWN):
            if answer in answers:
                return answer
        return Answer.OK

    def __bool__(self) -> bool:
        return self.answer is Answer.OK

    def having(self, answer: Answer) -> tuple[KeyVerdict, ...]:
        return tuple(key for key in self.keys.values() if key.answer is answer)

    def __str__(self) -> str:
        """Every key that is not OK, then the count of those that are."""
        lines = [str(key) for key in self.keys.values() if key.answer is not Answer.OK]
        return "\n".join([*lines, f"{len(self.having(Answer.OK))} of {len(self.keys)} keys ok"])
