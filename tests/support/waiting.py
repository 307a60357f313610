"""Waiting for a condition, and threads that run until they are told to end."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Self

POLL_S = 0.02


def wait_until(condition: Callable[[], object], what: str, timeout_s: float = 10.0) -> float:
    """Seconds until ``condition`` held; AssertionError naming ``what`` if it never did."""
    begun = time.monotonic()
    while not condition():
        assert time.monotonic() - begun < timeout_s, f"not within {timeout_s:g} s: {what}"
        time.sleep(POLL_S)
    return time.monotonic() - begun


class Background:
    """``with``: every function in ``works`` runs in a thread of its own until the body ends.

    They look at ``ended``. AssertionError when one is still there ``end_s`` after it was set.
    """

    def __init__(self, works: Iterable[Callable[[], object]], end_s: float = 60.0) -> None:
        self.ended = threading.Event()
        self._end_s = end_s
        self._threads = [threading.Thread(target=work, daemon=True) for work in works]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.ended.set()
        for thread in self._threads:
            thread.join(self._end_s)
        self.close()
        assert not any(thread.is_alive() for thread in self._threads), "a thread never ended"

    def close(self) -> None:
        """What is left to be done once the threads have ended, or should have."""
