"""The HTTP session under aiobotocore: one more question right before a request's bytes go out.

A write may only be sent under a valid lease, and getting a connection can take long: waiting for
a free one, resolving, connecting, TLS. So the lease is checked after all that, in the very call
that hands the bytes to the transport. The same place marks the request as sent: before the mark
a failure proves that nothing was sent, after it nothing is proven, whatever exception comes out
of the layers above.
"""

from __future__ import annotations

import asyncio
import select
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

import aiohttp
from aiobotocore.httpsession import AIOHTTPSession
from aiohttp.abc import AbstractStreamWriter
from aiohttp.connector import Connection

KEEPALIVE_S = 20.0
"""Idle connections are closed by us before the other side does it: a request that meets a
closing connection has an unknown outcome. Load balancers close after 60 s, ministack after 75."""

_HANG_UP = getattr(select, "POLLRDHUP", 0) | select.POLLHUP | select.POLLERR


class Attempt:
    """One request on its way: what may stop it, and how far it came.

    ``sent`` is set before the first byte is handed over and never unset. At most one request
    goes out per attempt: redirects and repeats by lower layers are cut off.
    """

    __slots__ = ("_timeout", "may_send", "over", "read_timeout_s", "refused", "sent", "stale")

    def __init__(self, may_send: Callable[[], bool] | None, read_timeout_s: float) -> None:
        self.may_send = may_send
        self.read_timeout_s = read_timeout_s
        self.sent = False
        self.refused = False
        """``may_send`` said no."""
        self.stale = False
        """The pooled connection had been closed by the other side."""
        self.over = False
        """Nobody waits for it any more: nothing may go out from now on."""
        self._timeout: asyncio.Timeout | None = None

    def limited_by(self, timeout: asyncio.Timeout) -> None:
        self._timeout = timeout

    def go(self, connection: Connection) -> bool:
        """Whether the bytes may go out, now. Call once, and send in the same breath."""
        if self.sent or self.over:
            return False
        if self.may_send is not None:
            if _hung_up(connection):
                self.stale = True
                return False
            if not self.may_send():
                self.refused = True
                return False
        self.sent = True
        if self._timeout is not None:
            # The answer as a whole gets the read time-out; aiohttp's counts from packet to
            # packet, so that a trickle could go on past the quarantine.
            answer_by = asyncio.get_running_loop().time() + self.read_timeout_s
            current = self._timeout.when()
            if current is None or answer_by < current:
                self._timeout.reschedule(answer_by)
        return True


current: ContextVar[Attempt] = ContextVar("attempt")
"""Set around each call of the client; aiohttp's writer task inherits it."""


class SendRefused(aiohttp.ClientError):
    """Raised through aiohttp instead of sending; the attempt says why."""


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


class GuardedSession(AIOHTTPSession):  # type: ignore[misc]
    """aiobotocore's session with ``GuardedRequest``; for ``AioConfig(http_session_cls=...)``."""

    async def _get_session(self, proxy_url: str | None) -> aiohttp.ClientSession:
        session: aiohttp.ClientSession = await super()._get_session(proxy_url)
        session._request_class = GuardedRequest
        return session


def _hung_up(connection: Connection) -> bool:
    """Whether the other side's FIN or RST has arrived, though the loop may not know yet.

    Closes most of the window in which a write on a reused connection goes nowhere and its
    outcome becomes unknown.
    """
    transport = connection.transport
    if transport is None or transport.is_closing():
        return True
    sock = transport.get_extra_info("socket")
    if sock is None:
        return False
    poll = select.poll()
    poll.register(sock.fileno(), _HANG_UP)
    return bool(poll.poll(0))
