"""Connections that have to show who calls: nothing is answered, hits included, before they do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from cluster.access.audit import AuditEvent
from cluster.access.counting import Refusals
from cluster.access.principals import AccessKey, KnownPrincipals, Principal
from cluster.access.signatures import refusals
from cluster.access.signatures.verification import Rules, Verified
from cluster.settings import LimitsSettings, Listener
from cluster.transport.client_server import Shared
from cluster.transport.dax_callers import SIGNATURES_MAX, DaxCallers
from cluster.transport.dax_interface import ConnectionInfo
from cluster.transport.dax_protocol import UNKNOWN_BYTES_MAX
from cluster.transport.dax_server import DaxServer
from cluster.transport.expected import ExpectedLimits
from cluster.transport.restraint import Restraint
from paceline.dax.cbor import Reader
from paceline.dax.connection import ClientConnection
from paceline.dax.errors import AUTHENTICATION, CODES, Codes, decode_error
from paceline.dax.request_types import GetItem, PutItem, Request
from paceline.dax.requests import encode_request
from paceline.errors import DynamoDBError

DEADLINE_S = 10.0
REGION = "eu-west-1"
ANN = AccessKey("PLAK0000000000000001", "s" * 40, "ann")
BOB = AccessKey("PLAK0000000000000002", "t" * 40, "bob")
HIT = encode_request(GetItem("t", b"hit"))
MISS = encode_request(GetItem("t", b"miss"))
PUT = encode_request(PutItem("t", b"key", b"\x01"))
BEGIN = datetime(2026, 1, 31, 12, tzinfo=UTC)


class Handler:
    def __init__(self) -> None:
        self.callers: list[str] = []

    def fast(self, data: bytes, by: Verified | None = None) -> bytes | None:
        return b"fast" if data == HIT else None

    async def handle(self, request: Request, peer: ConnectionInfo) -> bytes:
        assert peer.caller is not None
        assert peer.caller.verified is not None
        self.callers.append(peer.caller.verified.principal.name)
        return b"slow"


class Known:
    """Principals that a test changes."""

    def __init__(self) -> None:
        self.outdated = False
        self.set(ANN, BOB)

    def set(self, *keys: AccessKey) -> None:
        before = getattr(self, "_known", None)
        principals = tuple(Principal(key.principal, f"arn:{key.principal}") for key in keys)
        self._known = KnownPrincipals(
            principals, keys, 1 if before is None else before.version() + 1
        )

    def version(self) -> int:
        return self._known.version()

    def key(self, access_key_id: str, token: str | None = None) -> AccessKey | None:
        if self.outdated:
            raise refusals.outdated(30.0)
        return self._known.key(access_key_id)

    def principal(self, name: str) -> Principal | None:
        return self._known.principal(name)

    def calling(self, name: str) -> Principal | None:
        return self._known.calling(name)


class World:
    def __init__(self, shared: Shared | None = None, restraint: Restraint | None = None) -> None:
        self.now = BEGIN
        self.handler = Handler()
        self.known = Known()
        self.told: list[AuditEvent] = []
        refusals = Refusals(self.told.append)
        callers = DaxCallers(self.known, Rules(REGION), self._time, refusals, restraint)
        self.server = DaxServer(self.handler, connections_max=50, callers=callers, shared=shared)
        self._writers: list[asyncio.StreamWriter] = []

    def _time(self) -> float:
        return self.now.timestamp()

    async def start(self) -> None:
        await self.server.start([Listener(bind="127.0.0.1:0")])

    async def connect(self) -> Client:
        host, port = next(iter(self.server.addresses.values()))
        reader, writer = await asyncio.open_connection(host, port)
        self._writers.append(writer)
        writer.write(ClientConnection().preamble("DaxPythonClient-2.1.0", b"session"))
        return Client(self, reader, writer)

    async def close(self) -> None:
        for writer in self._writers:
            writer.close()
        await self.server.abort()


class Client:
    def __init__(
        self, world: World, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._world = world
        self._reader = reader
        self._writer = writer

    def signature(self, key: AccessKey = ANN, region: str = REGION) -> bytes:
        return ClientConnection().authorize(key.id, key.secret, region, self._world.now)

    def send(self, *pieces: bytes) -> None:
        self._writer.write(b"".join(pieces))

    async def gets(self, reply: bytes) -> None:
        async with asyncio.timeout(DEADLINE_S):
            assert await self._reader.readexactly(len(reply)) == reply

    async def is_refused(self, codes: Codes = AUTHENTICATION) -> str:
        """By exactly one error, behind which the connection goes on."""
        data = b""
        async with asyncio.timeout(DEADLINE_S):
            while True:
                data += await self._reader.read(1)
                try:
                    error = decode_error(Reader(data))
                except Exception:
                    continue
                break
        assert isinstance(error, DynamoDBError)
        reader = Reader(data)
        assert [reader.read_int() for _ in range(reader.read_array())] == list(codes)
        return error.name

    async def ended(self) -> bytes:
        async with asyncio.timeout(DEADLINE_S):
            return await self._reader.read()


@pytest.fixture
async def world() -> AsyncIterator[World]:
    made = World()
    await made.start()
    yield made
    await made.close()


async def test_a_signature_lets_hits_and_others_in(world: World) -> None:
    client = await world.connect()
    client.send(client.signature(), HIT)
    await client.gets(b"fast")
    client.send(MISS)
    await client.gets(b"slow")
    client.send(HIT)
    await client.gets(b"fast")
    assert world.handler.callers == ["ann"]


@pytest.mark.parametrize("request_", [HIT, MISS, PUT], ids=["hit", "miss", "put"])
async def test_without_one_nothing_is_answered(world: World, request_: bytes) -> None:
    client = await world.connect()
    client.send(request_)
    assert await client.is_refused() == "MissingAuthenticationTokenException"
    assert world.handler.callers == []
    client.send(client.signature(), HIT)
    await client.gets(b"fast")


async def test_a_refused_signature_is_told_once_and_takes_away_the_one_before(
    world: World,
) -> None:
    client = await world.connect()
    client.send(client.signature(), HIT)
    await client.gets(b"fast")
    wrong = AccessKey(ANN.id, "w" * 40, "ann")
    client.send(client.signature(wrong), HIT)
    assert await client.is_refused() == "InvalidSignatureException"
    client.send(HIT)
    assert await client.is_refused() == "InvalidSignatureException"
    client.send(client.signature(), HIT)
    await client.gets(b"fast")


async def test_a_refusal_is_told_once_with_who_claimed_to_be_whom(world: World) -> None:
    client = await world.connect()
    client.send(client.signature(), HIT)
    await client.gets(b"fast")
    client.send(client.signature(AccessKey(ANN.id, "w" * 40, "ann")), HIT)
    await client.is_refused()
    client.send(client.signature(), HIT)
    await client.gets(b"fast")
    world.known.set(BOB)  # ann's key ends while her connection stands
    client.send(HIT)
    await client.is_refused()
    wrong, gone = world.told
    assert wrong == AuditEvent(
        *("unauthenticated", "dax", "GetItem", "InvalidSignatureException"),
        access_key_id=ANN.id,
        address="127.0.0.1",
    )
    assert gone == replace(wrong, reason="UnrecognizedClientException", principal="arn:ann")


async def test_who_was_let_in_is_looked_up_again_with_each_request(world: World) -> None:
    """The principals that a node knows may be outdated, without any of them having changed."""
    client = await world.connect()
    client.send(client.signature(), MISS)
    await client.gets(b"slow")
    world.known.outdated = True
    client.send(MISS)
    assert await client.is_refused(CODES["ThrottlingException"]) == "ThrottlingException"
    client.send(client.signature(), MISS)
    assert await client.is_refused(CODES["ThrottlingException"]) == "ThrottlingException"
    world.known.outdated = False
    client.send(client.signature(), MISS)
    await client.gets(b"slow")


class Ticks:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@asynccontextmanager
async def restrained(**limits: Any) -> AsyncIterator[tuple[World, Ticks]]:
    """Loopback counts like any other address."""
    ticks = Ticks()
    restraint = Restraint(LimitsSettings(exempt_addresses=[], **limits), ticks)
    world = World(Shared(restraint=restraint), restraint)
    await world.start()
    try:
        yield world, ticks
    finally:
        await world.close()


THROTTLING = CODES["ThrottlingException"]


async def test_who_guesses_is_kept_out_for_a_while_and_known_keys_are_not() -> None:
    async with restrained(wrong_signatures_per_minute=3, lockout_s=10) as (world, ticks):
        known, guesses, newcomer = [await world.connect() for _ in range(3)]
        known.send(known.signature(), HIT)
        await known.gets(b"fast")
        wrong = AccessKey(BOB.id, "w" * 40, "bob")
        for _ in range(3):
            guesses.send(guesses.signature(wrong), MISS)
            assert await guesses.is_refused() == "InvalidSignatureException"
        guesses.send(guesses.signature(wrong), MISS)
        assert await guesses.is_refused(THROTTLING) == "ThrottlingException"
        newcomer.send(newcomer.signature(BOB), HIT)
        assert await newcomer.is_refused(THROTTLING) == "ThrottlingException"
        known.send(known.signature(), HIT)
        await known.gets(b"fast")
        assert [one.decision for one in world.told] == ["unauthenticated"] * 3 + ["throttled"] * 2
        ticks.now = 10.0
        newcomer.send(HIT)  # clients do not sign again after this error
        await newcomer.gets(b"slow")


@pytest.mark.parametrize("limit", ["address_requests_per_s", "principal_requests_per_s"])
@pytest.mark.parametrize(("request_", "reply"), [(HIT, b"fast"), (MISS, b"slow")])
async def test_too_many_requests_are_throttled_hits_too(
    limit: str, request_: bytes, reply: bytes
) -> None:
    async with restrained(**{limit: 3}) as (world, ticks):
        client = await world.connect()
        client.send(client.signature(), request_)
        await client.gets(reply)
        for _ in range(2):
            client.send(request_)
            await client.gets(reply)
        client.send(request_)
        assert await client.is_refused(THROTTLING) == "ThrottlingException"
        served = len(world.handler.callers)
        client.send(request_)
        assert await client.is_refused(THROTTLING) == "ThrottlingException"
        assert len(world.handler.callers) == served
        ticks.now = 0.34
        client.send(request_)
        await client.gets(reply)


async def test_where_nothing_is_bounded_nothing_is_asked(world: World) -> None:
    client = await world.connect()
    client.send(client.signature(), HIT)
    await client.gets(b"fast")
    assert world.server.restraint is None


@pytest.mark.parametrize(
    ("key", "region", "name"),
    [
        (AccessKey("PLAK0000000000000009", "s" * 40, "x"), REGION, "UnrecognizedClientException"),
        (ANN, "us-east-1", "InvalidSignatureException"),
    ],
)
async def test_who_is_refused(world: World, key: AccessKey, region: str, name: str) -> None:
    client = await world.connect()
    client.send(client.signature(key, region), HIT)
    assert await client.is_refused() == name


async def test_another_caller_may_take_the_connection_over(world: World) -> None:
    client = await world.connect()
    for key in (ANN, BOB):
        client.send(client.signature(key), MISS)
        await client.gets(b"slow")
    assert world.handler.callers == ["ann", "bob"]


async def test_it_expires(world: World) -> None:
    client = await world.connect()
    client.send(client.signature(), HIT)
    await client.gets(b"fast")
    world.now = BEGIN + timedelta(seconds=299)
    client.send(HIT)
    await client.gets(b"fast")
    world.now = BEGIN + timedelta(seconds=300)
    client.send(HIT)
    assert await client.is_refused() == "MissingAuthenticationTokenException"
    client.send(MISS)
    assert await client.is_refused() == "MissingAuthenticationTokenException"
    client.send(client.signature(), HIT)
    await client.gets(b"fast")


async def test_a_revocation_acts_on_open_connections_at_once(world: World) -> None:
    ann, bob = await world.connect(), await world.connect()
    for client, key in ((ann, ANN), (bob, BOB)):
        client.send(client.signature(key), HIT)
        await client.gets(b"fast")
    world.known.set(BOB)
    for request in (HIT, MISS):
        ann.send(request)
        assert await ann.is_refused() == "UnrecognizedClientException"
    bob.send(HIT)
    await bob.gets(b"fast")
    world.known.set(AccessKey(ANN.id, "n" * 40, "ann"), BOB)
    ann.send(HIT)
    assert await ann.is_refused() == "UnrecognizedClientException", "its key has another secret"


async def test_a_request_behind_a_request_is_refused_too(world: World) -> None:
    client = await world.connect()
    client.send(client.signature(), MISS, client.signature(BOB, "us-east-1"), HIT)
    await client.gets(b"slow")
    assert await client.is_refused() == "InvalidSignatureException"


async def test_signatures_alone_are_no_work_for_this_node(world: World) -> None:
    """Each takes as long as some requests; a flood of them would keep all others waiting."""
    client = await world.connect()
    client.send(client.signature() * (SIGNATURES_MAX + 1), HIT)
    assert isinstance(decode_error(Reader(await client.ended())), DynamoDBError)
    known = await world.connect()
    for request, reply in ((HIT, b"fast"), (MISS, b"slow")):
        for _ in range(SIGNATURES_MAX + 1):
            known.send(known.signature(), request)
            await known.gets(reply)


async def test_refused_requests_take_turns_with_others(world: World) -> None:
    client = await world.connect()
    wrong = client.signature(AccessKey(ANN.id, "w" * 40, "ann"))
    turns = 0

    def turn() -> None:
        nonlocal turns
        turns += 1
        asyncio.get_running_loop().call_soon(turn)

    turn()
    before = turns
    client.send((wrong + HIT) * 20, client.signature(), HIT)
    for _ in range(20):
        assert await client.is_refused() == "InvalidSignatureException"
    await client.gets(b"fast")
    assert turns >= before + 20


async def test_a_stranger_may_not_send_much(world: World) -> None:
    client = await world.connect()
    large = encode_request(PutItem("t", b"key", bytes(4 * UNKNOWN_BYTES_MAX)))
    client.send(large[: 2 * UNKNOWN_BYTES_MAX])
    error = decode_error(Reader(await client.ended()))
    assert isinstance(error, DynamoDBError)
    assert error.name == "MissingAuthenticationTokenException"
    known = await world.connect()
    known.send(known.signature(), large)
    await known.gets(b"slow")


async def test_who_was_never_known_stays_a_newcomer() -> None:
    """Refused requests do not win him a place for good."""
    world = World(Shared(expected=ExpectedLimits(first_request_s=0.5)))
    await world.start()
    try:
        client = await world.connect()
        client.send(MISS)
        await client.is_refused()
        assert await client.ended() == b""
        known = await world.connect()
        known.send(known.signature(), MISS)
        await known.gets(b"slow")
    finally:
        await world.close()
