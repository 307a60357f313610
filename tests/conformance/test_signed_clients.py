"""The official clients of five languages, unmodified, on a cluster that wants to know who calls."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from tests.support.cluster import Cluster
from tests.support.embedded import boto3_client
from tests.support.go_client import GoClient, LowLevelGo
from tests.support.java_client import JavaClient, LowLevelJava
from tests.support.js_client import ROOT, JsClient, JsError, LowLevel
from tests.support.twins import keys

AWS = ROOT / ".tools" / "venv" / "bin" / "aws"
TABLE = "signed"
KEY_ID, SECRET = "PLAKOFFICIALCLIENTS1", "secret-of-the-official-clients"
READER = "PLAKOFFICIALREADERS1"
ITEM = {"id": {"S": "a"}, "v": {"N": "1"}}
KEY = {"id": {"S": "a"}}


def statement(*actions: str) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": list(actions), "Resource": "*"}


PRINCIPALS = [
    {
        "name": name,
        "keys": [{"id": key, "secret": SECRET}],
        "policies": {"p": json.dumps({"Version": "2012-10-17", "Statement": statement(*actions)})},
    }
    for name, key, actions in (
        ("everything", KEY_ID, ["dynamodb:*"]),
        ("reader", READER, ["dynamodb:GetItem", "dynamodb:Query"]),
    )
]

ROLE = "arn:aws:iam::000000000000:role/visitor"
ROLES = [
    {
        "role": "visitor",
        "id": "PLRO0VISITOR00000000",
        "trust": {
            "Version": "2012-10-17",
            "Statement": {
                "Effect": "Allow",
                "Action": "sts:AssumeRole",
                "Principal": {"AWS": "arn:aws:iam::000000000000:user/reader"},
            },
        },
        "policies": {
            "p": json.dumps({"Version": "2012-10-17", "Statement": statement("dynamodb:GetItem")})
        },
    }
]

KINDS: dict[str, Callable[[str], Any]] = {
    "v3": lambda dax: LowLevel(JsClient("v3", dax)),
    "v2": lambda dax: LowLevel(JsClient("v2", dax)),
    "go-v2": lambda dax: LowLevelGo(GoClient("go-v2", dax)),
    "go-v1": lambda dax: LowLevelGo(GoClient("go-v1", dax)),
    "java": lambda dax: LowLevelJava(JavaClient(dax)),
    "java-v1": lambda dax: LowLevelJava(JavaClient(dax, kind="java-v1")),
}

REPEATED = pytest.mark.full(minutes=0.2)
"""Of a client whose successor shows the same."""
OLDER = ("v2", "go-v1", "java-v1")


def kinds(*names: str) -> list[Any]:
    return [pytest.param(name, marks=REPEATED) if name in OLDER else name for name in names]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    path: Path = tmp_path_factory.mktemp("signed")
    (path / "principals.yaml").write_text(json.dumps({"principals": PRINCIPALS, "roles": ROLES}))
    settings = {
        "PACELINE_ACCESS__AUTHENTICATION": "sigv4",
        "PACELINE_ACCESS__PRINCIPALS_FILE": str(path / "principals.yaml"),
    }
    with Cluster(path, nodes=2, settings=settings) as cluster:
        plain = boto3_client(cluster.dynamodb)
        plain.create_table(TableName=TABLE, BillingMode="PAY_PER_REQUEST", **keys(("id", "S")))
        plain.close()
        yield cluster


@pytest.fixture
def opened(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Any]]:
    """Opens a client of a kind, with a key."""
    clients: list[Any] = []

    def opened(kind: str, key: str, secret: str = SECRET, token: str = "") -> Any:
        monkeypatch.setenv("DRIVER_ACCESS_KEY", key)
        monkeypatch.setenv("DRIVER_SECRET_KEY", secret)
        if token:
            monkeypatch.setenv("DRIVER_SESSION_TOKEN", token)
        client = KINDS[kind](cluster.dax)
        clients.append(client._client)
        return client

    yield opened
    for client in clients:
        client.close()


@pytest.mark.parametrize("kind", kinds(*KINDS))
def test_it_signs_and_is_told_what_it_may(opened: Callable[..., Any], kind: str) -> None:
    client = opened(kind, KEY_ID)
    client.put_item(TableName=TABLE, Item=ITEM)
    for _ in range(4):
        assert client.get_item(TableName=TABLE, Key=KEY)["Item"] == ITEM
    found = client.batch_get_item(RequestItems={TABLE: {"Keys": [KEY]}})
    assert found["Responses"][TABLE] == [ITEM]
    reader = opened(kind, READER)
    for _ in range(4):
        assert reader.get_item(TableName=TABLE, Key=KEY)["Item"] == ITEM
    with pytest.raises(Exception, match="not authorized to perform: dynamodb:DeleteItem"):
        reader.delete_item(TableName=TABLE, Key=KEY)
    with pytest.raises(Exception, match="not authorized to perform: dynamodb:Scan"):
        reader.scan(TableName=TABLE)


@pytest.mark.parametrize("kind", kinds(*KINDS))
def test_who_does_not_know_the_secret_gets_nothing(opened: Callable[..., Any], kind: str) -> None:
    client = opened(kind, KEY_ID, "another-secret-of-some-length")
    # Some say that no node can be reached: discovery refuses them already.
    with pytest.raises((ClientError, JsError)) as refused:
        client.get_item(TableName=TABLE, Key=KEY)
    print(kind, refused.value)


@pytest.fixture(scope="module")
def visitor(cluster: Cluster) -> tuple[str, str, str]:
    """Credentials of a role's session."""
    sts = boto3.client(
        "sts",
        endpoint_url=cluster.entry["discovery"][0]["http"],
        region_name="us-east-1",
        aws_access_key_id=READER,
        aws_secret_access_key=SECRET,
    )
    told = sts.assume_role(RoleArn=ROLE, RoleSessionName="tour")["Credentials"]
    return told["AccessKeyId"], told["SecretAccessKey"], told["SessionToken"]


