"""What a PartiQL statement says, as far as that matters for who may do it. Pure.

Statements on one table, as DynamoDB has them. Of a condition only what is plain is read: parts that
ANDs join, one of which demands values of the partition key. What is not read so is said to be
unknown, never to be absent.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from node.access.need import CannotJudge
from paceline.types import AttributeValue

CHARACTERS_MAX: Final = 8192
"""Of one statement: what DynamoDB takes."""

TOKENS_MAX: Final = 4096
"""Of one statement. Each is looked at a dozen times."""

DEPTH_MAX: Final = 64
"""Brackets inside each other, of which each is looked for its end."""

_TOKEN = re.compile(
    r"(?P<text>'(?:[^']|'')*+')|(?P<name>\"(?:[^\"]|\"\")++\")"
    r"|(?P<number>\d++(?:\.\d*+)?(?:[eE][+-]?\d++)?)|(?P<word>[A-Za-z_$][\w$]*+)"
    r"|(?P<mark><<|>>|<=|>=|<>|!=|\|\||[-,()\[\]{}.=<>+*/?:;%])|(?P<space>\s++)",
    re.ASCII,
)
_COMMENT = re.compile(r"--|/\*")
_OPENING, _CLOSING = ("(", "[", "{", "<<"), (")", "]", "}", ">>")
_OPERATORS: Final = frozenset(
    {"AND", "OR", "NOT", "IN", "BETWEEN", "IS", "NULL", "MISSING", "TRUE", "FALSE"}
)
_CLAUSES: Final = {
    "SELECT": frozenset({"ORDER", "BY", "ASC", "DESC"}),
    "UPDATE": frozenset({"SET", "REMOVE", "NULL", "MISSING", "TRUE", "FALSE"}),
}
"""Words that are no names where they stand: in a condition, and beside it."""
_VERBS: Final = {"SELECT": "FROM", "INSERT": "INTO", "UPDATE": "", "DELETE": "FROM"}


class Token(NamedTuple):
    """``kind``: text, name (in double quotes), number, word, mark, or slot, whose text is the
    number of its parameter. ``text`` is without quotes."""

    kind: str
    text: str

    @property
    def is_identifier(self) -> bool:
        return self.kind in ("name", "word")

    def is_word(self, *words: str) -> bool:
        return self.kind == "word" and self.text.upper() in words

    def is_mark(self, *marks: str) -> bool:
        return self.kind == "mark" and self.text in marks


class Slot(NamedTuple):
    """A parameter, by its number from 0."""

    number: int


Operand = AttributeValue | Slot


@dataclass(frozen=True, slots=True)
class Statement:
    """``verb``: Select, Insert, Update or Delete. ``attributes`` by their first names; None if they
    cannot be told."""

    verb: str
    table: str
    index: str | None
    attributes: tuple[str, ...] | None
    all_attributes: bool
    """Of a Select: ``*``."""
    returning: str | None
    """As ReturnValues has it."""
    where: tuple[Token, ...]
    item: tuple[tuple[str, Operand | None], ...] | None
    """Of an Insert: name and value of each attribute, the value None where it is no plain one."""
    length: int
    """In tokens."""

    def partition(self, hash_name: str) -> tuple[Operand, ...] | None:
        """The values that the condition, or the item, has of the partition key. () where there is
        nothing about it; None where that cannot be told."""
        if self.verb == "Insert":
            found = [value for name, value in self.item or () if name == hash_name]
            return (found[0],) if len(found) == 1 and found[0] is not None else None
        named = any(
            token.is_identifier and token.text.casefold() == hash_name.casefold()
            for token in self.where
        )
        demanded = [
            values
            for part in _parts(self.where) or ()
            if (values := _demanded(part, hash_name)) is not None
        ]
        if len(demanded) == 1:
            return demanded[0]
        return None if named or self.verb != "Select" else ()


def _demanded(part: Sequence[Token], hash_name: str) -> tuple[Operand, ...] | None:
    """The values of ``key = value`` or ``key IN (values)``; None for any other part."""
    while len(part) > 2 and part[0].is_mark("(") and _closing(part, 0) == len(part) - 1:
        part = part[1:-1]
    if len(part) < 3:
        return None
    listed = part[1].is_word("IN")
    if part[0].is_identifier and part[1].is_mark("="):
        key, given = part[0], part[2:]
    elif part[-1].is_identifier and part[-2].is_mark("="):
        key, given = part[-1], part[:-2]
    elif part[0].is_identifier and listed and part[2].is_mark("(", "["):
        key, given = part[0], part[3:-1]
        if _closing(part, 2) != len(part) - 1:
            return None
    else:
        return None
    operands = [_operand(one) for one in (_split(given, ",") if listed else (given,))]
    if key.text != hash_name or None in operands:
        return None
    return tuple(operand for operand in operands if operand is not None)


def read(text: str) -> Statement:
    """Raises CannotJudge for a statement of which the table or the verb cannot be told."""
    tokens = _tokens(text)
    if tokens and tokens[0].is_word("EXISTS"):
        if len(tokens) < 3 or not tokens[1].is_mark("(") or _closing(tokens, 1) != len(tokens) - 1:
            raise CannotJudge("the statement is more than EXISTS(…)")
        tokens = tokens[2:-1]
        if tokens and not tokens[0].is_word("SELECT"):
            raise CannotJudge("the statement has no SELECT in its EXISTS")
    verb = tokens[0].text.upper() if tokens and tokens[0].kind == "word" else ""
    if verb not in _VERBS:
        raise CannotJudge("the statement is no SELECT, INSERT, UPDATE, DELETE or EXISTS")
    at = 1
    if before := _VERBS[verb]:
        found = _find(tokens, 1, before)
        if found is None or (verb != "SELECT" and found != 1):
            raise CannotJudge(f"the statement has no {before} where it should be")
        at = found + 1
    head = tokens[1 : at - 1] if verb == "SELECT" else ()
    table, index, at = _table(tokens, at)
    beside, where, returning = _clauses(tokens, at, verb)
    if any(token.is_word("SELECT", "FROM") for token in (*head, *beside, *where)):
        raise CannotJudge("the statement has another one inside")
    if head and head[0].is_word("VALUE"):
        raise CannotJudge("the statement selects what is no list of attributes")
    item = _item(beside) if verb == "INSERT" else ()
    named = [
        *(name for name, _ in item or ()),
        *_names(head, table, frozenset()),
        *(_names(beside, table, _CLAUSES[verb]) if verb in _CLAUSES else ()),
        *_names(where, table, _OPERATORS),
    ]
    return Statement(
        verb.capitalize(),
        table,
        index,
        None if item is None else tuple(dict.fromkeys(named)),
        _selects_all(head, table),
        returning,
        where,
        item,
        len(tokens),
    )


def _selects_all(head: Sequence[Token], table: str) -> bool:
    """``*``, or the table's own name in place of attributes."""
    for at, token in enumerate(head):
        whole = token.is_identifier and token.text.casefold() == table.casefold()
        inside = at + 1 < len(head) and head[at + 1].is_mark(".", "[")
        if token.is_mark("*") or (whole and not inside):
            return True
    return False


