"""Whom a command is about."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Selection:
    """Whom a command is about, as it was named; nobody: everybody that it can be about."""

    words: Sequence[str] = ()
    zone: str | None = None
    primary: bool = False

    @property
    def empty(self) -> bool:
        return not self.words and self.zone is None and not self.primary


@dataclass(frozen=True, slots=True)
class Reach:
    """Which links of the selected programs a fault is on."""

    to: Sequence[str] = ()
    """Only those to and from these; empty: to and from every other node, and discovery."""
    one_way: bool = False
    """Only what the selected ones send."""
    dynamodb: bool = False
    channels: Sequence[str] = ()


EVERYTHING = Selection()
EVERYWHERE = Reach()
