"""gRPC between the programs: server, channels, and the proof of knowing the cluster secret."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Any

import grpc
from grpc_health.v1 import health as grpc_health
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from cluster.transport.addresses import dialled, join_host_port, split_host_port
from cluster.transport.grpc_limits import REQUEST_BYTES_MAX, GrpcLimits, LimitsInterceptor
from cluster.transport.memory import FAIR_BYTES
from paceline.errors import ConfigError

TOKEN_KEY = "paceline-cluster-token"
_TOKEN_TEXT = b"paceline replication v1"

MESSAGE_BYTES_MAX = 64 * 1024 * 1024
"""The largest message that a server sends: a reply has up to 16 MB, a frame of the stream several
images."""

FORWARDED_BYTES_MAX = 32 * 1024 * 1024
"""What a server takes of other nodes: a forwarded write. Packed, a client's largest request has up
to seven bytes for four."""

STREAMS_MAX = 2048
"""Calls under way on a connection. A node forwards its writes over one, as many as it may have in
work, and its links come on top."""

METADATA_BYTES_MAX = 16 * 1024
"""The most metadata of a call, both as advised to callers and as enforced."""

HANDSHAKE_MS = 5_000
"""The time for TLS and the beginning of HTTP/2."""

_KEEPALIVE = (
    # A peer whose machine vanished sends no FIN; streams over it must end within seconds.
    ("grpc.keepalive_time_ms", 5_000),
    ("grpc.keepalive_timeout_ms", 2_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
)
SERVER_OPTIONS: tuple[tuple[str, int], ...] = (
    *_KEEPALIVE,
    ("grpc.http2.min_ping_interval_without_data_ms", 1_000),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 1_000),
    ("grpc.max_send_message_length", MESSAGE_BYTES_MAX),
    ("grpc.max_concurrent_streams", STREAMS_MAX),
    ("grpc.max_metadata_size", METADATA_BYTES_MAX),
    ("grpc.absolute_max_metadata_size", METADATA_BYTES_MAX),
    # Else a call's window grows to 4 MB before anybody has asked for its message.
    ("grpc.http2.bdp_probe", 0),
    # Else who connects and says nothing, or no TLS, may stay for two minutes.
    ("grpc.server_handshake_timeout_ms", HANDSHAKE_MS),
    # Else a second server binds a port in use without an error, and gets half of the calls.
    ("grpc.so_reuseport", 0),
)
CHANNEL_OPTIONS: tuple[tuple[str, int], ...] = (
    *_KEEPALIVE,
    ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
    ("grpc.max_send_message_length", MESSAGE_BYTES_MAX),
    # gRPC shares connections, and their back-off, between channels to the same address; a new
    # channel here means a new attempt.
    ("grpc.use_local_subchannel_pool", 1),
    # Repeats are decided by those who know whether a call may be repeated.
    ("grpc.enable_retries", 0),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    # Proxy settings in the environment are meant for the way out, not between nodes.
    ("grpc.enable_http_proxy", 0),
)

Register = Callable[[Any], None]
"""Adds one service to a ``grpc.aio`` server."""


def cluster_token(secret: str) -> str:
    """What a caller shows as proof; the secret itself is never sent."""
    return hmac.new(secret.encode(), _TOKEN_TEXT, hashlib.sha256).hexdigest()


class TokenServerInterceptor(grpc.aio.ServerInterceptor):  # type: ignore[type-arg]
    """Refuses calls to ``services`` (full names) that lack the cluster token.

    Refusal is UNAUTHENTICATED, runs no handler and receives no message. With an empty secret all
    of them are refused: a node without one has no others whose calls it could take.
    """

    def __init__(self, secret: str, services: Collection[str]) -> None:
        self._token = cluster_token(secret).encode() if secret else None
        self._prefixes = tuple(f"/{service}/" for service in services)

    async def intercept_service(
        self,
        continuation: Callable[[Any], Awaitable[Any]],
        handler_call_details: Any,
    ) -> Any:
        if not handler_call_details.method.startswith(self._prefixes):
            return await continuation(handler_call_details)
        if self._token is None:
            return _refusal(await continuation(handler_call_details), _NO_SECRET)
        for key, value in handler_call_details.invocation_metadata or ():
            if key == TOKEN_KEY:
                shown = value if isinstance(value, bytes) else value.encode()
                if hmac.compare_digest(shown, self._token):
                    return await continuation(handler_call_details)
        return _refusal(await continuation(handler_call_details), _NO_TOKEN)


_NO_SECRET = (
    "this node has no cluster secret, so it is alone and takes no calls of other nodes: set "
    "PACELINE_SECRET"
)
_NO_TOKEN = "the cluster token is missing or wrong: all nodes need the same cluster secret"


def _refusal(handler: Any, why: str) -> Any:
    """A handler that looks like the one refused to its caller, and asks for no message: whoever
    lacks the token shall not make the node receive any."""
    if handler is None:
        return None

    async def refuse(messages: Any, context: Any) -> None:
        await context.abort(grpc.StatusCode.UNAUTHENTICATED, why)

    if handler.response_streaming:
        return grpc.stream_stream_rpc_method_handler(refuse)
    return grpc.stream_unary_rpc_method_handler(refuse)


class _TokenClientInterceptor:
    def __init__(self, token: str) -> None:
        self._token = token

    async def _intercept(self, continuation: Any, details: Any, request: Any) -> Any:
        metadata = grpc.aio.Metadata(*(details.metadata or ()))
        metadata.add(TOKEN_KEY, self._token)
        return await continuation(details._replace(metadata=metadata), request)

    # gRPC's stubs give each kind of call its own types; the token does not care.
    call: Any = _intercept


class _UnaryUnary(_TokenClientInterceptor, grpc.aio.UnaryUnaryClientInterceptor):  # type: ignore[type-arg]
    intercept_unary_unary = _TokenClientInterceptor.call


class _UnaryStream(_TokenClientInterceptor, grpc.aio.UnaryStreamClientInterceptor):  # type: ignore[type-arg]
    intercept_unary_stream = _TokenClientInterceptor.call


class ChannelFactory:
    """Opens channels to peers, by the address that they advertise.

    ``dial_map`` redirects a peer to a proxy. Calls carry the cluster token if there is a secret;
    those that stream requests have to be given ``metadata`` for it: an interceptor makes gRPC feed
    them through a task that it forgets when the peer dies. Whoever opens a channel closes it.
    """

    def __init__(self, dial_map: Mapping[str, str] | None = None, secret: str = "") -> None:
        self._dial_map = dict(dial_map or {})
        self._interceptors: list[Any] = []
        self.metadata = grpc.aio.Metadata()
        if secret:
            token = cluster_token(secret)
            self._interceptors = [kind(token) for kind in (_UnaryUnary, _UnaryStream)]
            self.metadata.add(TOKEN_KEY, token)

    def open(self, address: str) -> grpc.aio.Channel:
        return grpc.aio.insecure_channel(
            dialled(self._dial_map, address),
            options=list(CHANNEL_OPTIONS),
            interceptors=self._interceptors or None,
        )


class GrpcServer:
    """One ``grpc.aio`` server with health checking and reflection.

    ``register``: one function per service. ``protected``: full names of services that demand the
    cluster token. Health answers NOT_SERVING until ``set_serving(True)``.
    """

    def __init__(
        self,
        register: Sequence[Register],
        *,
        secret: str = "",
        protected: Collection[str] = (),
        names: Collection[str] = (),
        setting: str = "PACELINE_GRPC_BIND",
        limits: GrpcLimits | None = None,
    ) -> None:
        self._register = tuple(register)
        self._secret = secret
        self._protected = tuple(protected)
        self._names = tuple(names)
        self._setting = setting
        self._limits = limits or GrpcLimits()
        self._limiter = LimitsInterceptor(self._limits, self._protected)
        self._server: Any = None
        # The type stubs know only the synchronous servicer.
        self._health: Any = grpc_health.aio.HealthServicer()  # type: ignore[attr-defined]

    @property
    def slow_count(self) -> int:
        """The number of clients' slow messages that are still on their way."""
        return self._limiter.slow_count

    async def start(self, bind: str, tls: grpc.ServerCredentials | None = None) -> str:
        """Listens on ``host:port`` (port 0: any free one) and returns the bound address."""
        host, port = split_host_port(bind)
        interceptors = [
            TokenServerInterceptor(self._secret, self._protected),
            self._limiter,
        ]
        server = grpc.aio.server(interceptors=interceptors, options=self._options())
        for register in self._register:
            register(server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        health_name = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name
        reflection.enable_server_reflection(
            (*self._names, health_name, reflection.SERVICE_NAME), server
        )
        try:
            if tls is None:
                bound = server.add_insecure_port(bind)
            else:
                bound = server.add_secure_port(bind, tls)
        except RuntimeError:
            bound = 0
        if bound == 0:
            raise ConfigError(
                f"cannot listen on {bind} ({self._setting}): the address is in use or not of this "
                f"machine; stop the program that uses it or change {self._setting}"
            )
        await self.set_serving(False)
        await server.start()
        self._server = server
        return join_host_port(host, bound if port == 0 else port)

    def _options(self) -> list[tuple[str, int]]:
        limits = self._limits
        of_clients = REQUEST_BYTES_MAX if limits.large else FAIR_BYTES
        return [
            *SERVER_OPTIONS,
            (
                "grpc.max_receive_message_length",
                FORWARDED_BYTES_MAX if self._protected and self._secret else of_clients,
            ),
            # Nodes have a stream on theirs. Calls under way are finished, new ones go elsewhere.
            ("grpc.max_connection_idle_ms", int(limits.idle_s * 1000)),
            ("grpc.max_allowed_incoming_connections", limits.connections_max),
        ]

    async def set_serving(self, serving: bool) -> None:
        status = (
            health_pb2.HealthCheckResponse.SERVING
            if serving
            else health_pb2.HealthCheckResponse.NOT_SERVING
        )
        for name in ("", *self._names):
            await self._health.set(name, status)

    async def stop(self, grace_s: float = 1.0) -> None:
        """Refuses new calls at once; those under way get ``grace_s``, then are cancelled."""
        if self._server is None:
            return
        server, self._server = self._server, None
        await self._health.enter_graceful_shutdown()
        # grpc itself cancels what is left after the grace, so this ends soon after it.
        async with asyncio.timeout(grace_s + 5.0):
            await server.stop(grace_s)
