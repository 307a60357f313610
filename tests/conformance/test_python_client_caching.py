"""What the official Python client reads comes out of caches, and what it writes goes through the
elected primary; the ten lines of the README among it."""

import threading
from typing import Any

from amazondax import AmazonDaxClient

from paceline.dax.responses import Role
from tests.support.cluster import Cluster
from tests.support.protocol_client import NodeClient
from tests.support.twins import Twins
from tests.support.waiting import wait_until


def test_the_readme(cluster: Cluster, twins: Twins) -> None:
    with AmazonDaxClient.resource(
        endpoint_url=cluster.dax,
        region_name="us-east-1",
        aws_access_key_id="x",
        aws_secret_access_key="x",
    ) as dax:
        table = dax.Table(twins.cached.names["hash"])
        table.put_item(Item={"id": "1", "name": "Ada"})
        assert table.get_item(Key={"id": "1"})["Item"] == {"id": "1", "name": "Ada"}


def test_an_item_is_read_once_from_dynamodb(cluster: Cluster, twins: Twins, plain: Any) -> None:
    """Changed behind the cluster's back, the item stays as it was cached: proof of the cache."""
    name = twins.cached.names["hash"]
    key = {"id": {"S": "cached"}}
    plain.put_item(TableName=name, Item={**key, "v": {"N": "1"}})
    for _ in range(30):  # so that every node has it
        twins.dax.get_item(TableName=name, Key=key)
    hits = cluster.counter("hits")
    plain.put_item(TableName=name, Item={**key, "v": {"N": "2"}})
    for _ in range(30):
        assert twins.dax.get_item(TableName=name, Key=key)["Item"]["v"] == {"N": "1"}
    assert cluster.counter("hits") >= hits + 30
    fresh = twins.dax.get_item(TableName=name, Key=key, ConsistentRead=True)
    assert fresh["Item"]["v"] == {"N": "2"}


def test_a_missing_item_is_cached_too(cluster: Cluster, twins: Twins) -> None:
    key = {"id": {"S": "nobody"}}
    for _ in range(30):
        assert twins.dax.get_item(TableName=twins.cached.names["hash"], Key=key) == {}
    hits, misses = cluster.counter("hits"), cluster.counter("misses")
    for _ in range(30):
        assert twins.dax.get_item(TableName=twins.cached.names["hash"], Key=key) == {}
    assert (cluster.counter("hits"), cluster.counter("misses")) == (hits + 30, misses)


def test_projections_and_batches_come_from_the_item_cache(cluster: Cluster, twins: Twins) -> None:
    name = twins.cached.names["hash"]
    key = {"id": {"S": "projected"}}
    item = {**key, "a": {"N": "1"}, "b": {"S": "x"}}
    twins.dax.put_item(TableName=name, Item=item)
    for _ in range(30):
        twins.dax.get_item(TableName=name, Key=key)
    misses = cluster.counter("misses")
    for _ in range(5):
        part = twins.dax.get_item(TableName=name, Key=key, ProjectionExpression="b")
        assert part["Item"] == {"b": {"S": "x"}}
        batch = twins.dax.batch_get_item(RequestItems={name: {"Keys": [key]}})
        assert batch["Responses"][name] == [item]
    assert cluster.counter("misses") == misses


def test_queries_are_cached(cluster: Cluster, twins: Twins) -> None:
    asked: dict[str, Any] = {
        "TableName": twins.cached.names["range"],
        "KeyConditionExpression": "pk = :p",
        "ExpressionAttributeValues": {":p": {"S": "a query"}},
    }
    for _ in range(30):
        twins.dax.query(**asked)
    hits, misses = cluster.counter("query_hits"), cluster.counter("query_misses")
    for _ in range(30):
        twins.dax.query(**asked)
    assert cluster.counter("query_hits") == hits + 30
    assert cluster.counter("query_misses") == misses


def test_a_write_fills_every_cache(cluster: Cluster, twins: Twins) -> None:
    name = twins.cached.names["hash"]
    key = {"id": {"S": "filled"}}
    twins.dax.put_item(TableName=name, Item={**key, "v": {"N": "1"}})
    misses = cluster.counter("misses")

    def all_hit() -> bool:
        nonlocal misses
        before, misses = misses, cluster.counter("misses")
        for _ in range(10):
            assert twins.dax.get_item(TableName=name, Key=key)["Item"]["v"] == {"N": "1"}
        return before == misses

    # The image travels behind the answer, so the very first reads may still miss.
    wait_until(all_hit, "reads of a written item hit")


async def test_one_node_is_the_leader_in_every_roster(cluster: Cluster) -> None:
    primary = cluster.address(cluster.primary())[1]
    for node_id in cluster.node_ids:
        async with NodeClient(*cluster.address(node_id)) as client:
            roster = await client.endpoints()
        assert [found.port for found in roster if found.role == Role.LEADER] == [primary]
        assert {found.port for found in roster} == {port for _, port in cluster.addresses.values()}
    host, _, port = cluster.dax.removeprefix("dax://").rpartition(":")
    async with NodeClient(host, int(port)) as discovery:
        roster = await discovery.endpoints()
    assert [found.port for found in roster if found.role == Role.LEADER] == [primary]
    assert {found.zone for found in roster} == {"a", "b", "c"}


async def test_writes_through_any_node_go_through_the_primary(
    cluster: Cluster, twins: Twins
) -> None:
    """The position in the primary's stream moves with every write, wherever it came in."""

    def position() -> tuple[int, int]:
        status = cluster.status(cluster.primary())
        assert status is not None
        epoch, sequence = status["replication"]["position"]
        return epoch, sequence

    for node_id in cluster.node_ids:
        epoch, before = position()
        async with NodeClient(*cluster.address(node_id)) as client:
            await client.call(
                "PutItem", TableName=twins.cached.names["hash"], Item={"id": {"S": node_id}}
            )
        assert position()[0] == epoch
        assert position()[1] > before, f"a write through {node_id}"


def test_many_threads_share_a_client(twins: Twins) -> None:
    name = twins.cached.names["hash"]
    wrong: list[str] = []

    def work(lane: int) -> None:
        for number in range(20):
            key = {"id": {"S": f"thread {lane}"}}
            twins.dax.put_item(TableName=name, Item={**key, "v": {"N": str(number)}})
            found = twins.dax.get_item(TableName=name, Key=key)["Item"]["v"]["N"]
            if found != str(number):
                wrong.append(f"{lane}: {found} instead of {number}")

    threads = [threading.Thread(target=work, args=(lane,)) for lane in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
