"""Keys of items as requests spell them, and in canonical bytes. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from cluster.coherence.messages import WHOLE
from paceline.dax.keys import encode_key
from paceline.dax.numbers import normalize
from paceline.errors import RequestError
from paceline.types import AttributeValue, Item, Key, KeySchema

KEY_BYTES_MAX = 4096
"""Far above DynamoDB's limits for a partition key (2048 bytes) and a sort key (1024) together."""

HASH_BYTES_MAX: Final = 2048
RANGE_BYTES_MAX: Final = 1024
NUMBER_DIGITS_MAX: Final = 38
"""These limits of key values are DynamoDB's."""


def lone_text(schema: KeySchema) -> str | None:
    """The name of the key's only part, if it is text: such a key is its own bytes, in UTF-8."""
    return schema.hash.name if schema.range is None and schema.hash.type == "S" else None


def item_key(table: str, item: Mapping[str, Any], schema: KeySchema, what: str) -> Key:
    """Returns the key of ``item`` (a whole item or just its key), in canonical bytes.

    Raises RequestError in DynamoDB's words when an attribute is missing or of another type, is
    empty where that stands for all keys of the table, or is far too long to be sent to every node.
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
    """Returns a valid key as DynamoDB gives it back: numbers in its own spelling."""
    return {
        name: {"N": normalize(value["N"])} if "N" in value else value for name, value in key.items()
    }


def _schema_mismatch() -> RequestError:
    return RequestError("ValidationException", "The provided key element does not match the schema")


def readable_key(table: str, attributes: Item, schema: KeySchema) -> Key | None:
    """Returns None if DynamoDB would refuse the key, or might."""
    try:
        key = item_key(table, attributes, schema, "Key")
    except (RequestError, ValueError):
        return None
    return key if has_sane_key(attributes, schema) else None


def has_sane_key(key: Item, schema: KeySchema) -> bool:
    """True if DynamoDB takes these values as a key, given that their types fit."""
    for part, limit in ((schema.hash, HASH_BYTES_MAX), (schema.range, RANGE_BYTES_MAX)):
        if part is None:
            continue
        value = key[part.name][part.type]
        if part.type == "N":
            if not _is_sane_number(value):
                return False
        elif not 0 < len(value.encode() if isinstance(value, str) else value) <= limit:
            return False
    return True


def _is_sane_number(text: str) -> bool:
    try:
        canonical = normalize(text)
    except ValueError:
        return False
    if "E" in canonical:
        return False
    return len(canonical.lstrip("-").replace(".", "").strip("0")) <= NUMBER_DIGITS_MAX
