"""One connection to DynamoDB: requests one after another, their answers as they come.

Parsed by httptools (Node.js's llhttp). Nothing is followed, decompressed or repeated.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

import httptools

from node.backend.session import KeepsPoll
from paceline.dynamodb_answers import foreign_head

_CONTINUES = range(100, 200)
HEAD_BYTES_MAX = 64 * 1024
"""The most in a row that is no body: heads, chunks' extensions, trailers. DynamoDB's answers have a
few hundred. What is read at once is let pass whole."""
_NAMES = {
    spelled.encode(): name
    for name in (
        *("connection", "content-length", "content-type", "date", "server"),
        *("x-amz-crc32", "x-amzn-requestid"),
    )
    for spelled in (name, name.title(), name.title().replace("Requestid", "RequestId"))
}
"""As DynamoDB and others write what is in every answer."""
SMALL_BYTES = 4096
"""Pieces of a body that are smaller are put together, or each would take 50 bytes more."""


@dataclass(frozen=True, slots=True)
class Answer:
    """``headers``: names in lower case; of several with one name, the last."""

    status: int
    headers: Mapping[str, str]
    parts: list[bytes]
    """The body."""


class Foreign(Exception):
    """What came is not an answer of DynamoDB's; the text says why, as the end of a sentence."""


class BrokenOff(Exception):
    """The connection ended, or was given up, before the whole answer had come."""


class Connection(asyncio.Protocol, KeepsPoll):
    """``transport`` is None until it is connected and after its end."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.should_close = False
        """True once nothing more may be sent here."""
        self.is_new = True
        """True until it has been idle."""
        self._waiting: asyncio.Future[Answer] | None = None
        self._bytes_max = 0
        self._new_answer()

    def _new_answer(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._status = 0
        self._headers: dict[str, str] = {}
        self._parts: list[bytes] = []
        self._size = self._around = 0
        """Bytes of the body, and those since its last."""
        self._in_body = False

    def exchange(self, request: bytes, bytes_max: int) -> asyncio.Future[Answer]:
        """Hands ``request`` over. The future brings the whole answer, or Foreign or BrokenOff; a
        body has ``bytes_max`` at most."""
        assert self.transport is not None
        self._bytes_max = bytes_max
        self._waiting = asyncio.get_running_loop().create_future()
        self.transport.write(request)
        return self._waiting

    def abort(self) -> None:
        """Ends the connection at once; bytes that have not left are discarded."""
        self.should_close = True
        if self.transport is not None:
            self.transport.abort()

    # The transport's calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's are no subclasses

    def data_received(self, data: bytes) -> None:
        if self._waiting is None or self._waiting.done():
            self.abort()  # nobody asked for it: it must not be taken for the next answer
            return
        if self._around > HEAD_BYTES_MAX:
            self._fail(Foreign("its head, or what stands around its body, has no end"))
            return
        self._around += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._fail(Foreign("it wants another protocol"))
        except httptools.HttpParserError as error:
            cause = error.__context__  # what a callback raised
            self._fail(cause if isinstance(cause, Foreign) else Foreign(f"it is no HTTP: {error}"))

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        self.should_close = True
        if self._waiting is None or self._waiting.done():
            return
        if exc is None and self._in_body and not self._has_length:
            self._complete()  # such an answer ends with its connection (RFC 9112, 6.3)
        else:
            self._fail(BrokenOff(f"the connection ended without an answer: {exc or 'closed'}"))

    def eof_received(self) -> bool:
        return False

    # The parser's calls

    def on_message_begin(self) -> None:
        if self._waiting is None:
            raise Foreign("there are two answers to one request")

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._in_body:
            return  # a trailer, which must not pass for what was looked at (RFC 9110, 6.5.1)
        if len(self._headers) > 256 or len(name) + len(value) > HEAD_BYTES_MAX:
            raise Foreign("its head is too long")
        known = _NAMES.get(name)
        if known is None:
            known = name.decode("latin-1").lower()
        self._headers[known] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        self._status = self._parser.get_status_code()
        if self._status in _CONTINUES:
            return
        self._in_body = True
        if why := foreign_head(self._status, self._headers):
            raise Foreign(why)
        length = self._headers.get("content-length", "")
        if length.isdecimal() and int(length) > self._bytes_max:
            raise Foreign(self._too_long())

    def on_body(self, body: bytes) -> None:
        self._around = 0
        self._size += len(body)
        if self._size > self._bytes_max:
            raise Foreign(self._too_long())
        if len(body) >= SMALL_BYTES:
            self._parts.append(body)
        elif self._parts and len(self._parts[-1]) < SMALL_BYTES:
            self._parts[-1] += body
        else:
            self._parts.append(body)

    def on_message_complete(self) -> None:
        if self._status in _CONTINUES:
            self._headers, self._status = {}, 0
        else:
            self.should_close = self.should_close or not self._parser.should_keep_alive()
            self._complete()

    @property
    def _has_length(self) -> bool:
        return "content-length" in self._headers or "transfer-encoding" in self._headers

    def _too_long(self) -> str:
        return f"it is longer than {self._bytes_max} bytes, which DynamoDB's is not"

    def _complete(self) -> None:
        waiting, self._waiting = self._waiting, None
        if self.transport is not None and self.transport.get_write_buffer_size():
            # It is answered before it was read: the rest of it must not go out any more.
            self.should_close = True
        answer = Answer(self._status, self._headers, self._parts)
        self._new_answer()
        if waiting is not None and not waiting.done():
            waiting.set_result(answer)
        else:
            self.abort()  # a second answer to one request

    def _fail(self, error: Exception) -> None:
        waiting, self._waiting = self._waiting, None
        self.abort()
        if waiting is not None and not waiting.done():
            waiting.set_exception(error)
