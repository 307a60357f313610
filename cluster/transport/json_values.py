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

_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)
"""Possessive, and without need of an end: each character is looked at once, whatever comes."""


def value_count(body: bytes, values_max: int = VALUES_MAX) -> int | None:
    """About how many values ``body`` holds, and never less than half of its objects, arrays,
    members and elements; None: more than ``values_max``. What is no JSON is counted in some way,
    in no more time.

    First all characters that could begin or end a value; only if these are too many, those outside
    of strings: a text may have any number of commas.
    """
    marks_max = _MARKS_MAX * values_max
    marks = 0
    for start in range(0, len(body), _STEP):
        marks += _marks(body, start, start + _STEP)
        if marks > min(marks_max, _ROUGHLY_MAX):
            return _outside_of_strings(body, marks_max)
    return -(-marks // _MARKS_MAX)


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
