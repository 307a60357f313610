"""An asyncio event loop in virtual time, on which several "processes" live side by side.

Every callback belongs to an owner: a node's incarnation, a client, or the world. Owners have a
clock each, and can be paused and killed as processes can. Which owner runs next is drawn from the
seed; within one owner callbacks run in the order in which they became ready, as in a real loop.
"""

from __future__ import annotations

import asyncio
import random
import warnings
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from contextvars import Context, ContextVar, copy_context
from functools import partial
from heapq import heappop, heappush
from math import inf, nextafter
from typing import Any, TypeVar, TypeVarTuple

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

_OWNER: ContextVar[Owner] = ContextVar("owner")

DISK_S = 0.002
"""What ``asyncio.to_thread`` takes: it is used for small files only."""

END_ROUNDS_MAX = 20
END_S = 0.5
"""So often, and for so long, tasks are cancelled when a run is over."""

_MASK = (1 << 61) - 1


class Stuck(Exception):
    """Nothing will ever happen again."""


class Owner:
    """A process: what runs in its context is its own.

    ``clock()`` is what its programs see; ``rate`` is how fast that goes, and its timers with it.
    """

    __slots__ = ("context", "dead", "loop", "name", "number", "offset", "paused", "rate", "ready")

    def __init__(
        self, loop: VirtualLoop, name: str, rate: float = 1.0, offset: float = 0.0
    ) -> None:
        self.loop = loop
        self.name = name
        self.number = loop.next_number()
        self.rate = rate
        self.offset = offset
        self.paused = False
        self.dead = False
        self.ready: deque[VirtualHandle] = deque()
        self.context = copy_context()
        self.context.run(_OWNER.set, self)
        loop.owns(self)

    def clock(self) -> float:
        return self.rate * self.loop.t + self.offset

    def true_time(self, local: float) -> float:
        """When ``clock()`` shows ``local``, or a little later: rounded down, a timer would find
        that its time has not come, and be set for the same instant for ever."""
        t = (local - self.offset) / self.rate
        while self.rate * t + self.offset < local:
            t = nextafter(t, inf)
        return t

    def spawn(self, work: Coroutine[Any, Any, T], name: str | None = None) -> asyncio.Task[T]:
        """A task of this owner, whoever calls."""
        return self.loop.create_task(work, name=name, context=self.context.copy())

    def call_soon(self, callback: Callable[[*Ts], object], *args: *Ts) -> None:
        """As its own callback, whoever calls. Lost when this owner is dead."""
        self.loop.call_soon(callback, *args, context=self.context)

    @property
    def running(self) -> bool:
        return not self.dead and not self.paused

    def pause(self) -> None:
        self.paused = True
        self.loop.stopped(self)

    def resume(self) -> None:
        """What came meanwhile is seen in the order in which it came, or timers before messages,
        or after them: loops differ in that."""
        order = self.loop.rng.randrange(3)
        if order:
            handles = sorted(self.ready, key=lambda h: h[4] == (order == 2))
            self.ready = deque(handles)
        self.paused = False
        self.loop.resumed(self)

    def kill(self) -> None:
        """For ever: its callbacks wait from now on, and are never run, nor collected, until the
        loop is closed."""
        self.dead = True
        self.loop.killed(self)


class VirtualTask(asyncio.Task[T]):
    """Numbered, so that sets of tasks have the same order in every run of a seed."""

    __slots__ = ("number", "owner")

    number: int
    owner: Owner

    def __hash__(self) -> int:
        return self.number


class VirtualHandle(list[Any]):
    """[callback, its arguments, context, owner, whether a timer]. A list, because dozens of them
    are made at every call of a client, and nothing else is made as quickly."""

    __slots__ = ()

    def cancel(self) -> None:
        self[0] = None
        self[1] = ()

    def cancelled(self) -> bool:
        return self[0] is None

    def __repr__(self) -> str:
        return f"<handle of {self[3].name}>"

    __hash__ = object.__hash__  # type: ignore[assignment]
    __eq__ = object.__eq__


