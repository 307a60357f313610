"""Authentication on a real cluster: who is let in by DAX, HTTP, gRPC and the SDK, and when
no longer."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest import mock

import aiobotocore.session
import botocore.session
import grpc
import pytest
from amazondax import AmazonDaxClient
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError

import paceline
from paceline.auth.grpc_calls import sign_call
from paceline.errors import PacelineError
from paceline.v1 import data_pb2 as pb
from paceline.v1 import data_pb2_grpc, discovery_pb2, discovery_pb2_grpc
from paceline_local.probes import http_request
from paceline_local.testing import LocalCluster
from tests.integration.signed.conftest import TABLE
from tests.support.doctor import doctor
from tests.support.principals import COMMAND_S, Key, key_in, principal
from tests.support.waiting import wait_until

REGION = "us-east-1"
CALL_S = 20.0
STATUS_DETAILS = "grpc-status-details-bin"
HEALTH = "/grpc.health.v1.Health/Check"


WRONG = Key("PLAKWRONGWRONGWRONG0", "w" * 40)


def new_key(cluster: LocalCluster, verb: str, name: str, *words: str) -> Key:
    """Known to the node that was asked, to the other one, and to discovery."""
    key = key_in(principal(cluster, verb, name, *words, "--output", "json"))
    for address in (cluster.plan.nodes[0].grpc, cluster.plan.nodes[1].grpc, discovery(cluster)):
        wait_until(lambda address=address: nodes_told(address, key) == 2, "it is so", CALL_S)
    return key


def discovery(cluster: LocalCluster) -> str:
    return str(cluster.entry()["discovery"][0]["grpc"])


def nodes_told(address: str, key: Key) -> int:
    """Of a roster, by gRPC; 0 if the key is not known there."""
    method, asked = "/paceline.v1.Discovery/Get", discovery_pb2.GetRosterRequest()
    metadata = sign_call(key, REGION, method, asked.SerializeToString(), datetime.now(UTC))
    with grpc.insecure_channel(address) as channel:
        try:
            stub = discovery_pb2_grpc.DiscoveryStub(channel)
            return len(stub.Get(asked, metadata=metadata, timeout=CALL_S).nodes)
        except grpc.RpcError as error:
            if error.code() is not grpc.StatusCode.UNAUTHENTICATED:
                raise
            return 0


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
    key = new_key(cluster, "add", "official", "--full-access")
    with dax(cluster, key) as client:
        client.put_item(TableName=TABLE, Item=item("official"))
        for _ in range(4):  # both nodes, hits too
            found = client.get_item(TableName=TABLE, Key={"id": {"S": "official"}})
            assert found["Item"] == item("official")


@pytest.mark.parametrize("kind", ["unknown", "secret"])
def test_the_official_client_is_refused_by_name(cluster: LocalCluster, kind: str) -> None:
    key = new_key(cluster, "add", f"refused-{kind}", "--full-access")
    wrong = WRONG if kind == "unknown" else Key(key.access_key, "w" * 40)
    name = "UnrecognizedClientException" if kind == "unknown" else "InvalidSignatureException"
    with pytest.raises(Exception, match=name):  # discovery's word already
        dax(cluster, wrong)


def test_a_revocation_acts_on_open_connections_to_all_nodes(cluster: LocalCluster) -> None:
    key = new_key(cluster, "add", "revoked", "--full-access")

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
        wait_until(lambda: not any(works(client) for _ in range(6)), "it is so", CALL_S)
        with pytest.raises(ClientError, match="UnrecognizedClientException"):
            client.put_item(TableName=TABLE, Item=item("refused"))
        principal(cluster, "enable", "revoked")
        wait_until(lambda: all(works(client) for _ in range(6)), "it is so", CALL_S)
        assert "Item" not in client.get_item(TableName=TABLE, Key={"id": {"S": "refused"}})
        principal(cluster, "remove", "revoked", "--key", key.access_key)
        wait_until(lambda: not any(works(client) for _ in range(6)), "it is so", CALL_S)


def test_keys_are_rotated_without_a_refusal(cluster: LocalCluster) -> None:
    first = new_key(cluster, "add", "rotated", "--full-access", "--tag", "team=blue")
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
    key = new_key(cluster, "add", "sdk", "--full-access")
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
        # Until then it asks for a roster again and again.
        stranger.with_options(deadline_s=2.0).get_item(TableName=TABLE, Key={"id": {"S": "sdk"}})


def test_caches_are_warmed_by_who_may_read(cluster: LocalCluster) -> None:
    key = new_key(cluster, "add", "warms", "--full-access")
    with dax(cluster, key) as client:
        client.put_item(TableName=TABLE, Item=item("warm"))
    words = ["warm", "--table", TABLE, "--scan", "--base-port", str(cluster.plan.ports.base)]
    plain = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    signed = {name.upper(): value for name, value in key.arguments.items()}
    for environ, said in ((plain, "MissingAuthenticationToken"), ({**plain, **signed}, "")):
        ran = subprocess.run(
            [sys.executable, "-m", "paceline_local.cli.main", *words],
            capture_output=True,
            text=True,
            timeout=COMMAND_S,
            check=False,
            env=environ,
        )
        assert (ran.returncode == 0) is not bool(said), ran.stdout + ran.stderr
        assert said in ran.stderr


def test_policies_are_for_all_doors_and_hits_too(cluster: LocalCluster, tmp_path: Path) -> None:
    policy = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Action": ["dynamodb:GetItem", "dynamodb:PutItem"],
                "Resource": "arn:aws:dynamodb:*:*:table/Things",
                "Condition": {
                    "ForAllValues:StringLike": {"dynamodb:LeadingKeys": ["${aws:username}*"]}
                },
            }
        ],
    }
    (tmp_path / "own.json").write_text(json.dumps(policy))
    owner = new_key(cluster, "add", "owner", "--policy", str(tmp_path / "own.json"))
    everyone = new_key(cluster, "add", "everyone", "--full-access")
    with dax(cluster, everyone) as client:
        for name in ("owner-1", "others-1"):
            client.put_item(TableName=TABLE, Item=item(name))
            for _ in range(4):  # it is in both caches
                client.get_item(TableName=TABLE, Key={"id": {"S": name}})
    plain = http(cluster, owner)
    with (
        dax(cluster, owner) as client,
        paceline.Client(
            cluster.entry()["discovery"][0]["dax"], region_name=REGION, **owner.arguments
        ) as sdk,
    ):
        for asked in (client, plain, sdk):
            for _ in range(3):
                found = asked.get_item(TableName=TABLE, Key={"id": {"S": "owner-1"}})
                assert found["Item"] == item("owner-1")
                with pytest.raises(ClientError, match="AccessDeniedException"):
                    asked.get_item(TableName=TABLE, Key={"id": {"S": "others-1"}})
            asked.put_item(TableName=TABLE, Item=item("owner-1"))
            with pytest.raises(ClientError, match="is not authorized to perform: dynamodb:PutItem"):
                asked.put_item(TableName=TABLE, Item=item("others-1"))
            with pytest.raises(ClientError, match="AccessDeniedException"):
                asked.delete_item(TableName=TABLE, Key={"id": {"S": "owner-1"}})
    with pytest.raises(grpc.RpcError) as refused:
        call(cluster, owner, get("others-1"))
    assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED
    assert call(cluster, owner, get("owner-1")).item.attributes["id"].s == "owner-1"
    principal(cluster, "set", "owner", "--full-access")

    def may_delete() -> bool:
        try:
            plain.delete_item(TableName=TABLE, Key={"id": {"S": "owner-1"}})
        except ClientError:
            return False
        return True

    wait_until(may_delete, "it is so", CALL_S)


def test_discovery_tells_only_those_who_are_known(cluster: LocalCluster) -> None:
    asked = discovery_pb2.GetRosterRequest()
    with grpc.insecure_channel(discovery(cluster)) as channel:
        with pytest.raises(grpc.RpcError) as refused:
            discovery_pb2_grpc.DiscoveryStub(channel).Get(asked, timeout=CALL_S)
        assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED
    key = new_key(cluster, "add", "asks")
    assert nodes_told(discovery(cluster), key) == 2
    principal(cluster, "disable", "asks")
    wait_until(lambda: nodes_told(discovery(cluster), key) == 0, "it is so", CALL_S)


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
    key = new_key(cluster, "add", "grpc", "--full-access")
    put = pb.PutItemRequest(table_name=TABLE)
    put.item["id"].s = "grpc"
    call(cluster, key, put)
    answer = call(cluster, key, get("grpc"))
    assert answer.item.attributes["id"].s == "grpc"
    for wrong, sent in (
        (None, None),
        (WRONG, None),
        (Key(key.access_key, "w" * 40), None),
        (key, get("another")),
    ):
        with pytest.raises(grpc.RpcError) as refused:
            call(cluster, wrong, get("grpc"), sent)
        assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED
        (told,) = [v for k, v in refused.value.trailing_metadata() if k == "paceline-error-bin"]
        (rich,) = [v for k, v in refused.value.trailing_metadata() if k == STATUS_DETAILS]
        assert rich[:2] == bytes([8, grpc.StatusCode.UNAUTHENTICATED.value[0]])  # Go compares them
        error = pb.Error.FromString(told)
        assert error.outcome == pb.REQUEST_OUTCOME_NOTHING_DONE
        assert error.code in {
            "MissingAuthenticationTokenException",
            "UnrecognizedClientException",
            "InvalidSignatureException",
        }


def http(cluster: LocalCluster, key: Key, **more: Any) -> Any:
    """boto3's own client, at a replica."""
    session = botocore.session.get_session()
    return session.create_client(
        "dynamodb",
        region_name=more.pop("region", REGION),
        endpoint_url=cluster.plan.nodes[1].http,
        config=Config(**{"retries": {"max_attempts": 0}, "max_pool_connections": 16, **more}),
        aws_access_key_id=key.access_key,
        aws_secret_access_key=key.secret_key,
        aws_session_token=key.token,
    )


