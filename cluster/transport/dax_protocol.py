"""One DAX connection on a socket: order, flow control, and its end."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Protocol

import structlog

from cluster.roster import AddressFamily
from cluster.settings import Listener
from cluster.transport.addresses import family_of
from paceline.dax.connection import NEED_DATA, Preamble, ServerConnection, framed_reply
from paceline.dax.errors import encode_error
from paceline.dax.family import Family
from paceline.dax.request_types import (
    Authorize,
    BatchGetItem,
    BatchWriteItem,
    DeleteItem,
    GetItem,
    PutItem,
    Query,
    Request,
    Scan,
    TransactGetItems,
    TransactWriteItems,
    UpdateItem,
)
from paceline.errors import NotSent, PacelineError, ProtocolError

PIPELINE_BYTES_MAX = 64 * 1024
"""Bytes taken in behind a request under way. Clients have one request outstanding, so this
matters only to those who break the protocol: beyond it their bytes stay in the kernel."""
WRITE_BYTES_HIGH = 256 * 1024
"""Unsent reply bytes from which on a connection gets no further work."""
WRITE_STALL_S = 30.0
"""A peer that takes nothing of a reply for so long is gone or means harm: its reply may hold
many megabytes."""
LINGER_S = 2.0
"""After our FIN, bytes of the peer are read and dropped for so long. Closing with unread bytes
would send RST, which can destroy a reply that the peer has not read yet, and which Python
clients, unlike FIN, do not retry."""
FAST_BYTES_MAX = 4096
"""A request behind a preamble or signature is offered to the fast path up to this size; those
that can hit are far smaller."""

WRITES = (PutItem, UpdateItem, DeleteItem, BatchWriteItem, TransactWriteItems)
"""Requests after which an unforeseen failure means 'outcome unknown'."""

READS = (GetItem, BatchGetItem, Query, Scan, TransactGetItems)
"""Requests that nobody misses when their client has gone. A client that waited in vain asks
another node: were the first one to go on, an overload would feed itself."""

REPEATS_AFTER_FIN = frozenset({Family.PYTHON, Family.JAVA})
"""Clients that take FIN instead of a write's reply for leave to write again, on another node, and
RST for an unknown outcome. It is the kernel that ends a killed node's connections."""

_LINGER = struct.Struct("ii")
_BY_FIN, _BY_RST = _LINGER.pack(0, 0), _LINGER.pack(1, 0)

GOODBYE = NotSent("this node is stopping, so nothing was done; ask another one")

_log = structlog.get_logger()


@dataclass(slots=True)
class ConnectionInfo:
    """Who is asking, and where: known from the connection, not from the request.

    ``family``: of the local address that the client connected to; rosters answer in it.
    ``user_agent`` is empty before the preamble, ``access_key_id`` before an authorization.
    """

    listener: str
    family: AddressFamily
    tls: bool
    peer: str
    user_agent: str = ""
    client: Family = Family.UNKNOWN
    access_key_id: str = ""


class Handler(Protocol):
    def fast(self, data: bytes) -> bytes | None:
        """The complete reply, if ``data`` (one chunk as received) is exactly one request that
        can be answered now and without waiting; else None, and nothing has happened."""

    async def handle(self, request: Request, peer: ConnectionInfo) -> bytes:
        """The complete reply. A PacelineError is encoded for the client; any other exception
        is logged and reported as an internal error, of a write as an unknown outcome.

        A read is cancelled when its client disconnects; anything else only when the server is
        aborted.
        """


