"""Runs work that would block the event loop for too long in one thread."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from sys import getrefcount
from typing import Any, TypeVar

T = TypeVar("T")

INLINE_BYTES_MAX = 16 * 1024
"""A body up to this size is parsed on the loop: even one of single bytes takes 2 ms."""
INLINE_VALUES_MAX = 4096
"""This many values are decoded or encoded on the loop, at about 1 µs each."""

HELD_S = 15.0
"""What a piece of work has made lives no longer than that, since requests do not."""
FULL_COLLECTIONS_HELD_MAX = 100_000
"""In the place of the interpreter's 10: collections of younger objects before one of all. It still
comes if someone makes so much garbage meanwhile."""

HELD_IN_A_ROW_S = 120.0
"""Work without end does not put collections off without end, or garbage would gather: then there
is a time for one, however long it takes."""
COLLECTING_S = 10.0

COLLECTED_AFTER_S = 60.0
"""Before it comes to that, one is made at a moment when values were freed and nobody may have
others: who keeps a node at such work alone never gets as far."""

FREED_AT_ONCE = 4096

COLLECTING = gc.get_threshold()
"""The interpreter's own."""


class LargeWork:
    """One thread, so one piece of work at a time, over all connections.

    The interpreter takes turns between threads every 5 ms, so the loop goes on meanwhile; only
    what a single call into C does cannot be interrupted, and whoever hands it in bounds that.

    One such call is nobody's: a full collection of garbage looks at every object that there is,
    for a second and more while a request of two million values is held. So there are none from a
    piece of work on until what it made is gone.
    """

    def __init__(self) -> None:
        self._thread: ThreadPoolExecutor | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._held_since = 0.0
        self._held_not_before = 0.0
        self._under_way = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._users: dict[asyncio.Task[Any], float] = {}
        """Tasks, and when a piece of theirs has begun last: until they end they may hold what was
        made."""

    async def run(self, work: Callable[[], T]) -> T:
        """What ``work`` returns or raises. It waits for its turn, without a deadline: each piece
        is bounded by what a request may hold, and their number by the memory budget."""
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="large-work")
        self._loop = loop = asyncio.get_running_loop()
        self._hold(loop)
        self._under_way += 1
        made: list[Any] = []
        task = asyncio.current_task()

        def piece() -> None:
            if task is not None and not task.done():
                self._users[task] = loop.time()
            made.append(work())

        if task is not None and task not in self._users:
            task.add_done_callback(lambda task: self._users.pop(task, None))
        job = self._thread.submit(piece)
        done = asyncio.wrap_future(job)
        done.add_done_callback(self._ended)
        try:
            await done
        except asyncio.CancelledError:
            # Nobody wants any more what it has made, or still makes, and that takes long to free.
            if job.done():
                self.let_go(made)
            else:
                job.add_done_callback(lambda _: free(made))
            raise
        result: T = made.pop()
        return result

    async def run_if(self, large: bool, work: Callable[[], T]) -> T:
        """``work`` that takes long only where it is ``large``; at once where it is not."""
        return await self.run(work) if large else work()

    def let_go(self, values: list[object]) -> None:
        """Frees what nobody else holds of ``values``, which is the caller's last use of the list.
        To free two million values at once stops all threads for half a second."""
        if self._thread is not None:
            with suppress(RuntimeError):  # it has ended, and so does the program
                self._thread.submit(self._free, values)

    def holds_nothing(self) -> None:
        """The task that calls has dropped what its pieces have made. One that ends need not say
        so."""
        task = asyncio.current_task()
        if task is not None:
            self._users.pop(task, None)

    async def aclose(self) -> None:
        """Cancels what has not begun; what has begun ends by itself."""
        if self._timer is not None:
            self._timer.cancel()
            self._release()
        if self._thread is not None:
            self._thread.shutdown(wait=False, cancel_futures=True)

    def _free(self, values: list[object]) -> None:
        """And looks for garbage when that was put off for long: the values that would make it take
        long are gone now, if they were the only ones."""
        free(values)
        loop = self._loop
        if self._timer is None or loop is None:
            return
        now = loop.time()
        if now - self._held_since <= COLLECTED_AFTER_S:
            return
        if all(now - begun > HELD_S for begun in list(self._users.values())):
            self._held_since = now
            gc.collect()

    def _ended(self, done: asyncio.Future[T]) -> None:
        """Its caller may have gone away, and then it is cancelled, though it goes on: that counts
        as an end, for what it makes lives no longer."""
        self._under_way -= 1
        if not self._under_way and self._timer is not None:
            self._hold(done.get_loop())

    def _hold(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        if self._timer is None:
            if now < self._held_not_before:
                return
            self._held_since = now
            gc.set_threshold(*COLLECTING[:2], FULL_COLLECTIONS_HELD_MAX)
        else:
            self._timer.cancel()
            if now - self._held_since > HELD_IN_A_ROW_S:
                self._held_not_before = now + COLLECTING_S
                self._release()
                return
        self._timer = loop.call_later(HELD_S, self._held_enough, loop)

    def _held_enough(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._under_way:
            self._hold(loop)
        else:
            self._release()

    def _release(self) -> None:
        self._timer = None
        gc.set_threshold(*COLLECTING)


def free(values: list[object]) -> None:
    """Drops dicts, lists and tuples in ``values`` and in each other one by one, so that other
    threads have their turn between. Nothing is changed for those who hold any of them."""
    for _ in _freed(values):
        pass


def _freed(values: list[object]) -> Iterator[None]:
    """One by one. What one of them holds is held here while it goes.

    Nowhere is a list of them all: new lists of millions are what a small collection of garbage
    takes long for.
    """
    left = [values]
    while left:
        if not left[-1]:
            left.pop()
            continue
        value: object = left[-1].pop()
        inner: list[object] = []
        if type(value) is list and getrefcount(value) == _ALONE:
            inner = value  # nobody else sees that it gets shorter
        elif type(value) is dict:
            inner = [one for one in value.values() if type(one) in _CONTAINERS]
        elif type(value) is list or type(value) is tuple:
            for start in range(0, len(value), FREED_AT_ONCE):
                some: Any = value[start : start + FREED_AT_ONCE]
                inner += [one for one in some if type(one) in _CONTAINERS]
        if inner:
            left.append(inner)
        some = value = None
        yield


_CONTAINERS = frozenset({dict, list, tuple})
_ALONE = 2
"""References to what one variable holds, that of the call which counts them included."""
