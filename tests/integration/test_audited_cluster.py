"""A real cluster with the auditor at work, and a table whose consistent reads its caches answer."""

import asyncio
import contextlib
import itertools
import json
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from typing import Any

import botocore.session
import pytest
from amazondax import AmazonDaxClient

from paceline.errors import PacelineError
from paceline_local.admin_token import command_headers
from paceline_local.probes import get_json, http_request
from tests.support.cluster import Cluster
from tests.support.embedded import boto3_client
from tests.support.protocol_client import Knowledge, NodeClient
from tests.support.waiting import wait_until

STRONG, USUAL = "strong", "usual"
AUDIT_READS = 100
AUDIT_S = 60.0
"""At fifty reads a second two seconds are enough, on a machine that has nothing else to do."""
READS = 30
"""Of one item, by a client that spreads its reads: enough for every node to be among them."""


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    settings = {
        "PACELINE_AUDIT__READS_PER_S": "50",
        # Long enough that a busy machine does not make nodes pass reads through.
        "PACELINE_LEASE__PRIMARY_S": "6",
        "PACELINE_LEASE__READ_S": "5",
        "PACELINE_CACHE__TABLES": json.dumps({STRONG: {"consistent_reads": "cache"}}),
    }
    with Cluster(tmp_path_factory.mktemp("audited"), settings=settings) as cluster:
        cluster.wait_serving()
        yield cluster


