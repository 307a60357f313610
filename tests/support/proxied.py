"""A link to a server of the test's own, and connections through it."""

import asyncio
import contextlib
import random
from types import TracebackType
from typing import Self

from paceline_local.chaos.faults import HEALTHY, Faults
from paceline_local.chaos.link import Filter, Link, Target
from paceline_local.chaos.pipe import Direction
from tests.support.waiting import until

HOST = "127.0.0.1"
DEADLINE_S = 10.0

Accepted = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Proxied:
    """``async with Proxied() as link``: accepted connections are queued for the test."""

    def __init__(self, *, seed: int = 1, listening: bool = True) -> None:
        rng = random.Random(seed)
        self.forward = Direction(rng)
        self.backward = Direction(rng)
        self.accepted: asyncio.Queue[Accepted] = asyncio.Queue()
        self.make_filter: Filter | None = None
        self._listening = listening
        self._server: asyncio.Server | None = None
        self._writers: list[asyncio.StreamWriter] = []

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(
            self._accept, HOST, 0, start_serving=True, limit=1024
        )
        self.target_port = int(self._server.sockets[0].getsockname()[1])
        if not self._listening:
            await self.stop_target()
        self.target = Target(HOST, self.target_port)
        self.link = Link(self.target, self.forward, self.backward, self.make_filter)
        self.port = self.link.open(())
        self.target.watch()
        if self._listening:
            await until(lambda: self.target.listens, "the target is seen to listen")
            # The look itself was a connection.
            _, writer = await asyncio.wait_for(self.accepted.get(), DEADLINE_S)
            writer.close()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.target.close()
        await self.link.close()
        await self.stop_target()
        for writer in self._writers:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
        await until(lambda: not self.link.connections, "no connection is left")

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        self.accepted.put_nowait((reader, writer))

    async def stop_target(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            server.close()
            await asyncio.sleep(0)

    async def start_target(self) -> None:
        self._server = await asyncio.start_server(self._accept, HOST, self.target_port)

    def set(self, forward: Faults = HEALTHY, backward: Faults = HEALTHY) -> None:
        self.forward.set(forward)
        self.backward.set(backward)
        self.link.settle()

    async def dial(self) -> Accepted:
        """A connection to the proxy, whether or not it goes on to the target."""
        reader, writer = await asyncio.open_connection(HOST, self.port, limit=1024)
        self._writers.append(writer)
        return reader, writer

    async def connect(self) -> tuple[Accepted, Accepted]:
        """Both ends of a connection through the proxy."""
        ours = await self.dial()
        return ours, await asyncio.wait_for(self.accepted.get(), DEADLINE_S)


async def exactly(reader: asyncio.StreamReader, count: int) -> bytes:
    return await asyncio.wait_for(reader.readexactly(count), DEADLINE_S)


async def ended(reader: asyncio.StreamReader) -> bool:
    """True: closed in order; False: reset."""
    try:
        return await asyncio.wait_for(reader.read(1), DEADLINE_S) == b""
    except ConnectionError:
        return False


async def silent(reader: asyncio.StreamReader, for_s: float = 0.1) -> bool:
    """Whether nothing arrives for so long."""
    try:
        async with asyncio.timeout(for_s):
            await reader.read(1)
    except TimeoutError:
        return True
    return False
