"""The DAX server on real sockets, with a handler that tests steer."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator

import pytest

from cluster.roster.endpoints import AddressFamily
from cluster.settings import Listener
from cluster.transport import dax_protocol, served_connection
from cluster.transport.client_server import Shared
from cluster.transport.dax_server import ConnectionInfo, DaxServer
from cluster.transport.memory import MemoryBudget
from paceline.dax.cbor import Reader
from paceline.dax.connection import ClientConnection
from paceline.dax.errors import decode_error
from paceline.dax.family import Family
from paceline.dax.request_types import Authorize, Endpoints, GetItem, PutItem, Request
from paceline.dax.requests import encode_request
from paceline.errors import (
    ConfigError,
    DynamoDBError,
    OutcomeUnknown,
    PacelineError,
    RequestError,
)
from tests.support.waiting import until

DEADLINE_S = 10.0
PREAMBLE = ClientConnection().preamble("DaxPythonClient-2.1.0", b"session")
SDK_PREAMBLE = ClientConnection().preamble("PacelineClient-1", b"session")
ENDPOINTS = encode_request(Endpoints())
AUTHORIZE = encode_request(Authorize("AKID", "0" * 64, b"string to sign"))
HIT = encode_request(GetItem("t", b"hit"))
PUT = encode_request(PutItem("t", b"key", b"\x01"))


def get(key: str) -> bytes:
    return encode_request(GetItem("t", key.encode()))


class FakeHandler:
    """Replies with the key asked for. ``gate`` holds requests back; ``replies`` overrides."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.gate.set()
        self.started: list[str] = []
        self.fast_hits = 0
        self.active = 0
        self.active_max = 0
        self.replies: dict[str, bytes | Exception] = {}
        self.peer: ConnectionInfo | None = None

    def fast(self, data: bytes) -> bytes | None:
        if data == HIT:
            self.fast_hits += 1
            return b"fast"
        if data == get("fast-bug"):
            raise RuntimeError("planned")
        return None

    async def handle(self, request: Request, peer: ConnectionInfo) -> bytes:
        key = request.key.decode() if isinstance(request, GetItem | PutItem) else "endpoints"
        self.peer = peer
        self.started.append(key)
        self.active += 1
        self.active_max = max(self.active_max, self.active)
        try:
            await self.gate.wait()
        finally:
            self.active -= 1
        reply = self.replies.get(key, f"<{key}>".encode())
        if isinstance(reply, Exception):
            raise reply
        return reply


class Client:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def expect(self, reply: bytes) -> None:
        async with asyncio.timeout(DEADLINE_S):
            assert await self.reader.readexactly(len(reply)) == reply

    async def rest(self) -> bytes:
        """Everything up to FIN; ConnectionResetError if there is none."""
        async with asyncio.timeout(DEADLINE_S):
            return await self.reader.read()

    async def error(self) -> PacelineError:
        return decode_error(Reader(await self.rest()))


class World:
    def __init__(self) -> None:
        self.handler = FakeHandler()
        self.server = DaxServer(self.handler, connections_max=50)
        self._clients: list[Client] = []

    async def start(self) -> None:
        await self.server.start([Listener(bind="127.0.0.1:0")])

    async def connect(self, *, greet: bool = True) -> Client:
        host, port = next(iter(self.server.addresses.values()))
        client = Client(*await asyncio.open_connection(host, port))
        self._clients.append(client)
        if greet:
            client.send(PREAMBLE)
        return client

    async def close(self) -> None:
        for client in self._clients:
            client.writer.close()
        await self.server.abort()


@pytest.fixture
async def world() -> AsyncIterator[World]:
    made = World()
    await made.start()
    yield made
    await made.close()


async def test_requests_are_answered_in_order_one_at_a_time(world: World) -> None:
    client = await world.connect()
    keys = [f"key-{i}" for i in range(50)]
    client.send(b"".join(get(k) for k in keys))
    await client.expect(b"".join(f"<{k}>".encode() for k in keys))
    assert world.handler.started == keys
    assert world.handler.active_max == 1


