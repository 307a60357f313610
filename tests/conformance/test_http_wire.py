"""What stands around a body: requests that are none, content types, signatures, empty answers."""

import http.client
import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.cluster import Cluster
from tests.support.embedded import boto3_client

JSON_10 = "application/x-amz-json-1.0"
UNKNOWN = "com.amazon.coral.service#UnknownOperationException"
SERIALIZATION = "com.amazon.coral.service#SerializationException"


def send(
    endpoint: str, method: str, body: str | None = None, **headers: str
) -> tuple[int, str | None, str]:
    """Status, content type and body."""
    connection = http.client.HTTPConnection(endpoint.removeprefix("http://"), timeout=20)
    try:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, "/", body, named)
        reply = connection.getresponse()
        return reply.status, reply.getheader("Content-Type"), reply.read().decode()
    finally:
        connection.close()


@pytest.fixture
def endpoint(cluster: Cluster) -> str:
    return str(cluster.entry["nodes"][0]["http"])


def test_what_is_no_request_is_answered_as_by_dynamodb(endpoint: str) -> None:
    assert send(endpoint, "GET") == (200, None, "healthy: dynamodb.us-east-1.amazonaws.com ")
    page = (404, None, "<UnknownOperationException/>\n")
    assert send(endpoint, "PUT") == page
    assert send(endpoint, "POST", "{}", Content_Type="text/plain") == page
    for body, name in [("{}", UNKNOWN), ("hi", SERIALIZATION)]:
        for content_type in ("application/json", JSON_10):
            status, answered_type, answer = send(endpoint, "POST", body, Content_Type=content_type)
            assert (status, answered_type) == (400, content_type)
            assert json.loads(answer) == {"__type": name}


@pytest.mark.parametrize("authorization", [None, "AWS4", "AWS4-HMAC-SHA256 Credential=a/b"])
def test_signatures_are_as_good_as_dynamodb_takes_them(
    cluster: Cluster, endpoint: str, authorization: str | None
) -> None:
    headers = {"X_Amz_Target": "DynamoDB_20120810.ListTables", "Content_Type": JSON_10}
    if authorization is not None:
        headers["Authorization"] = authorization
    assert send(endpoint, "POST", "{}", **headers)[0] == 200
    assert send(cluster.dynamodb, "POST", "{}", **headers)[0] == 200


@pytest.fixture
def table(plain: Any) -> Iterator[str]:
    name = "http-wire"
    plain.create_table(
        TableName=name,
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    yield name
    plain.delete_table(TableName=name)


def test_tags(endpoint: str, plain: Any, table: str) -> None:
    """DynamoDB says nothing at all to them."""
    arn = plain.describe_table(TableName=table)["Table"]["TableArn"]
    client = boto3_client(endpoint)
    try:
        client.tag_resource(ResourceArn=arn, Tags=[{"Key": "a", "Value": "b"}])
        assert plain.list_tags_of_resource(ResourceArn=arn)["Tags"] == [{"Key": "a", "Value": "b"}]
        client.untag_resource(ResourceArn=arn, TagKeys=["a"])
        assert client.list_tags_of_resource(ResourceArn=arn)["Tags"] == []
    finally:
        client.close()
