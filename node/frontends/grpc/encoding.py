"""Answers of very many values as bytes, written without a call into C that takes long. Pure.

The library would write 16 MB of tiny values by one call, in which no other thread has its turn, and
only behind messages for all of them. Here none is made of more than a slice: what stands in a
message may be written in pieces one after the other, those of a list, too.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from itertools import islice
from typing import Any

from google.protobuf.message_factory import GetMessageClass

from cluster.transport.protobuf_wire import head
from node.frontends.grpc.messages import VALUE, fill_field, fill_message, wrapped
from node.values.size import holds_more

SLICE_VALUES = 4096
"""Written by one call."""


def encode(kind: Any, value: Any) -> bytes:
    """The bytes of a message of ``kind``, filled as ``messages.fill_message`` does; ValueError and
    the like where it does."""
    parts: list[bytes] = []
    _write(kind.DESCRIPTOR, value, parts)
    return b"".join(parts)


def _write(kind: Any, value: Any, parts: list[bytes]) -> int:
    """Appends the bytes to ``parts``; their number."""
    if not holds_more(value, SLICE_VALUES):
        message = _class(kind)()
        fill_message(message, value)
        return _append(parts, message)
    if kind is VALUE and "L" not in value and "M" not in value:
        message = _class(kind)()  # a set, whose elements are no messages, or a long text
        fill_message(message, value)
        return _append(parts, message)
    fields = wrapped(kind, value)
    return sum(_write_field(kind, field, content, parts) for field, content in fields)


def _write_field(kind: Any, field: Any, content: Any, parts: list[bytes]) -> int:
    inner = field.message_type
    if inner is not None and not field.is_repeated:
        return _write_inner(field.number, inner, content, parts)
    if inner is None or not holds_more(content, SLICE_VALUES):
        message = _class(kind)()
        fill_field(message, field, content)
        return _append(parts, message)
    if inner.GetOptions().map_entry:
        entries = content.items()
        return sum(_write_entry(kind, field, key, inner, parts) for key, inner in entries)
    return sum(_write_some(kind, field, some, parts) for some in _slices(content))


def _write_entry(kind: Any, field: Any, key: Any, content: Any, parts: list[bytes]) -> int:
    """Of a map. It is a message with the key and the value."""
    if not holds_more(content, SLICE_VALUES):
        message = _class(kind)()
        fill_field(message, field, {key: content})
        return _append(parts, message)
    entry = field.message_type
    first = _class(entry)()
    first.key = key
    value = entry.fields_by_name["value"]
    place = len(parts)
    parts.append(b"")
    size = _append(parts, first) + _write_inner(value.number, value.message_type, content, parts)
    parts[place] = head(field.number, size)
    return len(parts[place]) + size


def _write_some(kind: Any, field: Any, some: list[Any], parts: list[bytes]) -> int:
    if not holds_more(some, SLICE_VALUES):
        message = _class(kind)()
        fill_field(message, field, some)
        return _append(parts, message)
    return sum(_write_inner(field.number, field.message_type, one, parts) for one in some)


def _write_inner(number: int, kind: Any, content: Any, parts: list[bytes]) -> int:
    """A message within one, behind its number and size."""
    place = len(parts)
    parts.append(b"")
    size = _write(kind, content, parts)
    parts[place] = head(number, size)
    return len(parts[place]) + size


def _slices(content: list[Any]) -> Iterator[list[Any]]:
    elements = iter(content)
    while some := list(islice(elements, 1 + SLICE_VALUES // 4)):
        yield some


def _append(parts: list[bytes], message: Any) -> int:
    data: bytes = message.SerializeToString()
    parts.append(data)
    return len(data)


@lru_cache(maxsize=64)
def _class(kind: Any) -> Any:
    return GetMessageClass(kind)
