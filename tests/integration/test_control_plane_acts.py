"""What the control plane does to nodes, under load: no read fails, none is stale, no write is
lost."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from amazondax import AmazonDaxClient

from paceline import clock
from paceline_local.testing import LocalCluster
from tests.integration.test_control_plane import REGION, control, url_of
from tests.support.cluster import skip_unless_startable
from tests.support.waiting import wait_until

pytestmark = pytest.mark.full

TABLE = "Counters"
WORKERS = 3
ACT_S = 120.0
HERE = {"ClusterName": "paceline"}


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    skip_unless_startable()
    with LocalCluster.start_new(nodes=3) as cluster:
        cluster.create_table(TABLE, "id")
        yield cluster


class Worker(threading.Thread):
    """Counts up in an item of its own by a client of the cluster endpoint, and reads after each
    write what has to be there then. ``said``: what was wrong."""

    def __init__(self, endpoint: str, number: int, ends: threading.Event) -> None:
        super().__init__(name=f"worker-{number}")
        self._endpoint = endpoint
        self._key = {"id": {"S": f"counter-{number}"}}
        self._ends = ends
        self.count = 0
        self.said: list[str] = []

    def run(self) -> None:
        client: Any = AmazonDaxClient(
            endpoint_url=self._endpoint,
            region_name=REGION,
            aws_access_key_id="any",
            aws_secret_access_key="any",
        )
        with client:
            while not self._ends.is_set():
                try:
                    self._step(client)
                except Exception as error:
                    self.said.append(f"{self.name} at {self.count}: {error!r}")
                    self.count += 1  # whether it was written is not known

    def _step(self, client: Any) -> None:
        wanted = self.count + 1
        client.put_item(TableName=TABLE, Item={**self._key, "n": {"N": str(wanted)}})
        self.count = wanted
        for _ in range(5):
            found = int(client.get_item(TableName=TABLE, Key=self._key)["Item"]["n"]["N"])
            if found != wanted:
                self.said.append(f"{self.name}: {found} instead of {wanted}")


@contextmanager
def load(cluster: LocalCluster) -> Iterator[list[Worker]]:
    ends = threading.Event()
    workers = [Worker(cluster.dax, number, ends) for number in range(WORKERS)]
    for worker in workers:
        worker.start()
    try:
        wait_until(lambda: all(one.count > 5 for one in workers), "load", ACT_S)
        yield workers
    finally:
        ends.set()
        for worker in workers:
            worker.join(ACT_S)
    assert [said for worker in workers for said in worker.said] == []


def told(cluster: LocalCluster) -> Any:
    return control(url_of(cluster)).describe_clusters()["Clusters"][0]


def settle(cluster: LocalCluster, nodes: int, workers: list[Worker]) -> None:
    """Waits until the cluster has that many nodes and is being changed no more, and everyone has
    gone on since."""
    wait_until(lambda: told(cluster)["Status"] == "available", "the end of it", ACT_S)
    found = told(cluster)
    assert (found["TotalNodes"], found["ActiveNodes"]) == (nodes, nodes), found
    before = [worker.count for worker in workers]
    until = clock.now() + ACT_S
    while any(now.count < then + 5 for now, then in zip(workers, before, strict=True)):
        assert clock.now() < until, "somebody does not go on"
        workers[0].join(0.05)


def test_a_reboot(cluster: LocalCluster) -> None:
    client = control(url_of(cluster))
    pid = cluster.pid("node-2")
    with load(cluster) as workers:
        cluster_then = client.reboot_node(**HERE, NodeId="node-2")["Cluster"]
        assert cluster_then["Nodes"][1]["NodeStatus"] == "rebooting"
        settle(cluster, 3, workers)
    assert cluster.pid("node-2") != pid
    assert cluster.take_exits() == []


def test_from_three_nodes_to_five_and_back(cluster: LocalCluster) -> None:
    client = control(url_of(cluster))
    with load(cluster) as workers:
        made = client.increase_replication_factor(**HERE, NewReplicationFactor=5)["Cluster"]
        assert made["Status"] == "modifying"
        settle(cluster, 5, workers)
        assert sorted(one["AvailabilityZone"] for one in told(cluster)["Nodes"]) == list("aabbc")
        client.decrease_replication_factor(
            **HERE, NewReplicationFactor=3, NodeIdsToRemove=["node-1", "node-4"]
        )
        settle(cluster, 3, workers)
    assert [one.id for one in cluster.plan.nodes] == ["node-2", "node-3", "node-5"]
    assert cluster.take_exits() == []
    messages = [one["Message"] for one in client.describe_events()["Events"]]
    for node, end in (("node-4", "added"), ("node-5", "added"), ("node-1", "removed")):
        assert f"The node {node} was {end}." in messages
