"""Runs work that would block the event loop for too long in one thread."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from contextvars import ContextVar
from sys import getrefcount
from typing import Any, TypeVar

T = TypeVar("T")

INLINE_BYTES_MAX = 16 * 1024
"""A body up to this size is parsed on the loop: even one of single bytes takes 2 ms."""
INLINE_VALUES_MAX = 4096
"""This many values are decoded or encoded on the loop, at about 1 µs each."""

HELD_S = 12.0
"""What a piece of work has made lives no longer than that after it, since requests do not."""
FULL_COLLECTIONS_HELD_MAX = 100_000
"""In the place of the interpreter's 10: collections of younger objects before one of all. It still
comes if someone makes so much garbage meanwhile."""

COLLECTED_AFTER_S = 60.0
"""Work without end does not put collections off without end, or garbage would gather. After so long
those that want to begin wait until those under way have ended, and then one is made, which finds
few values. They wait for ``HELD_S`` at most; if someone holds values all that time, the next try
comes after as long again."""

HELD_IN_A_ROW_S = 900.0
"""After so many tries in vain there is a time for one, however long it takes."""
COLLECTING_S = 10.0

FREED_AT_ONCE = 4096

_inside: ContextVar[bool] = ContextVar("inside", default=False)
"""Whether a piece of large work was done for this task, or for the one that has made it."""

COLLECTING = (5_000, 10, 10)
"""Of a node. With the interpreter's 700 the youngest are mostly what requests under way hold, and
to look at them again and again took 6 % of a write. So many are looked at in half a millisecond."""


class LargeWork:
    """One thread, so one piece of work at a time, over all connections.

    The interpreter takes turns between threads every 5 ms, so the loop goes on meanwhile; only
    what a single call into C does cannot be interrupted, and whoever hands it in bounds that.

    One such call is nobody's: a full collection of garbage looks at every object that there is,
    for seconds while a request of two million values is held. So there are none from a piece of
    work on until what it made is gone.
    """

    def __init__(self) -> None:
        self._thread: ThreadPoolExecutor | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._held_since = 0.0
        self._held_not_before = 0.0
        self._under_way = 0
        self._users: dict[asyncio.Task[Any], float] = {}
        """Tasks, and when a piece of theirs has ended last: until they end they may hold what was
        made."""
        self._gate: asyncio.Future[None] | None = None
        """What those wait for who want to begin while a collection is to be made."""
        self._gate_timer: asyncio.TimerHandle | None = None
        self._next_try = 0.0
        self._collecting = False

    async def admitted(self) -> None:
        """Where a request begins that will have large values, or a read whose answer has: waits
        while there is to be a moment in which nobody has any. At once for who has some already, and
        for tasks that such a one has made: others may wait for them."""
        if _inside.get():
            return
        loop = asyncio.get_running_loop()
        now = loop.time()
        if (
            self._gate is None
            and self._timer is not None
            and now >= max(self._next_try, self._held_since + COLLECTED_AFTER_S)
        ):
            self._gate = loop.create_future()
            self._gate_timer = loop.call_later(HELD_S, self._waited_enough)
            self._look()
        if self._gate is not None:
            await asyncio.shield(self._gate)

    async def run(self, work: Callable[[], T]) -> T:
        """What ``work`` returns or raises. It waits for its turn, without a deadline: each piece
        is bounded by what a request may hold, and their number by the memory budget."""
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="large-work")
        _inside.set(True)
        loop = asyncio.get_running_loop()
        self._hold(loop)
        self._under_way += 1
        made: list[Any] = []
        task = asyncio.current_task()
        if task is not None:
            if task not in self._users:
                task.add_done_callback(self._left)
            self._users[task] = loop.time()
        job = self._thread.submit(lambda: made.append(work()))
        done = asyncio.wrap_future(job)
        done.add_done_callback(lambda _: self._ended(loop, task))
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
                self._thread.submit(free, values)

    def holds_nothing(self) -> None:
        """The task that calls has dropped what its pieces have made. One that ends need not say
        so."""
        task = asyncio.current_task()
        if task is not None:
            task.remove_done_callback(self._left)
            self._left(task)

    async def aclose(self) -> None:
        """Cancels what has not begun; what has begun ends by itself."""
        if self._timer is not None:
            self._timer.cancel()
            self._release()
        self._open()
        if self._thread is not None:
            self._thread.shutdown(wait=False, cancel_futures=True)

    def _ended(self, loop: asyncio.AbstractEventLoop, task: asyncio.Task[Any] | None) -> None:
        """Its caller may have gone away, and then it is cancelled, though it goes on: that counts
        as an end, for what it makes lives no longer."""
        self._under_way -= 1
        if task in self._users:
            self._users[task] = loop.time()
        if not self._under_way and self._timer is not None:
            self._hold(loop)
        self._look()

    def _left(self, task: asyncio.Task[Any]) -> None:
        self._users.pop(task, None)
        self._look()

    # -- a moment for a collection -------------------------------------------------------------

    def _look(self) -> None:
        """Collects if it is time to and nobody holds values. The thread comes to it behind all that
        was let go."""
        if self._gate is None or self._under_way or self._collecting or self._thread is None:
            return
        loop = self._gate.get_loop()
        now = loop.time()
        if any(now - ended < HELD_S for ended in self._users.values()):
            return
        self._collecting = True
        job = asyncio.wrap_future(self._thread.submit(gc.collect), loop=loop)
        job.add_done_callback(lambda _: self._collected(loop))

    def _collected(self, loop: asyncio.AbstractEventLoop) -> None:
        self._collecting = False
        self._held_since = loop.time()
        self._open()

    def _waited_enough(self) -> None:
        assert self._gate is not None
        self._next_try = self._gate.get_loop().time() + COLLECTED_AFTER_S
        self._look()  # some may live on, but not with what they made before
        if not self._collecting:
            self._open()

    def _open(self) -> None:
        if self._gate is not None and not self._gate.done():
            self._gate.set_result(None)
        self._gate = None
        if self._gate_timer is not None:
            self._gate_timer.cancel()
            self._gate_timer = None

    # -- none at other times -------------------------------------------------------------------

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
