"""Backend and Tables on the embedded DynamoDB: real answers, real error shapes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from cluster.settings import DynamoDBSettings
from node.backend.client import Backend, WriteResult
from node.tables.schemas import Tables
from paceline import clock
from paceline.errors import DynamoDBError
from paceline.types import KeyAttribute, KeySchema, Params, Result
from tests.support.embedded import (  # noqa: F401
    Database,
    dynamodb,
    embedded_dynamodb,
    require_loopback,
)
from tests.support.waiting import until

WAIT_S = 10.0


@pytest.fixture
async def backend(dynamodb: Database) -> AsyncIterator[Backend]:  # noqa: F811
    backend = Backend(DynamoDBSettings(endpoint=dynamodb.endpoint, credentials="dummy"))
    await backend.start()
    yield backend
    await backend.stop()


@pytest.fixture
def table(dynamodb: Database) -> str:  # noqa: F811
    return dynamodb.create()


async def read(backend: Backend, operation: str, params: Params) -> Result:
    return await backend.read(operation, params, clock.now() + WAIT_S)


async def write(backend: Backend, operation: str, params: Params) -> WriteResult:
    return await backend.write(operation, params, clock.now() + WAIT_S, lambda: True)


def item(id_: str, **attributes: Any) -> dict[str, Any]:
    return {"id": {"S": id_}, **attributes}


async def test_put_get_update_delete(backend: Backend, table: str) -> None:
    whole = item("1", n={"N": "1.5"}, b={"B": b"\x00\xff"}, l={"L": [{"NULL": True}]})
    ended = await write(backend, "PutItem", {"TableName": table, "Item": whole})
    assert ended == WriteResult({}, None, ambiguous=False)
    key = {"TableName": table, "Key": item("1")}
    assert await read(backend, "GetItem", key) == {"Item": whole}
    assert await read(backend, "GetItem", {"TableName": table, "Key": item("2")}) == {}
    ended = await write(
        backend,
        "UpdateItem",
        {
            **key,
            "UpdateExpression": "SET n = n + :one",
            "ExpressionAttributeValues": {":one": {"N": "1"}},
            "ReturnValues": "ALL_NEW",
        },
    )
    assert ended.reply() == {"Attributes": {**whole, "n": {"N": "2.5"}}}
    ended = await write(backend, "DeleteItem", {**key, "ReturnValues": "ALL_OLD"})
    assert ended.reply() == {"Attributes": {**whole, "n": {"N": "2.5"}}}
    assert await read(backend, "GetItem", key) == {}


async def test_a_failed_condition_comes_with_the_item(
    backend: Backend,
    table: str,
    dynamodb: Database,  # noqa: F811
) -> None:
    old = item("1", name={"S": "Ada"})
    await write(backend, "PutItem", {"TableName": table, "Item": old})
    params = {
        "TableName": table,
        "Item": item("1"),
        "ConditionExpression": "attribute_not_exists(id)",
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
    }
    ended = await write(backend, "PutItem", params)
    assert not ended.ambiguous
    assert isinstance(ended.error, DynamoDBError)
    assert ended.error.name == "ConditionalCheckFailedException"
    assert ended.error.item == old
    assert ended.error.request_id
    with pytest.raises(dynamodb.client.exceptions.ConditionalCheckFailedException) as direct:
        dynamodb.client.put_item(**params)
    assert ended.error.message == direct.value.response["Error"]["Message"]
    assert ended.error.status == direct.value.response["ResponseMetadata"]["HTTPStatusCode"]


async def test_transactions(backend: Backend, table: str) -> None:
    old = item("2", name={"S": "Bob"})
    await write(backend, "PutItem", {"TableName": table, "Item": old})
    put = {"Put": {"TableName": table, "Item": item("1")}}
    condition = {
        "Put": {
            "TableName": table,
            "Item": item("2"),
            "ConditionExpression": "attribute_not_exists(id)",
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        }
    }
    ended = await write(backend, "TransactWriteItems", {"TransactItems": [put, condition]})
    assert not ended.ambiguous
    assert isinstance(ended.error, DynamoDBError)
    assert ended.error.name == "TransactionCanceledException"
    assert ended.error.status == 400
    assert ended.error.reasons is not None
    assert [reason["Code"] for reason in ended.error.reasons] == ["None", "ConditionalCheckFailed"]
    assert ended.error.reasons[1]["Item"] == old
    ended = await write(backend, "TransactWriteItems", {"TransactItems": [put]})
    assert ended == WriteResult({}, None, ambiguous=False)
    got = await read(
        backend,
        "TransactGetItems",
        {"TransactItems": [{"Get": {"TableName": table, "Key": item(n)}} for n in "129"]},
    )
    assert got == {"Responses": [{"Item": item("1")}, {"Item": old}, {}]}


async def test_a_repeated_token_does_nothing_twice(backend: Backend, table: str) -> None:
    add = {
        "Update": {
            "TableName": table,
            "Key": item("1"),
            "UpdateExpression": "ADD n :one",
            "ExpressionAttributeValues": {":one": {"N": "1"}},
        }
    }
    params = {"TransactItems": [add], "ClientRequestToken": "the-same-token"}
    for _ in range(3):
        assert (await write(backend, "TransactWriteItems", params)).error is None
    got = await read(backend, "GetItem", {"TableName": table, "Key": item("1")})
    assert got["Item"]["n"] == {"N": "1"}


async def test_batches(backend: Backend, table: str) -> None:
    puts = [{"PutRequest": {"Item": item(str(n))}} for n in range(25)]
    ended = await write(
        backend,
        "BatchWriteItem",
        {"RequestItems": {table: puts}, "ReturnConsumedCapacity": "TOTAL"},
    )
    assert not ended.ambiguous
    result = ended.reply()
    assert result["UnprocessedItems"] == {}
    assert [entry["TableName"] for entry in result["ConsumedCapacity"]] == [table]
    keys = [item(str(n)) for n in range(0, 50, 2)]
    got = await read(backend, "BatchGetItem", {"RequestItems": {table: {"Keys": keys}}})
    assert got["UnprocessedKeys"] == {}
    assert sorted(int(found["id"]["S"]) for found in got["Responses"][table]) == list(
        range(0, 25, 2)
    )


async def test_query_and_scan(backend: Backend, dynamodb: Database) -> None:  # noqa: F811
    table = dynamodb.create(range_key=("sort", "N"), gsi={"by-mail": ("mail", "S")})
    for n in range(3):
        await write(
            backend,
            "PutItem",
            {"TableName": table, "Item": item("1", sort={"N": str(n)}, mail={"S": "m"})},
        )
    query = {
        "TableName": table,
        "KeyConditionExpression": "id = :id",
        "ExpressionAttributeValues": {":id": {"S": "1"}},
        "Limit": 2,
    }
    got = await read(backend, "Query", query)
    assert [found["sort"]["N"] for found in got["Items"]] == ["0", "1"]
    assert got["LastEvaluatedKey"] == item("1", sort={"N": "1"})
    got = await read(
        backend,
        "Query",
        {
            "TableName": table,
            "IndexName": "by-mail",
            "KeyConditionExpression": "mail = :m",
            "ExpressionAttributeValues": {":m": {"S": "m"}},
        },
    )
    assert got["Count"] == 3
    assert (await read(backend, "Scan", {"TableName": table}))["Count"] == 3


async def test_validation_is_dynamodbs(backend: Backend, dynamodb: Database) -> None:  # noqa: F811
    table = dynamodb.create()
    bad = {"TableName": table, "Key": {"wrong": {"S": "1"}}}
    with pytest.raises(DynamoDBError) as caught:
        await read(backend, "GetItem", bad)
    with pytest.raises(dynamodb.client.exceptions.ClientError) as direct:
        dynamodb.client.get_item(**bad)
    assert caught.value.name == direct.value.response["Error"]["Code"] == "ValidationException"
    assert caught.value.message == direct.value.response["Error"]["Message"]


# -- tables -------------------------------------------------------------------------------------


class Watched:
    def __init__(self, backend: Backend, check_s: float) -> None:
        self.changed: list[str] = []
        self.tables = Tables(backend, check_s=check_s, on_changed=self.on_changed)

    def on_changed(self, table: str, cause: str) -> None:
        self.changed.append(table)


@pytest.fixture
async def watched(backend: Backend) -> AsyncIterator[Watched]:
    watched = Watched(backend, check_s=0.1)
    await watched.tables.start()
    yield watched
    await watched.tables.stop()


async def test_schemas(watched: Watched, dynamodb: Database) -> None:  # noqa: F811
    table = dynamodb.create(range_key=("sort", "N"), gsi={"by-mail": ("mail", "S")})
    info = await watched.tables.schema(table)
    assert info.schema == KeySchema(KeyAttribute("id", "S"), KeyAttribute("sort", "N"))
    assert info.indexes["by-mail"].kind == "GSI"
    assert info.indexes["by-mail"].schema == KeySchema(KeyAttribute("mail", "S"))
    assert info.table_id
    assert info.status == "ACTIVE"


async def test_a_missing_table_reads_like_dynamodbs_answer(
    watched: Watched,
    dynamodb: Database,  # noqa: F811
) -> None:
    missing = dynamodb.name("missing")
    with pytest.raises(DynamoDBError) as caught:
        await watched.tables.schema(missing)
    with pytest.raises(dynamodb.client.exceptions.ResourceNotFoundException) as direct:
        dynamodb.client.get_item(TableName=missing, Key=item("1"))
    assert caught.value.name == "ResourceNotFoundException"
    assert caught.value.message == direct.value.response["Error"]["Message"]


async def test_a_recreated_table_is_noticed(
    watched: Watched,
    table: str,
    dynamodb: Database,  # noqa: F811
) -> None:
    first = await watched.tables.schema(table)
    dynamodb.client.delete_table(TableName=table)
    dynamodb.create(table)
    await until(lambda: table in watched.changed, meanwhile=lambda: watched.tables.peek(table))
    assert (await watched.tables.schema(table)).table_id != first.table_id


async def test_a_deleted_table_is_noticed(
    watched: Watched,
    table: str,
    dynamodb: Database,  # noqa: F811
) -> None:
    await watched.tables.schema(table)
    dynamodb.client.delete_table(TableName=table)
    await until(lambda: watched.changed == [table], meanwhile=lambda: watched.tables.peek(table))
    with pytest.raises(DynamoDBError):
        await watched.tables.schema(table)


@pytest.mark.parametrize("recreated", [False, True])
async def test_an_error_of_a_data_operation_has_the_table_checked_at_once(
    backend: Backend,
    table: str,
    dynamodb: Database,  # noqa: F811
    recreated: bool,
) -> None:
    watched = Watched(backend, check_s=1000.0)  # no regular check in this test's time
    await watched.tables.start()
    try:
        await watched.tables.schema(table)
        dynamodb.client.delete_table(TableName=table)
        if recreated:
            dynamodb.create(table, hash_key=("other", "N"))
        with pytest.raises(DynamoDBError):
            await read(backend, "GetItem", {"TableName": table, "Key": item("1")})
        await until(lambda: watched.changed == [table])
        if recreated:
            info = await watched.tables.schema(table)
            assert info.schema == KeySchema(KeyAttribute("other", "N"))
    finally:
        await watched.tables.stop()


def test_endpoints_that_are_not_loopback_are_refused() -> None:
    for endpoint in ("https://dynamodb.us-east-1.amazonaws.com", "http://10.0.0.1:8000", "x"):
        with pytest.raises(AssertionError, match="loopback"):
            require_loopback(endpoint)
    assert require_loopback("http://[::1]:8000")


async def test_capacity_is_counted_as_told_or_else_estimated(backend: Backend, table: str) -> None:
    large = item("large", text={"S": "x" * 9_000})
    for more in ({}, {"ReturnConsumedCapacity": "TOTAL"}):
        await write(backend, "PutItem", {"TableName": table, "Item": large, **more})
        key = {"TableName": table, "Key": item("large"), "ConsistentRead": True}
        await read(backend, "GetItem", {**key, **more})
        await read(backend, "Scan", {"TableName": table, **more})
    reads = {source: units for _, source, units in backend.capacity.of("read")}
    writes = {source: units for _, source, units in backend.capacity.of("write")}
    assert reads.pop("estimate") == 3.0 + 1.5
    assert writes.pop("estimate") == 9.0
    # What an embedded DynamoDB tells need not be what AWS's does.
    assert reads["told"] > 0
    assert writes["told"] > 0
