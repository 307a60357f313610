"""pysyncobj's sockets with bounds: what one may send, how often, and what it costs the thread.

pysyncobj reads a connection until nothing is left to read, takes any length that is announced, and
closes its listener for good at the first error of ``accept``. Here

* a stranger may send ``STRANGER_BYTES_MAX`` a message, and is read at most once per wake-up;
* a member may send what a member has to send, and is read at most ``READS_MAX`` times per wake-up:
  the thread's clockwork turns in between, whatever a connection sends;
* the listener stays. Descriptors that ran out are waited for, and some are kept back for members.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Callable
from typing import Any

import structlog
from pysyncobj.poller import POLL_EVENT_TYPE, Poller
from pysyncobj.tcp_connection import TcpConnection

import cluster.consensus.raft_setup  # noqa: F401 - undoes what pysyncobj's import does to sockets
from cluster.log.commands import COMMAND_BYTES_MAX
from paceline.clock import now

STRANGER_BYTES_MAX = 768
"""A message before the sender is known: 32 random bytes, or the address of a peer (a name of 253
characters at most), pickled, compressed, encrypted, in base64."""

FRAME_BYTES_MAX = 2 * COMMAND_BYTES_MAX
"""A message of a member. The largest is a batch of entries: 64 KiB, and the entry that went over
it, which is a command; base64 makes a third more of it."""

READ_BYTES = 64 * 1024
"""Also pysyncobj's buffers in the kernel, and its pieces of snapshots."""
READS_MAX = 4
"""Of one connection per wake-up: 256 KiB, well under a millisecond."""

ACCEPTS_MAX = 8
"""Per wake-up. A stranger that connects all the time has some wake-ups of the others' time before
it can crowd them out (see ``PeerTransport``)."""
BACKLOG = 128
"""Connections that wait in the kernel; pysyncobj's 5 are filled by anyone."""

PAUSE_S = 0.1
"""Between two attempts to accept while descriptors or memory are out."""

RESERVE = 16
"""Descriptors kept back: a cluster has at most ten peers, each has one connection, and the log
opens a file or two."""

_OUT = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_EMPTY = frozenset({errno.EAGAIN, errno.EWOULDBLOCK})

_LENGTH = struct.Struct("i")

_log = structlog.get_logger()

for _name in ("tryReadBuffer", "processRead", "processParseMessage"):
    # Its hash is pinned, so this cannot happen unseen; a bound that is not there must not either.
    assert hasattr(TcpConnection, f"_TcpConnection__{_name}"), _name


class PeerConnection(TcpConnection):  # type: ignore[misc]
    """Bounded in what it takes; a stranger's until ``known``."""

    _TcpConnection__readBuffer: bytes
    host = ""
    """The address that it came from; empty for one that this node opened."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.unknown()

    def unknown(self) -> None:
        self._frame_bytes_max = STRANGER_BYTES_MAX
        self._reads_max = self._reads_left = 1
        self._TcpConnection__recvBufferSize = 4 + STRANGER_BYTES_MAX

    def known(self) -> None:
        """The other end has shown who it is."""
        self._frame_bytes_max = FRAME_BYTES_MAX
        self._reads_max = READS_MAX
        self._TcpConnection__recvBufferSize = READ_BYTES

    def connect(self, host: Any, port: int) -> bool:
        # pysyncobj makes the kernel's buffer as large as it reads at a time: with a stranger's few
        # bytes, what a member sends would trickle through a closed window ever after.
        self._TcpConnection__recvBufferSize = READ_BYTES
        begun: bool = super().connect(host, port)
        self._TcpConnection__recvBufferSize = 4 + STRANGER_BYTES_MAX
        return begun

    def disconnect(self) -> None:
        super().disconnect()
        self.unknown()

    def _TcpConnection__tryReadBuffer(self) -> None:
        self._reads_left = self._reads_max
        super()._TcpConnection__tryReadBuffer()

    def _TcpConnection__processRead(self) -> bool:
        """Whether there may be more; pysyncobj asks for as long as there is."""
        if self._reads_left == 0:
            return False
        self._reads_left -= 1
        more: bool = super()._TcpConnection__processRead()
        return more

    def _TcpConnection__processParseMessage(self) -> Any:
        """Before pysyncobj's: nothing is kept of a message that is too long."""
        buffer = self._TcpConnection__readBuffer
        if len(buffer) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(buffer)
            if not 0 < length <= self._frame_bytes_max:
                self.disconnect()
                return None
        return super()._TcpConnection__processParseMessage()


