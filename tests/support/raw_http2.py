"""Just enough of HTTP/2 to begin gRPC calls and not end them."""

from __future__ import annotations

import asyncio
import struct
from contextlib import suppress
from typing import Self

DEADLINE_S = 10.0
DATA, HEADERS, RST_STREAM, SETTINGS, PING, WINDOW_UPDATE = 0, 1, 3, 4, 6, 8
END_STREAM, END_HEADERS, ACK = 1, 4, 1
INITIAL_WINDOW_SIZE = 4
FRAME_BYTES_MAX = 16_384


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def literal(name: str, value: str) -> bytes:
    """HPACK's literal that is not indexed, both texts below 127 bytes."""
    return b"\0" + bytes([len(name)]) + name.encode() + bytes([len(value)]) + value.encode()


class RawHttp2:
    """One connection. ``window``: what it lets the server send on a stream."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._stream = -1
        self._statuses: asyncio.Queue[str] = asyncio.Queue()
        self._initial = self._connection = self._window = 65_535
        self._more = asyncio.Condition()
        self.closed = asyncio.Event()
        self.settings = asyncio.Event()
        self._reading = asyncio.create_task(self._read())

    @classmethod
    async def connect(cls, address: str, window: int = 65_535) -> Self:
        host, _, port = address.rpartition(":")
        async with asyncio.timeout(DEADLINE_S):
            reader, writer = await asyncio.open_connection(host, int(port))
        settings = struct.pack(">HI", INITIAL_WINDOW_SIZE, window)
        writer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(SETTINGS, 0, 0, settings))
        return cls(reader, writer)

    async def call(self, path: str, length: int, body: bytes = b"") -> None:
        """Begins a call whose message is said to have ``length`` bytes, and sends ``body``."""
        self._stream += 2
        self._window = self._initial
        names = {
            ":method": "POST",
            ":scheme": "http",
            ":path": path,
            ":authority": "test",
            "te": "trailers",
            "content-type": "application/grpc",
        }
        block = b"".join(literal(name, value) for name, value in names.items())
        self._writer.write(frame(HEADERS, END_HEADERS, self._stream, block))
        await self.send(b"\0" + struct.pack(">I", length) + body)

    async def send(self, data: bytes, *, end: bool = False) -> int:
        """As much as the server takes within the deadline, or before it closes; how much."""
        sent = 0
        while sent < len(data):
            async with self._more:
                await asyncio.wait_for(self._more.wait_for(self._may_send), DEADLINE_S)
            if self.closed.is_set():
                break
            size = min(FRAME_BYTES_MAX, self._connection, self._window, len(data) - sent)
            self._connection -= size
            self._window -= size
            flags = END_STREAM if end and sent + size == len(data) else 0
            self._writer.write(frame(DATA, flags, self._stream, data[sent : sent + size]))
            sent += size
        return sent

    async def status(self) -> str:
        """``grpc-status`` of the next call that ends."""
        async with asyncio.timeout(DEADLINE_S):
            return await self._statuses.get()

    async def close(self) -> None:
        self._reading.cancel()
        await asyncio.wait([self._reading])
        self._writer.transport.abort()
        with suppress(OSError):
            await self._writer.wait_closed()

    def _may_send(self) -> bool:
        return self.closed.is_set() or min(self._connection, self._window) > 0

    async def _read(self) -> None:
        try:
            while True:
                head = await self._reader.readexactly(9)
                payload = await self._reader.readexactly(int.from_bytes(head[:3], "big"))
                async with self._more:
                    self._take(head[3], head[4], int.from_bytes(head[5:], "big"), payload)
                    self._more.notify_all()
        except (OSError, EOFError):
            pass
        finally:
            self.closed.set()
            async with self._more:
                self._more.notify_all()

    def _take(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind == WINDOW_UPDATE:
            if stream:
                self._window += int.from_bytes(payload, "big")
            else:
                self._connection += int.from_bytes(payload, "big")
        elif kind == SETTINGS and not flags & ACK:
            for name, value in struct.iter_unpack(">HI", payload):
                if name == INITIAL_WINDOW_SIZE:
                    self._window += value - self._initial
                    self._initial = value
            self._writer.write(frame(SETTINGS, ACK, 0))
            self.settings.set()
        elif kind == PING and not flags & ACK:
            self._writer.write(frame(PING, ACK, 0, payload))
        elif kind == HEADERS and b"grpc-status" in payload:
            # gRPC's C core sends it as a literal, length before text.
            at = payload.index(b"grpc-status") + len(b"grpc-status")
            self._statuses.put_nowait(payload[at + 1 : at + 1 + payload[at]].decode())
