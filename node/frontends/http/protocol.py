"""One HTTP/1.1 connection: requests in, whole replies out in order, flow control, its end.

``httptools`` (llhttp, the parser of Node.js) reads the requests: half of the processor time of a
parser in Python, and its rules for chunked bodies and pipelining are known to be sound.
"""

from __future__ import annotations

import asyncio
from collections import deque
from functools import partial
from typing import Any

import httptools
import structlog

from cluster.settings import Listener
from cluster.transport.charges import charged
from cluster.transport.connection_state import State
from cluster.transport.json_values import VALUES_MAX, TextTooLong, value_count
from cluster.transport.large_work import INLINE_BYTES_MAX
from cluster.transport.memory import decoded_bytes
from cluster.transport.origin import came_from
from cluster.transport.served_connection import ServedConnection
from cluster.transport.tls import shown_by_client
from node.frontends.http.dates import dated
from node.frontends.http.doorway import answered
from node.frontends.http.encodings import TooLarge, Undecodable, accepts_gzip, decoded
from node.frontends.http.interface import Host
from node.frontends.http.messages import JSON_10, HttpRequest, is_signed, render, reply_type
from node.frontends.http.pacing import too_often
from node.frontends.json_api.replies import HttpReply, error_reply
from node.frontends.json_api.request import BODY_BYTES_MAX
from node.operations import REQUEST_TIMEOUT_S
from paceline.clock import now

END_OF_HEAD = b"\r\n\r\n"
TOO_LARGE = error_reply("RequestEntityTooLargeException", "Request larger than 16 MB", 413)
TOO_MANY_VALUES = error_reply(
    "ValidationException",
    f"The request holds more than {VALUES_MAX} values; split it, or store lists of small values "
    "in fewer, larger ones",
)
NO_ROOM = error_reply(
    "ThrottlingException", "The node holds too many unfinished requests: try again"
)
TOO_SLOW = error_reply("RequestTimeoutException", "The request came too slowly", 408)
REPLY_INLINE_BYTES_MAX = 256 * 1024
"""Larger replies are compressed and checksummed off the loop; one of this size takes 2.5 ms."""
SIGNATURES_MAX = 8
"""Those looked at in one go, some 50 us each, of requests that came together; further ones take
turns with other connections."""
HEAD_BYTES_MAX = 64 * 1024
"""The most bytes of the request line and headers; signed requests have some 1 KB. Chunked bodies
may cost as much again per byte as the smallest sensible chunk does."""
CHUNK_OVERHEAD_MAX = 8
HIT_BYTES_MAX = 8192
"""A longer piece of data is no plain GetItem in a known form."""
PIPELINE_BYTES_MAX = 64 * 1024
"""The most bytes of requests taken in behind one under way. SDKs have one outstanding; beyond it
the bytes stay in the kernel."""
REQUEST_BYTES = 1024
"""Approximate memory of a request beyond its payload."""
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_log = structlog.get_logger()


