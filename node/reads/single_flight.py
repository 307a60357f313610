"""Single flight: reads of one key that miss at the same time share one load."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from cluster.transport.traces import forget_trace
from paceline.errors import PacelineError, Unavailable

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")
T = TypeVar("T")

_CLOSE_S = 5.0
"""The time for a cancelled load to end. One that takes longer ignores cancellation, and ``aclose``
goes on without it."""


@dataclass(frozen=True, slots=True)
class _Flight(Generic[T, V]):
    token: T
    load: asyncio.Future[V]
    waiting: list[asyncio.Future[None]] = field(default_factory=list)


class SingleFlight(Generic[K, T, V]):
    """At most one keepable load per key at a time, joined only by reads that may join it.

    A *token* is whatever the coherence rules gave for a load whose result may be kept. Why it has
    to be asked again before a read joins:

    1. Read A misses and starts a load under token a; DynamoDB answers it with the old item.
    2. A write of the key is acknowledged; token a is void.
    3. Read B begins. If it joined A's load, it would get the old item after the new one was
       acknowledged. So B loads for itself, and its result is neither kept nor shared.

    Invariants: a shared load is a future of its own, or a task, which no caller's cancellation
    reaches, and goes on when every caller is gone, since its result is kept in the cache. It ends
    in ``aclose`` at the latest. Its exception reaches every waiter and is never left unretrieved.
    """

    def __init__(self, loads_max: int) -> None:
        """``loads_max`` is the most loads running at the same time, unshared ones included."""
        self._loads_max = loads_max
        self._flights: dict[K, _Flight[T, V]] = {}
        self._alone = 0
        self._closed = False
        self.started = 0
        self.joined = 0
        self.alone = 0
        """The number of loads that were not shared because their result was not to be kept."""

    @property
    def running(self) -> int:
        """The number of loads under way, shared or not."""
        return len(self._flights) + self._alone

    async def run(
        self,
        key: K,
        *,
        begin: Callable[[], T | None],
        load: Callable[[T | None], Awaitable[V]],
        joinable: Callable[[T], bool],
    ) -> V:
        """The result of a load of ``key``: of a running one that may be joined, else of a new one.

        ``joinable(token)`` says whether the load under ``token`` may be joined at this moment.
        ``begin()`` is called only while no load of the key is in flight, and gives the token of a
        new one; None: nothing may be kept, the load is not shared. ``load(token)`` does the work
        and keeps the result itself, if the token is then still good; ``load(None)`` never keeps.
        Both are asked with no wait between them and the entry of the load among those running.

        No deadline of its own: ``load`` has one, and a caller that cannot wait that long cancels
        its wait. Raises what the load raises, and ``Unavailable`` when too many loads are under
        way or this object was closed.
        """
        flight = self._flights.get(key)
        if flight is not None and flight.load.done():
            flight = None  # ended, but its callback did not run yet
        if flight is not None and joinable(flight.token):
            self.joined += 1
            return await self._wait(flight)
        self._admit()
        token = begin() if flight is None else None
        if token is None:
            self.alone += 1
            self._alone += 1
            try:
                return await load(None)
            finally:
                self._alone -= 1
        self.started += 1
        self._flights[key] = flight = _Flight(token, asyncio.ensure_future(load(token)))
        flight.load.add_done_callback(lambda _: self._land(key, flight))
        return await self._wait(flight)

    async def aclose(self) -> None:
        """Cancels the shared loads and waits for their end; their waiters get ``Unavailable``."""
        self._closed = True
        loads = [flight.load for flight in self._flights.values()]
        for load in loads:
            load.cancel()
        if loads:
            await asyncio.wait(loads, timeout=_CLOSE_S)

    def _admit(self) -> None:
        if self._closed:
            raise Unavailable("this node is stopping; ask another one")
        if self.running >= self._loads_max:
            raise Unavailable(
                f"{self.running} reads from DynamoDB are under way, the most this node does"
                " at a time; try again"
            )

    def _land(self, key: K, flight: _Flight[T, V]) -> None:
        if self._flights.get(key) is flight:
            del self._flights[key]
        if not flight.load.cancelled():
            error = flight.load.exception()  # retrieved here also when every waiter is gone
            if isinstance(error, PacelineError):
                forget_trace(error)
        for waiter in flight.waiting:
            if not waiter.done():
                waiter.set_result(None)

    @staticmethod
    async def _wait(flight: _Flight[T, V]) -> V:
        # Not asyncio.shield: newer Pythons log the error of a shielded task whose waiter left.
        load = flight.load
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        flight.waiting.append(waiter)
        await waiter
        if load.cancelled():
            raise Unavailable("the read was cut off because this node is stopping; ask another one")
        return load.result()
