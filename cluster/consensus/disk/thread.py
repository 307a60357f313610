"""A disk for an event loop: one thread does its work, and nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from cluster.consensus.core.messages import Durable, Write
from cluster.consensus.disk.directory import Directory
from cluster.consensus.disk.disk import PREALLOCATE_BYTES
from cluster.consensus.disk.opening import Opened, open_disk


class DiskThread:
    """Nothing here has a deadline: a disk that hangs cannot be given up, because what it does
    afterwards is not known. A caller that is cancelled leaves its write behind, which is still
    carried out, before any later one.
    """

    def __init__(self, executor: ThreadPoolExecutor, opened: Opened) -> None:
        self._executor = executor
        self._disk = opened.disk
        self._found: tuple[int, Durable] | None = (opened.boot, opened.durable)

    @classmethod
    async def open(
        cls,
        directory: Directory,
        name: str,
        begin: Durable | None,
        preallocate_bytes: int = PREALLOCATE_BYTES,
    ) -> DiskThread:
        """Raises as ``open_disk`` does."""
        executor = ThreadPoolExecutor(1, thread_name_prefix="disk")
        opening = executor.submit(open_disk, directory, name, begin, preallocate_bytes)
        try:
            opened = await asyncio.wrap_future(opening)
        except BaseException:
            opening.add_done_callback(_close)
            executor.shutdown(wait=False)
            raise
        return cls(executor, opened)

    def recover(self) -> tuple[int, Durable]:
        """The boot, and what was found. Once: it may be large, and is not kept here."""
        found, self._found = self._found, None
        if found is None:
            raise RuntimeError("the disk was recovered already")
        return found

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


class FileDisk:
    """The disk in a directory that the caller has locked, as a participant asks for it. ``name`` is
    the participant's."""

    def __init__(self, directory: Directory, name: str) -> None:
        self._directory = directory
        self._name = name
        self._thread: DiskThread | None = None

    async def open(self, begin: Durable) -> tuple[int, Durable]:
        self._thread = await DiskThread.open(self._directory, self._name, begin)
        return self._thread.recover()

    async def write(self, writes: Sequence[Write]) -> None:
        assert self._thread is not None
        await self._thread.write(writes)

    async def close(self) -> None:
        assert self._thread is not None
        await self._thread.close()
