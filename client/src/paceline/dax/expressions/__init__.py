"""DynamoDB's expression languages and their encoding in DAX (docs/dax-protocol.md section 7).

Clients parse expressions themselves and send trees, so the client role goes text -> tree -> bytes,
and the server role bytes -> tree -> text with placeholders.

``tree``        the operators, what may stand where, and the limits
``tokens``      the tokens of a text
``parser``      text to tree
``render``      tree to text
``encode``      tree to bytes
``decode``      bytes to tree
``projection``  what a projection leaves of an item
"""

from collections.abc import Mapping

from paceline.dax.expressions.decode import read_condition, read_projection, read_update
from paceline.dax.expressions.encode import normalized_key, write_expression, write_projection
from paceline.dax.expressions.parser import parse_condition, parse_projection, parse_update
from paceline.dax.expressions.projection import apply_projection, project, unproject
from paceline.dax.expressions.render import (
    Placeholders,
    render_condition,
    render_projection,
    render_update,
)
from paceline.dax.expressions.tokens import require_all_used
from paceline.dax.expressions.tree import Expression, Parameter, Path
from paceline.types import AttributeValue

__all__ = [
    "Expression",
    "Parameter",
    "Path",
    "Placeholders",
    "apply_projection",
    "decode_condition",
    "decode_projection",
    "decode_update",
    "encode_condition",
    "encode_projection",
    "encode_update",
    "normalized_key",
    "parse_projection",
    "project",
    "projection_paths",
    "read_condition",
    "require_all_used",
    "unproject",
]


def encode_condition(
    text: str,
    names: Mapping[str, str] | None,
    values: Mapping[str, AttributeValue] | None,
    parameter: Parameter = "ConditionExpression",
) -> bytes:
    """Returns the bytes of a condition, filter or key condition. ``parameter`` is for error
    messages only."""
    return write_expression(parse_condition(text, names, values, parameter))


def encode_update(
    text: str,
    names: Mapping[str, str] | None,
    values: Mapping[str, AttributeValue] | None,
) -> bytes:
    return write_expression(parse_update(text, names, values))


def encode_projection(text: str, names: Mapping[str, str] | None) -> bytes:
    return write_projection(parse_projection(text, names))


def decode_condition(
    data: bytes, placeholders: Placeholders, parameter: Parameter = "ConditionExpression"
) -> str:
    """Returns the text of a condition, filter or key condition for DynamoDB.

    Raises ``RequestError`` for trees that DynamoDB could not understand, ``ProtocolError`` for
    broken CBOR.
    """
    return render_condition(read_condition(data, parameter), placeholders)


def decode_update(data: bytes, placeholders: Placeholders) -> str:
    """Returns the text of an update for DynamoDB. Raises as ``decode_condition`` does."""
    return render_update(read_update(data), placeholders)


def decode_projection(data: bytes, placeholders: Placeholders) -> str:
    """Returns the text of a projection for DynamoDB. Raises as ``decode_condition`` does."""
    return render_projection(read_projection(data), placeholders)


def projection_paths(data: bytes) -> tuple[Path, ...]:
    """Returns a projection's document paths. The position of a path is its ordinal."""
    return read_projection(data)
