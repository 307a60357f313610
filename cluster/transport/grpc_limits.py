"""Bounds what clients take of a gRPC server: connections, messages under way, memory.

gRPC buffers a message up to the server's limit once a handler asks for it, in memory that Python
neither sees nor bounds: grpcio has no way to set ``grpc.resource_quota``. So clients' handlers of
all kinds are made to read their messages here, which knows how many are on their way. Until
somebody asks for it, a message gets no further than HTTP/2's window of 64 KB.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextvars import ContextVar
from dataclasses import dataclass, field
from ipaddress import ip_network
from typing import Any, NoReturn

import grpc

from cluster.access.calling import call
from cluster.access.denied import Denied
from cluster.access.signatures.refusals import THROTTLING
from cluster.settings import LimitsSettings
from cluster.transport import protobuf_slices
from cluster.transport.arrivals import Arrivals
from cluster.transport.expected import Network, networks
from cluster.transport.grpc_callers import OPEN_SERVICES, GrpcCallers
from cluster.transport.grpc_errors import refusal
from cluster.transport.large_work import LargeWork
from cluster.transport.memory import FAIR_BYTES, MemoryBudget
from cluster.transport.origin import address_of
from cluster.transport.restraint import Restraint

REQUEST_BYTES_MAX = 17 * 1024 * 1024
"""BatchWriteItem carries up to 16 MB; names and tags come on top."""

SLOW_S = 0.25
"""A message that needs longer to arrive counts as a slow one. Most are here at once."""

ARRIVING_MAX = 1024
"""The most messages under way at once, quick ones included."""

received_bytes: ContextVar[int | None] = ContextVar("received_bytes", default=None)
"""Of the message that a handler was called with. To ask the message takes as long as writing it."""


@dataclass(frozen=True, slots=True)
class GrpcLimits:
    """``large``: full names of the services whose requests may have ``REQUEST_BYTES_MAX``; others'
    have ``FAIR_BYTES``. ``callers``: None where nobody has to say who he is.
    """

    memory: MemoryBudget = field(default_factory=MemoryBudget)
    message_s: float = 60.0
    slow_max: int = 8
    connections_max: int = 1024
    idle_s: float = 300.0
    exempt: tuple[Network, ...] = (ip_network("127.0.0.0/8"), ip_network("::1/128"))
    large: Collection[str] = ()
    large_work: LargeWork = field(default_factory=LargeWork)
    callers: GrpcCallers | None = None
    restraint: Restraint = field(default_factory=Restraint)

    @classmethod
    def of(
        cls,
        settings: LimitsSettings,
        memory: MemoryBudget,
        large: Collection[str] = (),
        large_work: LargeWork | None = None,
        callers: GrpcCallers | None = None,
        restraint: Restraint | None = None,
    ) -> GrpcLimits:
        return cls(
            memory,
            settings.request_s,
            settings.grpc_slow_max,
            settings.grpc_connections_max,
            settings.grpc_idle_s,
            networks(settings.exempt_addresses),
            large,
            large_work or LargeWork(),
            callers,
            restraint or Restraint(settings),
        )


class _Arrival:
    __slots__ = ("cut_off", "limit")

    def __init__(self, limit: asyncio.Timeout) -> None:
        self.limit = limit
        self.cut_off = False


class _LimitReached(Exception):
    pass


class LimitsInterceptor(grpc.aio.ServerInterceptor):  # type: ignore[type-arg]
    """Reads the messages of all calls.

    On the wire a call that has one message is the same as one that streams, so every handler is
    registered as one that streams requests: such a one asks for its messages itself.
    """

    def __init__(self, limits: GrpcLimits) -> None:
        self._limits = limits
        self._large = tuple(f"/{service}/" for service in limits.large)
        self._slow: Arrivals[_Arrival] = Arrivals(limits.slow_max, limits.exempt)
        self.arriving = 0

    @property
    def slow_count(self) -> int:
        """The number of slow messages that are still on their way."""
        return len(self._slow)

    async def intercept_service(
        self,
        continuation: Callable[[Any], Awaitable[Any]],
        handler_call_details: Any,
    ) -> Any:
        handler = await continuation(handler_call_details)
        method: str = handler_call_details.method
        if handler is None:
            return handler
        bytes_max = REQUEST_BYTES_MAX if method.startswith(self._large) else FAIR_BYTES
        for_all = method.startswith(OPEN_SERVICES)
        signed = None if for_all or self._limits.callers is None else method
        paced = not for_all and self._limits.restraint.limits_requests
        return self._guarded(handler, bytes_max, signed, paced=paced)

    def _guarded(self, handler: Any, bytes_max: int, signed: str | None, *, paced: bool) -> Any:
        """``signed``: the method, if its calls have to be. ``paced``: they may be too many."""
        behaviour = _behaviour(handler)

        async def argument(messages: Any, context: Any) -> Any:
            """What the handler takes: its message, or an iterator of them."""
            body_hash = None if signed is None else await self._known(signed, context)
            if paced:
                await self._check_pace(context)
            if handler.request_streaming:
                return self._messages(handler, bytes_max, messages, context)
            data = await self._next(messages, bytes_max, context)
            if data is None:
                await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "the call has no message")
                raise AssertionError("abort raises")
            if body_hash is not None:
                await self._check_message(data, body_hash, signed or "", context)
            received_bytes.set(len(data))
            return await self._decoded(handler, data, context)

        async def answer(messages: Any, context: Any) -> Any:
            response = await behaviour(await argument(messages, context), context)
            return self._encoded(handler, response, context)

        async def answers(messages: Any, context: Any) -> None:
            await behaviour(await argument(messages, context), context)

        async def yielded(messages: Any, context: Any) -> AsyncIterator[Any]:
            async for response in behaviour(await argument(messages, context), context):
                if signed is not None:
                    await self._check_still(signed, context)
                yield response

        if not handler.response_streaming:
            return grpc.stream_unary_rpc_method_handler(answer)
        streams = yielded if inspect.isasyncgenfunction(behaviour) else answers
        serializer = handler.response_serializer
        return grpc.stream_stream_rpc_method_handler(streams, response_serializer=serializer)

    async def _known(self, method: str, context: Any) -> str | None:
        """The hash of the message, if that was signed. Aborts the call of who is not known."""
        callers = self._limits.callers
        assert callers is not None
        told = context.auth_context()
        try:
            return callers.verify(
                method,
                context.invocation_metadata(),
                address_of(context.peer()),
                secure=b"ssl" in told.get("transport_security_type", ()),
                certificate=next(iter(told.get("x509_pem_cert", ())), None),
            )
        except Denied as denied:
            return await self._deny(denied, method, context)

    async def _check_still(self, method: str, context: Any) -> None:
        """Aborts a call that goes on when who made it is not let in any more."""
        assert self._limits.callers is not None
        try:
            self._limits.callers.check_still()
        except Denied as denied:
            await self._deny(denied, method, context)

    async def _check_pace(self, context: Any) -> None:
        restraint, by = self._limits.restraint, call.get()
        if not restraint.admits(address_of(context.peer()), None if by is None else by.by):
            error, code = restraint.too_many(), grpc.StatusCode.RESOURCE_EXHAUSTED
            await self._abort(code, error.name, error.message, context)

    async def _check_message(self, data: bytes, claimed: str, method: str, context: Any) -> None:
        def check() -> None:
            GrpcCallers.check_message(data, claimed)

        try:
            if len(data) <= protobuf_slices.PIECE_BYTES:
                check()
            else:
                await self._limits.large_work.admitted()
                await self._limits.large_work.run(check)
        except Denied as denied:
            await self._deny(denied, method, context)

    async def _deny(self, denied: Denied, method: str, context: Any) -> NoReturn:
        if self._limits.callers is not None:
            metadata, address = context.invocation_metadata(), address_of(context.peer())
            self._limits.callers.refused(denied, method, metadata, address)
        throttled = denied.error_name == THROTTLING
        code = grpc.StatusCode.RESOURCE_EXHAUSTED if throttled else grpc.StatusCode.UNAUTHENTICATED
        await self._abort(code, denied.error_name, denied.message, context)

    async def _abort(
        self, code: grpc.StatusCode, name: str, message: str, context: Any
    ) -> NoReturn:
        await context.abort(code, message, trailing_metadata=refusal(code, name, message))
        raise AssertionError("abort raises")

    async def _messages(
        self, handler: Any, bytes_max: int, messages: Any, context: Any
    ) -> AsyncIterator[Any]:
        while (data := await self._next(messages, bytes_max, context)) is not None:
            yield await self._decoded(handler, data, context)

    async def _decoded(self, handler: Any, data: bytes, context: Any) -> Any:
        read = handler.request_deserializer
        try:
            kind = getattr(read, "__self__", None)  # of a message's FromString
            if len(data) <= protobuf_slices.PIECE_BYTES or kind is None:
                return read(data)
            await self._limits.large_work.admitted()
            return await self._limits.large_work.run(lambda: protobuf_slices.parse(kind, data))
        except Exception:
            await context.abort(
                grpc.StatusCode.INVALID_ARGUMENT,
                "the message cannot be read: it is not of this type",
            )

    def _encoded(self, handler: Any, response: Any, context: Any) -> bytes:
        """An answer is counted, and never refused: what it tells of has happened. A handler may
        give bytes: a large one that it wrote itself."""
        serialize = handler.response_serializer
        data: bytes = response if isinstance(response, bytes) else serialize(response)
        self._keep(len(data), context)
        return data

    async def _next(self, messages: Any, bytes_max: int, context: Any) -> bytes | None:
        """The next message, counted until the call ends; None: there is none. Aborts the call
        for one that is too large, takes too long or finds no room."""
        try:
            data = await self._arrived(messages, address_of(context.peer()))
            if data is None:
                return None
            if len(data) > bytes_max:
                raise _LimitReached(f"the message has {len(data)} bytes; the most is {bytes_max}")
            if not self._hold(len(data), context):
                raise _LimitReached("the node holds too many requests: try again")
        except _LimitReached as refused:
            code = grpc.StatusCode.RESOURCE_EXHAUSTED
            await self._abort(code, THROTTLING, str(refused), context)
        return data

    async def _arrived(self, messages: Any, address: str) -> bytes | None:
        if self.arriving >= ARRIVING_MAX:
            raise _LimitReached("too many messages are on their way: try again")
        loop = asyncio.get_running_loop()
        limit = asyncio.timeout(self._limits.message_s)
        arrival = _Arrival(limit)
        self.arriving += 1
        timer = loop.call_later(SLOW_S, self._is_slow, arrival, address)
        try:
            async with limit:
                data: bytes | None = await anext(messages, None)
                return data
        except TimeoutError:
            raise _LimitReached(
                "too many messages take long to arrive: try again"
                if arrival.cut_off
                else f"the message did not arrive within {self._limits.message_s:g} s"
            ) from None
        finally:
            timer.cancel()
            self._slow.gone(arrival)
            self.arriving -= 1

    def _is_slow(self, arrival: _Arrival, address: str) -> None:
        victim = self._slow.came(arrival, address)
        if victim is not None:
            victim.cut_off = True
            victim.limit.reschedule(asyncio.get_running_loop().time())

    def _hold(self, count: int, context: Any) -> bool:
        """Counts what is given back when the call ends, however that is."""
        memory = self._limits.memory
        if not memory.change(0, count):
            memory.change(count, 0)
            return False
        context.add_done_callback(lambda _: memory.change(count, 0))
        return True

    def _keep(self, count: int, context: Any) -> None:
        memory = self._limits.memory
        memory.change(0, count)
        context.add_done_callback(lambda _: memory.change(count, 0))


def _behaviour(handler: Any) -> Callable[..., Any]:
    found: Callable[..., Any] = {
        (False, False): handler.unary_unary,
        (True, False): handler.stream_unary,
        (False, True): handler.unary_stream,
        (True, True): handler.stream_stream,
    }[handler.request_streaming, handler.response_streaming]
    return found
