"""Bounds an HTTP server's connections in number, and closes those that ask nothing."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any, cast

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from cluster.transport.expected import ExpectedLimits, counted_as

CONNECTIONS_MAX = 64
"""Scrapers, health checks and people are few. One more ends the one that has been quiet longest."""
FIRST_REQUEST_S = 5.0
"""The time in which a new connection has to send its first request."""
IDLE_S = 75.0
"""The time allowed between two requests; scrapers ask at least once a minute."""
SWEEP_S = 1.0


class HttpConnections:
    """Makes the protocols of ``server``, and closes those that are overdue or surplus.

    It also is the host of a ``TlsListener``: handshakes count among the connections. A connection
    makes room for another until its request is whole, and once it is answered. ``limits``: how
    many of one address may not have had an answer yet.
    """

    def __init__(
        self,
        server: web.Server,
        clock: Callable[[], float],
        *,
        connections_max: int = CONNECTIONS_MAX,
        limits: ExpectedLimits | None = None,
    ) -> None:
        self._server = server
        self._clock = clock
        self._connections_max = connections_max
        self._limits = limits or ExpectedLimits()
        self._exempt = tuple(self._limits.exempt)
        self._accepted_at: dict[Any, float] = {}
        self._answered_at: dict[Any, float] = {}
        self._address_of: dict[Any, str] = {}
        """As newcomers are counted; handshakes, too. Empty: not at all."""
        self._unfinished: set[Any] = set()
        """Those whose request has begun to come; it has a time of its own."""
        self._busy: dict[Any, int] = {}
        self._handshakes: dict[Any, float] = {}
        """When each was admitted; the oldest first."""
        self._shaking: dict[Any, Any] = {}
        """The handshake of each connection that is in one."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        self._sweep()

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        for task in self._tasks:
            task.cancel()

    def accept(self) -> asyncio.BaseProtocol:
        """Returns the protocol for a new connection."""
        return _Arriving(self)

    def arrived(self, address: str) -> asyncio.Protocol | None:
        """The protocol of a connection from there; None: there is no room for it."""
        counted = counted_as(address, self._exempt) if address else ""
        if not self._has_room(counted):
            return None
        handler = self._server()
        self._accepted_at[handler] = self._clock()
        self._address_of[handler] = counted
        return handler

    def expects(self, request: web.BaseRequest) -> None:
        """Its headers are there, and its body may still be on its way."""
        self._unfinished.add(request.protocol)

    def begin(self, request: web.BaseRequest) -> None:
        """It is whole."""
        self._unfinished.discard(request.protocol)
        self._busy[request.protocol] = self._busy.get(request.protocol, 0) + 1

    def end(self, request: web.BaseRequest) -> None:
        """Of one that was begun, or only expected."""
        self._unfinished.discard(request.protocol)
        self._answered_at[request.protocol] = self._clock()
        left = self._busy.pop(request.protocol, 0) - 1
        if left > 0:
            self._busy[request.protocol] = left

    # -- for a TlsListener --------------------------------------------------------------------

    def admit(self, handshake: Any) -> bool:
        counted = counted_as(handshake.address, self._exempt)
        if not self._has_room(counted):
            return False
        self._handshakes[handshake] = self._clock()
        self._address_of[handshake] = counted
        return True

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def shakes_hands(self, handshake: Any, connection: Any) -> None:
        self._shaking[connection] = handshake

    def shaken(self, connection: Any) -> None:
        """If it went well, the server counts the connection."""
        handshake = self._shaking.pop(connection)
        self._accepted_at[connection] = self._clock()
        self._address_of[connection] = self._address_of.get(handshake, "")
        self.forget(handshake)

    def forget(self, handshake: Any) -> None:
        self._handshakes.pop(handshake, None)
        self._address_of.pop(handshake, None)

    def _has_room(self, counted: str) -> bool:
        """``counted``: the address of one more connection, as newcomers are counted."""
        open_now = self._server.connections
        if counted:
            newcomers = [one for one in open_now if one not in self._answered_at]
            theirs = [self._address_of.get(one) for one in (*newcomers, *self._handshakes)]
            if theirs.count(counted) >= self._limits.per_address_max:
                return False
        if len(open_now) + len(self._handshakes) < self._connections_max:
            return True
        quiet = {one: self._quiet_since(one) for one in open_now if one not in self._busy}
        # Of a handshake that has not begun there is nothing yet to end.
        shaking = {one: self._handshakes[one] for one in self._shaking.values() if self._is_on(one)}
        since = {**quiet, **shaking}
        if not since:
            return False
        oldest = min(since, key=since.__getitem__)
        if oldest in shaking:
            self.forget(oldest)
            oldest.abort()
        else:
            oldest.force_close()
        return True

    def _is_on(self, handshake: Any) -> bool:
        return handshake in self._handshakes

    def _quiet_since(self, handler: Any) -> float:
        return self._answered_at.get(handler, self._accepted_at.get(handler, 0.0))

    def _sweep(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(SWEEP_S, self._sweep)
        now = self._clock()
        open_now = set(self._server.connections)
        kept = open_now | self._handshakes.keys()
        for known in (self._accepted_at, self._answered_at, self._address_of):
            for handler in [one for one in known if one not in kept]:
                del known[handler]
        for handler in open_now - self._busy.keys() - self._unfinished:
            limit_s = IDLE_S if handler in self._answered_at else FIRST_REQUEST_S
            if now - self._quiet_since(handler) > limit_s:
                handler.force_close()


class _Arriving(asyncio.Protocol):
    """A connection of which it is not known yet where it comes from."""

    def __init__(self, connections: HttpConnections) -> None:
        self._connections = connections

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        made = cast(asyncio.Transport, transport)
        peer = made.get_extra_info("peername")
        protocol = self._connections.arrived(peer[0] if isinstance(peer, tuple) else "")
        if protocol is None:
            made.abort()
            return
        made.set_protocol(protocol)
        protocol.connection_made(made)


def quiet_logger(name: str) -> logging.Logger:
    """aiohttp's logger, without tracebacks of requests that are not HTTP: they got status 400."""
    logger = logging.getLogger(name)
    if not logger.filters:
        logger.addFilter(_is_ours)
    return logger


def _is_ours(record: logging.LogRecord) -> bool:
    error = record.exc_info[1] if record.exc_info else None
    return not isinstance(error, HttpProcessingError)
