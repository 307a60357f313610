"""The text of metric math, read into what is to be worked out. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

TEXT_MAX: Final = 2_048
DEPTH_MAX: Final = 32
TOKENS_MAX: Final = 300
"""A chain of operators is worked out as deep as it is long."""
_TOKEN = re.compile(
    r"\s*(?:(\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|\.\d+)|([A-Za-z]\w*)|(\"[^\"]*\"|'[^']*')"
    r"|(<=|>=|==|!=|&&|\|\||[-+*/^()\[\],<>]))"
)


class BadExpression(Exception):
    """It cannot be read or worked out. ``str``: why."""


@dataclass(frozen=True, slots=True)
class Call:
    name: str
    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Name:
    id: str


@dataclass(frozen=True, slots=True)
class Text:
    text: str


Node = float | Name | Text | Call


def ids_of(text: str) -> set[str]:
    """The ids that an expression names. BadExpression."""
    found: set[str] = set()
    left = [read(text)]
    while left:
        node = left.pop()
        if isinstance(node, Name):
            found.add(node.id)
        elif isinstance(node, Call):
            left += node.parts
    return found - {"REPEAT", "LINEAR"}


def read(text: str) -> Node:
    """BadExpression."""
    if len(text) > TEXT_MAX:
        raise BadExpression(f"it is longer than {TEXT_MAX} characters")
    reader = _Reader(_tokens(text))
    node = reader.expression(0, 0)
    reader.expect("")
    return node


def _tokens(text: str) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    at, end = 0, len(text.rstrip())
    while at < end:
        token = _TOKEN.match(text, at)
        if token is None:
            raise BadExpression(f"unexpected character at {at}: {text[at : at + 10]!r}")
        kinds = ("number", "name", "text", "sign")
        found.append((kinds[(token.lastindex or 1) - 1], token[token.lastindex or 1]))
        at = token.end()
        if len(found) > TOKENS_MAX:
            raise BadExpression(f"it has more than {TOKENS_MAX} parts")
    return [*found, ("end", "")]


_POWERS: Final = {
    **dict.fromkeys(("||", "OR"), 1),
    **dict.fromkeys(("&&", "AND"), 2),
    **dict.fromkeys(("==", "!=", "<", "<=", ">", ">="), 3),
    **dict.fromkeys("+-", 4),
    **dict.fromkeys("*/", 5),
    "^": 7,
}
_SIGN_POWER: Final = 6


class _Reader:
    def __init__(self, tokens: list[tuple[str, str]]) -> None:
        self._tokens = tokens
        self._at = 0

    def expect(self, sign: str) -> None:
        kind, text = self._tokens[self._at]
        if (text if kind in ("sign", "end") else None) != sign:
            raise BadExpression(f"expected {sign or 'its end'!r}, and there is {text!r}")
        self._at += 1

    def expression(self, power: int, depth: int) -> Node:
        if depth > DEPTH_MAX:
            raise BadExpression(f"it is nested more than {DEPTH_MAX} deep")
        left = self._operand(depth + 1)
        while True:
            kind, text = self._tokens[self._at]
            binds = _POWERS.get(text, 0) if kind in ("sign", "name") else 0
            if binds <= power:
                return left
            self._at += 1
            right = self.expression(binds - (text == "^"), depth + 1)
            left = Call({"AND": "&&", "OR": "||"}.get(text, text), (left, right))

    def _operand(self, depth: int) -> Node:
        kind, text = self._tokens[self._at]
        self._at += 1
        if kind == "number":
            return float(text)
        if kind == "text":
            return Text(text[1:-1])
        if kind == "name":
            if self._tokens[self._at] == ("sign", "("):
                self._at += 1
                return Call(text.upper(), self._list(")", depth))
            return Name(text)
        match text if kind == "sign" else None:
            case "(":
                node = self.expression(0, depth)
                self.expect(")")
                return node
            case "[":
                return Call("[]", self._list("]", depth))
            case "-":
                return Call("-", (0.0, self.expression(_SIGN_POWER, depth)))
            case "+":
                return self.expression(_SIGN_POWER, depth)
        raise BadExpression(f"unexpected {text!r}" if text else "it ends too early")

    def _list(self, end: str, depth: int) -> tuple[Node, ...]:
        parts: list[Node] = []
        while self._tokens[self._at] != ("sign", end):
            if parts:
                self.expect(",")
            parts.append(self.expression(0, depth))
        self._at += 1
        return tuple(parts)