async def test_connections_do_not_wait_for_each_other(world: World) -> None:
    world.handler.gate.clear()
    slow, quick = await world.connect(), await world.connect()
    slow.send(get("slow"))
    await until(lambda: world.handler.started == ["slow"])
    quick.send(get("warm-up"))
    await until(lambda: len(world.handler.started) == 2)
    world.handler.gate.set()
    await quick.expect(b"<warm-up>")
    await slow.expect(b"<slow>")


async def test_byte_at_a_time(world: World) -> None:
    client = await world.connect(greet=False)
    for byte in PREAMBLE + AUTHORIZE + get("k") + ENDPOINTS:
        client.send(bytes([byte]))
        await client.writer.drain()
        await asyncio.sleep(0)
    await client.expect(b"<k><endpoints>")


async def test_connection_info(world: World) -> None:
    client = await world.connect()
    client.send(AUTHORIZE + ENDPOINTS)
    await client.expect(b"<endpoints>")
    peer = world.handler.peer
    assert peer is not None
    assert (peer.listener, peer.family, peer.tls) == ("default", AddressFamily.IPV4, False)
    assert (peer.client, peer.access_key_id) == (Family.PYTHON, "AKID")
    assert peer.user_agent == "DaxPythonClient-2.1.0"


async def test_authorize_has_no_reply_and_a_hit_behind_it_is_fast(world: World) -> None:
    client = await world.connect(greet=False)
    client.send(PREAMBLE + AUTHORIZE + HIT)
    await client.expect(b"fast")
    client.send(HIT)
    await client.expect(b"fast")
    client.send(get("k") + HIT)
    await client.expect(b"<k><hit>")
    client.send(HIT)
    await client.expect(b"fast")
    assert world.handler.fast_hits == 3


async def test_hit_in_two_pieces_takes_the_general_path(world: World) -> None:
    client = await world.connect()
    client.send(ENDPOINTS)
    await client.expect(b"<endpoints>")
    client.send(HIT[:9])
    await client.writer.drain()
    await until(lambda: next(iter(world.server._connections)).buffered_bytes == 9)
    client.send(HIT[9:])
    await client.expect(b"<hit>")


async def test_failing_fast_path_falls_back(world: World) -> None:
    client = await world.connect()
    client.send(ENDPOINTS)
    await client.expect(b"<endpoints>")
    client.send(get("fast-bug"))
    await client.expect(b"<fast-bug>")


async def test_service_error_keeps_the_connection(world: World) -> None:
    world.handler.replies["bad"] = RequestError("ValidationException", "no")
    client = await world.connect()
    client.send(get("bad"))
    async with asyncio.timeout(DEADLINE_S):
        reply = await client.reader.read(1000)
    error = decode_error(Reader(reply))
    assert isinstance(error, DynamoDBError)
    assert error.name == "ValidationException"
    client.send(get("good"))
    await client.expect(b"<good>")


async def test_unforeseen_failure_of_a_write_is_an_unknown_outcome(world: World) -> None:
    world.handler.replies["key"] = RuntimeError("secret details")
    client = await world.connect()
    client.send(PUT)
    async with asyncio.timeout(DEADLINE_S):
        reply = await client.reader.read(1000)
    assert isinstance(decode_error(Reader(reply)), OutcomeUnknown)
    assert b"secret" not in reply
    client.send(get("good"))
    await client.expect(b"<good>")


@pytest.mark.parametrize(
    "garbage",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x02\x00",
        PREAMBLE + b"\x02\x00",
        PREAMBLE + b"\x01\x00",
        PREAMBLE + b"\xff" * 100,
        PREAMBLE + bytes.fromhex("011a0fb0cc6a5b7fffffffffffffff"),
    ],
)
async def test_malformed_bytes_end_only_their_connection(world: World, garbage: bytes) -> None:
    other, client = await world.connect(), await world.connect(greet=False)
    client.send(garbage + b"x" * 100_000)
    reply = await client.rest()
    if garbage.startswith(PREAMBLE):
        assert isinstance(decode_error(Reader(reply)), DynamoDBError)
    else:
        assert reply == b""
    other.send(get("k"))
    await other.expect(b"<k>")


