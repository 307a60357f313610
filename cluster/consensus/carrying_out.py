"""What a core has decided, carried out in its order: written, then sent and applied.

While a write is under way, what is decided meanwhile waits, and goes with one sync afterwards. A
write for which there is no space is made again until there is: nothing that follows from it is
sent before, and nothing more is decided. Whatever else goes wrong is final.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import structlog

from cluster.consensus.core.messages import Ready, Write
from cluster.consensus.disk.errors import DiskFull
from cluster.consensus.environment import Disk

_log = structlog.get_logger()

WAITING_MAX = 4_000
"""The most writes, or messages, that wait for a write under way. Beyond it nothing more is
accepted, so a participant whose disk stands still does not answer."""

FULL_RETRY_S = 1.0
"""The pause before a write for which there was no space is made again."""

STANDS_STILL_S = 2.0
"""A write that takes longer keeps its node from what the others have decided since."""


class CarryingOut:
    """Of one participant.

    ``carry_out`` sends and applies what needs no write any more; it may ``take`` more. ``synced``
    is told the mark of what has become durable. ``full`` is called when there is no space: the
    disk stands still from then on. ``failed`` is called once, with what went wrong: nothing is
    written, sent or applied from then on.
    """

    def __init__(
        self,
        disk: Disk,
        carry_out: Callable[[Ready], None],
        synced: Callable[[int], Ready],
        full: Callable[[], None],
        failed: Callable[[str, BaseException], None],
    ) -> None:
        self._disk = disk
        self._carry_out = carry_out
        self._synced = synced
        self._on_full = full
        self._failed = failed
        self._waiting = Ready()
        """What was decided and not carried out, because a write is under way."""
        self._writing: asyncio.Task[None] | None = None
        self._writing_since = 0.0
        """The time at which the batch under way was given to the disk."""
        self._is_carrying_out = False
        self._full: str | None = None
        self._ended = False
        self._stopping = asyncio.Event()

    @property
    def is_blocked(self) -> bool:
        """True if nothing more may be decided: there is no space, or too much waits already."""
        if self._full is not None:
            return True
        waiting = self._waiting
        return max(len(waiting.writes), len(waiting.messages)) > WAITING_MAX

    def trouble(self, now: float) -> str | None:
        """Returns what is wrong with the disk, in words that follow its name."""
        if self._full is not None:
            return f"is full: {self._full}"
        standing_s = now - self._writing_since
        if self._writing is None or standing_s < STANDS_STILL_S:
            return None
        return f"stands still: a write has taken {standing_s:.0f} s so far"

    def take(self, ready: Ready) -> None:
        if self._ended:
            return
        self._waiting += ready
        if self._writing is None and not self._is_carrying_out:
            self._carry_on()

    def drop(self) -> None:
        """What waits is not carried out, and nothing more is."""
        self._ended = True
        self._waiting = Ready()

    async def end(self) -> None:
        """Waits for the write under way: abandoned, it would write to a closed file. The disk
        answers, or ends the process. What waits for space is given up."""
        self._stopping.set()
        if self._writing is not None:
            await asyncio.wait([self._writing])

    def _carry_on(self) -> None:
        """Carries out at once what needs no write. What is decided meanwhile waits for its turn."""
        self._is_carrying_out = True
        try:
            while self._waiting and not self._waiting.writes:
                ready, self._waiting = self._waiting, Ready()
                self._carry_out(ready)
        except Exception as error:
            self._fail("the log cannot be followed", error)
        finally:
            self._is_carrying_out = False
        if self._waiting:
            loop = asyncio.get_running_loop()
            self._writing_since = loop.time()
            self._writing = loop.create_task(self._write())

    async def _write(self) -> None:
        """Writes and carries out until nothing waits. ``_writing`` is None from then on, not only
        once the loop has noticed that the task is done: nothing may be left to it in between."""
        try:
            while self._waiting:
                ready, self._waiting = self._waiting, Ready()
                what = "the log cannot be written"
                if ready.writes:
                    await self._make_durable(ready.writes)
                if self._ended:
                    return
                what = "the log cannot be followed"
                self._carry_out(ready)
                if ready.writes:
                    self._waiting += self._synced(ready.mark)
        except BaseException as error:  # also a CancelledError: the task ends here anyway
            self._fail(what, error)
        finally:
            self._writing = None

    async def _make_durable(self, writes: Sequence[Write]) -> None:
        """Returns once all are durable, or ended."""
        self._writing_since = asyncio.get_running_loop().time()
        while not self._ended:
            try:
                await self._disk.write(writes)
            except DiskFull as full:
                if self._full is None:
                    _log.error("no space for the log", reason=str(full))
                    self._full = str(full)
                    self._on_full()
                if await self._is_stopping(FULL_RETRY_S):
                    self.drop()
                continue
            if self._full is not None:
                _log.info("there is space for the log again")
                self._full = None
            return

    async def _is_stopping(self, within_s: float) -> bool:
        try:
            async with asyncio.timeout(within_s):
                return await self._stopping.wait()
        except TimeoutError:
            return False

    def _fail(self, what: str, error: BaseException) -> None:
        self.drop()
        self._failed(what, error)
