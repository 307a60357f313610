"""Names of tables in requests. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from paceline.errors import RequestError

TABLE_NAME_MAX = 255
"""DynamoDB's limit."""

SPELLED_MAX = 100
"""Names that one request may spell. Every node is told of them, and most name nothing."""

PIECE_CHARACTERS = 64 * 1024
"""Looked through by one call."""
OVERLAP_CHARACTERS = TABLE_NAME_MAX + 3
"""With the separators on both sides, one of which has two characters."""

_WORD = re.compile(r"[\w.$-]+")
_BREAK = re.compile(r"--|\.")


def table_of(name: object) -> str | None:
    """The table that ``TableName`` means, also where it is an ARN. None for what is surely no
    name of a table: every node is told of those, so they must not be long, nor hold halves of
    surrogate pairs, of which no message could be made."""
    if not isinstance(name, str) or not name:
        return None
    table = name.rpartition(":table/")[2].partition("/")[0]
    if not 0 < len(table) <= TABLE_NAME_MAX or not table.isprintable():
        return None
    return table


def is_arn(table: str) -> bool:
    """Whether a ``TableName`` is no name; DynamoDB takes ARNs there, too."""
    return ":" in table


def spelled(value: Any) -> tuple[str, ...]:
    """Every table that a text anywhere in ``value`` may name: all words, whatever they mean.

    For requests of which more is not understood. RequestError when there are too many.
    """
    found: dict[str, None] = {}
    for text in _pieces(value):
        for run in set(_WORD.findall(text)):
            for word in {run, *_BREAK.split(run)}:
                if table_of(word) is not None:
                    found[word] = None
            if len(found) > SPELLED_MAX:
                raise RequestError(
                    "ValidationException",
                    "this node cannot tell which tables the request changes, and it names too much "
                    "to take all of that for tables; send it to DynamoDB itself",
                )
    return tuple(sorted(found))


def _pieces(value: Any) -> Iterator[str]:
    """All texts, long ones in pieces. These overlap by more than a name may have, so that each is
    whole in one of them; what is cut off at their ends counts as a name, too."""
    for text in _texts(value):
        for start in range(0, len(text), PIECE_CHARACTERS):
            yield text[max(0, start - OVERLAP_CHARACTERS) : start + PIECE_CHARACTERS]


def _texts(value: Any) -> Iterator[str]:
    left = [value]
    while left:
        one = left.pop()
        if isinstance(one, str):
            yield one
        elif isinstance(one, dict):
            left += one.keys()
            left += one.values()
        elif isinstance(one, list):
            left += one
