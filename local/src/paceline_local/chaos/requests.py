"""Answers DynamoDB requests on the way: throttled, or failed before or after being carried out.

Only as much of HTTP/1.1 as clients of DynamoDB use: requests with Content-Length, one after
another on a connection. A connection on which anything else is seen is passed on as it is.
"""

import asyncio
import contextlib
import json
from collections.abc import Callable
from enum import Enum

from paceline_local.chaos.faults import Faults
from paceline_local.chaos.pipe import Direction, End, Sink

HEAD_BYTES_MAX = 64 * 1024
BODY_BYTES_MAX = 32 * 1024 * 1024
"""Twice the largest request, a BatchWriteItem of 16 MB; only what is to be carried out apart from
its connection is kept as a whole."""
APART_S = 10.0
"""The time for such a request."""

_PREFIX = "com.amazonaws.dynamodb.v20120810#"
_REASONS = {400: "Bad Request", 500: "Internal Server Error"}


class Treatment(Enum):
    PASS = "pass"
    THROTTLE = "throttle"
    FAIL = "fail"
    CARRY_OUT_AND_FAIL = "carry out and fail"


def treatment_of(faults: Faults, direction: Direction) -> Treatment:
    if direction.drawn(faults.throttle):
        return Treatment.THROTTLE
    if direction.drawn(faults.errors_before):
        return Treatment.FAIL
    if direction.drawn(faults.errors_after):
        return Treatment.CARRY_OUT_AND_FAIL
    return Treatment.PASS


class RequestFilter:
    """Takes the place of DynamoDB's end of a connection.

    ``answer`` sends bytes to the client, behind whatever DynamoDB has sent before. ``carry_out``
    has a whole request done on a connection of its own and calls back when that is over.
    """

    def __init__(
        self,
        direction: Direction,
        sink: Sink,
        answer: Callable[[bytes], None],
        carry_out: Callable[[bytes, Callable[[], None]], None],
    ) -> None:
        self._direction = direction
        self._sink = sink
        self._answer = answer
        self._carry_out = carry_out
        self._head = b""
        self._body_left = 0
        self._treatment = Treatment.PASS
        self._kept: list[bytes] = []
        self._transparent = False
        """True once something was not understood: everything is passed on."""

    def write(self, data: bytes) -> None:
        while data:
            if self._transparent:
                self._sink.write(data)
                return
            data = self._take_body(data) if self._body_left else self._take_head(data)

    def finish(self, end: End) -> None:
        if self._head:
            self._sink.write(self._head)
            self._head = b""
        self._sink.finish(end)

    def _take_head(self, data: bytes) -> bytes:
        """Takes the request's head, and returns what lies behind it; nothing if it is
        incomplete."""
        self._head += data
        cut = self._head.find(b"\r\n\r\n")
        if cut < 0:
            if len(self._head) > HEAD_BYTES_MAX:
                self._give_up()
            return b""
        head, rest = self._head[: cut + 4], self._head[cut + 4 :]
        length = _content_length(head)
        if length is None or length > BODY_BYTES_MAX:
            self._give_up()
            return b""
        self._head = b""
        self._body_left = length
        faults = self._direction.faults
        self._treatment = (
            treatment_of(faults, self._direction) if faults.answers_requests else Treatment.PASS
        )
        self._put(_with_close(head) if self._treatment is Treatment.CARRY_OUT_AND_FAIL else head)
        if length == 0:
            self._complete()
        return rest

    def _take_body(self, data: bytes) -> bytes:
        part, rest = data[: self._body_left], data[self._body_left :]
        self._body_left -= len(part)
        self._put(part)
        if self._body_left == 0:
            self._complete()
        return rest

    def _put(self, part: bytes) -> None:
        if self._treatment is Treatment.PASS:
            self._sink.write(part)
        elif self._treatment is Treatment.CARRY_OUT_AND_FAIL:
            self._kept.append(part)

    def _complete(self) -> None:
        treatment, self._treatment = self._treatment, Treatment.PASS
        if treatment is Treatment.PASS:
            return
        self._direction.requests_answered += 1
        match treatment:
            case Treatment.THROTTLE:
                self._answer(throttled(self._direction.faults.throttle_error))
            case Treatment.FAIL:
                self._answer(failed())
            case Treatment.CARRY_OUT_AND_FAIL:
                request, self._kept = b"".join(self._kept), []
                self._carry_out(request, lambda: self._answer(failed()))

    def _give_up(self) -> None:
        self._transparent = True
        head, self._head = self._head, b""
        self._sink.write(head)


async def carry_out_apart(request: bytes, host: str, port: int) -> None:
    """Sends a whole request that asks for ``Connection: close``, and drops its answer."""
    with contextlib.suppress(OSError, TimeoutError):
        async with asyncio.timeout(APART_S):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                writer.write(request)
                while await reader.read(64 * 1024):
                    pass
            finally:
                writer.close()


def throttled(name: str) -> bytes:
    return _response(
        400,
        {"__type": _PREFIX + name, "message": "The request was throttled by 'paceline chaos'."},
    )


def failed() -> bytes:
    return _response(
        500,
        {"__type": _PREFIX + "InternalServerError", "message": "Failed by 'paceline chaos'."},
    )


def _response(status: int, content: dict[str, str]) -> bytes:
    body = json.dumps(content).encode()
    head = (
        f"HTTP/1.1 {status} {_REASONS[status]}\r\n"
        "Content-Type: application/x-amz-json-1.0\r\n"
        "x-amzn-RequestId: PACELINE-CHAOS\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def _content_length(head: bytes) -> int | None:
    """The body's length: 0 without the header; None for what is not understood."""
    length = 0
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        match name.strip().lower():
            case b"content-length":
                text = value.strip()
                if not text.isdigit():
                    return None
                length = int(text)
            case b"transfer-encoding" | b"upgrade" | b"expect":
                return None
    return length


def _with_close(head: bytes) -> bytes:
    """The head, asking for the connection's end; a signature does not cover that header."""
    lines = [
        line
        for line in head[:-4].split(b"\r\n")
        if line.partition(b":")[0].strip().lower() != b"connection"
    ]
    return b"\r\n".join([*lines, b"Connection: close", b"", b""])
