"""Time in which this machine ran. A virtual host that stands still for a second or two is not the
fault of the program under test."""

from __future__ import annotations

import threading
import time
from types import TracebackType
from typing import Self

STEP_S = 0.01
STEP_MAX_S = 0.1
"""What a longer step counts for: nothing ran meanwhile, or hardly anything."""


class Stopwatch:
    """``with Stopwatch() as watch``: ``watch.elapsed_s`` grows while the machine runs."""

    def __init__(self) -> None:
        self.elapsed_s = 0.0
        self.stood_still_s = 0.0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._count, name="stopwatch", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        self._thread.join()

    def now(self) -> float:
        """``elapsed_s`` as a clock, for what takes one."""
        return self.elapsed_s

    def _count(self) -> None:
        before = time.monotonic()
        while not self._over.is_set():
            self._over.wait(STEP_S)
            now = time.monotonic()
            counted_s = min(now - before, STEP_MAX_S)
            self.elapsed_s += counted_s
            self.stood_still_s += now - before - counted_s
            before = now
