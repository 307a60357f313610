"""Connections and their pool for threads that block: no event loop between a caller and a socket,
which would cost more than all the rest of a call."""

import contextlib
import select
import socket
import ssl
import threading
from collections.abc import Callable, Sequence
from typing import Final

from paceline.client.aio.connection import SESSION, USER_AGENT, is_goodbye, receive, send
from paceline.client.core.commands import Broken
from paceline.client.core.plain_get import PlainGet
from paceline.client.core.retry import Lost
from paceline.client.tls import HANDSHAKE_S, Tls, reason
from paceline.clock import now as clock_now
from paceline.dax.connection import NEED_DATA, ClientConnection, Failure, NeedData, Reply
from paceline.dax.request_types import Endpoints, Request
from paceline.errors import ProtocolError

RECEIVE_BYTES = 64 * 1024
_LATER: Final = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)
_HAS_POLL: Final = hasattr(select, "poll")


def _wait(
    sockets: Sequence[socket.socket], timeout_s: float, *, writing: bool = False
) -> list[int]:
    """The descriptors among them that are ready. Not ``select`` where it can be helped: it takes
    no descriptor beyond 1023."""
    timeout_s = max(0.0, timeout_s)
    if not _HAS_POLL:
        ready = select.select(() if writing else sockets, sockets if writing else (), (), timeout_s)
        return [one.fileno() for one in (*ready[0], *ready[1])]
    poll = select.poll()
    for one in sockets:
        poll.register(one, select.POLLOUT if writing else select.POLLIN)
    return [number for number, _ in poll.poll(timeout_s * 1000)]


def _readability(one: socket.socket) -> Callable[[float], bool]:
    """A function that waits so many seconds for ``one`` to have something to be read."""
    if not _HAS_POLL:
        return lambda timeout_s: bool(_wait((one,), timeout_s))
    poll = select.poll()
    poll.register(one, select.POLLIN)
    wait = poll.poll
    return lambda timeout_s: bool(wait(timeout_s * 1000))


class BlockingConnection:
    """One TCP connection, used by one thread at a time; of no more use after ``Broken``."""

    def __init__(self, host: str, port: int, timeout_s: float, tls: Tls | None = None) -> None:
        self.idle_since = 0.0
        self.signed_until = float("-inf")
        self.proven = False
        """Whether the node has ever answered on it."""
        self.spent = False
        """Whether the node may have said goodbye, with its last reply or for one."""
        try:
            self._socket = socket.create_connection((host, port), timeout_s)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if tls is not None:
                self._socket = tls.wrap(self._socket)
        except OSError as error:
            raise Broken(
                Lost.NOT_HANDED_OVER, f"{host}:{port} cannot be reached: {reason(error, tls)}"
            ) from error
        # A socket with a timeout asks the kernel for leave before every call.
        self._socket.setblocking(False)
        self._readable = _readability(self._socket)
        self._codec = ClientConnection()
        self._preamble = self._codec.preamble(USER_AGENT, SESSION)

    @property
    def usable(self) -> bool:
        """Whether nothing was received while it was idle: its end, that would be."""
        if self.spent:
            return False
        try:
            if not self._readable(0.0):
                return True
            if isinstance(self._socket, ssl.SSLSocket):
                self._socket.recv(1)  # TLS has bytes of its own; then there is nothing to read
        except _LATER:
            return True
        except (OSError, ValueError):
            return False
        return False

    def exchange(
        self, request: Request | PlainGet, timeout_s: float, prefix: bytes = b""
    ) -> Reply | Failure:
        until = clock_now() + timeout_s
        self.send(request, timeout_s, prefix)
        while True:
            if not self._readable(max(0.0, until - clock_now())):
                raise Broken(Lost.NO_REPLY, f"no reply within {timeout_s:.2g} s", slow=True)
            event = self.receive()
            if event is not NEED_DATA:
                return event

    def prove(self, timeout_s: float, prefix: bytes = b"") -> None:
        """A write on a connection that nobody will read would be of unknown outcome."""
        try:
            event = self.exchange(Endpoints(), timeout_s, prefix)
        except Broken as broken:
            raise Broken(Lost.NOT_HANDED_OVER, str(broken)) from broken
        if type(event) is Failure:
            raise Broken(Lost.NOT_HANDED_OVER, str(event.error))

    def send(self, request: Request | PlainGet, timeout_s: float, prefix: bytes = b"") -> None:
        if self.spent:
            raise Broken(Lost.NOT_HANDED_OVER, "the node said goodbye")
        data = send(self._codec, request)
        if prefix:
            data = prefix + data
        if self._preamble:
            data = self._preamble + data
            self._preamble = b""
        try:
            sent = self._socket.send(data)
            if sent < len(data):
                self._send_rest(data[sent:], clock_now() + timeout_s)
        except _LATER:
            self._send_rest(data, clock_now() + timeout_s)
        except OSError as error:
            raise Broken(Lost.NO_REPLY, f"the connection broke: {error}") from error

    def _send_rest(self, data: bytes, until: float) -> None:
        rest = memoryview(data)
        try:
            while rest:
                left_s = until - clock_now()
                if left_s <= 0:
                    raise Broken(Lost.NO_REPLY, "the node takes no more bytes of a request")
                _wait((self._socket,), left_s, writing=True)
                try:
                    rest = rest[self._socket.send(rest) :]
                except _LATER:
                    continue
        except OSError as error:
            raise Broken(Lost.NO_REPLY, f"the connection broke: {error}") from error

    def receive(self) -> Reply | Failure | NeedData:
        """What there is to be received now; ``NEED_DATA`` while that is no whole reply."""
        try:
            received = self._socket.recv(RECEIVE_BYTES)
            if isinstance(self._socket, ssl.SSLSocket):
                while self._socket.pending():  # the kernel does not know of these
                    received += self._socket.recv(RECEIVE_BYTES)
        except _LATER:
            return NEED_DATA
        except OSError as error:
            raise Broken(Lost.NO_REPLY, f"the connection broke: {error}") from error
        if not received:
            raise Broken(Lost.NO_REPLY, "the node closed the connection")
        try:
            event = receive(self._codec, received)
        except ProtocolError as error:
            raise Broken(Lost.NO_REPLY, f"the node's bytes make no sense: {error}") from error
        if event is not NEED_DATA:
            self.proven = True
            goodbye = type(event) is Failure and is_goodbye(event)
            self.spent = goodbye or bool(self._codec.buffer)  # or right behind the reply
        return event

    @property
    def socket(self) -> socket.socket:
        return self._socket

    def close(self) -> None:
        self._socket.close()


