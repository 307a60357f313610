"""The two ends of simulated gRPC: who serves which address, and who is connected to whom."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import grpc
import grpc.aio

from cluster.transport.member_certificates import ANY_NODE
from tests.simulation.loop import Owner
from tests.simulation.network import Network

CONNECT_POLL_S = 0.05

RESET_S = 0.5
"""How long a dead process's peers may take to hear of it while its machine still runs."""

EOF = grpc.aio.EOF  # type: ignore[attr-defined]


Handler = Callable[[Any, Any], Awaitable[Any]]
"""A servicer's method: (request or iterator, context)."""


def rpc_error(code: grpc.StatusCode, details: str) -> grpc.aio.AioRpcError:
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata(), details, None)


class Aborted(Exception):
    def __init__(self, code: grpc.StatusCode, details: str) -> None:
        super().__init__(details)
        self.code = code
        self.details = details


class Switchboard:
    """Which process serves which address."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.servers: dict[str, Server] = {}
        self.calls = 0

    def serve(
        self, address: str, machine: str, owner: Owner, handlers: Mapping[str, Handler]
    ) -> Server:
        server = self.servers[address] = Server(self.network, machine, owner, handlers)
        return server


class Server:
    def __init__(
        self, network: Network, machine: str, owner: Owner, handlers: Mapping[str, Handler]
    ) -> None:
        self.network = network
        self.machine = machine
        self.owner = owner
        self.handlers = handlers
        self.up = True
        self.calls: dict[int, Callable[[str], None]] = {}
        """What the death of this server does to each call under way."""

    def down(self) -> None:
        """The process is gone."""
        self.up = False
        for end in list(self.calls.values()):
            end("the server is gone")
        self.calls.clear()


class Context:
    """What a servicer's method is given of its call."""

    def __init__(self, caller: str, time_remaining: Callable[[], float] | None = None) -> None:
        """``caller``: the node, as its certificate has it."""
        self._caller = caller
        self._time_remaining = time_remaining

    def auth_context(self) -> dict[str, list[bytes]]:
        return {"x509_subject_alternative_name": [self._caller.encode(), ANY_NODE.encode()]}

    def time_remaining(self) -> float | None:
        return None if self._time_remaining is None else self._time_remaining()

    async def abort(self, code: grpc.StatusCode, details: str = "") -> None:
        raise Aborted(code, details)


class Connection:
    """A client's side of a channel. ``machine`` and ``owner`` are whose it is."""

    def __init__(self, board: Switchboard, machine: str, owner: Owner, address: str) -> None:
        self.board = board
        self.machine = machine
        self.owner = owner
        self.address = address
        self.calls: dict[int, Callable[[str], None]] = {}
        self._peer: Server | None = None
        """Whom it is connected to, whether or not anything gets through just now."""

    def connect(self) -> Server | None:
        """The server, if it is connected or can be now."""
        server = self.board.servers.get(self.address)
        if server is None or not server.up:
            return None
        if server is not self._peer:
            if not self.board.network.both_ways(self.machine, server.machine):
                return None
            self._peer = server
        return server

    def disconnected(self) -> None:
        self._peer = None

    async def channel_ready(self) -> None:
        while True:
            connected = self._peer
            server = self.connect()
            if server is not None:
                if server is connected:
                    return
                network = self.board.network
                await asyncio.sleep(2 * network.delay(self.machine, server.machine))
                if server.up and server is self._peer:
                    return
            await asyncio.sleep(CONNECT_POLL_S)

    async def close(self, grace: float | None = None) -> None:
        for end in list(self.calls.values()):
            end("the channel was closed")
        self.calls.clear()
