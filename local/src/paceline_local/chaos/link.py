"""A link: a port that stands for another one, and the connections that go through it."""

import asyncio
import contextlib
import errno
import socket
import struct
import sys
from collections.abc import Callable, Collection
from typing import cast

from paceline_local.chaos.pipe import Direction, End, Pipe, Sink
from paceline_local.ports import LOOPBACK

READ_BYTES = 64 * 1024
CONNECTIONS_MAX = 2048
"""The most connections per link. A program that opens more has lost count, and is refused."""
CONNECT_S = 10.0
"""The time to connect. On loopback it takes none of it."""
PROBE_EVERY_S = 0.05
"""The interval at which a program that starts is probed for listening."""
ACCEPT_AGAIN_S = 0.2
BACKLOG = 128
_PORT_ATTEMPTS = 100

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)

Filter = Callable[[Sink, Callable[[bytes], None], Callable[[], None]], Sink]
"""Puts something between the dialler's bytes and the acceptor: (acceptor, answer to the dialler,
reset the connection) to what takes the acceptor's place."""


class Target:
    """The program that links lead to, and whether it listens.

    A proxy that accepted for a dead program and reset the connection afterwards would look like a
    program that refuses its peers. So while the target refuses, its links refuse as well.
    """

    def __init__(self, host: str, port: int) -> None:
        self.host = host
        self.port = port
        self.listens = False
        self.links: list[Link] = []
        self._probe: asyncio.Task[None] | None = None

    def watch(self) -> None:
        """Probes until the target listens, then tells each link that leads here."""
        if self._probe is None:
            self._probe = asyncio.get_running_loop().create_task(self._look(), name="chaos-probe")

    def refused(self) -> None:
        if self.listens:
            self.listens = False
            for link in self.links:
                link.settle()
            self.watch()

    async def close(self) -> None:
        probe, self._probe = self._probe, None
        if probe is not None:
            probe.cancel()
            await asyncio.gather(probe, return_exceptions=True)

    async def _look(self) -> None:
        while True:
            if await self._answers():
                break
            await asyncio.sleep(PROBE_EVERY_S)
        self._probe = None
        self.listens = True
        for link in self.links:
            link.settle()

    async def _answers(self) -> bool:
        try:
            async with asyncio.timeout(CONNECT_S):
                transport, _ = await asyncio.get_running_loop().create_connection(
                    asyncio.Protocol, self.host, self.port
                )
        except TimeoutError:
            # Paused or overwhelmed, but there: connections wait as they would without a proxy.
            return True
        except OSError:
            return False
        itself = transport.get_extra_info("sockname") == transport.get_extra_info("peername")
        transport.abort()
        # TCP lets a socket connect to itself if the target's port happens to be its own.
        return not itself


