"""Puts the front end together."""

from __future__ import annotations

from cluster.service.lifecycle import Lifecycle
from cluster.settings import Listener, NodeSettings
from cluster.transport.client_server import ClientServer, Shared
from cluster.transport.tls import ServerCertificate
from node.frontends.http.handler import HttpHandler
from node.frontends.http.server import HttpServer
from node.operations import Operations
from paceline.clock import now

ALPN = "http/1.1"


async def start_http(
    lifecycle: Lifecycle,
    settings: NodeSettings,
    certificate: ServerCertificate | None,
    operations: Operations,
    shared: Shared,
) -> list[ClientServer]:
    """The servers whose connections are to be drained at the end: one, or none."""
    listeners = []
    if settings.http_bind:
        listeners.append(Listener(name="http", bind=settings.http_bind))
    if settings.https_bind:
        listeners.append(Listener(name="https", bind=settings.https_bind, tls=True))
    if not listeners:
        return []
    handler = HttpHandler(operations, now, shared.large_work)
    server = HttpServer(handler, connections_max=settings.connections_max, shared=shared)
    await server.start(listeners, certificate.context(ALPN) if certificate else None)
    lifecycle.push("http", server.abort)
    return [server]
