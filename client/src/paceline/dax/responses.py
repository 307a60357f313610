"""Replies that need no translation: endpoints, schemas, attribute lists, GetItem hits and misses.

docs/dax-protocol.md sections 4.6, 9.2, 10.2 and 14. Writers give whole replies, readers take a
reply's body (without its leading empty array) and raise ProtocolError for one that is none.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from struct import Struct
from typing import Final

from paceline.dax.cbor import (
    BYTES,
    Reader,
    write_array,
    write_bytes,
    write_head,
    write_int,
    write_map,
    write_text,
    write_text_or_null,
)
from paceline.errors import ProtocolError
from paceline.types import KeyAttribute, KeySchema, KeyType

OK: Final = b"\x80"
"""The beginning of a successful reply: no error codes."""

MISS_REPLY: Final = b"\x80\xf6"
"""GetItem found nothing; also the reply of a write that has nothing to return."""

_LONG_ITEM: Final = Struct(">IH")
_LONG_ITEM_HEAD: Final = 0x80A10059
"""The beginning of a GetItem's reply whose item has a length of two bytes."""

_SHORT: Final = 24
"""A string of fewer bytes has its length in the first byte."""

_ITEM_AT: Final = 3
"""In a GetItem's reply that has an item: where it begins, with its length."""

_ADDRESS_BYTES: Final = (4, 16)
_KEY_TYPES: Final[dict[str, KeyType]] = {"S": "S", "N": "N", "B": "B"}


