"""Which projections a node answers itself."""

from __future__ import annotations

from node.backend.tables import TableInfo
from paceline.dax.expressions import Path, parse_projection
from paceline.errors import RequestError
from paceline.types import Params


def plain_paths(params: Params) -> tuple[Path, ...] | None:
    """The projection's paths, () without one; None when DynamoDB had better judge it.

    Overlapping paths and unused names are errors whose words are DynamoDB's, so a read with
    those is passed on.
    """
    text = params.get("ProjectionExpression")
    names = params.get("ExpressionAttributeNames")
    if text is None:
        return () if not names else None
    try:
        paths = parse_projection(text, names)
    except RequestError:
        return None
    for index, path in enumerate(paths):
        for other in paths[index + 1 :]:
            shorter = min(len(path), len(other))
            if path[:shorter] == other[:shorter]:
                return None
    return paths


def leads_into_key(params: Params, table: TableInfo) -> bool:
    """Whether the projection names something inside a key attribute, of the table or of an index,
    which DynamoDB refuses."""
    roots = {path[0] for path in plain_paths(params) or () if len(path) > 1}
    if not roots:
        return False
    schemas = (table.schema, *(index.schema for index in table.indexes.values()))
    return any(name in roots for schema in schemas for name in schema.names)
