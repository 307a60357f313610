"""Calls of unary-unary methods: one request, at most one reply, and a deadline."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from typing import Any

import grpc

from tests.simulation.rpc_ends import RESET_S, Aborted, Connection, Context, Handler, rpc_error


class UnaryCall:
    """One request and its reply, at most once; sent when it is made, as gRPC does.

    Over a link that is closed request and reply wait, as TCP makes them, until it opens or
    keepalive ends the connection.
    """

    def __init__(
        self, channel: Connection, method: str, request: Any, timeout: float | None
    ) -> None:
        board = channel.board
        board.calls += 1
        self._number = board.calls
        self._channel = channel
        self._network = network = board.network
        self._task: asyncio.Task[Any] | None = None
        self._cuts = 0
        self._dead = False
        """The connection is, as the server sees it."""
        self._waiting: list[Callable[[], None]] = []
        """What goes on when the link opens."""
        self._future: asyncio.Future[Any] = channel.owner.loop.create_future()
        self._future.add_done_callback(self._over)
        self._server = server = channel.connect()
        if server is None:
            self._fail(grpc.StatusCode.UNAVAILABLE, "cannot connect")
            return
        channel.calls[self._number] = self._broken
        server.calls[self._number] = self._server_gone
        deadline = None
        if timeout is not None:
            deadline = channel.owner.loop.t + timeout / channel.owner.rate
            network.loop.after(
                deadline - network.loop.t, self._fail, grpc.StatusCode.DEADLINE_EXCEEDED, "deadline"
            )
        network.register(self._number, self)
        if network.chance(network.weather.breaks):
            self._breaks()
            return
        here, there = self.ends
        self._travel(here, there, lambda: self._arrive(method, request, deadline))
        if not network.both_ways(here, there):
            self.link_closed()

    def __await__(self) -> Generator[Any, None, Any]:
        try:
            return (yield from self._future.__await__())
        except asyncio.CancelledError:
            self._cancel()
            raise

    def cancel(self) -> bool:
        self._cancel()
        return self._future.cancel()

    def _over(self, future: asyncio.Future[Any]) -> None:
        if not future.cancelled():
            future.exception()
        self._channel.calls.pop(self._number, None)
        if self._server is not None:
            self._server.calls.pop(self._number, None)
        self._network.unregister(self._number)

    def _fail(self, code: grpc.StatusCode, details: str) -> None:
        if not self._future.done():
            self._future.set_exception(rpc_error(code, details))

    # -- the network --------------------------------------------------------------------------

    @property
    def ends(self) -> tuple[str, str]:
        assert self._server is not None
        return self._channel.machine, self._server.machine

    def _travel(self, source: str, target: str, arrive: Callable[[], None]) -> None:
        def arrives() -> None:
            if self._dead:
                return
            if self._network.open(source, target):
                arrive()
            else:
                self._waiting.append(lambda: self._travel(source, target, arrive))

        self._network.loop.after(self._network.delay(source, target), arrives)

    def _breaks(self) -> None:
        self._dead = True
        self._network.loop.after(self._network.rng.random() * 0.2, self._broken, "it broke")

    def link_closed(self) -> None:
        self._cuts += 1
        keepalive_s = self._network.weather.keepalive_s
        for found in (self._client_finds, self._server_finds):
            wait_s = keepalive_s * (1 + self._network.rng.random())
            self._network.loop.after(wait_s, found, self._cuts)

    def link_opened(self) -> None:
        self._cuts += 1
        waiting, self._waiting = self._waiting, []
        for go_on in waiting:
            go_on()

    def _client_finds(self, cuts: int) -> None:
        if cuts == self._cuts:
            self._channel.disconnected()
            self._broken("keepalive")

    def _server_finds(self, cuts: int) -> None:
        if cuts == self._cuts:
            self._dead = True
            if self._task is not None:
                self._task.cancel()

    def _broken(self, reason: str) -> None:
        self._fail(grpc.StatusCode.UNAVAILABLE, reason)

    def _server_gone(self, reason: str) -> None:
        self._dead = True
        if self._network.both_ways(*self.ends):
            self._network.loop.after(self._network.rng.random() * RESET_S, self._broken, reason)

    def _cancel(self) -> None:
        task = self._task
        if task is not None and not task.done():
            delay = self._network.delay(*self.ends)
            self._network.loop.after(delay, task.cancel)

    # -- the server's side --------------------------------------------------------------------

    def _arrive(self, method: str, request: Any, deadline: float | None) -> None:
        server = self._server
        assert server is not None
        if not server.up:
            return  # the deadline, or the death of the connection, ends the wait
        owner = server.owner

        def left() -> float:
            assert deadline is not None
            return (deadline - owner.loop.t) * owner.rate

        context = Context(self._channel.machine, left if deadline is not None else None)
        handler = server.handlers[method]
        self._task = owner.spawn(self._serve(handler, request, context))

    async def _serve(self, handler: Handler, request: Any, context: Context) -> None:
        reply: Any = None
        error: tuple[grpc.StatusCode, str] | None = None
        try:
            reply = await handler(request, context)
        except Aborted as aborted:
            error = (aborted.code, aborted.details)
        except Exception as unexpected:
            self._network.loop.complaints.append(f"a handler failed: {unexpected!r}")
            error = (grpc.StatusCode.UNKNOWN, repr(unexpected))
        if self._network.chance(self._network.weather.breaks):
            self._breaks()
            return
        here, there = self.ends
        self._travel(there, here, lambda: self._reply(reply, error))

    def _reply(self, reply: Any, error: tuple[grpc.StatusCode, str] | None) -> None:
        if error is not None:
            self._fail(*error)
        elif not self._future.done():
            self._future.set_result(reply)
