"""Which tables PartiQL statements write to. Pure.

Only what it takes to fence them: the verb and the table name. Whatever else a statement says is
DynamoDB's to judge. A statement that cannot be read is taken to write to every table that it
spells.
"""

from __future__ import annotations

import re
from typing import Any

from node.requests.table_names import spelled, table_of
from paceline.dynamodb_operations import OPERATIONS

_SPACE = r"(?>\s|--[^\r\n]*(?:\n|\Z)|/\*(?:(?!/\*|\*/).)*+\*/)"
"""One space or whole comment. It is never given back, nor is a run of them: else a comment could
be read on into a string behind it, and many of them be read in as many ways as there are atoms.
Comments that others may see the end of elsewhere, nested ones say, are none."""
_READ = re.compile(rf"{_SPACE}*+\(*+{_SPACE}*+(?:SELECT|EXISTS)\b", re.IGNORECASE | re.DOTALL)
_WRITE = re.compile(
    rf"{_SPACE}*+(?:INSERT{_SPACE}++INTO|UPDATE|DELETE{_SPACE}++FROM)"
    rf'{_SPACE}*+(?:"((?:[^"]|"")++)"|(?<![\w"])([A-Za-z_$][\w$.-]*+))',
    re.IGNORECASE | re.DOTALL,
)
_QUOTED = re.compile(r"'(?:[^']|'')*+'|\"(?:[^\"]|\"\")*+\"")


STATEMENT_CHARACTERS_MAX = 64 * 1024
"""The most characters that are read here. DynamoDB takes 8 192."""


class Unreadable(Exception):
    """The statement is neither surely a read nor a write to a table that can be told."""


def written_tables(operation: str, body: dict[str, Any]) -> tuple[str, ...] | None:
    """Returns the tables that ``ExecuteStatement`` and its kin may write to; None if they surely
    only read, () if they name no table at all.

    Raises RequestError for statements that cannot be read and spell more names than can be fenced.
    """
    parameter = OPERATIONS[operation].statements
    statements = body.get(parameter) if parameter else [body]
    if not isinstance(statements, list) or not statements:
        return spelled(body)
    tables: dict[str, None] = {}
    unread = []
    only_reads = True
    for one in statements:
        text = one.get("Statement") if isinstance(one, dict) else None
        try:
            table = written_table(text if isinstance(text, str) else "")
        except Unreadable:
            unread.append(one)
            only_reads = False
        else:
            if table is not None:
                tables[table] = None
                only_reads = False
    if only_reads:
        return None
    return tuple(dict.fromkeys((*tables, *spelled(unread))))


def written_table(statement: str) -> str | None:
    """Returns the table that the statement writes to; None if it only reads. Raises
    ``Unreadable``."""
    if len(statement) > STATEMENT_CHARACTERS_MAX:
        raise Unreadable  # DynamoDB refuses it, and to look through it takes long
    if ";" in _QUOTED.sub("", statement).rstrip("; \t\r\n"):
        raise Unreadable  # more than one, to those who take that
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
