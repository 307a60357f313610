"""The discovery program as a process, over fake nodes and with AWS's own client."""

import asyncio
import json
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import grpc
import pytest

from cluster.log.view import ClusterView, Member
from cluster.roster.live_roster import LiveRoster
from cluster.roster.prober import ENDPOINTS, PREAMBLE
from cluster.roster.servicer import add_discovery, from_message
from cluster.settings import Listener
from cluster.transport.dax_server import DaxServer
from discovery.endpoints import EndpointsHandler
from paceline.dax.cbor import Reader
from paceline.dax.errors import decode_error
from paceline.dax.request_types import GetItem
from paceline.dax.requests import encode_request
from paceline.dax.responses import Endpoint, Role
from paceline.errors import ProtocolError
from paceline.v1 import discovery_pb2, discovery_pb2_grpc
from tests.support.grpc_channels import CLUSTER, SECRET, members_server, open_channel
from tests.support.rosters import whole_roster
from tests.support.spawn import spawn
from tests.support.stopwatch import Stopwatch
from tests.support.waiting import until

DEADLINE_S = 15.0


class FakeNode:
    """What discovery sees of a node: the DAX port that it probes, and the feed of the roster."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.live_roster = LiveRoster()
        self.dax = DaxServer(EndpointsHandler(self.live_roster), connections_max=100)
        self.members = members_server(f"n{number}", add_discovery(self.live_roster))
        self.members_address = ""

    async def start(self) -> None:
        await self.dax.start([Listener(bind="127.0.0.1:0")])
        self.members_address = await self.members.start()

    async def stop(self) -> None:
        await self.dax.abort()
        await self.members.stop()

    @property
    def port(self) -> int:
        return self.dax.addresses["default"][1]

    def member(self, *, draining: bool = False) -> Member:
        addresses = {"dax/default": f"127.0.0.1:{self.port}", "members": self.members_address}
        return Member(
            f"n{self.number}", "abc"[self.number % 3], "i", self.number, addresses, draining
        )


class World:
    def __init__(self) -> None:
        self.nodes: list[FakeNode] = []
        self.processes: list[asyncio.subprocess.Process] = []
        self.dax_port = 0
        self.grpc_port = 0
        self.admin_port = 0

    async def start_nodes(self, count: int) -> None:
        for number in range(1, count + 1):
            self.nodes.append(FakeNode(number))
            await self.nodes[-1].start()

    def tell(self, epoch: int, primary: str | None, draining: str = "") -> None:
        members = tuple(n.member(draining=f"n{n.number}" == draining) for n in self.nodes)
        for node in self.nodes:
            node.live_roster.update_view(ClusterView("c", members, epoch=epoch, primary=primary))

    async def start(
        self, *args: str, environment: Mapping[str, str] | None = None, seeds: int | None = None
    ) -> asyncio.subprocess.Process:
        self.dax_port, self.grpc_port, self.admin_port = free_ports(3)
        settings = {
            "PACELINE_LISTENERS": json.dumps(
                [{"name": "default", "bind": f"127.0.0.1:{self.dax_port}"}]
            ),
            "PACELINE_GRPC_BIND": f"127.0.0.1:{self.grpc_port}",
            "PACELINE_ADMIN_BIND": f"127.0.0.1:{self.admin_port}",
            "PACELINE_HTTP_BIND": "",
            "PACELINE_SECRET": SECRET,
            "PACELINE_CLUSTER": CLUSTER,
            "PACELINE_SEEDS": json.dumps([n.members_address for n in self.nodes[:seeds]]),
            **(environment or {}),
        }
        clean = {k: v for k, v in os.environ.items() if not k.startswith("PACELINE_")}
        process = await spawn(
            sys.executable,
            *("-P", "-m", "paceline_server", "discovery"),
            *args,
            env={**clean, **settings},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        self.processes.append(process)
        return process

    async def started(self, *args: str, **options: Any) -> asyncio.subprocess.Process:
        process = await self.start(*args, **options)

        def running() -> None:
            assert process.returncode is None, "the program ended"

        await until(lambda: connectable(self.dax_port), meanwhile=running)
        await until(lambda: connectable(self.admin_port), meanwhile=running)  # listens last
        return process

    async def endpoints(self) -> list[Endpoint]:
        return await query(self.dax_port)

    async def roster(self) -> dict[str, Role]:
        return {e.hostname: e.role for e in await self.endpoints()}

    async def until_roster(self, wanted: Mapping[str, Role], within_s: float = DEADLINE_S) -> None:
        seen: object = None
        with Stopwatch() as watch:
            while watch.elapsed_s < within_s:
                try:
                    seen = await self.roster()
                except ProtocolError as error:
                    seen = error
                if seen == wanted:
                    return
                await asyncio.sleep(0.02)
        pytest.fail(f"wanted {wanted} within {within_s} s, last seen {seen}")

    async def close(self) -> None:
        for process in self.processes:
            if process.returncode is None:
                process.kill()
            await process.communicate()
        for node in self.nodes:
            await node.stop()


@pytest.fixture
async def world() -> AsyncIterator[World]:
    made = World()
    yield made
    await made.close()


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for sock in sockets:
            sock.bind(("127.0.0.1", 0))
        return [sock.getsockname()[1] for sock in sockets]
    finally:
        for sock in sockets:
            sock.close()


async def connectable(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


async def ask(port: int, request: bytes) -> bytes:
    """One connection, one request, as official clients query discovery."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(PREAMBLE + request)
        async with asyncio.timeout(DEADLINE_S):
            return await reader.read(65536)
    finally:
        writer.close()


