"""The HTTP session under aiobotocore: what goes out is asked for, what comes in is looked at.

A write may only be sent under a valid lease, and getting a connection can take long: waiting for
a free one, resolving, connecting, TLS. So the lease is checked after all that, in the very call
that hands the bytes to the transport. The same place marks the request as sent: before the mark
a failure proves that nothing was sent, after it nothing is proven, whatever exception comes out
of the layers above.

An answer is looked at before aiohttp, which follows redirects, and botocore, which takes a page for
an empty result, make something of it.
"""

from __future__ import annotations

import asyncio
import select
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any, Protocol

import aiohttp
from aiobotocore.httpsession import AIOHTTPSession
from aiohttp.abc import AbstractStreamWriter
from aiohttp.connector import Connection

from cluster.transport.charges import ReadRefused, admit_read, admit_write
from cluster.transport.json_values import values_in
from cluster.transport.large_work import LargeWork
from cluster.transport.memory import decoded_bytes
from node.backend.bodies import (
    ANSWER_INLINE_BYTES_MAX,
    ANSWER_LOOKED_AT_BYTES_MAX,
    takes_long,
)
from node.backend.time_limits import TimeLimit
from node.requests.reach import only_reads
from node.values import json_slices
from paceline.dynamodb_answers import answer_bytes_max, foreign_body, foreign_head

KEEPALIVE_S = 20.0
"""Idle connections are closed by us before the other side does it: a request that meets a
closing connection has an unknown outcome. Load balancers close after 60 s, ministack after 75."""

_HANG_UP = getattr(select, "POLLRDHUP", 0) | select.POLLHUP | select.POLLERR
_BAD_ENDPOINT = (
    "check PACELINE_DYNAMODB__ENDPOINT and proxies on the way: it must be DynamoDB itself"
)


class InHand(Protocol):
    """A connection that nobody else uses: aiohttp's, or one of ``lean``."""

    @property
    def transport(self) -> asyncio.Transport | None:
        """None once it has been given back, or has ended."""

    @property
    def protocol(self) -> Any:
        """Its ``should_close``: True if nothing more may be sent there. None: it has ended."""


class KeepsPoll:
    """A protocol with a place for what tells of its peer's end, so that it is made once."""

    poll: Any = None


