"""A front that sends each HTTP request to the next of several servers.

Clients keep their connections, so each would see one node only; stale answers show when a request
is answered by another node than the one before.
"""

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress

HOST = "127.0.0.1"
BYTES_MAX = 32 * 1024 * 1024
"""Of one line, head or body: twice DynamoDB's largest request."""

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@asynccontextmanager
async def spread(ports: list[int]) -> AsyncIterator[int]:
    """The port of the front, for as long as the context lasts."""
    turns = itertools.cycle(ports)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nodes: dict[int, Connection] = {}
        try:
            await _relay(reader, writer, turns, nodes)
        except (OSError, EOFError, asyncio.LimitOverrunError):
            pass
        finally:
            for _, node_writer in nodes.values():
                node_writer.close()
            writer.close()

    server = await asyncio.start_server(serve, HOST, 0, limit=BYTES_MAX)
    try:
        yield int(server.sockets[0].getsockname()[1])
    finally:
        server.close()


async def _relay(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    turns: Iterator[int],
    nodes: dict[int, Connection],
) -> None:
    """Until either side ends the connection. ``nodes``: those opened so far."""
    while True:
        head = await reader.readuntil(b"\r\n\r\n")
        if b"\r\nexpect: 100-continue" in head.lower():
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        method = head.split(b" ", 1)[0]
        request = head + await _body(reader, head)
        answer = await _asked(next(turns), request, nodes, has_body=method != b"HEAD")
        writer.write(answer)
        await writer.drain()
        if b"\r\nconnection: close" in answer.partition(b"\r\n\r\n")[0].lower():
            return


async def _asked(
    port: int, request: bytes, nodes: dict[int, Connection], *, has_body: bool
) -> bytes:
    if port not in nodes:
        nodes[port] = await asyncio.open_connection(HOST, port, limit=BYTES_MAX)
    reader, writer = nodes[port]
    try:
        writer.write(request)
        await writer.drain()
        head = await reader.readuntil(b"\r\n\r\n")
        while head.startswith(b"HTTP/1.1 100"):
            head = await reader.readuntil(b"\r\n\r\n")
        if b"\r\nconnection: close" in head.lower():
            del nodes[port]
            with suppress(OSError):
                return head + await _body(reader, head, has_body=has_body)
        return head + await _body(reader, head, has_body=has_body)
    except (OSError, EOFError):
        nodes.pop(port, None)
        raise


async def _body(reader: asyncio.StreamReader, head: bytes, *, has_body: bool = True) -> bytes:
    """What follows ``head``, as it is on the wire."""
    headers = dict(
        line.lower().partition(b":")[::2] for line in head.split(b"\r\n")[1:] if b":" in line
    )
    if not has_body:
        return b""
    if b"chunked" in headers.get(b"transfer-encoding", b""):
        return await _chunks(reader)
    return await reader.readexactly(int(headers.get(b"content-length", b"0")))


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    parts: list[bytes] = []
    size = 1
    while size:
        line = await reader.readuntil(b"\r\n")
        size = int(line.partition(b";")[0], 16)
        parts.append(line)
        if size:
            parts.append(await reader.readexactly(size + 2))
    while parts[-1] != b"\r\n":
        parts.append(await reader.readuntil(b"\r\n"))
    return b"".join(parts)
