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
"""The most projections that are cached: applications have few different ones."""
MEMO_CHARACTERS_MAX: Final = 1024


class Projections:
    """Finds the projections that a node may carry out itself, as far as their text tells.

    Names that stand in a projection as they are may be reserved words, and only DynamoDB knows them
    all. An item in the cache must not hide that DynamoDB refuses them. So such a projection is
    valid once DynamoDB has taken it.
    """

    def __init__(self) -> None:
        self._accepted: dict[tuple[str, ...], None] = {}

    def paths(self, params: Params) -> tuple[Path, ...] | None:
        """Returns the projection's paths, () without one; None if DynamoDB may refuse it."""
        if "ProjectionExpression" not in params:
            surely = "ExpressionAttributeNames" not in params and "AttributesToGet" not in params
            return () if surely else None
        paths = plain_paths(params)
        if paths is None or _has_placeholders_only(params["ProjectionExpression"]):
            return paths
        return paths if _form(params) in self._accepted else None

    def may_be_taken(self, params: Params) -> bool:
        """True if DynamoDB's answer would tell what is not known yet."""
        return "ProjectionExpression" in params and self.paths(params) is None

    def taken(self, params: Params, *, found: bool) -> None:
        """DynamoDB has taken the projection. Where no item is ``found``, that says little: some
        that speak its API look at expressions when they need them."""
        if not found or not self.may_be_taken(params) or plain_paths(params) is None:
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
    """Returns the projection's paths, () without one; None when DynamoDB refuses it, or may."""
    text = params.get("ProjectionExpression")
    names = params.get("ExpressionAttributeNames")
    if "AttributesToGet" in params or (text is None and names is not None):
        return None
    if text is None:
        return ()
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


def leads_into_key(paths: tuple[Path, ...], table: TableInfo) -> bool:
    """True if the projection names something inside a key attribute, of the table or of an index,
    which DynamoDB refuses."""
    roots = {path[0] for path in paths if len(path) > 1}
    if not roots:
        return False
    schemas = (table.schema, *(index.schema for index in table.indexes.values()))
    return any(name in roots for schema in schemas for name in schema.names)
