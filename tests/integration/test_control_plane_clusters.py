"""Two clusters side by side: one that was started, and one that the control plane has started."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from amazondax import AmazonDaxClient
from botocore.exceptions import ClientError

from paceline import clock
from paceline_local.testing import LocalCluster
from tests.integration.test_control_plane import REGION, control, url_of
from tests.support.cluster import skip_unless_startable
from tests.support.waiting import wait_until

pytestmark = pytest.mark.full(minutes=1)

TABLE = "Things"
SECOND = {"ClusterName": "second"}
ROLE = "arn:aws:iam::123456789012:role/DAXServiceRole"
STEP_S = 60.0
GONE_S = 15.0


@pytest.fixture
def cluster() -> Iterator[LocalCluster]:
    skip_unless_startable()
    with LocalCluster.start_new(nodes=1) as cluster:
        cluster.create_table(TABLE, "id")
        yield cluster


def dax(url: str) -> Any:
    return AmazonDaxClient(
        endpoint_url=url,
        region_name=REGION,
        aws_access_key_id="any",
        aws_secret_access_key="any",
    )


def told(cluster: LocalCluster) -> Any:
    """None: there is no such cluster."""
    client = control(url_of(cluster))
    try:
        return client.describe_clusters(ClusterNames=["second"])["Clusters"][0]
    except client.exceptions.ClusterNotFoundFault:
        return None
    except ClientError as error:
        if error.response["Error"]["Code"] != "ServiceUnavailableException":
            raise
        return {"Status": "discovery begins"}


def await_status(cluster: LocalCluster, status: str) -> Any:
    wait_until(lambda: (told(cluster) or {}).get("Status") == status, status, STEP_S)
    return told(cluster)


def create(cluster: LocalCluster, **more: Any) -> Any:
    asked = {"NodeType": "dax.t3.small", "ReplicationFactor": 1, "IamRoleArn": ROLE, **more}
    return control(url_of(cluster)).create_cluster(**SECOND, **asked)["Cluster"]


def messages(cluster: LocalCluster) -> list[str]:
    events = control(url_of(cluster)).describe_events(SourceName="second", SourceType="CLUSTER")
    return [one["Message"] for one in events["Events"]]


def has_metrics(cluster: LocalCluster) -> bool:
    client = boto3.client(
        "cloudwatch",
        endpoint_url=url_of(cluster),
        region_name=REGION,
        aws_access_key_id="any",
        aws_secret_access_key="any",
    )
    dimensions = [{"Name": "ClusterName", "Value": "second"}, {"Name": "NodeId", "Value": "node-2"}]
    return bool(client.list_metrics(Dimensions=dimensions)["Metrics"])


def processes_of(cluster: LocalCluster) -> list[int]:
    """All that run in the further cluster's directory."""
    found = []
    for name in os.listdir("/proc"):
        try:
            if name.isdigit() and "/clusters/second" in os.readlink(f"/proc/{name}/cwd"):
                found.append(int(name))
        except OSError:
            continue
    directory = str(cluster.directory)
    return [pid for pid in found if os.readlink(f"/proc/{pid}/cwd").startswith(directory)]


