"""The DAX listeners of a program."""

from __future__ import annotations

import asyncio

from cluster.settings import Listener
from cluster.transport.client_server import ClientServer, Shared
from cluster.transport.dax_callers import DaxCallers
from cluster.transport.dax_interface import ConnectionInfo, Handler
from cluster.transport.dax_protocol import DaxProtocol

__all__ = ["ConnectionInfo", "DaxServer", "Handler"]


class DaxServer(ClientServer):
    """The DAX listeners of one program, and their connections."""

    def __init__(
        self,
        handler: Handler,
        *,
        connections_max: int,
        shared: Shared | None = None,
        callers: DaxCallers | None = None,
    ) -> None:
        super().__init__(connections_max=connections_max, shared=shared)
        self.handler = handler
        self.callers = callers

    def connection(self, listener: Listener) -> asyncio.Protocol:
        return DaxProtocol(self, listener)

    def setting(self, listener: Listener) -> str:
        return f"PACELINE_LISTENERS, listener {listener.name!r}"
