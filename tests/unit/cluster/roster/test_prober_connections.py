"""The prober against real sockets."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace

import pytest

from cluster.log.view import Member
from cluster.roster.endpoints import Health
from cluster.roster.liveness import ProbeTimes
from cluster.roster.prober import ENDPOINTS, PREAMBLE, Prober
from tests.support.waiting import until

FAST = ProbeTimes(ask_s=0.02, hang_s=0.15, abandon_s=0.4, retry_min_s=0.01, retry_max_s=0.05)
PATIENT = replace(FAST, hang_s=60.0, abandon_s=120.0)
"""For tests that count connections, which a busy machine must not end."""
DEADLINE_S = 5.0


class FakeNode:
    """Answers any bytes with one byte; can hang, and stop and come back on its port."""

    def __init__(self) -> None:
        self.going = asyncio.Event()
        self.going.set()
        self.received = b""
        self.connections = 0
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self.port = 0

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        for writer in list(self._writers):
            writer.transport.abort()
        await until(lambda: not self._writers)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.add(writer)
        try:
            while data := await reader.read(1000):
                self.received += data
                await self.going.wait()
                writer.write(b"\x80")
        except ConnectionError:
            pass
        finally:
            self._writers.discard(writer)
            writer.close()

    def member(self, number: int = 1, incarnation: str = "i") -> Member:
        return Member(
            f"n{number}", "a", incarnation, number, {"dax/default": f"127.0.0.1:{self.port}"}
        )


class Seen:
    def __init__(self) -> None:
        self.health: dict[str, Health] = {}
        self.changes: list[tuple[str, Health]] = []

    def __call__(self, node_id: str, health: Health) -> None:
        self.health[node_id] = health
        self.changes.append((node_id, health))


@pytest.fixture
async def node() -> AsyncIterator[FakeNode]:
    fake = FakeNode()
    await fake.start()
    yield fake
    fake.going.set()
    await fake.stop()


@pytest.fixture
async def prober() -> AsyncIterator[Callable[..., tuple[Prober, Seen]]]:
    made: list[Prober] = []

    def make(**options: object) -> tuple[Prober, Seen]:
        seen = Seen()
        made.append(Prober(seen, **{"times": FAST, **options}))  # type: ignore[arg-type]
        return made[-1], seen

    yield make
    for one in made:
        await one.aclose()


Make = Callable[..., tuple[Prober, Seen]]


async def test_node_that_answers_is_alive_over_one_connection(node: FakeNode, prober: Make) -> None:
    probe, seen = prober()
    probe.follow([node.member()])
    await until(lambda: node.received.count(ENDPOINTS) >= 5)
    assert seen.changes == [("n1", Health.ALIVE)]
    assert node.received.startswith(PREAMBLE + ENDPOINTS)
    assert node.received.count(PREAMBLE) == 1
    assert node.connections == 1


async def test_node_that_dies_and_comes_back(node: FakeNode, prober: Make) -> None:
    probe, seen = prober()
    probe.follow([node.member()])
    await until(lambda: seen.health.get("n1") is Health.ALIVE)
    await node.stop()
    await until(lambda: seen.health["n1"] is Health.UNREACHABLE)
    await node.start()
    await until(lambda: seen.health["n1"] is Health.ALIVE)


async def test_node_that_hangs_and_goes_on(node: FakeNode, prober: Make) -> None:
    probe, seen = prober()
    probe.follow([node.member()])
    await until(lambda: seen.health.get("n1") is Health.ALIVE)
    node.going.clear()
    await until(lambda: seen.health["n1"] is Health.UNREACHABLE)
    node.going.set()
    await until(lambda: seen.health["n1"] is Health.ALIVE)


async def test_nobody_listens(unused_tcp_port: int, prober: Make) -> None:
    probe, seen = prober()
    probe.follow([Member("n1", "a", "i", 1, {"dax/default": f"127.0.0.1:{unused_tcp_port}"})])
    await until(lambda: seen.health.get("n1") is Health.UNREACHABLE)


async def test_connection_to_itself_is_no_answer(prober: Make) -> None:
    """Binding a port and connecting to it without listening makes TCP connect to itself."""
    loop = asyncio.get_running_loop()
    original: Callable[..., Awaitable[object]] = loop.create_connection
    attempts = 0

    async def from_the_same_port(make: object, host: str, port: int, **options: object) -> object:
        nonlocal attempts
        attempts += 1
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setblocking(False)
        sock.bind((host, port))
        try:
            await loop.sock_connect(sock, (host, port))
            return await original(make, sock=sock)
        except BaseException:
            sock.close()
            raise

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    loop.create_connection = from_the_same_port  # type: ignore[method-assign, assignment]
    try:
        probe, seen = prober()
        probe.follow([Member("n1", "a", "i", 1, {"dax/default": f"127.0.0.1:{port}"})])
        await until(lambda: attempts >= 2)
        assert seen.changes == [("n1", Health.UNREACHABLE)]
    finally:
        loop.create_connection = original  # type: ignore[method-assign, assignment]


async def test_first_reachable_listener_is_used(
    node: FakeNode, unused_tcp_port: int, prober: Make
) -> None:
    probe, seen = prober(listener_names=["internal"])
    addresses = {
        "dax/a": f"127.0.0.1:{unused_tcp_port}",
        "dax/internal": f"127.0.0.1:{unused_tcp_port}",
        "dax/z": f"127.0.0.1:{node.port}",
        "grpc": "127.0.0.1:1",
    }
    probe.follow([Member("n1", "a", "i", 1, addresses)])
    await until(lambda: seen.health.get("n1") is Health.ALIVE)
    assert seen.changes == [("n1", Health.ALIVE)]


async def test_dial_map_is_honoured(node: FakeNode, prober: Make) -> None:
    probe, seen = prober(dial_map={"10.255.255.1:1": f"127.0.0.1:{node.port}"})
    probe.follow([Member("n1", "a", "i", 1, {"dax/default": "10.255.255.1:1"})])
    await until(lambda: seen.health.get("n1") is Health.ALIVE)


async def test_removed_member_is_left_alone(node: FakeNode, prober: Make) -> None:
    probe, seen = prober()
    probe.follow([node.member()])
    await until(lambda: seen.health.get("n1") is Health.ALIVE)
    probe.follow([])
    await until(lambda: not node._writers)
    assert seen.changes == [("n1", Health.ALIVE)]


async def test_restarted_member_is_probed_afresh_and_an_unchanged_one_is_not(
    node: FakeNode, prober: Make
) -> None:
    probe, seen = prober(times=PATIENT)
    probe.follow([node.member()])
    await until(lambda: seen.health.get("n1") is Health.ALIVE)
    probe.follow([node.member()])
    await until(lambda: node.received.count(ENDPOINTS) >= 3)
    assert node.connections == 1
    probe.follow([node.member(incarnation="another")])
    await until(lambda: node.connections == 2)


async def test_own_node_is_not_probed(node: FakeNode, prober: Make) -> None:
    probe, seen = prober(own_id="n1", times=PATIENT)
    probe.follow([node.member(1), node.member(2)])
    await until(lambda: seen.health.get("n2") is Health.ALIVE)
    assert "n1" not in seen.health
    assert node.connections == 1


async def test_closing_during_a_connection_attempt_leaves_nothing_behind(prober: Make) -> None:
    started: asyncio.Event = asyncio.Event()

    async def never(*args: object, **kwargs: object) -> object:
        started.set()
        return await asyncio.Event().wait()

    probe, _ = prober()
    loop = asyncio.get_running_loop()
    original: Callable[..., Awaitable[object]] = loop.create_connection
    loop.create_connection = never  # type: ignore[method-assign, assignment]
    try:
        probe.follow([Member("n1", "a", "i", 1, {"dax/default": "127.0.0.1:1"})])
        async with asyncio.timeout(DEADLINE_S):
            await started.wait()
        await probe.aclose()
    finally:
        loop.create_connection = original  # type: ignore[method-assign, assignment]
    assert [t for t in asyncio.all_tasks() if t.get_name() == "probe-connect"] == []