class Attempt:
    """One request on its way: what may stop it, and how far it came.

    ``sent`` is set before the first byte is handed over and never unset. At most one request goes
    out per attempt: redirects and repeats by lower layers are cut off.
    """

    __slots__ = (
        "_connection",
        "_timeout",
        "_transport",
        "answered",
        "foreign",
        "is_raw",
        "keys",
        "large_work",
        "may_send",
        "no_room",
        "on_sent",
        "operation",
        "over",
        "read_timeout_s",
        "refused",
        "sent",
        "stale",
    )

    def __init__(
        self,
        operation: str,
        may_send: Callable[[], bool] | None,
        read_timeout_s: float,
        large_work: LargeWork | None = None,
        *,
        is_raw: bool = False,
        on_sent: Callable[[], None] | None = None,
    ) -> None:
        self.keys: Any = None
        """The credentials to sign with, on a way that has none of its own."""
        self.on_sent = on_sent
        """Told that a connection is in hand."""
        self.large_work = large_work or LargeWork()
        self.is_raw = is_raw
        """Whether the answer is passed on as it comes."""
        self.no_room = False
        """True if there is no memory for the answer, which is one to a read."""
        self.operation = operation
        self.may_send = may_send
        self.read_timeout_s = read_timeout_s
        self.sent = False
        self.refused = False
        """True after ``may_send`` said no."""
        self.stale = False
        """True if the pooled connection had been closed by the other side, or held bytes that
        nobody asked for."""
        self.answered = False
        """True once the whole of an answer that is DynamoDB's has come."""
        self.foreign: str | None = None
        """Why the answer is not DynamoDB's; None if it is, or until it comes."""
        self.over = False
        """True once nobody waits for the attempt: nothing may go out from then on."""
        self._timeout: TimeLimit | None = None
        self._connection: InHand | None = None
        self._transport: asyncio.Transport | None = None

    def limited_by(self, limit: TimeLimit) -> None:
        self._timeout = limit

    def has_all(self) -> None:
        """The whole answer has come, so the attempt has no time-out any more: it is read however
        long that takes, so that no success is lost."""
        if self._timeout is not None:
            self._timeout.reschedule(None)

    def end(self) -> None:
        """Ends the attempt, for which nobody waits any more. Bytes of the request that have not
        left are discarded: a close would send them first, however long that takes."""
        self.over = True
        connection, transport = self._connection, self._transport
        self._connection = self._transport = None
        if self.answered or connection is None or transport is None:
            return
        # Else it is back in the pool, after an answer that was whole but no good.
        if transport.is_closing() or connection.transport is transport:
            transport.abort()

    def go(self, connection: InHand) -> bool:
        """Returns whether the bytes may go out now. Call it once, and send without suspending in
        between."""
        if self.sent or self.over:
            return False
        if _unusable(connection):
            self.stale = True
            return False
        if self.may_send is not None and not self.may_send():
            self.refused = True
            return False
        self.sent = True
        if self.on_sent is not None:
            self.on_sent()
        self._connection, self._transport = connection, connection.transport
        if self._timeout is not None:
            # The answer as a whole gets the read time-out; aiohttp's counts from packet to
            # packet, so that a trickle could go on past the quarantine.
            answer_by = asyncio.get_running_loop().time() + self.read_timeout_s
            current = self._timeout.when()
            if current is None or answer_by < current:
                self._timeout.reschedule(answer_by)
        return True


current: ContextVar[Attempt] = ContextVar("attempt")
"""The attempt of the call under way, set around each call of the client; aiohttp's writer task
inherits it."""


class SendRefused(aiohttp.ClientError):
    """Raised through aiohttp instead of sending. The attempt says why."""


class GuardedRequest(aiohttp.ClientRequest):
    """Asks the current attempt in the step that writes headers and body.

    aiohttp buffers the headers until ``write_bytes``, which runs with the connection in hand (in a
    task of its own) and passes them to the transport together with the body, without a
    suspension in between.
    """

    async def write_bytes(
        self, writer: AbstractStreamWriter, conn: Connection, *args: Any, **kwargs: Any
    ) -> None:
        if current.get().go(conn):
            await super().write_bytes(writer, conn, *args, **kwargs)
        elif conn.protocol is not None:
            # What waits for the answer gets this, and aiohttp then closes the connection.
            conn.protocol.set_exception(SendRefused("not sent"))


class ForeignAnswer(aiohttp.ClientError):
    """The answer is not DynamoDB's; the attempt says why. It proves nothing about a write."""


class GuardedResponse(aiohttp.ClientResponse):
    """Refuses heads and bodies that are not DynamoDB's, and bodies longer than its can be.

    ``start`` ends with the head, before aiohttp looks for a redirect. It is asked for an answer
    that is not compressed and decompresses none, so that the bytes on the wire are all there are.
    """

    async def start(self, connection: Connection) -> aiohttp.ClientResponse:
        await super().start(connection)
        refuse(foreign_head(self.status, self.headers))
        return self

    async def read(self) -> bytes:
        if self._body is None:
            attempt = current.get()
            try:
                parts = await self._bounded(answer_bytes_max(attempt.operation))
                self._body = await whole_body(attempt, self.status, self.headers, parts)
            except BaseException:
                self.close()
                raise
        return self._body

    async def _bounded(self, bytes_max: int) -> list[bytes]:
        too_long = f"it is longer than {bytes_max} bytes, which DynamoDB's is not"
        if (self.content_length or 0) > bytes_max:
            refuse(too_long)
        parts: list[bytes] = []
        size = 0
        while part := await self.content.readany():
            size += len(part)
            if size > bytes_max:
                refuse(too_long)
            parts.append(part)
        return parts


