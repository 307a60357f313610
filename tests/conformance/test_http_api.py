"""DynamoDB's HTTP API on the nodes, with boto3: the answers of DynamoDB itself, step by step."""

import json
import random
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from tests.conformance.operations_suite import OperationsSuite
from tests.conformance.test_differential import SEED, Steps
from tests.conformance.values_suite import ValuesSuite
from tests.support.cluster import Cluster
from tests.support.embedded import boto3_client
from tests.support.twins import Twins, standard_twins

STEPS = 150
DYNAMODB = "DynamoDB_20120810."
CORAL = "com.amazon.coral.service#"


@pytest.fixture(scope="module")
def clients(cluster: Cluster) -> Iterator[list[Any]]:
    """boto3 on the HTTP API of each node."""
    made = [boto3_client(str(node["http"])) for node in cluster.entry["nodes"]]
    yield made
    for client in made:
        client.close()


@pytest.fixture(scope="module")
def twins(clients: list[Any], plain: Any) -> Iterator[Twins]:
    yield from standard_twins(clients[0], plain)


def cache_of(result: Any) -> str:
    return str(result["ResponseMetadata"]["HTTPHeaders"]["x-paceline-cache"])


# The suites come first: they compare whole tables, which the tests below write to by one way only.


class TestOperations(OperationsSuite):
    pass


class TestValues(ValuesSuite):
    pass


def test_random_operations(clients: list[Any], plain: Any) -> None:
    """Through all nodes in turn, each of which must know what the others wrote."""
    seed = f"http {SEED}"
    print(f"seed {seed}")
    made = Steps(random.Random(seed))
    for pairs in standard_twins(clients[0], plain):
        for number in range(STEPS):
            operation, params = made.step()
            pairs.dax = clients[number % len(clients)]
            through, straight = pairs.both(operation, **params)
            assert through == straight, (
                f"step {number} of seed {seed}: {operation}({params})\n"
                f"  through the node: {through}\n  straight:         {straight}"
            )
        for table in ("hash", "range"):
            cached, direct = pairs.dump(table)
            assert cached == direct


# -- bodies, byte for byte -------------------------------------------------------------------------


def call(endpoint: str, operation: str, body: Any) -> tuple[int, Any]:
    """Status and body of a request that no SDK would send; ``body``: bytes or what becomes JSON."""
    request = urllib.request.Request(
        endpoint,
        body if isinstance(body, bytes) else json.dumps(body).encode(),
        {
            "X-Amz-Target": operation if "." in operation else DYNAMODB + operation,
            "Content-Type": "application/x-amz-json-1.0",
            "Authorization": "AWS4-HMAC-SHA256 Credential=x/20260101/us-east-1/dynamodb/"
            "aws4_request, SignedHeaders=host, Signature=0",
        },
    )
    try:
        with urllib.request.urlopen(request, timeout=20) as reply:
            return reply.status, json.loads(reply.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read())


