"""Work that is too long for the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")

INLINE_BYTES_MAX = 16 * 1024
"""A body up to this size is parsed on the loop: even one of single bytes takes 2 ms."""
INLINE_VALUES_MAX = 4096
"""So many values are decoded or encoded on the loop: about 1 µs each."""


class LargeWork:
    """One thread, so one piece of work at a time, over all connections.

    The interpreter takes turns between threads every 5 ms, so the loop goes on meanwhile; only
    what a single call into C does cannot be interrupted, and whoever hands it in bounds that.
    """

    def __init__(self) -> None:
        self._thread: ThreadPoolExecutor | None = None

    async def run(self, work: Callable[[], T]) -> T:
        """What ``work`` returns or raises. It waits for its turn, without a deadline: each piece
        is bounded by what a request may hold, and their number by the memory budget."""
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="large-work")
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    async def aclose(self) -> None:
        """What has not begun is cancelled; what has ends by itself."""
        if self._thread is not None:
            self._thread.shutdown(wait=False, cancel_futures=True)