def test_boto3_signs_every_request(cluster: LocalCluster) -> None:
    key = new_key(cluster, "add", "boto3", "--full-access")
    client = http(cluster, key)
    client.put_item(TableName=TABLE, Item=item("boto3"))
    caches = []
    for _ in range(8):  # the last ones without a parser
        found = client.get_item(TableName=TABLE, Key={"id": {"S": "boto3"}})
        assert found["Item"] == item("boto3")
        caches.append(found["ResponseMetadata"]["HTTPHeaders"]["x-paceline-cache"])
    assert caches[1:] == ["hit"] * 7
    large = {**item("large"), "text": {"S": "x" * 300_000}}
    client.put_item(TableName=TABLE, Item=large)
    assert client.get_item(TableName=TABLE, Key={"id": {"S": "large"}})["Item"] == large
    assert TABLE in client.list_tables()["TableNames"]


def test_boto3_is_refused_in_dynamodbs_words(cluster: LocalCluster) -> None:
    key = new_key(cluster, "add", "boto3-refused", "--full-access")
    calls: tuple[Callable[[Any], Any], ...] = (
        lambda client: client.get_item(TableName=TABLE, Key={"id": {"S": "official"}}),
        lambda client: client.put_item(TableName=TABLE, Item=item("refused")),
        lambda client: client.list_tables(),
        lambda client: client.delete_table(TableName=TABLE),
    )
    for client, name, message in (
        (http(cluster, WRONG), "UnrecognizedClientException", "is invalid."),
        (
            http(cluster, Key(key.access_key, "w" * 40)),
            "InvalidSignatureException",
            "The request signature we calculated does not match",
        ),
        (
            http(cluster, Key(key.access_key, key.secret_key, "a token")),
            "UnrecognizedClientException",
            "is invalid",
        ),
        (
            http(cluster, key, region="eu-west-1"),
            "InvalidSignatureException",
            "Credential should be scoped to a valid region, not 'eu-west-1'. ",
        ),
        (
            http(cluster, key, signature_version=UNSIGNED),
            "MissingAuthenticationTokenException",
            "Request is missing Authentication Token",
        ),
    ):
        for call_ in calls:
            with pytest.raises(ClientError) as refused:
                call_(client)
            error = refused.value.response["Error"]
            assert error["Code"] == name
            assert message in error["Message"]
    good = http(cluster, key)
    assert "Item" not in good.get_item(TableName=TABLE, Key={"id": {"S": "refused"}})


