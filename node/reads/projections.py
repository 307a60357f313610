"""Which projections a node answers itself. Pure."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from node.tables.table_info import TableInfo
from paceline.dax.expressions import Path, parse_projection
from paceline.dax.expressions.tokens import placeholders
from paceline.dax.validity import are_sane_paths
from paceline.errors import RequestError
from paceline.types import Params

ACCEPTED_MAX: Final = 1024
"""Projections that are remembered: applications have few different ones."""
MEMO_CHARACTERS_MAX: Final = 1024


class Projections:
    """Those that a node may carry out itself, as far as their text tells.

    Names that stand in one as they are may be reserved words, of which DynamoDB alone knows them
    all; and an item in the cache must not hide that DynamoDB refuses them. Such a projection is
    valid once DynamoDB has taken it.
    """

    def __init__(self) -> None:
        self._accepted: dict[tuple[str, ...], None] = {}

    def surely_valid(self, params: Params) -> bool:
        if plain_paths(params) is None:
            return False
        text = params.get("ProjectionExpression")
        return text is None or _has_placeholders_only(text) or _form(params) in self._accepted

    def taken(self, params: Params, *, found: bool) -> None:
        """DynamoDB has taken the projection. Where no item is ``found``, that says little: some
        that speak its API look at expressions when they need them."""
        if not found or "ProjectionExpression" not in params or plain_paths(params) is None:
            return
        if len(self._accepted) >= ACCEPTED_MAX:
            self._accepted.pop(next(iter(self._accepted)))
        self._accepted[_form(params)] = None


def _has_placeholders_only(text: str) -> bool:
    return all(
        part.strip().startswith("#") or part.strip().isdecimal()
        for path in text.split(",")
        for part in path.replace("[", ".").replace("]", "").split(".")
        if part.strip()
    )


def _form(params: Params) -> tuple[str, ...]:
    names = params.get("ExpressionAttributeNames") or {}
    return (
        params["ProjectionExpression"],
        *(part for pair in sorted(names.items()) for part in pair),
    )


def plain_paths(params: Params) -> tuple[Path, ...] | None:
    """The projection's paths, () without one; None when DynamoDB refuses it, or may.

    Nothing in the cache may hide that, so a read with such a projection is passed on.
    """
    text = params.get("ProjectionExpression")
    names = params.get("ExpressionAttributeNames")
    if text is None:
        return () if names is None else None
    given = tuple(names.items()) if names is not None else None
    if len(text) + sum(len(one) + len(other) for one, other in given or ()) > MEMO_CHARACTERS_MAX:
        return _paths(text, given)
    return _remembered(text, given)


def _paths(text: str, names: tuple[tuple[str, str], ...] | None) -> tuple[Path, ...] | None:
    if names is not None and placeholders(text) != {placeholder for placeholder, _ in names}:
        return None
    if names == ():
        return None
    try:
        paths = parse_projection(text, dict(names or ()))
    except (RequestError, ValueError):
        return None
    return paths if are_sane_paths(paths) else None


_remembered = lru_cache(ACCEPTED_MAX)(_paths)


def leads_into_key(params: Params, table: TableInfo) -> bool:
    """Whether the projection names something inside a key attribute, of the table or of an index,
    which DynamoDB refuses."""
    roots = {path[0] for path in plain_paths(params) or () if len(path) > 1}
    if not roots:
        return False
    schemas = (table.schema, *(index.schema for index in table.indexes.values()))
    return any(name in roots for schema in schemas for name in schema.names)
