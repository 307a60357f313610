"""Pauses between attempts: exponential with equal jitter. Pure, given its source of chance."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random

BASE_S = 0.025
"""First pause: about two round trips to DynamoDB. SDKs start at 25 to 70 ms."""
CAP_S = 1.0
"""Throttled tables refill every second; longer pauses only add delay."""


class Backoff:
    """The pauses of one request."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._ceiling = BASE_S

    def pause_s(self) -> float:
        """The next pause: between half of the ceiling and the ceiling, which then doubles."""
        ceiling, self._ceiling = self._ceiling, min(self._ceiling * 2, CAP_S)
        return ceiling * (0.5 + 0.5 * self._rng.random())
