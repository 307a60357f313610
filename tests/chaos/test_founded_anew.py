"""A cluster is founded anew while a write of the one before it is still on its way to DynamoDB.

The new cluster's log is empty: nothing in it says that a write is under way. So its first epoch
begins as one that knows nothing, with every key unknown.
"""

import threading
from pathlib import Path
from typing import Any

import pytest

from tests.support.cluster import Cluster
from tests.support.embedded import boto3_client
from tests.support.fake_dynamodb import TABLE, FakeDynamoDB
from tests.support.flaky_http import Answer, Behaviour, Hang
from tests.support.waiting import wait_until

QUARANTINE_S = 60
"""Longer than this test takes on any machine: the write lands within the quarantine."""
KEY = {"id": {"S": "key"}}


class LateDynamoDB(FakeDynamoDB):
    """One item. A write of it gets no answer; it lands when the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.item = {**KEY, "v": {"N": "1"}}

    def _answer(self, operation: str, params: dict[str, Any]) -> Behaviour:
        match operation:
            case "GetItem":
                return Answer({"Item": self.item})
            case "BatchGetItem":
                return Answer({"Responses": {TABLE: [self.item]}, "UnprocessedKeys": {}})
            case "PutItem":
                return Hang()
        return super()._answer(operation, params)


@pytest.mark.parametrize("nodes", [1, pytest.param(3, marks=pytest.mark.soak)])
def test_a_write_that_lands_after_the_cluster_was_founded_anew_makes_no_hit_stale(
    nodes: int, tmp_path: Path
) -> None:
    settings = {
        "PACELINE_LEASE__QUARANTINE_S": str(QUARANTINE_S),
        "PACELINE_AUDIT__READS_PER_S": "0",
    }
    with (
        LateDynamoDB() as late,
        Cluster(
            tmp_path, nodes=nodes, settings=settings, arguments=[f"--dynamodb={late.endpoint}"]
        ) as cluster,
    ):
        cluster.wait_serving()
        written = {**KEY, "v": {"N": "2"}}
        asked = late.counting("PutItem")
        writer = threading.Thread(target=put, args=(cluster, written), daemon=True)
        writer.start()
        wait_until(lambda: asked() == 1, "the write is with DynamoDB")
        cluster.found_anew()
        writer.join(30.0)

        way_in = [boto3_client(str(cluster.node(name)["http"])) for name in cluster.node_ids]
        for _ in range(2):  # where a first read is kept, the second one is a hit
            assert {value(client) for client in way_in} == {"1"}
        late.item = written
        assert value(way_in[0], ConsistentRead=True) == "2"
        assert [value(client) for client in way_in] == ["2"] * nodes
        assert cluster.counter("hits") == 0


def put(cluster: Cluster, item: dict[str, Any]) -> None:
    client = boto3_client(str(cluster.node(cluster.node_ids[0])["http"]))
    with pytest.raises(Exception):  # noqa: B017, PT011 - its node is killed; how it notices is not ours
        client.put_item(TableName=TABLE, Item=item)


def value(client: Any, **more: Any) -> str:
    return str(client.get_item(TableName=TABLE, Key=KEY, **more)["Item"]["v"]["N"])
