"""The control plane of a real cluster, by boto3 and by the AWS CLI."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import pytest
from amazondax import AmazonDaxClient
from botocore.config import Config
from botocore.exceptions import ClientError, EndpointConnectionError

from paceline import clock
from paceline_local.environment import base_environment, discovery_environment
from paceline_local.programs import server_argv
from paceline_local.testing import LocalCluster
from tests.integration.signed.test_principals import Key
from tests.support.cluster import skip_unless_startable
from tests.support.waiting import wait_until

REGION = "us-east-1"
TABLE = "Things"
ARN = f"arn:aws:dax:{REGION}:000000000000:cache/paceline"
AWS = Path(__file__).parents[2] / ".tools" / "venv" / "bin" / "aws"
DEADLINE_S = 20.0
COMMAND_S = 60.0


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    skip_unless_startable()
    with LocalCluster.start_new(nodes=3) as cluster:
        cluster.create_table(TABLE, "id")
        yield cluster


def control(url: str, key: Key | None = None) -> Any:
    return boto3.client(
        "dax",
        endpoint_url=url,
        region_name=REGION,
        aws_access_key_id=key.access_key if key else "any",
        aws_secret_access_key=key.secret_key if key else "any",
        config=Config(retries={"total_max_attempts": 1}),
    )


def dynamodb(url: str) -> Any:
    return boto3.client(
        "dynamodb",
        endpoint_url=url,
        region_name=REGION,
        aws_access_key_id="any",
        aws_secret_access_key="any",
    )


@contextmanager
def another_discovery(cluster: LocalCluster) -> Iterator[str]:
    """The address of the control plane of a second process that follows the same nodes."""
    with contextlib.ExitStack() as stack:
        taken = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(3)]
        dax, grpc, http = (one.getsockname()[1] for one in taken)
    environment = discovery_environment(
        cluster.plan,
        secret_file=cluster.directory / "secret",
        principals_key_file=cluster.directory / "principals-key",
    ) | {
        "PACELINE_LISTENERS": json.dumps([{"name": "default", "bind": f"127.0.0.1:{dax}"}]),
        "PACELINE_GRPC_BIND": f"127.0.0.1:{grpc}",
        "PACELINE_HTTP_BIND": f"127.0.0.1:{http}",
    }
    with (cluster.directory / "logs" / "discovery-2.log").open("wb") as log:
        process = subprocess.Popen(
            server_argv("discovery"), env={**base_environment(), **environment}, stderr=log
        )
    try:
        url = f"http://127.0.0.1:{http}"
        wait_until(lambda: answers(url), "discovery answers", DEADLINE_S)
        yield url
    finally:
        process.terminate()
        process.wait(DEADLINE_S)


def answers(url: str) -> bool:
    try:
        return bool(control(url).describe_clusters()["Clusters"])
    except (ClientError, EndpointConnectionError):
        return False


def url_of(cluster: LocalCluster) -> str:
    return str(cluster.entry()["discovery"][0]["http"])


def aws(cluster: LocalCluster, *command: str) -> Any:
    """What the AWS CLI prints, with nothing set but where the control plane is."""
    if not AWS.exists():
        pytest.skip("the AWS CLI is not installed: make tools")
    done = subprocess.run(
        [str(AWS), "dax", *command],
        env={
            "PATH": os.environ["PATH"],
            "AWS_ENDPOINT_URL_DAX": url_of(cluster),
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ACCESS_KEY_ID": "any",
            "AWS_SECRET_ACCESS_KEY": "any",
        },
        capture_output=True,
        text=True,
        timeout=COMMAND_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_endpoint_that_is_told_is_one_that_clients_reach(cluster: LocalCluster) -> None:
    (told,) = control(url_of(cluster)).describe_clusters()["Clusters"]
    assert told["ClusterArn"] == ARN
    assert [node["AvailabilityZone"] for node in told["Nodes"]] == ["a", "b", "c"]
    assert {node["Endpoint"]["Port"] for node in told["Nodes"]} == {
        node.ports.dax for node in cluster.plan.nodes
    }
    client = AmazonDaxClient(
        endpoint_url=told["ClusterDiscoveryEndpoint"]["URL"],
        region_name=REGION,
        aws_access_key_id="any",
        aws_secret_access_key="any",
    )
    with client:
        client.put_item(TableName=TABLE, Item={"id": {"S": "told"}})
        assert client.get_item(TableName=TABLE, Key={"id": {"S": "told"}})["Item"]


def test_tutorials_commands_work_as_they_stand(cluster: LocalCluster) -> None:
    made = aws(
        cluster,
        *("create-subnet-group", "--subnet-group", "orders-subnets"),
        *("--subnet-ids", "subnet-11111111", "subnet-22222222", "subnet-33333333"),
    )
    assert [one["SubnetAvailabilityZone"] for one in made["SubnetGroup"]["Subnets"]] == [
        *("a", "b", "c")
    ]
    aws(
        cluster,
        *("create-parameter-group", "--parameter-group", "orders-params"),
        *("--description", "How long orders are kept"),
    )
    aws(
        cluster,
        *("update-parameter-group", "--parameter-group-name", "orders-params"),
        "--parameter-name-values",
        "ParameterName=record-ttl-millis,ParameterValue=250000",
        "ParameterName=query-ttl-millis,ParameterValue=240000",
    )
    told = aws(
        cluster,
        *("update-cluster", "--cluster-name", "paceline"),
        *("--parameter-group-name", "orders-params"),
    )
    assert told["Cluster"]["ParameterGroup"]["ParameterGroupName"] == "orders-params"
    address = aws(
        cluster,
        *("describe-clusters", "--cluster-name", "paceline"),
        *("--query", "Clusters[0].ClusterDiscoveryEndpoint.Address"),
    )
    assert address == "127.0.0.1"
    arguments = ("--resource-name", ARN)
    aws(cluster, "tag-resource", *arguments, "--tags", "Key=Environment,Value=Production")
    assert aws(cluster, "list-tags", *arguments)["Tags"] == [
        {"Key": "Environment", "Value": "Production"}
    ]
    found = aws(cluster, "describe-events", "--source-type", "PARAMETER_GROUP", "--duration", "60")
    assert found["Events"][0]["Message"] == "The parameter group was created."


def test_lifetimes_change_in_running_nodes_and_stay_in_restarted_ones(
    cluster: LocalCluster,
) -> None:
    client = control(url_of(cluster))
    group, name = {"ParameterGroupName": "live"}, "ParameterNameValues"
    client.create_parameter_group(**group)
    client.update_cluster(ClusterName="paceline", **group)
    node = cluster.plan.nodes[0]
    data = dynamodb(node.http)
    behind = dynamodb(cluster.dynamodb)
    key = {"id": {"S": "kept"}}

    def answer() -> str:
        return str(data.get_item(TableName=TABLE, Key=key)["Item"]["v"]["S"])

    def is_kept() -> bool:
        """Whether a change that nobody told the cluster of is still hidden after a while."""
        data.put_item(TableName=TABLE, Item={**key, "v": {"S": "first"}})
        answer()
        behind.put_item(TableName=TABLE, Item={**key, "v": {"S": "second"}})
        until = clock.now() + 0.1
        told = {answer()}
        while clock.now() < until:
            told.add(answer())
        return told == {"first"}

    def set_ttl(millis: str) -> None:
        value = {"ParameterName": "record-ttl-millis", "ParameterValue": millis}
        client.update_parameter_group(**group, **{name: [value]})

    assert is_kept()
    set_ttl("20")
    wait_until(lambda: not is_kept(), "a short lifetime", DEADLINE_S)
    cluster.kill(node.id)
    cluster.restart(node.id)
    cluster.wait_serving()
    assert not is_kept()
    set_ttl("300000")
    wait_until(is_kept, "a long lifetime", DEADLINE_S)

    def messages() -> list[str]:
        return [one["Message"] for one in client.describe_events()["Events"]]

    wait_until(lambda: f"The node {node.id} was restarted." in messages(), "event", DEADLINE_S)
    assert messages()[0] == "The cluster was created with 3 nodes."


def test_two_discoveries_tell_the_same_and_who_is_late_is_told_so(cluster: LocalCluster) -> None:
    first = control(url_of(cluster))
    with another_discovery(cluster) as url:
        second = control(url)
        names = [f"race-{number}" for number in range(8)]

        def make(client: Any, name: str) -> str:
            try:
                client.create_parameter_group(ParameterGroupName=name)
            except ClientError as error:
                return str(error.response["Error"]["Code"])
            return ""

        with ThreadPoolExecutor(4) as pool:
            ends = [
                (pool.submit(make, first, name), pool.submit(make, second, name)) for name in names
            ]
        for pair in ends:
            told = sorted(end.result() for end in pair)
            assert told == ["", "ParameterGroupAlreadyExistsFault"]

        def groups(client: Any) -> list[str]:
            pages = client.get_paginator("describe_parameter_groups").paginate(
                PaginationConfig={"PageSize": 3}
            )
            return [one["ParameterGroupName"] for page in pages for one in page["ParameterGroups"]]

        wait_until(lambda: groups(first) == groups(second), "same", DEADLINE_S)
        assert set(names) <= set(groups(second))
        events = second.describe_events()["Events"]
        assert sum("was created with" in one["Message"] for one in events) == 1
    for name in names:
        first.delete_parameter_group(ParameterGroupName=name)


def test_errors_are_those_that_sdks_know(cluster: LocalCluster) -> None:
    client = control(url_of(cluster))
    with pytest.raises(client.exceptions.ClusterNotFoundFault):
        client.describe_clusters(ClusterNames=["none"])
    with pytest.raises(client.exceptions.InvalidClusterStateFault):
        client.delete_cluster(ClusterName="paceline")
    with pytest.raises(client.exceptions.InvalidARNFault):
        client.list_tags(ResourceName="paceline")
    with pytest.raises(client.exceptions.InvalidParameterValueException, match="node type"):
        client.create_cluster(
            ClusterName="second",
            NodeType="x",
            ReplicationFactor=1,
            IamRoleArn="arn:aws:iam::123456789012:role/r",
        )
