"""DAX listeners."""

from __future__ import annotations

import asyncio

from cluster.settings import Listener
from cluster.transport.client_server import HELD_BYTES_MAX, ClientServer
from cluster.transport.dax_protocol import ConnectionInfo, DaxProtocol, Handler

__all__ = ["ConnectionInfo", "DaxServer", "Handler"]


class DaxServer(ClientServer):
    """The DAX listeners of one program, and their connections."""

    def __init__(
        self, handler: Handler, *, connections_max: int, held_bytes_max: int = HELD_BYTES_MAX
    ) -> None:
        super().__init__(connections_max=connections_max, held_bytes_max=held_bytes_max)
        self.handler = handler

    def connection(self, listener: Listener) -> asyncio.Protocol:
        return DaxProtocol(self, listener)

    def setting(self, listener: Listener) -> str:
        return f"PACELINE_LISTENERS, listener {listener.name!r}"
