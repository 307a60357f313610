"""How much a JSON document holds, without parsing it. Pure."""

from __future__ import annotations

import re

VALUES_MAX = 128 * 1024
"""Values of one request. An item has 400 KB, in which a list has room for 136 000 numbers of one
digit (two bytes each, and one of the list's). A request of 16 MB that has more values than this
has fewer than 128 bytes for each; decoded, it would take the tenfold. DynamoDB itself takes more
in one case: a batch of several such items, or one of more than 131 072 empty strings."""

STRINGS_MAX = 8 * VALUES_MAX
"""Looked at one by one. A value has a type, content, mostly a name; expressions have more names."""

_STEP = 1024 * 1024
"""Bytes of one count, which nothing can interrupt: under a millisecond."""

_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)
"""Possessive, and without need of an end: each character is looked at once, whatever comes."""


_MARKS_MAX = 2
"""Characters that a value has, of those that are counted: in DynamoDB's JSON a brace and a comma;
elements of sets have only one."""


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
        if marks > marks_max:
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
    for strings, match in enumerate(_STRING.finditer(body), 1):
        marks += _marks(body, position, match.start())
        position = match.end()
        if marks > marks_max or strings > STRINGS_MAX:
            return None
    marks += _marks(body, position, len(body))
    return -(-marks // _MARKS_MAX) if marks <= marks_max else None