class Role(IntEnum):
    """Python and JS send writes to a leader; every node takes them all the same. Go clients
    accept no other values."""

    LEADER = 1
    REPLICA = 2


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A node as clients see it.

    ``address``: the 4 or 16 bytes that clients connect to; the host name is for people.
    ``leader_session_id``: changes with each life of the node, whatever its name says: clients
    compare whole endpoints and replace their connections to one that differs.
    """

    node_id: int
    hostname: str
    address: bytes
    port: int
    role: Role
    zone: str
    leader_session_id: int


def item_reply(values: bytes | None) -> bytes:
    """GetItem's reply without projection or capacity, from the item's *values* string; None: there
    is no such item."""
    if values is None:
        return MISS_REPLY
    size = len(values)
    if 0x100 <= size < 0x10000:  # as below, at once: most items are so long
        return b"".join((_LONG_ITEM.pack(_LONG_ITEM_HEAD, size), values))
    head = bytearray(b"\x80\xa1\x00")  # no error, map of one, key 0 (Item)
    write_head(head, BYTES, size)
    return b"".join((head, values))


def batch_get_reply(
    found: Mapping[str, Sequence[tuple[bytes, bytes]]],
    undone: Mapping[str, Sequence[bytes]],
    *,
    indefinite: bool,
) -> bytes:
    """BatchGetItem's reply without projections or capacities, from replies to GetItem.

    ``found``: by table, the key and the ``item_reply`` of each item that there is. ``undone``: by
    table, the keys that were not looked at. ``indefinite``: the client is Java's, of which that for
    SDK v1 takes an empty map for none, and then fails on that.
    """
    if indefinite and not undone:
        undone = {next(iter(found)): ()}
    parts: list[bytes | bytearray | memoryview] = []
    out = bytearray(b"\x80\x82")  # no error, array of two; the third value stands outside
    write_map(out, len(found))
    for table, items in found.items():
        write_text(out, table)
        write_array(out, 2 * len(items))
        for key, reply in items:
            if len(key) < _SHORT:
                out.append(BYTES << 5 | len(key))
                out += key
            else:
                write_bytes(out, key)
            parts += (out, memoryview(reply)[_ITEM_AT:])
            out = bytearray()
    write_map(out, len(undone))
    for table, keys in undone.items():
        write_text(out, table)
        write_array(out, len(keys))
        for key in keys:
            write_bytes(out, key)
    write_array(out, 0)
    return b"".join((*parts, out))


def endpoints_reply(endpoints: Sequence[Endpoint]) -> bytes:
    """All seven fields of every endpoint: Python fails when one is missing."""
    out = bytearray(OK)
    write_array(out, len(endpoints))
    for endpoint in endpoints:
        if len(endpoint.address) not in _ADDRESS_BYTES:
            raise ValueError(f"an address of {len(endpoint.address)} bytes is neither IPv4 nor 6")
        write_map(out, 7)
        write_int(out, 0)
        write_int(out, endpoint.node_id)
        write_int(out, 1)
        write_text(out, endpoint.hostname)
        write_int(out, 2)
        write_bytes(out, endpoint.address)
        write_int(out, 3)
        write_int(out, endpoint.port)
        write_int(out, 4)
        write_int(out, endpoint.role)
        write_int(out, 5)
        write_text(out, endpoint.zone)
        write_int(out, 6)
        write_int(out, endpoint.leader_session_id)
    return bytes(out)


def read_endpoints(body: bytes) -> list[Endpoint]:
    reader = Reader(body)
    count = reader.read_array()
    endpoints: list[Endpoint] = []
    while reader.more(len(endpoints), count):
        endpoints.append(_read_endpoint(reader))
    reader.expect_done("endpoints")
    return endpoints


def _read_endpoint(reader: Reader) -> Endpoint:
    hostname = zone = ""
    address = b""
    numbers = {0: 0, 3: 0, 4: int(Role.REPLICA), 6: 0}
    count = reader.read_map()
    done = 0
    while reader.more(done, count):
        done += 1
        key = reader.read_int()
        if key in numbers:
            numbers[key] = reader.read_int()
        elif key == 1:
            hostname = reader.read_text()
        elif key == 2:
            address = reader.read_bytes()
        elif key == 5:
            zone = reader.read_text()
        else:
            reader.skip()
    if len(address) not in _ADDRESS_BYTES or not 0 < numbers[3] < 65536:
        raise ProtocolError("an endpoint has no address and port to connect to")
    role = Role.LEADER if numbers[4] == Role.LEADER else Role.REPLICA
    return Endpoint(numbers[0], hostname, address, numbers[3], role, zone, numbers[6])


def key_schema_reply(schema: KeySchema) -> bytes:
    """The reply with the hash attribute first: their order is what tells them apart."""
    out = bytearray(OK)
    write_map(out, len(schema.names))
    for attribute in (schema.hash, schema.range):
        if attribute is not None:
            write_text(out, attribute.name)
            write_text(out, attribute.type)
    return bytes(out)


def read_key_schema(body: bytes) -> KeySchema:
    reader = Reader(body)
    count = reader.read_map()
    attributes: list[KeyAttribute] = []
    while reader.more(len(attributes), count):
        name = reader.read_text()
        kind = reader.read_text()
        if kind not in _KEY_TYPES:
            raise ProtocolError(f"{kind!r} is no type of a key attribute")
        attributes.append(KeyAttribute(name, _KEY_TYPES[kind]))
    reader.expect_done("a key schema")
    if len(attributes) not in (1, 2):
        raise ProtocolError(f"a key schema of {len(attributes)} attributes")
    return KeySchema(*attributes)


def attribute_list_id_reply(identifier: int) -> bytes:
    out = bytearray(OK)
    write_int(out, identifier)
    return bytes(out)


def read_attribute_list_id(body: bytes) -> int:
    reader = Reader(body)
    identifier = reader.read_int()
    reader.expect_done("an attribute list's id")
    return identifier


def attribute_list_reply(names: tuple[str, ...]) -> bytes:
    out = bytearray(OK)
    write_array(out, len(names))
    for name in names:
        write_text(out, name)
    return bytes(out)


def read_attribute_list(body: bytes) -> tuple[str, ...]:
    reader = Reader(body)
    count = reader.read_array()
    names: list[str] = []
    while reader.more(len(names), count):
        names.append(reader.read_text())
    reader.expect_done("an attribute list")
    return tuple(names)


@dataclass(frozen=True, slots=True)
class RawReply:
    """An answer of the HTTP API: its status, its JSON body, and of its headers ``cache``
    (``x-paceline-cache``) and ``request_id`` (DynamoDB's own, where the answer is)."""

    status: int
    body: bytes
    cache: str | None = None
    request_id: str | None = None


def raw_reply(answer: RawReply) -> bytes:
    before, behind = bytearray(OK), bytearray()
    write_array(before, 4)
    write_int(before, answer.status)
    write_head(before, BYTES, len(answer.body))
    write_text_or_null(behind, answer.cache)
    write_text_or_null(behind, answer.request_id)
    # The one way to copy many megabytes that lets other threads go on.
    return b"".join((before, answer.body, behind))


def read_raw_reply(body: bytes) -> RawReply:
    """Reads a raw reply's body, and skips what later versions may add behind the fourth value."""
    reader = Reader(body)
    count = reader.read_array()
    if count < 4:
        raise ProtocolError(f"a raw reply has four values at least, not {count}")
    status, json = reader.read_int(), reader.read_bytes()
    cache, request_id = reader.read_text_or_null(), reader.read_text_or_null()
    for _ in range(count - 4):
        reader.skip()
    reader.expect_done("a raw reply")
    return RawReply(status, json, cache, request_id)
