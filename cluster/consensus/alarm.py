"""One timer for the earliest of several times."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

LATE_S = 0.001
"""It rings so much later: uvloop's timers may come a millisecond early, and one that is set again
for what has not quite come does so again at once."""


class Alarm:
    """Calls ``ring`` in the loop in which it is set."""

    def __init__(self, ring: Callable[[], None]) -> None:
        self._ring = ring
        # uvloop returns a handle without a time for a time that has come.
        self._timer: asyncio.Handle | None = None
        self._at = 0.0

    def set(self, when: float) -> None:
        """Rings at ``when``, on the loop's clock, or before, if that was asked for."""
        if self._timer is not None:
            if when >= self._at:
                return
            self._timer.cancel()
        self._at = when
        self._timer = asyncio.get_running_loop().call_at(when + LATE_S, self._due)

    def cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _due(self) -> None:
        self._timer = None
        self._ring()
