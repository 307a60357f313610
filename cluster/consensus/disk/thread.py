"""A disk for an event loop: one thread does its work, and nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from cluster.consensus.core.messages import Durable, Write
from cluster.consensus.disk.directory import Directory
from cluster.consensus.disk.disk import PREALLOCATE_BYTES, Disk
from cluster.consensus.disk.opening import Opened, open_disk
from cluster.data_dir import CONSENSUS_LOG_FILE as LOG_FILE


class DiskThread:
    """The disk of the participant ``name``, in a directory that the caller has locked.

    Nothing here has a deadline: a disk that hangs cannot be given up, because what it does
    afterwards is not known. A caller that is cancelled leaves its write behind, which is still
    carried out, before any later one.
    """

    def __init__(
        self, directory: Directory, name: str, preallocate_bytes: int = PREALLOCATE_BYTES
    ) -> None:
        self._directory = directory
        self._name = name
        self._preallocate_bytes = preallocate_bytes
        self._opened = False
        self._executor: ThreadPoolExecutor
        self._disk: Disk

    async def is_new(self) -> bool:
        """True if there is no log; a beginning that was interrupted is none."""
        return LOG_FILE not in await asyncio.to_thread(self._directory.names)

    async def open(self, begin: Durable | None) -> tuple[int, Durable]:
        """Returns the boot, and what was found. Called once. Raises as ``open_disk`` does."""
        if self._opened:
            raise RuntimeError("the disk was recovered already")
        self._opened = True
        executor = ThreadPoolExecutor(1, thread_name_prefix="disk")
        opening = executor.submit(
            open_disk, self._directory, self._name, begin, self._preallocate_bytes
        )
        try:
            opened = await asyncio.wrap_future(opening)
        except BaseException:
            opening.add_done_callback(_close)
            executor.shutdown(wait=False)
            raise
        self._executor, self._disk = executor, opened.disk
        return opened.boot, opened.durable

    async def write(self, writes: Sequence[Write]) -> None:
        """As ``Disk.write``: all are durable on return."""
        loop = asyncio.get_running_loop()
        await asyncio.shield(loop.run_in_executor(self._executor, self._disk.write, writes))

    async def close(self) -> None:
        """After what is under way. Nothing may be written any more."""
        await asyncio.get_running_loop().run_in_executor(self._executor, self._disk.close)
        self._executor.shutdown()


def _close(opening: Future[Opened]) -> None:
    """Of one whom nobody waits for any more."""
    if not opening.cancelled() and opening.exception() is None:
        opening.result().disk.close()
