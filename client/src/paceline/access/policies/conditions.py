"""The Condition of a statement. Pure.

All entries have to hold. One entry holds if one of its values does; a negated one, if none of them
matches. Of a key that is not in the request:

=========================  =====================================================
``…IfExists``              holds
``ForAllValues:``          holds, also where the key is there without values
``ForAnyValue:``           does not hold, negated or not
a negated operator         holds
any other operator         does not hold
``Null``                   holds if its value is true
=========================  =====================================================

Without a set operator, a key that may have several values never matches where it is there, however
many it has and whatever the operator is: so it is in IAM, also for Deny.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from difflib import get_close_matches
from enum import Enum
from typing import Any, Final

from paceline.access.policies.context import MULTIVALUED, Context
from paceline.access.policies.json_text import Number, member
from paceline.access.policies.operators import NULL, OPERATORS, Operator, Value
from paceline.access.policies.problems import Wrong, shown


class Sets(Enum):
    ALL = "ForAllValues"
    ANY = "ForAnyValue"


_IF_EXISTS: Final = "IfExists"


@dataclass(frozen=True, slots=True)
class Condition:
    """One key under one operator. ``operator`` None is ``Null``; its values are in ``wanted``."""

    written: str
    """The operator as the document has it."""
    key: str
    """In small letters."""
    operator: Operator | None
    sets: Sets | None
    if_exists: bool
    values: tuple[Value, ...]
    wanted: frozenset[bool] = frozenset()
    exact: frozenset[str] = frozenset()
    """Values that are single texts: a request may have tens of thousands of attributes, and a
    policy may name hundreds."""

    @property
    def keys(self) -> tuple[str, ...]:
        """All that it looks at in a context."""
        return (self.key, *(key for value in self.values for key in value.keys))

    def settled(self, known: Context) -> Condition:
        """With what is known of the caller filled in."""
        values = [value.settled(known) for value in self.values]
        return replace(
            self,
            values=tuple(value for value in values if value.exact is None),
            exact=self.exact.union(value.exact for value in values if value.exact is not None),
        )

    @property
    def is_blind(self) -> bool:
        """It never matches its key where that is there."""
        return self.operator is not None and self.sets is None and self.key in MULTIVALUED

    def holds(self, context: Context) -> bool:
        given = context.get(self.key, ())
        # An empty text is as no value, to those who ask for the whole set.
        there = any(given)
        if self.operator is None:
            return (not there) in self.wanted
        if self.sets is Sets.ALL:
            return not there or all(self._is_met(one, context) for one in given)
        if self.sets is Sets.ANY:
            if not there:
                return self.if_exists
            return any(self._is_met(one, context) for one in given)
        if not given:
            return self.if_exists or self.operator.negated
        if self.key in MULTIVALUED or len(given) > 1:
            return False
        return self._is_met(given[0], context)

    def _is_met(self, given: str, context: Context) -> bool:
        assert self.operator is not None
        matched = given in self.exact or any(value.matches(given, context) for value in self.values)
        return matched is not self.operator.negated


class At(Exception):
    """What is wrong, and the path below the Condition where it stands."""

    def __init__(self, path: str, wrong: Wrong) -> None:
        super().__init__(path, wrong)
        self.path = path
        self.wrong = wrong


def read(value: Any, *, variables: bool, path: str) -> Iterator[Condition]:
    """The entries of a Condition. Raises At."""
    if not isinstance(value, dict):
        raise At(path, Wrong("the condition is no object", "it has operators, each with its keys"))
    for name, keys in value.items():
        at = member(path, name)
        if not isinstance(keys, dict) or not keys:
            raise At(at, Wrong("the operator has no keys", 'it is written {"key": "value"}'))
        try:
            operator, sets, if_exists = _operator(name)
        except Wrong as wrong:
            raise At(at, wrong) from None
        for key, given in keys.items():
            yield from _entries(
                name, operator, sets, if_exists, key, given, variables, member(at, key)
            )


def _operator(name: str) -> tuple[Operator | None, Sets | None, bool]:
    prefix, colon, rest = name.rpartition(":")
    base = rest.removesuffix(_IF_EXISTS)
    sets = {each.value: each for each in Sets}.get(prefix)
    known = base in OPERATORS or name == NULL
    if not known or (colon and sets is None):
        near = get_close_matches(base, [*OPERATORS, NULL], n=1)
        hint = f"did you mean {near[0]}? " if near and near[0] != base else ""
        raise Wrong(
            f"{shown(name)} is no operator",
            f"{hint}operators are {', '.join(sorted([*OPERATORS, NULL]))}, with ForAllValues: or "
            f"ForAnyValue: before and {_IF_EXISTS} behind (Null has neither)",
        )
    return OPERATORS.get(base), sets, rest != base


def _entries(
    name: str,
    operator: Operator | None,
    sets: Sets | None,
    if_exists: bool,
    key: str,
    given: Any,
    variables: bool,
    path: str,
) -> Iterator[Condition]:
    if not key:
        raise At(path, Wrong("the key has no name", "keys are written as in aws:SourceIp"))
    texts = given if isinstance(given, list) else [given]
    if not texts:
        raise At(path, Wrong("there are no values", "one value, or a list of at least one"))
    values: list[Value] = []
    wanted: set[bool] = set()
    for index, one in enumerate(texts):
        at = f"{path}[{index}]" if isinstance(given, list) else path
        try:
            text = _text(one)
            if operator is not None:
                values.append(operator.read(text, variables))
            else:
                wanted.add(_null(text))
        except Wrong as wrong:
            raise At(at, wrong) from None
    yield Condition(
        name,
        key.lower(),
        operator,
        sets,
        if_exists,
        tuple(value for value in values if value.exact is None),
        frozenset(wanted),
        frozenset(value.exact for value in values if value.exact is not None),
    )


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | Number):
        return str(value)
    raise Wrong(
        f"{shown(value)} is no value of a condition", "values are texts, numbers, true or false"
    )


def _null(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise Wrong(f"{shown(text)} is neither true nor false", "Null asks for true or false")
    return text.lower() == "true"
