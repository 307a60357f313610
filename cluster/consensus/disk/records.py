"""The format of the log's file. Pure.

The file begins with a header. All numbers are big-endian, checksums are CRC32C (RFC 3720).

======  =====  ====================================================================
offset  bytes  header
======  =====  ====================================================================
0       8      ``PLRAFT\\r\\n``
8       4      version of the format, 1
12      8      generation: of the first file of a disk 1, and one more with each rewrite
20      8      base: the file was synced up to this offset before it got its name
28      4      CRC32C of the 28 bytes before
======  =====  ====================================================================

Records follow, one behind the other. Zeros behind the last one are space that is taken already.

======  =====  ====================================================================
offset  bytes  record
======  =====  ====================================================================
0       4      ``F5 52 45 43``
4       4      length of the payload, at most ``PAYLOAD_BYTES_MAX``
8       8      synced: everything before this offset was durable when this was written
16      4      CRC32C of the payload
20      4      CRC32C of generation and offset of this record (8 bytes each), and of the 20 bytes
               before: what stood elsewhere, or in another file, is no record here
24             payload
======  =====  ====================================================================

``synced`` is the offset at which a write of one or more records began. A record that is damaged was
durable if one behind it has a higher ``synced``; else both may come from a write that was never
confirmed, of which the disk had got only parts.

A payload is a list in msgpack:

* ``[0, index, term, configuration, size]`` is the snapshot, always the first record;
  ``configuration`` as in an entry.
* ``[1, offset, data]``: a piece of it, of at most ``PIECE_BYTES``. All pieces follow, in order.
* ``[2, index, term, kind, data]``: an entry that follows the last one.
* ``[3, index, term, kind, data]``: an entry that replaces the one at its index, and all behind it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgpack
from google_crc32c import extend, value

from cluster.consensus.core.configuration import decode_configuration
from cluster.consensus.core.messages import SNAPSHOT_BYTES_MAX, Entry, Kind, Snapshot

MAGIC = b"PLRAFT\r\n"
VERSION = 1
HEADER = struct.Struct(">8sIQQ")
HEADER_BYTES = HEADER.size + 4

MARKER = b"\xf5REC"
RECORD = struct.Struct(">4sIQI")
RECORD_BYTES = RECORD.size + 4
"""Of a record without its payload."""

PLACE = struct.Struct(">QQ")
CRC = struct.Struct(">I")

PIECE_BYTES = 1024 * 1024
PAYLOAD_BYTES_MAX = 4 * 1024 * 1024
"""Several times the largest entry that anything proposes."""

NUMBER_MAX = 2**63 - 1


class NewerVersion(ValueError):
    """In itself whole, but of a format that this release does not know."""


@dataclass(frozen=True, slots=True)
class Header:
    generation: int
    base: int


@dataclass(frozen=True, slots=True)
class Prefix:
    """What stands before a payload."""

    length: int
    synced: int
    crc: int


@dataclass(frozen=True, slots=True)
class SnapshotBegins:
    index: int
    term: int
    configuration: bytes
    size: int


@dataclass(frozen=True, slots=True)
class Piece:
    offset: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Put:
    entry: Entry
    replaces: bool


Record = SnapshotBegins | Piece | Put


def encode_header(header: Header) -> bytes:
    data = HEADER.pack(MAGIC, VERSION, header.generation, header.base)
    return data + CRC.pack(value(data))


def decode_header(data: bytes) -> Header:
    """ValueError, in words; ``NewerVersion``."""
    if len(data) < HEADER_BYTES:
        raise ValueError("its header is cut short")
    magic, version, generation, base = HEADER.unpack_from(data)
    if magic != MAGIC:
        raise ValueError("it does not begin like a log")
    if CRC.unpack_from(data, HEADER.size)[0] != value(data[: HEADER.size]):
        raise ValueError("its header has a wrong checksum")
    if version > VERSION:
        raise NewerVersion(f"format {version}")
    return Header(generation, base)


def encode_record(payload: bytes, generation: int, offset: int, synced: int) -> bytes:
    if len(payload) > PAYLOAD_BYTES_MAX:
        raise ValueError(f"a record of {len(payload)} bytes; the most is {PAYLOAD_BYTES_MAX}")
    prefix = RECORD.pack(MARKER, len(payload), synced, value(payload))
    return prefix + CRC.pack(_prefix_crc(prefix, generation, offset)) + payload


def decode_prefix(data: bytes, generation: int, offset: int) -> Prefix | None:
    """None: no record begins here."""
    if len(data) < RECORD_BYTES or not data.startswith(MARKER):
        return None
    crc = CRC.unpack_from(data, RECORD.size)[0]
    if crc != _prefix_crc(data[: RECORD.size], generation, offset):
        return None
    _, length, synced, payload_crc = RECORD.unpack_from(data)
    if length > PAYLOAD_BYTES_MAX:
        return None
    return Prefix(length, synced, payload_crc)


def is_payload(data: bytes, prefix: Prefix) -> bool:
    return len(data) == prefix.length and value(data) == prefix.crc


def _prefix_crc(prefix: bytes, generation: int, offset: int) -> int:
    crc: int = extend(value(PLACE.pack(generation, offset)), prefix)
    return crc


# Payloads


def encode_entry(entry: Entry, replaces: bool) -> bytes:
    return _packed([3 if replaces else 2, entry.index, entry.term, int(entry.kind), entry.data])


def encode_snapshot(snapshot: Snapshot) -> Iterator[bytes]:
    """The payloads of its records."""
    size = len(snapshot.data)
    if size > SNAPSHOT_BYTES_MAX:
        raise ValueError(f"a snapshot of {size} bytes; the most is {SNAPSHOT_BYTES_MAX}")
    configuration = snapshot.configuration.encode()
    yield _packed([0, snapshot.index, snapshot.term, configuration, size])
    for offset in range(0, size, PIECE_BYTES):
        yield _packed([1, offset, snapshot.data[offset : offset + PIECE_BYTES]])


def decode_payload(payload: bytes) -> Record:
    """ValueError, in words, for anything but what the functions above give."""
    try:
        fields = msgpack.unpackb(payload)
    except (ValueError, TypeError) as error:
        raise ValueError("a payload that is no msgpack") from error
    match fields:
        case [0, index, term, bytes(configuration), size]:
            return SnapshotBegins(_number(index), _number(term), configuration, _size(size))
        case [1, offset, bytes(data)]:
            return Piece(_number(offset), data)
        case [2 | 3 as sort, index, term, kind, bytes(data)]:
            entry = Entry(_number(index), _number(term), Kind(kind), data)
            if entry.kind == Kind.CONFIGURATION:
                decode_configuration(data)
            return Put(entry, sort == 3)
        case _:
            raise ValueError("a payload of no known sort")


def _packed(fields: list[Any]) -> bytes:
    data: bytes = msgpack.packb(fields)
    return data


def _number(field: object) -> int:
    if type(field) is not int or not 0 <= field <= NUMBER_MAX:
        raise ValueError(f"{field!r} is no index and no term")
    return field


def _size(field: object) -> int:
    if _number(field) > SNAPSHOT_BYTES_MAX:
        raise ValueError(f"a snapshot of {field} bytes; the most is {SNAPSHOT_BYTES_MAX}")
    return _number(field)