@pytest.fixture(scope="module")
def plain(shared: Cluster) -> Iterator[Any]:
    """boto3 straight on the cluster's DynamoDB: a writer outside the cluster."""
    client = boto3_client(shared.dynamodb)
    for table in (STRONG, USUAL):
        client.create_table(
            TableName=table,
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
    yield client
    client.close()


@pytest.fixture(scope="module")
def dax(shared: Cluster) -> Iterator[Any]:
    session = botocore.session.get_session()
    with AmazonDaxClient(
        session,
        endpoint_url=shared.dax,
        region_name="us-east-1",
        aws_access_key_id="x",
        aws_secret_access_key="x",
    ) as client:
        yield client


@pytest.fixture
def cluster(shared: Cluster, plain: Any) -> Cluster:
    """With nothing cached, so that no test sees what another one left behind."""
    admin = shared.node(shared.primary())["admin"]
    headers = command_headers(get_json(f"{admin}/status", 15.0))
    status, body = http_request("POST", f"{admin}/flush", headers=headers, timeout_s=15.0)
    assert status == 200, body
    wait_until(lambda: shared.counter("items") == 0, "every cache is empty")
    return shared


def upstream(cluster: Cluster) -> int:
    """Reads that nodes have sent to DynamoDB for their clients."""
    return sum(cluster.counter(name) for name in ("misses", "bypasses", "query_misses"))


def found(cluster: Cluster, name: str) -> int:
    """The auditor's count since the start, wherever it has run."""
    return sum(int(status["audit"]["since_start"][name]) for status in cluster.statuses().values())


def audit_reads(cluster: Cluster) -> int:
    return sum(int(status["audit"]["reads"]) for status in cluster.statuses().values())


Read = Callable[[Any, str], Any]

CONSISTENT: dict[str, Read] = {
    "GetItem": lambda dax, table: dax.get_item(
        TableName=table, Key={"id": {"S": "k"}}, ConsistentRead=True
    ).get("Item"),
    "GetItem, projected": lambda dax, table: dax.get_item(
        TableName=table, Key={"id": {"S": "k"}}, ConsistentRead=True, ProjectionExpression="v"
    ).get("Item"),
    "BatchGetItem": lambda dax, table: dax.batch_get_item(
        RequestItems={table: {"Keys": [{"id": {"S": "k"}}], "ConsistentRead": True}}
    )["Responses"][table],
    "Query": lambda dax, table: dax.query(
        TableName=table,
        KeyConditionExpression="id = :id",
        ExpressionAttributeValues={":id": {"S": "k"}},
        ConsistentRead=True,
    )["Items"],
    "Scan": lambda dax, table: dax.scan(TableName=table, ConsistentRead=True)["Items"],
}


@pytest.mark.parametrize("name", CONSISTENT)
def test_consistent_reads_hit_where_the_table_says_so(
    cluster: Cluster, plain: Any, dax: Any, name: str
) -> None:
    read = CONSISTENT[name]
    plain.put_item(TableName=STRONG, Item={"id": {"S": "k"}, "v": {"N": "1"}})
    first = read(dax, STRONG)
    for _ in range(READS):
        read(dax, STRONG)
    before = upstream(cluster)
    # What nobody told the cluster of must stay unseen: every node answers from its cache.
    plain.put_item(TableName=STRONG, Item={"id": {"S": "k"}, "v": {"N": "2"}})
    assert [read(dax, STRONG) for _ in range(READS)] == [first] * READS
    assert upstream(cluster) == before


def test_a_consistent_read_sees_every_write_through_the_cluster(cluster: Cluster, dax: Any) -> None:
    for value in range(50):
        item = {"id": {"S": "own"}, "v": {"N": str(value)}}
        dax.put_item(TableName=STRONG, Item=item)
        for _ in range(3):
            got = dax.get_item(TableName=STRONG, Key={"id": item["id"]}, ConsistentRead=True)
            assert got["Item"] == item


def test_transactions_pass_through_even_there(cluster: Cluster, plain: Any, dax: Any) -> None:
    key = {"id": {"S": "transacted"}}
    plain.put_item(TableName=STRONG, Item={**key, "v": {"N": "1"}})
    for _ in range(READS):
        dax.get_item(TableName=STRONG, Key=key)
    plain.put_item(TableName=STRONG, Item={**key, "v": {"N": "2"}})
    get = {"Get": {"TableName": STRONG, "Key": key}}
    (response,) = dax.transact_get_items(TransactItems=[get])["Responses"]
    assert response["Item"]["v"] == {"N": "2"}


@pytest.mark.parametrize("name", CONSISTENT)
def test_by_default_dynamodb_answers_every_one(
    cluster: Cluster, plain: Any, dax: Any, name: str
) -> None:
    read = CONSISTENT[name]
    plain.put_item(TableName=USUAL, Item={"id": {"S": "k"}, "v": {"N": "1"}})
    first = read(dax, USUAL)
    before = upstream(cluster)
    assert [read(dax, USUAL) for _ in range(5)] == [first] * 5
    plain.put_item(TableName=USUAL, Item={"id": {"S": "k"}, "v": {"N": "2"}})
    assert read(dax, USUAL) != first
    assert upstream(cluster) == before + 6


async def test_under_writes_through_the_cluster_all_nodes_agree_with_dynamodb(
    cluster: Cluster,
) -> None:
    """Hot keys, written and read through every node without a pause, among quiet ones."""
    before, judged = audit_reads(cluster), found(cluster, "keys")
    accused = found(cluster, "disagreements")
    knowledge = Knowledge()
    writes = 0
    over = asyncio.Event()

    async with AsyncExitStack() as stack:
        nodes = [
            await stack.enter_async_context(NodeClient(*cluster.address(node_id), knowledge))
            for node_id in cluster.node_ids
        ]

        async def write(node: NodeClient, key: str) -> None:
            nonlocal writes
            for value in itertools.count():
                if over.is_set():
                    return
                item = {"id": {"S": key}, "v": {"N": str(value)}}
                with contextlib.suppress(PacelineError):  # a busy machine's time-outs
                    await node.call("PutItem", TableName=USUAL, Item=item)
                    writes += 1
                    for reader in nodes:
                        await reader.call("GetItem", TableName=USUAL, Key={"id": {"S": key}})

        for number in range(4):
            item = {"id": {"S": f"quiet {number}"}, "v": {"NS": ["1.50", str(number + 7)]}}
            await nodes[number % len(nodes)].call("PutItem", TableName=USUAL, Item=item)
        async with asyncio.TaskGroup() as group, asyncio.timeout(AUDIT_S):
            # Two writers of each key, through different nodes.
            for lane in range(8):
                group.create_task(write(nodes[lane % 3], f"hot {lane // 2}"))
            while (  # noqa: ASYNC110 - what another process does
                await asyncio.to_thread(audit_reads, cluster) < before + AUDIT_READS
            ):
                await asyncio.sleep(0.1)
            over.set()
    assert found(cluster, "disagreements") == accused
    assert found(cluster, "keys") >= judged + AUDIT_READS // 10
    assert writes > AUDIT_READS, f"only {writes} writes: that proves little"


def test_a_writer_outside_the_cluster_is_found_out(cluster: Cluster, plain: Any, dax: Any) -> None:
    accused = found(cluster, "disagreements")
    for number in range(3):
        item = {"id": {"S": f"outside {number}"}, "v": {"N": "1"}}
        dax.put_item(TableName=USUAL, Item=item)
    before = found(cluster, "keys")
    wait_until(lambda: found(cluster, "keys") > before + 3, "the auditor is at work", AUDIT_S)
    assert found(cluster, "disagreements") == accused
    for number in range(3):
        plain.delete_item(TableName=USUAL, Key={"id": {"S": f"outside {number}"}})
    wait_until(lambda: found(cluster, "disagreements") > accused, "the auditor finds it", AUDIT_S)
    primary = cluster.primary()
    status = cluster.status(primary)
    assert status is not None
    last = status["audit"]["last_disagreement"]
    assert (last["table"], last["dynamodb"]) == (USUAL, "absent")
    assert {accused["node"] for accused in last["nodes"]} == set(cluster.node_ids)
    assert "differs from DynamoDB" in cluster.programs[primary].log.read_text()
    _, metrics = http_request("GET", f"{cluster.node(primary)['admin']}/metrics")
    assert b'paceline_audit_samples_total{node="node-2",result="disagree"}' in metrics
    assert b'paceline_audit_agreement_nines{window="hour"}' in metrics