KEY = {"id": {"S": "odd"}}
ODD: list[tuple[str, Any]] = [
    ("GetItem", {"TableName": "hash"}),
    ("GetItem", {"Key": KEY}),
    ("GetItem", {"TableName": "hash", "Key": {}}),
    ("GetItem", {"TableName": "hash", "Key": {"id": {"S": ""}}}),
    ("GetItem", {"TableName": "hash", "Key": {"id": {"N": "1"}}}),
    ("GetItem", {"TableName": "hash", "Key": {**KEY, "more": {"S": "x"}}}),
    ("GetItem", {"TableName": "hash", "Key": KEY, "ProjectionExpression": "a, a"}),
    ("GetItem", {"TableName": "hash", "Key": KEY, "ProjectionExpression": "#a"}),
    ("GetItem", {"TableName": "hash", "Key": KEY, "ExpressionAttributeNames": {"#a": "a"}}),
    ("GetItem", {"TableName": "hash", "Key": KEY, "ReturnConsumedCapacity": "ALL"}),
    ("GetItem", {"TableName": "hash", "Key": KEY, "AttributesToGet": ["id"]}),
    ("GetItem", {"TableName": "no-such-table", "Key": KEY}),
    ("BatchGetItem", {}),
    ("BatchGetItem", {"RequestItems": {}}),
    ("BatchWriteItem", {}),
    ("BatchGetItem", {"RequestItems": {"hash": {"Keys": [KEY, KEY]}}}),
    ("BatchGetItem", {"RequestItems": {"no-such-table": {"Keys": [KEY]}}}),
    ("Query", {"TableName": "hash"}),
    ("Query", {"TableName": "hash", "KeyConditionExpression": "nonsense ="}),
    ("Query", {"TableName": "hash", "IndexName": "none", "KeyConditionExpression": "id = :a"}),
    ("Query", {"TableName": "no-such-table", "KeyConditionExpression": "id = :a"}),
    ("Scan", {"TableName": "hash", "Limit": 0}),
    ("Scan", {"TableName": "hash", "Segment": 1}),
    ("PutItem", {"TableName": "hash"}),
    ("PutItem", {"TableName": "hash", "Item": {**KEY, "a": {"SS": []}}}),
    ("PutItem", {"TableName": "hash", "Item": {**KEY, "a": {"N": "one"}}}),
    ("PutItem", {"TableName": "no-such-table", "Item": KEY}),
    ("PutItem", {"TableName": "hash", "Item": KEY, "ConditionExpression": "id = :nowhere"}),
    ("UpdateItem", {"TableName": "hash", "Key": KEY, "UpdateExpression": "SET id = :a"}),
    ("UpdateItem", {"TableName": "hash", "Key": KEY, "ReturnValues": "SOME"}),
    ("BatchWriteItem", {"RequestItems": {}}),
    ("TransactWriteItems", {"TransactItems": []}),
    ("TransactGetItems", {"TransactItems": [{"Get": {"TableName": "hash", "Key": {}}}]}),
    ("DescribeTable", {"TableName": "no-such-table"}),
    ("ExecuteStatement", {"Statement": "SELECT * FROM"}),
    ("ExecuteStatement", {"Statement": "UPDATE hash SET"}),
    ("DeleteTable", {"TableName": "no-such-table"}),
    ("UpdateTimeToLive", {"TableName": "no-such-table"}),
    ("NoSuchOperation", {"TableName": "hash"}),
    ("DynamoDBStreams_20120810.DescribeStream", {"StreamArn": "nonsense"}),
    ("Scan", {"TableName": "no-such-table"}),
]


@pytest.mark.parametrize("number", range(len(ODD)))
def test_dynamodb_says_what_is_wrong(cluster: Cluster, twins: Twins, number: int) -> None:
    operation, body = ODD[number]
    node = str(cluster.entry["nodes"][number % 3]["http"])
    found = [
        call(endpoint, operation, body if isinstance(body, bytes) else names.real(body))
        for endpoint, names in ((node, twins.cached), (cluster.dynamodb, twins.direct))
    ]
    through, straight = found[0][0], found[1][0]
    assert (through, twins.cached.logical(found[0][1])) == (
        straight,
        twins.direct.logical(found[1][1]),
    )


@pytest.mark.parametrize("operation", ["GetItem", "Scan", "PutItem", "DescribeTable"])
@pytest.mark.parametrize("body", [b"not json", b"{", b'{"TableName": "hash"'])
def test_what_is_no_json_is_refused_as_aws_does(
    cluster: Cluster, operation: str, body: bytes
) -> None:
    """By the node itself, in the words of AWS: type with its prefix, and no message. This DynamoDB
    leaves the prefix out and has a message of its own."""
    for node in cluster.entry["nodes"]:
        status, through = call(str(node["http"]), operation, body)
        same, straight = call(cluster.dynamodb, operation, body)
        assert (status, through) == (400, {"__type": f"{CORAL}SerializationException"})
        assert (same, CORAL + straight["__type"]) == (status, through["__type"])


