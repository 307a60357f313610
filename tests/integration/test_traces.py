"""Traces of a real cluster: what a collector is told, and what DynamoDB is, by whatever way."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Iterator
from typing import Any

import boto3
import grpc
import pytest
from amazondax import AmazonDaxClient
from botocore.config import Config

from cluster.settings import DynamoDBSettings
from node.backend.client import Backend
from node.requests.reach import DYNAMODB
from node.tracing.spans import handed_on
from paceline import clock
from paceline.v1 import data_pb2 as pb
from paceline.v1 import data_pb2_grpc
from paceline_local.testing import LocalCluster
from tests.support.cluster import skip_unless_startable
from tests.support.dynamodb_ways import WAYS
from tests.support.embedded import EmbeddedProcess, embedded_dynamodb  # noqa: F401
from tests.support.guarded_dynamodb import NODE_KEY, GuardedDynamoDB, Rights
from tests.support.trace_collector import CLIENT, SERVER, Seen, TraceCollector
from tests.support.waiting import wait_until

TABLE = "Traced"
REGION = "us-east-1"
WAIT_S = 20.0


class World:
    def __init__(
        self, cluster: LocalCluster, guard: GuardedDynamoDB, collector: TraceCollector
    ) -> None:
        self.cluster, self.guard, self.collector = cluster, guard, collector

    def http(self, node: int, headers: dict[str, str]) -> Any:
        client = boto3.client(
            "dynamodb",
            endpoint_url=self.cluster.plan.nodes[node].http,
            region_name=REGION,
            aws_access_key_id="a",
            aws_secret_access_key="b",
            config=Config(retries={"total_max_attempts": 1}),
        )
        client.meta.events.register(
            "before-send", lambda request, **_: request.headers.update(headers)
        )
        return client

    def of(self, trace: str, operation: str, count: int = 2) -> list[Seen]:
        """That many spans of an operation in a trace, those of servers first."""

        def those(spans: list[Seen]) -> list[Seen]:
            name = f"DynamoDB.{operation}"
            found = [one for one in spans if (one.trace, one.name) == (trace, name)]
            return found if len(found) >= count else []

        found: list[Seen] = self.collector.until(those, f"{count} spans of {trace}", WAIT_S)
        return sorted(found, key=lambda one: one.kind)

    @property
    def primary(self) -> int:
        return [one["role"] for one in self.cluster.entry()["nodes"]].index("primary")


@pytest.fixture(scope="module")
def world(embedded_dynamodb: EmbeddedProcess) -> Iterator[World]:  # noqa: F811
    skip_unless_startable()
    straight = boto3.client(
        "dynamodb",
        endpoint_url=embedded_dynamodb.endpoint,
        region_name=REGION,
        aws_access_key_id=NODE_KEY,
        aws_secret_access_key=NODE_KEY,
    )
    straight.create_table(
        TableName=TABLE,
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    with TraceCollector() as collector, GuardedDynamoDB(embedded_dynamodb.endpoint) as guard:
        guard.callers[NODE_KEY].rights = Rights()
        settings = {
            "PACELINE_TRACES": "otlp",
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint,
            "OTEL_BSP_SCHEDULE_DELAY": "100",
        }
        with LocalCluster.start_new(nodes=2, dynamodb=guard.endpoint, settings=settings) as cluster:
            yield World(cluster, guard, collector)
    straight.delete_table(TableName=TABLE)


def cache_of(answer: Any) -> str:
    return str(answer["ResponseMetadata"]["HTTPHeaders"]["x-paceline-cache"])


def parent() -> tuple[str, str, str]:
    """A trace, a span of it, and both as W3C says them."""
    trace, span = secrets.token_hex(16), secrets.token_hex(8)
    return trace, span, f"00-{trace}-{span}-01"


def test_a_miss_by_http_and_the_hit_after_it_are_shown_below_the_caller(world: World) -> None:
    trace, span, traceparent = parent()
    client = world.http(0, {"traceparent": traceparent})
    world.guard.asked.clear()
    client.get_item(TableName=TABLE, Key={"id": {"S": "a"}})
    asked = next(one for one in world.guard.asked if one.operation == "GetItem")
    server, attempt = world.of(trace, "GetItem")
    assert (server.kind, server.parent) == (SERVER, span)
    assert server.node == world.cluster.plan.nodes[0].id
    assert server.attributes["paceline.cache"] == "miss"
    assert server.attributes["network.protocol.name"] == "http"
    assert server.attributes["aws.dynamodb.table_names"] == [TABLE]
    assert server.attributes["client.address"] == "127.0.0.1"
    assert (attempt.kind, attempt.parent) == (CLIENT, server.id)
    assert asked.headers["traceparent"] == f"00-{trace}-{attempt.id}-01"
    x_ray = f"Root=1-{trace[:8]}-{trace[8:]};Parent={attempt.id};Sampled=1"
    assert asked.headers["x-amzn-trace-id"] == x_ray
    key = {"id": {"S": "a"}}
    plain = world.http(0, {})
    wait_until(lambda: cache_of(plain.get_item(TableName=TABLE, Key=key)) == "hit", "a hit", WAIT_S)
    trace, span, traceparent = parent()
    client = world.http(0, {"traceparent": traceparent})
    for _ in range(20):  # none is answered by the way that leaves no span
        assert cache_of(client.get_item(TableName=TABLE, Key=key)) == "hit"
    found = world.of(trace, "GetItem", 20)
    assert [one.attributes.get("paceline.cache") for one in found] == ["hit"] * 20
    assert {one.parent for one in found} == {span}


def test_a_caller_who_does_not_keep_the_trace_gets_his_hits_at_once(world: World) -> None:
    trace, _, traceparent = parent()
    client = world.http(0, {"traceparent": f"{traceparent[:-2]}00"})
    for _ in range(5):
        client.get_item(TableName=TABLE, Key={"id": {"S": "b"}})
    other, _, kept = parent()
    world.http(0, {"traceparent": kept}).get_item(TableName=TABLE, Key={"id": {"S": "c"}})
    world.of(other, "GetItem")
    assert not [one for one in world.collector.spans if one.trace == trace]


@pytest.mark.parametrize("by", ["primary", "other"])
def test_a_write_by_grpc_is_one_trace_also_over_two_nodes(world: World, by: str) -> None:
    trace, span, traceparent = parent()
    primary = world.primary
    node = primary if by == "primary" else 1 - primary
    world.guard.asked.clear()
    with grpc.insecure_channel(world.cluster.plan.nodes[node].grpc) as channel:
        data_pb2_grpc.DataStub(channel).PutItem(
            pb.PutItemRequest(table_name=TABLE, item={"id": pb.AttributeValue(s="w")}),
            metadata=(("traceparent", traceparent),),
            timeout=WAIT_S,
        )
    server, attempt = world.of(trace, "PutItem")
    assert server.parent == span
    assert server.attributes["network.protocol.name"] == "grpc"
    assert server.node == world.cluster.plan.nodes[node].id
    assert (attempt.kind, attempt.parent) == (CLIENT, server.id)
    assert attempt.node == world.cluster.plan.nodes[primary].id
    asked = next(one for one in world.guard.asked if one.operation == "PutItem")
    assert asked.headers["traceparent"] == f"00-{trace}-{attempt.id}-01"


def test_x_rays_header_is_a_parent_and_a_refusal_a_failure(world: World) -> None:
    trace, span, _ = parent()
    header = f"Root=1-{trace[:8]}-{trace[8:]};Parent={span};Sampled=1"
    client = world.http(0, {"X-Amzn-Trace-Id": header})
    with pytest.raises(client.exceptions.ConditionalCheckFailedException):
        client.put_item(
            TableName=TABLE,
            Item={"id": {"S": "none"}},
            ConditionExpression="attribute_exists(id)",
        )
    server, attempt = world.of(trace, "PutItem")
    assert server.parent == span
    for one in (server, attempt):
        assert one.failed
        assert one.attributes["error.type"] == "ConditionalCheckFailedException"
    assert attempt.attributes["http.response.status_code"] == 400


def test_dax_has_traces_of_its_own(world: World) -> None:
    url = f"dax://127.0.0.1:{world.cluster.plan.nodes[0].ports.dax}"
    with AmazonDaxClient(
        endpoint_url=url, region_name=REGION, aws_access_key_id="a", aws_secret_access_key="b"
    ) as client:
        client.get_item(TableName=TABLE, Key={"id": {"S": "by dax"}})

    def roots(spans: list[Seen]) -> list[Seen]:
        return [
            one
            for one in spans
            if one.attributes.get("network.protocol.name") == "dax"
            and one.name == "DynamoDB.GetItem"
        ]

    (server, *_) = world.collector.until(roots, "a span by DAX", WAIT_S)
    assert server.parent == ""
    _, attempt = world.of(server.trace, "GetItem")
    assert attempt.parent == server.id


@pytest.fixture(params=WAYS)
async def backend(request: pytest.FixtureRequest, world: World) -> AsyncIterator[Backend]:
    settings = DynamoDBSettings(
        endpoint=world.guard.endpoint, credentials="dummy", client=request.param
    )
    made = Backend(settings)
    await made.start()
    yield made
    await made.stop()


async def test_what_is_handed_on_goes_with_every_request(world: World, backend: Backend) -> None:
    _, _, traceparent = parent()
    world.guard.asked.clear()
    key = {"id": {"S": "x"}}
    token = handed_on.set({"traceparent": traceparent})
    try:
        await backend.read("GetItem", {"TableName": TABLE, "Key": key}, clock.now() + WAIT_S)
        body = b'{"TableName": "%s"}' % TABLE.encode()
        await backend.raw(f"{DYNAMODB}.DescribeTable", body, clock.now() + WAIT_S, repeat=False)
        await backend.control("ListTables", {}, clock.now() + WAIT_S)
    finally:
        handed_on.reset(token)
    told = [one for one in world.guard.asked if one.headers.get("traceparent") == traceparent]
    assert [one.operation for one in told] == ["GetItem", "DescribeTable", "ListTables"]
    world.guard.asked.clear()
    await backend.read("GetItem", {"TableName": TABLE, "Key": key}, clock.now() + WAIT_S)
    (asked,) = (one for one in world.guard.asked if one.operation == "GetItem")
    assert "traceparent" not in asked.headers
