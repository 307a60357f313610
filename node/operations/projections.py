"""Which projections a node answers itself."""

from __future__ import annotations

from paceline.dax.expressions import Path, parse_projection
from paceline.errors import RequestError
from paceline.types import KeySchema, Params


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


def leads_into_key(params: Params, schema: KeySchema) -> bool:
    """Whether the projection names something inside a key attribute, which DynamoDB refuses."""
    return any(len(path) > 1 and path[0] in schema.names for path in plain_paths(params) or ())
