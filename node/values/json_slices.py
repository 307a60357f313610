"""JSON of many megabytes, read and written without a call into C that takes long. Pure.

The interpreter gives other threads their turn between two such calls only: one of 16 MB, full of
tiny values, takes a second. What comes out is what ``json`` would make of the whole.
"""

from __future__ import annotations

import json
from base64 import b64encode
from codecs import getincrementaldecoder
from collections.abc import Callable
from itertools import islice
from json import decoder
from typing import Any

from node.values.size import holds_more

WINDOW_CHARACTERS = 64 * 1024
"""Read by one call; a text may have more."""
PIECE_BYTES = 1024 * 1024
"""Decoded by one call: the system sets memory aside for many megabytes only as they are written,
which takes longer than to write them."""
SLICE_VALUES = 4096
"""Written by one call."""

_BEGINNINGS = frozenset('{["')
_GO_ON = ("", ".", "e", "E")
"""Behind a number that may go on behind its window."""

Scan = Callable[[str, int], tuple[Any, int]]


def no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


_decoder: Any = json.JSONDecoder(parse_constant=no_constant)
"""``json.loads`` would make a decoder for every request, since it has an option."""
_read_text: Any = vars(decoder)["scanstring"]
_utf8 = getincrementaldecoder("utf-8")
_space: Any = vars(decoder)["WHITESPACE"].match


def loads(source: str | bytes) -> Any:
    """As ``json.loads``, without NaN and its like. ValueError, RecursionError. Bytes are UTF-8, and
    many of them are decoded in pieces, too."""
    if len(source) <= WINDOW_CHARACTERS:
        return _decoder.decode(source if isinstance(source, str) else source.decode())
    return _Reader(source).whole()


def check(data: bytes) -> None:
    """ValueError and RecursionError where ``loads`` raises them; keeps no more than a window."""
    if len(data) <= WINDOW_CHARACTERS:
        loads(data)
    else:
        _Reader(data, keeps=False).whole()


