"""Temporary credentials on a real cluster: from STS to what they open, and when no longer."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
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
from tests.integration.signed.conftest import TABLE
from tests.integration.signed.test_principals import new_key
from tests.support.principals import COMMAND_S, Key, paceline_command, principal
from tests.support.waiting import wait_until

REGION = "us-east-1"
CALL_S = 20.0
UNKNOWN = "UnrecognizedClientException"
ITEM = {"id": {"S": "a"}, "v": {"N": "1"}}
KEY = {"id": {"S": "a"}}


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


def document(directory: Path, name: str, **statement: Any) -> str:
    """The path of an IAM document."""
    path = directory / f"{name}.json"
    path.write_text(json.dumps({"Version": "2012-10-17", "Statement": statement}))
    return str(path)


def new_role(cluster: LocalCluster, directory: Path, name: str, who: str, *actions: str) -> str:
    """Its ARN, once discovery knows it."""
    trust = document(
        directory, "trust", Effect="Allow", Action="sts:AssumeRole", Principal={"AWS": who}
    )
    may = document(directory, "may", Effect="Allow", Action=list(actions), Resource="*")
    words = ("add", name, "--trust", trust, "--policy", may, "--output", "json")
    (told,) = json.loads(paceline_command(cluster, "role", *words))
    return str(told["arn"])


def assume(cluster: LocalCluster, key: Key, arn: str, **more: Any) -> Key:
    """Discovery hears of a new role as soon as the log has come to it."""
    client = sts(cluster, key)
    found: list[Key] = []

    def assumed() -> bool:
        try:
            told = client.assume_role(RoleArn=arn, RoleSessionName="job", **more)
        except ClientError as error:
            if error.response["Error"]["Code"] != "AccessDenied":
                raise
            return False
        found.append(key_of(told["Credentials"]))
        return True

    wait_until(assumed, f"{arn} may be taken on", CALL_S)
    return found[0]


def test_a_role_may_what_its_policies_say_at_every_door(
    cluster: LocalCluster, tmp_path: Path
) -> None:
    key = new_key(cluster, "add", "taker")
    user = "arn:aws:iam::000000000000:user/taker"
    arn = new_role(cluster, tmp_path, "reader", user, "dynamodb:GetItem", "dynamodb:Query")
    everybody = new_key(cluster, "add", "writer", "--full-access")
    http(cluster, everybody).put_item(TableName=TABLE, Item=ITEM)
    assert refused(http(cluster, key)) == "AccessDeniedException"
    role = assume(cluster, key, arn)
    session_arn = "arn:aws:sts::000000000000:assumed-role/reader/job"
    assert sts(cluster, role).get_caller_identity()["Arn"] == session_arn
    with dax(cluster, role) as client:
        for one in (http(cluster, role, 0), http(cluster, role, 1), client):
            assert {refused(one) for _ in range(4)} == {""}
            with pytest.raises(ClientError, match="not authorized") as denied:
                one.delete_item(TableName=TABLE, Key=KEY)
            assert f"User: {session_arn} is not" in str(denied.value)
        narrow = json.dumps(
            {"Statement": {"Effect": "Allow", "Action": "dynamodb:Query", "Resource": "*"}}
        )
        narrowed = assume(cluster, key, arn, Policy=narrow)
        assert refused(http(cluster, narrowed)) == "AccessDeniedException"
        paceline_command(cluster, "role", "disable", "reader")
        wait_until(lambda: {refused(client) for _ in range(6)} == {UNKNOWN}, "it ends", CALL_S)
        paceline_command(cluster, "role", "enable", "reader")
        wait_until(lambda: {refused(client) for _ in range(6)} == {""}, "it goes on", CALL_S)
        paceline_command(cluster, "role", "remove", "reader")
        wait_until(lambda: {refused(client) for _ in range(6)} == {UNKNOWN}, "it ends", CALL_S)


def test_a_profile_takes_on_a_role_by_itself(cluster: LocalCluster, tmp_path: Path) -> None:
    """botocore's own provider: a role_arn and a source_profile, and nothing in the program."""
    key = new_key(cluster, "add", "profiled")
    user = "arn:aws:iam::000000000000:user/profiled"
    arn = new_role(cluster, tmp_path, "profile-role", user, "dynamodb:*")
    assume(cluster, key, arn)
    (tmp_path / "config").write_text(
        f"[profile job]\nrole_arn = {arn}\nsource_profile = base\nregion = {REGION}\n"
        f"[profile base]\nregion = {REGION}\naws_access_key_id = {key.access_key}\n"
        f"aws_secret_access_key = {key.secret_key}\n"
    )
    program = f"""
import boto3, botocore.session
from amazondax import AmazonDaxClient
session = boto3.Session(profile_name="job")
plain = session.client("dynamodb", endpoint_url={cluster.plan.nodes[0].http!r})
plain.put_item(TableName={TABLE!r}, Item={ITEM!r})
core = botocore.session.Session(profile="job")
endpoint = "dax://127.0.0.1:{cluster.plan.ports.discovery_dax}"
with AmazonDaxClient(core, endpoint_url=endpoint, region_name={REGION!r}) as dax:
    for client in (plain, dax, dax, dax):
        assert client.get_item(TableName={TABLE!r}, Key={KEY!r})["Item"] == {ITEM!r}
print(session.client("sts").get_caller_identity()["Arn"])
"""
    ran = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=COMMAND_S,
        check=False,
        env={
            **{name: value for name, value in os.environ.items() if not name.startswith("AWS_")},
            "AWS_CONFIG_FILE": str(tmp_path / "config"),
            "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "none"),
            "AWS_ENDPOINT_URL_STS": str(cluster.entry()["discovery"][0]["http"]),
        },
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert ran.stdout.startswith("arn:aws:sts::000000000000:assumed-role/profile-role/botocore-")


