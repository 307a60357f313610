"""Reads that a node passes on: in which form, and what it learns of the answers."""

import json
from typing import Any

import pytest

from node.backend.calls import Success
from node.frontends.http.messages import HttpRequest
from node.reads.batch_get import BatchGet
from node.reads.items import ReadPath
from paceline.types import Params
from tests.unit.node.frontends.doors import SIGNED, Node, description

KEY = {"id": {"S": "1"}}


def described(table: str) -> Success:
    told = description(table)
    keys = [{"AttributeName": "id", "KeyType": "HASH"}]
    told["Table"]["LocalSecondaryIndexes"] = [{"IndexName": "local", "KeySchema": keys}]
    told["Table"]["GlobalSecondaryIndexes"] = [{"IndexName": "global", "KeySchema": keys}]
    return Success(told)


@pytest.fixture
async def node() -> Node:
    node = Node()
    node.dynamodb.describe = described
    await node.tables.schema("table")
    return node


async def asked(node: Node, operation: str, body: Params) -> Params | None:
    """What DynamoDB was asked for it, None if it was not."""
    before = len(node.dynamodb.sent)
    reply = await node.post(operation, body)
    assert reply.status == 200, reply.body
    sent = node.dynamodb.sent[before:]
    assert all(one.operation == operation for one in sent)
    return sent[-1].body if sent else None


@pytest.mark.parametrize(
    ("operation", "body", "more"),
    [
        ("GetItem", {"TableName": "table", "Key": KEY}, {"ConsistentRead": True}),
        (
            "BatchGetItem",
            {"RequestItems": {"table": {"Keys": [KEY]}}},
            {"RequestItems": {"table": {"Keys": [KEY], "ConsistentRead": True}}},
        ),
    ],
)
async def test_an_item_of_an_unknown_type_is_passed_on(
    node: Node, operation: str, body: Params, more: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def unknown(*args: Any, **kwargs: Any) -> Any:
        raise ValueError("an attribute value has exactly one type, not 0")

    monkeypatch.setattr(ReadPath, "item", unknown)
    monkeypatch.setattr(BatchGet, "answer", unknown)
    assert await asked(node, operation, body) == {**body, **more}


PAGE = {"TableName": "table", "FromTheFuture": 1}


@pytest.mark.parametrize(
    ("body", "consistent"),
    [
        (PAGE, True),
        ({**PAGE, "ConsistentRead": False}, True),
        ({**PAGE, "IndexName": "index"}, True),
        ({**PAGE, "IndexName": "local"}, True),
        ({**PAGE, "IndexName": "global"}, None),
        ({**PAGE, "ReturnConsumedCapacity": "TOTAL"}, True),
        ({**PAGE, "ReturnConsumedCapacity": "NONE"}, True),
    ],
)
async def test_pages_that_are_passed_on_are_consistent_where_they_can_be(
    node: Node, body: Params, consistent: bool | None
) -> None:
    passed = await asked(node, "Scan", body)
    assert passed is not None
    assert passed.get("ConsistentRead") is consistent


async def test_a_projection_is_valid_once_it_found_an_item(node: Node) -> None:
    body = {"TableName": "table", "Key": KEY, "ProjectionExpression": "a"}
    for found in ({}, {"Item": KEY}):
        node.dynamodb.answer = lambda operation, params, found=found: Success(found)  # type: ignore[misc]
        assert await asked(node, "GetItem", body) == {**body, "ConsistentRead": True}
    assert await asked(node, "GetItem", body) == {"TableName": "table", "Key": KEY}


async def test_so_it_is_in_batches(node: Node) -> None:
    part = {"Keys": [KEY], "ProjectionExpression": "a"}
    for found in ([], [KEY]):
        answer: Params = {"Responses": {"table": found}}
        node.dynamodb.answer = lambda operation, params, answer=answer: Success(answer)  # type: ignore[misc]
        passed = await asked(node, "BatchGetItem", {"RequestItems": {"table": part}})
        assert passed == {"RequestItems": {"table": {**part, "ConsistentRead": True}}}
    passed = await asked(node, "BatchGetItem", {"RequestItems": {"table": part}})
    assert passed == {"RequestItems": {"table": {"Keys": [KEY]}}}


async def test_a_statement_is_passed_on_as_it_was_understood(node: Node) -> None:
    """A parser that takes the first of two members must not be given both."""
    twice = b'{"Statement": "DELETE FROM t", "Statement": "SELECT * FROM t"}'
    assert (await node.post("ExecuteStatement", twice)).status == 200
    body = node.dynamodb.sent[-1].params["Body"]
    assert b"SELECT" in body
    assert b"DELETE" not in body


NO_JSON = [
    b'{"TableName": NaN}',
    b'{"Limit": Infinity}',
    b'{"a": -Infinity}',
    b"\xff",
    b'{"a": "\xed\xa0\x80"}',
    b'{"TableName": "\\ud800"}',
    b'{"\\udfff": 1}',
    b"[" * 100_000,
    b'{"a":' * 100_000,
    b"{",
    b"{} {}",
    b"[]",
    b"null",
    b'"text"',
    b"1",
]


@pytest.mark.parametrize("body", NO_JSON, ids=range(len(NO_JSON)))
@pytest.mark.parametrize(
    "target",
    [
        *(
            f"DynamoDB_20120810.{name}"
            for name in (
                "GetItem", "BatchGetItem", "Query", "Scan", "TransactGetItems", "PutItem",
                "TransactWriteItems", "ExecuteStatement", "ListTables", "CreateTable",
            )
        ),
        "DynamoDBStreams_20120810.ListStreams",
    ],
)  # fmt: skip
async def test_what_is_no_json_is_refused_at_once(node: Node, target: str, body: bytes) -> None:
    request = HttpRequest(target, body, headers=SIGNED)
    assert node.http.fast(request) is None
    reply = await node.http.handle(request)
    assert reply.status == 400
    assert b"#SerializationException" in reply.body
    assert [sent.operation for sent in node.dynamodb.sent] == ["DescribeTable"]


UNUSED = {"ProjectionExpression": "#a", "ExpressionAttributeNames": {"#a": "a", "#b": "b"}}


@pytest.mark.parametrize(
    ("operation", "body"),
    [
        ("GetItem", {"TableName": "table", "Key": KEY, **UNUSED}),
        ("GetItem", {"TableName": "table", "Key": KEY, "ConsistentRead": True, **UNUSED}),
        ("BatchGetItem", {"RequestItems": {"table": {"Keys": [KEY], **UNUSED}}}),
        ("Scan", {"TableName": "table", "FromTheFuture": 1, **UNUSED}),
    ],
)
async def test_what_dynamodb_surely_refuses_is_refused_in_its_words(
    node: Node, operation: str, body: Params
) -> None:
    request = HttpRequest(
        f"DynamoDB_20120810.{operation}", json.dumps(body).encode(), headers=SIGNED
    )
    assert node.http.fast(request) is None
    reply = await node.http.handle(request)
    assert reply.status == 400
    message = "Value provided in ExpressionAttributeNames unused in expressions: keys: {#b}"
    assert message in reply.body.decode()
    assert [sent.operation for sent in node.dynamodb.sent] == ["DescribeTable"]