def test_a_signature_of_long_ago_is_refused(cluster: LocalCluster) -> None:
    client = http(cluster, new_key(cluster, "add", "boto3-late", "--full-access"))
    late = datetime.now(UTC) - timedelta(seconds=330)
    with (
        mock.patch("botocore.auth.get_current_datetime", return_value=late),
        pytest.raises(ClientError, match=r"Signature expired: .* \(.* - 5 min\.\)"),
    ):
        client.get_item(TableName=TABLE, Key={"id": {"S": "official"}})


async def test_aiobotocore_signs(cluster: LocalCluster) -> None:
    key = new_key(cluster, "add", "aiobotocore", "--full-access")
    async with aiobotocore.session.get_session().create_client(
        "dynamodb",
        region_name=REGION,
        endpoint_url=cluster.plan.nodes[1].http,
        **key.arguments,
    ) as client:
        for _ in range(3):
            await client.put_item(TableName=TABLE, Item=item("aio"))
            found = await client.get_item(TableName=TABLE, Key={"id": {"S": "aio"}})
            assert found["Item"] == item("aio")


def test_a_revocation_acts_on_open_connections_by_http(cluster: LocalCluster) -> None:
    key = new_key(cluster, "add", "boto3-revoked", "--full-access")
    client = http(cluster, key)

    def works() -> bool:
        try:
            client.get_item(TableName=TABLE, Key={"id": {"S": "official"}})
        except ClientError as error:
            if error.response["Error"]["Code"] != "UnrecognizedClientException":
                raise
            return False
        return True

    assert all(works() for _ in range(6))
    principal(cluster, "disable", "boto3-revoked")
    wait_until(lambda: not works(), "it is so", CALL_S)
    assert not works()
    principal(cluster, "enable", "boto3-revoked")
    wait_until(works, "it is so", CALL_S)


