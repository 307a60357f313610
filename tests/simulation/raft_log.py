"""What one participant of the simulator's Raft has on its disk."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

COMMAND, VOTERS, NOOP = "command", "voters", "noop"
"""Kinds of entries: data is bytes, the tuple of all voters, or nothing."""


@dataclass(frozen=True, slots=True)
class Entry:
    term: int
    kind: str
    data: Any


@dataclass
class RaftDisk:
    """What survives the process. Entries after ``base``; what came before is in ``snapshot``."""

    term: int = 0
    voted_for: str | None = None
    base: int = 0
    base_term: int = 0
    snapshot: bytes | None = None
    base_voters: tuple[str, ...] = ()
    entries: list[Entry] = field(default_factory=list)
    _voters: tuple[str, ...] | None = None

    @property
    def last(self) -> int:
        return self.base + len(self.entries)

    def term_at(self, index: int) -> int | None:
        """None: not here (any more)."""
        if index == self.base:
            return self.base_term
        if self.base < index <= self.last:
            return self.entries[index - self.base - 1].term
        return None

    def entry(self, index: int) -> Entry:
        return self.entries[index - self.base - 1]

    def voters(self) -> tuple[str, ...]:
        """Of the latest entry that names them, committed or not."""
        if self._voters is None:
            named = (e.data for e in reversed(self.entries) if e.kind == VOTERS)
            self._voters = next(named, self.base_voters)
        return self._voters

    def append(self, entry: Entry) -> None:
        self.entries.append(entry)
        if entry.kind == VOTERS:
            self._voters = None

    def cut_after(self, index: int) -> None:
        del self.entries[index - self.base :]
        self._voters = None

    def restart_at(self, base: int, base_term: int, voters: tuple[str, ...], data: bytes) -> None:
        """``data`` stands for everything up to ``base``."""
        if self.term_at(base) == base_term:
            del self.entries[: base - self.base]
        else:
            self.entries.clear()
        self.base, self.base_term, self.base_voters = base, base_term, voters
        self.snapshot = data
        self._voters = None
