"""A gRPC server against clients that want too much of it: real sockets, real HTTP/2."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import grpc
import pytest
from botocore.credentials import Credentials

from cluster.access.principals import AccessKey, KnownPrincipals, Principal
from cluster.access.signatures.verification import Rules
from cluster.settings import LimitsSettings
from cluster.transport import grpc_limits
from cluster.transport.grpc_callers import GrpcCallers
from cluster.transport.grpc_errors import ERROR_KEY, STATUS_KEY
from cluster.transport.grpc_limits import REQUEST_BYTES_MAX, GrpcLimits
from cluster.transport.grpc_server import (
    EXPLAINED_BYTES,
    METADATA_BYTES_MAX,
    GrpcServer,
)
from cluster.transport.memory import FAIR_BYTES, MemoryBudget
from cluster.transport.restraint import Restraint
from paceline.auth.grpc_calls import CallSigner
from paceline.v1 import data_pb2 as pb
from tests.support.grpc_channels import open_channel
from tests.support.raw_http2 import RawHttp2
from tests.support.waiting import until

DEADLINE_S = 10.0
LARGE, SMALL = "test.Large", "test.Small"
EXHAUSTED = grpc.StatusCode.RESOURCE_EXHAUSTED


class Service:
    def __init__(self) -> None:
        self.called = 0
        self.held: list[int] = []
        self.memory = MemoryBudget()
        self.go_on = asyncio.Event()
        self.server: GrpcServer

    async def echo(self, request: bytes, context: Any) -> bytes:
        self.called += 1
        self.held.append(self.memory.held_bytes)
        return request

    async def fail(self, request: bytes, context: Any) -> bytes:
        self.called += 1
        raise ValueError("of the test")

    async def wait(self, request: bytes, context: Any) -> bytes:
        self.called += 1
        await self.go_on.wait()
        return b""

    async def both(self, requests: Any, context: Any) -> AsyncIterator[bytes]:
        async for request in requests:
            yield request

    async def written(self, request: bytes, context: Any) -> None:
        await context.write(request)

    def add(self, server: Any) -> None:
        handlers = {
            "Echo": grpc.unary_unary_rpc_method_handler(self.echo, _same, _same),
            "Fail": grpc.unary_unary_rpc_method_handler(self.fail, _same, _same),
            "Wait": grpc.unary_unary_rpc_method_handler(self.wait, _same, _same),
            "Both": grpc.stream_stream_rpc_method_handler(self.both, _same, _same),
            "Written": grpc.unary_stream_rpc_method_handler(self.written, _same, _same),
        }
        server.add_generic_rpc_handlers(
            [grpc.method_handlers_generic_handler(name, handlers) for name in (LARGE, SMALL)]
        )


def _same(data: bytes) -> bytes:
    return data


@asynccontextmanager
async def serving(service: Service, **limits: Any) -> AsyncIterator[str]:
    server = GrpcServer(
        [service.add],
        limits=GrpcLimits(
            memory=service.memory,
            large=[LARGE],
            **limits,
        ),
    )
    service.server = server
    address = await server.start("127.0.0.1:0")
    try:
        yield address
    finally:
        await server.stop(0.0)


@asynccontextmanager
async def calling(address: str) -> AsyncIterator[Any]:
    async with open_channel(address) as channel:

        def call(service: str, method: str) -> Any:
            return channel.unary_unary(f"/{service}/{method}")

        yield call


Connect = Callable[..., Awaitable[RawHttp2]]


@pytest.fixture
async def connect() -> AsyncIterator[Connect]:
    """``RawHttp2.connect``; what a test opened and did not close is closed, however it ends."""
    opened: list[RawHttp2] = []

    async def one(address: str, **more: int) -> RawHttp2:
        opened.append(await RawHttp2.connect(address, **more))
        return opened[-1]

    yield one
    for peer in opened:
        await peer.close()


async def refusal(call: Any) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value


async def test_all_kinds_of_calls_work_as_without_limits() -> None:
    service = Service()
    async with (
        serving(service) as address,
        open_channel(address) as channel,
        calling(address) as call,
    ):
        assert await call(SMALL, "Echo")(b"a", timeout=DEADLINE_S) == b"a"
        written = channel.unary_stream(f"/{SMALL}/Written")(b"b", timeout=DEADLINE_S)
        assert [response async for response in written] == [b"b"]
        both = channel.stream_stream(f"/{SMALL}/Both")(iter([b"c", b"d"]), timeout=DEADLINE_S)
        assert [response async for response in both] == [b"c", b"d"]
        await until(lambda: service.memory.held_bytes == 0)


@pytest.mark.parametrize(
    ("service_name", "bytes_max"), [(SMALL, FAIR_BYTES), (LARGE, REQUEST_BYTES_MAX)]
)
async def test_a_message_beyond_its_methods_limit_is_refused(
    service_name: str, bytes_max: int
) -> None:
    service = Service()
    async with serving(service) as address, calling(address) as call:
        echo = call(service_name, "Echo")
        error = await refusal(echo(bytes(bytes_max + 1), timeout=DEADLINE_S))
        assert error.code() == EXHAUSTED
        assert f"the most is {bytes_max}" in (error.details() or "")
        told = pb.Error.FromString(dict(error.trailing_metadata())[ERROR_KEY])
        assert told.message == error.details()
        assert told.outcome == pb.REQUEST_OUTCOME_NOTHING_DONE
        assert told.code.encode() in dict(error.trailing_metadata())[STATUS_KEY]
        assert service.called == 0
        assert len(await echo(bytes(bytes_max), timeout=DEADLINE_S)) == bytes_max
        await until(lambda: service.memory.held_bytes == 0)


async def test_a_message_beyond_the_servers_limit_is_refused_by_its_length_alone(
    connect: Connect,
) -> None:
    service = Service()
    async with serving(service) as address:
        peer = await connect(address)
        await peer.call(f"/{LARGE}/Echo", REQUEST_BYTES_MAX + EXPLAINED_BYTES + 1)
        assert await peer.status() == str(EXHAUSTED.value[0])
        assert service.called == 0


async def test_a_message_that_never_ends_has_a_deadline(connect: Connect) -> None:
    service = Service()
    async with serving(service, message_s=0.1) as address, calling(address) as call:
        peer = await connect(address)
        await peer.call(f"/{LARGE}/Echo", REQUEST_BYTES_MAX, body=b"a")
        assert await peer.status() == str(EXHAUSTED.value[0])
        assert service.called == 0
        assert await call(LARGE, "Echo")(b"b", timeout=DEADLINE_S) == b"b"


async def test_the_oldest_of_too_many_slow_messages_gives_way(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grpc_limits, "SLOW_S", 0.02)
    service = Service()
    async with serving(service, slow_max=2) as address, calling(address) as call:
        peers = [await connect(address) for _ in range(3)]
        for slow, peer in enumerate(peers[:2], 1):
            await peer.call(f"/{LARGE}/Echo", REQUEST_BYTES_MAX, body=b"a")
            await until(lambda slow=slow: service.server.slow_count == slow)  # type: ignore[misc]
        async with asyncio.timeout(DEADLINE_S):
            await peers[2].call(f"/{LARGE}/Echo", REQUEST_BYTES_MAX, body=b"a")
            assert await peers[0].status() == str(EXHAUSTED.value[0])
        assert service.server.slow_count == 2
        # Those that are whole need no place.
        assert await call(LARGE, "Echo")(b"b", timeout=DEADLINE_S) == b"b"


async def test_too_many_messages_on_their_way_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grpc_limits, "ARRIVING_MAX", 0)
    service = Service()
    async with serving(service) as address, calling(address) as call:
        assert (await refusal(call(LARGE, "Echo")(b"a", timeout=DEADLINE_S))).code() == EXHAUSTED
        assert service.called == 0


async def test_requests_count_to_the_budget_and_give_it_back() -> None:
    service = Service()
    service.memory.bytes_max = 1_000_000
    async with serving(service) as address, calling(address) as call:
        waiting = call(LARGE, "Wait")(bytes(900_000), timeout=DEADLINE_S)
        await until(lambda: service.called == 1)
        assert service.memory.held_bytes == 900_000
        error = await refusal(call(LARGE, "Echo")(bytes(200_000), timeout=DEADLINE_S))
        assert error.code() == EXHAUSTED
        assert "try again" in (error.details() or "")
        assert service.called == 1
        # Ordinary requests go on.
        assert await call(LARGE, "Echo")(bytes(1000), timeout=DEADLINE_S) == bytes(1000)
        waiting.cancel()
        await until(lambda: service.memory.held_bytes == 0)
        failed = await refusal(call(LARGE, "Fail")(bytes(500_000), timeout=DEADLINE_S))
        assert failed.code() == grpc.StatusCode.UNKNOWN
        await until(lambda: service.memory.held_bytes == 0)


async def test_an_answer_counts_until_the_call_ends(connect: Connect) -> None:
    service = Service()
    async with serving(service) as address:
        peer = await connect(address, window=0)
        await peer.call(f"/{LARGE}/Echo", 100_000, body=bytes(60_000))
        await peer.send(bytes(40_000), end=True)
        await until(lambda: service.memory.held_bytes == 200_000)
        await peer.close()
        await until(lambda: service.memory.held_bytes == 0)


async def test_an_idle_connection_is_closed_and_one_with_a_stream_is_not(connect: Connect) -> None:
    service = Service()
    async with (
        serving(service, idle_s=0.3) as address,
        open_channel(address) as channel,
    ):
        stream = channel.stream_stream(f"/{SMALL}/Both")()
        await stream.write(b"a")
        assert await stream.read() == b"a"
        idle = await connect(address)
        async with asyncio.timeout(DEADLINE_S):
            await idle.closed.wait()
        await stream.write(b"b")
        assert await stream.read() == b"b"
        stream.cancel()
        await idle.close()


async def test_connections_beyond_the_limit_are_closed(connect: Connect) -> None:
    service = Service()
    async with serving(service, connections_max=2) as address:
        peers = [await connect(address) for _ in range(2)]
        for peer in peers:
            await peer.settings.wait()
        third = await connect(address)
        async with asyncio.timeout(DEADLINE_S):
            await third.closed.wait()
        assert not third.settings.is_set()
        assert not any(peer.closed.is_set() for peer in peers)


async def test_metadata_beyond_its_limit_is_refused() -> None:
    service = Service()
    async with serving(service) as address, calling(address) as call:
        many = (("much", "x" * (METADATA_BYTES_MAX + 1)),)
        error = await refusal(call(LARGE, "Echo")(b"a", metadata=many, timeout=DEADLINE_S))
        assert error.code() == EXHAUSTED
        assert service.called == 0


KEY = AccessKey("PLAK0000000000000001", "s" * 40, "ann")
KNOWN = KnownPrincipals((Principal("ann", "arn:ann"),), (KEY,))


def metadata_by(key: AccessKey, method: str, message: bytes) -> Any:
    signer = CallSigner(lambda: Credentials(key.id, key.secret), "eu-west-1")
    return signer.metadata(method, message, datetime.now(UTC))


async def test_who_guesses_is_kept_out_and_known_keys_are_not() -> None:
    service = Service()
    restraint = Restraint(LimitsSettings(exempt_addresses=[], wrong_signatures_per_minute=3))
    callers = GrpcCallers(KNOWN, Rules("eu-west-1"), restraint=restraint)
    method = f"/{SMALL}/Echo"
    good, wrong, new = (
        metadata_by(replace(KEY, **change), method, b"x")
        for change in ({}, {"secret": "w"}, {"id": "PLAK0000000000000002"})
    )
    async with (
        serving(service, callers=callers, restraint=restraint) as address,
        calling(address) as call,
    ):
        echo = call(SMALL, "Echo")
        assert await echo(b"x", metadata=good) == b"x"
        for _ in range(3):
            error = await refusal(echo(b"x", metadata=wrong))
            assert error.code() is grpc.StatusCode.UNAUTHENTICATED
        error = await refusal(echo(b"x", metadata=new))
        assert error.code() is EXHAUSTED
        assert "No other key is accepted from there" in str(error.details())
        assert await echo(b"x", metadata=good) == b"x"
    assert service.called == 2


async def test_too_many_calls_are_throttled() -> None:
    service, now = Service(), [0.0]
    restraint = Restraint(
        LimitsSettings(exempt_addresses=[], address_requests_per_s=2), lambda: now[0]
    )
    async with serving(service, restraint=restraint) as address, calling(address) as call:
        echo = call(SMALL, "Echo")
        for _ in range(2):
            assert await echo(b"x") == b"x"
        error = await refusal(echo(b"x"))
        assert error.code() is EXHAUSTED
        assert error.details() == "Rate of requests exceeds the allowed throughput."
        assert service.called == 2
        health = call("grpc.health.v1.Health", "Check")
        for _ in range(5):
            await health(b"")
        now[0] = 0.51
        assert await echo(b"x") == b"x"


@pytest.mark.parametrize("reflects", [True, False])
async def test_reflection_is_there_unless_it_is_switched_off(reflects: bool) -> None:
    server = GrpcServer([Service().add], names=[SMALL], reflects=reflects)
    address = await server.start("127.0.0.1:0")
    try:
        async with open_channel(address) as channel:
            asked = channel.stream_stream(
                "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
            )(iter([b"\x3a\x00"]))  # ServerReflectionRequest(list_services="")
            if reflects:
                assert [SMALL.encode() in answer async for answer in asked] == [True]
            else:
                with pytest.raises(grpc.aio.AioRpcError) as refused:
                    await asked.read()
                assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED
            assert await channel.unary_unary("/grpc.health.v1.Health/Check")(b"")
    finally:
        await server.stop(0.0)
