"""A DAX connection on asyncio: a Protocol, one request at a time, no tasks and no streams."""

import asyncio
from typing import cast

from paceline.client.core.commands import Broken
from paceline.client.core.plain_get import PlainGet, receive, send
from paceline.client.core.retry import NoAnswer, is_farewell
from paceline.client.signing import SESSION, USER_AGENT
from paceline.dax.connection import NEED_DATA, ClientConnection, ErrorReply, Reply
from paceline.dax.request_types import Request
from paceline.errors import ProtocolError


class Connection(asyncio.Protocol):
    """``exchange`` gives a future of ``Reply`` or ``ErrorReply``, or of the exception ``Broken``.

    Whoever gives up on that future must ``close`` the connection: else the reply would be taken for
    that of the next request.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.idle_since = 0.0
        self.signed_until = float("-inf")
        self.proven = False
        """True once the node has answered on this connection."""
        self.expires_at = 0.0
        self.timeout_s = 0.0
        """Of the exchange under way, for the driver, which ends it in time."""
        self._loop = loop
        self._codec = ClientConnection()
        self._preamble = self._codec.preamble(USER_AGENT, SESSION)
        self._transport: asyncio.Transport | None = None
        self._waiter: asyncio.Future[Reply | ErrorReply] | None = None
        self._closed: asyncio.Future[None] = loop.create_future()

    @property
    def usable(self) -> bool:
        return (
            self._transport is not None
            and self._waiter is None
            and not self._codec.buffer
            and not self._transport.is_closing()
        )

    def exchange(
        self, request: Request | PlainGet, prefix: bytes = b""
    ) -> asyncio.Future[Reply | ErrorReply]:
        """``prefix``: bytes that go in front of the request, an authorisation for instance."""
        if not self.usable:
            raise Broken(NoAnswer.NOT_HANDED_OVER, "the connection was closed")
        assert self._transport is not None
        data = send(self._codec, request)
        if prefix:
            data = prefix + data
        if self._preamble:
            data = self._preamble + data
            self._preamble = b""
        self._waiter = self._loop.create_future()
        self._transport.write(data)
        return self._waiter

    @property
    def busy(self) -> bool:
        """True while an exchange is under way."""
        return self._waiter is not None

    def expire_now(self) -> None:
        self._end(f"no reply within {self.timeout_s:.2g} s", slow=True)

    def expire(self, waiter: asyncio.Future[Reply | ErrorReply], timeout_s: float) -> None:
        """Ends the exchange of ``waiter`` if it is still under way: its time is up."""
        if self._waiter is waiter:
            self._end(f"no reply within {timeout_s:.2g} s", slow=True)

    def close(self) -> None:
        if self._transport is not None:
            if self._waiter is not None:
                self._transport.abort()
            else:
                self._transport.close()

    async def wait_closed(self) -> None:
        await asyncio.shield(self._closed)

    # -- asyncio.Protocol -------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's does not derive from it

    def data_received(self, data: bytes) -> None:
        codec = self._codec
        try:
            event = receive(codec, data)
        except ProtocolError as error:
            self._end(f"the node's bytes make no sense: {error}")
            return
        if event is NEED_DATA:
            return
        self.proven = True
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(event)
        if type(event) is ErrorReply and is_farewell(event.error) and self._transport is not None:
            self._transport.close()

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(f"the node closed the connection{f': {exc}' if exc else ''}")
        if not self._closed.done():
            self._closed.set_result(None)

    def _end(self, reason: str, *, slow: bool = False) -> None:
        self._fail(reason, slow=slow)
        if self._transport is not None:
            self._transport.abort()

    def _fail(self, reason: str, *, slow: bool = False) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_exception(Broken(NoAnswer.NO_REPLY, reason, slow=slow))
