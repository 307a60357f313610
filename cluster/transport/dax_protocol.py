"""One DAX connection on a socket: order, flow control, and its end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import get_args

import structlog

from cluster.roster.endpoints import AddressFamily
from cluster.settings import Listener
from cluster.transport.addresses import family_of
from cluster.transport.charges import charged
from cluster.transport.connection_state import State
from cluster.transport.dax_interface import GOODBYE, NO_ROOM, TOO_MANY_VALUES, ConnectionInfo, Host
from cluster.transport.json_values import TextTooLong
from cluster.transport.large_work import INLINE_BYTES_MAX
from cluster.transport.memory import decoded_bytes
from cluster.transport.resets import end_by_rst
from cluster.transport.served_connection import ServedConnection
from cluster.transport.tls import shown_by_client
from cluster.transport.traces import forget_trace
from cluster.transport.weighing import weigh
from paceline import dynamodb_operations
from paceline.dax.connection import (
    NEED_DATA,
    UNFINISHED,
    Preamble,
    ServerConnection,
    Unparsed,
    frame_header,
    framed_reply,
)
from paceline.dax.elements import REQUEST_ELEMENTS_MAX
from paceline.dax.errors import AuthenticationError, encode_error
from paceline.dax.family import Family
from paceline.dax.request_types import Authorize, DataRequest, RawRequest, Request
from paceline.errors import NotSent, PacelineError, ProtocolError, RequestError

PIPELINE_BYTES_MAX = 64 * 1024
"""Bytes taken in behind a request under way. Clients have one request outstanding, so this
matters only to those who break the protocol: beyond it their bytes stay in the kernel."""
FAST_BYTES_MAX = 4096
"""A request behind a preamble or signature is offered to the fast path up to this size; those
that can hit are far smaller."""
SMALL_BYTES_MAX = 256
"""A request up to this size is assumed to consist of one-byte values, which is cheaper than to
count."""
INLINE_ELEMENTS_MAX = 1024
"""This many are decoded on the loop, at 1 to 2 µs each, and then carried out there."""
UNKNOWN_BYTES_MAX = 64 * 1024
"""Of a request whose client has not shown, where he has to, who he is."""
LARGE_BYTES_MAX = 256 * 1024
"""A larger request is counted and decoded off the loop, whatever it holds."""

WRITES = tuple(one for one in get_args(DataRequest) if one.__name__ in dynamodb_operations.WRITES)
"""The requests for which an unforeseen failure means "outcome unknown"."""

READS = tuple(one for one in get_args(DataRequest) if one.__name__ in dynamodb_operations.READS)
"""The requests that are cancelled when their client disconnects: it asks another node, and an
overload must not feed itself."""

REPEATS_AFTER_FIN = frozenset({Family.PYTHON, Family.JAVA})
"""The clients that repeat a write on another node when FIN comes instead of its reply, and take RST
for an unknown outcome. The kernel ends a killed node's connections."""

Fast = Callable[[bytes], bytes | None]

_log = structlog.get_logger()