def test_refusals_are_counted(cluster: LocalCluster) -> None:
    """Of each door, and of policies."""
    key = new_key(cluster, "add", "counted")
    admin = f"http://{cluster.plan.nodes[1].admin.removeprefix('http://')}"
    before = counted(admin)
    for door in (
        lambda: call(cluster, WRONG, get("x")),
        lambda: http(cluster, WRONG).list_tables(),
        lambda: http(cluster, key).list_tables(),
    ):
        with pytest.raises((grpc.RpcError, ClientError)):
            door()
    after = counted(admin)
    name = "UnrecognizedClientException"
    assert after.get(name, 0) - before.get(name, 0) == 2
    assert after["AccessDeniedException"] - before.get("AccessDeniedException", 0) == 1


def counted(admin: str) -> dict[str, float]:
    _, body = http_request("GET", f"{admin}/metrics")
    found = re.findall(
        r'^paceline_access_refused_total\{reason="(\w+)"\} (\S+)$', body.decode(), re.M
    )
    return {name: float(count) for name, count in found}


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


def test_the_audit_log_tells_who_was_refused_where(cluster: LocalCluster) -> None:
    key = new_key(cluster, "add", "audited")
    wrong = Key(key.access_key, "w" * 40)
    hush = "hush-hush"
    with dax(cluster, key) as client, pytest.raises(ClientError, match="AccessDenied"):
        client.get_item(TableName=TABLE, Key={"id": {"S": hush}})
    with pytest.raises(ClientError, match="InvalidSignature"):
        http(cluster, wrong).put_item(TableName=TABLE, Item=item(hush))
    for asked in (lambda: call(cluster, wrong, get(hush)), lambda: call(cluster, key, get(hush))):
        with pytest.raises(grpc.RpcError):
            asked()
    with grpc.insecure_channel(discovery(cluster)) as channel, pytest.raises(grpc.RpcError):
        discovery_pb2_grpc.DiscoveryStub(channel).Get(
            discovery_pb2.GetRosterRequest(), timeout=CALL_S
        )

    def audited() -> str:
        return "".join(log.read_text() for log in (cluster.directory / "logs").glob("*.log"))

    def told() -> set[tuple[str, ...]]:
        lines = audited().splitlines()
        found = [one for one in map(json.loads, lines) if one.get("decision")]
        mine = [one for one in found if one.get("access_key_id") == key.access_key]
        mine += [one for one in found if one["program"] == "discovery"]
        mine += [one for one in found if one.get("resource") == "name=audited"]
        assert all(one["address"] == "127.0.0.1" for one in mine)
        names = ("protocol", "operation", "decision", "reason")
        return {tuple(one.get(name, "") for name in names) for one in mine}

    denied, invalid = "AccessDeniedException", "InvalidSignatureException"
    expected = {
        ("dax", "GetItem", "denied", denied),
        ("http", "PutItem", "unauthenticated", invalid),
        ("grpc", "GetItem", "unauthenticated", invalid),
        ("grpc", "GetItem", "denied", denied),
        ("grpc", "Get", "unauthenticated", "MissingAuthenticationTokenException"),
        ("admin", "/principals/add", "allowed", ""),
    }
    wait_until(lambda: expected <= told(), "all of them are told", CALL_S)
    text = audited()
    assert key.secret_key not in text
    assert hush not in text
    assert "Signature=" not in text


