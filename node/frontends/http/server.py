"""The listeners of the HTTP API. Their limits and their end are the DAX server's."""

from __future__ import annotations

import asyncio
import itertools
import secrets
from collections.abc import Iterator

from cluster.access.signatures.verification import Rules
from cluster.service.authentication import Authentication
from cluster.service.lifecycle import Lifecycle
from cluster.settings import Listener, NodeSettings
from cluster.transport.addresses import split_host_port
from cluster.transport.client_server import ClientServer, Shared
from cluster.transport.tls import ServerCertificate
from node.frontends.http.callers import Callers
from node.frontends.http.known_heads import KnownHeads, Prove
from node.frontends.http.protocol import HttpProtocol
from node.frontends.http.signatures import Signatures
from node.frontends.http.strangers import OF_THIS_MACHINE
from node.frontends.json_api.handler import JsonHandler
from node.operations import Operations
from paceline.clock import now, wall_time
from paceline.errors import ConfigError
from paceline.http_hosts import HttpHosts, is_loopback

ALPN = "http/1.1"

_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_PREFIX_LENGTH = 40
_NUMBER_LENGTH = 12


class HttpServer(ClientServer):
    protocol = "http"

    def __init__(
        self,
        api: JsonHandler,
        signatures: Signatures,
        *,
        healthy: bytes,
        connections_max: int,
        shared: Shared | None = None,
        callers: Callers | None = None,
        hosts: HttpHosts | None = None,
    ) -> None:
        """``healthy`` is the body that load balancers get. ``callers``: None where nobody has to
        sign. ``hosts``: see ``hosts_of``."""
        super().__init__(connections_max=connections_max, shared=shared)
        self.api = api
        self.signatures = signatures
        self.callers = callers
        self.prove: Prove | None = None if callers is None else callers.proof
        self.healthy = healthy
        self.request_ids = request_ids()
        self.known_heads, self.guarded_heads = KnownHeads(), KnownHeads()
        self._hosts = hosts

    def hosts_of(self, listener: Listener) -> HttpHosts | None:
        """Where nobody has to sign, and only this machine reaches the listener: any web page does
        that somebody looks at here. None: any host will do."""
        if self.callers is not None or not is_loopback(split_host_port(listener.bind)[0]):
            return None
        return self._hosts

    def connection(self, listener: Listener) -> asyncio.Protocol:
        return HttpProtocol(self, listener)

    def setting(self, listener: Listener) -> str:
        return "PACELINE_HTTPS_BIND" if listener.tls else "PACELINE_HTTP_BIND"


def request_ids() -> Iterator[bytes]:
    """Gives ids of 52 characters, like DynamoDB's: a random part of the process, then a number."""
    prefix = "".join(secrets.choice(_ALPHABET) for _ in range(_PREFIX_LENGTH)).encode()
    return (b"%b%0*X" % (prefix, _NUMBER_LENGTH, number) for number in itertools.count(1))


async def start_http(
    lifecycle: Lifecycle,
    settings: NodeSettings,
    certificate: ServerCertificate | None,
    operations: Operations,
    shared: Shared,
    access: Authentication,
) -> list[ClientServer]:
    """Returns the servers whose connections are to be drained at the end: one, or none.
    ``access``: who may call."""
    listeners = []
    if settings.http_bind:
        listeners.append(Listener(name="http", bind=settings.http_bind))
    if settings.https_bind:
        listeners.append(Listener(name="https", bind=settings.https_bind, tls=True))
    if not listeners:
        return []
    backend = operations.backend
    callers = None
    if access.principals is not None:
        rules, work = Rules(backend.region), shared.large_work
        callers = Callers(
            access.principals, rules, wall_time, work, access.refusals, shared.restraint
        )
    server = HttpServer(
        JsonHandler(operations.by("http"), now, shared.large_work),
        Signatures(backend),
        # DynamoDB's words, of the region behind.
        healthy=f"healthy: dynamodb.{backend.region}.amazonaws.com ".encode(),
        connections_max=settings.connections_max,
        shared=shared,
        callers=callers,
        hosts=_hosts(settings),
    )
    await server.start(listeners, certificate.context(ALPN) if certificate else None)
    lifecycle.push("http", server.abort)
    return [server]


def _hosts(settings: NodeSettings) -> HttpHosts:
    named = (settings.http_advertise, settings.https_advertise)
    try:
        return HttpHosts([*filter(None, named), *OF_THIS_MACHINE, *settings.http_hosts])
    except ValueError as error:
        raise ConfigError(f"PACELINE_HTTP_HOSTS: {error}") from error
