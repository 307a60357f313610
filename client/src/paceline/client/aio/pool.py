"""A bounded pool of connections to one node. The connection used last is used next, so that the
ones that a burst has opened become idle and are closed."""

import asyncio
from collections import deque
from collections.abc import Collection

from paceline.client.aio.connection import Connection
from paceline.client.core.commands import Broken
from paceline.client.core.retry import NoAnswer
from paceline.client.tls import HANDSHAKE_S, Tls, of_asyncio, reason
from paceline.clock import now as clock_now

CLOSE_S = 1.0
"""A connection that is not closed after this is left to the event loop."""
OPENING_MAX = 8
"""How many connections are opened at a time; further requests get the next one that is free.
Opening is work for both sides: if many begin at once (with TLS above all), none is ready in time,
and all are given up together."""
LOOK_S = 0.05
"""How long after its time is up a connection is still waited for. An event loop that was busy with
other work may learn in the same moment that the time is up and that the connection is ready."""


class Pool:
    def __init__(
        self,
        host: str,
        port: int,
        connections_max: int,
        connect_s: float,
        tls: Tls | None = None,
    ) -> None:
        self.host = host
        self.port = port
        self._max = connections_max
        self._connect_s = connect_s + (HANDSHAKE_S if tls else 0.0)
        self._tls = tls
        self._idle: list[Connection] = []
        self._all: set[Connection] = set()
        self._opening = 0
        self._waiters: deque[asyncio.Future[Connection | None]] = deque()
        self._closed = False

    @property
    def connections(self) -> Collection[Connection]:
        """All that are open."""
        return self._all

    def take_idle(self) -> Connection | None:
        """An idle connection that is still open, or None; does not wait."""
        while self._idle:
            connection = self._idle.pop()
            if connection.usable:
                return connection
            self._all.discard(connection)
        return None

    async def take(self, timeout_s: float) -> Connection:
        """An idle connection, a new one, or the next that becomes free; ``Broken``."""
        until = clock_now() + timeout_s
        while True:
            if self._closed:
                raise Broken(NoAnswer.NOT_HANDED_OVER, "the pool was closed")
            connection = self.take_idle()
            if connection is not None:
                return connection
            left_s = until - clock_now()
            if left_s <= 0:
                raise Broken(
                    NoAnswer.NOT_HANDED_OVER,
                    f"all {self._max} connections to {self.host}:{self.port} are in use",
                    busy=True,
                )
            if self._has_room:
                return await self._open(min(left_s, self._connect_s))
            handed = await self._next_free(left_s)
            if handed is not None:
                return handed

    @property
    def _has_room(self) -> bool:
        return self._opening < OPENING_MAX and len(self._all) + self._opening < self._max

    async def _next_free(self, timeout_s: float) -> Connection | None:
        waiter: asyncio.Future[Connection | None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        try:
            async with asyncio.timeout(timeout_s):
                return await waiter
        except BaseException as error:
            # It may have been handed a connection in the very turn in which time was up.
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                connection = waiter.result()
                self._wake() if connection is None else self.give_back(connection)
            elif waiter in self._waiters:
                self._waiters.remove(waiter)
            if isinstance(error, TimeoutError):
                return None
            raise

    async def _open(self, timeout_s: float) -> Connection:
        self._opening += 1
        try:
            connection = await self._connected(timeout_s)
        except (OSError, TimeoutError) as error:
            broken = Broken(
                NoAnswer.NOT_HANDED_OVER,
                f"{self.host}:{self.port} cannot be reached: "
                f"{reason(error, self._tls) or 'no answer in time'}",
            )
            if not self._all:
                self._fail_all(broken)
            raise broken from error
        finally:
            self._opening -= 1
            if self._has_room:
                self._wake()
        if self._closed:
            connection.close()
            raise Broken(NoAnswer.NOT_HANDED_OVER, "the pool was closed")
        self._all.add(connection)
        return connection

    async def _connected(self, timeout_s: float) -> Connection:
        """``OSError``, ``TimeoutError``."""
        loop = asyncio.get_running_loop()
        opening = asyncio.ensure_future(
            loop.create_connection(
                lambda: Connection(loop), self.host, self.port, **of_asyncio(self._tls)
            )
        )
        try:
            done, _ = await asyncio.wait({opening}, timeout=timeout_s)
            if not done:
                done, _ = await asyncio.wait({opening}, timeout=LOOK_S)
        except asyncio.CancelledError:
            opening.add_done_callback(_close_unused)
            opening.cancel()
            raise
        if not done:
            opening.add_done_callback(_close_unused)
            opening.cancel()
            await asyncio.wait({opening}, timeout=LOOK_S)
            raise TimeoutError
        return opening.result()[1]

    def give_back(self, connection: Connection) -> None:
        """After an exchange, or after giving one up."""
        if self._closed or not connection.usable:
            self.drop(connection)
            return
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(connection)
                return
        connection.idle_since = clock_now()
        self._idle.append(connection)

    def drop(self, connection: Connection) -> None:
        connection.close()
        self._all.discard(connection)
        self._wake()

    def _wake(self) -> None:
        """Wakes a waiting request, since there is room for a new connection."""
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return

    def _fail_all(self, broken: Broken) -> None:
        """Fails all that wait for a connection to this node."""
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_exception(Broken(broken.how, str(broken)))

    def close_idle(self, before: float) -> None:
        """Closes connections that were idle all the time since ``before``."""
        while self._idle and self._idle[0].idle_since < before:
            connection = self._idle.pop(0)
            connection.close()
            self._all.discard(connection)

    def retire(self) -> None:
        """Takes no more requests; those under way get their replies."""
        self._closed = True
        while self._idle:
            connection = self._idle.pop()
            connection.close()
            self._all.discard(connection)
        self._wake_all()

    def _wake_all(self) -> None:
        while self._waiters:
            self._wake()

    async def close(self) -> None:
        connections = list(self._all)
        self.retire()
        self._all.clear()
        for connection in connections:
            connection.close()
        if connections:
            await asyncio.wait(
                [asyncio.ensure_future(connection.wait_closed()) for connection in connections],
                timeout=CLOSE_S,
            )


def _close_unused(opening: asyncio.Task[tuple[asyncio.Transport, Connection]]) -> None:
    """Closes a connection that was opened when nobody waited for it any more."""
    if not opening.cancelled() and opening.exception() is None:
        opening.result()[1].close()
