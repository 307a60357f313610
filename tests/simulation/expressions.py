"""What the workload says of items: conditions, updates, key conditions, and their legacy forms.

Not DynamoDB's languages: conjunctions of comparisons only, so that parentheses mean nothing. A
front end may have written names and values anew as placeholders; both spellings are read.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any

from paceline.types import Item, KeyAttribute

_TOKEN = re.compile(r"[#:]?[\w-]+|<=|>=|<>|[=<>,]")

Value = Mapping[str, Any]
Test = tuple[str, str, tuple[str, ...]]
"""Operator, attribute, values; as they are spelled."""

COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "=": lambda a, b: a == b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}
_LEGACY = {"EQ": "=", "LT": "<", "LE": "<=", "GT": ">", "GE": ">=", "BETWEEN": "BETWEEN"}


def scalar(value: Value) -> Any:
    ((kind, plain),) = value.items()
    return int(plain) if kind == "N" else plain


@lru_cache(4096)
def _tests(text: str) -> tuple[Test, ...]:
    tokens = _TOKEN.findall(text)
    found: list[Test] = []
    at = 0
    while at < len(tokens):
        if tokens[at] == "AND":
            at += 1
        elif tokens[at] in ("attribute_exists", "attribute_not_exists"):
            found.append((tokens[at], tokens[at + 1], ()))
            at += 2
        elif tokens[at + 1] == "BETWEEN":
            found.append(("BETWEEN", tokens[at], (tokens[at + 2], tokens[at + 4])))
            at += 5
        else:
            assert tokens[at + 1] in COMPARE, text
            found.append((tokens[at + 1], tokens[at], (tokens[at + 2],)))
            at += 3
    return tuple(found)


def holds(text: str, params: Mapping[str, Any], item: Item) -> bool:
    """Whether ``item``, {} for none, is as a condition of ``params`` wants it."""
    names = params.get("ExpressionAttributeNames") or {}
    values = params.get("ExpressionAttributeValues") or {}
    return all(
        _test(operator, names.get(name, name), [values[v] for v in spelled], item)
        for operator, name, spelled in _tests(text)
    )


def compared(text: str, params: Mapping[str, Any]) -> Iterator[tuple[str, Value]]:
    """Attributes and the values that a condition compares them with."""
    names = params.get("ExpressionAttributeNames") or {}
    values = params.get("ExpressionAttributeValues") or {}
    for _, name, spelled in _tests(text):
        for value in spelled:
            yield names.get(name, name), values[value]


def legacy_compared(conditions: Mapping[str, Any]) -> Iterator[tuple[str, Value]]:
    """Of ``KeyConditions``."""
    for name, condition in conditions.items():
        for value in condition["AttributeValueList"]:
            yield name, value


def _test(operator: str, name: str, values: list[Value], item: Item) -> bool:
    if operator == "attribute_exists":
        return name in item
    if operator == "attribute_not_exists":
        return name not in item
    if name not in item:
        return False
    found = scalar(item[name])
    if operator == "BETWEEN":
        low, high = map(scalar, values)
        return bool(low <= found <= high)
    return COMPARE[operator](found, scalar(values[0]))


def legacy_holds(conditions: Mapping[str, Any], item: Item) -> bool:
    """Of ``Expected`` and ``KeyConditions``."""
    for name, condition in conditions.items():
        if condition.get("Exists") is False:
            if name in item:
                return False
        elif "Value" in condition:
            if item.get(name) != condition["Value"]:
                return False
        else:
            operator = _LEGACY[condition["ComparisonOperator"]]
            if not _test(operator, name, condition["AttributeValueList"], item):
                return False
    return True


def changes_of(params: Mapping[str, Any]) -> dict[str, Value]:
    """What an update sets, by attribute."""
    if "AttributeUpdates" in params:
        return {name: update["Value"] for name, update in params["AttributeUpdates"].items()}
    names = params.get("ExpressionAttributeNames") or {}
    values = params["ExpressionAttributeValues"]
    return {
        names.get(name, name): values[value]
        for name, value in _assignments(params["UpdateExpression"])
    }


@lru_cache(4096)
def _assignments(text: str) -> tuple[tuple[str, str], ...]:
    tokens = _TOKEN.findall(text)
    assert tokens[0] == "SET", text
    return tuple((tokens[at], tokens[at + 2]) for at in range(1, len(tokens), 4))


def projected(item: Item, params: Mapping[str, Any]) -> Item:
    """``item``, or the top-level attributes that a projection names."""
    text = params.get("ProjectionExpression")
    wanted: Iterable[str]
    if text is not None:
        names = params.get("ExpressionAttributeNames") or {}
        wanted = [names.get(name, name) for name in (part.strip() for part in text.split(","))]
    elif "AttributesToGet" in params:
        wanted = params["AttributesToGet"]
    else:
        return item
    return {name: item[name] for name in wanted if name in item}


def literal_of(part: KeyAttribute, number: int) -> dict[str, str]:
    """A key value that stands for ``number``, in the order of numbers. Never a multiple of ten,
    which numbers can be spelled in two ways for."""
    return {"N": str(2 * number + 1)} if part.type == "N" else {"S": f"{number:03d}"}