class DaxProtocol(ServedConnection):
    """One connection. Requests are executed strictly one after the other, each answered by one
    write, in order (docs/dax-protocol.md, "Request and response framing").

    ``_fast_ready`` holds only while nothing is buffered, under way, unsent or closing: then a
    chunk may go straight to ``Handler.fast``.
    """

    __slots__ = (
        "_by_rst",
        "_caller",
        "_connection",
        "_fast",
        "_fast_ready",
        "_task_reads",
        "_unfinished",
        "_working_bytes",
        "_write",
        "_writing",
        "info",
    )

    def __init__(self, host: Host, listener: Listener) -> None:
        super().__init__(host)
        self._connection = ServerConnection()
        self._fast: Fast = host.handler.fast
        self._caller = None if host.callers is None else host.callers.caller(self._fast)
        if self._caller is not None:
            self._fast = self._caller.answered
        if host.restraint is not None:
            self._fast = partial(self._paced, self._fast)
        self._fast_ready = False
        self._write: Callable[[bytes], None]
        self._task_reads = False
        """True while the request under way is a read."""
        self._writing = False
        """True while it is a write, of a client in ``REPEATS_AFTER_FIN``."""
        self._working_bytes = 0
        """The bytes that the request under way holds."""
        self._by_rst = False
        self._unfinished: asyncio.Handle | None = None
        """The rest of the search for a request's end, in turns with other connections."""
        self.info = ConnectionInfo(
            listener.name, AddressFamily.IPV4, listener.tls, "", caller=self._caller
        )

    # -- from the transport ------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._write = self._transport.write
        local = transport.get_extra_info("sockname")
        if local:
            self.info.family = family_of(local[0])
        self.info.peer = self.peer
        if self._caller is not None and (shown := shown_by_client(transport)) is not None:
            self._caller.show(shown)
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
        if self._ended:
            return
        self._fast_ready = False
        self._spoke()
        self._connection.receive_data(data)
        if self._task is None and not self._write_paused and self._unfinished is None:
            self._advance()
        elif len(self._connection.buffer) > PIPELINE_BYTES_MAX:
            self._pause_reading()
        if not self._host.account(self):
            self._refuse(NotSent("the node holds too many unfinished requests: try again"))

    def pause_writing(self) -> None:
        self._fast_ready = False
        super().pause_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._abandon_read()
        super().connection_lost(exc)

    def _peer_ended(self) -> None:
        if self.info.client is Family.PACELINE:
            self._abandon_read()  # it never closes one direction alone

    def time_out(self) -> None:
        # Without a word: an unasked-for byte spoils a connection on which a request is on its way.
        self.finish()

    # -- requests ----------------------------------------------------------------------------

    def _advance(self) -> None:
        """Starts the next buffered request, if there is a whole one and nothing forbids it."""
        connection = self._connection
        while True:
            if self._draining:
                self._say_goodbye()
            if self._ended or self._write_paused:
                return
            if self.newcomer and self._try_fast_on_buffer():
                break
            try:
                event = connection.next_event()
                if self._caller is not None and isinstance(event, Authorize):
                    self._caller.sign(event, self.address)
            except ProtocolError as error:
                self._refuse(error)
                return
            if event in (UNFINISHED, NEED_DATA):
                if self._is_too_much_of_a_stranger():
                    return
                if event is NEED_DATA:
                    break
                self._pause_reading()
                self._unfinished = self._loop.call_soon(self._go_on)
                return
            if isinstance(event, Preamble):
                self.info.user_agent = event.user_agent
                self.info.client = event.family
                if event.framed:
                    self._write = self._write_framed
            elif isinstance(event, Authorize):
                self.info.access_key_id = event.access_key
            else:
                if not self._is_refused(event):
                    self._request_is_whole()
                    self._start(event)
                return
            if self._try_fast_on_buffer():
                break
        if self._state is State.PEER_ENDED:
            self.finish()
            return
        if self._write_paused:
            return
        self._fast_ready = connection.at_boundary and not connection.buffer
        if not self._fast_ready:
            self._request_began()
        self._resume_reading()

    def _is_too_much_of_a_stranger(self) -> bool:
        """Ends the connection if it sends much before it has shown who it is."""
        if self._caller is None or len(self._connection.buffer) <= UNKNOWN_BYTES_MAX:
            return False
        refusal = self._caller.refusal(self.address)
        if refusal is not None:
            self._refuse(refusal)
        return refusal is not None

    def _is_refused(self, event: Request | Unparsed) -> bool:
        """Answers the request that has come if its client is not, or no longer, known. One who
        never was stays a newcomer, and has a newcomer's time. The next one waits for its turn."""
        caller, operation = self._caller, type(event).__name__
        refusal = None if caller is None else caller.refusal(self.address, operation)
        if refusal is not None:
            if not self.newcomer:
                self._request_is_whole()
            self._write(encode_error(refusal))
            self._pause_reading()
            self._unfinished = self._loop.call_soon(self._go_on)
        return refusal is not None

    def _go_on(self) -> None:
        self._unfinished = None
        if self._task is None and not self._ended:
            self._advance()

    def _start(self, event: Request | Unparsed) -> None:
        self._working_bytes = decoded_bytes(
            self._connection.frame_bytes, self._connection.frame_elements
        )
        if isinstance(event, Unparsed):
            self._task = self._host.spawn(self._parse(event))
        else:
            self._task_reads = isinstance(event, READS)
            if self.info.client in REPEATS_AFTER_FIN and isinstance(event, WRITES):
                self._writing = True
                self._end_by_rst(True)
            self._task = self._host.spawn(self._serve(event))
        if len(self._connection.buffer) > PIPELINE_BYTES_MAX:
            self._pause_reading()

    async def _parse(self, unparsed: Unparsed) -> None:
        try:
            await self._host.large_work.admitted()
            request = await self._host.large_work.run(unparsed.parse)
        except ProtocolError as error:
            self._task = None
            self._refuse(error)
            return
        except asyncio.CancelledError:
            self._transport.abort()
            raise
        if not self._ended:
            self._start(request)

    def _try_fast_on_buffer(self) -> bool:
        """Offers the request behind a signature, sent in one piece with it, to the fast path."""
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
        self._request_is_whole()
        self._write(reply)
        return True

    def _write_framed(self, reply: bytes) -> None:
        if len(reply) > LARGE_BYTES_MAX:
            self._transport.writelines((frame_header(reply), reply))  # not copied once more
        else:
            self._transport.write(framed_reply(reply))

    async def _serve(self, request: Request) -> None:
        if self._caller is not None:
            self._caller.calls(self.address, self.info.user_agent, secure=self.info.tls)
        try:
            if self._host.restraint is not None and not self._has_turn():
                raise self._host.restraint.too_many()
            await self._weigh(request)
            with charged(self._host.memory):
                reply = await self._host.handler.handle(request, self.info)
        except PacelineError as error:
            forget_trace(error)
            reply = self._encode_error(error, request)
        except asyncio.CancelledError:
            self._transport.abort()
            raise
        except Exception as error:
            _log.exception("a request failed", peer=self.info.peer, request=type(request).__name__)
            forget_trace(error)
            reply = self._encode_error(error, request)
        finally:
            self._task = None
            self._working_bytes = 0
            self._host.memory.leave(self)
        if self._ended:
            self._host.account(self)
            return
        self._write(reply)
        if self._writing:
            self._writing = False
            self._loop.call_soon(self._answered)  # after the event loop handed the reply over
        self._advance()
        self._host.account(self)

    def _paced(self, fast: Fast, data: bytes) -> bytes | None:
        reply = fast(data)
        return reply if reply is not None and self._has_turn() else None

    def _has_turn(self) -> bool:
        """Whether one more request of this client may be served now."""
        restraint, caller = self._host.restraint, self._caller
        by = None if caller is None else caller.verified
        return restraint is None or restraint.admits(self.address, by)

    async def _weigh(self, request: Request) -> None:
        """Counts what the request holds once it is decoded; RequestError for more values than any
        request of DynamoDB's, NotSent if there is no memory for them."""
        connection = self._connection
        received, elements = connection.frame_bytes, connection.frame_elements
        self.info.large = False
        if received > SMALL_BYTES_MAX:
            bytes_max = INLINE_BYTES_MAX if isinstance(request, RawRequest) else LARGE_BYTES_MAX
            counted = weigh(request, INLINE_ELEMENTS_MAX) if received <= bytes_max else None
            if counted is None:
                self.info.large = True
                await self._host.large_work.admitted()
                try:
                    counted = await self._host.large_work.run(
                        lambda: weigh(request, REQUEST_ELEMENTS_MAX)
                    )
                except TextTooLong as error:
                    raise RequestError("ValidationException", str(error)) from None
                if counted is None:
                    raise RequestError("ValidationException", TOO_MANY_VALUES)
            elements += counted
        else:
            elements += received
        self._working_bytes = wanted = decoded_bytes(received, elements)
        if not self._host.account(self):
            self._working_bytes = received
            if not (self._host.account(self) and self._host.memory.take_in(self, wanted)):
                self._working_bytes = 0
                raise NO_ROOM

    def _answered(self) -> None:
        if not self._writing and not self._transport.get_write_buffer_size():
            self._end_by_rst(False)

    def _end_by_rst(self, wanted: bool) -> None:
        """Makes any close of the connection, the kernel's too, an RST, or a FIN again."""
        if wanted is not self._by_rst and not self._transport.is_closing():
            self._by_rst = wanted
            end_by_rst(self._transport, wanted)

    def _encode_error(self, error: Exception, request: Request) -> bytes:
        read = not isinstance(request, WRITES)
        return encode_error(error, client=self.info.client, read=read, request=request)

    def _refuse(self, error: ProtocolError | NotSent | AuthenticationError) -> None:
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
        received = 0 if self._ended else len(self._connection.buffer)
        return received + self._working_bytes + self.unsent_bytes

    def drain(self) -> None:
        self._fast_ready = False
        super().drain()

    def _say_goodbye(self) -> None:
        """Ends a connection that has no request under way.

        A request that is on its way now will not be read. FIN alone does not tell its client so:
        a node that was killed with the request half done sends the same. So the SDK gets the
        answer in advance. Others would take unasked-for bytes for a broken connection.
        """
        if self.info.client is Family.PACELINE and not self._ended:
            self._write(encode_error(GOODBYE, client=self.info.client, read=False))
        self.finish()

    def _abandon_read(self) -> None:
        if self._task is not None and self._task_reads:
            self._task.cancel()

    def finish(self) -> None:
        if self._writing and not self._ended:
            self.abort()
        else:
            super().finish()

    def _drop_input(self) -> None:
        self._fast_ready = False
        self._connection.buffer.clear()

    def _close(self) -> None:
        self._end_by_rst(self._writing)
        super()._close()

    def abort(self) -> None:
        self._fast_ready = False
        super().abort()
