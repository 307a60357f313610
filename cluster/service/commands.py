"""Bounds operators' commands: equal ones at the same time run once, for all who ask."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

AdminCommand = Callable[[Mapping[str, str]], Awaitable[dict[str, Any]]]
"""A POST hook: query parameters to a JSON result. RequestError is answered with 400, any other
PacelineError with 503."""

RATE_PER_S = 10.0
BURST = 20.0
"""The most commands begun at once, for an operator who flushes table after table; then
``RATE_PER_S``."""


class TooManyCommands(Exception):
    """Nothing was done; the command may be tried again a little later."""


class Rate:
    """At most ``burst`` at once and ``per_s`` in the long run; pure."""

    def __init__(self, per_s: float = RATE_PER_S, burst: float = BURST) -> None:
        self._per_s = per_s
        self._burst = burst
        self._left = burst
        self._at = float("-inf")

    def take(self, now: float) -> bool:
        self._left = min(self._burst, self._left + (now - self._at) * self._per_s)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True


class Coalesced:
    """One command, run once for all that ask for the same while it waits to run.

    Who asks while a run is under way waits for the next one: a flush voids what was cached when it
    began, and the caller means what is cached when he asks. So at most one runs and one waits, for
    each set of parameters. A caller that gives up does not end the run; ``run_s`` does.
    """

    def __init__(
        self, command: AdminCommand, rate: Rate, clock: Callable[[], float], run_s: float
    ) -> None:
        self._command = command
        self._run_s = run_s
        self._rate = rate
        self._clock = clock
        self._running: dict[tuple[tuple[str, str], ...], asyncio.Task[dict[str, Any]]] = {}
        self._waiting: dict[tuple[tuple[str, str], ...], asyncio.Task[dict[str, Any]]] = {}

    async def __call__(self, query: Mapping[str, str]) -> dict[str, Any]:
        """TooManyCommands, TimeoutError, and whatever the command raises."""
        key = tuple(sorted(query.items()))
        task = self._waiting.get(key)
        if task is None:
            if not self._rate.take(self._clock()):
                raise TooManyCommands
            task = asyncio.get_running_loop().create_task(self._run(key, dict(query)))
            if key in self._running:
                self._waiting[key] = task
            else:
                self._running[key] = task
            task.add_done_callback(lambda done: self._over(key, done))
        return await asyncio.shield(task)

    async def aclose(self) -> None:
        tasks = [*self._running.values(), *self._waiting.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(
        self, key: tuple[tuple[str, str], ...], query: Mapping[str, str]
    ) -> dict[str, Any]:
        before = self._running.get(key)
        if before is not None and before is not asyncio.current_task():
            await asyncio.wait([before])  # however it ends, which it does within run_s
            self._running[key] = self._waiting.pop(key)
        async with asyncio.timeout(self._run_s):
            return await self._command(query)

    def _over(self, key: tuple[tuple[str, str], ...], task: asyncio.Task[dict[str, Any]]) -> None:
        for tasks in (self._running, self._waiting):
            if tasks.get(key) is task:
                del tasks[key]
        _ = task.cancelled() or task.exception()  # seen by who waits for it, if anyone still does
