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
from hashlib import sha256
from typing import Any

from paceline.dax.numbers import normalize
from paceline.types import Item


class Finding(Enum):
    AGREE = "agree"
    DISAGREE = "disagree"
    INCONCLUSIVE = "inconclusive"
    """The item was written meanwhile, or the node could not be asked."""
    NOT_CACHED = "not_cached"


Content = bytes | None
"""A digest of an item's non-key attributes, equal for what DynamoDB holds to be equal; None: no
such item. The attributes themselves, of which an item may have hundreds of thousands, would have to
be compared, hashed and freed on the event loop."""


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
    told = sha256()
    _tell_members(told, ((name, value) for name, value in item.items() if name not in names))
    return told.digest()


def _tell(told: Any, value: Mapping[str, Any]) -> None:
    """Adds ``value`` to ``told``, equal values in equal words: numbers by value, maps and sets in
    no order. No two values have the same words, since each says where it ends."""
    ((kind, inner),) = value.items()
    match kind:
        case "N":
            _tell_bytes(told, b"N", normalize(inner).encode())
        case "S":
            _tell_bytes(told, b"S", _encoded(inner))
        case "B":
            _tell_bytes(told, b"B", inner)
        case "NS":
            _tell_set(told, b"n", (normalize(number).encode() for number in inner))
        case "BS":
            _tell_set(told, b"b", inner)
        case "SS":
            _tell_set(told, b"s", map(_encoded, inner))
        case "L":
            told.update(b"[")
            for each in inner:
                _tell(told, each)
            told.update(b"]")
        case "M":
            _tell_members(told, inner.items())
        case _:
            _tell_bytes(told, b"?", f"{kind} {inner!r}".encode())


def _tell_members(told: Any, members: Iterable[tuple[str, Mapping[str, Any]]]) -> None:
    total = count = 0
    for name, value in members:
        one = sha256()
        _tell_bytes(one, b"", _encoded(name))
        _tell(one, value)
        total += _number(one)
        count += 1
    _tell_bytes(told, b"{", _in_no_order(total, count))


def _tell_set(told: Any, kind: bytes, elements: Iterable[bytes]) -> None:
    total = count = 0
    for element in elements:
        total += _number(sha256(element))
        count += 1
    _tell_bytes(told, kind, _in_no_order(total, count))


def _in_no_order(total: int, count: int) -> bytes:
    """A sum is the same in any order, and to sort a million is one long call into C."""
    return b"%d %d" % (count, total)


def _number(digest: Any) -> int:
    return int.from_bytes(digest.digest(), "big")


def _tell_bytes(told: Any, kind: bytes, content: bytes) -> None:
    told.update(b"%s%d:" % (kind, len(content)))
    told.update(content)


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


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
