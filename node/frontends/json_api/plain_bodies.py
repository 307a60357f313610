"""GetItem's JSON where it is a table and a key of texts and numbers, told by its shape. Pure.

JSON that SDKs write has no more than a space behind its signs, and texts without an escape are what
they mean. Everything else is left to the parser of ``parameters``.
"""

from __future__ import annotations

import re

from paceline.types import Params

_ATTRIBUTE = rb'"([^"\\\x00-\x1f]*)": ?\{"([NS])": ?"([^"\\\x00-\x1f]*)"\}'
_KEY = rb'"Key": ?\{' + _ATTRIBUTE + rb"(?:, ?" + _ATTRIBUTE + rb")?\}"
_TABLE = rb'"TableName": ?"([A-Za-z0-9_.-]{3,255})"'
_TABLE_FIRST = re.compile(rb"\{" + _TABLE + rb", ?" + _KEY + rb"\}").fullmatch
_KEY_FIRST = re.compile(rb"\{" + _KEY + rb", ?" + _TABLE + rb"\}").fullmatch


Parts = tuple[bytes, bytes, bytes, bytes, bytes | None, bytes | None, bytes | None]
"""The table; name, type and value of an attribute; the same of another one, or None."""


def parts_of(body: bytes) -> Parts | None:
    """Returns None if it takes more to tell. A name or value may be no UTF-8: then the JSON is
    broken."""
    found = _TABLE_FIRST(body)
    if found is not None:
        return found.groups()  # type: ignore[return-value]
    found = _KEY_FIRST(body)
    if found is None:
        return None
    *key, table = found.groups()
    return (table, *key)  # type: ignore[return-value]


def params_of(parts: Parts) -> Params | None:
    """Returns the parameters, as ``parameters`` reads them; None if the JSON is broken."""
    table, name, kind, value, other, other_kind, other_value = parts
    try:
        attributes = {name.decode(): {kind.decode(): value.decode()}}
        if other is not None and other_kind is not None and other_value is not None:
            attributes[other.decode()] = {other_kind.decode(): other_value.decode()}
    except UnicodeDecodeError:
        return None
    return {"TableName": table.decode(), "Key": attributes}
