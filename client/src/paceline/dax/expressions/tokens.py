"""Splits the text of an expression into tokens."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import NoReturn

from paceline.dax.expressions.tree import EXPRESSION_BYTES_MAX, Parameter, invalid
from paceline.errors import RequestError

KEYWORDS = frozenset({"IN", "BETWEEN", "NOT", "AND", "OR", "SET", "ADD", "DELETE", "REMOVE"})

NAME = "attribute name"
NAME_PLACEHOLDER = "#name"
VALUE_PLACEHOLDER = ":value"
INDEX = "list index"
END = "end"

MEMO_CHARACTERS_MAX = 256
"""Longer expressions, which may be many, are split each time."""

MEMO_ENTRIES = 256
"""The most expressions whose tokens are kept. An application has a few dozen."""

_TOKEN = re.compile(
    r"""[ \t\r\n]*(?:
      (?P<word>[A-Za-z][A-Za-z0-9_]*)
    | (?P<name>\#[A-Za-z0-9_]+)
    | (?P<value>:[A-Za-z0-9_]+)
    | (?P<index>0|[1-9][0-9]*)
    | (?P<symbol><>|<=|>=|[=<>+\-(),.\[\]])
    | (?P<end>\Z)
    | (?P<other>.)
    )""",
    re.VERBOSE | re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Token:
    """``kind`` is a keyword (upper case), a symbol, or one of NAME … END of this module."""

    kind: str
    text: str
    start: int
    end: int


class Tokens:
    """A cursor over the tokens of one expression. At the end, ``take`` repeats END."""

    def __init__(self, text: str, parameter: Parameter) -> None:
        size = len(text.encode())
        if size > EXPRESSION_BYTES_MAX:
            raise invalid(
                parameter,
                f"Expression size has exceeded the maximum allowed size; expression size: {size}",
            )
        self.parameter = parameter
        self._text = text
        self._tokens = _tokens_of(text)
        self._at = 0
        bad = next((i for i, token in enumerate(self._tokens) if token.kind == "other"), None)
        if bad is not None:
            self._refuse(bad)
        if len(self._tokens) == 1:
            raise invalid(parameter, "The expression can not be empty;")

    @property
    def kind(self) -> str:
        return self._tokens[self._at].kind

    @property
    def following_kind(self) -> str:
        return self._tokens[min(self._at + 1, len(self._tokens) - 1)].kind

    def take(self) -> Token:
        token = self._tokens[self._at]
        if token.kind != END:
            self._at += 1
        return token

    def expect(self, kind: str) -> Token:
        if self.kind != kind:
            self.refuse()
        return self.take()

    def refuse(self) -> NoReturn:
        """Raises the syntax error of the current token."""
        self._refuse(self._at)

    def _refuse(self, at: int) -> NoReturn:
        token = self._tokens[at]
        first = self._tokens[max(at - 1, 0)]
        last = self._tokens[min(at + 1, len(self._tokens) - 1)]
        near = self._text[first.start : last.end].strip()
        text = token.text or "<EOF>"
        raise invalid(self.parameter, f'Syntax error; token: "{text}", near: "{near}"')


def _tokens_of(text: str) -> tuple[Token, ...]:
    return _memoized(text) if len(text) <= MEMO_CHARACTERS_MAX else _tokenize(text)


def _tokenize(text: str) -> tuple[Token, ...]:
    tokens = []
    for match in _TOKEN.finditer(text):
        group = match.lastgroup or "other"
        lexeme = match[group]
        match group:
            case "word":
                kind = lexeme.upper() if lexeme.upper() in KEYWORDS else NAME
            case "symbol":
                kind = lexeme
            case "name":
                kind = NAME_PLACEHOLDER
            case "value":
                kind = VALUE_PLACEHOLDER
            case "index":
                kind = INDEX
            case "end":
                kind = END
            case _:
                kind = "other"
        tokens.append(Token(kind, lexeme, match.start(group), match.end(group)))
        if kind == END:
            break
    return tuple(tokens)


_memoized = lru_cache(MEMO_ENTRIES)(_tokenize)


def placeholders(text: str) -> frozenset[str]:
    """Returns the ``#names`` and ``:values`` in an expression, whether it is valid or not."""
    return frozenset(
        token.text
        for token in _tokens_of(text)
        if token.kind in (NAME_PLACEHOLDER, VALUE_PLACEHOLDER)
    )


def require_all_used(
    texts: Iterable[str],
    names: Mapping[str, str] | None,
    values: Mapping[str, object] | None,
) -> None:
    """Raises for ``#names`` and ``:values`` that none of a request's expressions mentions.

    DynamoDB rejects such requests. Trees no longer show the unused ones, so the sender has to
    check.
    """
    used = {placeholder for text in texts for placeholder in placeholders(text)}
    for parameter, given in (
        ("ExpressionAttributeNames", names),
        ("ExpressionAttributeValues", values),
    ):
        if given is not None and not given:
            raise RequestError("ValidationException", f"{parameter} must not be empty")
        unused = sorted(set(given or ()) - used)
        if unused:
            raise RequestError(
                "ValidationException",
                f"Value provided in {parameter} unused in expressions: "
                f"keys: {{{', '.join(unused)}}}",
            )
