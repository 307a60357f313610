"""Refuses requests that have far more parts than any of DynamoDB's. Pure.

All that these parts cost, a description, a key or a fence each, is spent before DynamoDB could say
so. Of a request that has only some too many, DynamoDB says what is wrong with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from paceline.dax.validity import NAMES, VALUES, SurelyInvalid

ENTRIES_MAX = 256
"""Tables, keys, items and statements of one request; DynamoDB takes 25, or 100."""
PLACEHOLDERS_MAX = 4096
"""Names or values of one part of a request: no expression of DynamoDB's, of 4 KB, has room for so
many of either, and it refuses those that are not used."""

_LISTS = ("TransactItems", "Statements", "TransactStatements")


def refuse_excess(operation: str, params: Mapping[str, Any]) -> None:
    """SurelyInvalid. Looks at sizes only; members of the wrong kind are passed over."""
    _refuse_placeholders(params)
    tables = params.get("RequestItems")
    if isinstance(tables, dict):
        if _entries(tables) > ENTRIES_MAX:
            raise SurelyInvalid(f"Too many items requested for the {operation} call")
        for part in tables.values():
            if isinstance(part, dict):
                _refuse_placeholders(part)
    for name in _LISTS:
        entries = params.get(name)
        if isinstance(entries, list):
            _refuse_entries(name, entries)


def _entries(tables: dict[str, Any]) -> int:
    """Of a batch, or as many tables if they are too many."""
    if len(tables) > ENTRIES_MAX:
        return len(tables)
    count = 0
    for part in tables.values():
        entries = part.get("Keys") if isinstance(part, dict) else part
        count += len(entries) if isinstance(entries, list) else 0
    return count


def _refuse_entries(name: str, entries: list[Any]) -> None:
    if len(entries) > ENTRIES_MAX:
        member = name[0].lower() + name[1:]
        raise SurelyInvalid(
            f"1 validation error detected: Value '[{len(entries)} items]' at '{member}' failed to "
            "satisfy constraint: Member must have length less than or equal to "
            f"{25 if name == 'Statements' else 100}"
        )
    for entry in entries:
        for body in entry.values() if isinstance(entry, dict) else ():
            if isinstance(body, dict):
                _refuse_placeholders(body)


def _refuse_placeholders(part: Mapping[str, Any]) -> None:
    for name in (NAMES, VALUES):
        given = part.get(name)
        if isinstance(given, dict) and len(given) > PLACEHOLDERS_MAX:
            raise SurelyInvalid(
                f"Value provided in {name} unused in expressions: it has {len(given)} keys, more "
                "than any expressions have room for"
            )
