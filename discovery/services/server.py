"""The HTTP server in front of AWS's services: its bounds, and which hosts and pages it answers.

Requests are answered that name a host of this server, and come from no page of another: a browser
would else lend a stranger's page what loopback is trusted with. There are no answers for browsers
that ask whether they may (CORS).
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Iterable, Sequence

import structlog
from aiohttp import web

from cluster.service.http_connections import IDLE_S, HttpConnections, quiet_logger
from cluster.transport.addresses import bind_failure, join_host_port, split_host_port
from cluster.transport.client_server import HANDSHAKE_S, SHUTDOWN_S, bind_socket
from cluster.transport.expected import ExpectedLimits
from cluster.transport.tls import ServerCertificate
from cluster.transport.tls_listener import TlsListener
from discovery.services.requests import Service, ServiceAnswer, ServiceRequest
from discovery.services.router import Router
from paceline.clock import now
from paceline.errors import ConfigError
from paceline.http_hosts import HttpHosts, is_loopback

BODY_BYTES_MAX = 64 * 1024
LINE_BYTES_MAX = 32 * 1024
"""A GET has its parameters in the request line, and a presigned one a session's token besides."""
HEADER_BYTES_MAX = 16 * 1024
HEADERS_MAX = 128
CONNECTIONS_MAX = 256
BACKLOG = 128
REQUEST_S = 10.0
"""The time for a body."""
LINGER_S = 1.0
STOP_S = 2.0

_log = structlog.get_logger()


class ServicesServer:
    """``hosts``: further names by which it may be asked, than the bound ones. ``setting``: names
    the address in messages. ``limits``: on newcomers of one address."""

    def __init__(
        self,
        services: Sequence[Service],
        *,
        hosts: Iterable[str] = (),
        setting: str,
        limits: ExpectedLimits | None = None,
    ) -> None:
        self._router = Router(services)
        self._host_names = list(hosts)
        self._hosts = HttpHosts()
        self._setting = setting
        self._secure = False
        self._server = web.Server(
            self._handle,
            access_log=None,
            logger=quiet_logger("paceline.services"),
            keepalive_timeout=IDLE_S,
            lingering_time=LINGER_S,
            auto_decompress=False,
            max_line_size=LINE_BYTES_MAX,
            max_field_size=HEADER_BYTES_MAX,
            max_headers=HEADERS_MAX,
        )
        self._connections = HttpConnections(
            self._server, now, connections_max=CONNECTIONS_MAX, limits=limits
        )
        self._listener: asyncio.Server | TlsListener | None = None

    async def start(self, bind: str, certificate: ServerCertificate | None = None) -> str:
        """Listens on ``host:port`` (port 0: any free one), with TLS if there is a certificate, and
        returns the bound address. ConfigError."""
        host, _ = split_host_port(bind)
        try:
            self._hosts = HttpHosts([bind, *self._host_names], any_address=not is_loopback(host))
        except ValueError as error:
            raise ConfigError(f"PACELINE_HTTP_HOSTS: {error}") from error
        self._secure = certificate is not None
        sock = await bind_socket(bind, self._setting)
        try:
            if certificate is None:
                self._listener = await asyncio.get_running_loop().create_server(
                    self._connections.accept, sock=sock, backlog=BACKLOG
                )
            else:
                self._listener = TlsListener(
                    self._connections, self._server, certificate.context(), HANDSHAKE_S, SHUTDOWN_S
                )
                self._listener.start(sock, BACKLOG)
        except OSError as error:
            sock.close()
            raise bind_failure(self._setting, bind, error) from error
        self._connections.start()
        return join_host_port(host, sock.getsockname()[1])

    async def stop(self) -> None:
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.close()
        self._connections.stop()
        await self._server.shutdown(STOP_S)

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        self._connections.expects(request)
        try:
            return await self._answered(request)
        finally:
            self._connections.end(request)

    async def _answered(self, request: web.BaseRequest) -> web.Response:
        refused = self._refusal(request)
        if refused is not None:
            return _problem(*refused)
        try:
            async with asyncio.timeout(REQUEST_S):
                body = await _body_of(request)
        except TimeoutError:
            return _problem(408, f"the body did not come within {REQUEST_S:g} s")
        if body is None:
            return _problem(413, f"the body has more than {BODY_BYTES_MAX} bytes")
        self._connections.begin(request)
        asked = ServiceRequest(
            str(uuid.uuid4()),
            request.method,
            request.raw_path,
            tuple(request.raw_headers),
            body,
            request.remote or "",
            self._secure,
        )
        service = self._router.service_of(asked)
        if service is None:
            return _problem(404, "there is no such service or operation here")
        if (body or asked.method != "GET") and asked.content_type not in service.content_types:
            return _problem(415, f"{service.name} takes {', '.join(service.content_types)}")
        answer = service.answer(asked)
        return _response(await answer if isinstance(answer, Awaitable) else answer, asked.id)

    def _refusal(self, request: web.BaseRequest) -> tuple[int, str] | None:
        found = [request.headers.getall(name, []) for name in ("Host", "Origin")]
        if any(len(values) > 1 for values in found):
            return 400, "Host or Origin is there twice"
        refusal = self._hosts.refusal(*(values[0] if values else None for values in found))
        if refusal is not None:
            return 403, f"{refusal}; PACELINE_HTTP_HOSTS lists further names"
        sites = request.headers.getall("Sec-Fetch-Site", [])
        if any(site not in ("same-origin", "none") for site in sites):
            # An image of a stranger's page has no Origin, and would count against who looks at it.
            return 403, "pages of another site are not answered"
        if not request.raw_path.startswith("/"):
            return 400, "a request names a path, and its host in the Host header"
        if "Content-Encoding" in request.headers:
            return 415, "a body is sent as it is, without Content-Encoding"
        return None


async def _body_of(request: web.BaseRequest) -> bytes | None:
    """None: it is too long."""
    if (request.content_length or 0) > BODY_BYTES_MAX:
        return None
    body = bytearray()
    async for piece in request.content.iter_any():
        body += piece
        if len(body) > BODY_BYTES_MAX:
            return None
    return bytes(body)


def _response(answer: ServiceAnswer, request_id: str) -> web.Response:
    return web.Response(
        status=answer.status,
        body=answer.body,
        headers={
            **answer.headers,
            "Content-Type": answer.content_type,
            "x-amzn-RequestId": request_id,
        },
    )


def _problem(status: int, text: str) -> web.Response:
    """Of what is no request of AWS's: in no protocol of theirs. Whatever comes behind it on the
    connection is not looked at."""
    response = web.json_response({"message": text}, status=status)
    response.force_close()
    return response
