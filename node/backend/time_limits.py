"""Ends attempts at DynamoDB that have taken too long: one timer for all of them.

``asyncio.timeout`` makes one, or two, for each, which takes longer than all else that it is there
for. Here the time is a number, looked at when the timer of the earliest one goes off; that is as
good as never as long as attempts end well.
"""

from __future__ import annotations

import asyncio
from math import inf
from types import TracebackType
from typing import Self


class TimeLimits:
    """One per event loop that attempts run on, whose clock it goes by."""

    def __init__(self) -> None:
        self._running: set[TimeLimit] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._looks_at = inf

    def within(self, left_s: float) -> TimeLimit:
        """``async with`` it: as ``asyncio.timeout``."""
        return TimeLimit(self, asyncio.get_running_loop().time() + left_s)

    def add(self, limit: TimeLimit) -> None:
        self._running.add(limit)
        self.due(limit.until)

    def discard(self, limit: TimeLimit) -> None:
        self._running.discard(limit)

    def due(self, until: float) -> None:
        """Something is to be ended then."""
        if until < self._looks_at:
            if self._timer is not None:
                self._timer.cancel()
            self._looks_at = until
            self._timer = asyncio.get_running_loop().call_at(until, self._look)

    def _look(self) -> None:
        now = self._timer_time()
        self._timer, self._looks_at = None, inf
        for limit in [limit for limit in self._running if limit.until <= now]:
            self._running.discard(limit)
            limit.end()
        self.due(min((limit.until for limit in self._running), default=inf))

    def _timer_time(self) -> float:
        """A timer may go off a little early, by the clock's resolution."""
        return max(asyncio.get_running_loop().time(), self._looks_at)


class TimeLimit:
    """For one task, used once. TimeoutError leaves it when it was exceeded, and the cancellation by
    which it ends what is in it goes no further."""

    __slots__ = ("_cancelling", "_exceeded", "_limits", "_task", "until")

    def __init__(self, limits: TimeLimits, until: float) -> None:
        self._limits = limits
        self.until = until
        self._exceeded = False

    def when(self) -> float | None:
        return None if self.until == inf else self.until

    def reschedule(self, when: float | None) -> None:
        """None: it ends nothing any more. Nothing happens once it was exceeded."""
        self.until = inf if when is None else when
        if not self._exceeded:
            self._limits.due(self.until)

    def end(self) -> None:
        """The time has come."""
        self._exceeded = True
        self._task.cancel()

    async def __aenter__(self) -> Self:
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        self._cancelling = task.cancelling()
        self._limits.add(self)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._limits.discard(self)
        if not self._exceeded:
            return
        # As asyncio.timeout has it: whoever else has cancelled the task meanwhile is not swallowed.
        if self._task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise TimeoutError from error
