"""What one connection, one address, and all of them together may take of a server."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cluster.settings import Listener, TlsSettings
from cluster.transport import client_server
from cluster.transport.client_server import Shared
from cluster.transport.dax_protocol import DaxProtocol
from cluster.transport.dax_server import ConnectionInfo, DaxServer
from cluster.transport.expected import ExpectedLimits
from cluster.transport.json_values import VALUES_MAX
from cluster.transport.large_work import LargeWork
from cluster.transport.memory import MemoryBudget, decoded_bytes
from cluster.transport.tls import ServerCertificate
from paceline.dax.cbor import Reader
from paceline.dax.connection import SLICE_ELEMENTS
from paceline.dax.elements import REQUEST_ELEMENTS_MAX
from paceline.dax.errors import decode_error
from paceline.dax.request_types import DefineAttributeListId, PutItem, RawRequest, Request
from paceline.dax.requests import encode_request
from paceline.errors import DynamoDBError, NotSent
from tests.support.certificates import Authority, write_pair
from tests.unit.cluster.transport.test_dax_server import (
    DEADLINE_S,
    HIT,
    PREAMBLE,
    FakeHandler,
    World,
    get,
    until,
)

NEVER = 1e6
QUICK = ExpectedLimits(0.2, 0.4, 0.4, per_address_max=100)


@pytest.fixture(autouse=True)
def swift(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_server, "SWEEP_S", 0.02)


class Servers:
    """Worlds that differ in their limits."""

    def __init__(self) -> None:
        self._made: list[World] = []

    async def start(self, shared: Shared, connections_max: int = 50) -> World:
        world = World()
        world.server = DaxServer(world.handler, connections_max=connections_max, shared=shared)
        await world.start()
        self._made.append(world)
        return world

    async def close(self) -> None:
        for world in self._made:
            await world.close()


@pytest.fixture
async def servers() -> AsyncIterator[Servers]:
    made = Servers()
    yield made
    await made.close()


# -- deadlines ---------------------------------------------------------------------------------


@pytest.mark.parametrize("sent", [b"", PREAMBLE, PREAMBLE + get("k")[:-1], PREAMBLE[:5]])
async def test_who_completes_no_request_is_closed_without_a_word(
    servers: Servers, sent: bytes
) -> None:
    world = await servers.start(Shared(expected=QUICK))
    client = await world.connect(greet=False)
    client.send(sent)
    assert await client.rest() == b""
    assert world.handler.started == []


@pytest.mark.parametrize("request_", [HIT, get("k")])
async def test_who_has_completed_a_request_may_stay_silent(
    servers: Servers, request_: bytes
) -> None:
    world = await servers.start(Shared(expected=QUICK))
    client = await world.connect()
    client.send(request_)
    assert await client.reader.read(3) in (b"fas", b"<k>")
    other = await world.connect(greet=False)
    assert await other.rest() == b""  # came later, and is gone
    client.send(get("again"))
    await client.expect(b"t<again>" if request_ == HIT else b"<again>")


async def test_half_a_later_request_has_a_deadline_too(servers: Servers) -> None:
    world = await servers.start(Shared(expected=ExpectedLimits(NEVER, NEVER, 0.2)))
    client = await world.connect()
    client.send(get("k"))
    await client.expect(b"<k>")
    client.send(get("k")[:-1])
    assert await client.rest() == b""
    assert world.server.rejected == {"full": 0, "newcomers": 0, "displaced": 0, "late": 1}


async def test_a_request_that_waits_for_dynamodb_is_in_time(servers: Servers) -> None:
    world = await servers.start(Shared(expected=ExpectedLimits(0.2, 0.2, 0.2)))
    world.handler.gate.clear()
    client = await world.connect()
    client.send(get("a") + get("b")[:-1])
    silent = await world.connect(greet=False)
    assert await silent.rest() == b""
    world.handler.gate.set()
    client.send(get("b")[-1:])
    await client.expect(b"<a><b>")


# -- numbers -----------------------------------------------------------------------------------


async def test_newcomers_of_one_address_are_refused_beyond_a_limit(servers: Servers) -> None:
    shared = Shared(expected=ExpectedLimits(NEVER, NEVER, NEVER, per_address_max=2, exempt=()))
    world = await servers.start(shared)
    newcomers = [await world.connect() for _ in range(2)]
    await until(lambda: world.server.connections == 2)
    refused = await world.connect()
    assert await refused.rest() == b""
    assert world.server.rejected == {"full": 0, "newcomers": 1, "displaced": 0, "late": 0}
    newcomers[0].send(get("k"))
    await newcomers[0].expect(b"<k>")
    accepted = await world.connect()
    accepted.send(get("k"))
    await accepted.expect(b"<k>")


async def test_the_oldest_newcomer_makes_room_and_nobody_else_does(servers: Servers) -> None:
    world = await servers.start(Shared(), connections_max=2)
    known = await world.connect()
    known.send(get("k"))
    await known.expect(b"<k>")
    newcomer = await world.connect()
    await until(lambda: world.server.connections == 2)
    later = await world.connect()
    later.send(get("k"))
    await later.expect(b"<k>")
    assert await newcomer.rest() == b""
    refused = await world.connect()
    assert await refused.rest() == b""
    assert world.server.rejected == {"full": 1, "newcomers": 0, "displaced": 1, "late": 0}
    known.send(get("k"))
    await known.expect(b"<k>")


async def test_handshakes_count_and_make_room(tmp_path: Path, servers: Servers) -> None:
    cert, key = write_pair(tmp_path, Authority.new())
    certificate = ServerCertificate.of(TlsSettings(cert_file=cert, key_file=key))
    assert certificate is not None
    server = DaxServer(FakeHandler(), connections_max=2)
    await server.start([Listener(bind="127.0.0.1:0", tls=True)], certificate.context())
    address = server.addresses["default"]
    silent = [await asyncio.open_connection(*address) for _ in range(2)]
    await until(lambda: server.connections == 2)
    third = await asyncio.open_connection(*address)
    async with asyncio.timeout(DEADLINE_S):
        assert await silent[0][0].read() == b""
    await until(lambda: server.connections == 2)
    for _, writer in (*silent, third):
        writer.close()
    await until(lambda: server.connections == 0)
    await server.abort()


# -- memory ------------------------------------------------------------------------------------


async def test_what_is_worked_on_counts_as_what_it_becomes(servers: Servers) -> None:
    """An item of single bytes takes hundreds of times its size."""
    item = encode_request(PutItem("t", b"key", b"\x00" * 4000))
    memory = MemoryBudget(decoded_bytes(len(item), 4100) + 100_000)
    world = await servers.start(Shared(memory))
    world.handler.gate.clear()
    first, second = await world.connect(), await world.connect()
    first.send(item)
    await until(lambda: world.handler.started == ["key"])
    assert memory.held_bytes >= 240 * 4000
    second.send(item)
    async with asyncio.timeout(DEADLINE_S):
        error = decode_error(Reader(await second.reader.read(65536)))
    assert isinstance(error, NotSent | DynamoDBError)
    assert "try again" in str(error)
    world.handler.gate.set()
    await first.expect(b"<key>")
    await until(lambda: memory.held_bytes == 0)
    second.send(item)  # the connection is as good as before
    await second.expect(b"<key>")


async def test_one_request_that_outgrows_the_whole_budget_is_taken_in_at_a_time(
    servers: Servers,
) -> None:
    item = encode_request(PutItem("t", b"key", b"\x00" * 8000))
    memory = MemoryBudget(500_000)
    world = await servers.start(Shared(memory))
    world.handler.gate.clear()
    first, second = await world.connect(), await world.connect()
    first.send(item)
    await until(lambda: world.handler.started == ["key"])
    second.send(item)
    async with asyncio.timeout(DEADLINE_S):
        error = decode_error(Reader(await second.reader.read(65536)))
    assert "try again" in str(error)
    assert memory.held_bytes < 500_000  # others have their room
    world.handler.gate.set()
    await first.expect(b"<key>")
    second.send(item)
    await second.expect(b"<key>")
    await until(lambda: memory.held_bytes == 0)


async def test_replies_that_nobody_reads_are_held_within_the_budget(servers: Servers) -> None:
    memory = MemoryBudget(20_000_000)
    world = await servers.start(Shared(memory))
    world.handler.replies["big"] = b"x" * 9_000_000
    clients = [await world.connect() for _ in range(5)]
    for client in clients:
        client.reader._transport.pause_reading()  # type: ignore[attr-defined]
        client.send(get("big"))
    await until(lambda: len(world.handler.started) == 5)
    await until(lambda: world.server.connections < 5)
    assert memory.held_bytes <= 20_000_000
    small = await world.connect()
    small.send(get("k"))
    await small.expect(b"<k>")


@pytest.mark.parametrize(
    "request_",
    [
        PutItem("t", b"key", b"\x00" * (REQUEST_ELEMENTS_MAX + 1)),
        RawRequest("DynamoDB_20120810.PutItem", b"[" + b"0," * (2 * VALUES_MAX) + b"0]"),
    ],
)
async def test_more_values_than_any_request_has_are_refused_and_reach_nobody(
    servers: Servers, request_: Request
) -> None:
    world = await servers.start(Shared())
    client = await world.connect()
    client.send(encode_request(request_) + get("k"))
    async with asyncio.timeout(DEADLINE_S):
        reply = await client.reader.readuntil(b"<k>")
    error = decode_error(Reader(reply))
    assert isinstance(error, DynamoDBError)
    assert error.name == "ValidationException"
    assert "2097152 values" in error.message
    assert world.handler.started == ["k"]


# -- the loop ----------------------------------------------------------------------------------


class Counting(LargeWork):
    def __init__(self) -> None:
        super().__init__()
        self.pieces = 0

    async def run(self, work):  # type: ignore[no-untyped-def]
        self.pieces += 1
        return await super().run(work)


async def test_requests_of_many_values_are_parsed_and_weighed_off_the_loop(
    servers: Servers,
) -> None:
    work = Counting()
    world = await servers.start(Shared(large_work=work))
    peers: list[bool] = []

    async def handle(request: Request, peer: ConnectionInfo) -> bytes:
        peers.append(peer.large)
        return b"done"

    world.handler.handle = handle  # type: ignore[method-assign]
    client = await world.connect()
    client.send(encode_request(PutItem("t", b"key", b"\x00" * 1000)))
    await client.expect(b"done")
    assert work.pieces == 0
    client.send(encode_request(PutItem("t", b"key", b"\x00" * 50_000)))
    await client.expect(b"done")
    assert work.pieces == 1
    client.send(encode_request(DefineAttributeListId(tuple(f"n{i}" for i in range(20_000)))))
    await client.expect(b"done")
    assert work.pieces == 3
    client.send(encode_request(PutItem("t", b"key", b"\x00")))
    await client.expect(b"done")
    assert peers == [False, True, True, False]
    await work.aclose()


async def test_others_have_their_turn_while_a_request_is_searched_for_its_end(
    servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counted in turns of the loop, whatever they take."""
    turns = 0
    go_on = DaxProtocol._go_on

    def counting(self: DaxProtocol) -> None:
        nonlocal turns
        turns += 1
        go_on(self)

    monkeypatch.setattr(DaxProtocol, "_go_on", counting)
    world = await servers.start(Shared())
    client = await world.connect()
    client.send(encode_request(DefineAttributeListId(("n",) * 90_000)))
    await client.expect(b"<endpoints>")
    assert turns >= 90_000 // SLICE_ELEMENTS
