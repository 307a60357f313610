"""CBOR as smithy's RPC v2 has it (RFC 8949, https://smithy.io/2.0/additional-specs/protocols/
smithy-rpc-v2.html). Pure.

A time is read as seconds since the epoch; what is written as one is a ``Timestamp``.
"""

from __future__ import annotations

import struct
from typing import Any, Final

DEPTH_MAX: Final = 32
_UINT, _NINT, _BYTES, _TEXT, _ARRAY, _MAP, _TAG, _SIMPLE = range(8)
_INDEFINITE: Final = 31
_BREAK: Final = object()
_TIME: Final = 1
_FLOATS: Final = {25: (">e", 2), 26: (">f", 4), 27: (">d", 8)}
_VALUES: Final = {20: False, 21: True, 22: None, 23: None}


class Timestamp(float):
    """Seconds since the epoch."""


class BadCbor(Exception):
    """The bytes are no value."""


def loads(data: bytes) -> Any:
    """BadCbor for what is not one value, whole and alone."""
    reader = _Reader(data)
    value = reader.value(0)
    if value is _BREAK or reader.at != len(data):
        raise BadCbor("there is more, or less, than one value")
    return value


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self.at = 0

    def _take(self, count: int) -> bytes:
        end = self.at + count
        if end > len(self._data):
            raise BadCbor("it ends too early")
        taken = self._data[self.at : end]
        self.at = end
        return taken

    def value(self, depth: int) -> Any:
        if depth > DEPTH_MAX:
            raise BadCbor("it is nested too deep")
        head = self._take(1)[0]
        major, more = head >> 5, head & 31
        if major == _SIMPLE:
            return self._simple(more)
        if more == _INDEFINITE:
            return self._indefinite(major, depth)
        count = self._count(more)
        match major:
            case 0:
                return count
            case 1:
                return -1 - count
            case 2:
                return self._take(count)
            case 3:
                return _text(self._take(count))
            case 4:
                return [self._element(depth) for _ in range(self._at_most(count))]
            case 5:
                return dict(self._member(depth) for _ in range(self._at_most(count)))
        value = self._element(depth)
        if count != _TIME:
            raise BadCbor(f"tag {count} means nothing here")
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise BadCbor("a time is no number")
        return Timestamp(value)

    def _count(self, more: int) -> int:
        if more < 24:
            return more
        if more > 27:
            raise BadCbor("a length has no such form")
        return int.from_bytes(self._take(1 << (more - 24)), "big")

    def _at_most(self, count: int) -> int:
        """Each element has a byte at least."""
        if count > len(self._data) - self.at:
            raise BadCbor("it ends too early")
        return count

    def _simple(self, more: int) -> Any:
        if more in _VALUES:
            return _VALUES[more]
        if more in _FLOATS:
            form, size = _FLOATS[more]
            return struct.unpack(form, self._take(size))[0]
        if more == _INDEFINITE:
            return _BREAK
        raise BadCbor(f"simple value {more} means nothing here")

    def _element(self, depth: int) -> Any:
        value = self.value(depth + 1)
        if value is _BREAK:
            raise BadCbor("an end stands where there has to be a value")
        return value

    def _member(self, depth: int) -> tuple[str, Any]:
        key = self._element(depth)
        if not isinstance(key, str):
            raise BadCbor("the name of a member is no text")
        return key, self._element(depth)

    def _indefinite(self, major: int, depth: int) -> Any:
        parts = []
        while (one := self.value(depth + 1)) is not _BREAK:
            parts.append(one)
        if major == _ARRAY:
            return parts
        if major == _MAP:
            if len(parts) % 2 or not all(isinstance(key, str) for key in parts[::2]):
                raise BadCbor("the names of members are no texts")
            return dict(zip(parts[::2], parts[1::2], strict=True))
        kind = {_BYTES: bytes, _TEXT: str}.get(major)
        if kind is None or not all(isinstance(one, kind) for one in parts):
            raise BadCbor("a string has other parts than strings")
        return kind().join(parts)


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise BadCbor("a text is not in UTF-8") from None


def dumps(value: Any) -> bytes:
    out = bytearray()
    _write(out, value)
    return bytes(out)


def _write(out: bytearray, value: Any) -> None:
    if value is None or isinstance(value, bool):
        out.append({None: 0xF6, True: 0xF5, False: 0xF4}[value])
    elif isinstance(value, Timestamp):
        out.append(_TAG << 5 | _TIME)
        _write(out, int(value) if float(value).is_integer() else float(value))
    elif isinstance(value, int):
        _head(out, _UINT if value >= 0 else _NINT, value if value >= 0 else -1 - value)
    elif isinstance(value, float):
        out += b"\xfb" + struct.pack(">d", value)
    elif isinstance(value, str):
        data = value.encode("utf-8", "replace")
        _head(out, _TEXT, len(data))
        out += data
    elif isinstance(value, dict):
        _head(out, _MAP, len(value))
        for key, one in value.items():
            _write(out, key)
            _write(out, one)
    else:
        _head(out, _ARRAY, len(value))
        for one in value:
            _write(out, one)


def _head(out: bytearray, major: int, count: int) -> None:
    if count < 24:
        out.append(major << 5 | count)
        return
    for more, size in ((24, 1), (25, 2), (26, 4), (27, 8)):
        if count < 1 << 8 * size:
            out.append(major << 5 | more)
            out += count.to_bytes(size, "big")
            return
    raise ValueError(f"{count} has no form of 64 bits")
