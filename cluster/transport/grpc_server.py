"""gRPC for clients: the servers of the data API and of the roster."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from typing import Any

import grpc
from grpc_health.v1 import health as grpc_health
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from cluster.transport.addresses import join_host_port, not_bound, split_host_port
from cluster.transport.grpc_limits import REQUEST_BYTES_MAX, GrpcLimits, LimitsInterceptor
from cluster.transport.memory import FAIR_BYTES

MESSAGE_BYTES_MAX = 64 * 1024 * 1024
"""The largest message that a server sends: a reply has up to 16 MB."""

EXPLAINED_BYTES = 1024 * 1024
"""Messages that are too large by no more than this are refused by us, with the reason in the form
that the service's clients know; larger ones by gRPC, by their length alone."""

STREAMS_MAX = 2048
"""Calls under way on a connection."""

METADATA_BYTES_MAX = 16 * 1024
"""The most metadata of a call, both as advised to callers and as enforced."""

HANDSHAKE_MS = 5_000
"""The time for TLS and the beginning of HTTP/2."""

SERVER_OPTIONS: tuple[tuple[str, int], ...] = (
    # A client whose machine vanished sends no FIN.
    ("grpc.keepalive_time_ms", 5_000),
    ("grpc.keepalive_timeout_ms", 2_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
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

Register = Callable[[Any], None]
"""Adds one service to a ``grpc.aio`` server."""


class GrpcServer:
    """One ``grpc.aio`` server with health checking and, if it ``reflects``, reflection.

    ``register``: one function per service. ``names``: the services' full names. Health answers
    NOT_SERVING until ``set_serving(True)``.
    """

    def __init__(
        self,
        register: Sequence[Register],
        *,
        names: Collection[str] = (),
        setting: str = "PACELINE_GRPC_BIND",
        limits: GrpcLimits | None = None,
        reflects: bool = True,
    ) -> None:
        self._reflects = reflects
        self._register = tuple(register)
        self._names = tuple(names)
        self._setting = setting
        self._limits = limits or GrpcLimits()
        self._limiter = LimitsInterceptor(self._limits)
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
        server = grpc.aio.server(interceptors=[self._limiter], options=self._options())
        for register in self._register:
            register(server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        health_name = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name
        if self._reflects:
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
            raise not_bound(self._setting, bind)
        await self.set_serving(False)
        await server.start()
        self._server = server
        return join_host_port(host, bound if port == 0 else port)

    def _options(self) -> list[tuple[str, int]]:
        limits = self._limits
        bytes_max = REQUEST_BYTES_MAX if limits.large else FAIR_BYTES
        return [
            *SERVER_OPTIONS,
            ("grpc.max_receive_message_length", bytes_max + EXPLAINED_BYTES),
            # Calls under way are finished, new ones go elsewhere.
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
