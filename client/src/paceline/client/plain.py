"""The commonest call, a GetItem of a whole item by its key, without the general machinery: it
costs a third. Anything unusual is left to that. Pure."""

from dataclasses import dataclass
from typing import Any, ClassVar, Final

from paceline.client.knowledge import Knowledge
from paceline.dax.attribute_lists import NamesOf, decode_item
from paceline.dax.cbor import Buffer, write_bytes, write_int
from paceline.dax.keys import encode_key
from paceline.dax.methods import SERVICE_ID, Method
from paceline.types import Item, KeySchema, Params, Result

TABLES_MAX: Final = 1000
"""Tables whose frames' beginnings are kept."""
_NO_OPTIONS: Final = b"\xbf\xff"
_ARGUMENT_BYTES: Final = {0x58: 1, 0x59: 2, 0x5A: 4}
_MISS: Final = b"\x80\xf6"
_TYPES: Final = {"S": str, "N": str, "B": bytes}


@dataclass(slots=True)
class PlainGet:
    """A request that is encoded already."""

    method: ClassVar[Method] = Method.GET_ITEM
    frame: bytes
    key: Item

    def decode(self, body: bytes, names_of: NamesOf) -> Result | None:
        """The result; None when the reply is not of the plain form. What ``names_of`` raises."""
        if body == b"\xf6":
            return {}
        start = _values_start(body, 0)
        if start is None:
            return None
        # Copies, as a result is the application's own.
        item = {name: dict(value) for name, value in self.key.items()}
        item.update(decode_item(body[start:], names_of))
        return {"Item": item}


class PlainGets:
    def __init__(self, knowledge: Knowledge) -> None:
        self._knowledge = knowledge
        self._heads: dict[str, bytes] = {}

    def encode(self, params: Params) -> PlainGet | None:
        """None when the parameters are not surely right and plain."""
        if len(params) != 2:
            return None
        table = params.get("TableName")
        key = params.get("Key")
        if type(table) is not str or type(key) is not dict:
            return None
        schema = self._knowledge.schemas.get(table)
        if schema is None or not _fits(schema, key):
            return None
        head = self._heads.get(table) or self._head(table)
        frame = bytearray(head)
        try:
            write_bytes(frame, encode_key(schema, key))
        except ValueError:
            return None  # a number that is none
        frame += _NO_OPTIONS
        return PlainGet(bytes(frame), key)

    def _head(self, table: str) -> bytes:
        out = bytearray()
        write_int(out, SERVICE_ID)
        write_int(out, Method.GET_ITEM)
        write_bytes(out, table.encode())
        if len(self._heads) >= TABLES_MAX:
            self._heads.clear()
        return self._heads.setdefault(table, bytes(out))


def _fits(schema: KeySchema, key: dict[Any, Any]) -> bool:
    wanted = schema.range
    if len(key) != (1 if wanted is None else 2):
        return False
    for attribute in (schema.hash,) if wanted is None else (schema.hash, wanted):
        value = key.get(attribute.name)
        if type(value) is not dict or len(value) != 1:
            return False
        content = value.get(attribute.type)
        if type(content) is not _TYPES[attribute.type] or not content:
            return False
    return True


def is_whole_reply(data: Buffer) -> bool:
    """Whether these bytes are exactly one reply to a plain GetItem, and a good one."""
    if data == _MISS:
        return True
    return data[:1] == b"\x80" and _values_start(data, 1) is not None


def _values_start(data: Buffer, at: int) -> int | None:
    """Where the item's values begin, if ``data`` holds one whole item from ``at`` on."""
    if data[at : at + 2] != b"\xa1\x00" or len(data) < at + 3:
        return None
    first = data[at + 2]
    start = at + 3
    if 0x40 <= first < 0x58:
        size = first - 0x40
    elif first in _ARGUMENT_BYTES:
        width = _ARGUMENT_BYTES[first]
        size = int.from_bytes(data[start : start + width], "big")
        start += width
    else:
        return None
    return start if len(data) == start + size else None