def test_a_second_cluster_from_its_beginning_to_its_end(cluster: LocalCluster) -> None:
    client = control(url_of(cluster))
    client.create_parameter_group(ParameterGroupName="short")
    value = {"ParameterName": "record-ttl-millis", "ParameterValue": "1"}
    client.update_parameter_group(ParameterGroupName="short", ParameterNameValues=[value])
    made = create(cluster, ParameterGroupName="short")
    assert made["Status"] == "creating"
    found = await_status(cluster, "available")
    own = found["ClusterDiscoveryEndpoint"]
    (entry,) = cluster.entry()["further"]
    assert (entry["name"], entry["ready"]) == ("second", True)
    assert entry["dax"] == f"dax://{own['Address']}:{own['Port']}"
    home = client.describe_clusters(ClusterNames=["paceline"])["Clusters"][0]
    assert own != home["ClusterDiscoveryEndpoint"]
    key = {"id": {"S": "both"}}
    with dax(own["URL"]) as second, dax(home["ClusterDiscoveryEndpoint"]["URL"]) as first:
        second.put_item(TableName=TABLE, Item={**key, "v": {"S": "one"}})
        assert first.get_item(TableName=TABLE, Key=key)["Item"]["v"] == {"S": "one"}
        second.put_item(TableName=TABLE, Item={**key, "v": {"S": "two"}})
        assert second.get_item(TableName=TABLE, Key=key)["Item"]["v"] == {"S": "two"}
        # Caches of two clusters know nothing of each other, as with DAX: each has its lifetimes.
        assert first.get_item(TableName=TABLE, Key=key)["Item"]["v"] == {"S": "one"}
        first.put_item(TableName=TABLE, Item={**key, "v": {"S": "three"}})
        wait_until(
            lambda: second.get_item(TableName=TABLE, Key=key)["Item"]["v"] == {"S": "three"},
            "the further cluster's own lifetime",
            STEP_S,
        )
        client.increase_replication_factor(**SECOND, NewReplicationFactor=2)
        found = await_status(cluster, "available")
        assert [one["NodeId"] for one in found["Nodes"]] == ["node-1", "node-2"]
        client.decrease_replication_factor(
            **SECOND, NewReplicationFactor=1, NodeIdsToRemove=["node-1"]
        )
        found = await_status(cluster, "available")
        assert [one["NodeId"] for one in found["Nodes"]] == ["node-2"]
        second.put_item(TableName=TABLE, Item={**key, "v": {"S": "four"}})
    wait_until(lambda: has_metrics(cluster), "metrics", STEP_S)
    with pytest.raises(client.exceptions.InvalidClusterStateFault):
        client.delete_cluster(ClusterName="paceline")
    assert len(processes_of(cluster)) == 2
    assert client.delete_cluster(**SECOND)["Cluster"]["Status"] == "deleting"
    wait_until(lambda: told(cluster) is None, "its end", STEP_S)
    assert processes_of(cluster) == []
    assert not (cluster.directory / "clusters" / "second").exists()
    assert messages(cluster)[-2:] == [
        "The cluster is deleted by request.",
        "The cluster was deleted.",
    ]
    assert cluster.take_exits() == []


def test_what_survives_whom(cluster: LocalCluster) -> None:
    create(cluster)
    url = await_status(cluster, "available")["ClusterDiscoveryEndpoint"]["URL"]
    pids = processes_of(cluster)
    with dax(url) as client:
        client.put_item(TableName=TABLE, Item={"id": {"S": "x"}})
        cluster.kill("discovery")
        assert client.get_item(TableName=TABLE, Key={"id": {"S": "x"}})["Item"]
        cluster.restart("discovery")
        await_status(cluster, "available")
    assert processes_of(cluster) == pids
    assert cluster.stop() == []
    until = clock.now() + GONE_S
    for pid in pids:
        while os.path.exists(f"/proc/{pid}"):
            assert clock.now() < until, f"{pid} still runs"


def test_a_node_that_does_not_start_is_told_of_and_leaves_nothing(
    cluster: LocalCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    further = cluster._further
    assert further is not None
    make = further._make

    def killed(*given: Any) -> Any:
        made = make(*given)
        start = made._start_node

        def start_and_kill(*node: Any, **more: Any) -> None:
            start(*node, **more)
            os.kill(made.pid(node[0].id), signal.SIGKILL)

        monkeypatch.setattr(made, "_start_node", start_and_kill)
        return made

    monkeypatch.setattr(further, "_make", killed)
    create(cluster)
    found = await_status(cluster, "create-failed")
    assert found["Nodes"] == []
    assert "SIGKILL" in messages(cluster)[-1]
    assert processes_of(cluster) == []
    control(url_of(cluster)).delete_cluster(**SECOND)
    wait_until(lambda: told(cluster) is None, "its end", STEP_S)
