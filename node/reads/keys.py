"""Which keys DynamoDB takes in a read. Pure."""

from __future__ import annotations

from typing import Final

from node.tables.item_keys import item_key
from paceline.dax.numbers import normalize
from paceline.errors import RequestError
from paceline.types import Item, Key, KeySchema

HASH_BYTES_MAX: Final = 2048
RANGE_BYTES_MAX: Final = 1024
NUMBER_DIGITS_MAX: Final = 38
"""DynamoDB's limits for key values."""


def readable_key(table: str, attributes: Item, schema: KeySchema) -> Key | None:
    """None: DynamoDB would refuse it, or might."""
    try:
        key = item_key(table, attributes, schema, "Key")
    except (RequestError, ValueError):
        return None
    return key if has_sane_key(attributes, schema) else None


def has_sane_key(key: Item, schema: KeySchema) -> bool:
    """Whether DynamoDB takes these values as a key, given that their types fit."""
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
