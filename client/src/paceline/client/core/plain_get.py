"""The fast path for the commonest call, a GetItem of a whole item by its key: it costs a third of
the general one, which takes everything unusual. Pure."""

from typing import Any, ClassVar, Final, cast

from paceline.client.core.definitions import Definitions
from paceline.dax.attribute_lists import NamesOf, list_names
from paceline.dax.cbor import Buffer, Reader, write_bytes, write_int
from paceline.dax.connection import ClientConnection, ErrorReply, NeedData, Reply
from paceline.dax.keys import encode_key
from paceline.dax.methods import SERVICE_ID, Method
from paceline.dax.numbers import normalize
from paceline.dax.request_types import Request
from paceline.dax.values import read_value
from paceline.types import Item, KeySchema, Params, Result

TABLES_MAX: Final = 1000
"""For how many tables the beginnings of frames are kept."""
_NO_OPTIONS: Final = b"\xbf\xff"
_ARGUMENT_BYTES: Final = {0x58: 1, 0x59: 2, 0x5A: 4}
_MISS: Final = b"\x80\xf6"
_SHORT_HEADS: Final = tuple(bytes((0x40 + size,)) for size in range(24))
_TYPES: Final = {"S": str, "N": str, "B": bytes}


class PlainGet:
    """A request that is encoded already."""

    __slots__ = ("frame", "key")
    method: ClassVar[Method] = Method.GET_ITEM

    def __init__(self, frame: bytes, key: Item) -> None:
        self.frame = frame
        self.key = key

    def decode(self, body: bytes, names_of: NamesOf) -> Result | None:
        """The result; None when the reply is not of the plain form. What ``names_of`` raises."""
        if body == b"\xf6":
            return {}
        start = _values_start(body, 0)
        if start is None:
            return None
        reader = Reader(body, start)
        names = list_names(reader.read_int(), names_of)
        # Copies, as a result is the application's own.
        item: Item = {name: dict(value) for name, value in self.key.items()}
        for name in names:
            item[name] = read_value(reader)
        reader.expect_done("an item's values")
        return {"Item": item}


class PlainGetEncoder:
    """Writes frames of plain GetItems. One per client: it keeps the beginning of each table's."""

    def __init__(self, definitions: Definitions) -> None:
        self._definitions = definitions
        self._heads: dict[str, bytes] = {}

    def encode(self, params: Params) -> PlainGet | None:
        """None when the parameters are not surely right and plain."""
        if len(params) != 2:
            return None
        table = params.get("TableName")
        key = params.get("Key")
        if type(table) is not str or type(key) is not dict:
            return None
        schema = self._definitions.schemas.get(table)
        if schema is None:
            return None
        head = self._heads.get(table) or self._head(table)
        try:
            if not _fits(schema, key):
                return None
            encoded = encode_key(schema, key)
        except ValueError:
            return None  # a number that is none
        size = len(encoded)
        if size < len(_SHORT_HEADS):
            return PlainGet(head + _SHORT_HEADS[size] + encoded + _NO_OPTIONS, key)
        frame = bytearray(head)
        write_bytes(frame, encoded)
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
    """ValueError for a number that is none."""
    wanted = schema.range
    if wanted is None and schema.hash.type == "S":  # the commonest, without a loop
        value = key.get(schema.hash.name)
        if len(key) != 1 or type(value) is not dict or len(value) != 1:
            return False
        content = value.get("S")
        return type(content) is str and content != ""
    if len(key) != (1 if wanted is None else 2):
        return False
    for attribute in (schema.hash,) if wanted is None else (schema.hash, wanted):
        value = key.get(attribute.name)
        if type(value) is not dict or len(value) != 1:
            return False
        content = value.get(attribute.type)
        if type(content) is not _TYPES[attribute.type] or not content:
            return False
        if attribute.type == "N" and normalize(content) != content:
            return False  # the result has the key as DynamoDB spells it
    return True


def send(codec: ClientConnection, request: Request | PlainGet) -> bytes:
    """Encodes a request, plain or not; the codec then expects its reply."""
    if type(request) is PlainGet:
        assert codec.outstanding is None, "a connection carries one request at a time"
        codec.outstanding = cast(Request, request)
        return request.frame
    return codec.send(cast(Request, request))


def receive(codec: ClientConnection, data: bytes) -> Reply | ErrorReply | NeedData:
    """Decodes received bytes. A whole plain reply needs no codec."""
    outstanding: object = codec.outstanding
    if type(outstanding) is PlainGet and not codec.buffer and is_whole_reply(data):
        codec.outstanding = None
        return Reply(cast(Request, outstanding), data[1:])
    codec.receive_data(data)
    return codec.next_event()


def is_whole_reply(data: Buffer) -> bool:
    """Whether these bytes are exactly one reply to a plain GetItem, and a good one."""
    if data == _MISS:
        return True
    return data[:1] == b"\x80" and _values_start(data, 1) is not None


def _values_start(data: Buffer, at: int) -> int | None:
    """Where the item's values begin, if ``data`` holds one whole item from ``at`` on."""
    size = len(data)
    if size < at + 3 or data[at] != 0xA1 or data[at + 1] != 0:
        return None
    first = data[at + 2]
    start = at + 3
    if 0x40 <= first < 0x58:
        length = first - 0x40
    elif first in _ARGUMENT_BYTES:
        width = _ARGUMENT_BYTES[first]
        length = int.from_bytes(data[start : start + width], "big")
        start += width
    else:
        return None
    return start if size == start + length else None