def _tokens(text: str) -> tuple[Token, ...]:
    if len(text) > CHARACTERS_MAX:
        raise CannotJudge("the statement is longer than DynamoDB takes")
    tokens: list[Token] = []
    at = slots = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None or _COMMENT.match(text, at):
            raise CannotJudge(f"the statement cannot be read from character {at + 1} on")
        at = match.end()
        kind, found = match.lastgroup, match.group()
        assert kind is not None
        if kind in ("text", "name"):
            found = found[1:-1].replace(found[0] * 2, found[0])
        if found == "?" and kind == "mark":
            kind, found = "slot", str(slots)
            slots += 1
        if kind != "space":
            tokens.append(Token(kind, found))
        if len(tokens) > TOKENS_MAX:
            raise CannotJudge(f"the statement has more than {TOKENS_MAX} words and signs")
    while tokens and tokens[-1].is_mark(";"):
        tokens.pop()
    if any(token.is_mark(";") for token in tokens):
        raise CannotJudge("there is more than one statement")
    _check_brackets(tokens)
    return tuple(tokens)


def _check_brackets(tokens: Sequence[Token]) -> None:
    waiting = []
    for token in tokens:
        if token.is_mark(*_OPENING):
            waiting.append(_CLOSING[_OPENING.index(token.text)])
            if len(waiting) > DEPTH_MAX:
                raise CannotJudge("the statement has too many brackets inside each other")
        elif token.is_mark(*_CLOSING) and (not waiting or waiting.pop() != token.text):
            raise CannotJudge("the statement has brackets that do not match")
    if waiting:
        raise CannotJudge("the statement has brackets that do not match")


def _table(tokens: Sequence[Token], at: int) -> tuple[str, str | None, int]:
    """The table, its index, and where the rest begins."""
    if at >= len(tokens) or not tokens[at].is_identifier:
        raise CannotJudge("the statement names no table where it should")
    table = tokens[at].text
    if at + 1 < len(tokens) and tokens[at + 1].is_mark("."):
        if at + 2 >= len(tokens) or not tokens[at + 2].is_identifier:
            raise CannotJudge("the statement names no index where it should")
        return table, tokens[at + 2].text, at + 3
    return table, None, at + 1


_AFTER_TABLE: Final = {
    "SELECT": ("WHERE", "ORDER"),
    "INSERT": ("VALUE",),
    "UPDATE": ("SET", "REMOVE"),
    "DELETE": ("WHERE", "RETURNING"),
}


