"""Kinds of requests as the generator reads them: bytes with holes for keys (``spec.c``). Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, Self

Protocol = Literal["dax", "http", "resp", "memcached"]
Choice = Literal["uniform", "zipf", "once"]

KEY_DIGITS = 12
KEY_PREFIX = "key:"
MARK = 987_600_000_000
"""Where a key's number goes, frames are made with a number from this one on."""


def key_name(number: int) -> str:
    return f"{KEY_PREFIX}{number:0{KEY_DIGITS}d}"


@dataclass(frozen=True, slots=True)
class Keys:
    """Which numbers are drawn: ``count`` from ``first`` on; ``once``: each in its turn."""

    first: int = 0
    count: int = 10_000
    choice: Choice = "uniform"


@dataclass(frozen=True, slots=True)
class Reply:
    """The right reply: its length in bytes, and how it begins.

    With HTTP ``least`` and ``most`` are of the body. ``values``: how many follow the first of a
    DAX reply (docs/dax-protocol.md, 3).
    """

    least: int = 0
    most: int = 2**62
    prefix: bytes = b""
    values: int = 1

    @classmethod
    def exactly(cls, reply: bytes) -> Self:
        return cls(len(reply), len(reply), reply)


@dataclass(frozen=True, slots=True)
class Kind:
    """``frame`` has the numbers ``MARK``, ``MARK + 1``, … in the places of its keys."""

    name: str
    frame: bytes
    reply: Reply
    keys: Keys = field(default_factory=Keys)
    weight: float = 1.0

    def of(self, keys: Keys, weight: float = 1.0) -> Kind:
        return replace(self, keys=keys, weight=weight)

    def holes(self) -> list[int]:
        """Offsets of the keys' digits; ValueError if a number stands there twice."""
        found: list[int] = []
        while True:
            digits = f"{MARK + len(found):0{KEY_DIGITS}d}".encode()
            count = self.frame.count(digits)
            if count == 0:
                return found
            if count > 1:
                raise ValueError(f"{self.name}: {digits.decode()} is {count} times in its frame")
            found.append(self.frame.index(digits))

    def lines(self) -> list[str]:
        reply, keys = self.reply, self.keys
        return [
            f"kind {self.name} {self.weight!r}",
            f"keys {keys.first} {keys.count} {keys.choice}",
            f"frame {self.frame.hex()}",
            *(f"hole {offset} {KEY_DIGITS}" for offset in self.holes()),
            f"values {reply.values}",
            f"expect {reply.least} {reply.most}",
            f"prefix {reply.prefix.hex() or '-'}",
        ]


def spec(protocol: Protocol, hello: bytes, kinds: Sequence[Kind]) -> str:
    """The text of the file. ``hello``: what a connection begins with."""
    head = [f"protocol {protocol}", f"hello {hello.hex() or '-'}"]
    return "\n".join([*head, *(line for kind in kinds for line in kind.lines())]) + "\n"
