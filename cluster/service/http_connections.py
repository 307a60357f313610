"""Bounds an HTTP server's connections in number, and closes those that ask nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, cast

from aiohttp import web

CONNECTIONS_MAX = 64
"""Scrapers, health checks and people are few. One more ends the one that has been idle longest."""
FIRST_REQUEST_S = 5.0
"""The time in which a new connection has to send its first request."""
IDLE_S = 75.0
"""The time allowed between two requests; scrapers ask at least once a minute."""
SWEEP_S = 1.0


class HttpConnections:
    """Makes the protocols of ``server``, and closes those that are overdue or surplus.

    It also is the host of a ``TlsListener``: handshakes count among the connections.
    """

    def __init__(
        self,
        server: web.Server,
        clock: Callable[[], float],
        *,
        connections_max: int = CONNECTIONS_MAX,
    ) -> None:
        self._server = server
        self._clock = clock
        self._connections_max = connections_max
        self._accepted_at: dict[Any, float] = {}
        self._answered_at: dict[Any, float] = {}
        self._busy: dict[Any, int] = {}
        self._handshakes: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        self._sweep()

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        for task in self._handshakes:
            task.cancel()

    def accept(self) -> asyncio.BaseProtocol:
        """Returns the protocol for a new connection."""
        if not self._has_room():
            return _Aborted()
        handler = self._server()
        self._accepted_at[handler] = self._clock()
        return handler

    def begin(self, request: web.BaseRequest) -> None:
        self._busy[request.protocol] = self._busy.get(request.protocol, 0) + 1

    def end(self, request: web.BaseRequest) -> None:
        self._answered_at[request.protocol] = self._clock()
        left = self._busy.pop(request.protocol) - 1
        if left:
            self._busy[request.protocol] = left

    # -- for a TlsListener --------------------------------------------------------------------

    def admit(self, handshake: Any) -> bool:
        return self._has_room()

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._handshakes.add(task)
        task.add_done_callback(self._handshakes.discard)
        return task

    def shakes_hands(self, handshake: Any, connection: Any) -> None:
        """It is counted as its task."""

    def shaken(self, connection: Any) -> None:
        """Its task ends; if it went well, the server counts the connection."""
        self._accepted_at[connection] = self._clock()

    def forget(self, handshake: Any) -> None:
        """It never began."""

    def _has_room(self) -> bool:
        open_now = self._server.connections
        if len(open_now) + len(self._handshakes) < self._connections_max:
            return True
        idle = [one for one in open_now if one not in self._busy]
        if idle:
            min(idle, key=self._quiet_since).force_close()
        return bool(idle)

    def _quiet_since(self, handler: Any) -> float:
        return self._answered_at.get(handler, self._accepted_at.get(handler, 0.0))

    def _sweep(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(SWEEP_S, self._sweep)
        now = self._clock()
        open_now = set(self._server.connections)
        for known in (self._accepted_at, self._answered_at):
            for handler in [one for one in known if one not in open_now]:
                del known[handler]
        for handler in open_now - self._busy.keys():
            limit_s = IDLE_S if handler in self._answered_at else FIRST_REQUEST_S
            if now - self._quiet_since(handler) > limit_s:
                handler.force_close()


class _Aborted(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast(asyncio.Transport, transport).abort()