async def query(port: int) -> list[Endpoint]:
    return whole_roster(await ask(port, ENDPOINTS))


THREE = {"n1": Role.REPLICA, "n2": Role.LEADER, "n3": Role.REPLICA}


async def test_roster_follows_the_cluster(world: World) -> None:
    await world.start_nodes(3)
    world.tell(1, "n2")
    await world.started(seeds=1)
    await world.until_roster(THREE)
    assert [(e.node_id, e.port, e.address) for e in await world.endpoints()] == [
        (n.number, n.port, bytes([127, 0, 0, 1])) for n in world.nodes
    ]
    # A new primary is known as soon as any node says so.
    world.tell(2, "n3")
    await world.until_roster({**THREE, "n2": Role.REPLICA, "n3": Role.LEADER}, within_s=2.0)
    # A draining node leaves.
    world.tell(2, "n3", draining="n1")
    await world.until_roster({"n2": Role.REPLICA, "n3": Role.LEADER}, within_s=2.0)


async def test_dead_node_leaves_at_once_and_its_role_passes_on(world: World) -> None:
    await world.start_nodes(3)
    world.tell(1, "n1")
    await world.started()
    await world.until_roster({"n1": Role.LEADER, "n2": Role.REPLICA, "n3": Role.REPLICA})
    await world.nodes[0].dax.abort()
    await world.until_roster({"n2": Role.LEADER, "n3": Role.REPLICA}, within_s=2.0)


async def test_last_view_stands_when_every_node_is_gone(world: World) -> None:
    await world.start_nodes(2)
    world.tell(1, "n2")
    await world.started()
    await world.until_roster({"n1": Role.REPLICA, "n2": Role.LEADER})
    for node in world.nodes:
        await node.stop()
    # First one, then both are down; the roster is never empty.
    until = time.monotonic() + 2.0
    while time.monotonic() < until:
        roster = await world.roster()
        assert list(roster.values()).count(Role.LEADER) == 1
    await world.until_roster({"n1": Role.REPLICA, "n2": Role.LEADER}, within_s=1.0)


async def test_without_a_view_clients_get_an_error_in_time_and_later_the_roster(
    world: World,
) -> None:
    await world.start_nodes(1)
    await world.started()
    with Stopwatch() as watch:
        reply = await ask(world.dax_port, ENDPOINTS)
    assert watch.elapsed_s < 1.0
    assert "not reached any node" in str(decode_error(Reader(reply)))
    waiting = asyncio.create_task(query(world.dax_port))
    await asyncio.sleep(0.05)
    world.tell(1, "n1")
    try:
        assert [e.hostname for e in await waiting] == ["n1"]
    except ProtocolError:
        # The view came after this query's time; the next one gets it.
        await world.until_roster({"n1": Role.LEADER})


async def test_official_client_starts_by_discovery(world: World) -> None:
    amazondax = pytest.importorskip("amazondax")
    await world.start_nodes(3)
    world.tell(1, "n2")
    await world.started()
    await world.until_roster(THREE)

    def run() -> tuple[set[int], int]:
        client = amazondax.AmazonDaxClient(
            endpoint_url=f"dax://127.0.0.1:{world.dax_port}",
            region_name="us-east-1",
            aws_access_key_id="x",
            aws_secret_access_key="x",
        )
        with client:
            cluster = client._cluster
            readers = {cluster.read_client()._tube_pool.sockaddr[1] for _ in range(200)}
            return readers, cluster.write_client()._tube_pool.sockaddr[1]

    async with asyncio.timeout(DEADLINE_S):
        readers, writer = await asyncio.to_thread(run)
    assert readers == {n.port for n in world.nodes}
    assert writer == world.nodes[1].port


async def test_data_requests_are_refused_clearly(world: World) -> None:
    await world.start_nodes(1)
    world.tell(1, "n1")
    await world.started()
    await world.until_roster({"n1": Role.LEADER})
    reply = await ask(world.dax_port, encode_request(GetItem("t", b"k")))
    assert "serves no data" in str(decode_error(Reader(reply)))
    assert await ask(world.dax_port, b"\xff\xff") != b""
    assert await world.roster() == {"n1": Role.LEADER}


