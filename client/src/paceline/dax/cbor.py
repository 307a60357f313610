"""CBOR (RFC 8949) as far as DAX uses it: docs/dax-protocol.md section 1.

Strings have a definite length on the wire; arrays and maps may be indefinite. ``Reader`` reads
one value at a time from a buffer; ``Scanner`` finds the end of values without reading them and
goes on where it stopped when more bytes have come.
"""

import struct

from paceline.dax.cbor_scanner import (
    DEPTH_MAX,
    ELEMENTS_MAX,
    STRING_BYTES_MAX,
    Scanner,
    check_string,
)
from paceline.dax.cbor_types import (
    ARRAY,
    BREAK_BYTE,
    BYTES,
    FALSE_BYTE,
    MAP,
    NINT,
    NULL_BYTE,
    SIMPLE,
    TAG,
    TAG_BINARY_SET,
    TAG_DECIMAL,
    TAG_NEGATIVE_BIGNUM,
    TAG_NUMBER_SET,
    TAG_PATH_INDEX,
    TAG_POSITIVE_BIGNUM,
    TAG_STRING_SET,
    TEXT,
    TRUE_BYTE,
    UINT,
    Buffer,
)
from paceline.dax.cbor_writers import (
    write_array,
    write_bool,
    write_break,
    write_bytes,
    write_bytes_or_null,
    write_float64,
    write_head,
    write_int,
    write_map,
    write_map_indefinite,
    write_null,
    write_tag,
    write_text,
    write_text_or_null,
)
from paceline.errors import ProtocolError

__all__ = [
    "ARRAY",
    "BIGNUM_BYTES_MAX",
    "BREAK_BYTE",
    "BYTES",
    "DEPTH_MAX",
    "ELEMENTS_MAX",
    "FALSE_BYTE",
    "MAP",
    "NINT",
    "NULL_BYTE",
    "SIMPLE",
    "STRING_BYTES_MAX",
    "TAG",
    "TAG_BINARY_SET",
    "TAG_DECIMAL",
    "TAG_NEGATIVE_BIGNUM",
    "TAG_NUMBER_SET",
    "TAG_PATH_INDEX",
    "TAG_POSITIVE_BIGNUM",
    "TAG_STRING_SET",
    "TEXT",
    "TRUE_BYTE",
    "UINT",
    "Buffer",
    "Incomplete",
    "Reader",
    "Scanner",
    "write_array",
    "write_bool",
    "write_break",
    "write_bytes",
    "write_bytes_or_null",
    "write_float64",
    "write_head",
    "write_int",
    "write_map",
    "write_map_indefinite",
    "write_null",
    "write_tag",
    "write_text",
    "write_text_or_null",
]

BIGNUM_BYTES_MAX = 256
"""Magnitude of a big integer, about 600 digits. DynamoDB's numbers have 38; longer ones must
still reach it, to be refused in its own words, but conversion to decimal is quadratic."""

_UINT16 = struct.Struct(">H").unpack_from
_UINT32 = struct.Struct(">I").unpack_from
_UINT64 = struct.Struct(">Q").unpack_from
_FLOAT16 = struct.Struct(">e").unpack_from
_FLOAT32 = struct.Struct(">f").unpack_from
_FLOAT64 = struct.Struct(">d").unpack_from

_MAJOR_NAMES = (
    "an unsigned integer",
    "a negative integer",
    "a byte string",
    "a text string",
    "an array",
    "a map",
    "a tag",
    "a simple value",
)


class Incomplete(ProtocolError):
    """The buffer ends inside a value.

    For a stream this means "wait for more bytes"; for a string that should hold a whole value it
    is an error like any other, which is why it is a ProtocolError.
    """

    def __init__(self) -> None:
        super().__init__("the data ends in the middle of a value")


