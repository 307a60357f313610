"""A DynamoDB that misbehaves on order: an HTTP server in the test's own event loop.

Every complete request takes the next behaviour of the script (the last one goes on for ever)
and is written down first, so that a test can count what reached the server.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from ssl import SSLContext
from types import TracebackType
from typing import Any

ERROR_PREFIX = "com.amazonaws.dynamodb.v20120810#"


@dataclass(frozen=True)
class Answer:
    """``body`` None: whatever ``raw`` is. ``after_s``: how long the server takes."""

    body: dict[str, Any] | None = field(default_factory=dict)
    status: int = 200
    after_s: float = 0.0
    raw: bytes = b""
    headers: tuple[str, ...] = ()


@dataclass(frozen=True)
class Hang:
    """Reads the request, then says nothing."""


@dataclass(frozen=True)
class Close:
    """Closes without an answer, or in the middle of one."""

    mid_response: bool = False


@dataclass(frozen=True)
class Reset:
    """Resets the connection (RST) instead of answering."""


@dataclass(frozen=True)
class Trickle:
    """A byte of the answer every ``every_s``."""

    every_s: float


@dataclass(frozen=True)
class CloseAfter:
    """A good answer that promises keep-alive, then closes all the same."""

    body: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Wire:
    """These very bytes, whatever they are; then, ``again``, others until nobody takes them."""

    data: bytes
    again: bytes = b""


Behaviour = Answer | Hang | Close | Reset | Trickle | CloseAfter | Wire
Script = list[Behaviour] | Callable[[str, dict[str, Any]], Behaviour]


def error(name: str, status: int = 400, message: str = "because", **more: Any) -> Answer:
    return Answer({"__type": ERROR_PREFIX + name, "message": message, **more}, status)


THROTTLE = error("ProvisionedThroughputExceededException")


class FlakyDynamoDB:
    """``async with FlakyDynamoDB([...]) as server``; refuses connections after ``refuse()``."""

    def __init__(self, script: Script, *, ssl: SSLContext | None = None) -> None:
        self.requests: list[tuple[str, dict[str, Any]]] = []
        """(operation, body) of every complete request, in order of arrival."""
        self.bytes_received = 0
        self.connections = 0
        self.arrived = asyncio.Event()
        """Set whenever a request has arrived."""
        self._script = script
        self._ssl = ssl
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> FlakyDynamoDB:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._ssl)
        self.port: int = self._server.sockets[0].getsockname()[1]
        self.endpoint = f"http://127.0.0.1:{self.port}"
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.refuse()

    def stop_listening(self) -> None:
        """New connections are refused; the present ones stay."""
        if self._server is not None:
            self._server.close()

    async def refuse(self) -> None:
        """Closes the listener and every connection."""
        if self._server is not None:
            self._server.close()
            await asyncio.sleep(0)  # connections that were just accepted get their task
            tasks = list(self._tasks)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._server.wait_closed()
            self._server = None

    @property
    def operations(self) -> list[str]:
        return [operation for operation, _ in self.requests]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        try:
            while await self._one(reader, writer):
                pass
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass  # the client went away, or the test is over
        finally:
            self._tasks.discard(task)
            writer.close()
            # Else the loop may end before the socket is closed, which a later test would be told.
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Serves a request; False when the connection is to be closed."""
        head = await reader.readuntil(b"\r\n\r\n")
        self.bytes_received += len(head)
        lines = head.decode("latin-1").split("\r\n")[1:-2]
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
        body = await reader.readexactly(int(headers["content-length"]))
        self.bytes_received += len(body)
        operation = headers["x-amz-target"].rpartition(".")[2]
        parameters = json.loads(body)
        self.requests.append((operation, parameters))
        self.arrived.set()
        return await self._behave(self._next(operation, parameters), writer)

    def _next(self, operation: str, parameters: dict[str, Any]) -> Behaviour:
        if callable(self._script):
            return self._script(operation, parameters)
        return self._script[min(len(self.requests), len(self._script)) - 1]

    async def _behave(self, behaviour: Behaviour, writer: asyncio.StreamWriter) -> bool:
        match behaviour:
            case Answer(after_s=after_s):
                await asyncio.sleep(after_s)
                writer.write(_response(behaviour))
            case Hang():
                await asyncio.Event().wait()
            case Close(mid_response=True):
                writer.write(_response(Answer({"Item": {"id": {"S": "x" * 100}}}))[:-20])
                return False
            case Close():
                return False
            case Reset():
                linger = struct.pack("ii", 1, 0)
                writer.get_extra_info("socket").setsockopt(
                    socket.SOL_SOCKET, socket.SO_LINGER, linger
                )
                return False
            case Trickle(every_s=every_s):
                for byte in _response(Answer()):
                    writer.write(bytes([byte]))
                    await asyncio.sleep(every_s)
            case CloseAfter(body=body):
                writer.write(_response(Answer(body)))
                return False
            case Wire(data=data, again=again):
                writer.write(data)
                while again:
                    writer.write(again)
                    await writer.drain()
        await writer.drain()
        return True


def _response(answer: Answer) -> bytes:
    body = answer.raw if answer.body is None else json.dumps(answer.body).encode()
    head = (
        f"HTTP/1.1 {answer.status} X",
        "content-type: application/x-amz-json-1.0",
        "x-amzn-requestid: REQUEST-1",
        f"content-length: {len(body)}",
        *answer.headers,
        "\r\n",
    )
    return "\r\n".join(head).encode() + body
