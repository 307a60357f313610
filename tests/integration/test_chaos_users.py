"""Chaos as users have it: a real cluster made to fail, and what clients see of it."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from typing import Any

import pytest
import pytest_asyncio
from botocore.exceptions import ClientError

from paceline.errors import ConfigError, DynamoDBError, OutcomeUnknown, Unavailable
from paceline_local.chaos.client import Chaos
from paceline_local.probes import split_address
from paceline_local.testing import LocalCluster, make_plan
from tests.support.cluster import skip_unless_startable
from tests.support.embedded import boto3_client
from tests.support.local import free_base_port
from tests.support.protocol_client import ClusterClient
from tests.support.waiting import until, wait_until

TABLE = "Users"
STARTS_MAX = 3
FAILOVER_S = 15.0
"""Mostly under two seconds; these tests share a small machine."""


@pytest.fixture(scope="module")
def running() -> Iterator[LocalCluster]:
    skip_unless_startable()
    for attempt in range(STARTS_MAX):
        cluster = LocalCluster(make_plan(base_port=free_base_port()), demo_table=True, chaos=True)
        try:
            cluster.start()
        except ConfigError as error:
            # The ports were free a moment ago.
            if "is in use" not in str(error) or attempt == STARTS_MAX - 1:
                raise
        else:
            break
    try:
        wait_serving(cluster)
        yield cluster
    finally:
        cluster.stop()


@pytest.fixture
def cluster(running: LocalCluster) -> Iterator[LocalCluster]:
    yield running
    running.chaos.heal()
    wait_serving(running)


@pytest.fixture
def chaos(cluster: LocalCluster) -> Chaos:
    return cluster.chaos


@pytest_asyncio.fixture
async def client(cluster: LocalCluster) -> AsyncIterator[ClusterClient]:
    client = ClusterClient({node.id: split_address(node.dax) for node in cluster.plan.nodes})
    yield client
    client.close()


def nodes_of(cluster: LocalCluster) -> dict[str, Mapping[str, Any]]:
    """``/status`` of every node that answers."""
    found = cluster.statuses()
    return {
        node.id: status
        for node in cluster.plan.nodes
        if isinstance(status := found[node.admin], dict)
    }


def wait_serving(cluster: LocalCluster) -> None:
    def serving() -> bool:
        nodes = nodes_of(cluster)
        return (
            len(nodes) == len(cluster.plan.nodes)
            and len({status["epoch"] for status in nodes.values()}) == 1
            and all(status["serving"] for status in nodes.values())
        )

    wait_until(serving, "every node may answer from its cache, in one epoch", 30.0)


def another_primary(chaos: Chaos, than: str) -> Callable[[], Awaitable[bool]]:
    def found() -> bool:
        try:
            return chaos.primary() != than
        except Unavailable:
            return False

    return lambda: asyncio.to_thread(found)


def user(name: str, value: str) -> dict[str, Any]:
    return {"TableName": TABLE, "Item": {"id": {"S": name}, "v": {"S": value}}}


def key(name: str) -> dict[str, Any]:
    return {"TableName": TABLE, "Key": {"id": {"S": name}}}


async def value_at(client: ClusterClient, node: str, name: str) -> str:
    answer = await client.nodes[node].call("GetItem", **key(name))
    return str(answer["Item"]["v"]["S"])


Parting = Callable[[Chaos, str], object]


@pytest.mark.parametrize(
    ("part", "reads_pass"),
    [
        pytest.param(lambda chaos, node: chaos.partition(node), True, id="both ways"),
        pytest.param(
            lambda chaos, node: chaos.partition(node, one_way=True), True, id="what it sends"
        ),
        pytest.param(
            lambda chaos, node: chaos.partition("replicas", node, one_way=True),
            True,
            id="what it gets",
        ),
        pytest.param(
            lambda chaos, node: chaos.partition(node, cut=True, dynamodb=True), False, id="cut off"
        ),
    ],
)
async def test_a_parted_primary_is_replaced_and_joins_again(
    cluster: LocalCluster,
    chaos: Chaos,
    client: ClusterClient,
    part: Parting,
    reads_pass: bool,
) -> None:
    old = chaos.primary()
    await client.write("PutItem", **user("parted", "before"))
    assert await value_at(client, old, "parted") == "before"
    part(chaos, old)
    took_s = await until(another_primary(chaos, old), "another node is primary", FAILOVER_S)
    print(f"another primary after {took_s:.2f} s")
    majority = chaos.primary()
    await client.nodes[majority].call("PutItem", **user("parted", "after"))
    if reads_pass:
        # It cannot know of the write, and knows that it cannot.
        assert await value_at(client, old, "parted") == "after"
    await asyncio.to_thread(chaos.heal)

    def healed() -> bool:
        nodes = nodes_of(cluster)
        return bool(nodes[old]["epoch"] == nodes[majority]["epoch"])

    took_s = await until(
        lambda: asyncio.to_thread(healed),
        f"{old} is in the new epoch",
        FAILOVER_S,
    )
    print(f"it joined again after {took_s:.2f} s")
    await asyncio.to_thread(wait_serving, cluster)
    assert await value_at(client, old, "parted") == "after"


async def test_a_lost_zone_stays_lost_and_comes_back_as_itself(
    cluster: LocalCluster, chaos: Chaos, client: ClusterClient
) -> None:
    primary = chaos.primary()
    zone = next(node.zone for node in cluster.plan.nodes if node.id == primary)
    pid = cluster.pid(primary)
    assert chaos.kill(zone=zone) == [primary]
    took_s = await until(another_primary(chaos, primary), "another node is primary", FAILOVER_S)
    print(f"another primary after {took_s:.2f} s")
    await client.write("PutItem", **user("lost", "meanwhile"))
    answer = await client.read("GetItem", **key("lost"))
    assert answer["Item"]["v"] == {"S": "meanwhile"}
    assert cluster.take_exits() == []
    (entry,) = [one for one in chaos.status()["programs"] if one["name"] == primary]
    assert (entry["state"], entry["role"]) == ("dead", None)
    assert await asyncio.to_thread(chaos.restart) == [primary]
    assert cluster.pid(primary) != pid
    await asyncio.to_thread(wait_serving, cluster)
    members = nodes_of(cluster)[primary]["members"]
    assert sorted(member["id"] for member in members) == ["node-1", "node-2", "node-3"]
    assert await value_at(client, primary, "lost") == "meanwhile"


async def test_a_slow_zone_makes_writes_slow(chaos: Chaos, client: ClusterClient) -> None:
    chaos.latency(0.06, "replicas")
    begun = time.monotonic()
    await client.nodes[chaos.primary()].call("PutItem", **user("slow", "x"))
    # The fence goes to a replica and its acknowledgement comes back.
    assert time.monotonic() - begun >= 0.12


async def test_throttling_reaches_the_client_after_the_nodes_own_attempts(
    chaos: Chaos, client: ClusterClient
) -> None:
    primary = chaos.primary()
    node = client.nodes[primary]
    await node.call("PutItem", **user("cached", "x"))
    await node.call("GetItem", **key("cached"))
    chaos.throttle(1.0)
    with pytest.raises(DynamoDBError) as caught:
        await node.call("PutItem", **user("throttled", "x"))
    assert caught.value.name == "ProvisionedThroughputExceededException"
    answered = sum(flow["requests_answered"] for flow in chaos.status()["flows"])
    assert answered > 2, "the node tried again"
    # What is cached needs no DynamoDB.
    assert await value_at(client, primary, "cached") == "x"
    await asyncio.to_thread(chaos.heal)
    await node.call("PutItem", **user("throttled", "y"))


async def test_an_error_after_the_write_is_an_unknown_outcome(
    cluster: LocalCluster, chaos: Chaos, client: ClusterClient
) -> None:
    node = client.nodes[chaos.primary()]
    chaos.dynamodb_errors(1.0, after=True, for_s=60)
    with pytest.raises(OutcomeUnknown):
        await node.call("PutItem", **user("unknown", "done all the same"))
    await asyncio.to_thread(chaos.heal)
    plain = boto3_client(cluster.plan.dynamodb.endpoint)
    try:
        stored = await asyncio.to_thread(plain.get_item, **key("unknown"), ConsistentRead=True)
    except ClientError as error:
        raise AssertionError(f"DynamoDB itself was not to be disturbed: {error}") from error
    finally:
        plain.close()
    assert stored["Item"]["v"] == {"S": "done all the same"}


async def test_reads_of_cached_items_go_on_without_dynamodb(
    chaos: Chaos, client: ClusterClient
) -> None:
    primary = chaos.primary()
    await client.nodes[primary].call("PutItem", **user("down", "x"))
    assert await value_at(client, primary, "down") == "x"
    chaos.dynamodb_down()
    assert await value_at(client, primary, "down") == "x"
    with pytest.raises((DynamoDBError, OutcomeUnknown)):
        await client.nodes[primary].call("PutItem", **user("down", "y"))


async def test_a_primary_that_raft_reaches_but_links_do_not_gives_way(
    cluster: LocalCluster, chaos: Chaos, client: ClusterClient
) -> None:
    """It renews its lease through Raft, and can fence no write."""
    old = chaos.primary()
    others = [node.id for node in cluster.plan.nodes if node.id != old]
    chaos.partition(old, channels=("replication",))
    writing = asyncio.create_task(client.nodes[others[0]].call("PutItem", **user("grpc", "1")))
    await until(another_primary(chaos, old), "another primary", FAILOVER_S)
    try:
        await writing
    except (DynamoDBError, OutcomeUnknown) as error:
        # It was at the old primary, or waited for it in vain.
        print(f"the first write: {error!r}")
    await client.nodes[others[0]].call("PutItem", **user("grpc", "2"))
    for node in others:
        assert await value_at(client, node, "grpc") == "2"
