"""Connections to one DynamoDB: those that are idle, and who waits for one.

The one that was used last is taken first, so that a pool that grew shrinks again.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import aiohappyeyeballs

from node.backend.lean.connection import Connection
from node.backend.sockets import socket_factory

SECOND_ADDRESS_S = 0.25
"""Of several addresses the next is tried so soon (RFC 8305, Connection Attempt Delay)."""


class NotConnected(Exception):
    """There is no connection to be had; nothing was sent."""


@dataclass(frozen=True, slots=True)
class Limits:
    """``keepalive_s``: how long a connection may be idle; ``unacknowledged_s``: as
    ``socket_factory`` has it."""

    connections_max: int
    connect_s: float
    keepalive_s: float
    unacknowledged_s: float


class Pool:
    """``tls``: None for plain HTTP."""

    def __init__(
        self,
        host: str,
        port: int,
        tls: ssl.SSLContext | None,
        limits: Limits,
        now: Callable[[], float],
    ) -> None:
        self._host, self._port, self._tls = host, port, tls
        self._limits = limits
        self._socket_factory = socket_factory(limits.unacknowledged_s)
        self._now = now
        self._idle: deque[tuple[float, Connection]] = deque()
        """(since when, connection), the one used last at the end."""
        self._count = 0
        """Connections that are open or being opened."""
        self._waiters: deque[asyncio.Future[None]] = deque()
        """Each is told once that there is something for it, in their order."""
        self._promised = 0
        """How many were told and have not gone on yet. Nobody else gets what is theirs."""
        self._sweep: asyncio.TimerHandle | None = None
        self._closed = False

    async def take(self) -> Connection:
        """Returns a connection that nobody else uses; give it back with ``give_back``. Raises
        NotConnected. It waits for ever for one of those in use to come back."""
        if self.is_full:
            await self._turn()
        if self._closed:
            raise NotConnected("the client is closed")
        while self._idle:
            since, connection = self._idle.pop()
            if not connection.should_close and self._now() - since < self._limits.keepalive_s:
                return connection
            connection.abort()
            self._count -= 1  # the room is for this caller
        return await self._connected()

    def give_back(self, connection: Connection, usable: bool) -> None:
        """``usable`` False: it is closed."""
        if not usable or connection.should_close or self._closed:
            self._drop(connection)
            return
        connection.is_new = False
        self._idle.append((self._now(), connection))
        if self._sweep is None:
            self._sweep = asyncio.get_running_loop().call_later(
                self._limits.keepalive_s, self._close_idle
            )
        self._tell_one()

    def close(self) -> None:
        """Connections in use end when they come back."""
        self._closed = True
        if self._sweep is not None:
            self._sweep.cancel()
        while self._idle:
            self._idle.pop()[1].abort()
            self._count -= 1
        while self._waiters:
            self._tell_one()

    @property
    def is_full(self) -> bool:
        """True if whoever comes now waits for a connection to come back."""
        return not self._closed and self._free <= self._promised

    @property
    def _free(self) -> int:
        """How many can have a connection now: an idle one, or one that is opened."""
        return len(self._idle) + self._limits.connections_max - self._count

    async def _connected(self) -> Connection:
        self._count += 1
        try:
            async with asyncio.timeout(self._limits.connect_s):
                return await self._connect()
        except TimeoutError as error:
            self._forget()
            raise NotConnected(
                f"no connection to {self._host}:{self._port} within {self._limits.connect_s:g} s"
            ) from error
        except (OSError, ssl.CertificateError) as error:
            self._forget()
            raise NotConnected(f"cannot connect to {self._host}:{self._port}: {error}") from error
        except BaseException:
            self._forget()
            raise

    async def _connect(self) -> Connection:
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(self._host, self._port, type=1)  # SOCK_STREAM
        connected = await aiohappyeyeballs.start_connection(
            found,
            happy_eyeballs_delay=SECOND_ADDRESS_S,
            interleave=1,
            socket_factory=self._socket_factory,
            loop=loop,
        )
        try:
            _, connection = await loop.create_connection(
                Connection,
                sock=connected,
                ssl=self._tls,
                server_hostname=self._host.rstrip(".") if self._tls is not None else None,
            )
        except BaseException:
            connected.close()
            raise
        return connection

    async def _turn(self) -> None:
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled():
                self._promised -= 1
                self._tell_one()  # the next one gets what this one was told of
            raise
        self._promised -= 1

    def _tell_one(self) -> None:
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                self._promised += 1
                waiter.set_result(None)
                return

    def _drop(self, connection: Connection) -> None:
        connection.abort()
        self._forget()

    def _forget(self) -> None:
        self._count -= 1
        self._tell_one()

    def _close_idle(self) -> None:
        self._sweep = None
        old = self._now() - self._limits.keepalive_s
        while self._idle and (self._idle[0][0] <= old or self._idle[0][1].should_close):
            self._idle.popleft()[1].abort()
            self._count -= 1
        if self._idle and not self._closed:
            due_s = self._idle[0][0] - old
            self._sweep = asyncio.get_running_loop().call_later(due_s, self._close_idle)