async def whole_body(
    attempt: Attempt, status: int, headers: Mapping[str, str], parts: list[bytes]
) -> bytes:
    """Returns the body of the answer that has come whole. Raises ForeignAnswer, NoRoom."""
    attempt.has_all()
    size = sum(map(len, parts))
    counts = size > ANSWER_INLINE_BYTES_MAX
    slow = size > ANSWER_LOOKED_AT_BYTES_MAX
    if not slow:
        parts = [b"".join(parts)] if len(parts) != 1 else parts
        slow = takes_long(parts[0])
    if not (slow or counts):
        body = parts[0]
        refuse(foreign_body(status, headers, body, attempt.operation, json_slices.loads))
        attempt.answered = True
        return body
    if slow and attempt.may_send is None:
        await attempt.large_work.admitted()  # nobody waits behind a read

    def checked() -> tuple[bytes, str | None, int]:
        """Returns the body, why it is not DynamoDB's, and, if it counts, what it will take."""
        body = b"".join(parts)
        foreign = foreign_body(status, headers, body, attempt.operation, json_slices.loads)
        # One that is passed on stays as it is.
        values = values_in(body) if counts and not attempt.is_raw else 0
        return body, foreign, decoded_bytes(len(body), values)

    body, foreign, wanted = await attempt.large_work.run_if(slow, checked)
    refuse(foreign)
    if counts:
        await _admit(attempt, wanted)
    attempt.answered = True
    return body


async def _admit(attempt: Attempt, wanted: int) -> None:
    """Counts what a large answer takes until its request ends. Without room a read is refused,
    what was done waits for it."""
    if not only_reads(attempt.operation):
        await admit_write(wanted)
        return
    try:
        admit_read(wanted)
    except ReadRefused:
        attempt.no_room = True
        raise NoRoom from None


class NoRoom(aiohttp.ClientError):
    """There is no memory for the answer to a read. The attempt says so."""


def refuse(why: str | None) -> None:
    """Raises ForeignAnswer if there is a reason, and notes it on the current attempt."""
    if why is not None:
        reason = f"the answer is not DynamoDB's: {why}; {_BAD_ENDPOINT}"
        current.get().foreign = reason
        raise ForeignAnswer(reason)


class GuardedSession(AIOHTTPSession):  # type: ignore[misc]
    """aiobotocore's session with the classes above; for ``AioConfig(http_session_cls=...)``."""

    async def _get_session(self, proxy_url: str | None) -> aiohttp.ClientSession:
        session: aiohttp.ClientSession = await super()._get_session(proxy_url)
        if session._request_class is not GuardedRequest:
            session._request_class = GuardedRequest
            session._response_class = GuardedResponse
            session._cookie_jar = aiohttp.DummyCookieJar()
        return session


def _unusable(connection: InHand) -> bool:
    """True if the other side's FIN or RST has arrived, though the loop may not know yet, or bytes
    that nobody asked for, which would be taken for the answer to this request.

    This closes most of the window in which a write on a reused connection goes nowhere and its
    outcome becomes unknown.
    """
    transport, protocol = connection.transport, connection.protocol
    if transport is None or transport.is_closing() or protocol is None or protocol.should_close:
        return True
    if isinstance(protocol, KeepsPoll):
        poll = protocol.poll = protocol.poll or _poll_of(transport)
    else:
        poll = _poll_of(transport)
    return poll is not None and bool(poll.poll(0))


def _poll_of(transport: asyncio.Transport) -> Any:
    """What tells of the peer's end, for as long as the transport lives."""
    sock = transport.get_extra_info("socket")
    if sock is None:
        return None
    # Over TLS the peer may have said something of its own, as session tickets.
    is_plain = transport.get_extra_info("ssl_object") is None
    poll = select.poll()
    poll.register(sock.fileno(), _HANG_UP | (select.POLLIN if is_plain else 0))
    return poll