def is_out_of_descriptors(error: Exception) -> bool:
    return isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE)


class DescriptorReserve:
    """File descriptors held back, for those who must get one when all others are taken. None
    before the first ``refill``."""

    def __init__(self, size: int = RESERVE) -> None:
        self._size = size
        self._held: list[int] = []

    def give(self) -> bool:
        """Whether one was let go for the caller to take, at once."""
        if not self._held:
            return False
        os.close(self._held.pop())
        return True

    def refill(self) -> None:
        """Takes back what is missing, as far as there are any."""
        while len(self._held) < self._size:
            try:
                self._held.append(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
            except OSError:
                return

    def close(self) -> None:
        while self.give():
            pass


class PeerServer:
    """The consensus listener, in the place of pysyncobj's: nothing but ``unbind`` ends it.

    ``make_room`` frees a descriptor when there are none, and says whether it could."""

    def __init__(
        self,
        poller: Poller,
        bind: tuple[str, int],
        connection_timeout_s: float,
        accepted: Callable[[PeerConnection], None],
        make_room: Callable[[], bool],
    ) -> None:
        self._poller = poller
        self._bind = bind
        self._connection_timeout_s = connection_timeout_s
        self._accepted = accepted
        self._make_room = make_room
        self._socket: socket.socket | None = None
        self._resume_at: float | None = None

    def bind(self) -> None:
        """OSError if the address cannot be had."""
        host = self._bind[0]
        sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        self._socket = sock
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
            sock.setsockopt(socket.SOL_SOCKET, option, READ_BYTES)
        sock.setblocking(False)
        sock.bind(self._bind)
        sock.listen(BACKLOG)
        self._poll()

    def unbind(self) -> None:
        sock, self._socket = self._socket, None
        self._resume_at = None
        if sock is not None:
            self._poller.unsubscribe(sock.fileno())
            sock.close()

    def tick(self, t: float) -> None:
        """Listens again after a pause."""
        if self._resume_at is not None and t >= self._resume_at:
            self._resume_at = None
            self._poll()

    def _poll(self) -> None:
        assert self._socket is not None
        events = POLL_EVENT_TYPE.READ | POLL_EVENT_TYPE.ERROR
        self._poller.subscribe(self._socket.fileno(), self._ready, events)

    def _ready(self, descriptor: int, event: int) -> None:
        for count in range(ACCEPTS_MAX):
            if self._socket is None:
                return
            try:
                self._accept(self._socket)
            except OSError as error:
                if error.errno in _EMPTY:
                    return
                if error.errno in _OUT:
                    # It comes before the look at whether anyone waits; the first time, one does.
                    if count == 0:
                        self._accept_in_need(self._socket, error)
                    return
                # Else the connection had an error of its own, or ended before it was accepted.

    def _accept_in_need(self, listening: socket.socket, error: OSError) -> None:
        if self._make_room():
            try:
                self._accept(listening)
            except OSError as again:
                error = again
            else:
                return
        if error.errno in _OUT:
            self._pause(listening, error)

    def _accept(self, listening: socket.socket) -> None:
        sock, address = listening.accept()
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setblocking(False)
        except OSError:
            sock.close()  # it has ended already
            return
        connection = PeerConnection(
            self._poller,
            socket=sock,
            timeout=self._connection_timeout_s,
            sendBufferSize=READ_BYTES,
            recvBufferSize=READ_BYTES,
        )
        connection.host = str(address[0])
        self._accepted(connection)

    def _pause(self, listening: socket.socket, error: OSError) -> None:
        _log.warning("consensus accepts no connections for a moment", reason=error.strerror)
        self._poller.unsubscribe(listening.fileno())
        self._resume_at = now() + PAUSE_S
