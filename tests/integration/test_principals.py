"""Authentication on a real cluster: who is let in by DAX, gRPC and the SDK, and when no longer."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import botocore.session
import grpc
import pytest
from amazondax import AmazonDaxClient
from botocore.exceptions import ClientError

import paceline
from paceline.auth.grpc_calls import sign_call
from paceline.errors import PacelineError
from paceline.v1 import data_pb2 as pb
from paceline.v1 import data_pb2_grpc, discovery_pb2, discovery_pb2_grpc
from paceline_local.testing import LocalCluster
from tests.support.cluster import skip_unless_startable
from tests.support.waiting import wait_until

TABLE = "Things"
REGION = "us-east-1"
COMMAND_S = 60.0
CALL_S = 20.0
HEALTH = "/grpc.health.v1.Health/Check"


@dataclass(frozen=True)
class Key:
    access_key: str
    secret_key: str
    token: str | None = None

    @property
    def arguments(self) -> dict[str, str]:
        return {"aws_access_key_id": self.access_key, "aws_secret_access_key": self.secret_key}


WRONG = Key("PLAKWRONGWRONGWRONG0", "w" * 40)


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    skip_unless_startable()
    settings = {"PACELINE_ACCESS__AUTHENTICATION": "sigv4"}
    with LocalCluster.start_new(nodes=2, settings=settings) as cluster:
        cluster.create_table(TABLE, "id")
        yield cluster


def principal(cluster: LocalCluster, *words: str) -> str:
    ran = subprocess.run(
        [
            *(sys.executable, "-m", "paceline_local.cli.main", "principal", *words),
            *("--base-port", str(cluster.plan.ports.base)),
        ],
        capture_output=True,
        text=True,
        timeout=COMMAND_S,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def new_key(cluster: LocalCluster, verb: str, name: str, *words: str) -> Key:
    told = json.loads(principal(cluster, verb, name, *words, "--output", "json"))["new_key"]
    return Key(told["access_key_id"], told["secret_access_key"])


def dax(cluster: LocalCluster, key: Key) -> Any:
    return AmazonDaxClient(
        botocore.session.get_session(),
        endpoint_url=f"dax://127.0.0.1:{cluster.plan.ports.discovery_dax}",
        region_name=REGION,
        **key.arguments,
    )


def item(name: str) -> dict[str, Any]:
    return {"id": {"S": name}, "v": {"N": "1"}}


def test_the_official_client_is_let_in_by_its_key(cluster: LocalCluster) -> None:
    key = new_key(cluster, "add", "official")
    with dax(cluster, key) as client:
        client.put_item(TableName=TABLE, Item=item("official"))
        for _ in range(4):  # both nodes, hits too
            found = client.get_item(TableName=TABLE, Key={"id": {"S": "official"}})
            assert found["Item"] == item("official")


@pytest.mark.parametrize("kind", ["unknown", "secret"])
def test_the_official_client_is_refused_by_name(cluster: LocalCluster, kind: str) -> None:
    key = new_key(cluster, "add", f"refused-{kind}")
    wrong = WRONG if kind == "unknown" else Key(key.access_key, "w" * 40)
    name = "UnrecognizedClientException" if kind == "unknown" else "InvalidSignatureException"
    with dax(cluster, wrong) as client:
        for call in (
            lambda: client.get_item(TableName=TABLE, Key={"id": {"S": "official"}}),
            lambda: client.put_item(TableName=TABLE, Item=item("refused")),
        ):
            with pytest.raises(ClientError) as refused:
                call()
            assert refused.value.response["Error"]["Code"] == name
    with dax(cluster, key) as client:
        assert "Item" not in client.get_item(TableName=TABLE, Key={"id": {"S": "refused"}})


def test_a_revocation_acts_on_open_connections_to_all_nodes(cluster: LocalCluster) -> None:
    key = new_key(cluster, "add", "revoked")

    def works(client: Any) -> bool:
        try:
            client.get_item(TableName=TABLE, Key={"id": {"S": "official"}})
        except ClientError as error:
            if error.response["Error"]["Code"] != "UnrecognizedClientException":
                raise
            return False
        return True

    with dax(cluster, key) as client:
        assert all(works(client) for _ in range(6))
        principal(cluster, "disable", "revoked")
        # The node that was told has it at once, others as soon as the log has come to them.
        wait_until(lambda: not any(works(client) for _ in range(6)), CALL_S)
        principal(cluster, "enable", "revoked")
        wait_until(lambda: all(works(client) for _ in range(6)), CALL_S)
        principal(cluster, "remove", "revoked", "--key", key.access_key)
        wait_until(lambda: not any(works(client) for _ in range(6)), CALL_S)


def test_keys_are_rotated_without_a_refusal(cluster: LocalCluster) -> None:
    first = new_key(cluster, "add", "rotated", "--tag", "team=blue")
    second = new_key(cluster, "rotate", "rotated")
    for key in (first, second):
        with dax(cluster, key) as client:
            client.get_item(TableName=TABLE, Key={"id": {"S": "official"}})
    third = new_key(cluster, "rotate", "rotated", "--now")
    (told,) = json.loads(principal(cluster, "list", "rotated", "--output", "json"))
    assert [one["id"] for one in told["keys"]] == [third.access_key]
    assert told["tags"] == {"team": "blue"}
    assert third.secret_key not in principal(cluster, "list")


def test_the_sdk_signs(cluster: LocalCluster) -> None:
    """Its requests, and its questions for the roster, which nodes answer as discovery does."""
    key = new_key(cluster, "add", "sdk")
    node = cluster.plan.nodes[0]
    for endpoint in (cluster.entry()["discovery"][0]["dax"], f"paceline://{node.grpc}"):
        with paceline.Client(endpoint, region_name=REGION, **key.arguments) as client:
            client.put_item(TableName=TABLE, Item=item("sdk"))
            found = client.get_item(TableName=TABLE, Key={"id": {"S": "sdk"}})
            assert found["Item"] == item("sdk")
    with (
        paceline.Client(cluster.entry()["discovery"][0]["dax"]) as stranger,
        pytest.raises((ClientError, PacelineError), match=r"[Mm]issing"),
    ):
        stranger.get_item(TableName=TABLE, Key={"id": {"S": "sdk"}})


def call(cluster: LocalCluster, key: Key | None, request: Any, sent: Any = None) -> Any:
    """GetItem or PutItem by gRPC at a replica, signed for ``request``."""
    verb = type(request).__name__.removesuffix("Request")
    message = request.SerializeToString()
    method = f"/paceline.v1.Data/{verb}"
    metadata = None
    if key is not None:
        metadata = sign_call(key, REGION, method, message, datetime.now(UTC))
    with grpc.insecure_channel(cluster.plan.nodes[1].grpc) as channel:
        stub = data_pb2_grpc.DataStub(channel)
        return getattr(stub, verb)(
            request if sent is None else sent, metadata=metadata, timeout=CALL_S
        )


def get(name: str) -> Any:
    request = pb.GetItemRequest(table_name=TABLE)
    request.key["id"].s = name
    return request


def test_calls_by_grpc_are_signed(cluster: LocalCluster) -> None:
    key = new_key(cluster, "add", "grpc")
    answer = call(cluster, key, get("official"))
    assert answer.item.attributes["id"].s == "official"
    for wrong, sent in (
        (None, None),
        (WRONG, None),
        (Key(key.access_key, "w" * 40), None),
        (key, get("another")),
    ):
        with pytest.raises(grpc.RpcError) as refused:
            call(cluster, wrong, get("official"), sent)
        assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED
        (told,) = [v for k, v in refused.value.trailing_metadata() if k == "paceline-error-bin"]
        error = pb.Error.FromString(told)
        assert error.outcome == pb.REQUEST_OUTCOME_NOTHING_DONE
        assert error.code in {
            "MissingAuthenticationTokenException",
            "UnrecognizedClientException",
            "InvalidSignatureException",
        }


def test_only_health_is_everybodys_by_grpc(cluster: LocalCluster) -> None:
    with grpc.insecure_channel(cluster.plan.nodes[1].grpc) as channel:
        health = channel.unary_unary(HEALTH, bytes, bytes)
        assert health(b"", timeout=CALL_S) == b"\x08\x01"
        stub = discovery_pb2_grpc.DiscoveryStub(channel)
        with pytest.raises(grpc.RpcError) as refused:
            stub.Get(discovery_pb2.GetRosterRequest(), timeout=CALL_S)
        assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED
        listing = channel.stream_stream(
            "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", bytes, bytes
        )
        with pytest.raises(grpc.RpcError) as refused:
            next(iter(listing(iter([b":\x01*"]), timeout=CALL_S)))
        assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED
