"""Begins requests a few milliseconds' worth a turn of the event loop.

Whoever sends much is served as fast as ever, but between two lots the loop gets to its timers, the
lease's renewal among them, and to everybody else. Without that a turn takes as long as all
requests that came in the one before: half a second for a hundred batches.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from paceline.clock import now as clock_now

TURN_S = 0.005
"""Requests begin until a turn has taken so long. What one of them does in one go comes on top."""


class Turns:
    """One for each event loop. Requests that wait begin in the order in which they came."""

    def __init__(self, clock: Callable[[], float] = clock_now) -> None:
        self._clock = clock
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._until: float | None = None
        """The end of this turn's time; None: no request has begun in it."""
        self._released = 0
        """Requests that were let go for this turn."""
        self._each_s = TURN_S
        """What one of them takes, by those of the last turns."""

    async def begin(self) -> None:
        """Returns when the request may begin: mostly at once."""
        if not self._waiting:
            now = self._clock()
            if self._until is None:
                self._until = now + TURN_S
                asyncio.get_running_loop().call_soon(self._next)
                return
            if now < self._until:
                return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        finally:
            turn.cancel()  # one that was given up keeps nobody waiting

    def _next(self) -> None:
        """In the turn after: those that were released have just run."""
        now, until = self._clock(), self._until
        assert until is not None
        if self._released:
            each_s = max(now - (until - TURN_S), 0.0) / self._released
            self._each_s = (3 * self._each_s + each_s) / 4
        self._until, self._released = None, 0
        if not self._waiting:
            return
        self._until = now + TURN_S
        most = max(1, int(TURN_S / max(self._each_s, 1e-6)))
        while self._waiting and self._released < most:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                self._released += 1
        asyncio.get_running_loop().call_soon(self._next)  # after those
