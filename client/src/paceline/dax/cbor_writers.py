"""Writers of CBOR: each appends one value, or a value's head, to ``out`` in its shortest form."""

import struct

from paceline.dax.cbor_types import (
    ARRAY,
    BREAK_BYTE,
    BYTES,
    FALSE_BYTE,
    MAP,
    NINT,
    NULL_BYTE,
    TAG,
    TAG_NEGATIVE_BIGNUM,
    TAG_POSITIVE_BIGNUM,
    TEXT,
    TRUE_BYTE,
    UINT,
    Buffer,
)

_LONG_TEXT = struct.Struct(">BH")
_LONG_TEXT_HEAD = TEXT << 5 | 25


def write_head(out: bytearray, major: int, argument: int) -> None:
    top = major << 5
    if argument < 24:
        out.append(top | argument)
    elif argument < 0x100:
        out.append(top | 24)
        out.append(argument)
    elif argument < 0x10000:
        out.append(top | 25)
        out += argument.to_bytes(2, "big")
    elif argument < 0x100000000:
        out.append(top | 26)
        out += argument.to_bytes(4, "big")
    else:
        out.append(top | 27)
        out += argument.to_bytes(8, "big")


def write_int(out: bytearray, n: int) -> None:
    """An integer; beyond 64 bits as a big integer."""
    if n >= 0:
        if n < 1 << 64:
            write_head(out, UINT, n)
        else:
            out.append(0xC0 | TAG_POSITIVE_BIGNUM)
            write_bytes(out, n.to_bytes((n.bit_length() + 7) // 8, "big"))
        return
    n = -1 - n
    if n < 1 << 64:
        write_head(out, NINT, n)
    else:
        out.append(0xC0 | TAG_NEGATIVE_BIGNUM)
        write_bytes(out, n.to_bytes((n.bit_length() + 7) // 8, "big"))


def write_bytes(out: bytearray, data: Buffer) -> None:
    write_head(out, BYTES, len(data))
    out += data


def write_text(out: bytearray, text: str) -> None:
    data = text.encode()
    size = len(data)
    if size < 24:  # as ``write_head`` does, at once: most of what is written is text
        out.append(TEXT << 5 | size)
    elif 0x100 <= size < 0x10000:
        out += _LONG_TEXT.pack(_LONG_TEXT_HEAD, size)
    else:
        write_head(out, TEXT, size)
    out += data


def write_text_or_null(out: bytearray, text: str | None) -> None:
    if text is None:
        write_null(out)
    else:
        write_text(out, text)


def write_bytes_or_null(out: bytearray, data: Buffer | None) -> None:
    if data is None:
        write_null(out)
    else:
        write_bytes(out, data)


def write_array(out: bytearray, n: int) -> None:
    write_head(out, ARRAY, n)


def write_map(out: bytearray, n: int) -> None:
    write_head(out, MAP, n)


def write_map_indefinite(out: bytearray) -> None:
    out.append(0xBF)


def open_map(out: bytearray, n: int, *, indefinite: bool) -> None:
    """A map's beginning in either form; ``close_map`` ends it."""
    if indefinite:
        write_map_indefinite(out)
    else:
        write_map(out, n)


def close_map(out: bytearray, *, indefinite: bool) -> None:
    if indefinite:
        write_break(out)


def write_break(out: bytearray) -> None:
    out.append(BREAK_BYTE)


def write_null(out: bytearray) -> None:
    out.append(NULL_BYTE)


def write_bool(out: bytearray, value: bool) -> None:
    out.append(TRUE_BYTE if value else FALSE_BYTE)


def write_float64(out: bytearray, value: float) -> None:
    out.append(0xFB)
    out += struct.pack(">d", value)


def write_tag(out: bytearray, tag: int) -> None:
    write_head(out, TAG, tag)
