"""The programs that a command is about."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Selection:
    """The programs as they were named; no names: all that the command can be about."""

    words: Sequence[str] = ()
    zone: str | None = None
    primary: bool = False

    @property
    def empty(self) -> bool:
        return not self.words and self.zone is None and not self.primary


@dataclass(frozen=True, slots=True)
class AffectedLinks:
    """The links of the selected programs that a fault is on."""

    to: Sequence[str] = ()
    """The other ends; empty: every other node, and discovery."""
    one_way: bool = False
    """True if only what the selected programs send is affected."""
    dynamodb: bool = False
    channels: Sequence[str] = ()


EVERYTHING = Selection()
EVERYWHERE = AffectedLinks()