async def test_half_a_request_and_a_disconnect_are_dropped(world: World) -> None:
    client = await world.connect()
    client.send(get("k")[:7])
    client.writer.close()
    await client.writer.wait_closed()
    await until(lambda: world.server.connections == 0)
    assert world.handler.started == []
    assert world.server.memory.held_bytes == 0


async def test_preamble_only_is_a_normal_event(world: World) -> None:
    client = await world.connect()
    client.writer.write_eof()
    assert await client.rest() == b""
    await until(lambda: world.server.connections == 0)


async def test_half_close_still_gets_the_reply(world: World) -> None:
    world.handler.gate.clear()
    client = await world.connect()
    client.send(get("a") + get("b"))
    client.writer.write_eof()
    await until(lambda: world.handler.started == ["a"])
    world.handler.gate.set()
    assert await client.rest() == b"<a><b>"


async def test_request_goes_on_when_its_client_leaves(world: World) -> None:
    world.handler.gate.clear()
    client = await world.connect()
    client.send(PUT)
    await until(lambda: world.handler.active == 1)
    reset(client)
    await until(lambda: world.server.connections == 0)
    assert world.handler.active == 1
    world.handler.gate.set()
    await until(lambda: world.handler.active == 0)


async def test_a_read_ends_when_its_client_leaves(world: World) -> None:
    """Its client asks another node by then."""
    world.handler.gate.clear()
    client = await world.connect()
    client.send(get("k"))
    await until(lambda: world.handler.active == 1)
    reset(client)
    await until(lambda: world.handler.active == 0)
    assert world.server.connections == 0


@pytest.mark.parametrize(("request_", "left"), [(get("k"), 0), (PUT, 1)])
async def test_the_end_of_an_sdk_connection_means_that_its_client_has_left(
    world: World, request_: bytes, left: int
) -> None:
    world.handler.gate.clear()
    client = await world.connect(greet=False)
    client.send(SDK_PREAMBLE + request_)
    await until(lambda: world.handler.active == 1)
    client.writer.write_eof()
    if left == 0:
        await until(lambda: world.handler.active == 0)
        assert await client.rest() == b""
    world.handler.gate.set()
    await until(lambda: world.handler.active == 0)
    client.writer.close()
    await until(lambda: world.server.connections == 0)


