"""Puts the front end together."""

from __future__ import annotations

from cluster.service.lifecycle import Lifecycle
from cluster.settings import Listener, NodeSettings
from cluster.transport.client_server import ClientServer
from node.control import Control
from node.frontends.dynamodb_http.handler import HttpHandler
from node.frontends.dynamodb_http.server import HttpServer
from node.operations.service import Operations
from paceline.clock import now


async def start_http(
    lifecycle: Lifecycle, settings: NodeSettings, operations: Operations, control: Control
) -> list[ClientServer]:
    """The servers whose connections are to be drained at the end: one, or none."""
    if not settings.http_bind:
        return []
    handler = HttpHandler(operations, control, now)
    server = HttpServer(handler, connections_max=settings.connections_max)
    await server.start([Listener(name="http", bind=settings.http_bind)])
    lifecycle.push("http", server.abort)
    return [server]
