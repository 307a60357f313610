"""Text with wildcards and policy variables, and whether other text is like it. Pure.

``*`` is any number of characters and ``?`` exactly one. ``${key}`` is the value that the request's
context has for a key, ``${key, 'default'}`` another one where it has none, and ``${*}``, ``${?}``
and ``${$}`` are these characters themselves. What a variable stands for is taken literally: an
asterisk in a tag is no wildcard.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from paceline.access.policies.context import MULTIVALUED, Context
from paceline.access.policies.problems import Wrong, shown


@dataclass(frozen=True, slots=True)
class Variable:
    key: str
    """In small letters."""
    default: str | None

    def value(self, context: Context) -> str | None:
        """None without a value, and for keys that may have several."""
        found = context.get(self.key, ())
        if len(found) == 1 and found[0] and self.key not in MULTIVALUED:
            return found[0]
        return self.default


class Wildcard:
    def __init__(self, name: str) -> None:
        self._name = name

    def __repr__(self) -> str:
        return self._name


MANY: Final = Wildcard("*")
ONE: Final = Wildcard("?")

Token = str | Wildcard | Variable
Template = tuple[Token, ...]

_VARIABLE = re.compile(r"\s*([^\s,'{}$][^,'{}$]*?)\s*(?:,\s*'([^'{}]*)'\s*)?")


def parse(text: str, *, variables: bool, wildcards: bool) -> Template:
    """Raises Wrong for a variable that cannot be read."""
    tokens: list[Token] = []
    literal: list[str] = []

    def end_literal() -> None:
        if literal:
            tokens.append("".join(literal))
            literal.clear()

    position = 0
    while position < len(text):
        character = text[position]
        if variables and text.startswith("${", position):
            found = _variable(text, position)
            if isinstance(found, str):
                literal.append(found)
            else:
                end_literal()
                tokens.append(found)
            position = text.index("}", position) + 1
            continue
        if wildcards and character in "*?":
            end_literal()
            tokens.append(MANY if character == "*" else ONE)
        else:
            literal.append(character)
        position += 1
    end_literal()
    return tuple(tokens)


def _variable(text: str, start: int) -> str | Variable:
    """What ``${…}`` at ``start`` is; a text if it is an escaped character."""
    end = text.find("}", start)
    inside = text[start + 2 : end] if end >= 0 else ""
    if inside in ("*", "?", "$"):
        return inside
    match = _VARIABLE.fullmatch(inside)
    if match is None:
        raise Wrong(
            f"{shown(text[start : start + 60])} is no variable",
            "variables are written ${key} or ${key, 'default'}, and ${*}, ${?} and ${$} are these "
            "characters",
        )
    return Variable(match.group(1).lower(), match.group(2))


def keys_of(template: Template) -> tuple[str, ...]:
    """The keys whose values it needs."""
    return tuple(token.key for token in template if isinstance(token, Variable))


def filled(template: Template, context: Context) -> Template | None:
    """With the values of its variables; None if one has none."""
    tokens: list[Token] = []
    for token in template:
        if isinstance(token, Variable):
            value = token.value(context)
            if value is None:
                return None
            tokens.append(value)
        else:
            tokens.append(token)
    return tuple(tokens)


_Piece = tuple[str, ...]
"""Text between two ``*``: its literals, with a ``?`` between each two."""


class Glob:
    """Whether text is like a filled template. Time is at most the product of both lengths."""

    __slots__ = ("_pieces",)

    def __init__(self, template: Template) -> None:
        """``template`` has no variables left."""
        pieces: list[list[str]] = [[""]]
        for token in template:
            if token is MANY:
                pieces.append([""])
            elif token is ONE:
                pieces[-1].append("")
            else:
                assert isinstance(token, str), "variables are filled in before"
                pieces[-1][-1] += token
        self._pieces: tuple[_Piece, ...] = tuple(map(tuple, pieces))

    def matches(self, text: str) -> bool:
        first, *middle = self._pieces
        if not middle:
            return len(text) == _length(first) and _is_at(first, text, 0)
        last = middle.pop()
        position = _length(first)
        end = len(text) - _length(last)
        if position > end or not _is_at(first, text, 0) or not _is_at(last, text, end):
            return False
        for piece in middle:
            found = _find(piece, text, position, end)
            if found < 0:
                return False
            position = found + _length(piece)
        return True


def _length(piece: _Piece) -> int:
    return sum(map(len, piece)) + len(piece) - 1


def _is_at(piece: _Piece, text: str, position: int) -> bool:
    if position < 0 or position + _length(piece) > len(text):
        return False
    for literal in piece:
        if not text.startswith(literal, position):
            return False
        position += len(literal) + 1
    return True


def _find(piece: _Piece, text: str, start: int, end: int) -> int:
    """Where it stands first between ``start`` and ``end``, or -1."""
    if len(piece) == 1:
        return text.find(piece[0], start, end)
    last = end - _length(piece)
    while start <= last:
        start = text.find(piece[0], start, end)
        if start < 0 or start > last:
            return -1
        if _is_at(piece, text, start):
            return start
        start += 1
    return -1
