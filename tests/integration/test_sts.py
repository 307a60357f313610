"""Temporary credentials on a real cluster: from STS to what they open, and when no longer."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import boto3
import botocore.session
import grpc
import pytest
from amazondax import AmazonDaxClient
from botocore.config import Config
from botocore.exceptions import ClientError

import paceline
from paceline.auth.grpc_calls import sign_call
from paceline.v1 import discovery_pb2, discovery_pb2_grpc
from paceline_local.testing import LocalCluster
from tests.integration.test_principals import Key, new_key, principal
from tests.support.cluster import skip_unless_startable
from tests.support.waiting import wait_until

TABLE = "Things"
REGION = "us-east-1"
CALL_S = 20.0
ITEM = {"id": {"S": "a"}, "v": {"N": "1"}}
KEY = {"id": {"S": "a"}}


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    skip_unless_startable()
    settings = {"PACELINE_ACCESS__AUTHENTICATION": "sigv4"}
    with LocalCluster.start_new(nodes=2, settings=settings) as cluster:
        cluster.create_table(TABLE, "id")
        yield cluster


def arguments(key: Key) -> dict[str, Any]:
    return {
        "aws_access_key_id": key.access_key,
        "aws_secret_access_key": key.secret_key,
        "aws_session_token": key.token,
    }


def sts(cluster: LocalCluster, key: Key) -> Any:
    return boto3.client(
        "sts",
        endpoint_url=cluster.entry()["discovery"][0]["http"],
        region_name=REGION,
        config=Config(retries={"total_max_attempts": 1}),
        **arguments(key),
    )


def http(cluster: LocalCluster, key: Key, node: int = 0) -> Any:
    return boto3.client(
        "dynamodb",
        endpoint_url=cluster.plan.nodes[node].http,
        region_name=REGION,
        config=Config(retries={"total_max_attempts": 1}),
        **arguments(key),
    )


def key_of(credentials: dict[str, Any]) -> Key:
    return Key(
        credentials["AccessKeyId"], credentials["SecretAccessKey"], credentials["SessionToken"]
    )


def session(cluster: LocalCluster, key: Key) -> Key:
    return key_of(sts(cluster, key).get_session_token(DurationSeconds=900)["Credentials"])


def roster(address: str, key: Key) -> int:
    """How many nodes it tells who signs with the key."""
    method, asked = "/paceline.v1.Discovery/Get", discovery_pb2.GetRosterRequest()
    metadata = sign_call(key, REGION, method, asked.SerializeToString(), datetime.now(UTC))
    with grpc.insecure_channel(address) as channel:
        stub = discovery_pb2_grpc.DiscoveryStub(channel)
        return len(stub.Get(asked, metadata=metadata, timeout=CALL_S).nodes)


def dax(cluster: LocalCluster, key: Key) -> Any:
    return AmazonDaxClient(
        botocore.session.get_session(),
        endpoint_url=f"dax://127.0.0.1:{cluster.plan.ports.discovery_dax}",
        region_name=REGION,
        **arguments(key),
    )


def refused(client: Any) -> str:
    """The error's name; "" if the item is answered."""
    try:
        assert client.get_item(TableName=TABLE, Key=KEY)["Item"] == ITEM
    except ClientError as error:
        return str(error.response["Error"]["Code"])
    return ""


def test_a_session_opens_every_door(cluster: LocalCluster) -> None:
    key = new_key(cluster, "add", "everywhere", "--full-access")
    temporary = session(cluster, key)
    for node in (0, 1):
        plain = http(cluster, temporary, node)
        plain.put_item(TableName=TABLE, Item=ITEM)
        assert {refused(plain) for _ in range(4)} == {""}  # hits, by a known head
    with dax(cluster, temporary) as client:
        assert {refused(client) for _ in range(6)} == {""}
    for address in (cluster.entry()["discovery"][0]["grpc"], cluster.plan.nodes[1].grpc):
        assert roster(address, temporary) == 2
    endpoint = cluster.entry()["discovery"][0]["dax"]
    with paceline.Client(endpoint, region_name=REGION, **arguments(temporary)) as sdk:
        assert refused(sdk) == ""
    identity = sts(cluster, temporary).get_caller_identity()
    assert identity["Arn"] == "arn:aws:iam::000000000000:user/everywhere"


def test_a_session_without_its_token_or_with_another_is_refused(cluster: LocalCluster) -> None:
    key = new_key(cluster, "add", "tokens", "--full-access")
    one, other = session(cluster, key), session(cluster, key)
    http(cluster, one).put_item(TableName=TABLE, Item=ITEM)
    assert one.token is not None
    for token in (None, "", other.token, one.token[:-8], one.token.swapcase()):
        wrong = Key(one.access_key, one.secret_key, token)
        assert refused(http(cluster, wrong)) == "UnrecognizedClientException"
    with pytest.raises(Exception, match="UnrecognizedClientException"):
        dax(cluster, Key(one.access_key, one.secret_key, other.token))


def test_a_session_ends_with_the_key_that_it_came_from(cluster: LocalCluster) -> None:
    key = new_key(cluster, "add", "ending", "--full-access")
    temporary = session(cluster, key)
    plain = http(cluster, temporary)
    plain.put_item(TableName=TABLE, Item=ITEM)
    with dax(cluster, temporary) as client:

        def works() -> set[bool]:
            return {refused(one) == "" for one in (plain, *[client] * 6)}

        assert works() == {True}
        principal(cluster, "disable", "ending", "--key", key.access_key)
        wait_until(lambda: works() == {False}, "nobody is let in", CALL_S)
        principal(cluster, "enable", "ending", "--key", key.access_key)
        wait_until(lambda: works() == {True}, "it is let in again", CALL_S)
        principal(cluster, "disable", "ending")
        wait_until(lambda: works() == {False}, "nobody is let in", CALL_S)
        principal(cluster, "enable", "ending")
        wait_until(lambda: works() == {True}, "it is let in again", CALL_S)
        new_key(cluster, "rotate", "ending", "--now")
        wait_until(lambda: works() == {False}, "nobody is let in", CALL_S)
    assert refused(plain) == "UnrecognizedClientException"
