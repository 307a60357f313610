"""Bodies that a node passes on as they came: compressed ones, PartiQL that it cannot read,
projections that only DynamoDB can judge."""

import gzip
import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.cluster import Cluster
from tests.support.embedded import boto3_client
from tests.support.twins import Twins, standard_twins

HEADERS = {
    "Content-Type": "application/x-amz-json-1.0",
    "Authorization": "AWS4-HMAC-SHA256 Credential=x/20260101/us-east-1/dynamodb/aws4_request, "
    "SignedHeaders=host, Signature=0",
    "X-Amz-Date": "20260101T000000Z",
}


def call(endpoint: str, operation: str, body: bytes, **headers: str) -> tuple[int, Any]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    target = {"X-Amz-Target": f"DynamoDB_20120810.{operation}"}
    request = urllib.request.Request(endpoint, body, {**HEADERS, **target, **named})
    try:
        with urllib.request.urlopen(request, timeout=20) as reply:
            return reply.status, json.loads(reply.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read())


@pytest.fixture(scope="module")
def clients(cluster: Cluster) -> Iterator[list[Any]]:
    made = [boto3_client(str(node["http"])) for node in cluster.entry["nodes"]]
    yield made
    for client in made:
        client.close()


@pytest.fixture(scope="module")
def twins(clients: list[Any], plain: Any) -> Iterator[Twins]:
    yield from standard_twins(clients[0], plain)


def test_a_compressed_write_is_done(cluster: Cluster, clients: list[Any], twins: Twins) -> None:
    table = twins.cached.names["hash"]
    item = {"id": {"S": "packed"}, "text": {"S": "x" * 20_000}}
    body = gzip.compress(json.dumps({"TableName": table, "Item": item}).encode())
    node = str(cluster.entry["nodes"][0]["http"])
    assert call(node, "PutItem", body, Content_Encoding="gzip") == (200, {})
    assert clients[1].get_item(TableName=table, Key={"id": item["id"]})["Item"] == item
    assert call(node, "PutItem", body[:-1], Content_Encoding="gzip")[0] == 500


ODD: list[tuple[str, Any]] = [
    ("ExecuteStatement", {}),
    ("ExecuteStatement", {"Statement": "TRUNCATE hash"}),
    ("BatchExecuteStatement", {"Statements": [{"Statement": "nonsense"}]}),
    ("ExecuteTransaction", {"TransactStatements": [{"Statement": "nonsense"}]}),
]


@pytest.mark.parametrize("number", range(len(ODD)))
def test_what_a_node_cannot_read_dynamodb_does(cluster: Cluster, twins: Twins, number: int) -> None:
    operation, body = ODD[number]
    node = str(cluster.entry["nodes"][number % 3]["http"])
    (through, one), (straight, other) = (
        call(endpoint, operation, json.dumps(tables.real(body)).encode())
        for endpoint, tables in ((node, twins.cached), (cluster.dynamodb, twins.direct))
    )
    assert (through, twins.cached.logical(one)) == (straight, twins.direct.logical(other))


def test_a_reserved_word_is_not_taken_for_valid_where_there_is_no_item(
    clients: list[Any], twins: Twins
) -> None:
    """This DynamoDB looks at a projection only once there is something to project."""
    for there in (False, True):
        for key in ({"id": {"S": "reserved"}}, {"id": {"S": "reserved too"}}):
            if there:
                twins.same("PutItem", TableName="hash", Item={**key, "name": {"S": "a"}})
            twins.same("GetItem", TableName="hash", Key=key, ProjectionExpression="name")
            if (
                not there
            ):  # what it answers a batch then is InternalError, which nodes repeat for long
                request = {"hash": {"Keys": [key], "ProjectionExpression": "size"}}
                twins.same("BatchGetItem", RequestItems=request)