class Reader:
    """Reads values from ``buf[pos:end]``; ``pos`` stands behind the last value that was read.

    After an exception ``pos`` is undefined. ``Incomplete`` when the bytes end too early,
    ``ProtocolError`` when they are not what was asked for.
    """

    __slots__ = ("buf", "end", "pos")

    def __init__(self, buf: Buffer, pos: int = 0, end: int | None = None) -> None:
        self.buf = buf
        self.pos = pos
        self.end = len(buf) if end is None else end

    # -- looking ahead ----------------------------------------------------------------------

    def done(self) -> bool:
        return self.pos >= self.end

    def peek_byte(self) -> int:
        """The next value's first byte."""
        if self.pos >= self.end:
            raise Incomplete
        return self.buf[self.pos]

    def peek_major(self) -> int:
        return self.peek_byte() >> 5

    def is_null(self) -> bool:
        return self.peek_byte() == NULL_BYTE

    def at_break(self) -> bool:
        """Whether an indefinite array or map ends here; if so, steps over the break."""
        if self.peek_byte() != BREAK_BYTE:
            return False
        self.pos += 1
        return True

    def expect_done(self, what: str) -> None:
        if self.pos < self.end:
            raise ProtocolError(f"{self.end - self.pos} surplus bytes after {what}")

    # -- heads ------------------------------------------------------------------------------

    def _argument(self, major: int) -> int:
        """The argument of a head of type ``major``; -1 for an indefinite length."""
        pos = self.pos
        end = self.end
        if pos >= end:
            raise Incomplete
        head = self.buf[pos]
        if head >> 5 != major:
            raise ProtocolError(f"expected {_MAJOR_NAMES[major]}, got {_describe(head)}")
        info = head & 31
        if info < 24:
            self.pos = pos + 1
            return info
        if info == 24:
            if pos + 2 > end:
                raise Incomplete
            self.pos = pos + 2
            return self.buf[pos + 1]
        if info == 25:
            if pos + 3 > end:
                raise Incomplete
            self.pos = pos + 3
            return int(_UINT16(self.buf, pos + 1)[0])
        if info == 26:
            if pos + 5 > end:
                raise Incomplete
            self.pos = pos + 5
            return int(_UINT32(self.buf, pos + 1)[0])
        if info == 27:
            if pos + 9 > end:
                raise Incomplete
            self.pos = pos + 9
            return int(_UINT64(self.buf, pos + 1)[0])
        if info == 31 and major in (ARRAY, MAP):
            self.pos = pos + 1
            return -1
        raise ProtocolError(f"malformed head {head:#04x} of {_MAJOR_NAMES[major]}")

    # -- values -----------------------------------------------------------------------------

    def read_int(self) -> int:
        """An integer of any size, big integers (tags 2 and 3) included."""
        head = self.peek_byte()
        major = head >> 5
        if major == UINT:
            return self._argument(UINT)
        if major == NINT:
            return -1 - self._argument(NINT)
        if major != TAG:
            raise ProtocolError(f"expected an integer, got {_describe(head)}")
        tag = self._argument(TAG)
        if tag == TAG_POSITIVE_BIGNUM:
            return int.from_bytes(self._read_magnitude(), "big")
        if tag == TAG_NEGATIVE_BIGNUM:
            return -1 - int.from_bytes(self._read_magnitude(), "big")
        raise ProtocolError(f"expected an integer, got tag {tag}")

    def _read_magnitude(self) -> bytes:
        magnitude = self.read_bytes()
        if len(magnitude) > BIGNUM_BYTES_MAX:
            raise ProtocolError(
                f"an integer of {len(magnitude)} bytes; at most {BIGNUM_BYTES_MAX} are accepted"
            )
        return magnitude

    def read_bytes(self) -> bytes:
        length = self._argument(BYTES)
        start = self.pos
        stop = start + length
        if stop > self.end:
            check_string(length)
            raise Incomplete
        self.pos = stop
        return bytes(self.buf[start:stop])

    def read_text(self) -> str:
        length = self._argument(TEXT)
        start = self.pos
        stop = start + length
        if stop > self.end:
            check_string(length)
            raise Incomplete
        self.pos = stop
        try:
            return str(self.buf[start:stop], "utf-8")
        except UnicodeDecodeError as error:
            raise ProtocolError(f"a text string is not UTF-8: {error}") from None

    def read_array(self) -> int:
        """The number of elements; -1 when it is indefinite (then ask ``at_break``)."""
        return self._checked_count(self._argument(ARRAY))

    def read_map(self) -> int:
        """The number of entries; -1 when it is indefinite (then ask ``at_break``)."""
        return self._checked_count(self._argument(MAP))

    def _checked_count(self, count: int) -> int:
        if count > ELEMENTS_MAX:
            raise ProtocolError(f"a container of {count} elements is too large")
        return count

    def more(self, done: int, count: int) -> bool:
        """Whether element ``done`` of a container of ``count`` (-1: indefinite) follows."""
        return not self.at_break() if count < 0 else done < count

    def read_tag(self) -> int:
        return self._argument(TAG)

    def read_bool(self) -> bool:
        head = self.peek_byte()
        if head not in (TRUE_BYTE, FALSE_BYTE):
            raise ProtocolError(f"expected a boolean, got {_describe(head)}")
        self.pos += 1
        return head == TRUE_BYTE

    def read_null(self) -> None:
        if not self.is_null():
            raise ProtocolError(f"expected null, got {_describe(self.peek_byte())}")
        self.pos += 1

    def read_text_or_null(self) -> str | None:
        if self.is_null():
            self.pos += 1
            return None
        return self.read_text()

    def read_bytes_or_null(self) -> bytes | None:
        if self.is_null():
            self.pos += 1
            return None
        return self.read_bytes()

    def read_int_or_null(self) -> int | None:
        if self.is_null():
            self.pos += 1
            return None
        return self.read_int()

    def read_float(self) -> float:
        """A float of any width, or an integer, as a float."""
        head = self.peek_byte()
        pos = self.pos + 1
        if head == 0xFB:
            self._advance(9)
            return float(_FLOAT64(self.buf, pos)[0])
        if head == 0xFA:
            self._advance(5)
            return float(_FLOAT32(self.buf, pos)[0])
        if head == 0xF9:
            self._advance(3)
            return float(_FLOAT16(self.buf, pos)[0])
        value = self.read_int()
        try:
            return float(value)
        except OverflowError:
            raise ProtocolError("an integer is too large for a float") from None

    def _advance(self, size: int) -> None:
        if self.pos + size > self.end:
            raise Incomplete
        self.pos += size

    def skip(self) -> None:
        """Steps over one value of any kind."""
        scanner = Scanner(self.pos, 1)
        if not scanner.scan(self.buf, self.end):
            raise Incomplete
        self.pos = scanner.pos

    def read_raw(self) -> bytes:
        """The bytes of one value of any kind, its head included."""
        start = self.pos
        self.skip()
        return bytes(self.buf[start : self.pos])


def _describe(head: int) -> str:
    if head == NULL_BYTE:
        return "null"
    if head in (TRUE_BYTE, FALSE_BYTE):
        return "a boolean"
    if head == BREAK_BYTE:
        return "a break"
    return _MAJOR_NAMES[head >> 5]
