"""Counts the values of a JSON document without parsing it. Pure."""

from __future__ import annotations

import re

_BODY_BYTES_MAX = 16 * 1024 * 1024
"""The largest body of a request to DynamoDB."""

_MARKS_MAX = 2
"""Characters that a value has, of those that are counted: in DynamoDB's JSON a brace and a comma;
elements of sets have only one."""

VALUES_MAX = _BODY_BYTES_MAX // 3 // _MARKS_MAX
"""Values of one request. Nothing that DynamoDB takes has more than one counted character for three
bytes, which is what a list of empty lists has: ``{"L":[]},``."""

_ROUGHLY_MAX = 256 * 1024
"""Counted characters from which on it matters which of them stand in texts."""

_STEP = 1024 * 1024
"""The bytes counted in one go, which nothing can interrupt: under a millisecond."""

_BACKSLASH = ord("\\")
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)
"""Possessive, and without need of an end: each character is looked at once, whatever comes."""


TEXT_BYTES_MAX = 4 * 1024 * 1024
"""Of one text, as it is written. Items of DynamoDB's have 400 KB, of which each byte may be written
as six (``\\u0001``), and statements have 8 KB."""


class TextTooLong(ValueError):
    """The document has a text that is too long to be copied by one call."""

    def __init__(self) -> None:
        super().__init__(
            f"The request holds a text of more than {TEXT_BYTES_MAX} bytes; DynamoDB takes none"
        )


def value_count(body: bytes, values_max: int = VALUES_MAX) -> int | None:
    """About how many values ``body`` holds, and never less than half of its objects, arrays,
    members and elements; None: more than ``values_max``. What is no JSON is counted in some way,
    in no more time.

    First all characters that could begin or end a value; only if these are too many, those outside
    of strings: a text may have any number of commas. TextTooLong.
    """
    if len(body) > TEXT_BYTES_MAX and _has_long_text(body):
        raise TextTooLong
    return _counted(body, values_max)


def values_in(body: bytes) -> int:
    """As ``value_count`` without a bound, of an answer."""
    return _counted(body, len(body)) or 0


def _counted(body: bytes, values_max: int) -> int | None:
    marks_max = _MARKS_MAX * values_max
    marks = 0
    for start in range(0, len(body), _STEP):
        marks += _marks(body, start, start + _STEP)
        if marks > min(marks_max, _ROUGHLY_MAX):
            return _outside_of_strings(body, marks_max)
    return -(-marks // _MARKS_MAX)


def _has_long_text(body: bytes) -> bool:
    """Whether so many bytes without the beginning or end of a text stand behind a beginning."""
    at = 0
    while len(body) - at > TEXT_BYTES_MAX:
        stop = at + TEXT_BYTES_MAX
        while True:
            quote = body.rfind(b'"', at, stop)
            if quote < at:
                if _begins(body, at - 1):
                    return True
                quote = body.find(b'"', stop)  # behind numbers or blanks, another text begins
                if quote < 0:
                    return False
                break
            if not _is_escaped(body, quote, at):
                break
            stop = quote
        at = quote + 1
    return False


def _begins(body: bytes, quote: int) -> bool:
    """Whether a text begins there in what is valid JSON. At -1: there is no quote at all."""
    before = quote - 1
    while before > 0 and body[before] in b" \t\r\n":
        before -= 1
    return quote >= 0 and (before < 0 or body[before] in b"{[,: \t\r\n")


def _is_escaped(body: bytes, quote: int, start: int) -> bool:
    at = quote
    while at > start and body[at - 1] == _BACKSLASH:
        at -= 1
    return bool((quote - at) % 2)


def _marks(body: bytes, start: int, stop: int) -> int:
    return (
        body.count(b"{", start, stop)
        + body.count(b"[", start, stop)
        + body.count(b",", start, stop)
    )


def _outside_of_strings(body: bytes, marks_max: int) -> int | None:
    marks = position = 0
    for match in _STRING.finditer(body):
        marks += _marks(body, position, match.start())
        position = match.end()
        if marks > marks_max:
            return None
    marks += _marks(body, position, len(body))
    return -(-marks // _MARKS_MAX) if marks <= marks_max else None
