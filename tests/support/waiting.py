"""Waiting for a condition, in a thread and in a loop, and threads that run until told to end."""

from __future__ import annotations

import asyncio
import inspect
import threading
import time
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Self

POLL_S = 0.02
# What other tasks bring about by themselves takes so many turns of the loop at most; then only
# the world outside of the loop is waited for.
TURNS = 100
PAUSE_S = 0.005


def wait_until(condition: Callable[[], object], what: str, timeout_s: float = 10.0) -> float:
    """Seconds until ``condition`` held; AssertionError naming ``what`` if it never did."""
    assert isinstance(what, str), f"{what!r} is no description"
    begun = time.monotonic()
    while not condition():
        assert time.monotonic() - begun < timeout_s, f"not within {timeout_s:g} s: {what}"
        time.sleep(POLL_S)
    return time.monotonic() - begun


async def until(
    condition: Callable[[], object],
    what: str = "the condition",
    timeout_s: float = 20.0,
    *,
    meanwhile: Callable[[], object] = lambda: None,
) -> float:
    """Seconds until ``condition`` held, in the running loop; it may be a coroutine function.

    ``meanwhile`` is called each time that it does not hold; it may do what brings it about, or
    raise. AssertionError naming ``what`` when ``condition`` never held.
    """
    assert isinstance(what, str), f"{what!r} is no description"
    begun = time.monotonic()
    end = begun + timeout_s
    turns = 0
    while True:
        held = condition()
        if inspect.iscoroutine(held):
            turns = TURNS
            async with asyncio.timeout(max(0.0, end - time.monotonic())):
                held = await held
        if held:
            return time.monotonic() - begun
        assert time.monotonic() < end, f"not within {timeout_s:g} s: {what}"
        meanwhile()
        turns += 1
        await asyncio.sleep(0 if turns < TURNS else PAUSE_S)


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