class Host(Protocol):
    """What a connection needs of the server that it belongs to."""

    handler: Handler

    def admit(self, connection: DaxProtocol) -> bool:
        """Whether there is room; if not, the connection ends itself."""

    def account(self, connection: DaxProtocol) -> bool:
        """Counts what the connection holds now; False if that is too much for all together."""

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Runs a request; the server owns the task."""

    def forget(self, connection: DaxProtocol) -> None:
        """The connection is gone."""


class DaxProtocol(asyncio.Protocol):
    """One connection. Requests are executed strictly one after the other, each answered by one
    write, in order (docs/dax-protocol.md, "Request and response framing").

    ``_fast_ready`` holds only while nothing is buffered, under way, unsent or closing: then a
    chunk may go straight to ``Handler.fast``.
    """

    __slots__ = (
        "_by_rst",
        "_closing",
        "_connection",
        "_draining",
        "_eof",
        "_fast",
        "_fast_ready",
        "_host",
        "_linger",
        "_loop",
        "_reading_paused",
        "_stall",
        "_task",
        "_task_reads",
        "_transport",
        "_write",
        "_write_paused",
        "_writing",
        "held_bytes",
        "info",
    )

    def __init__(self, host: Host, listener: Listener) -> None:
        self._host = host
        self._loop = asyncio.get_running_loop()
        self._connection = ServerConnection()
        self._fast = host.handler.fast
        self._fast_ready = False
        self._transport: asyncio.Transport
        self._write: Callable[[bytes], None]
        self._task: asyncio.Task[None] | None = None
        self._task_reads = False
        """The request under way is a read."""
        self._writing = False
        """It is a write, of a client that repeats those."""
        self._by_rst = False
        self._reading_paused = False
        self.held_bytes = 0
        self._write_paused = False
        self._draining = False
        self._closing = False
        self._eof = False
        self._linger: asyncio.TimerHandle | None = None
        self._stall: asyncio.TimerHandle | None = None
        self.info = ConnectionInfo(listener.name, AddressFamily.IPV4, listener.tls, "")

    # -- from the transport ------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]
        self._write = self._transport.write
        self._transport.set_write_buffer_limits(high=WRITE_BYTES_HIGH)
        local = transport.get_extra_info("sockname")
        peer = transport.get_extra_info("peername")
        if local:
            self.info.family = family_of(local[0])
        self.info.peer = f"{peer[0]}:{peer[1]}" if peer else ""
        if not self._host.admit(self):
            self.finish()

    def data_received(self, data: bytes) -> None:
        if self._fast_ready:
            # Not in a function of its own: a call more is felt at a few microseconds a hit.
            try:
                reply = self._fast(data)
            except Exception:
                _log.exception("the fast path failed", peer=self.info.peer)
                reply = None
            if reply is not None:
                self._write(reply)
                return
        if self._closing:
            return
        self._fast_ready = False
        self._connection.receive_data(data)
        if self._task is None and not self._write_paused:
            self._advance()
        elif len(self._connection.buffer) > PIPELINE_BYTES_MAX:
            self._pause_reading()
        if not self._host.account(self):
            self._refuse(NotSent("the node holds too many unfinished requests: try again"))

    def eof_received(self) -> bool:
        """The peer sends no more: it left, or waits for the reply under way. True keeps the
        sending side open, which is impossible with TLS."""
        self._eof = True
        if self.info.tls:
            return False
        if self.info.client is Family.PACELINE:
            self._abandon_read()  # it never closes one direction alone
        if self._closing or self._task is None:
            self._closing = True
            self._fast_ready = False
            self._close()
        return True

    def pause_writing(self) -> None:
        self._write_paused = True
        self._fast_ready = False
        self._pause_reading()
        self._watch_stall(self._transport.get_write_buffer_size())

    def resume_writing(self) -> None:
        self._write_paused = False
        if self._stall is not None:
            self._stall.cancel()
            self._stall = None
        if self._task is None and not self._closing:
            self._advance()

    def connection_lost(self, exc: Exception | None) -> None:
        self._closing = True
        self._fast_ready = False
        self._abandon_read()
        for timer in (self._linger, self._stall):
            if timer is not None:
                timer.cancel()
        self._host.forget(self)

    # -- requests ----------------------------------------------------------------------------

    def _advance(self) -> None:
        """Starts the next buffered request, if there is a whole one and nothing forbids it."""
        connection = self._connection
        while True:
            if self._draining or self._write_paused:
                if self._draining:
                    self._say_goodbye()
                return
            try:
                event = connection.next_event()
            except ProtocolError as error:
                self._refuse(error)
                return
            if event is NEED_DATA:
                break
            if isinstance(event, Preamble):
                self.info.user_agent = event.user_agent
                self.info.client = event.family
                if event.framed:
                    self._write = self._write_framed
            elif isinstance(event, Authorize):
                self.info.access_key_id = event.access_key
            else:
                self._task_reads = isinstance(event, READS)
                if self.info.client in REPEATS_AFTER_FIN and isinstance(event, WRITES):
                    self._writing = True
                    self._end_by_rst(True)
                self._task = self._host.spawn(self._serve(event))
                if len(connection.buffer) > PIPELINE_BYTES_MAX:
                    self._pause_reading()
                return
            if self._try_fast_on_buffer():
                break
        if self._eof:
            self.finish()
            return
        if self._write_paused:
            return
        self._fast_ready = connection.at_boundary and not connection.buffer
        self._resume_reading()

    def _try_fast_on_buffer(self) -> bool:
        """Clients send a signature and the request behind it in one piece; that hits, too."""
        connection = self._connection
        buffer = connection.buffer
        if not (connection.at_boundary and 0 < len(buffer) <= FAST_BYTES_MAX):
            return False
        try:
            reply = self._fast(bytes(buffer))
        except Exception:
            _log.exception("the fast path failed", peer=self.info.peer)
            return False
        if reply is None:
            return False
        connection.consume(len(buffer))
        self._write(reply)
        return True

    def _write_framed(self, reply: bytes) -> None:
        self._transport.write(framed_reply(reply))

    async def _serve(self, request: Request) -> None:
        try:
            reply = await self._host.handler.handle(request, self.info)
        except PacelineError as error:
            reply = self._encode_error(error, request)
        except asyncio.CancelledError:
            self._transport.abort()
            raise
        except Exception as error:
            _log.exception("a request failed", peer=self.info.peer, request=type(request).__name__)
            reply = self._encode_error(error, request)
        finally:
            self._task = None
        if self._closing:
            return
        self._write(reply)
        if self._writing:
            self._writing = False
            self._loop.call_soon(self._answered)  # after the event loop handed the reply over
        self._advance()
        self._host.account(self)

    def _answered(self) -> None:
        if not self._writing and not self._transport.get_write_buffer_size():
            self._end_by_rst(False)

    def _end_by_rst(self, wanted: bool) -> None:
        """Or by FIN, whoever closes the connection."""
        if wanted is not self._by_rst and not self._transport.is_closing():
            self._by_rst = wanted
            sock = self._transport.get_extra_info("socket")
            linger = _BY_RST if wanted else _BY_FIN
            with contextlib.suppress(OSError):  # some systems': the peer has reset it meanwhile
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)

    def _encode_error(self, error: Exception, request: Request) -> bytes:
        read = not isinstance(request, WRITES)
        return encode_error(error, client=self.info.client, read=read, request=request)

    def _refuse(self, error: ProtocolError | NotSent) -> None:
        """Ends a connection whose request cannot be taken in, and says why if possible."""
        _log.warning(
            "closing a connection",
            peer=self.info.peer,
            user_agent=self.info.user_agent,
            error=str(error),
        )
        if self._task is None and self._connection.preamble is not None:
            self._write(encode_error(error))
        self.finish()

    # -- the end -----------------------------------------------------------------------------

    @property
    def buffered_bytes(self) -> int:
        return 0 if self._closing else len(self._connection.buffer)

    def drain(self) -> None:
        """Ends the connection after the reply under way; at once if there is none."""
        self._draining = True
        self._fast_ready = False
        if self._task is None:
            self._say_goodbye()

    def _say_goodbye(self) -> None:
        """Ends a connection that has no request under way.

        A request that is on its way now will not be read. FIN alone does not tell its client so:
        a node that was killed with the request half done sends the same. So the SDK gets the
        answer in advance. Others would take unasked-for bytes for a broken connection.
        """
        if self.info.client is Family.PACELINE and not self._closing:
            self._write(encode_error(GOODBYE, client=self.info.client, read=False))
        self.finish()

    def _abandon_read(self) -> None:
        if self._task is not None and self._task_reads:
            self._task.cancel()

    def finish(self) -> None:
        """FIN after what was written; then lingers until the peer closes, too."""
        if self._closing:
            return
        if self._writing:
            self.abort()
            return
        self._closing = True
        self._fast_ready = False
        self._connection.buffer.clear()
        self._host.account(self)
        if self._eof or not self._transport.can_write_eof():
            self._close()
            return
        self._transport.write_eof()
        self._resume_reading()
        self._linger = self._loop.call_later(LINGER_S, self._close)

    def _close(self) -> None:
        """Closes once everything is written, or the peer does not take it."""
        if self._linger is not None:
            self._linger.cancel()
        self._end_by_rst(self._writing)
        self._transport.close()
        self._linger = self._loop.call_later(WRITE_STALL_S, self._transport.abort)

    def abort(self) -> None:
        self._closing = True
        self._fast_ready = False
        self._transport.abort()

    def _pause_reading(self) -> None:
        if not (self._reading_paused or self._closing or self._eof):
            self._reading_paused = True
            self._transport.pause_reading()

    def _resume_reading(self) -> None:
        if self._reading_paused and not self._eof:
            self._reading_paused = False
            self._transport.resume_reading()

    def _watch_stall(self, unsent_bytes: int) -> None:
        def check() -> None:
            left = self._transport.get_write_buffer_size()
            if left >= unsent_bytes:
                _log.warning("the peer reads no replies, aborting", peer=self.info.peer)
                self._transport.abort()
            else:
                self._watch_stall(left)

        self._stall = self._loop.call_later(WRITE_STALL_S, check)
