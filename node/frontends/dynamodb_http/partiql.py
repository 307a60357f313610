"""Which tables PartiQL statements write to. Pure.

Only what it takes to fence them: the verb and the table name. Whatever else a statement says is
DynamoDB's to judge.
"""

from __future__ import annotations

import re
from typing import Any

from node.frontends.dynamodb_http.parameters import table_of

_SPACE = r"(?>\s|--[^\n]*(?:\n|\Z)|/\*.*?\*/)"
"""One space or whole comment. It is never given back, nor is a run of them: else a comment could
be read on into a string behind it, and many of them be read in as many ways as there are atoms."""
_READ = re.compile(rf"{_SPACE}*+\(*+{_SPACE}*+(?:SELECT|EXISTS)\b", re.IGNORECASE | re.DOTALL)
_WRITE = re.compile(
    rf"{_SPACE}*+(?:INSERT{_SPACE}++INTO|UPDATE|DELETE{_SPACE}++FROM)"
    rf'{_SPACE}*+(?:"((?:[^"]|"")++)"|(?<![\w"])([A-Za-z_$][\w$.-]*+))',
    re.IGNORECASE | re.DOTALL,
)

_STATEMENTS = {
    "BatchExecuteStatement": "Statements",
    "ExecuteTransaction": "TransactStatements",
}


class Unreadable(Exception):
    """Neither surely a read nor a write to a table that can be told."""


def written_tables(operation: str, body: dict[str, Any]) -> tuple[tuple[str, ...], bool]:
    """The tables that ``ExecuteStatement`` and its kin write to as far as that can be read, and
    whether it can of all statements. () and True: they only read."""
    if operation == "ExecuteStatement":
        statements = [body]
    else:
        statements = body.get(_STATEMENTS[operation]) or []
        if not isinstance(statements, list):
            return (), False
    tables: dict[str, None] = {}
    readable = True
    for one in statements:
        text = one.get("Statement") if isinstance(one, dict) else None
        if not isinstance(text, str) or not text:
            continue  # there is nothing to be done
        try:
            table = written_table(text)
        except Unreadable:
            readable = False
        else:
            if table is not None:
                tables[table] = None
    return tuple(tables), readable


def written_table(statement: str) -> str | None:
    if _READ.match(statement):
        return None
    match = _WRITE.match(statement)
    if match is None:
        raise Unreadable
    quoted, plain = match.groups()
    name = quoted.replace('""', '"') if quoted is not None else plain.partition(".")[0]
    table = table_of(name)
    if table is None:
        raise Unreadable
    return table
