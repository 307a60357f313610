"""A write acknowledged through any node is seen by the next read through every other node.

Each check is a write through one node and, after its answer, a read through each of them. The
short form makes 960 such writes in all, the soak form 100 000.
"""

import asyncio
import itertools
import random
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from paceline.errors import DynamoDBError
from tests.support.cluster import Cluster
from tests.support.embedded import boto3_client
from tests.support.protocol_client import Knowledge, NodeClient
from tests.support.twins import keys

SEED = 4711
WRITES = 960  # 240 a shape, 40 a lane: each a whole number of rounds
SOAK_WRITES = 100_000
AT_A_TIME = 6
"""Writers of keys of their own, side by side."""
CACHE_BYTES_MIN = 1024 * 1024
"""The smallest cache that the settings allow: with items of 8 KB it holds about 120."""
PAD = "x" * 8192
NEW_LISTS = 40

_numbers = itertools.count(1)

Shape = Callable[["Visibility", int, random.Random], Awaitable[int]]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    settings = {"PACELINE_CACHE__BYTES_MAX": str(CACHE_BYTES_MIN)}
    with Cluster(tmp_path_factory.mktemp("visibility"), settings=settings) as cluster:
        cluster.wait_serving()
        yield cluster


@dataclass
class Visibility:
    """One node client per node, one table."""

    nodes: list[NodeClient]
    table: str
    reads: int = 0
    stale: int = 0

    async def put(self, node: NodeClient, key: str, value: int, **more: Any) -> None:
        item = {"id": {"S": key}, "v": {"N": str(value)}, **more}
        await node.call("PutItem", TableName=self.table, Item=item)

    async def add(self, node: NodeClient, key: str) -> int:
        """Adds one to the value, and the sum."""
        result = await node.call(
            "UpdateItem",
            TableName=self.table,
            Key={"id": {"S": key}},
            UpdateExpression="ADD v :one",
            ExpressionAttributeValues={":one": {"N": "1"}},
            ReturnValues="UPDATED_NEW",
        )
        return int(result["Attributes"]["v"]["N"])

    async def get(self, node: NodeClient, key: str) -> int:
        """0 for a missing item."""
        result = await node.call("GetItem", TableName=self.table, Key={"id": {"S": key}})
        return int(result["Item"]["v"]["N"]) if "Item" in result else 0

    async def seen_everywhere(self, key: str, least: int, most: int | None = None) -> None:
        """Every node gives a value of at least ``least`` (and at most ``most``) right now."""
        values = await asyncio.gather(*(self.get(node, key) for node in self.nodes))
        self.reads += len(values)
        for node, value in zip(self.nodes, values, strict=True):
            good = value >= least and (most is None or value <= most)
            self.stale += not good
            assert good, f"port {node.port} returned {key}={value}, {least} was acknowledged"


