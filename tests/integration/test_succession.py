"""Warm caches survive the primary: killed, and stopped in order."""

import signal
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.cluster import Cluster
from tests.support.embedded import boto3_client
from tests.support.protocol_client import NodeClient
from tests.support.waiting import wait_until

ITEMS = 40
HANDED_OVER_S = 15.0


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster(tmp_path_factory.mktemp("succession")) as cluster:
        yield cluster


@pytest.fixture
def cluster(started: Cluster) -> Cluster:
    """Whole again after the test before."""
    started.heal()
    return started


def table_of_items(cluster: Cluster, name: str) -> str:
    client: Any = boto3_client(cluster.dynamodb)
    client.create_table(
        TableName=name,
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    for number in range(ITEMS):
        client.put_item(TableName=name, Item={"id": {"S": f"{number}"}, "v": {"N": "1"}})
    return name


async def read_all(cluster: Cluster, node_id: str, table: str) -> tuple[int, int]:
    """Reads every item through one node; how many were hits and misses there."""
    before = cluster.status(node_id)
    assert before is not None
    async with NodeClient(*cluster.address(node_id)) as node:
        for number in range(ITEMS):
            answer = await node.call("GetItem", TableName=table, Key={"id": {"S": f"{number}"}})
            assert answer["Item"]["v"] == {"N": "1"}
    after = cluster.status(node_id)
    assert after is not None
    return (
        after["cache"]["hits"] - before["cache"]["hits"],
        after["cache"]["misses"] - before["cache"]["misses"],
    )


@pytest.mark.parametrize("how", ["killed", "stopped"])
async def test_caches_stay_warm_when_the_primary_is(how: str, cluster: Cluster) -> None:
    table = table_of_items(cluster, f"Warm-{how}")
    old = cluster.primary()
    others = [node_id for node_id in cluster.node_ids if node_id != old]
    for node_id in others:
        await read_all(cluster, node_id, table)
    if how == "killed":
        cluster.kill(old)
    else:
        cluster.programs[old].signal(signal.SIGTERM)

    def handed_over() -> bool:
        statuses = [cluster.status(node_id) for node_id in others]
        return all(
            status is not None and status["serving"] and status["primary"] in others
            for status in statuses
        )

    wait_until(handed_over, "another primary, and read leases from it", HANDED_OVER_S)
    for node_id in others:
        hits, misses = await read_all(cluster, node_id, table)
        assert (hits, misses) == (ITEMS, 0), cluster.status(node_id)
