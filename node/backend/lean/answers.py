"""Reads the answers of hot operations without botocore, which takes ten times as long. Pure.

What it makes of them is what botocore's parser makes; where that is not sure, it says so.
"""

from __future__ import annotations

from base64 import b64decode
from typing import Any, Final

from paceline.types import Result

READ_HERE: Final = frozenset({"BatchGetItem", "DeleteItem", "GetItem", "PutItem", "UpdateItem"})

_TEXTS: Final = frozenset({"S", "N"})


class Unsure(Exception):
    """botocore's parser has to say what it makes of it."""


def result_of(operation: str, body: Any) -> Result | None:
    """Returns the result that the JSON ``body`` of a success means; its values are changed where
    they are binary. None: botocore's parser has to say, of the bytes."""
    try:
        match operation, body:
            case "GetItem", {"Item": item} if len(body) == 1:
                _read_item(item)
                return {"Item": item}
            case "GetItem", {**members} if not members:
                return {}
            case "PutItem" | "UpdateItem" | "DeleteItem", {**members} if not members:
                return {}
            case "PutItem" | "UpdateItem" | "DeleteItem", {"Attributes": item} if len(body) == 1:
                _read_item(item)
                return {"Attributes": item}
            case "BatchGetItem", {"Responses": {**tables}} if not set(body) - _BATCH:
                if body.get("UnprocessedKeys", {}) != {}:
                    return None
                for items in tables.values():
                    if type(items) is not list:
                        return None
                    for item in items:
                        _read_item(item)
                return {"Responses": tables, "UnprocessedKeys": {}}
    except (Unsure, ValueError, RecursionError):
        return None
    return None


_BATCH: Final = frozenset({"Responses", "UnprocessedKeys"})


def _read_item(item: Any) -> None:
    if type(item) is not dict:
        raise Unsure
    for name, value in item.items():
        if type(value) is not dict or len(value) != 1:
            raise Unsure
        for kind, content in value.items():
            if kind in _TEXTS and type(content) is str:
                continue
            item[name] = _value(kind, content, value)


def _value(kind: str, content: Any, value: dict[str, Any]) -> dict[str, Any]:
    """Returns ``value`` itself, or the one with bytes in its place."""
    match kind:
        case "S" | "N" if type(content) is str:
            return value
        case "BOOL" | "NULL" if type(content) is bool:
            return value
        case "SS" | "NS" if type(content) is list and all(type(one) is str for one in content):
            return value
        case "B" if type(content) is str:
            return {"B": b64decode(content)}
        case "BS" if type(content) is list and all(type(one) is str for one in content):
            return {"BS": [b64decode(one) for one in content]}
        case "M":
            _read_item(content)
            return value
        case "L" if type(content) is list:
            for at, one in enumerate(content):
                if type(one) is not dict or len(one) != 1:
                    raise Unsure
                ((inner, inside),) = one.items()
                content[at] = _value(inner, inside, one)
            return value
    raise Unsure
