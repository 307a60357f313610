"""Clients of the HTTP API as people use them: with another endpoint and nothing else."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiobotocore.session import get_session

from tests.conformance.test_differential import run
from tests.support.cluster import Cluster
from tests.support.js_client import JsClient, JsError, LowLevel
from tests.support.twins import standard_twins

ROOT = Path(__file__).parents[2]
TOOLS = ROOT / ".tools" / "venv" / "bin"
STEPS = 80
ENVIRONMENT = {
    "PATH": os.environ["PATH"],
    "HOME": "/nonexistent",
    "AWS_ACCESS_KEY_ID": "x",
    "AWS_SECRET_ACCESS_KEY": "x",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_MAX_ATTEMPTS": "1",
}


def tool(name: str) -> str:
    path = TOOLS / name
    if not path.exists():
        pytest.skip(f"{path} is not installed: make tools")
    return str(path)


def script(python: str, text: str, *arguments: str) -> None:
    done = subprocess.run(
        [python, "-W", "ignore", "-c", text, *arguments],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def http(cluster: Cluster, number: int = 0) -> str:
    return str(cluster.entry["nodes"][number]["http"])


async def test_aiobotocore(cluster: Cluster) -> None:
    """Many requests at a time on one client, over pooled connections."""
    table = "aiobotocore"
    options = {"region_name": "us-east-1", "aws_access_key_id": "x", "aws_secret_access_key": "x"}
    async with get_session().create_client(
        "dynamodb", endpoint_url=http(cluster), **options
    ) as client:
        await client.create_table(
            TableName=table,
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
        items = [{"id": {"S": str(n)}, "v": {"B": bytes([n])}} for n in range(30)]
        await asyncio.gather(*(client.put_item(TableName=table, Item=item) for item in items))
        for _ in range(2):
            found = await asyncio.gather(
                *(client.get_item(TableName=table, Key={"id": item["id"]}) for item in items)
            )
            assert [one["Item"] for one in found] == items
        caches = [one["ResponseMetadata"]["HTTPHeaders"]["x-paceline-cache"] for one in found]
        assert caches == ["hit"] * len(items)
        counted = await client.update_item(
            TableName=table,
            Key={"id": {"S": "0"}},
            UpdateExpression="ADD n :one",
            ExpressionAttributeValues={":one": {"N": "1"}},
            ReturnValues="UPDATED_NEW",
        )
        assert counted["Attributes"] == {"n": {"N": "1"}}
        pages = client.get_paginator("scan").paginate(TableName=table, Limit=7)
        assert sum([page["Count"] async for page in pages]) == len(items)
        await client.delete_table(TableName=table)


PYNAMODB = """
import sys
from pynamodb.attributes import BinaryAttribute, ListAttribute, MapAttribute, NumberAttribute
from pynamodb.attributes import UnicodeAttribute, UnicodeSetAttribute, VersionAttribute
from pynamodb.connection import Connection
from pynamodb.exceptions import PutError, TransactWriteError
from pynamodb.indexes import AllProjection, GlobalSecondaryIndex
from pynamodb.models import Model
from pynamodb.transactions import TransactGet, TransactWrite

class ByColour(GlobalSecondaryIndex):
    class Meta:
        index_name = "colour"
        projection = AllProjection()
        billing_mode = "PAY_PER_REQUEST"
    colour = UnicodeAttribute(hash_key=True)

class Thing(Model):
    class Meta:
        table_name = "pynamodb"
        host = sys.argv[1]
        region = "us-east-1"
        billing_mode = "PAY_PER_REQUEST"
        max_retry_attempts = 0
    id = UnicodeAttribute(hash_key=True)
    number = NumberAttribute(range_key=True)
    colour = UnicodeAttribute(null=True)
    data = BinaryAttribute(null=True, legacy_encoding=False)
    tags = UnicodeSetAttribute(null=True)
    more = MapAttribute(null=True)
    list = ListAttribute(null=True)
    by_colour = ByColour()
    version = VersionAttribute()

Thing.create_table(wait=True)
try:
    one = Thing("a", 1, colour="red", data=b"\\x00\\xff", tags={"x", "y"}, more={"k": [1, "2"]})
    one.save()
    for _ in range(2):
        got = Thing.get("a", 1)
        assert (got.data, got.tags, got.more["k"][1]) == (b"\\x00\\xff", {"x", "y"}, "2"), got
    got.update(actions=[Thing.colour.set("blue"), Thing.list.set([1])])
    assert Thing.get("a", 1).colour == "blue"
    try:
        one.save()  # its version is old
        raise SystemExit("an old version was saved")
    except PutError as error:
        assert error.cause_response_code == "ConditionalCheckFailedException", error
    with Thing.batch_write() as batch:
        for n in range(2, 40):
            batch.save(Thing("a", n, colour="green" if n % 2 else "blue"))
    assert [t.number for t in Thing.query("a", Thing.number < 4)] == [1, 2, 3]
    assert [t.number for t in Thing.query("a", limit=5, page_size=2)] == [1, 2, 3, 4, 5]
    assert len(list(Thing.scan(Thing.colour == "green"))) == 19
    assert len(list(Thing.by_colour.query("blue"))) == 20
    assert len(list(Thing.batch_get([("a", n) for n in range(1, 40)]))) == 39
    assert Thing.count("a") == 39
    connection = Connection(region="us-east-1", host=sys.argv[1])
    with TransactWrite(connection=connection) as write:
        write.delete(Thing("a", 2))
        write.save(Thing("b", 1))
    with TransactGet(connection=connection) as read:
        found = read.get(Thing, "b", 1)
    assert found.get().id == "b"
    try:
        with TransactWrite(connection=connection) as write:
            write.delete(Thing("a", 3), condition=Thing.colour == "never")
        raise SystemExit("a failed transaction passed")
    except TransactWriteError as error:
        assert error.cancellation_reasons[0].code == "ConditionalCheckFailed"
    try:
        Thing.get("a", 2)
        raise SystemExit("a deleted item is there")
    except Thing.DoesNotExist:
        pass