class HttpProtocol(ServedConnection):
    """Requests are executed strictly one after the other, each answered by one write.

    ``_fast_ready`` holds only while nothing is buffered, half parsed, under way, unsent or closing:
    then a piece of data may be answered without the parser, if it is one whole request that looks
    like one which the parser has read before.
    """

    _host: Host

    def __init__(self, host: Host, listener: Listener) -> None:
        super().__init__(host)
        self._secure = listener.tls
        self._certificate: bytes | None = None
        """Verified, where everybody has to sign or to show one; then nothing is taken the fast way,
        on which a signature alone counts."""
        self._hosts = host.hosts_of(listener)
        self._heads = host.known_heads if self._hosts is None else host.guarded_heads
        self._known, self._signatures = False, 0
        self._parser: Any = httptools.HttpRequestParser(self)
        self._waiting: deque[HttpRequest] = deque()
        self._waiting_bytes = 0
        self._working_bytes = 0
        self._refused: HttpReply | None = None
        """The reply that is sent once all requests before it are answered; then the connection
        ends."""
        self._received = 0
        """The bytes since the last whole request."""
        self._fast_ready = False
        self._between = True
        """The parser has read no byte of a request that is not whole yet."""
        self._begun = 0
        """Requests that began in the piece of data that the parser was given last."""
        self._learns = False
        self._hit: HttpRequest | None = None
        """One of them that has hit, while the parser reads them."""
        self._reset()

    def _reset(self) -> None:
        self._url = b""
        self._headers: dict[bytes, bytes] = {}
        self._repeated: list[tuple[bytes, bytes]] = []
        self._body: list[bytes] = []
        self._body_bytes = 0
        self._in_head = True
        self._wants_continue = False

    # -- from the parser --------------------------------------------------------------------

    def on_message_begin(self) -> None:
        self._fast_ready = self._between = False
        self._begun += 1
        self._reset()

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._in_head:  # trailers of a chunked body say nothing that matters here
            name = name.lower()
            if name in self._headers:
                self._repeated.append((name, self._headers[name]))
            self._headers[name] = value

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._wants_continue = self._headers.get(b"expect", b"").lower() == b"100-continue"

    def on_body(self, data: bytes) -> None:
        self._wants_continue = False
        self._body_bytes += len(data)
        if self._body_bytes <= BODY_BYTES_MAX:
            self._body.append(data)
        elif self._refused is None:
            self._body.clear()
            self._refused = TOO_LARGE

    def on_message_complete(self) -> None:
        self._between = True
        self._received = 0
        if self._refused is not None or self._ended:
            return
        self._request_is_whole()
        headers = self._headers
        head_bytes = len(self._url) + sum(map(len, headers)) + sum(map(len, headers.values()))
        head_bytes += sum(len(name) + len(value) for name, value in self._repeated)
        request = HttpRequest(
            headers.get(b"x-amz-target", b"").decode("latin-1"),
            b"".join(self._body),
            method=self._parser.get_method().decode("latin-1"),
            path=self._url.decode("latin-1"),
            keep_alive=self._parser.should_keep_alive(),
            gzip=accepts_gzip(headers.get(b"accept-encoding", b"")),
            origin=b"origin" in headers,
            encoding=headers.get(b"content-encoding", b"").decode("latin-1"),
            headers=headers,
            repeated=self._repeated,
            certificate=self._certificate,
            size=self._body_bytes + head_bytes + REQUEST_BYTES,
        )
        self._reset()
        self._waiting.append(request)
        self._waiting_bytes += request.size
        if self._task is None and not self._write_paused:
            self._advance()

    # -- from the transport -----------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._certificate = None if self._host.callers is None else shown_by_client(transport)
        if not self._host.admit(self):
            self.finish()

    def data_received(self, data: bytes) -> None:
        if self._fast_ready and len(data) <= HIT_BYTES_MAX:
            reply = self._fast(data)
            if reply is not None:
                self._transport.write(reply)
                return
        if self._ended or self._refused is not None:
            return
        self._fast_ready, self._begun, self._learns = False, 0, self._between
        self._received += len(data)
        self._signatures = 0
        if self.newcomer:
            self._spoke()
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            _log.warning("closing a connection", peer=self.peer, error=str(error))
            self._refused = error_reply("SerializationException", "This is not HTTP/1.1", 400)
        else:
            if self._received > HEAD_BYTES_MAX + CHUNK_OVERHEAD_MAX * self._body_bytes:
                self._refused = error_reply(
                    "SerializationException", "The request's headers are too large", 431
                )
            if self._hit is not None and self._between and self._begun == 1:
                self._heads.learn(data, self._hit, self._host.prove)
        self._learns, self._hit = False, None
        unanswered = self._received or self._waiting
        if not self._host.account(self) and unanswered and self._refused is None:
            self._drop_input()  # the first of them gets this answer
            self._refused = NO_ROOM
        if self._task is None and not self._write_paused:
            self._advance()
        if self._task is not None and self._waiting_bytes > PIPELINE_BYTES_MAX:
            self._pause_reading()
        if self._received and not self.owes:
            self._request_began()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._parser = None  # it holds this connection, which would be left to the collector

    def pause_writing(self) -> None:
        self._fast_ready = False
        super().pause_writing()

    def time_out(self) -> None:
        if self._received and self._refused is None:
            self._refused = TOO_SLOW
            self._advance()
        else:
            self.finish()

    # -- requests ---------------------------------------------------------------------------

    def _fast(self, data: bytes) -> bytes | None:
        """Returns the reply to ``data`` if it is one plain GetItem that hits, with a known head;
        None for anything else."""
        host = self._host
        try:
            known = self._heads.found(data)
            if known is None:
                return None
            caller = None
            if host.callers is not None and (caller := host.callers.caller_of(known)) is None:
                return None
            form = host.api.form(known[0], REPLY_INLINE_BYTES_MAX, caller)
            if form is None:
                return None
            restraint = host.restraint
            if restraint is not None and not restraint.admits(self.address, caller):
                return None
        except Exception:
            _log.exception("the fast path failed", peer=self.peer)
            return None
        return b"".join((dated()[2], next(host.request_ids), form))

    def _advance(self) -> None:
        """Answers what can be answered at once, and starts the next one that cannot."""
        while not self._ended and not self._write_paused:
            if self._draining:
                self.finish()
                return
            if not self._waiting:
                break
            request = self._waiting.popleft()
            self._waiting_bytes -= request.size
            reply = answered(request, self._host.healthy, self._hosts)
            if reply is None and self._signatures < SIGNATURES_MAX:
                reply = self._at_once(request)
            self._signatures += self._host.callers is not None
            if reply is None or _is_large(reply):
                self._working_bytes = len(request.body)
                self._task = self._host.spawn(self._serve(request, reply))
                return
            self._write(self._made(reply, request), request)
        if self._ended or self._write_paused:
            return
        if self._refused is not None:
            self._transport.write(self._rendered(self._refused, keep_alive=False, gzipped=False))
            self.finish()
        elif self._state is State.PEER_ENDED:
            self.finish()
        else:
            if self._wants_continue:
                self._wants_continue = False
                self._transport.write(CONTINUE)
            self._fast_ready = self._between and not self._received and self._certificate is None
            self._resume_reading()

    def _at_once(self, request: HttpRequest) -> HttpReply | None:
        if request.encoding or len(request.body) > INLINE_BYTES_MAX:
            # Not before its turn, so that one connection never has two bodies worked out.
            return None
        try:
            callers, signatures = self._host.callers, self._host.signatures
            if callers is not None:
                refused = self._shown(callers.refused(request, self.address), request)
                if refused is not None:
                    return refused
            elif not (is_signed(request.path, request.headers) or signatures.accepts(request)):
                return None
            if self._host.restraint is not None:
                early = too_often(self._host.restraint, self.address, request)
                if early is not None:
                    return early
            reply = self._host.api.fast(request)
            if self._learns and reply is not None and reply.cache == "hit":
                self._hit = request
            return reply
        except Exception:
            _log.exception("the fast path failed", peer=self.peer)
        return None

    def _shown(self, refused: HttpReply | None, request: HttpRequest) -> HttpReply | None:
        """Who has never shown who he is gets one answer on a connection, not a place for good."""
        if refused is None:
            self._known = True
        elif not self._known:
            request.keep_alive = False
        return refused

    async def _serve(self, request: HttpRequest, reply: HttpReply | None) -> None:
        """Serves one request. ``reply`` is given if it is known, but takes time to send."""
        try:
            with charged(self._host.memory):
                reply = reply or await self._answered(request)
            if _is_large(reply):
                made = await self._host.large_work.run(partial(self._made, reply, request))
            else:
                made = self._made(reply, request)
        except asyncio.CancelledError:
            self._transport.abort()
            raise
        finally:
            self._task = None
            if len(request.body) > INLINE_BYTES_MAX:
                self._host.large_work.let_go(request.taken_apart())
            self._working_bytes = 0
            self._host.memory.leave(self)
        if not self._ended:
            self._write(made, request)
            self._signatures = 0
            self._advance()
        self._host.account(self)

    async def _answered(self, request: HttpRequest) -> HttpReply:
        host = self._host
        came_from(self.address, request.headers)
        try:
            if host.callers is not None:
                refused = await host.callers.refused_later(request, self.address, self._secure)
                refused = self._shown(refused, request)
                refused = refused or too_often(host.restraint, self.address, request)
                return refused or await self._read(request) or await host.api.handle(request)
            return (
                too_often(host.restraint, self.address, request)
                or await self._read(request)
                or await host.signatures.refused(request, now() + REQUEST_TIMEOUT_S)
                or await host.api.handle(request)
            )
        except Exception:
            _log.exception("a request failed", peer=self.peer, target=request.target)
            return host.api.failed(request)

    async def _read(self, request: HttpRequest) -> HttpReply | None:
        """Makes ``request`` ready to be handled. Returns a reply if that ends it."""
        run = self._host.large_work.run
        if request.encoding or len(request.body) > INLINE_BYTES_MAX:
            await self._host.large_work.admitted()
        if request.encoding:
            try:
                request.body = await run(
                    partial(decoded, request.body, request.encoding, BODY_BYTES_MAX)
                )
            except TooLarge:
                return TOO_LARGE
            except Undecodable as error:
                return error_reply("InternalServerError", f"Content-Encoding: {error}", 500)
        body = request.body
        large = len(body) > INLINE_BYTES_MAX
        try:
            values = await run(partial(value_count, body)) if large else value_count(body)
        except TextTooLong as error:
            return error_reply("ValidationException", str(error))
        if values is None:
            return TOO_MANY_VALUES
        self._working_bytes = wanted = decoded_bytes(len(body), values)
        if not self._host.account(self):
            self._working_bytes = len(body)
            if not (self._host.account(self) and self._host.memory.take_in(self, wanted)):
                self._working_bytes = 0
                return NO_ROOM
        if large:
            await run(partial(self._host.api.read, request))
        return None

    def _made(self, reply: HttpReply, request: HttpRequest) -> bytes:
        """Of a large reply: on another thread."""
        made = self._rendered(
            reply,
            keep_alive=request.keep_alive and not self._draining,
            gzipped=request.gzip,
            content_type=request.content_type,
        )
        if request.method == "HEAD":
            made = made[: made.index(END_OF_HEAD) + len(END_OF_HEAD)]
        return made

    def _write(self, made: bytes, request: HttpRequest) -> None:
        self._transport.write(made)
        if not request.keep_alive or self._draining:
            self.finish()

    def _rendered(
        self, reply: HttpReply, *, keep_alive: bool, gzipped: bool, content_type: str = JSON_10
    ) -> bytes:
        return render(
            reply,
            date=dated()[1],
            request_id=next(self._host.request_ids),
            keep_alive=keep_alive,
            gzipped=gzipped,
            content_type=reply_type(content_type),
        )

    # -- the end ----------------------------------------------------------------------------

    @property
    def buffered_bytes(self) -> int:
        received = 0 if self._ended else min(self._received, 2 * BODY_BYTES_MAX)
        return self._working_bytes + self._waiting_bytes + received + self.unsent_bytes

    def abort(self) -> None:
        self._fast_ready = False
        super().abort()

    def _drop_input(self) -> None:
        self._fast_ready = False
        self._waiting.clear()
        self._waiting_bytes = 0
        self._body.clear()


def _is_large(reply: HttpReply) -> bool:
    return len(reply.body) > REPLY_INLINE_BYTES_MAX
