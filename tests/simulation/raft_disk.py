"""What one participant of the log has on its disk, in a simulation."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from cluster.consensus.core.messages import Durable, HardState, Snapshot, Write
from tests.support.durable import written

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
            self.durable = written(self.durable, write)

    async def close(self) -> None:
        pass