MISFITS: list[tuple[str, Any]] = [
    ("PutItem", {"TableName": "hash", "Item": {"a": {"S": "1"}}}),
    ("PutItem", {"TableName": "hash", "Item": {"id": {"N": "1"}}}),
    ("PutItem", {"TableName": "hash", "Item": {"id": {"S": ""}}}),
    ("DeleteItem", {"TableName": "hash", "Key": {}}),
    ("BatchWriteItem", {"RequestItems": {"hash": [{"PutRequest": {"Item": {}}}]}}),
]


@pytest.mark.parametrize("number", range(len(MISFITS)))
def test_keys_that_do_not_fit_are_refused_in_dynamodbs_words(
    cluster: Cluster, twins: Twins, number: int
) -> None:
    """By the cluster itself: DynamoDB would have to be asked under a fence of the whole table. Its
    error types have a prefix on AWS, which this DynamoDB leaves out."""
    operation, body = MISFITS[number]
    node = str(cluster.entry["nodes"][number % 3]["http"])
    status, through = call(node, operation, twins.cached.real(body))
    same, straight = call(cluster.dynamodb, operation, twins.direct.real(body))
    assert (status, through["message"]) == (same, straight["message"])
    assert through["__type"].rpartition("#")[2] == straight["__type"].rpartition("#")[2]


@pytest.mark.parametrize("target", ["PutItem", "Other_20120810.GetItem", "DynamoDB_20120810.a-b"])
def test_what_is_refused_without_dynamodb(cluster: Cluster, target: str) -> None:
    status, body = call(str(cluster.entry["nodes"][0]["http"]), target, b"not json")
    assert status == 400
    assert body["__type"].startswith("com.amazon.coral.service#")


# -- what the caches do ----------------------------------------------------------------------------


def test_reads_say_where_they_come_from(clients: list[Any], twins: Twins) -> None:
    table = twins.cached.names["hash"]
    key = {"id": {"S": "headers"}}
    clients[0].put_item(TableName=table, Item={**key, "a": {"S": "1"}})
    assert cache_of(clients[0].get_item(TableName=table, Key=key)) in ("hit", "miss")
    assert cache_of(clients[0].get_item(TableName=table, Key=key)) == "hit"
    assert cache_of(clients[0].get_item(TableName=table, Key=key, ConsistentRead=True)) == "bypass"
    batch = {table: {"Keys": [key]}}
    assert cache_of(clients[0].batch_get_item(RequestItems=batch)) == "hit"
    query = {
        "TableName": table,
        "KeyConditionExpression": "id = :id",
        "ExpressionAttributeValues": {":id": key["id"]},
    }
    first, second = (clients[0].query(**query) for _ in range(2))
    assert (cache_of(first), cache_of(second)) == ("miss", "hit")
    assert first["Items"] == second["Items"]
    capacity = clients[0].get_item(TableName=table, Key=key, ReturnConsumedCapacity="TOTAL")
    assert capacity["ConsumedCapacity"] == {"TableName": table, "CapacityUnits": 0.0}


def test_a_projection_that_dynamodb_took_once_is_answered_from_the_cache(
    clients: list[Any], twins: Twins
) -> None:
    table = twins.cached.names["hash"]
    key = {"id": {"S": "projected"}}
    clients[0].put_item(TableName=table, Item={**key, "a": {"S": "1"}, "b": {"S": "2"}})
    found = [
        clients[0].get_item(TableName=table, Key=key, ProjectionExpression="a, nowhere")
        for _ in range(3)
    ]
    assert [one["Item"] for one in found] == [{"a": {"S": "1"}}] * 3
    assert [cache_of(one) for one in (found[0], found[2])] == ["bypass", "hit"]