@pytest.mark.parametrize("kind", kinds("v3", "v2", "go-v2", "go-v1"))
def test_it_signs_for_a_session_of_a_role(
    opened: Callable[..., Any], visitor: tuple[str, str, str], kind: str
) -> None:
    opened(kind, KEY_ID).put_item(TableName=TABLE, Item=ITEM)
    client = opened(kind, *visitor)
    for _ in range(4):
        assert client.get_item(TableName=TABLE, Key=KEY)["Item"] == ITEM
    said = "assumed-role/visitor/tour is not authorized to perform: dynamodb:Query"
    with pytest.raises(Exception, match=said):
        client.query(
            TableName=TABLE,
            KeyConditionExpression="id = :a",
            ExpressionAttributeValues={":a": {"S": "a"}},
        )


@pytest.mark.full(minutes=1)
def test_the_aws_cli_takes_on_a_role(cluster: Cluster, opened: Callable[..., Any]) -> None:
    if not AWS.exists():
        pytest.skip(f"{AWS} is not installed: make tools")
    opened("v3", KEY_ID).put_item(TableName=TABLE, Item=ITEM)
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": "/nonexistent",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_MAX_ATTEMPTS": "1",
        "AWS_ENDPOINT_URL_STS": str(cluster.entry["discovery"][0]["http"]),
        "AWS_ENDPOINT_URL_DYNAMODB": str(cluster.entry["nodes"][0]["http"]),
        "AWS_ACCESS_KEY_ID": READER,
        "AWS_SECRET_ACCESS_KEY": SECRET,
    }

    def aws(*words: str, **more: str) -> tuple[Any, str]:
        done = subprocess.run(
            [str(AWS), *words, "--output", "json"],
            env={**environment, **more},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return json.loads(done.stdout or "null"), done.stderr

    told, said = aws("sts", "assume-role", "--role-arn", ROLE, "--role-session-name", "tour")
    assert told is not None, said
    credentials = told["Credentials"]
    session = {
        "AWS_ACCESS_KEY_ID": credentials["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": credentials["SecretAccessKey"],
        "AWS_SESSION_TOKEN": credentials["SessionToken"],
    }
    identity, _ = aws("sts", "get-caller-identity", **session)
    assert identity["Arn"] == told["AssumedRoleUser"]["Arn"]
    get = ("dynamodb", "get-item", "--table-name", TABLE, "--key", json.dumps(KEY))
    assert aws(*get, **session)[0] == {"Item": ITEM}
    cut = {**session, "AWS_SESSION_TOKEN": credentials["SessionToken"][:-4]}
    assert "(UnrecognizedClientException)" in aws(*get, **cut)[1]
    assert "(InvalidClientTokenId)" in aws("sts", "get-caller-identity", **cut)[1]
    assert (
        "(AccessDenied)"
        in aws(
            *("sts", "assume-role", "--role-arn", ROLE, "--role-session-name", "again"), **session
        )[1]
    )
    user = ROLE.replace("role/", "user/")
    asked = ("sts", "assume-role", "--role-arn", user, "--role-session-name", "tour")
    assert "(ValidationError)" in aws(*asked)[1]
