"""JSON of many megabytes, read and written without a call into C that takes long. Pure.

The interpreter gives other threads their turn between two such calls only: one of 16 MB, full of
tiny values, takes a second. What comes out is what ``json`` would make of the whole.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable
from itertools import islice
from json import decoder
from typing import Any

from node.values.size import holds_more

WINDOW_CHARACTERS = 64 * 1024
"""Read by one call; a text may have more."""
SLICE_VALUES = 4096
"""Written by one call."""

_GO_ON = ("", ".", "e", "E")
"""Behind a number that may go on behind its window."""

Scan = Callable[[str, int], tuple[Any, int]]


def no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


_decoder: Any = json.JSONDecoder(parse_constant=no_constant)
"""``json.loads`` would make a decoder for every request, since it has an option."""
_read_text: Any = vars(decoder)["scanstring"]
_space: Any = vars(decoder)["WHITESPACE"].match


def loads(text: str) -> Any:
    """As ``json.loads``, without NaN and its like. ValueError, RecursionError."""
    if len(text) <= WINDOW_CHARACTERS:
        return _decoder.decode(text)
    value, end = _Reader(text).value(_behind_space(text, 0))
    if _behind_space(text, end) != len(text):
        raise ValueError("something stands behind the value")
    return value


def _behind_space(text: str, at: int) -> int:
    end: int = _space(text, at).end()
    return end


class _Reader:
    """What ends within a window is read by C, each piece by a call of its own."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._scan: Scan = _decoder.scan_once
        self._window = ""
        self._start = self._stop = 0

    def value(self, at: int) -> tuple[Any, int]:
        """The one that begins at ``at``, and where it ends."""
        if not self._start <= at < self._stop:
            self._open(at)
        found = self._within(at)
        if found is None and at != self._start:
            self._open(at)
            found = self._within(at)
        if found is not None:
            return found
        match self._text[at : at + 1]:
            case "[":
                return self._array(at + 1)
            case "{":
                return self._object(at + 1)
            case '"':
                return self._name(at + 1)
        try:
            return self._scan(self._text, at)  # a number, or nothing
        except StopIteration:
            raise ValueError(f"no value at {at}") from None

    def _open(self, at: int) -> None:
        self._start, self._stop = at, at + WINDOW_CHARACTERS
        self._window = self._text[at : self._stop]

    def _within(self, at: int) -> tuple[Any, int] | None:
        """None: it is not whole in this window, or wrong."""
        try:
            value, end = self._scan(self._window, at - self._start)
        except (ValueError, StopIteration):
            return None
        if self._window[end : end + 1] in _GO_ON and self._stop < len(self._text):
            return None
        return value, end + self._start

    def _array(self, at: int) -> tuple[list[Any], int]:
        text, values = self._text, list[Any]()
        at = _behind_space(text, at)
        if text[at : at + 1] == "]":
            return values, at + 1
        tried = at
        while True:
            if at >= tried:
                at, tried, ended = self._alike(at, values)
                if ended:
                    return values, at
            value, at = self.value(at)
            values.append(value)
            more, at = self._goes_on(at, "]")
            if not more:
                return values, at

    def _alike(self, at: int, values: list[Any]) -> tuple[int, int, bool]:
        """Reads objects in a row, many by one call. Where it goes on, from where on another try
        may do better, and whether the array ended."""
        while True:
            cut = self._text.rfind("},{", at, at + WINDOW_CHARACTERS)
            if cut < at:
                return at, at + WINDOW_CHARACTERS, False
            part = f"[{self._text[at : cut + 1]}]"
            try:
                some, end = self._scan(part, 0)
            except (ValueError, StopIteration):
                return at, cut + 1, False  # it is a comma within an element
            values += some
            if end != len(part):
                return at + end - 1, 0, True
            at = cut + 2

    def _object(self, at: int) -> tuple[dict[str, Any], int]:
        text, members = self._text, dict[str, Any]()
        at = _behind_space(text, at)
        if text[at : at + 1] == "}":
            return members, at + 1
        while True:
            if text[at : at + 1] != '"':
                raise ValueError(f"no name at {at}")
            name, at = self._name(at + 1)
            at = _behind_space(text, at)
            if text[at : at + 1] != ":":
                raise ValueError(f"no colon at {at}")
            members[name], at = self.value(_behind_space(text, at + 1))
            more, at = self._goes_on(at, "}")
            if not more:
                return members, at

    def _name(self, at: int) -> tuple[str, int]:
        """Or any other text, behind its first quote."""
        found: tuple[str, int] = _read_text(self._text, at, True)
        return found

    def _goes_on(self, at: int, end: str) -> tuple[bool, int]:
        text = self._text
        if text[at : at + 1] != ",":
            at = _behind_space(text, at)
        mark = text[at : at + 1]
        if mark == ",":
            at += 1
            return True, at if text[at : at + 1] in '{["' else _behind_space(text, at)
        if mark == end:
            return False, at + 1
        raise ValueError(f"neither a comma nor an end at {at}")


def blob(value: object) -> str:
    if isinstance(value, bytes | bytearray | memoryview):
        return b64encode(value).decode()
    raise TypeError(f"{type(value).__name__} has no JSON form")


_plain = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, default=blob).encode
_escaped = json.JSONEncoder(separators=(",", ":"), default=blob).encode
"""Says halves of surrogate pairs, too, which only escapes can."""


def dumps(value: Any) -> bytes:
    """Without spaces, bytes as base64. TypeError, ValueError for what has no JSON form."""
    try:
        return _written(value, _plain)
    except UnicodeEncodeError:
        return _written(value, _escaped)


def check_text(value: Any) -> None:
    """UnicodeEncodeError for halves of surrogate pairs, which no form of text but JSON's has."""
    _written(value, _plain)


def _written(value: Any, encode: Callable[[Any], str]) -> bytes:
    parts: list[bytes] = []
    _write(value, encode, parts)
    return b"".join(parts)


def _write(value: Any, encode: Callable[[Any], str], parts: list[bytes]) -> None:
    """Elements of lists together, as far as they are small."""
    if not holds_more(value, SLICE_VALUES):
        parts.append(encode(value).encode())
    elif type(value) is dict:
        mark = "{"
        for name, one in value.items():
            # A name that is no text gets what ``json`` makes of it.
            parts.append((mark + encode({name: 0})[1:-2]).encode())
            _write(one, encode, parts)
            mark = ","
        parts.append(b"}")
    elif type(value) is list:
        mark, elements = "[", iter(value)
        while some := list(islice(elements, 1 + SLICE_VALUES // 4)):
            if holds_more(some, SLICE_VALUES):
                for one in some:
                    parts.append(mark.encode())
                    _write(one, encode, parts)
                    mark = ","
            else:
                parts.append((mark + encode(some)[1:-1]).encode())
                mark = ","
        parts.append(b"]")
    else:
        parts.append(encode(value).encode())
