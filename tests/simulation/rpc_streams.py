"""Calls of stream-stream methods: two pipes that keep the order, and may break at each end."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any

import grpc

from node.replication import packing, wire
from paceline.v1 import replication_pb2 as pb
from tests.simulation.network import Network
from tests.simulation.rpc_ends import EOF, RESET_S, Connection, Context, Handler, Server, rpc_error

WINDOW = 32
"""Frames under way on one stream before ``write`` waits, as HTTP/2's flow control makes it."""


class Pipe:
    """One direction of a stream: what is written arrives in order, or never."""

    def __init__(self, network: Network, source: str, target: str) -> None:
        self._network = network
        self._source = source
        self._target = target
        self._under_way: deque[Any] = deque()
        self._last = 0.0
        self._stalled = 0
        self._inbox: deque[Any] = deque()
        self._reader: asyncio.Future[None] | None = None
        self._writer: asyncio.Future[None] | None = None
        self.broken: str | None = None
        self.on_loss: Callable[[], None] = lambda: None

    def put(self, message: Any) -> None:
        network = self._network
        if network.chance(network.weather.breaks):
            self.on_loss()
            return
        self._under_way.append(message)
        self._schedule()

    def _schedule(self) -> None:
        network = self._network
        arrival = network.loop.t + network.delay(self._source, self._target)
        self._last = max(self._last, arrival)
        network.loop.after(self._last - network.loop.t, self._arrive)

    def _arrive(self) -> None:
        if self.broken is not None or not self._under_way:
            return
        if not self._network.open(self._source, self._target):
            self._stalled += 1
            return
        self._inbox.append(self._under_way.popleft())
        _wake(self._reader)
        _wake(self._writer)

    def opened(self) -> None:
        """What was stalled comes after all."""
        stalled, self._stalled = self._stalled, 0
        for _ in range(stalled):
            self._schedule()

    def end(self, reason: str) -> None:
        if self.broken is None:
            self.broken = reason
            self._under_way.clear()
            _wake(self._reader)
            _wake(self._writer)

    async def room(self) -> None:
        while len(self._under_way) >= WINDOW and self.broken is None:
            self._writer = asyncio.get_running_loop().create_future()
            await self._writer

    async def take(self) -> Any:
        """The next message; None once the pipe is broken and empty."""
        while not self._inbox:
            if self.broken is not None:
                return None
            self._reader = asyncio.get_running_loop().create_future()
            await self._reader
        return self._inbox.popleft()


def _wake(future: asyncio.Future[None] | None) -> None:
    if future is not None and not future.done():
        future.set_result(None)