async def test_pipelining_is_bounded(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.handler.gate.clear()
    client = await world.connect()
    request = get("x" * 2000)
    count = 4_000
    sending = asyncio.create_task(drained(client, request * count))
    await until(lambda: world.handler.active == 1)
    connection = next(iter(world.server._connections))
    await until(lambda: connection._reading_paused)
    # One chunk of the event loop may come on top of the limit.
    assert connection.buffered_bytes <= dax_protocol.PIPELINE_BYTES_MAX + 300_000
    assert not sending.done()
    world.handler.gate.set()
    async with asyncio.timeout(60.0):
        reply = await client.reader.readexactly(count * 2002)
    await sending
    assert reply == (b"<" + b"x" * 2000 + b">") * count


async def drained(client: Client, data: bytes) -> None:
    client.send(data)
    await client.writer.drain()


async def test_peer_that_does_not_read_gets_no_further_work_and_is_dropped_in_the_end(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(served_connection, "WRITE_STALL_S", 0.3)
    world.handler.replies["big"] = b"x" * 8_000_000
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.setblocking(False)
    with sock:
        host, port = next(iter(world.server.addresses.values()))
        loop = asyncio.get_running_loop()
        await loop.sock_connect(sock, (host, port))
        await loop.sock_sendall(sock, PREAMBLE + get("big") * 10)
        await until(lambda: world.server.connections == 1)
        await until(lambda: world.handler.started != [])
        await until(lambda: world.server.connections == 0)
        assert world.handler.started == ["big"]


async def test_slow_reader_gets_everything(world: World) -> None:
    world.handler.replies["big"] = b"x" * 3_000_000
    client = await world.connect()
    client.send(get("big") * 3 + get("k"))
    async with asyncio.timeout(DEADLINE_S):
        assert len(await client.reader.readexactly(9_000_000)) == 9_000_000
    await client.expect(b"<k>")


async def test_unfinished_requests_of_all_connections_are_bounded() -> None:
    world = World()
    world.server = DaxServer(
        world.handler, connections_max=50, shared=Shared(MemoryBudget(500_000))
    )
    await world.start()
    try:
        unfinished = bytes.fromhex("013a7d8e7e564174416b5a00989680") + b"v" * 200_000
        clients = [await world.connect() for _ in range(3)]
        for client in clients:
            client.send(unfinished)
        answers = [asyncio.create_task(c.error()) for c in clients]
        async with asyncio.timeout(DEADLINE_S):
            done, waiting = await asyncio.wait(answers, return_when=asyncio.FIRST_COMPLETED)
        for answer in waiting:
            answer.cancel()
        assert len(waiting) == 2
        (error,) = [answer.result() for answer in done]
        assert isinstance(error, DynamoDBError)
        assert error.name == "ThrottlingException"
        await until(lambda: world.server.memory.held_bytes <= 500_000)
        small = await world.connect()
        small.send(get("k"))
        await small.expect(b"<k>")
    finally:
        await world.close()


async def test_connection_limit_refuses_with_fin(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World()
    world.server = DaxServer(world.handler, connections_max=2)
    await world.start()
    try:
        kept = [await world.connect() for _ in range(2)]
        for client in kept:
            client.send(get("k"))
            await client.expect(b"<k>")
        refused = await world.connect()
        refused.send(get("no"))
        assert await refused.rest() == b""
        assert "no" not in world.handler.started
        refused.writer.close()
        kept[0].writer.close()
        await until(lambda: world.server.connections == 1)
        again = await world.connect()
        again.send(get("k"))
        await again.expect(b"<k>")
    finally:
        await world.close()


async def test_drain_finishes_the_request_under_way_and_ends_with_fin(world: World) -> None:
    world.handler.gate.clear()
    idle, busy = await world.connect(), await world.connect()
    idle.send(ENDPOINTS[:1])
    busy.send(get("a") + get("not begun"))
    await until(lambda: world.handler.started == ["a"])
    await until(lambda: world.server.connections == 2)
    draining = asyncio.create_task(world.server.drain(DEADLINE_S))
    assert await idle.rest() == b""
    idle.send(ENDPOINTS)  # too late: read and dropped, so that no RST is sent
    host, port = next(iter(world.server.addresses.values()))
    with pytest.raises(OSError):  # noqa: PT011 - refused or reset, as the system likes
        await asyncio.open_connection(host, port)
    world.handler.gate.set()
    assert await busy.rest() == b"<a>"
    for client in (idle, busy):
        client.writer.close()
    async with asyncio.timeout(DEADLINE_S):
        await draining
    assert world.handler.started == ["a"]
    assert world.server.connections == 0


async def test_drain_tells_the_sdk_that_what_is_on_its_way_is_not_done(world: World) -> None:
    world.handler.gate.clear()
    idle, busy = await world.connect(greet=False), await world.connect(greet=False)
    idle.send(SDK_PREAMBLE)
    busy.send(SDK_PREAMBLE + get("a"))
    await until(lambda: world.handler.started == ["a"] and world.server.connections == 2)
    await until(lambda: all(c.info.client is Family.PACELINE for c in world.server._connections))
    draining = asyncio.create_task(world.server.drain(DEADLINE_S))
    await until(lambda: world.server._draining)
    idle.send(PUT)  # crosses the end
    error = await idle.error()
    assert isinstance(error, DynamoDBError)
    assert error.name == "ThrottlingException"
    assert "nothing was done" in str(error)
    world.handler.gate.set()
    reply = await busy.rest()
    assert reply.startswith(b"<a>")
    assert isinstance(decode_error(Reader(reply[3:])), DynamoDBError)
    for client in (idle, busy):
        client.writer.close()
    async with asyncio.timeout(DEADLINE_S):
        await draining
    assert world.handler.started == ["a"]


AGENTS = {
    "DaxPythonClient-2.1.0": True,
    "DaxJavaClient-2.0.5": True,
    "DaxJSClient-1.2": False,
    "PacelineClient-1": False,
}
"""Whether they repeat a write after FIN."""


@pytest.mark.parametrize("agent", AGENTS)
async def test_who_repeats_after_fin_gets_rst_for_a_write_that_is_given_up(
    world: World, agent: str
) -> None:
    """As from the kernel for a node that was killed."""
    world.handler.gate.clear()
    client = await world.connect(greet=False)
    client.send(ClientConnection().preamble(agent, b"session") + PUT)
    await until(lambda: world.handler.active == 1)
    await world.server.abort()
    if AGENTS[agent]:
        with pytest.raises(ConnectionResetError):
            await client.rest()
    else:
        assert await client.rest() == b""


@pytest.mark.parametrize("agent", AGENTS)
@pytest.mark.parametrize("request_", [get("key"), PUT], ids=["read", "write"])
async def test_everyone_gets_fin_when_nothing_is_under_way(
    world: World, agent: str, request_: bytes
) -> None:
    client = await world.connect(greet=False)
    client.send(ClientConnection().preamble(agent, b"session") + request_)
    await client.expect(b"<key>")
    await until(lambda: not any(c._by_rst for c in world.server._connections))
    await world.server.abort()
    assert await client.rest() == b""


async def test_a_write_that_was_answered_at_the_end_loses_no_reply(world: World) -> None:
    world.handler.gate.clear()
    world.handler.replies["key"] = b"x" * 1_000_000
    client = await world.connect()
    client.send(PUT)
    await until(lambda: world.handler.active == 1)
    client.writer.write_eof()
    draining = asyncio.create_task(world.server.drain(DEADLINE_S))
    world.handler.gate.set()
    assert await client.rest() == world.handler.replies["key"]
    client.writer.close()
    async with asyncio.timeout(DEADLINE_S):
        await draining


async def test_too_much_behind_a_write_ends_it_as_unknown(world: World) -> None:
    world.handler.gate.clear()
    client = await world.connect()
    client.send(PUT)
    await until(lambda: world.handler.active == 1)
    next(iter(world.server._connections)).finish()
    with pytest.raises(ConnectionResetError):
        await client.rest()


async def test_drain_gives_up_after_its_time(world: World) -> None:
    world.handler.gate.clear()
    client = await world.connect()
    client.send(get("a"))
    await until(lambda: world.handler.active == 1)
    async with asyncio.timeout(DEADLINE_S):
        await world.server.drain(0.05)
    assert world.handler.active == 0
    await until(lambda: world.server.connections == 0)


async def test_port_in_use_names_the_address_and_the_setting(world: World) -> None:
    host, port = world.server.addresses["default"]
    second = DaxServer(FakeHandler(), connections_max=1)
    with pytest.raises(
        ConfigError, match=rf"{host}:{port} \(PACELINE_LISTENERS, listener 'x'\): .*in use"
    ):
        await second.start(
            [
                Listener(name="free", bind="127.0.0.1:0"),
                Listener(name="x", bind=f"{host}:{port}"),
            ]
        )
    # The other listener is not left behind.
    free = second.addresses["free"]
    with pytest.raises(OSError):  # noqa: PT011 - refused or reset, as the system likes
        await asyncio.open_connection(*free)


async def test_listeners_need_names_of_their_own_and_tls_a_certificate() -> None:
    server = DaxServer(FakeHandler(), connections_max=1)
    listener = Listener(bind="127.0.0.1:0")
    with pytest.raises(ConfigError, match="share a name"):
        await server.start([listener, listener])
    with pytest.raises(ConfigError, match="certificate"):
        await server.start([Listener(bind="127.0.0.1:0", tls=True)])


def reset(client: Client) -> None:
    sock = client.writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.writer.transport.abort()
