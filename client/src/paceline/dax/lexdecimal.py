"""Lexicographic decimals, the form of number range keys: docs/dax-protocol.md section 5.2.

A number becomes bytes whose unsigned order is the order of the numbers. It is written as
``0.D x 10^e``: a header that orders sign and ``e``, then the digits in groups of three, ten bits
each, and a terminator that tells how many digits the last group has.
"""

from functools import lru_cache
from typing import Final

from paceline.dax.numbers import DIGITS_MAX, normalize, split
from paceline.errors import ProtocolError

BYTES_MAX = 1024
"""DynamoDB's limit for a range key."""

MEMO_ENTRIES: Final = 1024
"""The most numbers whose bytes are kept: a hot item's key comes at every request."""

_ZERO: Final = 0x80
_NEGATIVE_ZERO: Final = 0x7F
_SHORT_EXPONENTS: Final = range(-62, 62)

# Headers before a four-byte exponent: (exponent >= 62, exponent < -62).
_POSITIVE_LONG: Final = (0xFE, 0x81)
_NEGATIVE_LONG: Final = (0x01, 0x7E)
_POSITIVE_FLIP: Final = 0x80000000
_NEGATIVE_FLIP: Final = 0x7FFFFFFF


def encode_lexdecimal(text: str) -> bytes:
    """The canonical bytes of a number (trailing zeros removed); ValueError when it is none."""
    return _memoized(text) if len(text) <= DIGITS_MAX else _encode(*split(text))


@lru_cache(MEMO_ENTRIES)
def _memoized(text: str) -> bytes:
    return _encode(*split(text))


def encode_spelled_lexdecimal(text: str) -> bytes:
    """The bytes from which AWS's clients get DynamoDB's own text; ValueError when it is no number.

    Their decoders show ``10`` without its zero as ``1E+1``. Integers of more than 38 digits go
    without: some of the clients can read no more, and raise.
    """
    negative, digits, exponent = split(text)
    if 0 < exponent <= DIGITS_MAX - len(digits):
        return _encode(negative, digits + "0" * exponent, 0)
    return _encode(negative, digits, exponent)


def _encode(negative: bool, digits: str, exponent: int) -> bytes:
    if digits == "0":
        return bytes((_ZERO,))
    return _header(negative, exponent + len(digits)) + _significand(negative, digits)


def _header(negative: bool, e: int) -> bytes:
    if e in _SHORT_EXPONENTS:
        return bytes((0x3F - e if negative else 0xC0 + e,))
    long = _NEGATIVE_LONG if negative else _POSITIVE_LONG
    flip = _NEGATIVE_FLIP if negative else _POSITIVE_FLIP
    return bytes((long[0] if e > 0 else long[1],)) + ((e & 0xFFFFFFFF) ^ flip).to_bytes(4, "big")


def _significand(negative: bool, digits: str) -> bytes:
    padding = -len(digits) % 3
    padded = digits + "0" * padding
    groups = [int(padded[i : i + 3]) + 12 for i in range(0, len(padded), 3)]
    # 0, 1 or 2 digits padded give the terminator 2, 1 or 0.
    groups.append(2 - padding)
    bits = 0
    for group in groups:
        bits = bits << 10 | (1023 - group if negative else group)
    size = 10 * len(groups)
    bits <<= -size % 8
    return bits.to_bytes((size + 7) // 8, "big")


def decode_lexdecimal(data: bytes) -> str:
    """The canonical text of a number; ProtocolError when ``data`` is no lexicographic decimal."""
    if not data or len(data) > BYTES_MAX:
        raise ProtocolError(f"a number range key of {len(data)} bytes")
    header = data[0]
    if header in (_ZERO, _NEGATIVE_ZERO):
        if len(data) > 1:
            raise ProtocolError("surplus bytes after a number range key of zero")
        return "0"
    if header in (0x00, 0xFF):
        raise ProtocolError("a number range key is null")
    negative = header < 0x80
    if header in _NEGATIVE_LONG or header in _POSITIVE_LONG:
        if len(data) < 5:
            raise ProtocolError("a number range key ends in its exponent")
        raw = int.from_bytes(data[1:5], "big") ^ (_NEGATIVE_FLIP if negative else _POSITIVE_FLIP)
        e = raw - (1 << 32) if raw & 0x80000000 else raw
        digits = _read_digits(negative, data[5:])
    else:
        e = 0x3F - header if negative else header - 0xC0
        digits = _read_digits(negative, data[1:])
    try:
        return normalize(f"{'-' if negative else ''}0.{digits}E{e}")
    except ValueError as error:
        raise ProtocolError(str(error)) from None


def _read_digits(negative: bool, data: bytes) -> str:
    groups: list[str] = []
    bits = int.from_bytes(data, "big")
    size = 8 * len(data)
    for shift in range(size - 10, -1, -10):
        group = bits >> shift & 1023
        if negative:
            group = 1023 - group
        if group <= 2:
            if shift >= 8 or bits & ((1 << shift) - 1) or not groups:
                raise ProtocolError("malformed end of a number range key")
            digits = "".join(groups)
            dropped = 2 - group
            return digits[:-dropped] if dropped else digits
        if not 12 <= group <= 1011:
            raise ProtocolError("malformed digits in a number range key")
        groups.append(f"{group - 12:03d}")
    raise ProtocolError("a number range key has no end")