finally:
    Thing.delete_table()
"""


def test_pynamodb(cluster: Cluster) -> None:
    script(tool("python"), PYNAMODB, http(cluster))


@pytest.mark.full(minutes=1)
def test_the_aws_cli(cluster: Cluster) -> None:
    """A process a call, hence few calls. Version 1 encodes binary values itself."""
    aws = tool("aws")

    def call(number: int, *words: str) -> Any:
        done = subprocess.run(
            [aws, "dynamodb", *words, "--endpoint-url", http(cluster, number), "--output", "json"],
            env=ENVIRONMENT,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert not done.returncode, done.stderr
        return json.loads(done.stdout) if done.stdout.strip() else None

    table = ("--table-name", "aws-cli")
    call(
        0,
        "create-table",
        *table,
        "--key-schema=AttributeName=id,KeyType=HASH",
        "--attribute-definitions=AttributeName=id,AttributeType=S",
        "--billing-mode=PAY_PER_REQUEST",
    )
    try:
        call(0, "put-item", *table, "--item", '{"id": {"S": "1"}, "v": {"B": "raw"}}')
        found = call(1, "get-item", *table, "--key", '{"id": {"S": "1"}}')
        assert found == {"Item": {"id": {"S": "1"}, "v": {"B": "cmF3"}}}
        statement = "UPDATE \"aws-cli\" SET w = 2 WHERE id = '1'"
        call(2, "execute-statement", "--statement", statement)
        assert call(0, "scan", *table)["Items"][0]["w"] == {"N": "2"}
        assert call(1, "describe-table", *table)["Table"]["TableStatus"] == "ACTIVE"
    finally:
        call(0, "delete-table", *table)


def test_the_aws_sdk_for_javascript(cluster: Cluster, plain: Any) -> None:
    with JsClient("v3-http", http(cluster)) as client:
        for twins in standard_twins(LowLevel(client), plain):
            run(twins, STEPS, "javascript")


@pytest.fixture(scope="module")
def document(cluster: Cluster) -> Iterator[JsClient]:
    with JsClient("v3-http-document", http(cluster, 1)) as client:
        yield client


@pytest.fixture(scope="module")
def rows(document: JsClient, plain: Any) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A table and what is in it."""
    for twins in standard_twins(LowLevel(document), plain):
        table = twins.cached.names["range"]
        made = [{"pk": "pages", "sk": number} for number in range(8)]
        puts = [{"PutRequest": {"Item": row}} for row in made]
        document.call("batchWrite", {"RequestItems": {table: puts}})
        yield table, made


def test_paginators_of_the_aws_sdk_for_javascript(
    document: JsClient, rows: tuple[str, list[dict[str, Any]]]
) -> None:
    table, made = rows
    mine = {"KeyConditionExpression": "pk = :p", "ExpressionAttributeValues": {":p": "pages"}}
    for _ in range(2):
        found = document.call("paginateQuery", {"TableName": table, **mine})["pages"]
        assert [page["Count"] for page in found] == [3, 3, 2]
        assert [row for page in found for row in page["Items"]] == made
    scanned = document.call("paginateScan", {"TableName": table})["pages"]
    assert sum(page["Count"] for page in scanned) == len(made)


def test_errors_of_the_aws_sdk_for_javascript(
    document: JsClient, rows: tuple[str, list[dict[str, Any]]]
) -> None:
    table, (_, key, *_) = rows
    absent = {"TableName": table, "ConditionExpression": "attribute_not_exists(pk)"}
    put = {**absent, "ReturnValuesOnConditionCheckFailure": "ALL_OLD", "Item": key}
    with pytest.raises(JsError) as condition:
        document.call("put", put)
    assert condition.value.kind == "ConditionalCheckFailedException"
    assert condition.value.status == 400
    assert condition.value.item == {"pk": {"S": "pages"}, "sk": {"N": "1"}}
    actions = [{"ConditionCheck": {**absent, "Key": key}}]
    with pytest.raises(JsError) as transaction:
        document.call("transactWrite", {"TransactItems": actions})
    assert transaction.value.kind == "TransactionCanceledException"
    assert [one["Code"] for one in transaction.value.reasons or ()] == ["ConditionalCheckFailed"]
    with pytest.raises(JsError) as nowhere:
        document.call("get", {"TableName": "no-such-table", "Key": key})
    assert nowhere.value.kind == "ResourceNotFoundException"
    with pytest.raises(JsError) as invalid:
        document.call("get", {"TableName": table, "Key": {"pk": 1, "sk": 1}})
    assert invalid.value.code == "ValidationException"


def test_boto3_with_nothing_but_an_environment_variable(cluster: Cluster) -> None:
    text = """
import boto3
table = boto3.resource("dynamodb").create_table(
    TableName="environment", BillingMode="PAY_PER_REQUEST",
    KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
    AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}])
try:
    with table.batch_writer() as batch:
        for n in range(30):
            batch.put_item(Item={"id": str(n), "n": n})
    assert table.get_item(Key={"id": "7"})["Item"] == {"id": "7", "n": 7}
    assert len(table.scan()["Items"]) == 30
finally:
    table.delete()
"""
    environment = {**ENVIRONMENT, "AWS_ENDPOINT_URL_DYNAMODB": http(cluster)}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", text],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