def wait_readable(
    connections: Sequence[BlockingConnection], timeout_s: float
) -> list[BlockingConnection]:
    """Those of them that have received something; none when time is up."""
    ready = _wait([connection.socket for connection in connections], timeout_s)
    return [connection for connection in connections if connection.socket.fileno() in ready]


class BlockingPool:
    """A bounded pool of connections to one node, for many threads."""

    def __init__(
        self,
        host: str,
        port: int,
        connections_max: int,
        connect_s: float,
        clock: Callable[[], float],
        tls: Tls | None = None,
    ) -> None:
        self.host = host
        self.port = port
        self._max = connections_max
        self._connect_s = connect_s + (HANDSHAKE_S if tls else 0.0)
        self._tls = tls
        self._clock = clock
        self._idle: list[BlockingConnection] = []
        self._open = 0
        self._waiting = 0
        self._freed = threading.Condition()
        self._closed = False

    def take(self, timeout_s: float) -> BlockingConnection:
        """``Broken`` when there is none to be had."""
        connection = self._take_idle()
        if connection is not None:
            return connection
        until = self._clock() + timeout_s
        while not self._may_open(until):
            connection = self._take_idle()
            if connection is not None:
                return connection
        try:
            timeout_s = min(timeout_s, self._connect_s)
            return BlockingConnection(self.host, self.port, timeout_s, self._tls)
        except BaseException:
            with self._freed:
                self._open -= 1
                self._freed.notify()
            raise

    def _take_idle(self) -> BlockingConnection | None:
        while self._idle:
            try:
                connection = self._idle.pop()  # atomic: the hot path takes no lock
            except IndexError:
                break
            if connection.usable:
                return connection
            self._dropped(connection)
        return None

    def _may_open(self, until: float) -> bool:
        """Whether there is room for a new connection, which is then the caller's to open; False
        when one is idle instead, which others may take first. ``Broken``."""
        with self._freed:
            self._waiting += 1
            try:
                self._freed.wait_for(
                    lambda: self._idle or self._open < self._max or self._closed,
                    until - self._clock(),
                )
            finally:
                self._waiting -= 1
            if self._closed:
                raise Broken(Lost.NOT_HANDED_OVER, "the pool was closed")
            if self._idle:
                return False
            if self._open >= self._max:
                raise Broken(
                    Lost.NOT_HANDED_OVER,
                    f"all {self._max} connections to {self.host}:{self.port} are in use",
                    busy=True,
                )
            self._open += 1
            return True

    def give_back(self, connection: BlockingConnection) -> None:
        """After a whole exchange."""
        if self._closed or connection.spent:
            self._dropped(connection)
            return
        connection.idle_since = self._clock()
        self._idle.append(connection)
        if self._waiting:
            with self._freed:
                self._freed.notify()
        if self._closed:  # meanwhile
            self.close()

    def drop(self, connection: BlockingConnection) -> None:
        """After an exchange that failed or was given up."""
        self._dropped(connection)

    def _dropped(self, connection: BlockingConnection) -> None:
        connection.close()
        with self._freed:
            self._open -= 1
            self._freed.notify()

    def close_idle(self, before: float) -> None:
        with self._freed, contextlib.suppress(IndexError):  # others may take the last one
            while self._idle[0].idle_since < before:
                self._idle.pop(0).close()
                self._open -= 1

    def forget(self) -> None:
        """In a forked process: closes this process's copies; the parent's go on."""
        while self._idle:
            self._idle.pop().close()

    def close(self) -> None:
        """Connections in use are closed when they are given back."""
        with self._freed:
            self._closed = True
            self._freed.notify_all()
        while self._idle:
            try:
                connection = self._idle.pop()
            except IndexError:
                return
            connection.close()