@pytest.mark.parametrize("kind", ["dax", "http", "grpc"])
def test_the_doctor_tells_why_somebody_is_not_let_in(cluster: LocalCluster, kind: str) -> None:
    key = new_key(cluster, "add", f"patient-{kind}")
    url = {
        "dax": f"dax://127.0.0.1:{cluster.plan.ports.discovery_dax}",
        "http": cluster.plan.nodes[0].http,
        "grpc": f"paceline://{discovery(cluster)}",
    }[kind]

    def said(**environment: str) -> str:
        status, told = doctor(url, "--table", TABLE, AWS_REGION=REGION, **environment)
        assert status == 1, told
        (problem,) = [one for one in told["findings"] if one["level"] == "problem"]
        assert problem["check"] in ("credentials", "permission")
        assert problem["advice"]
        return str(problem["found"])

    assert "MissingAuthenticationTokenException" in said()
    unknown = {"AWS_ACCESS_KEY_ID": "PLAKNOBODY0000000000", "AWS_SECRET_ACCESS_KEY": "x" * 40}
    assert "UnrecognizedClientException" in said(**unknown)
    wrong = {"AWS_ACCESS_KEY_ID": key.access_key, "AWS_SECRET_ACCESS_KEY": "x" * 40}
    assert "InvalidSignatureException" in said(**wrong)
    right = {"AWS_ACCESS_KEY_ID": key.access_key, "AWS_SECRET_ACCESS_KEY": key.secret_key}
    assert "AccessDeniedException" in said(**right)


def test_a_watch_ends_with_the_key_that_asked_for_it(cluster: LocalCluster) -> None:
    """It was verified when it began; what it goes on to tell is for nobody else either."""
    key = new_key(cluster, "add", "watcher")
    method = "/paceline.v1.Discovery/Watch"
    asked = discovery_pb2.WatchRosterRequest(heartbeat_ms=100)
    metadata = sign_call(key, REGION, method, asked.SerializeToString(), datetime.now(UTC))
    for address in (discovery(cluster), cluster.plan.nodes[1].grpc):
        with grpc.insecure_channel(address) as channel:
            stub = discovery_pb2_grpc.DiscoveryStub(channel)
            told = stub.Watch(asked, metadata=metadata, timeout=3 * CALL_S)
            for _ in range(5):
                assert len(next(told).nodes) == 2
            principal(cluster, "disable", "watcher")
            with pytest.raises(grpc.RpcError) as ended:
                for _ in told:
                    pass
            assert ended.value.code() is grpc.StatusCode.UNAUTHENTICATED
            assert "security token" in ended.value.details()
        principal(cluster, "enable", "watcher")
        wait_until(lambda: nodes_told(cluster.plan.nodes[1].grpc, key) == 2, "it is so", CALL_S)