class Link:
    """Listens on a port of its own for as long as it lives, refusing when it should."""

    def __init__(
        self,
        target: Target,
        forward: Direction,
        backward: Direction,
        make_filter: Filter | None = None,
    ) -> None:
        self.forward = forward
        self.backward = backward
        self.target = target
        self.connections: set[Connection] = set()
        self.accepted = 0
        self.port = 0
        self._make_filter = make_filter
        self._reservation: socket.socket | None = None
        self._listener: socket.socket | None = None
        self._accept_again: asyncio.TimerHandle | None = None
        target.links.append(self)

    def open(self, taken: Collection[int]) -> int:
        """Chooses a port that is not among ``taken``, and keeps it until ``close``."""
        for _ in range(_PORT_ATTEMPTS):
            reservation = _bound(0)
            self.port = int(reservation.getsockname()[1])
            if self.port not in taken:
                self._reservation = reservation
                self.settle()
                return self.port
            reservation.close()
        raise OSError(errno.EADDRNOTAVAIL, "no port is free for a proxy")

    async def close(self) -> None:
        self._stop_listening()
        if self._reservation is not None:
            self._reservation.close()
            self._reservation = None
        tasks = [connection.abandon() for connection in tuple(self.connections)]
        await asyncio.gather(*(task for task in tasks if task), return_exceptions=True)

    @property
    def cut(self) -> bool:
        return "cut" in (self.forward.faults.mode, self.backward.faults.mode)

    @property
    def stalled(self) -> bool:
        """True if no connection can be set up, since one of its packets would be lost."""
        return self.forward.stalled or self.backward.stalled

    def settle(self) -> None:
        """Brings listener and connections in line with the faults and the target."""
        if self._reservation is None:
            return
        if self.cut:
            self._stop_listening()
            for connection in tuple(self.connections):
                connection.reset()
        elif self.stalled or self.target.listens:
            self._listen()
        else:
            self._stop_listening()
        if not self.stalled:
            for connection in tuple(self.connections):
                connection.go_on()

    def filtered(
        self, sink: Sink, answer: Callable[[bytes], None], reset: Callable[[], None]
    ) -> Sink:
        return sink if self._make_filter is None else self._make_filter(sink, answer, reset)

    def _listen(self) -> None:
        if self._listener is not None or self._accept_again is not None:
            return
        listener = _bound(self.port)
        listener.listen(BACKLOG)
        self._listener = listener
        asyncio.get_running_loop().add_reader(listener.fileno(), self._accept)

    def _stop_listening(self) -> None:
        if self._accept_again is not None:
            self._accept_again.cancel()
            self._accept_again = None
        listener, self._listener = self._listener, None
        if listener is not None:
            asyncio.get_running_loop().remove_reader(listener.fileno())
            listener.close()

    def _accept(self) -> None:
        assert self._listener is not None
        for _ in range(BACKLOG):
            try:
                accepted, _ = self._listener.accept()
            except BlockingIOError:
                return
            except ConnectionError:
                continue
            except OSError:
                # No descriptors left: the event would come again at once, for ever.
                self._stop_listening()
                loop = asyncio.get_running_loop()
                self._accept_again = loop.call_later(ACCEPT_AGAIN_S, self._try_again)
                return
            if len(self.connections) >= CONNECTIONS_MAX:
                _reset_socket(accepted)
                continue
            accepted.setblocking(False)
            self.accepted += 1
            self.connections.add(Connection(self, accepted))

    def _try_again(self) -> None:
        self._accept_again = None
        self.settle()


