"""The official clients of five languages, unmodified, on a cluster that wants to know who calls."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.support.cluster import Cluster
from tests.support.embedded import boto3_client
from tests.support.go_client import GoClient, LowLevelGo
from tests.support.java_client import JavaClient, LowLevelJava
from tests.support.js_client import JsClient, JsError, LowLevel
from tests.support.twins import keys

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

KINDS: dict[str, Callable[[str], Any]] = {
    "v3": lambda dax: LowLevel(JsClient("v3", dax)),
    "v2": lambda dax: LowLevel(JsClient("v2", dax)),
    "go-v2": lambda dax: LowLevelGo(GoClient("go-v2", dax)),
    "go-v1": lambda dax: LowLevelGo(GoClient("go-v1", dax)),
    "java": lambda dax: LowLevelJava(JavaClient(dax)),
    "java-v1": lambda dax: LowLevelJava(JavaClient(dax, kind="java-v1")),
}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    path: Path = tmp_path_factory.mktemp("signed")
    (path / "principals.yaml").write_text(json.dumps({"principals": PRINCIPALS}))
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

    def opened(kind: str, key: str, secret: str = SECRET) -> Any:
        monkeypatch.setenv("DRIVER_ACCESS_KEY", key)
        monkeypatch.setenv("DRIVER_SECRET_KEY", secret)
        client = KINDS[kind](cluster.dax)
        clients.append(client._client)
        return client

    yield opened
    for client in clients:
        client.close()


@pytest.mark.parametrize("kind", KINDS)
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


@pytest.mark.parametrize("kind", KINDS)
def test_who_does_not_know_the_secret_gets_nothing(opened: Callable[..., Any], kind: str) -> None:
    client = opened(kind, KEY_ID, "another-secret-of-some-length")
    # Some say that no node can be reached: discovery refuses them already.
    with pytest.raises((ClientError, JsError)) as refused:
        client.get_item(TableName=TABLE, Key=KEY)
    print(kind, refused.value)