def test_a_tables_policy_counts_with_the_next_request(
    cluster: LocalCluster, tmp_path: Path
) -> None:
    key = new_key(cluster, "add", "guest")
    owner = new_key(cluster, "add", "owner-of-all", "--full-access")
    http(cluster, owner).put_item(TableName=TABLE, Item=ITEM)
    guest = {"AWS": "arn:aws:iam::000000000000:user/guest"}
    may = document(
        tmp_path, "guest", Effect="Allow", Action="dynamodb:GetItem", Principal=guest, Resource="*"
    )
    never = document(
        tmp_path, "never", Effect="Deny", Action="dynamodb:GetItem", Principal=guest, Resource="*"
    )
    with dax(cluster, key) as client:
        doors = (http(cluster, key, 0), http(cluster, key, 1), client)

        def told() -> set[str]:
            return {refused(door) for door in doors for _ in range(4)}

        assert told() == {"AccessDeniedException"}
        paceline_command(cluster, "policy", "attach", TABLE, may)
        wait_until(lambda: told() == {""}, "it is let in", CALL_S)
        paceline_command(cluster, "policy", "attach", TABLE, never)
        wait_until(lambda: told() == {"AccessDeniedException"}, "it is denied", CALL_S)
        with pytest.raises(ClientError, match="explicit deny in a resource-based policy"):
            client.get_item(TableName=TABLE, Key=KEY)
        shown = json.loads(paceline_command(cluster, "policy", "show", TABLE))
        assert list(shown[0]["policies"]) == ["guest", "never"]
        paceline_command(cluster, "policy", "detach", TABLE, "never")
        wait_until(lambda: told() == {""}, "it is let in again", CALL_S)
        paceline_command(cluster, "policy", "detach", TABLE, "guest")
        wait_until(lambda: told() == {"AccessDeniedException"}, "nothing is left", CALL_S)


def test_the_longest_token_fits_through_every_door(cluster: LocalCluster, tmp_path: Path) -> None:
    key = new_key(cluster, "add", "long-token")
    owner = new_key(cluster, "add", "long-owner", "--full-access")
    http(cluster, owner).put_item(TableName=TABLE, Item=ITEM)
    user = "arn:aws:iam::000000000000:user/long-token"
    arn = new_role(cluster, tmp_path, "long-role", user, "dynamodb:*")
    tables = [hashlib.sha512(bytes((n,))).hexdigest() for n in range(11)]
    named = [f"arn:aws:dynamodb:*:*:table/{name}" for name in tables]
    policy = {
        "Statement": [
            {"Effect": "Allow", "Action": "*", "Resource": "*"},
            {"Effect": "Deny", "Action": "*", "Resource": named},
        ]
    }
    temporary = assume(cluster, key, arn, Policy=json.dumps(policy, separators=(",", ":")))
    assert temporary.token is not None
    assert len(temporary.token) > 1_000
    with dax(cluster, temporary) as client:
        for door in (http(cluster, temporary, 0), http(cluster, temporary, 1), client):
            assert {refused(door) for _ in range(4)} == {""}
    for address in (cluster.entry()["discovery"][0]["grpc"], cluster.plan.nodes[1].grpc):
        assert roster(address, temporary) == 2
