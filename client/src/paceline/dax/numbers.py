"""DynamoDB numbers as text and as CBOR: docs/dax-protocol.md section 1.2.

A number is text everywhere outside the codec, since 38 digits fit no binary type. Its canonical
text is DynamoDB's own: plain notation, no superfluous zeros, ``-0`` is ``0``.
"""

import re

from paceline.dax.cbor import (
    TAG_DECIMAL,
    Reader,
    write_array,
    write_int,
    write_tag,
)
from paceline.errors import ProtocolError

DIGITS_MAX = 38
"""Significant digits of a DynamoDB number."""

MAGNITUDE_MIN, MAGNITUDE_MAX = -130, 125
"""Exponent of the first digit: DynamoDB's numbers lie between 1E-130 and 9.99E+125. Numbers
outside keep an exponent in their text: DynamoDB refuses them, and written out they would be as
long as a sender likes."""

DIGITS_READ_MAX = 1024
"""The most digits that are read of one number, zeros at either end apart. More than DynamoDB takes,
and few enough to convert cheaply."""

EXPONENT_MAX = 2**31 - 2
"""Absolute value of an exponent: what range keys have room for, far beyond DynamoDB's numbers."""

# Possessive, or digits before what is no digit are shared out in every way, in quadratic time.
_NUMBER = re.compile(r"[+-]?(?:\d++\.?\d*+|\.\d++)(?:[eE][+-]?0*\d{1,10})?", re.ASCII)
_SMALL_INTEGER = re.compile(r"0|-?[1-9]\d{0,17}", re.ASCII)


def normalize(text: str) -> str:
    """The canonical text of a number: ``1.50`` is ``1.5``, ``1E+2`` is ``100``.

    ValueError when ``text`` is no decimal number. Digits beyond 38 and magnitudes beyond
    DynamoDB's are kept: to refuse them is DynamoDB's part.
    """
    if _SMALL_INTEGER.fullmatch(text):
        return text
    negative, digits, exponent = split(text)
    return _join(negative, digits, exponent)


def split(text: str) -> tuple[bool, str, int]:
    """(negative, digits, exponent) with value = digits x 10^exponent.

    No zeros at either end of the digits; zero is (False, "0", 0).
    """
    if not _NUMBER.fullmatch(text):
        raise ValueError(f"not a number: {text[:64]!r}")
    negative = text[0] == "-"
    mantissa, _, exponent_text = text.lstrip("+-").lower().partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = (whole + fraction).lstrip("0")
    if not digits:
        return False, "0", 0
    stripped = digits.rstrip("0")
    if len(stripped) > DIGITS_READ_MAX:
        raise ValueError(f"not a number: {text[:64]!r}")
    exponent = _integer(exponent_text) - len(fraction)
    if abs(exponent) + len(digits) > EXPONENT_MAX:
        raise ValueError(f"a number's exponent is out of range: {text[:64]!r}")
    return negative, stripped, exponent + len(digits) - len(stripped)


def _integer(text: str) -> int:
    """Converts digits. ``int`` takes no more than some thousand, leading zeros included."""
    digits = text.lstrip("+-").lstrip("0")
    return int(digits or "0") * (-1 if text.startswith("-") else 1)


def _join(negative: bool, digits: str, exponent: int) -> str:
    sign = "-" if negative else ""
    magnitude = exponent + len(digits) - 1
    if not MAGNITUDE_MIN <= magnitude <= MAGNITUDE_MAX:
        point = f".{digits[1:]}" if len(digits) > 1 else ""
        return f"{sign}{digits[0]}{point}E{magnitude:+d}"
    if exponent >= 0:
        return sign + digits + "0" * exponent
    if magnitude >= 0:
        return f"{sign}{digits[:exponent]}.{digits[exponent:]}"
    return f"{sign}0.{'0' * (-magnitude - 1)}{digits}"


def write_number(out: bytearray, text: str) -> None:
    """Appends a number in the form that gives the plainest text in every client.

    Integers below 2^64 as CBOR integers, other integers of at most 38 digits as decimals with
    exponent 0, the rest as decimals without trailing zeros; never a float, which Go cannot read.
    ValueError when ``text`` is no number.
    """
    if _SMALL_INTEGER.fullmatch(text):
        write_int(out, int(text))
        return
    negative, digits, exponent = split(text)
    mantissa = int(digits)
    if exponent >= 0 and len(digits) + exponent <= DIGITS_MAX:
        mantissa *= 10**exponent
        exponent = 0
    if negative:
        mantissa = -mantissa
    if exponent or abs(mantissa) >= 1 << 64:
        write_tag(out, TAG_DECIMAL)
        write_array(out, 2)
        write_int(out, exponent)
    write_int(out, mantissa)


def read_number(reader: Reader) -> str:
    """Reads an integer, big integer, decimal or float64 as canonical text."""
    head = reader.peek_byte()
    if head < 0x40:
        return str(reader.read_int())
    if head in (0xF9, 0xFA, 0xFB):
        # A double stands for the number that its shortest round-trip text names (JS sends it so).
        return _canonical(repr(reader.read_float()))
    if head != 0xC0 | TAG_DECIMAL:
        return _canonical(str(reader.read_int()))
    reader.read_tag()
    if reader.read_array() != 2:
        raise ProtocolError("a decimal is an array of exponent and mantissa")
    exponent = reader.read_int()
    mantissa = reader.read_int()
    if abs(exponent) > EXPONENT_MAX:
        raise ProtocolError(f"a decimal's exponent of {exponent} is out of range")
    return _canonical(f"{mantissa}E{exponent}")


def _canonical(text: str) -> str:
    try:
        return normalize(text)
    except ValueError as error:
        raise ProtocolError(str(error)) from None
