"""What is known of every item: all that was ever written under its key, in order."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field

from paceline.types import Item, Key

VALUE = "v"
"""The attribute whose values are unique, so that a read names the write that it saw."""


@dataclass(frozen=True, slots=True)
class Version:
    """What a write left under a key. ``sequence`` counts all versions of all keys."""

    sequence: int
    t: float
    item: Item | None

    @property
    def value(self) -> str | None:
        return None if self.item is None else self.item[VALUE]["S"]


@dataclass
class Record:
    """An item's whole life."""

    key: Key
    attributes: Item
    versions: list[Version] = field(default_factory=lambda: [Version(0, 0.0, None)])
    times: list[float] = field(default_factory=lambda: [0.0])
    sequences: list[int] = field(default_factory=lambda: [0])
    """Times and sequences of its versions, which both only rise."""

    def own(self, sequence: int) -> int:
        """The last sequence of its own up to that one, 0 without one."""
        own = bisect_right(self.sequences, sequence)
        return self.sequences[own - 1] if own else 0

    def place(self, sequence: int) -> int:
        """The index of the version of that sequence, which is there."""
        index = bisect_left(self.sequences, sequence)
        assert self.sequences[index] == sequence
        return index

    def has(self, version: Version) -> bool:
        index = bisect_left(self.sequences, version.sequence)
        return index < len(self.versions) and self.versions[index] is version

    def at(self, t: float) -> Version:
        """What was there at ``t``."""
        return self.versions[max(bisect_right(self.times, t) - 1, 0)]

    @property
    def now(self) -> Version:
        return self.versions[-1]
