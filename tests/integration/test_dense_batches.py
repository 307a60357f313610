"""Batches of as many values as DynamoDB takes, by every protocol of a real node."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from typing import Any

import grpc
import pytest

import paceline
from node.frontends.grpc.values import fill_item
from paceline.v1 import data_pb2 as pb
from paceline.v1 import data_pb2_grpc
from paceline_local.testing import LocalCluster
from tests.support.cluster import skip_unless_startable
from tests.support.fake_dynamodb import TABLE, FakeDynamoDB

ITEMS, NUMBERS = 25, 6000
CALL_S = 60.0


@pytest.fixture(scope="module")
def dynamodb() -> Iterator[FakeDynamoDB]:
    with FakeDynamoDB() as fake:
        yield fake


@pytest.fixture(scope="module")
def cluster(dynamodb: FakeDynamoDB) -> Iterator[LocalCluster]:
    skip_unless_startable()
    with LocalCluster.start_new(nodes=1, dynamodb=dynamodb.endpoint) as cluster:
        yield cluster


def items(prefix: str) -> list[dict[str, Any]]:
    numbers = [{"N": "7"}] * NUMBERS
    return [{"id": {"S": f"{prefix}{n}"}, "l": {"L": numbers}} for n in range(ITEMS)]


def params(prefix: str) -> dict[str, Any]:
    puts = [{"PutRequest": {"Item": item}} for item in items(prefix)]
    return {"RequestItems": {TABLE: puts}}


def test_by_http(cluster: LocalCluster, dynamodb: FakeDynamoDB) -> None:
    request = urllib.request.Request(
        cluster.http,
        json.dumps(params("http")).encode(),
        {
            "X-Amz-Target": "DynamoDB_20120810.BatchWriteItem",
            "Content-Type": "application/x-amz-json-1.0",
            "Authorization": "AWS4-HMAC-SHA256 Credential=x/20260101/us-east-1/dynamodb/"
            "aws4_request, SignedHeaders=host, Signature=0",
            "X-Amz-Date": "20260101T000000Z",
        },
    )
    with urllib.request.urlopen(request, timeout=CALL_S) as reply:
        assert json.load(reply).get("UnprocessedItems", {}) == {}
    assert dynamodb.arrived("BatchWriteItem")[-1] == params("http")


def test_by_dax(cluster: LocalCluster, dynamodb: FakeDynamoDB) -> None:
    with paceline.Client(cluster.dax) as client:
        assert client.batch_write_item(**params("dax")).get("UnprocessedItems", {}) == {}
    assert dynamodb.arrived("BatchWriteItem")[-1] == params("dax")


def test_by_grpc(cluster: LocalCluster, dynamodb: FakeDynamoDB) -> None:
    request = pb.BatchWriteItemRequest()
    for item in items("grpc"):
        put = request.request_items[TABLE].requests.add()
        put.put_item.SetInParent()
        fill_item(put.put_item.attributes, item)
    with grpc.insecure_channel(cluster.plan.nodes[0].grpc) as channel:
        stub: Any = data_pb2_grpc.DataStub(channel)
        assert not stub.BatchWriteItem(request, timeout=CALL_S).unprocessed_items
    assert dynamodb.arrived("BatchWriteItem")[-1] == params("grpc")
