"""Writers outside the cluster, straight on DynamoDB: every node follows within a bound."""

import asyncio
import itertools
import signal
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from paceline.errors import PacelineError
from paceline_local.probes import http_request
from tests.support.cluster import Cluster
from tests.support.embedded import boto3_client
from tests.support.protocol_client import Knowledge, NodeClient
from tests.support.waiting import until, wait_until

FOLLOWED_S = 30.0
"""A table is followed some seconds after its first use; on a busy machine it takes longer."""
FRESH_S = 15.0
"""After a write outside. Mostly it takes less than a second."""
VIEW = "NEW_AND_OLD_IMAGES"

_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    settings = {"PACELINE_CACHE__FOLLOW_STREAMS": "true", "PACELINE_AUDIT__READS_PER_S": "0"}
    with Cluster(tmp_path_factory.mktemp("streams"), settings=settings) as cluster:
        cluster.wait_serving()
        yield cluster


@pytest.fixture(scope="module")
def plain(cluster: Cluster) -> Iterator[Any]:
    client = boto3_client(cluster.dynamodb)
    yield client
    client.close()


@dataclass
class Table:
    name: str
    cluster: Cluster
    plain: Any
    nodes: dict[str, NodeClient]

    def create(self, view: str | None = VIEW) -> None:
        stream = {"StreamSpecification": {"StreamEnabled": True, "StreamViewType": view}}
        self.plain.create_table(
            TableName=self.name,
            KeySchema=[
                {"AttributeName": "p", "KeyType": "HASH"},
                {"AttributeName": "s", "KeyType": "RANGE"},
            ],
            AttributeDefinitions=[
                {"AttributeName": "p", "AttributeType": "S"},
                {"AttributeName": "s", "AttributeType": "N"},
            ],
            BillingMode="PAY_PER_REQUEST",
            **(stream if view else {}),
        )

    def key(self, number: int = 1) -> dict[str, Any]:
        return {"p": {"S": "p"}, "s": {"N": str(number)}}

    def write_outside(self, value: str, number: int = 1) -> None:
        self.plain.put_item(TableName=self.name, Item={**self.key(number), "v": {"S": value}})

    def delete_outside(self, number: int = 1) -> None:
        self.plain.delete_item(TableName=self.name, Key=self.key(number))

    async def get(self, node: NodeClient, number: int = 1) -> str | None:
        result = await node.call("GetItem", TableName=self.name, Key=self.key(number))
        return result["Item"]["v"]["S"] if "Item" in result else None

    async def query(self, node: NodeClient) -> list[str]:
        result = await node.call(
            "Query",
            TableName=self.name,
            KeyConditionExpression="p = :p",
            ExpressionAttributeValues={":p": {"S": "p"}},
        )
        return [item["v"]["S"] for item in result["Items"]]

    async def everywhere(self, value: str | None, queried: list[str], number: int = 1) -> None:
        """Waits until every node answers so, a GetItem and a Query."""

        async def fresh(node: NodeClient) -> bool:
            try:
                return (await self.get(node, number), await self.query(node)) == (value, queried)
            except PacelineError:
                return False  # a node that is just being taken over from

        await until(
            lambda: _all(fresh(node) for node in self.nodes.values()),
            f"every node has {value} and {queried}",
            FRESH_S,
        )

    async def cached_everywhere(self, number: int = 1) -> None:
        """Every node answers an item and a page from its cache."""

        async def hits(node_id: str) -> bool:
            before = self.counters(node_id)
            await self.get(self.nodes[node_id], number)
            await self.query(self.nodes[node_id])
            after = self.counters(node_id)
            return all(after[name] > before[name] for name in before)

        await until(
            lambda: _all(hits(node_id) for node_id in self.nodes), "all have it cached", FRESH_S
        )

    def counters(self, node_id: str) -> dict[str, int]:
        status = self.cluster.status(node_id)
        assert status is not None
        return {name: status["cache"][name] for name in ("hits", "query_hits")}

    def following(self) -> dict[str, Any]:
        """What the primary says of this table; empty: it does not follow it."""
        status = self.cluster.status(self.cluster.primary()) or {}
        found: dict[str, Any] = status.get("streams", {}).get(self.name, {})
        return found

    async def wait_followed(self) -> None:
        await asyncio.to_thread(
            wait_until,
            lambda: bool(self.following().get("following")),
            f"{self.name} is followed",
            FOLLOWED_S,
        )

    def connect(self) -> None:
        self.close()
        knowledge = Knowledge()
        self.nodes = {
            node_id: NodeClient(*address, knowledge)
            for node_id, address in self.cluster.addresses.items()
        }

    def close(self) -> None:
        for node in self.nodes.values():
            node.close()


async def _all(checks: Any) -> bool:
    return all(await asyncio.gather(*checks))


