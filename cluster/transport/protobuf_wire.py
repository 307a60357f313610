"""The wire format of protobuf, as far as it is written by hand (protobuf.dev, "Encoding"). Pure."""

from __future__ import annotations

LENGTH_DELIMITED = 2
"""The wire type of texts, bytes and messages."""


def head(number: int, size: int) -> bytes:
    """Returns what stands before a text or message of ``size`` bytes, as field ``number``."""
    return varint(number << 3 | LENGTH_DELIMITED) + varint(size)


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
