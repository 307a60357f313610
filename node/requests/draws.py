"""Numbers as if drawn, the same in every process: which requests are looked at. Pure."""

from __future__ import annotations

from typing import Final

DRAWS: Final = 1 << 32


class Draws:
    """A linear congruential generator (Knuth, TAOCP 2, 3.3.4; the constants are those of Numerical
    Recipes). Its higher bits are the better ones; nothing secret may depend on it."""

    __slots__ = ("_last",)

    def __init__(self) -> None:
        self._last = 1

    def next(self) -> int:
        """From 0 to ``DRAWS`` - 1."""
        self._last = last = (self._last * 1664525 + 1013904223) % DRAWS
        return last
