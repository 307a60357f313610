"""msgpack of many megabytes, read and written without a call into C that takes long. Pure.

The interpreter gives other threads their turn between two such calls only: one of seven megabytes,
full of tiny values, takes more than a second. What comes out is what ``msgpack`` would make of the
whole. Halves of surrogate pairs are text as any other.
"""

from __future__ import annotations

from itertools import islice
from struct import Struct
from typing import Any

import msgpack

from node.values.size import holds_more

WINDOW_BYTES = 64 * 1024
"""Read by one call; a text may have more."""
SLICE_VALUES = 4096
"""Written by one call."""

_SMALL_ARRAY_MAX = 15
"""Elements of an array whose head is one byte; up to 65 535 it is three."""

_HEADS = {
    0xC4: ("bytes", Struct(">B")),
    0xC5: ("bytes", Struct(">H")),
    0xC6: ("bytes", Struct(">I")),
    0xD9: ("text", Struct(">B")),
    0xDA: ("text", Struct(">H")),
    0xDB: ("text", Struct(">I")),
    0xDC: ("array", Struct(">H")),
    0xDD: ("array", Struct(">I")),
    0xDE: ("map", Struct(">H")),
    0xDF: ("map", Struct(">I")),
}
"""What may be larger than a window, by its first byte (msgpack's specification, "Formats"), and how
its size is written."""
_SMALL_ARRAYS, _SMALL_MAPS = range(0x90, 0xA0), range(0x80, 0x90)
"""First bytes that hold the size, too."""


def packb(value: Any) -> bytes:
    """TypeError, ValueError, OverflowError for what has no such form."""
    if not holds_more(value, SLICE_VALUES):
        return pack_few(value)
    parts: list[bytes] = []
    _write(value, parts)
    return b"".join(parts)


def unpackb(data: bytes) -> Any:
    """ValueError for what is no msgpack, or more than one value."""
    if len(data) <= WINDOW_BYTES:
        return msgpack.unpackb(
            data, raw=False, strict_map_key=False, unicode_errors="surrogatepass"
        )
    reader = _Reader(data)
    value = reader.next()
    if reader.at != len(data):
        raise ValueError("something stands behind the value")
    return value


def pack_few(value: Any) -> bytes:
    """As ``packb``, of what is known to hold no more than ``SLICE_VALUES``."""
    packed: bytes = _packer.pack(value)
    return packed


_packed = pack_few

_packer: Any = msgpack.Packer(use_bin_type=True, unicode_errors="surrogatepass")
"""To make one for each value, with its buffer of 256 KB, takes ten times as long as to pack a small
one. It packs in one go, so threads may share it, and begins anew after an error."""


def _write(value: Any, parts: list[bytes]) -> None:
    """Elements of lists together, as far as they are small."""
    if not holds_more(value, SLICE_VALUES):
        parts.append(_packed(value))
    elif type(value) is dict:
        parts.append(msgpack.Packer().pack_map_header(len(value)))
        for name, one in value.items():
            parts.append(_packed(name))
            _write(one, parts)
    elif type(value) is list:
        parts.append(msgpack.Packer().pack_array_header(len(value)))
        elements = iter(value)
        while some := list(islice(elements, 1 + SLICE_VALUES // 4)):
            if holds_more(some, SLICE_VALUES):
                for one in some:
                    _write(one, parts)
            else:
                parts.append(_packed(some)[1 if len(some) <= _SMALL_ARRAY_MAX else 3 :])
    else:
        parts.append(_packed(value))


class _Reader:
    """What ends within a window is read by C, each piece by a call of its own."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.at = 0
        """Behind what was read."""
        self._window_at = -1
        """Where the window begins."""
        self._unpacker: Any = None

    def next(self) -> Any:
        """The value that begins at ``at``."""
        if self._unpacker is not None:
            found, value = self._within()
            if found:
                return value
        if self._window_at != self.at:
            self._open()
            found, value = self._within()
            if found:
                return value
        self._unpacker = None
        return self._large()

    def _open(self) -> None:
        self._window_at = self.at
        self._unpacker = msgpack.Unpacker(
            raw=False, strict_map_key=False, unicode_errors="surrogatepass"
        )
        self._unpacker.feed(self._data[self.at : self.at + WINDOW_BYTES])

    def _within(self) -> tuple[bool, Any]:
        """False: it is not whole in this window, or wrong. Then the unpacker is of no more use: it
        stands in the middle of something."""
        try:
            value = self._unpacker.unpack()
        except (msgpack.OutOfData, ValueError):
            self._unpacker = None
            return False, None
        self.at = self._window_at + self._unpacker.tell()
        return True, value

    def _large(self) -> Any:
        kind, size = self._head()
        match kind:
            case "array":
                return [self.next() for _ in range(size)]
            case "map":
                return {self.next(): self.next() for _ in range(size)}
        end = self.at + size
        if end > len(self._data):
            raise ValueError("a text is cut off")
        content = self._data[self.at : end]
        self.at = end
        return content if kind == "bytes" else content.decode("utf-8", "surrogatepass")

    def _head(self) -> tuple[str, int]:
        """The kind of value that begins here, and how many elements or bytes it has."""
        if self.at == len(self._data):
            raise ValueError("the data are cut off")
        first = self._data[self.at]
        self.at += 1
        if first in _SMALL_ARRAYS:
            return "array", first - _SMALL_ARRAYS.start
        if first in _SMALL_MAPS:
            return "map", first - _SMALL_MAPS.start
        kind, form = _HEADS.get(first, ("", None))
        if form is None or self.at + form.size > len(self._data):
            raise ValueError("a value is cut off, or of no kind that is known here")
        (size,) = form.unpack_from(self._data, self.at)
        self.at += form.size
        return kind, size