def _clauses(
    tokens: Sequence[Token], at: int, verb: str
) -> tuple[tuple[Token, ...], tuple[Token, ...], str | None]:
    """What stands beside the condition, the condition, and what is returned."""
    rest = tuple(tokens[at:])
    if rest and not rest[0].is_word(*_AFTER_TABLE[verb]):
        raise CannotJudge(f"the statement has {rest[0].text[:40]!r} behind its table")
    if verb == "INSERT":
        return rest[1:], (), None
    returning = None
    end = _find(rest, 0, "RETURNING")
    if end is not None:
        returning = _returning(rest[end + 1 :])
        rest = rest[:end]
    start = _find(rest, 0, "WHERE")
    if start is None:
        return rest, (), returning
    where = rest[start + 1 :]
    order = _find(where, 0, "ORDER")
    if order is None:
        return rest[:start], where, returning
    return (*rest[:start], *where[order:]), where[:order], returning


def _returning(tokens: Sequence[Token]) -> str:
    words = [token.text.upper() for token in tokens]
    kinds = {"ALL": "ALL", "MODIFIED": "UPDATED"}
    if len(words) != 3 or words[0] not in kinds or words[1] not in ("OLD", "NEW"):
        raise CannotJudge("it cannot be told what the statement returns")
    return f"{kinds[words[0]]}_{words[1]}"


def _item(tokens: Sequence[Token]) -> tuple[tuple[str, Operand | None], ...] | None:
    """None if it is no plain ``{'name': value, …}``."""
    if len(tokens) < 2 or not tokens[0].is_mark("{") or _closing(tokens, 0) != len(tokens) - 1:
        return None
    found = []
    for entry in _split(tokens[1:-1], ","):
        if len(entry) < 3 or not entry[1].is_mark(":") or entry[0].kind not in ("text", "name"):
            return None
        found.append((entry[0].text, _operand(entry[2:])))
    return tuple(found)


def _operand(tokens: Sequence[Token]) -> Operand | None:
    """None for what is no plain value."""
    sign = ""
    if len(tokens) == 2 and tokens[0].is_mark("-") and tokens[1].kind == "number":
        sign, tokens = "-", tokens[1:]
    if len(tokens) != 1:
        return None
    (token,) = tokens
    if token.kind == "slot":
        return Slot(int(token.text))
    if token.kind == "text":
        return {"S": token.text}
    return {"N": sign + token.text} if token.kind == "number" else None


def _parts(where: Sequence[Token]) -> list[Sequence[Token]] | None:
    """None if something else than AND joins them."""
    parts = []
    depth = start = 0
    between = False
    for at, token in enumerate(where):
        if token.is_mark(*_OPENING):
            depth += 1
        elif token.is_mark(*_CLOSING):
            depth -= 1
        elif depth == 0 and _is_other_logic(where, at):
            return None
        elif depth == 0 and token.is_word("BETWEEN"):
            between = True
        elif depth == 0 and token.is_word("AND"):
            if not between:
                parts.append(where[start:at])
                start = at + 1
            between = False
    parts.append(where[start:])
    return parts


def _is_other_logic(tokens: Sequence[Token], at: int) -> bool:
    """OR, and NOT but for that of IS NOT."""
    if tokens[at].is_word("NOT"):
        return at == 0 or not tokens[at - 1].is_word("IS")
    return tokens[at].is_word("OR")


def _split(tokens: Sequence[Token], mark: str) -> Iterator[Sequence[Token]]:
    depth = start = 0
    for at, token in enumerate(tokens):
        if token.is_mark(*_OPENING):
            depth += 1
        elif token.is_mark(*_CLOSING):
            depth -= 1
        elif depth == 0 and token.is_mark(mark):
            yield tokens[start:at]
            start = at + 1
    yield tokens[start:]


def _find(tokens: Sequence[Token], start: int, word: str) -> int | None:
    """Where a word stands outside of brackets."""
    depth = 0
    for at in range(start, len(tokens)):
        if tokens[at].is_mark(*_OPENING):
            depth += 1
        elif tokens[at].is_mark(*_CLOSING):
            depth -= 1
        elif depth == 0 and tokens[at].is_word(word):
            return at
    return None


def _closing(tokens: Sequence[Token], start: int) -> int:
    """Where the bracket at ``start`` closes; -1 if it is none."""
    depth = 0
    for at in range(start, len(tokens)):
        if tokens[at].is_mark(*_OPENING):
            depth += 1
        elif tokens[at].is_mark(*_CLOSING):
            depth -= 1
        if depth == 0:
            return at if at > start else -1
    return -1


def _names(tokens: Sequence[Token], table: str, keywords: frozenset[str]) -> Iterator[str]:
    """First names of paths; of paths that begin with the table's name, all."""
    whole = False
    for at, token in enumerate(tokens):
        follows = at > 0 and tokens[at - 1].is_mark(".")
        if not token.is_identifier:
            inside = at > 0 and tokens[at - 1].is_mark("[") and token.kind == "text"
            if whole and inside:
                yield token.text
            continue
        if token.is_word(*keywords) and not follows:
            continue
        called = at + 1 < len(tokens) and tokens[at + 1].is_mark("(")
        if token.kind == "word" and called:
            continue
        if not follows:
            whole = token.text.casefold() == table.casefold()
            yield token.text
        elif whole:
            yield token.text