class StreamCall:
    """A call of a stream-stream method, as grpc.aio's, and its context on the server's side."""

    def __init__(self, channel: Connection, method: str) -> None:
        board = channel.board
        board.calls += 1
        self._number = board.calls
        self._channel = channel
        self._network = board.network
        self._handler: asyncio.Task[Any] | None = None
        self._error: grpc.aio.AioRpcError | None = None
        self._done = False
        self._cancelled = False
        self._cuts = 0
        self._server = channel.connect()
        if self._server is None:
            self._error = rpc_error(grpc.StatusCode.UNAVAILABLE, "cannot connect")
            return
        here, there = channel.machine, self._server.machine
        self.up = Pipe(self._network, here, there)
        self.down = Pipe(self._network, there, here)
        self.up.on_loss = self.down.on_loss = self.cut
        self._network.register(self._number, self)
        channel.calls[self._number] = self._abandoned
        self._server.calls[self._number] = self._server_gone
        delay = self._network.delay(here, there)
        self._network.loop.after(delay, self._open, self._server, method)
        if not self._network.both_ways(here, there):
            self.link_closed()

    # -- the network --------------------------------------------------------------------------

    @property
    def ends(self) -> tuple[str, str]:
        assert self._server is not None
        return self._channel.machine, self._server.machine

    def _open(self, server: Server, method: str) -> None:
        if self._error is not None or self._cancelled:
            return
        here, there = self.ends
        if not server.up or not self._network.open(here, there):
            return  # keepalive, or the server's end, is what the client hears of
        handler = server.handlers[method]
        self._handler = server.owner.spawn(self._serve(handler))

    async def _serve(self, handler: Handler) -> None:
        try:
            await handler(None, StreamContext(self))
        except Exception as unexpected:
            self._network.loop.complaints.append(f"a handler failed: {unexpected!r}")
        finally:
            self._network.unregister(self._number)
            assert self._server is not None
            self._server.calls.pop(self._number, None)
            self.up.end("the server has answered")
            self.down.put(EOF)

    def cut(self) -> None:
        """The connection breaks: each end hears of it when it does."""
        rng = self._network.rng
        self._network.loop.after(rng.random() * 0.2, self._break_client, "the connection broke")
        self._network.loop.after(rng.random() * 0.2, self._break_server)
        if self._error is None and not self._cancelled:
            self.up.end("the connection broke")

    def link_closed(self) -> None:
        self._cuts += 1
        keepalive_s = self._network.weather.keepalive_s
        for found in (self._client_finds, self._server_finds):
            wait_s = keepalive_s * (1 + self._network.rng.random())
            self._network.loop.after(wait_s, found, self._cuts)

    def link_opened(self) -> None:
        self._cuts += 1
        self.up.opened()
        self.down.opened()

    def _client_finds(self, cuts: int) -> None:
        if cuts == self._cuts:
            self._channel.disconnected()
            self._break_client("keepalive")

    def _server_finds(self, cuts: int) -> None:
        if cuts == self._cuts:
            self._break_server()

    def _abandoned(self, reason: str) -> None:
        """The client's process or channel is gone."""
        self._break_client(reason)
        here, there = self.ends
        if self._network.both_ways(here, there):
            self._network.loop.after(self._network.rng.random() * RESET_S, self._break_server)

    def _server_gone(self, reason: str) -> None:
        self._network.unregister(self._number)
        if self._network.both_ways(*self.ends):
            delay = self._network.rng.random() * RESET_S
        else:
            delay = self._network.weather.keepalive_s * (1 + self._network.rng.random())
        self._network.loop.after(delay, self._break_client, reason)

    def _break_client(self, reason: str) -> None:
        self._channel.calls.pop(self._number, None)
        if self._error is None:
            self._error = rpc_error(grpc.StatusCode.UNAVAILABLE, reason)
            self.down.end(reason)
            self.up.end(reason)

    def _break_server(self) -> None:
        if self._handler is not None and not self._handler.done():
            self._handler.cancel()

    # -- the client's side --------------------------------------------------------------------

    async def read(self) -> Any:
        if self._error is not None and self._server is None:
            raise self._error
        message = None if self._cancelled else await self.down.take()
        if message is None:
            if self._error is not None:
                raise self._error
            raise asyncio.CancelledError
        return message

    async def write(self, frame: Any) -> None:
        if self._error is not None:
            raise self._error
        if self._cancelled or self.up.broken is not None:
            raise asyncio.InvalidStateError("the call is over")
        self.up.put(_troubled(self._network, frame))
        await self.up.room()

    def cancel(self) -> bool:
        if self._cancelled or self._server is None:
            return False
        self._cancelled = True
        self._channel.calls.pop(self._number, None)
        self.down.end("cancelled")
        here, there = self.ends
        if self._network.open(here, there):
            self._network.loop.after(self._network.delay(here, there), self._break_server)
        else:
            self._network.loop.after(self._network.weather.keepalive_s, self._break_server)
        return True


class StreamContext(Context):
    def __init__(self, call: StreamCall) -> None:
        super().__init__(call.ends[0])
        self._call = call

    async def read(self) -> Any:
        message = await self._call.up.take()
        return EOF if message is None else message

    async def write(self, frame: Any) -> None:
        self._call.down.put(_troubled(self._call._network, frame))
        await self._call.down.room()


_NOT_LOST = ("subscribe", "refused")
_NOT_DOUBLED = ("subscribe", "refused", "lease_hand_back")


def _troubled(network: Network, frame: Any) -> Any:
    """A frame of the coherence protocol with messages left out, doubled or exchanged, if the
    weather is like that. Forwarded writes rely on a stream's doing none of that."""
    weather = network.weather
    if not network.faulty or not (weather.dropped or weather.doubled or weather.reordered):
        return frame
    upwards = isinstance(frame, pb.ReplicaFrame)
    if not upwards and not isinstance(frame, pb.PrimaryFrame):
        return frame
    messages: list[Any] = []
    sent = list(frame.messages)
    if not upwards:
        sent += map(wire.primary_message, packing.unpacked(frame.packed))
    for message in sent:
        kind = message.WhichOneof("message")
        if kind not in _NOT_LOST and network.chance(weather.dropped):
            continue
        messages.append(message)
        if kind not in _NOT_DOUBLED and network.chance(weather.doubled):
            messages.append(message)
    if not upwards and len(messages) > 1 and network.chance(weather.reordered):
        at = network.rng.randrange(len(messages) - 1)
        messages[at], messages[at + 1] = messages[at + 1], messages[at]
    return (pb.ReplicaFrame if upwards else pb.PrimaryFrame)(messages=messages)
