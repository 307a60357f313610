"""The forms in which signed dates come. Pure."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import lru_cache

_BASIC = re.compile(r"([0-9]{4})([0-9]{2})([0-9]{2})T([0-9]{2})([0-9]{2})([0-9]{2})Z", re.ASCII)
_HTTP = re.compile(
    r"(?:[A-Z][a-z]{2}, )?([0-9]{1,2}) ([A-Z][a-z]{2}) ([0-9]{4})"
    r" ([0-9]{2}):([0-9]{2}):([0-9]{2}) (?:GMT|UTC|[+-]0000)"
)
_MONTHS = {
    name: number
    for number, name in enumerate(
        ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"), 1
    )
}
_BASIC_CHARACTERS = 16
_KEPT = 256
"""Most requests of a second have the same date."""
_LATEST = 253402300799
"""The last second of the year 9999."""


def seconds_of(text: str) -> int | None:
    """Seconds since the epoch of a date such as ``20260102T030405Z``; None: it is none."""
    return _seconds_of(text) if len(text) == _BASIC_CHARACTERS else None


@lru_cache(_KEPT)
def _seconds_of(text: str) -> int | None:
    found = _BASIC.fullmatch(text)
    return None if found is None else _seconds(*map(int, found.groups()))


def seconds_of_http(text: str) -> int | None:
    """The same of the Date header, which may also be as HTTP or mail has it
    (``Fri, 02 Jan 2026 03:04:05 GMT``)."""
    found = _HTTP.fullmatch(text)
    if found is None:
        return seconds_of(text)
    day, month, *rest = found.groups()
    year, hour, minute, second = map(int, rest)
    return _seconds(year, _MONTHS.get(month, 0), int(day), hour, minute, second)


def _seconds(year: int, month: int, day: int, hour: int, minute: int, second: int) -> int | None:
    try:
        return int(datetime(year, month, day, hour, minute, second, tzinfo=UTC).timestamp())
    except ValueError:
        return None


@lru_cache(_KEPT)
def text_of(seconds: int) -> str:
    """``20260102T030405Z``; what no such date can say becomes the nearest one that can."""
    at = datetime.fromtimestamp(min(max(seconds, 0), _LATEST), UTC)
    return f"{at:%Y%m%dT%H%M%SZ}"