class Connection:
    """An accepted connection, the one behind it, and a pipe each way."""

    def __init__(self, link: Link, accepted: socket.socket) -> None:
        self._link = link
        self._dialler = Side(self._side_gone)
        self._acceptor = Side(self._side_gone)
        self.forward = Pipe(link.forward, set_reading=self._dialler.set_reading, reset=self._drop)
        self.backward = Pipe(
            link.backward, set_reading=self._acceptor.set_reading, reset=self._drop
        )
        self._dialler.join(self.forward, self.backward)
        self._acceptor.join(self.backward, self.forward)
        self._may_connect = asyncio.Event()
        if not link.stalled:
            self._may_connect.set()
        self._closed = False
        self._task: asyncio.Task[None] | None = asyncio.get_running_loop().create_task(
            self._set_up(accepted), name="chaos-connection"
        )

    @property
    def given_up(self) -> bool:
        """True once the dialler has sent all that it will."""
        return self._dialler.ended

    def go_on(self) -> None:
        self._may_connect.set()

    def reset(self) -> None:
        """Tells both programs that the connection is broken."""
        self._dialler.reset()
        self._acceptor.reset()
        self._end()

    def abandon(self) -> asyncio.Task[None] | None:
        """Resets; the returned task, if any, was cancelled and has to be awaited."""
        task = self._task
        self.reset()
        return task

    def _drop(self) -> None:
        # Not within the call that delivers the bytes which drew the short straw.
        asyncio.get_running_loop().call_soon(self.reset)

    async def _set_up(self, accepted: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        try:
            try:
                await loop.connect_accepted_socket(lambda: self._dialler, accepted)
            except BaseException:
                accepted.close()
                raise
            # As long as the blackhole lasts, or until the dialler gives up.
            held = not self._may_connect.is_set()
            await self._may_connect.wait()
            if held and self.given_up:
                self.reset()
                return
            target = self._link.target
            async with asyncio.timeout(CONNECT_S):
                await loop.create_connection(lambda: self._acceptor, target.host, target.port)
        except ConnectionRefusedError:
            self._link.target.refused()
            self.reset()
        except (OSError, TimeoutError):
            self.reset()
        else:
            if self._closed:
                self.reset()
                return
            self.forward.open(self._link.filtered(self._acceptor, self.backward.feed, self._drop))
            self.backward.open(self._dialler)
        finally:
            self._task = None

    def _side_gone(self) -> None:
        if self._dialler.gone and (self._acceptor.gone or not self._acceptor.connected):
            self.reset()
        elif self._dialler.done_sending and self._acceptor.done_sending:
            # Each has been told that the other is done.
            self._dialler.finish(End.CLOSED)
            self._acceptor.finish(End.CLOSED)

    def _end(self) -> None:
        self._closed = True
        self.forward.close()
        self.backward.close()
        self._link.connections.discard(self)
        if self._task is not None and self._task is not asyncio.current_task():
            self._task.cancel()


class Side(asyncio.BufferedProtocol):
    """The proxy's end of a connection with one of the two programs."""

    _out: Pipe
    _inward: Pipe

    def __init__(self, changed: Callable[[], None]) -> None:
        self._changed = changed
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray(READ_BYTES)
        self._reading = True
        self._reset_wanted = False
        self.connected = False
        self.ended = False
        """True once the program has sent all that it will."""
        self.gone = False
        self.done_sending = False
        """True once the program was told that the other one has sent all."""

    def join(self, out: Pipe, inward: Pipe) -> None:
        """Joins the pipes: ``out`` takes what the program sends, ``inward`` brings what it is to
        get."""
        self._out = out
        self._inward = inward

    # -- what the transport calls -----------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclasses of asyncio's.
        self._transport = cast(asyncio.Transport, transport)
        self.connected = True
        if self._reset_wanted:
            self.reset()
        elif not self._reading:
            self._transport.pause_reading()

    def get_buffer(self, sizehint: int) -> bytearray:
        del sizehint
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        self._out.feed(bytes(memoryview(self._buffer)[:nbytes]))

    def eof_received(self) -> bool:
        self.ended = True
        self._out.end(End.DONE)
        return True

    def pause_writing(self) -> None:
        self._inward.set_sink_full(True)

    def resume_writing(self) -> None:
        self._inward.set_sink_full(False)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self.ended = self.gone = True
        self._out.end(End.CLOSED if exc is None else End.RESET)
        self._changed()

    # -- what the pipes call ----------------------------------------------------------------

    def set_reading(self, on: bool) -> None:
        if on == self._reading:
            return
        self._reading = on
        if self._transport is None or self._transport.is_closing():
            return
        if on:
            self._transport.resume_reading()
        else:
            self._transport.pause_reading()

    def write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)

    def finish(self, end: End) -> None:
        if end is End.RESET:
            self.reset()
        elif self._transport is None:
            pass
        elif end is End.CLOSED:
            self._transport.close()
        elif not self.done_sending:
            self.done_sending = True
            with contextlib.suppress(OSError):
                self._transport.write_eof()
            self._changed()

    def reset(self) -> None:
        """Sends RST, as a machine does that knows nothing of the connection."""
        self._reset_wanted = True
        if self._transport is None:
            return
        with contextlib.suppress(OSError):
            self._transport.get_extra_info("socket").setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE
            )
        self._transport.abort()


def _bound(port: int) -> socket.socket:
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        bound.setblocking(False)
        # A second socket on the port keeps it while the listener is away. Linux lets both be
        # bound as long as one does not listen; macOS wants the other option for it.
        reuse = socket.SO_REUSEPORT if sys.platform == "darwin" else socket.SO_REUSEADDR
        bound.setsockopt(socket.SOL_SOCKET, reuse, 1)
        bound.bind((LOOPBACK, port))
    except BaseException:
        bound.close()
        raise
    return bound


def _reset_socket(accepted: socket.socket) -> None:
    with contextlib.suppress(OSError):
        accepted.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    accepted.close()
