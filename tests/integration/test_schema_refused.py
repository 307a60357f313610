"""Three real nodes, and a DynamoDB that does not say what its tables are."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.support.cluster import Cluster
from tests.support.fake_dynamodb import TABLE, FakeDynamoDB
from tests.support.flaky_http import THROTTLE, Answer, Behaviour, error
from tests.support.waiting import wait_until

KEY = {"id": {"S": "a"}}
REFUSALS = [
    THROTTLE,
    error("InternalServerError", 500),
    error("AccessDeniedException"),
    error("ResourceNotFoundException"),
]
PUTS = 2
ANSWER_S = 0.5
"""How long a write that has happened is not yet answered."""
HEADERS = {
    "Content-Type": "application/x-amz-json-1.0",
    "Authorization": "AWS4-HMAC-SHA256 Credential=x/20260101/us-east-1/dynamodb/aws4_request, "
    "SignedHeaders=host, Signature=0",
    "X-Amz-Date": "20260101T000000Z",
}


class Store(FakeDynamoDB):
    """Holds one item. ``described``: what DescribeTable is answered; None: in order."""

    def __init__(self) -> None:
        super().__init__()
        self.item: dict[str, Any] = {**KEY, "v": {"N": "0"}}
        self.described: Behaviour | None = None

    def _answer(self, operation: str, params: dict[str, Any]) -> Behaviour:
        if operation == "DescribeTable" and self.described is not None:
            return self.described
        if operation == "PutItem":
            self.item = params["Item"]
            return Answer(after_s=ANSWER_S)
        if operation == "GetItem":
            return Answer({"Item": self.item})
        return super()._answer(operation, params)


@pytest.fixture(scope="module")
def store() -> Iterator[Store]:
    with Store() as store:
        yield store


@pytest.fixture(scope="module")
def cluster(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    arguments = [f"--dynamodb={store.endpoint}"]
    with Cluster(tmp_path_factory.mktemp("refused"), arguments=arguments) as cluster:
        cluster.wait_serving()
        yield cluster


def call(cluster: Cluster, node: str, operation: str, **body: Any) -> tuple[dict[str, Any], str]:
    """The answer, and whether the cache gave it."""
    target = {"X-Amz-Target": f"DynamoDB_20120810.{operation}"}
    data = json.dumps({"TableName": TABLE, **body}).encode()
    request = urllib.request.Request(str(cluster.node(node)["http"]), data, {**HEADERS, **target})
    with urllib.request.urlopen(request, timeout=30) as reply:
        return json.loads(reply.read()), reply.headers["x-paceline-cache"]


@pytest.mark.full
def test_no_hit_is_stale_when_the_writers_node_does_not_know_the_table(
    cluster: Cluster, store: Store
) -> None:
    """Its write once went to DynamoDB from there, and no node was told of it."""
    reader, writer = cluster.replicas()

    def hits() -> bool:
        return call(cluster, reader, "GetItem", Key=KEY)[1] == "hit"

    def seen(item: dict[str, Any]) -> bool:
        answer, _ = call(cluster, writer, "GetItem", Key=KEY, ConsistentRead=True)
        return bool(answer["Item"] == item)

    wait_until(hits, "the reader has the item in its cache")
    value = 0
    for refusal in REFUSALS:
        store.described = refusal
        for _ in range(PUTS):
            value += 1
            item = {**KEY, "v": {"N": str(value)}}
            with ThreadPoolExecutor(1) as pool:
                put = pool.submit(call, cluster, writer, "PutItem", Item=item)
                wait_until(lambda item=item: seen(item), "somebody sees the write")  # type: ignore[misc]
                for _ in range(2):
                    answer, cache = call(cluster, reader, "GetItem", Key=KEY)
                    assert answer["Item"] == item, (refusal, cache)
                put.result()
            answer, cache = call(cluster, reader, "GetItem", Key=KEY)
            assert answer["Item"] == item, (refusal, cache)
    assert len(store.arrived("PutItem")) == value  # each was sent once
