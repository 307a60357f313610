"""A connection for threads that block: no event loop between a caller and a socket, which would
cost more than all the rest of a call."""

import select
import socket
import ssl
from collections.abc import Callable, Sequence
from typing import Final

from paceline.client.core.commands import Broken
from paceline.client.core.plain_get import PlainGet, receive, send
from paceline.client.core.retry import NoAnswer, is_farewell
from paceline.client.signing import SESSION, USER_AGENT
from paceline.client.tls import Tls, reason
from paceline.clock import now as clock_now
from paceline.dax.connection import NEED_DATA, ClientConnection, ErrorReply, NeedData, Reply
from paceline.dax.request_types import Endpoints, Request
from paceline.errors import ProtocolError

RECEIVE_BYTES = 64 * 1024
_LATER: Final = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)
_HAS_POLL: Final = hasattr(select, "poll")


def _wait(
    sockets: Sequence[socket.socket], timeout_s: float, *, writing: bool = False
) -> list[int]:
    """The descriptors that are ready. By ``poll`` where the system has it, since ``select`` takes
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
        """True once the node has answered on this connection."""
        self.spent = False
        """True if the node may have said farewell, in its last reply or behind it."""
        try:
            self._socket = socket.create_connection((host, port), timeout_s)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if tls is not None:
                self._socket = tls.wrap(self._socket)
        except OSError as error:
            raise Broken(
                NoAnswer.NOT_HANDED_OVER, f"{host}:{port} cannot be reached: {reason(error, tls)}"
            ) from error
        # A socket with a timeout asks the kernel for leave before every call.
        self._socket.setblocking(False)
        self._readable = _readability(self._socket)
        self._codec = ClientConnection()
        self._preamble = self._codec.preamble(USER_AGENT, SESSION)

    @property
    def usable(self) -> bool:
        """False if the peer sent bytes or closed the connection while it was idle."""
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
    ) -> Reply | ErrorReply:
        until = clock_now() + timeout_s
        self.send(request, timeout_s, prefix)
        while True:
            if not self._readable(max(0.0, until - clock_now())):
                raise Broken(NoAnswer.NO_REPLY, f"no reply within {timeout_s:.2g} s", slow=True)
            event = self.receive()
            if event is not NEED_DATA:
                return event

    def prove(self, timeout_s: float, prefix: bytes = b"") -> None:
        """Makes sure that the node reads this connection: a write on one that it never reads would
        have an unknown outcome."""
        try:
            event = self.exchange(Endpoints(), timeout_s, prefix)
        except Broken as broken:
            raise Broken(NoAnswer.NOT_HANDED_OVER, str(broken)) from broken
        if type(event) is ErrorReply:
            raise Broken(NoAnswer.NOT_HANDED_OVER, str(event.error))

    def send(self, request: Request | PlainGet, timeout_s: float, prefix: bytes = b"") -> None:
        if self.spent:
            raise Broken(NoAnswer.NOT_HANDED_OVER, "the node said goodbye")
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
            raise Broken(NoAnswer.NO_REPLY, f"the connection broke: {error}") from error

    def _send_rest(self, data: bytes, until: float) -> None:
        rest = memoryview(data)
        try:
            while rest:
                left_s = until - clock_now()
                if left_s <= 0:
                    raise Broken(NoAnswer.NO_REPLY, "the node takes no more bytes of a request")
                _wait((self._socket,), left_s, writing=True)
                try:
                    rest = rest[self._socket.send(rest) :]
                except _LATER:
                    continue
        except OSError as error:
            raise Broken(NoAnswer.NO_REPLY, f"the connection broke: {error}") from error

    def receive(self) -> Reply | ErrorReply | NeedData:
        """Receives what has arrived; ``NEED_DATA`` while that is not a whole reply."""
        try:
            received = self._socket.recv(RECEIVE_BYTES)
            if isinstance(self._socket, ssl.SSLSocket):
                while self._socket.pending():  # the kernel does not know of these
                    received += self._socket.recv(RECEIVE_BYTES)
        except _LATER:
            return NEED_DATA
        except OSError as error:
            raise Broken(NoAnswer.NO_REPLY, f"the connection broke: {error}") from error
        if not received:
            raise Broken(NoAnswer.NO_REPLY, "the node closed the connection")
        try:
            event = receive(self._codec, received)
        except ProtocolError as error:
            raise Broken(NoAnswer.NO_REPLY, f"the node's bytes make no sense: {error}") from error
        if event is not NEED_DATA:
            self.proven = True
            goodbye = type(event) is ErrorReply and is_farewell(event.error)
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
    """The connections that have received something; none if the time is up."""
    ready = _wait([connection.socket for connection in connections], timeout_s)
    return [connection for connection in connections if connection.socket.fileno() in ready]
