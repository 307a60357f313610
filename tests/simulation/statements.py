"""The PartiQL of the workload: writes of one item, and SELECT of one.

Honest in what counts: a statement names its table, its key stands in WHERE beside further
conditions, strings are quoted by doubling, and ``?`` takes the next parameter. ``UPSERT INTO`` is a
verb of DynamoDB's future: no node can read it, and it writes all the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from paceline.errors import DynamoDBError
from paceline.types import Item, Params

Verb = Literal["INSERT", "UPSERT", "UPDATE", "DELETE", "SELECT"]

BATCHES = {"BatchExecuteStatement": "Statements", "ExecuteTransaction": "TransactStatements"}
PARTIQL = frozenset({"ExecuteStatement", *BATCHES})

_TOKEN = re.compile(
    r"""\s*(?:--[^\n]*\n|/\*.*?\*/|(?P<token>'(?:[^']|'')*'|"[^"]*"|\w+|[{}:,=?*]))""",
    re.DOTALL,
)


@dataclass
class Statement:
    verb: Verb
    table: str
    item: Item = field(default_factory=dict)
    """What INSERT and UPSERT write, and what UPDATE sets."""
    where: Item = field(default_factory=dict)
    returning: str = ""
    """Such as ``ALL OLD``."""


def statements_of(operation: str, body: Params) -> list[Params]:
    return [body] if operation == "ExecuteStatement" else body[BATCHES[operation]]


def only_reads(operation: str, body: Params) -> bool:
    return all(parsed(one).verb == "SELECT" for one in statements_of(operation, body))


def parsed(statement: Params) -> Statement:
    """ValidationException for what is no statement."""
    try:
        return _Parser(statement["Statement"], statement.get("Parameters") or ()).read()
    except (StopIteration, ValueError) as error:
        raise DynamoDBError(
            "ValidationException", f"Statement wasn't well formed, can't be processed: {error}", 400
        ) from error


class _Parser:
    def __init__(self, text: str, parameters: Sequence[Any]) -> None:
        self._tokens = _tokens(text)
        self._parameters = iter(parameters)
        self._next: str | None = next(self._tokens)

    def read(self) -> Statement:
        verb = self._take().upper()
        match verb:
            case "INSERT" | "UPSERT":
                self._expect("INTO")
                made = Statement(verb, self._name())  # type: ignore[arg-type]
                self._expect("VALUE")
                made.item = self._tuple()
            case "UPDATE":
                made = Statement("UPDATE", self._name())
                while self._has("SET"):
                    name = self._name()
                    self._expect("=")
                    made.item[name] = self._value()
            case "DELETE":
                self._expect("FROM")
                made = Statement("DELETE", self._name())
            case "SELECT":
                self._expect("*")
                self._expect("FROM")
                made = Statement("SELECT", self._name())
            case _:
                raise ValueError(f"no such verb: {verb}")
        if self._has("WHERE"):
            made.where = self._conditions()
        if self._has("RETURNING"):
            made.returning = f"{self._take()} {self._take()}"
            self._expect("*")
        if self._next is not None:
            raise ValueError(f"unexpected {self._next}")
        return made

    def _take(self) -> str:
        if self._next is None:
            raise ValueError("it ends too early")
        token, self._next = self._next, next(self._tokens, None)
        return token

    def _expect(self, word: str) -> None:
        if (token := self._take()).upper() != word:
            raise ValueError(f"{token} instead of {word}")

    def _has(self, word: str) -> bool:
        if self._next is None or self._next.upper() != word:
            return False
        self._take()
        return True

    def _name(self) -> str:
        return self._take().strip('"')

    def _value(self) -> Any:
        token = self._take()
        if token == "?":
            return next(self._parameters)
        if token.startswith("'"):
            return {"S": token[1:-1].replace("''", "'")}
        return {"N": str(int(token))}

    def _tuple(self) -> Item:
        item: Item = {}
        self._expect("{")
        while True:
            name = self._take().strip("'")
            self._expect(":")
            item[name] = self._value()
            if not self._has(","):
                self._expect("}")
                return item

    def _conditions(self) -> Item:
        found: Item = {}
        while True:
            name = self._name()
            self._expect("=")
            found[name] = self._value()
            if not self._has("AND"):
                return found


def _tokens(text: str) -> Iterator[str]:
    at = 0
    text = text.strip()
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise ValueError(f"what is {text[at:]}?")
        at = match.end()
        if match["token"] is not None:
            yield match["token"]


# -- writing them -------------------------------------------------------------------------------


def literal(value: Any) -> str:
    ((kind, plain),) = value.items()
    return str(plain) if kind == "N" else "'" + plain.replace("'", "''") + "'"


def spelled(attributes: Item) -> str:
    return " AND ".join(f"{name} = {literal(value)}" for name, value in attributes.items())


def value_tuple(item: Item) -> str:
    return "{" + ", ".join(f"'{name}': {literal(value)}" for name, value in item.items()) + "}"