async def test_many_clients_at_once_are_answered_within_a_second(world: World) -> None:
    await world.start_nodes(3)
    world.tell(1, "n2")
    await world.started()
    await world.until_roster(THREE)

    async def timed(watch: Stopwatch) -> float:
        began = watch.elapsed_s
        assert len(await query(world.dax_port)) == 3
        return watch.elapsed_s - began

    with Stopwatch() as watch:
        for _ in range(3):
            times = await asyncio.gather(*(timed(watch) for _ in range(100)))
            assert max(times) < 1.0


async def test_grpc_discovery_and_health(world: World) -> None:
    from grpc_health.v1 import health_pb2, health_pb2_grpc

    await world.start_nodes(2)
    await world.started()
    channel: Any = open_channel(f"127.0.0.1:{world.grpc_port}")
    make: Any = discovery_pb2_grpc.DiscoveryStub
    make_health: Any = health_pb2_grpc.HealthStub
    try:
        check = make_health(channel).Check
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await make(channel).Get(discovery_pb2.GetRosterRequest(), timeout=5.0)
        assert failed.value.code() is grpc.StatusCode.UNAVAILABLE
        answer = await check(health_pb2.HealthCheckRequest(), timeout=5.0)
        assert answer.status == health_pb2.HealthCheckResponse.NOT_SERVING
        watch = make(channel).Watch(discovery_pb2.WatchRosterRequest())
        world.tell(3, "n1")
        async with asyncio.timeout(DEADLINE_S):
            view, _, _ = from_message(await watch.read())
        assert view == world.nodes[0].live_roster.view
        watch.cancel()
        answer = await check(health_pb2.HealthCheckRequest(), timeout=5.0)
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
    finally:
        await channel.close()


async def test_admin_says_when_it_is_ready(world: World) -> None:
    import aiohttp

    await world.start_nodes(1)
    await world.started()
    async with aiohttp.ClientSession(f"http://127.0.0.1:{world.admin_port}") as http:
        assert (await http.get("/readyz")).status == 503
        world.tell(1, "n1")
        await world.until_roster({"n1": Role.LEADER})
        assert (await http.get("/readyz")).status == 200
        status = await (await http.get("/status")).json()
    assert status["source"] == world.nodes[0].members_address
    assert status["roster"]["nodes"][0]["id"] == "n1"


async def test_stops_on_sigterm_and_logs_json(world: World) -> None:
    await world.start_nodes(1)
    process = await world.started()
    process.send_signal(signal.SIGTERM)
    async with asyncio.timeout(DEADLINE_S):
        out, err = await process.communicate()
    assert process.returncode == 0
    assert err == b""
    events = [json.loads(line)["event"] for line in out.splitlines()]
    assert "discovery is up" in events
    assert events[-1] == "stopped"


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"PACELINE_SEEDS": "[]"}, "set PACELINE_SEEDS"),
        ({"PACELINE_SEEDS": '["nowhere"]'}, "is not HOST:PORT"),
        ({"PACELINE_SECRET": ""}, "set PACELINE_SECRET"),
        ({"PACELINE_SECRET": "secret"}, "at least 32 random bytes"),
        ({"PACELINE_GRPC_BIND": "0.0.0.0:0"}, "PACELINE_INSECURE=true"),
        ({"PACELINE_STOP_GRACE_S": "soon"}, "PACELINE_STOP_GRACE_S"),
    ],
)
async def test_wrong_settings_are_one_line_and_exit_code_2(
    world: World, environment: dict[str, str], message: str
) -> None:
    await world.start_nodes(1)
    process = await world.start(environment=environment)
    async with asyncio.timeout(DEADLINE_S):
        _, err = await process.communicate()
    assert process.returncode == 2
    assert err.decode().startswith("paceline: error: ")
    assert message in err.decode()
    assert err.count(b"\n") == 1


async def test_port_in_use_names_it(world: World) -> None:
    await world.start_nodes(1)
    taken = f"127.0.0.1:{world.nodes[0].port}"
    process = await world.start(
        environment={"PACELINE_LISTENERS": json.dumps([{"name": "default", "bind": taken}])}
    )
    async with asyncio.timeout(DEADLINE_S):
        _, err = await process.communicate()
    assert process.returncode == 2
    assert taken in err.decode()
    assert "already in use" in err.decode()


async def test_settings_from_a_file(world: World, tmp_path: Path) -> None:
    await world.start_nodes(1)
    world.tell(1, "n1")
    path = tmp_path / "discovery.toml"
    path.write_text(f'seeds = ["{world.nodes[0].members_address}"]\nlog_level = "warning"\n')
    clean = {"PACELINE_SEEDS": f'["{world.nodes[0].members_address}"]'}
    await world.started("--config", str(path), environment=clean)
    await world.until_roster({"n1": Role.LEADER})
