"""What one participant of the log has on its disk, in a simulation."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from cluster.consensus.core.messages import (
    Append,
    Durable,
    HardState,
    Rewrite,
    Snapshot,
    Write,
)

SYNC_S = 0.001


@dataclass
class RaftDisk:
    """Survives processes. What a process has not been told to be durable when it ends, is not."""

    durable: Durable = field(default_factory=lambda: Durable(HardState(), Snapshot()))
    boot: int = 0

    async def open(self, begin: Durable) -> tuple[int, Durable]:
        if not self.boot:
            self.durable = begin
        self.boot += 1
        return self.boot, self.durable

    async def write(self, writes: Sequence[Write]) -> None:
        await asyncio.sleep(SYNC_S)
        for write in writes:
            self._write(write)

    async def close(self) -> None:
        pass

    @property
    def last(self) -> int:
        entries = self.durable.entries
        return entries[-1].index if entries else self.durable.snapshot.index

    def _write(self, write: Write) -> None:
        before = self.durable
        match write:
            case HardState():
                self.durable = replace(before, hard=write)
            case Append(entries):
                kept = before.entries
                behind = self.last + 1 - entries[0].index
                if behind:
                    kept = kept[:-behind]
                self.durable = replace(before, entries=kept + entries)
            case Rewrite(snapshot, entries):
                self.durable = replace(before, snapshot=snapshot, entries=entries)