class _Reader:
    """What ends within a window is read by C, each piece by a call of its own.

    Places are counted in characters from the beginning. Of bytes only those before ``_read`` are
    decoded, and of these only what begins at ``_base`` is still there.
    """

    def __init__(self, source: str | bytes, *, keeps: bool = True) -> None:
        self._keeps = keeps
        """Else lists and dicts stay empty."""
        self._text = source if isinstance(source, str) else ""
        self._data = None if isinstance(source, str) else source
        """None: all of it is decoded."""
        self._decode = _utf8().decode
        self._base = self._read = 0
        self._scan: Scan = _decoder.scan_once
        self._window = ""
        self._start = self._stop = 0
        self._more = False
        """Whether something stands behind the window."""

    def whole(self) -> Any:
        value, end = self.value(self._behind_space(0))
        if self._character(self._behind_space(end)):
            raise ValueError("something stands behind the value")
        return value

    # -- the text -----------------------------------------------------------------------------

    def _ahead(self, at: int, count: int) -> int:
        """The place of ``at`` in ``_text``, where so many characters follow, or all there are. What
        stands before it may be forgotten."""
        if self._data is not None and at - self._base + count > len(self._text):
            self._load(at, count)
        return at - self._base

    def _load(self, at: int, count: int) -> None:
        assert self._data is not None
        parts = [self._text[at - self._base :]]
        size, end = len(parts[0]), len(self._data)
        while size < count and self._read < end:
            piece = self._data[self._read : self._read + PIECE_BYTES]
            self._read += len(piece)
            parts.append(self._decode(piece, self._read == end))
            size += len(parts[-1])
        if self._read == end:
            self._data = None
        self._text, self._base = "".join(parts), at

    def _character(self, at: int) -> str:
        """Nothing at the end."""
        place = self._ahead(at, 1)
        return self._text[place : place + 1]

    def _behind_space(self, at: int) -> int:
        while True:
            place = self._ahead(at, 1)
            end: int = _space(self._text, place).end()
            at = end + self._base
            if end < len(self._text) or self._data is None:
                return at

    # -- values -------------------------------------------------------------------------------

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
        match self._character(at):
            case "[":
                return self._array(at + 1)
            case "{":
                return self._object(at + 1)
            case '"':
                return self._name(at + 1)
        return self._word(at)

    def _open(self, at: int) -> None:
        self._start, self._stop = at, at + WINDOW_CHARACTERS
        place = self._ahead(at, WINDOW_CHARACTERS + 1)
        self._window = self._text[place : place + WINDOW_CHARACTERS]
        self._more = len(self._text) > place + WINDOW_CHARACTERS

    def _within(self, at: int) -> tuple[Any, int] | None:
        """None: it is not whole in this window, or wrong."""
        try:
            value, end = self._scan(self._window, at - self._start)
        except (ValueError, StopIteration):
            return None
        if self._window[end : end + 1] in _GO_ON and self._more:
            return None
        return value, end + self._start

    def _array(self, at: int) -> tuple[list[Any], int]:
        values = list[Any]()
        at = self._behind_space(at)
        if self._character(at) == "]":
            return values, at + 1
        tried = at
        while True:
            if at >= tried:
                at, tried, ended = self._alike(at, values)
                if ended:
                    return values, at
            value, at = self.value(at)
            if self._keeps:
                values.append(value)
            more, at = self._goes_on(at, "]")
            if not more:
                return values, at

    def _alike(self, at: int, values: list[Any]) -> tuple[int, int, bool]:
        """Reads objects in a row, many by one call. Where it goes on, from where on another try
        may do better, and whether the array ended."""
        while True:
            place = self._ahead(at, WINDOW_CHARACTERS)
            cut = self._text.rfind("},{", place, place + WINDOW_CHARACTERS)
            if cut < place:
                return at, at + WINDOW_CHARACTERS, False
            part = f"[{self._text[place : cut + 1]}]"
            try:
                some, end = self._scan(part, 0)
            except (ValueError, StopIteration):
                # It is a comma within an element.
                return at, cut + 1 + self._base, False
            if self._keeps:
                values += some
            if end != len(part):
                return at + end - 1, 0, True
            at = cut + 2 + self._base

    def _object(self, at: int) -> tuple[dict[str, Any], int]:
        members = dict[str, Any]()
        at = self._behind_space(at)
        if self._character(at) == "}":
            return members, at + 1
        while True:
            if self._character(at) != '"':
                raise ValueError(f"no name at {at}")
            name, at = self._name(at + 1)
            at = self._behind_space(at)
            if self._character(at) != ":":
                raise ValueError(f"no colon at {at}")
            value, at = self.value(self._behind_space(at + 1))
            if self._keeps:
                members[name] = value
            more, at = self._goes_on(at, "}")
            if not more:
                return members, at

    def _name(self, at: int) -> tuple[str, int]:
        """Or any other text, behind its first quote."""
        count = WINDOW_CHARACTERS
        while True:
            place = self._ahead(at, count)
            try:
                text, end = _read_text(self._text, place, True)
            except ValueError:
                if self._data is None:
                    raise
                count = 2 * max(count, len(self._text) - place)  # it may end behind what is decoded
            else:
                return text, end + self._base

    def _word(self, at: int) -> tuple[Any, int]:
        """A number, or null and its like, or nothing."""
        count = WINDOW_CHARACTERS
        while True:
            place = self._ahead(at, count)
            try:
                value, end = self._scan(self._text, place)
            except StopIteration:
                if self._data is None:
                    raise ValueError(f"no value at {at}") from None
            else:
                if self._data is None or self._text[end : end + 1] not in _GO_ON:
                    return value, end + self._base
            count = 2 * max(count, len(self._text) - place)  # it may go on behind what is decoded

    def _goes_on(self, at: int, end: str) -> tuple[bool, int]:
        if self._character(at) != ",":
            at = self._behind_space(at)
        mark = self._character(at)
        if mark == ",":
            at += 1
            return True, at if self._character(at) in _BEGINNINGS else self._behind_space(at)
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


def dumps_few(value: Any) -> bytes:
    """As ``dumps``, of what is known to hold no more than ``SLICE_VALUES``."""
    try:
        return _plain(value).encode()
    except UnicodeEncodeError:
        return _escaped(value).encode()


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