async def warm_keys(test: Visibility, writes: int, rng: random.Random) -> int:
    """Few keys, cached on every node when they are written."""
    hot = [f"warm {rng.random()}" for _ in range(20)]
    for value in range(1, writes // len(hot) + 1):
        for key in hot:
            await test.put(rng.choice(test.nodes), key, value)
            await test.seen_everywhere(key, value, value)
    return writes // len(hot) * len(hot)


async def misses(test: Visibility, writes: int, rng: random.Random) -> int:
    """Every key new: absent in all caches, or there as a negative entry; created and deleted."""
    for number in range(writes // 2):
        key = f"miss {rng.random()}"
        if number % 2:
            await test.seen_everywhere(key, 0, 0)
        await test.put(rng.choice(test.nodes), key, 1)
        await test.seen_everywhere(key, 1, 1)
        await rng.choice(test.nodes).call(
            "DeleteItem", TableName=test.table, Key={"id": {"S": key}}
        )
        await test.seen_everywhere(key, 0, 0)
    return writes // 2 * 2


async def evictions(test: Visibility, writes: int, rng: random.Random) -> int:
    """More items than any cache holds, so that entries come and go all the time."""
    run = rng.random()
    written: dict[str, int] = {}
    for value in range(1, writes + 1):
        key = f"big {run} {rng.randrange(400)}"
        await test.put(rng.choice(test.nodes), key, value, pad={"S": PAD})
        written[key] = value
        await test.seen_everywhere(key, value, value)
        other = rng.choice(list(written))
        await test.seen_everywhere(other, written[other], written[other])
    return writes


async def same_key(test: Visibility, writes: int, rng: random.Random) -> int:
    """Writers of one key through all nodes at once: each sees its own sum, or a later one."""
    key = f"counter {rng.random()}"

    async def writer(node: NodeClient, times: int) -> None:
        for _ in range(times):
            total = await test.add(node, key)
            await test.seen_everywhere(key, total)

    each = writes // (2 * len(test.nodes))
    await asyncio.gather(*(writer(node, each) for node in test.nodes * 2))
    assert await test.get(test.nodes[0], key) == 2 * len(test.nodes) * each
    return 2 * len(test.nodes) * each


SHAPES: dict[str, Shape] = {
    "warm keys": warm_keys,
    "misses": misses,
    "evictions": evictions,
    "same key": same_key,
}


async def run(cluster: Cluster, shape: Shape, writes: int, seed: int) -> None:
    print(f"seed {seed}")
    plain = boto3_client(cluster.dynamodb)
    table = f"visibility-{next(_numbers)}"
    plain.create_table(TableName=table, BillingMode="PAY_PER_REQUEST", **keys(("id", "S")))
    plain.close()
    before = {name: cluster.counter(name) for name in ("hits", "misses", "evictions")}
    knowledge = Knowledge()
    nodes = [NodeClient(*address, knowledge) for address in cluster.addresses.values()]
    test = Visibility(nodes, table)
    lanes = 1 if shape is same_key else AT_A_TIME
    try:
        done = await asyncio.gather(
            *(
                shape(test, writes // lanes, random.Random(f"{seed}/{lane}"))
                for lane in range(lanes)
            )
        )
    finally:
        for node in nodes:
            node.close()
    after = {name: cluster.counter(name) - count for name, count in before.items()}
    print(f"{sum(done)} writes, {test.reads} reads: {after}")
    assert sum(done) >= 0.9 * writes
    assert test.reads >= sum(done) * len(nodes)
    assert test.stale == 0
    # The caches answered; else nothing was tested. (A key that is written all the time is fenced
    # most of the time.)
    assert after["hits"] > (0 if shape is same_key else sum(done))
    if shape is evictions:
        assert after["evictions"] > sum(done) / 10


@pytest.mark.parametrize("name", SHAPES)
async def test_an_acknowledged_write_is_seen_through_every_node(
    cluster: Cluster, name: str
) -> None:
    await run(cluster, SHAPES[name], WRITES // len(SHAPES), SEED)


@pytest.mark.soak
@pytest.mark.parametrize("name", SHAPES)
async def test_a_hundred_thousand_writes(cluster: Cluster, name: str) -> None:
    await run(cluster, SHAPES[name], SOAK_WRITES // len(SHAPES), SEED + 1)


async def test_new_lists_are_readable_and_writable_through_every_node(cluster: Cluster) -> None:
    print(f"seed {SEED}")
    rng = random.Random(SEED)
    plain = boto3_client(cluster.dynamodb)
    plain.create_table(TableName="list-lag", BillingMode="PAY_PER_REQUEST", **keys(("id", "S")))
    plain.close()
    # Each reader has a cache of its own, as official clients have one per node.
    writer_lists, *others = [Knowledge() for _ in range(4)]
    addresses = list(cluster.addresses.values())
    writers = [NodeClient(*address, writer_lists) for address in addresses]
    readers = [
        NodeClient(*address, known) for address, known in zip(addresses, others, strict=True)
    ]
    try:
        for number in range(NEW_LISTS):
            item = {"id": {"S": f"{number}"}, f"name {number}": {"S": "value"}}
            key = {"id": item["id"]}
            # A list learnt from one node is used at another at once.
            rng.shuffle(writers)
            await writers[0].call("PutItem", TableName="list-lag", Item=item)
            found = await asyncio.gather(
                *(reader.call("GetItem", TableName="list-lag", Key=key) for reader in readers),
                *(
                    reader.call("GetItem", TableName="list-lag", Key=key, ProjectionExpression="id")
                    for reader in readers
                ),
                writers[1].call("PutItem", TableName="list-lag", Item=item),
            )
            for result in found[: len(readers)]:
                assert result["Item"] == item
    finally:
        for client in (*writers, *readers):
            client.close()


async def test_an_id_that_nobody_registered_is_refused(cluster: Cluster) -> None:
    known = Knowledge()
    known.ids["v",] = 123_456_789
    async with NodeClient(*cluster.address(cluster.node_ids[0]), known) as client:
        with pytest.raises(DynamoDBError) as caught:
            await client.call(
                "PutItem", TableName="list-lag", Item={"id": {"S": "bad"}, "v": {"S": "x"}}
            )
    assert caught.value.name == "ValidationException"
    assert "123456789" in caught.value.message
