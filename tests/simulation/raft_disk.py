"""What one participant of the log has on its disk: the files of a node, in a directory in memory
that survives processes, and what may become of them."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence

from cluster.consensus.core.messages import Durable, HardState, Write
from cluster.consensus.disk.disk import Disk
from cluster.consensus.disk.errors import DiskFailed, DiskFull
from cluster.consensus.disk.opening import Opened, open_disk
from cluster.data_dir import CONSENSUS_LOG_FILE as LOG_FILE
from cluster.data_dir import CONSENSUS_STATE_FILE as STATE_FILE
from tests.support.memory_directory import MemoryDirectory, PowerCut, broken

SYNC_S = 0.001

PREALLOCATE_BYTES = 1024
"""So that a full disk is soon noticed."""

PLENTY_BYTES = 1 << 40

OPERATIONS_MAX = 12
"""Of a batch that is interrupted: more than most of them have."""

TAIL_BYTES_MAX = 3_000


class RaftDisk:
    """``name``: of this disk, among the voters. ``rng``: of what its faults do; None: a process
    that ends during a write leaves nothing of it. ``power_loss``: the part of the processes that
    end because the machine does."""

    def __init__(
        self, name: str = "", rng: random.Random | None = None, power_loss: float = 0.0
    ) -> None:
        self.directory = MemoryDirectory()
        self.boot = 0
        self.sync_s = SYNC_S
        self.failed = False
        """A write has failed since the process began."""
        self.refused = False
        """It could not be opened."""
        self.doubtful = False
        """It may have lost what was durable, and has not got it back."""
        self._name = name
        self._rng = rng
        self._power_loss = power_loss
        self._is_open = False
        self._under_way: Sequence[Write] = ()
        self._disk: Disk

    # What a participant asks of it

    async def is_new(self) -> bool:
        self._settle(self._power_loss)
        return LOG_FILE not in self.directory.inodes

    async def open(self, begin: Durable | None) -> tuple[int, Durable]:
        await asyncio.sleep(SYNC_S)
        self._settle(self._power_loss)
        self.failed = False
        self.refused = True
        opened = open_disk(self.directory, self._name, begin, PREALLOCATE_BYTES)
        self.refused = False
        self._disk, self._is_open = opened.disk, True
        self.doubtful = opened.durable.hard.mending
        self.boot = opened.boot
        return opened.boot, opened.durable

    async def write(self, writes: Sequence[Write]) -> None:
        self._under_way = writes
        await asyncio.sleep(self.sync_s)
        self._under_way = ()
        try:
            self._disk.write(writes)
        except DiskFailed:
            self.failed = True
            raise
        if any(isinstance(one, HardState) and not one.mending for one in writes):
            self.doubtful = False

    async def close(self) -> None:
        self._is_open = False
        self._disk.close()

    def opened_by_operator(self) -> Opened:
        """While no process uses it."""
        self._settle(self._power_loss)
        return open_disk(self.directory, self._name, None, PREALLOCATE_BYTES)

    # What happens to it

    def heal(self) -> None:
        """It is fast, has space, and does not fail. What is lost stays so."""
        self.sync_s = SYNC_S
        self.give_space(PLENTY_BYTES)
        self.directory.step = _nothing

    def give_space(self, space_bytes: int) -> None:
        self.directory.space = space_bytes

    def fail_the_next_sync(self) -> None:
        def step(operation: str, name: str) -> None:
            if operation == "sync":
                self.directory.step = _nothing
                raise broken()

        self.directory.step = step

    def lose_tail(self, rng: random.Random) -> None:
        """Of what was durable; the process is dead. The last bytes are zeros, or not there."""
        self._settle(0.0)
        self._flush()
        end = self._end
        at = max(end - rng.randint(1, TAIL_BYTES_MAX), 0)
        file = self.directory.open(LOG_FILE)
        if rng.random() < 0.5:
            self.directory.cut(LOG_FILE, at)
        else:
            file.write(at, bytes(end - at))
        file.close()
        self._flush()
        self.doubtful = True

    def flip_bit(self, rng: random.Random) -> None:
        """Of what is in use; the process is dead."""
        self._settle(0.0)
        self._flush()
        name = rng.choice([LOG_FILE, LOG_FILE, LOG_FILE, STATE_FILE])
        end = self._end if name == LOG_FILE else len(self.directory.get(name))
        self.directory.flip(name, rng.randrange(end), rng.randrange(8))
        self.doubtful = True

    @property
    def _end(self) -> int:
        """Of what is in the log. Zeros follow."""
        return len(self.directory.get(LOG_FILE).rstrip(b"\0"))

    @property
    def can_be_harmed(self) -> bool:
        return LOG_FILE in self.directory.inodes and STATE_FILE in self.directory.inodes

    def _settle(self, power_loss: float) -> None:
        """What a process that was killed has left: any part of the write that was under way."""
        if not self._is_open:
            return
        self._is_open = False
        writes, self._under_way = self._under_way, ()
        rng = self._rng
        if rng is None:
            return
        if writes:
            self._interrupt(writes, rng.randrange(OPERATIONS_MAX))
        if rng.random() < power_loss:
            self.directory.lose_power(rng)

    def _interrupt(self, writes: Sequence[Write], operations: int) -> None:
        left = operations

        def step(operation: str, name: str) -> None:
            nonlocal left
            left -= 1
            if left < 0:
                raise PowerCut

        before, self.directory.step = self.directory.step, step
        try:
            self._disk.write(writes)
        except (PowerCut, DiskFull, DiskFailed):
            pass
        finally:
            self.directory.step = before

    def _flush(self) -> None:
        self.directory.step = _nothing
        self.directory.sync()
        for inode in self.directory.inodes.values():
            inode.sync()


def _nothing(operation: str, name: str) -> None:
    pass