WRITES_BY_STATEMENT = [
    ("INSERT INTO \"{}\" VALUE {{'id': 'ql', 'a': 'new'}}", "new"),
    ("UPDATE \"{}\" SET a = 'other' WHERE id = 'ql'", "other"),
    ("DELETE FROM \"{}\" WHERE id = 'ql'", None),
]


@pytest.mark.parametrize("kind", ["single", "batch", "transaction"])
def test_partiql_writes_are_seen_at_once_by_every_node(
    clients: list[Any], twins: Twins, kind: str
) -> None:
    table = twins.cached.names["hash"]
    key = {"id": {"S": "ql"}}
    for statement, expected in WRITES_BY_STATEMENT:
        for client in clients:
            client.get_item(TableName=table, Key=key)
            client.scan(TableName=table)
        text = {"Statement": statement.format(table)}
        if kind == "single":
            clients[1].execute_statement(**text)
        elif kind == "batch":
            answer = clients[1].batch_execute_statement(Statements=[text])
            assert "Error" not in answer["Responses"][0]
        else:
            clients[1].execute_transaction(TransactStatements=[text])
        for client in clients:
            item = client.get_item(TableName=table, Key=key).get("Item", {})
            assert item.get("a", {}).get("S") == expected
            rows = [r for r in client.scan(TableName=table)["Items"] if r["id"] == key["id"]]
            assert [row["a"]["S"] for row in rows] == ([] if expected is None else [expected])


def test_a_write_with_a_member_that_no_node_knows_is_seen_at_once(
    cluster: Cluster, clients: list[Any], twins: Twins
) -> None:
    table = twins.cached.names["hash"]
    key = {"id": {"S": "unknown"}}
    clients[0].put_item(TableName=table, Item={**key, "a": {"S": "old"}})
    for client in clients:
        client.get_item(TableName=table, Key=key)
    body = {"TableName": table, "Item": {**key, "a": {"S": "new"}}, "FromTheFuture": True}
    status, _ = call(str(cluster.entry["nodes"][1]["http"]), "PutItem", body)
    assert status == 200
    for client in clients:
        assert client.get_item(TableName=table, Key=key)["Item"]["a"] == {"S": "new"}


def test_a_table_that_is_made_anew_is_empty_everywhere(clients: list[Any], plain: Any) -> None:
    definition: dict[str, Any] = {
        "TableName": "made-anew",
        "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
        "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
        "BillingMode": "PAY_PER_REQUEST",
    }
    key = {"id": {"S": "1"}}
    clients[0].create_table(**definition)
    try:
        clients[0].put_item(TableName="made-anew", Item=key)
        for client in clients:
            assert client.get_item(TableName="made-anew", Key=key)["Item"] == key
        clients[1].delete_table(TableName="made-anew")
        with pytest.raises(clients[2].exceptions.ResourceNotFoundException):
            clients[2].get_item(TableName="made-anew", Key=key)
        clients[2].create_table(**definition)
        for client in clients:
            assert "Item" not in client.get_item(TableName="made-anew", Key=key)
    finally:
        plain.delete_table(TableName="made-anew")


def test_other_operations_are_passed_on(clients: list[Any], twins: Twins, plain: Any) -> None:
    table = twins.cached.names["hash"]
    described = clients[0].describe_table(TableName=table)["Table"]
    assert described == plain.describe_table(TableName=table)["Table"]
    ttl = {"Enabled": True, "AttributeName": "expires"}
    clients[1].update_time_to_live(TableName=table, TimeToLiveSpecification=ttl)
    found = clients[2].describe_time_to_live(TableName=table)["TimeToLiveDescription"]
    assert found["AttributeName"] == "expires"
    clients[0].tag_resource(
        ResourceArn=described["TableArn"], Tags=[{"Key": "who", "Value": "paceline"}]
    )
    tags = clients[1].list_tags_of_resource(ResourceArn=described["TableArn"])["Tags"]
    assert {"Key": "who", "Value": "paceline"} in tags
    assert table in [
        n for page in clients[0].get_paginator("list_tables").paginate() for n in page["TableNames"]
    ]
