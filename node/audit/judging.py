"""Judges one sample: what nodes would have answered, against what DynamoDB has. Pure.

A sample consists of a consistent read, the question to every node what it would answer, and, if a
node differed, a second consistent read. Each node's answer lies between the two reads in time. If
the reads agree with each other, and nobody wrote the item in between, a right answer cannot differ
from them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from paceline.dax.numbers import normalize
from paceline.types import Item


class Finding(Enum):
    AGREE = "agree"
    DISAGREE = "disagree"
    INCONCLUSIVE = "inconclusive"
    """The item was written meanwhile, or the node could not be asked."""
    NOT_CACHED = "not_cached"


Content = frozenset[Any] | None
"""An item's non-key attributes in a form that compares as DynamoDB does; None: no such item."""


@dataclass(frozen=True, slots=True)
class Served:
    """A node would answer with this. ``age_s``: since it was cached, None if not known."""

    content: Content
    age_s: float | None = None


class Silent(Enum):
    """A node would answer nothing from its cache."""

    NOT_CACHED = "not cached"
    NO_ANSWER = "no answer"
    """The node could not be asked, or its answer could not be understood."""


CachedAnswer = Served | Silent


def content_of(item: Item | None, keys: Iterable[str]) -> Content:
    """Returns ``item`` without its key attributes ``keys``, which the question names already."""
    if item is None:
        return None
    names = frozenset(keys)
    return frozenset((name, _canonical(value)) for name, value in item.items() if name not in names)


def _canonical(value: Mapping[str, Any]) -> tuple[str, Any]:
    """Returns a form that is equal for equal values: numbers by value, maps and sets in no
    order."""
    ((kind, inner),) = value.items()
    match kind:
        case "N":
            return kind, normalize(inner)
        case "B":
            return kind, bytes(inner)
        case "NS":
            return kind, frozenset(normalize(number) for number in inner)
        case "BS":
            return kind, frozenset(bytes(each) for each in inner)
        case "SS":
            return kind, frozenset(inner)
        case "L":
            return kind, tuple(_canonical(each) for each in inner)
        case "M":
            return kind, frozenset((name, _canonical(each)) for name, each in inner.items())
    return kind, inner


def doubtful(first: Content, answers: Mapping[str, CachedAnswer]) -> bool:
    """True if DynamoDB must be asked again before any node is accused."""
    return any(
        isinstance(answer, Served) and answer.content != first for answer in answers.values()
    )


def judge(
    first: Content, answers: Mapping[str, CachedAnswer], *, undisturbed: bool
) -> dict[str, Finding]:
    """Returns a finding for every node.

    ``undisturbed``: nobody wrote the item from before the first read until now, as far as the
    primary can tell, and the second read, if there was one, brought what the first did.
    """

    def finding(answer: CachedAnswer) -> Finding:
        match answer:
            case Silent.NOT_CACHED:
                return Finding.NOT_CACHED
            case Silent.NO_ANSWER:
                return Finding.INCONCLUSIVE
        if not undisturbed:
            return Finding.INCONCLUSIVE
        return Finding.AGREE if answer.content == first else Finding.DISAGREE

    return {node: finding(answer) for node, answer in answers.items()}
