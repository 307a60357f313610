"""What nodes say to each other: to whom, at which port, and that nobody else can read it."""

from __future__ import annotations

import asyncio
import json
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from cluster.consensus.links import METHOD as CONSENSUS
from cluster.roster.servicer import SERVICE as FEED
from cluster.transport.member_certificates import MemberCertificate
from cluster.transport.member_channels import MemberChannels
from paceline.v1 import discovery_pb2, discovery_pb2_grpc
from paceline.v1 import replication_pb2 as pb
from paceline.v1 import replication_pb2_grpc as pb_grpc
from tests.support.cluster import Cluster
from tests.support.embedded import boto3_client
from tests.support.grpc_channels import open_channel
from tests.support.protocol_client import NodeClient
from tests.support.tls_records import TlsRecords
from tests.support.waiting import until

DEADLINE_S = 10.0
MARK = "a value that nobody on the way reads"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster(tmp_path_factory.mktemp("members")) as cluster:
        cluster.wait_serving()
        client: Any = boto3_client(cluster.dynamodb)
        client.create_table(
            TableName="Members",
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
        yield cluster


def members_address(cluster: Cluster, node_id: str) -> str:
    return str(json.loads(cluster.programs[node_id].environment["PACELINE_PEERS"])[node_id])


def secret(cluster: Cluster) -> str:
    return (cluster.home / "data" / "secret").read_text().strip()


class Recorder:
    """A proxy in front of one address that keeps all that goes through, by connection and way."""

    def __init__(self, address: str) -> None:
        self._host, _, self._port = address.rpartition(":")
        self.ways: list[bytearray] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there = await asyncio.open_connection(self._host, int(self._port))
        except OSError:
            writer.close()
            return
        await asyncio.gather(
            self._carry(reader, there[1]), self._carry(there[0], writer), return_exceptions=True
        )

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        way = bytearray()
        self.ways.append(way)
        try:
            while data := await reader.read(65536):
                way += data
                writer.write(data)
                await writer.drain()
        finally:
            writer.close()


@asynccontextmanager
async def recording(address: str) -> AsyncIterator[tuple[Recorder, str]]:
    recorder = Recorder(address)
    server = await asyncio.start_server(recorder.serve, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()[:2]
    yield recorder, f"{host}:{port}"
    server.close()


async def test_between_nodes_there_is_tls_and_nothing_else(cluster: Cluster) -> None:
    """A replica that reaches the others through proxies: consensus, fences with their images, and
    a write that is forwarded, all go through them."""
    primary = cluster.primary()
    node_id = cluster.replicas()[0]
    program = cluster.programs[node_id]
    async with (
        recording(members_address(cluster, primary)) as (recorder, proxy),
    ):
        dial_map = {members_address(cluster, primary): proxy}
        program.environment["PACELINE_DIAL_MAP"] = json.dumps(dial_map)
        await asyncio.to_thread(cluster.kill, node_id)
        cluster.start_again(node_id)
        await asyncio.to_thread(cluster.wait_ready, node_id)
        await asyncio.to_thread(cluster.wait_serving)
        assert len(recorder.ways) >= 4, "consensus and replication have connections of their own"
        before = sum(len(way) for way in recorder.ways)
        async with NodeClient(*cluster.address(node_id)) as node:
            for number in range(20):
                item = {"id": {"S": str(number)}, "v": {"S": MARK}}
                await node.call("PutItem", TableName="Members", Item=item)
        assert sum(len(way) for way in recorder.ways) > before + 40 * len(MARK)
        for way in recorder.ways:
            data = bytes(way)
            assert MARK.encode() not in data
            assert b"PutItem" not in data
            assert secret(cluster).encode() not in data
            records = TlsRecords()
            records.receive(data)
            assert records.kinds, "each way begins with a handshake"
            assert records.kinds[0] == TlsRecords.HANDSHAKE
        program.environment.pop("PACELINE_DIAL_MAP")
        await asyncio.to_thread(cluster.kill, node_id)
    await asyncio.to_thread(cluster.heal)


async def test_clients_find_nothing_of_members_at_their_ports(cluster: Cluster) -> None:
    for server in (*cluster.entry["nodes"], *cluster.entry["discovery"]):
        async with open_channel(str(server["grpc"])) as channel:
            stub = pb_grpc.ReplicationStub(channel)
            calls: list[Any] = [
                stub.Forward(pb.ForwardRequest(operation="PutItem"), timeout=DEADLINE_S),
                stub.Peek(pb.PeekRequest(), timeout=DEADLINE_S),
                stub.Recall(pb.RecallRequest(epoch=99), timeout=DEADLINE_S),
                stub.Link(timeout=DEADLINE_S),
                channel.stream_unary(CONSENSUS)(timeout=DEADLINE_S),
            ]
            for call in calls:
                assert await call.code() == grpc.StatusCode.UNIMPLEMENTED
            listing = reflection_pb2.ServerReflectionRequest(list_services="")
            asking: Any = reflection_pb2_grpc.ServerReflectionStub(channel)
            async for answer in asking.ServerReflectionInfo(iter([listing]), timeout=DEADLINE_S):
                names = {service.name for service in answer.list_services_response.service}
            assert FEED in names
            assert not {name for name in names if "Replication" in name or "Consensus" in name}


async def test_discovery_hears_of_the_roster_and_may_do_nothing(cluster: Cluster) -> None:
    shown = MemberCertificate.of_discovery(secret(cluster), "paceline")
    address = members_address(cluster, cluster.primary())
    async with MemberChannels(shown).open(address, use="roster") as channel:
        make: Any = discovery_pb2_grpc.DiscoveryStub
        watch = make(channel).Watch(discovery_pb2.WatchRosterRequest())
        async with asyncio.timeout(DEADLINE_S):
            roster = await watch.read()
        assert {node.id for node in roster.nodes} == set(cluster.node_ids)
        stub = pb_grpc.ReplicationStub(channel)
        denied: list[Any] = [
            stub.Forward(pb.ForwardRequest(operation="PutItem"), timeout=DEADLINE_S),
            stub.Recall(pb.RecallRequest(epoch=99), timeout=DEADLINE_S),
            stub.Link(timeout=DEADLINE_S),
            channel.stream_unary(CONSENSUS)(timeout=DEADLINE_S),
        ]
        for call in denied:
            assert await call.code() == grpc.StatusCode.PERMISSION_DENIED
        watch.cancel()


async def test_a_node_subscribes_as_itself(cluster: Cluster) -> None:
    shown = MemberCertificate(secret(cluster), "paceline", "node-99")
    primary = cluster.primary()
    channels = MemberChannels(shown)
    address = members_address(cluster, primary)
    async with channels.open(address, primary, use="replication") as channel:
        call = pb_grpc.ReplicationStub(channel).Link(timeout=DEADLINE_S)
        status = await asyncio.to_thread(cluster.status, primary)
        assert status is not None
        subscribe = pb.Subscribe(
            node_id=cluster.replicas()[0], incarnation="i", epoch=status["epoch"]
        )
        await call.write(pb.ReplicaFrame(messages=[pb.ReplicaMessage(subscribe=subscribe)]))
        assert await call.code() == grpc.StatusCode.PERMISSION_DENIED
    await asyncio.to_thread(cluster.wait_serving)


async def test_strangers_leave_no_trace(cluster: Cluster) -> None:
    primary = cluster.primary()
    address = members_address(cluster, primary)
    host, _, port = address.rpartition(":")
    program = cluster.programs[primary]
    lines = len(program.log.read_text().splitlines())
    files = program.process.num_fds()
    strangers = [
        MemberCertificate(secret(cluster), "another", "node-2"),
        MemberCertificate(secret(cluster)[::-1], "paceline", "node-2"),
    ]
    attempts = 0
    for _ in range(10):
        for hello in (b"GET / HTTP/1.1\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"):
            _, writer = await asyncio.open_connection(host, int(port))
            writer.write(hello)
            writer.close()
        for shown in strangers:
            async with MemberChannels(shown).open(address, use="replication") as channel:
                call = pb_grpc.ReplicationStub(channel).Peek(pb.PeekRequest(), timeout=DEADLINE_S)
                assert await call.code() == grpc.StatusCode.UNAVAILABLE
        async with open_channel(address) as plain:
            call = pb_grpc.ReplicationStub(plain).Peek(pb.PeekRequest(), timeout=DEADLINE_S)
            assert await call.code() == grpc.StatusCode.UNAVAILABLE
        attempts += 5
    assert len(program.log.read_text().splitlines()) < lines + attempts / 5
    await until(lambda: program.process.num_fds() < files + 5, "their connections are gone")
    assert cluster.primary() == primary


def test_the_certificates_end_is_told(cluster: Cluster) -> None:
    admin = cluster.node(cluster.node_ids[0])["admin"]
    with urllib.request.urlopen(f"{admin}/metrics", timeout=DEADLINE_S) as answer:
        text = answer.read().decode()
    (line,) = [
        line
        for line in text.splitlines()
        if line.startswith("paceline_member_certificate_expires_in_seconds ")
    ]
    assert 29 * 86_400 < float(line.split()[1]) <= 30 * 86_400
