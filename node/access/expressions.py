"""The attributes that expressions and their older forms name. Pure.

They count by their first name: of ``a.b[0]`` it is ``a``. All of them count, those of filters and
conditions too: else who may not read an attribute could find out what it is by asking for items
that have it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from node.access.need import ATTRIBUTES, LEADING_KEYS, SELECT, Facts
from node.requests.key_conditions import key_conditions
from paceline.dax.expressions.parser import parse_condition, parse_projection, parse_update
from paceline.dax.expressions.tree import Op, Path, PathTerm
from paceline.errors import RequestError

_CONDITIONS = ("ConditionExpression", "FilterExpression", "KeyConditionExpression")
_MAPS = (
    *("Key", "Item", "ExclusiveStartKey", "KeyConditions", "QueryFilter", "ScanFilter"),
    *("Expected", "AttributeUpdates"),
)
"""Parameters whose keys are names of attributes."""

ALL, ALL_PROJECTED = "ALL_ATTRIBUTES", "ALL_PROJECTED_ATTRIBUTES"
SPECIFIC, COUNT = "SPECIFIC_ATTRIBUTES", "COUNT"
"""Values of Select."""


def add_attributes(facts: Facts, params: Mapping[str, Any]) -> None:
    """All that the parameters of one request, or of one part of it, name."""
    try:
        facts.add(ATTRIBUTES, *_named(params))
    except (RequestError, ValueError, TypeError) as error:
        facts.hide(f"its attributes cannot be read: {error}", [ATTRIBUTES])


def _named(params: Mapping[str, Any]) -> Iterator[str]:
    names = _map(params, "ExpressionAttributeNames")
    values = _map(params, "ExpressionAttributeValues")
    for name in _MAPS:
        yield from _texts(_map(params, name), name)
    for name in _CONDITIONS:
        if (text := _text(params, name)) is not None:
            yield from _first(
                term.path
                for term in parse_condition(text, names, values).terms
                if isinstance(term, PathTerm)
            )
    if (text := _text(params, "UpdateExpression")) is not None:
        terms = parse_update(text, names, values).terms
        yield from _first(term.path for term in terms if isinstance(term, PathTerm))
    if (text := _text(params, "ProjectionExpression")) is not None:
        yield from _first(parse_projection(text, names))
    listed = params.get("AttributesToGet")
    if listed is not None:
        if not isinstance(listed, list | tuple):
            raise TypeError("AttributesToGet is no list")
        yield from _texts(listed, "AttributesToGet")


def _first(paths: Iterable[Path]) -> Iterator[str]:
    for path in paths:
        name = path[0]
        if not isinstance(name, str):
            raise TypeError("an attribute's name is no text")
        yield name


def _map(params: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = params.get(name)
    if value is not None and not isinstance(value, Mapping):
        raise TypeError(f"{name} is no map")
    return value or {}


def _text(params: Mapping[str, Any], name: str) -> str | None:
    value = params.get(name)
    if value is not None and not isinstance(value, str):
        raise TypeError(f"{name} is no text")
    return value


def _texts(values: Iterable[Any], name: str) -> Iterator[str]:
    for value in values:
        if not isinstance(value, str):
            raise TypeError(f"{name} has what is no text")
        yield value


def add_select(facts: Facts, params: Mapping[str, Any], *, of_index: bool = False) -> None:
    """What a read gives of each item, as DynamoDB takes it where it is not said."""
    said = params.get("Select")
    projected = any(
        params.get(name) is not None for name in ("ProjectionExpression", "AttributesToGet")
    )
    if said is not None:
        facts.add_text(SELECT, said)
        if (said == SPECIFIC) is not projected and said != COUNT:
            facts.hide("what it selects is not what it names", [SELECT])
    elif projected:
        facts.add(SELECT, SPECIFIC)
    else:
        facts.add(SELECT, ALL_PROJECTED if of_index else ALL)


def partition_values(params: Mapping[str, Any], hash_name: str) -> list[Any]:
    """The value that a Query's key condition demands of the partition key. Not one, or several,
    where the condition cannot be read so; DynamoDB does no Query without."""
    found: list[Any] = []
    try:
        conditions = key_conditions(dict(params))
        older = _map(params, "KeyConditions")
    except (RequestError, ValueError, TypeError, AttributeError):
        return []
    for condition in conditions or ():
        if condition.name == hash_name:
            found += condition.values if condition.op is Op.EQ else ()
    asked = older.get(hash_name)
    if isinstance(asked, Mapping) and asked.get("ComparisonOperator") == "EQ":
        values = asked.get("AttributeValueList")
        found += values if isinstance(values, list) else ()
    return found


def hide_leading(facts: Facts, why: str) -> None:
    facts.hide(why, [LEADING_KEYS])
