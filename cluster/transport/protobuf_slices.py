"""Protobuf messages of many megabytes, read without a call into C that takes long. Pure.

The library reads 16 MB of tiny values by one call, for a third of a second in which no other thread
has its turn. What is read piece by piece is the same: a message may be cut between any two of its
fields, and one field within a message.
"""

from __future__ import annotations

from typing import Any

from google.protobuf.unknown_fields import UnknownFieldSet

from cluster.transport.protobuf_wire import LENGTH_DELIMITED

PIECE_BYTES = 64 * 1024
"""Read by one call; a text may have more."""

DEPTH_MAX = 100
"""The library's own, of messages within each other."""


def parse(kind: Any, data: bytes) -> Any:
    """As ``kind.FromString``. ValueError, DecodeError.

    ValueError also for what no sender of ours writes and the library reads in ways of its own: the
    groups of old messages, and a large entry of a map that has more than a key and a value (the
    library leaves such an entry out of the map without a word, which would lose a write).
    """
    message = kind()
    _merge(message, memoryview(data), DEPTH_MAX)
    return message


def _merge(message: Any, data: memoryview, depth: int) -> None:
    if not depth:
        raise ValueError("too many messages within each other")
    end = len(data)
    fields = message.DESCRIPTOR.fields_by_number
    begin = at = 0
    while end - begin > PIECE_BYTES:
        start = at
        if start == end:
            break
        number, content, at = _field(data, start)
        field = fields.get(number)
        if at - start > PIECE_BYTES and field is not None and field.message_type is not None:
            message.MergeFromString(bytes(data[begin:start]))
            _merge_field(message, field, data[content:at], depth)
            begin = at
        elif at - begin >= PIECE_BYTES:
            message.MergeFromString(bytes(data[begin:at]))
            begin = at
    message.MergeFromString(bytes(data[begin:]))


def _merge_field(message: Any, field: Any, data: memoryview, depth: int) -> None:
    if field.message_type.GetOptions().map_entry:
        _merge_entry(getattr(message, field.name), field.message_type, data, depth)
    elif field.is_repeated:
        _merge(getattr(message, field.name).add(), data, depth - 1)
    else:
        inner = getattr(message, field.name)
        inner.SetInParent()
        _merge(inner, data, depth - 1)


def _merge_entry(entries: Any, kind: Any, data: memoryview, depth: int) -> None:
    """Of a map. Its value is cut, too, if it is a message."""
    value = kind.fields_by_name["value"]
    rest, values = bytearray(), list[memoryview]()
    at = 0
    while at < len(data):
        start = at
        number, content, at = _field(data, start)
        wire_type = data[start] & 7
        if number == value.number and value.message_type and wire_type == LENGTH_DELIMITED:
            values.append(data[content:at])
        else:
            rest += data[start:at]
    entry = kind._concrete_class()
    entry.MergeFromString(bytes(rest))
    if len(UnknownFieldSet(entry)):
        raise ValueError("an entry of a map has fields that are not known")
    if value.message_type is None:
        entries[entry.key] = entry.value
        return
    entries.pop(entry.key, None)  # the last one of a key is it
    inner = entries[entry.key]
    for one in values:
        _merge(inner, one, depth - 1)


def _field(data: memoryview, at: int) -> tuple[int, int, int]:
    """The number of the field that begins at ``at``, where its content begins, if that has a
    length, and where it ends."""
    tag, at = _varint(data, at)
    content = at
    match tag & 7:
        case 0:
            _, at = _varint(data, at)
        case 1:
            at += 8
        case 2:
            size, content = _varint(data, at)
            at = content + size
        case 5:
            at += 4
        case _:
            raise ValueError("a field of a kind that has no length")
    if at > len(data):
        raise ValueError("a field is cut off")
    return tag >> 3, content, at


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while shift < 64:
        if at == len(data):
            raise ValueError("a field is cut off")
        one = data[at]
        at += 1
        value |= (one & 0x7F) << shift
        if one < 0x80:
            return value, at
        shift += 7
    raise ValueError("a number of more than 64 bits")
