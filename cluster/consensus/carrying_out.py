"""What a core has decided, carried out in its order: written, then sent and applied.

While a write is under way, what is decided meanwhile waits, and goes with one sync afterwards.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from cluster.consensus.core.messages import Ready
from cluster.consensus.environment import Disk

WAITING_MAX = 4_000
"""The most writes, or messages, that wait for a write under way. Beyond it nothing more is
accepted, so a participant whose disk stands still does not answer."""


class CarryingOut:
    """Of one participant.

    ``carry_out`` sends and applies what needs no write any more; it may ``take`` more. ``synced``
    is told the mark of what has become durable. ``failed`` is called once, with what went wrong:
    nothing is written, sent or applied from then on.
    """

    def __init__(
        self,
        disk: Disk,
        carry_out: Callable[[Ready], None],
        synced: Callable[[int], Ready],
        failed: Callable[[str, BaseException], None],
    ) -> None:
        self._disk = disk
        self._carry_out = carry_out
        self._synced = synced
        self._failed = failed
        self._waiting = Ready()
        """What was decided and not carried out, because a write is under way."""
        self._writing: asyncio.Task[None] | None = None
        self._is_carrying_out = False
        self._ended = False

    @property
    def is_blocked(self) -> bool:
        """True if so much waits that nothing more may be decided."""
        waiting = self._waiting
        return max(len(waiting.writes), len(waiting.messages)) > WAITING_MAX

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
        answers, or ends the process."""
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
            self._writing = asyncio.get_running_loop().create_task(self._write())

    async def _write(self) -> None:
        """Writes and carries out until nothing waits. ``_writing`` is None from then on, not only
        once the loop has noticed that the task is done: nothing may be left to it in between."""
        try:
            while self._waiting:
                ready, self._waiting = self._waiting, Ready()
                what = "the log cannot be written"
                if ready.writes:
                    await self._disk.write(ready.writes)
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

    def _fail(self, what: str, error: BaseException) -> None:
        self.drop()
        self._failed(what, error)
