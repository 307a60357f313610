"""What a participant needs of where it runs: a disk, and connections to the others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from cluster.consensus.core.messages import Durable, Write
from cluster.consensus.forwarding import Letter


class Disk(Protocol):
    """Where a participant's log is stored."""

    async def is_new(self) -> bool:
        """Returns True if there is no log yet. Called before ``open``, if at all."""

    async def open(self, begin: Durable | None) -> tuple[int, Durable]:
        """Returns the number of this start, which is one more than that of the last, and what is
        stored: ``begin``, if the disk is new; it has to be given then. Raises ConfigError for one
        that cannot be used."""

    async def write(self, writes: Sequence[Write]) -> None:
        """Returns once all writes are durable, in their order."""

    async def close(self) -> None:
        """Called once, after the last write."""


class Links(Protocol):
    """The connections to the other participants, by name."""

    def send(self, letter: Letter) -> None:
        """Never waits. Messages that arrive at one participant keep their order; some may be
        lost."""


class NoLinks:
    """Of a participant that is alone."""

    def send(self, letter: Letter) -> None:
        """Nobody is there."""
