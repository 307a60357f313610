"""The port of members. Whoever shows no certificate of the cluster does not get past TLS; whoever
does is served as the one that it names: a node, or a discovery process, which follows the roster
and has no business with anything else."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from typing import Any

import grpc
import grpc.aio

from cluster.transport.addresses import join_host_port, not_bound, split_host_port
from cluster.transport.member_certificates import MemberCertificate, is_discovery, peer_name

RECEIVED_BYTES_MAX = 32 * 1024 * 1024
"""Of one message. The largest is a forwarded write: packed, a client's largest request has up to
seven bytes for four."""

SENT_BYTES_MAX = 64 * 1024 * 1024
"""A reply has up to 16 MB, a frame of the stream several images."""

STREAMS_MAX = 2048
"""Calls under way on a connection. A node forwards its writes over one, as many as it may have in
work, and its links come on top."""

CONNECTIONS_MAX = 512
"""Those of strangers included, who have ``HANDSHAKE_MS``. Members have two each; a dozen of them
and some discovery processes need no more than 50."""

HANDSHAKE_MS = 2_000
METADATA_BYTES_MAX = 16 * 1024

STOP_S = 1.0
"""For calls that have one answer. Streams end at once."""

LEAVE_S = 0.25
"""After the last of them, for answers on their way: a connection that is closed while it has bytes
that nobody has read ends with a reset, which discards what the other side has not read either."""

_OPTIONS: list[tuple[str, Any]] = [
    ("grpc.max_receive_message_length", RECEIVED_BYTES_MAX),
    ("grpc.max_send_message_length", SENT_BYTES_MAX),
    ("grpc.max_concurrent_streams", STREAMS_MAX),
    ("grpc.max_allowed_incoming_connections", CONNECTIONS_MAX),
    ("grpc.max_metadata_size", METADATA_BYTES_MAX),
    ("grpc.absolute_max_metadata_size", METADATA_BYTES_MAX),
    ("grpc.server_handshake_timeout_ms", HANDSHAKE_MS),
    # Else a second server binds a port in use without an error, and gets half of the calls.
    ("grpc.so_reuseport", 0),
    # A peer whose machine vanished sends no FIN; streams of it must end within seconds.
    ("grpc.keepalive_time_ms", 2_000),
    ("grpc.keepalive_timeout_ms", 2_000),
    ("grpc.http2.min_ping_interval_without_data_ms", 500),
    ("grpc.keepalive_permit_without_calls", 1),
]

Register = Callable[[Any], None]
"""Adds one service to a ``grpc.aio`` server."""


class MembersServer:
    """What is added before the start is served."""

    def __init__(
        self, certificate: MemberCertificate, bind: str, feeds: Collection[str] = ()
    ) -> None:
        """``bind``: ``host:port``; port 0: any free one. ``feeds``: full names of the services that
        discovery processes may call. ConfigError for another form."""
        split_host_port(bind)
        self._certificate = certificate
        self._bind = bind
        self._admission = _Admission(feeds)
        self._registers: list[Register] = []
        self._before_stop: list[Callable[[], Awaitable[None]]] = []
        self._server: grpc.aio.Server | None = None

    def add(
        self, register: Register, before_stop: Callable[[], Awaitable[None]] | None = None
    ) -> None:
        """``before_stop``: what is to end first on streams that have answers, within a bound of its
        own."""
        self._registers.append(register)
        if before_stop is not None:
            self._before_stop.append(before_stop)

    def add_handler(self, handler: grpc.GenericRpcHandler) -> None:  # type: ignore[type-arg]
        self.add(lambda server: server.add_generic_rpc_handlers((handler,)))

    async def start(self) -> str:
        """Listens, and returns the bound address. ConfigError if it cannot."""
        server = grpc.aio.server(interceptors=[self._admission], options=_OPTIONS)
        for register in self._registers:
            register(server)
        try:
            bound = server.add_secure_port(self._bind, self._certificate.server_credentials())
        except RuntimeError:
            bound = 0
        if not bound:
            raise not_bound("PACELINE_MEMBERS_BIND", self._bind)
        await server.start()
        self._server = server
        return join_host_port(split_host_port(self._bind)[0], bound)

    async def stop(self) -> None:
        """Lets calls that have one answer end within ``STOP_S``, then ends all there is."""
        if self._server is None:
            return
        server, self._server = self._server, None
        for ended in self._before_stop:
            await ended()
        stopping = asyncio.ensure_future(server.stop(STOP_S))  # takes no more calls
        idle = asyncio.ensure_future(self._admission.idle.wait())
        try:
            await asyncio.wait({idle, stopping}, return_when=asyncio.FIRST_COMPLETED)
            await asyncio.wait({stopping}, timeout=LEAVE_S)
        finally:
            idle.cancel()
            # gRPC itself ends what is left, and so the graceful stop with it.
            await server.stop(None)
            await stopping


class _Admission(grpc.aio.ServerInterceptor):  # type: ignore[type-arg]
    """Refuses with PERMISSION_DENIED what the caller's certificate does not allow it."""

    def __init__(self, feeds: Collection[str]) -> None:
        self._feeds = tuple(f"/{feed}/" for feed in feeds)
        self._under_way = 0
        self.idle = asyncio.Event()
        """Set while no call with one answer is under way."""
        self.idle.set()

    async def intercept_service(
        self,
        continuation: Callable[[Any], Awaitable[Any]],
        handler_call_details: Any,
    ) -> Any:
        handler = await continuation(handler_call_details)
        if handler is None:
            return None
        is_feed = handler_call_details.method.startswith(self._feeds)
        return self._guarded(handler, is_feed)

    def _guarded(self, handler: Any, is_feed: bool) -> Any:
        kind = _kind(handler)
        behaviour: Callable[..., Any] = getattr(handler, kind)

        async def admit(context: Any) -> None:
            caller = context.auth_context()
            if not (is_feed and is_discovery(caller)) and peer_name(caller) is None:
                await context.abort(
                    grpc.StatusCode.PERMISSION_DENIED, "the caller's certificate is no node's"
                )

        async def answer(request: Any, context: Any) -> Any:
            await admit(context)
            if handler.request_streaming or handler.response_streaming:
                return await behaviour(request, context)
            self._count(1)
            # Not when the handler returns: its answer has still to be sent then.
            context.add_done_callback(lambda _: self._count(-1))
            return await behaviour(request, context)

        async def yielded(request: Any, context: Any) -> AsyncIterator[Any]:
            await admit(context)
            async for response in behaviour(request, context):
                yield response

        made: Any = getattr(grpc, f"{kind}_rpc_method_handler")
        return made(
            yielded if inspect.isasyncgenfunction(behaviour) else answer,
            request_deserializer=handler.request_deserializer,
            response_serializer=handler.response_serializer,
        )

    def _count(self, change: int) -> None:
        self._under_way += change
        if self._under_way:
            self.idle.clear()
        else:
            self.idle.set()


def _kind(handler: Any) -> str:
    streams = (handler.request_streaming, handler.response_streaming)
    return "_".join("stream" if streaming else "unary" for streaming in streams)