class VirtualLoop(asyncio.BaseEventLoop):
    """``t`` is true time, in seconds from 0. ``time()`` is the clock of whose turn it is.

    An exception that escapes a callback ends the run: ``run_until_complete`` raises it. What
    asyncio would only log is in ``complaints``.
    """

    # Asked for at every future and every step of a task.
    get_debug = bool  # type: ignore[assignment]
    """Called, this is False."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.create_future = partial(asyncio.Future, loop=self)  # type: ignore[method-assign]
        self.t = 0.0
        self.rng = random.Random(seed)
        self.digest = 0
        """Of the schedule so far: equal for two runs that went alike."""
        self.complaints: list[str] = []
        self._numbers = 0
        self._timers: list[tuple[float, int, VirtualHandle]] = []
        self._timer_count = 0
        self._runnable: list[Owner] = []
        self._graveyard: list[asyncio.Task[Any]] = []
        self._owners: list[Owner] = []
        self._failure: BaseException | None = None
        self._ending = False
        self.world = Owner(self, "world")
        self.turn_of = self.world
        """The owner whose callbacks run now."""
        self.set_exception_handler(self._complain)

    # -- what asyncio and programs call -------------------------------------------------------

    def time(self) -> float:
        return self.turn_of.clock()

    def create_task(
        self,
        coro: Any,
        *,
        name: object = None,
        context: Context | None = None,
    ) -> asyncio.Task[Any]:
        task: VirtualTask[Any] = VirtualTask.__new__(VirtualTask)
        # Before it is hashed for the first time, which its initialisation does.
        task.number = self.next_number()
        task.__init__(coro, loop=self, name=name, context=context)  # type: ignore[misc]
        task.owner = _OWNER.get(self.world) if context is None else context.get(_OWNER, self.world)
        return task

    def call_soon(  # type: ignore[override]
        self,
        callback: Callable[..., object],
        *args: Any,
        context: Context | None = None,
    ) -> VirtualHandle:
        if context is None:
            context = copy_context()
        owner = context.get(_OWNER) or self.world
        handle = VirtualHandle((callback, args, context, owner, False))
        ready = owner.ready
        if not ready and not owner.dead and not owner.paused:
            self._runnable.append(owner)
        ready.append(handle)
        return handle

    call_soon_threadsafe = call_soon  # type: ignore[assignment]

    def call_later(  # type: ignore[override]
        self,
        delay: float,
        callback: Callable[..., object],
        *args: Any,
        context: Context | None = None,
    ) -> VirtualHandle:
        if context is None:
            context = copy_context()
        owner = context.get(_OWNER) or self.world
        handle = VirtualHandle((callback, args, context, owner, True))
        self._timer_count += 1
        when = self.t + delay / owner.rate if delay > 0 else self.t
        heappush(self._timers, (when, self._timer_count, handle))
        return handle

    def call_at(  # type: ignore[override]
        self,
        when: float,
        callback: Callable[..., object],
        *args: Any,
        context: Context | None = None,
    ) -> VirtualHandle:
        if context is None:
            context = copy_context()
        owner = context.get(_OWNER) or self.world
        handle = VirtualHandle((callback, args, context, owner, True))
        self._timer_count += 1
        when = max(owner.true_time(when), self.t)
        heappush(self._timers, (when, self._timer_count, handle))
        return handle

    def run_in_executor(  # type: ignore[override]
        self, executor: object, func: Callable[..., T], *args: Any
    ) -> asyncio.Future[T]:
        future: asyncio.Future[T] = self.create_future()
        result = func(*args)
        self.call_later(DISK_S, _resolve, future, result)
        return future

    def _write_to_self(self) -> None:
        pass

    # -- what the simulation calls ------------------------------------------------------------

    def next_number(self) -> int:
        self._numbers += 1
        return self._numbers

    def after(self, delay: float, callback: Callable[[*Ts], object], *args: *Ts) -> VirtualHandle:
        """A callback of the world's, after ``delay`` of true time."""
        world = self.world
        handle = VirtualHandle((callback, args, world.context, world, True))
        self._timer_count += 1
        when = self.t + delay if delay > 0 else self.t
        heappush(self._timers, (when, self._timer_count, handle))
        return handle

    def fail(self, error: BaseException) -> None:
        """Ends the run with ``error``, unless it is at its end already: then tasks are being ended,
        and each such error would leave the others of that round for the next."""
        if self._ending:
            return
        if self._failure is None:
            self._failure = error
        self.stop()

    def owns(self, owner: Owner) -> None:
        self._owners.append(owner)

    def stopped(self, owner: Owner) -> None:
        if owner in self._runnable:
            self._runnable.remove(owner)

    def resumed(self, owner: Owner) -> None:
        if owner.ready and owner.running and owner not in self._runnable:
            self._runnable.append(owner)

    def killed(self, owner: Owner) -> None:
        self.stopped(owner)
        self._graveyard += [t for t in asyncio.all_tasks(self) if t.owner is owner]  # type: ignore[attr-defined]

    def run(self, main: Coroutine[Any, Any, T]) -> T:
        """Runs ``main`` as the world's, and then cuts off everything that is left."""
        try:
            return self.run_until_complete(self.world.spawn(main))
        except RuntimeError:
            if self._failure is not None:
                raise self._failure from None
            raise
        finally:
            complaints = len(self.complaints)
            with unbegun_work():
                self._end()
            del self.complaints[complaints:]
            self.close()

    # -- turns --------------------------------------------------------------------------------

    def _run_once(self) -> None:
        """Turns until somebody stops the loop."""
        timers, runnable, random = self._timers, self._runnable, self.rng.random
        turn = self._turn
        while not self._stopping:  # type: ignore[attr-defined]
            while timers and (not runnable or timers[0][0] <= self.t):
                when, _, handle = heappop(timers)
                if handle[0] is None:
                    continue
                if when > self.t:  # noqa: PLR1730 - once for every timer
                    self.t = when
                owner = handle[3]
                ready = owner.ready
                if not ready and not owner.dead and not owner.paused:
                    runnable.append(owner)
                ready.append(handle)
            count = len(runnable)
            if count == 1:
                turn(runnable.pop())
            elif count:
                index = int(random() * count)
                owner = runnable[index]
                runnable[index] = runnable[-1]
                runnable.pop()
                turn(owner)
            else:
                self._nothing_left()
                return

    def _nothing_left(self) -> None:
        if self._ending:
            self.stop()
        else:
            self.fail(Stuck(f"nothing left to happen at {self.t:.3f}"))

    def _turn(self, owner: Owner) -> None:
        ready = owner.ready
        self.turn_of = owner
        todo = len(ready)
        self.digest = hash((self.digest, owner.number, todo, self.t)) & _MASK
        take = ready.popleft
        try:
            while todo and not owner.dead and not owner.paused:
                todo -= 1
                callback, args, context, _, _ = take()
                if callback is not None:
                    context.run(callback, *args)
        except BaseException as error:
            self.fail(error)
        self.turn_of = self.world
        if ready and not owner.dead and not owner.paused and owner not in self._runnable:
            self._runnable.append(owner)

    def _complain(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        self.complaints.append(f"{self.t:.3f} {context.get('message')}: {error!r}")

    # -- the end ------------------------------------------------------------------------------

    def _end(self) -> None:
        """Cancels every task, of the dead too, and lets them end: none is left to the garbage
        collector. What goes wrong now is of no interest: processes that never were alive at one
        time meet."""
        self._ending = True
        self._failure = None
        self.set_exception_handler(lambda *_: None)
        for owner in self._owners:
            owner.dead = owner.paused = False
            self.resumed(owner)
        for _ in range(END_ROUNDS_MAX):
            tasks = sorted(asyncio.all_tasks(self), key=hash)
            if not tasks:
                break
            self._timers.clear()  # some would begin tasks anew, for ever
            for task in tasks:
                task.cancel()
            self.after(END_S, self.stop)
            self.run_forever()
        else:
            left = {task.get_coro().__qualname__ for task in asyncio.all_tasks(self)}  # type: ignore[union-attr]
            raise Stuck(f"tasks that do not end when they are cancelled: {sorted(left)}")
        self._graveyard.clear()
        self._owners.clear()
        self._timers.clear()
        self._runnable.clear()


def _resolve(future: asyncio.Future[T], result: T) -> None:
    if not future.done():
        future.set_result(result)


@contextmanager
def unbegun_work() -> Iterator[None]:
    """What a process was about to do when it was killed is collected, and was never awaited."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "coroutine .* was never awaited", RuntimeWarning)
        yield


def current_owner() -> Owner:
    return _OWNER.get()