@pytest.fixture
async def table(cluster: Cluster, plain: Any) -> AsyncIterator[Table]:
    table = Table(f"followed-{next(_numbers)}", cluster, plain, {})
    table.connect()
    yield table
    table.close()


async def warm(table: Table) -> None:
    """Followed, and cached on all nodes."""
    table.write_outside("one")
    await table.get(next(iter(table.nodes.values())))  # some node uses it: it is nominated
    await table.wait_followed()
    await table.everywhere("one", ["one"])
    await table.cached_everywhere()


async def test_what_others_write_reaches_every_cache(table: Table) -> None:
    table.create()
    await warm(table)
    for value in ("two", "three"):
        table.write_outside(value)
        await table.everywhere(value, [value])
    table.write_outside("more", number=2)
    await table.everywhere("three", ["three", "more"])
    await table.everywhere("more", ["three", "more"], number=2)
    table.delete_outside()
    await table.everywhere(None, ["more"])
    metrics = metrics_of(table.cluster, table.cluster.primary())
    assert metrics[f'paceline_stream_records_total{{table="{table.name}"}}'] >= 4
    assert metrics[f'paceline_stream_delay_seconds_count{{table="{table.name}"}}'] >= 4
    assert metrics[f'paceline_stream_following{{table="{table.name}"}}'] == 1
    assert metrics[f'paceline_stream_lag_seconds{{table="{table.name}"}}'] < FRESH_S


async def test_own_writes_that_come_back_evict_nothing(table: Table) -> None:
    table.create()
    await warm(table)
    nodes = itertools.cycle(table.nodes.values())
    before = table.following()
    writes = 40
    for number in range(writes):
        item = {**table.key(number), "v": {"S": f"own {number}"}}
        await next(nodes).call("PutItem", TableName=table.name, Item=item)

    def came_back() -> bool:
        return bool(table.following()["records"] - before["records"] >= writes)

    await asyncio.to_thread(wait_until, came_back, "the writes came back", FRESH_S)
    # One that comes back before its own answer is applied as if others had written it.
    assert table.following()["echoes"] - before["echoes"] >= writes * 0.8
    # And the next one by others is noticed all the same.
    table.write_outside("others")
    queried = [f"own {number}" for number in range(writes)]
    queried[1] = "others"
    await table.everywhere("others", queried)


async def test_a_table_that_is_made_anew(table: Table) -> None:
    table.create()
    await warm(table)
    table.plain.delete_table(TableName=table.name)
    table.create()
    table.write_outside("anew")
    await table.everywhere("anew", ["anew"])
    await table.wait_followed()
    await table.cached_everywhere()
    table.write_outside("again")
    await table.everywhere("again", ["again"])


async def test_a_table_without_a_stream_until_it_gets_one(table: Table) -> None:
    table.create(view=None)
    table.write_outside("one")
    await table.get(next(iter(table.nodes.values())))
    await asyncio.to_thread(
        wait_until, lambda: bool(table.following().get("trouble")), "it is told", FOLLOWED_S
    )
    assert "no stream" in table.following()["trouble"]
    assert "update-table" in table.cluster.programs[table.cluster.primary()].log.read_text()
    table.plain.update_table(
        TableName=table.name,
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "KEYS_ONLY"},
    )
    await table.wait_followed()
    await table.everywhere("one", ["one"])
    await table.cached_everywhere()
    table.write_outside("two")
    await table.everywhere("two", ["two"])


async def test_after_the_primary_was_killed_or_stopped(table: Table) -> None:
    cluster = table.cluster
    table.create()
    await warm(table)
    killed = cluster.primary()
    cluster.kill(killed)
    table.write_outside("while nobody followed")
    table.nodes.pop(killed).close()
    await table.everywhere("while nobody followed", ["while nobody followed"])
    await table.wait_followed()
    await table.cached_everywhere()
    table.write_outside("after")
    await table.everywhere("after", ["after"])
    cluster.start_again(killed)
    cluster.wait_serving()

    # A planned stop leaves a checkpoint: the next one goes on there, and flushes nothing.
    table.connect()
    stopped = cluster.primary()
    cluster.programs[stopped].signal(signal.SIGTERM)
    await asyncio.to_thread(
        wait_until, lambda: not cluster.programs[stopped].running, "it stopped", 30.0
    )
    table.write_outside("between")
    table.nodes.pop(stopped).close()
    await table.everywhere("between", ["between"])
    await table.wait_followed()
    flushes = f'paceline_stream_flushes_total{{table="{table.name}"}}'
    assert metrics_of(cluster, cluster.primary()).get(flushes, 0) == 0
    cluster.start_again(stopped)
    cluster.wait_serving()


def metrics_of(cluster: Cluster, node_id: str) -> dict[str, float]:
    _, body = http_request("GET", f"{cluster.node(node_id)['admin']}/metrics", timeout_s=5.0)
    lines = [line for line in body.decode().splitlines() if line and not line.startswith("#")]
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}
