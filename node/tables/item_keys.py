"""Keys of items as requests spell them, and in canonical bytes. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cluster.coherence.messages import WHOLE
from paceline.dax.keys import encode_key
from paceline.dax.numbers import normalize
from paceline.errors import RequestError
from paceline.types import AttributeValue, Item, Key, KeySchema

KEY_BYTES_MAX = 4096
"""Far above DynamoDB's limits for a partition key (2048 bytes) and a sort key (1024) together."""


def item_key(table: str, item: Mapping[str, Any], schema: KeySchema, what: str) -> Key:
    """The key of ``item`` (a whole item or just its key), in canonical bytes.

    RequestError with DynamoDB's words when an attribute is missing or of another type, is empty
    where that stands for all keys of the table, or is far too long to be sent to every node.
    """
    attributes: dict[str, AttributeValue] = {}
    for part in (schema.hash, schema.range):
        if part is None:
            continue
        value = item.get(part.name)
        if value is None:
            if what == "Item":
                raise RequestError(
                    "ValidationException",
                    "One or more parameter values were invalid: "
                    f"Missing the key {part.name} in the item",
                )
            raise _schema_mismatch()
        if part.type not in value:
            if what == "Item":
                raise RequestError(
                    "ValidationException",
                    "One or more parameter values were invalid: Type mismatch for key "
                    f"{part.name} expected: {part.type} actual: {next(iter(value), '')}",
                )
            raise _schema_mismatch()
        attributes[part.name] = value
    if what == "Key" and len(item) != len(attributes):
        raise _schema_mismatch()
    key = encode_key(schema, attributes)
    if key == WHOLE:
        kind = "binary" if schema.hash.type == "B" else "string"
        raise RequestError(
            "ValidationException",
            "One or more parameter values are not valid. The AttributeValue for a key attribute "
            f"cannot contain an empty {kind} value. Key: {schema.hash.name}",
        )
    if len(key) > KEY_BYTES_MAX:
        raise RequestError(
            "ValidationException",
            "One or more parameter values were invalid: Size of hashkey has exceeded the maximum "
            "size limit of 2048 bytes",
        )
    return table, key


def canonical(key: Item) -> Item:
    """A valid key as DynamoDB gives it back: numbers in its own spelling."""
    return {
        name: {"N": normalize(value["N"])} if "N" in value else value for name, value in key.items()
    }


def _schema_mismatch() -> RequestError:
    return RequestError("ValidationException", "The provided key element does not match the schema")
