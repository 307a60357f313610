"""Reads that a node passes on: in which form, and what it learns of the answers."""

import json
from typing import Any

import pytest

from node.frontends.dynamodb_http.handler import HttpHandler
from node.frontends.dynamodb_http.request import HttpRequest
from node.tables.table_info import IndexInfo, TableInfo
from paceline.types import KeyAttribute, KeySchema, Params, Result

KEY = {"id": {"S": "1"}}
SCHEMA = KeySchema(KeyAttribute("id", "S"))
INDEXES = {"local": IndexInfo("LSI", SCHEMA), "global": IndexInfo("GSI", SCHEMA)}
TABLE = TableInfo("table", SCHEMA, "1", "ACTIVE", INDEXES)


class Passing:
    """Stands for the operation layer and all that it holds. Keeps what is passed on, and answers
    it with ``answer``; everything else finds an item that it has no form for."""

    def __init__(self) -> None:
        self.consistent: frozenset[str] = frozenset()
        self.reads = self.tables = self
        self.answer: Params = {}
        self.sent: list[Params] = []
        self.body = b""
        self.asked: list[str] = []

    def peek(self, name: str) -> TableInfo:
        return TABLE

    async def schema(self, name: str) -> TableInfo:
        return TABLE

    async def passed(self, target: str, body: bytes, deadline: float) -> Result:
        self.sent.append(json.loads(body))
        self.body = body
        return {"Body": json.dumps(self.answer).encode(), "RequestId": "1"}

    async def raw(self, target: str, body: Params, deadline: float) -> Result:
        return await self.passed(target, json.dumps(body).encode(), deadline)

    async def get(self, params: Params, deadline: float) -> Any:
        self.asked.append("GetItem")
        raise ValueError("an attribute value has exactly one type, not 0")

    async def batch_get(self, params: Params, deadline: float) -> Any:
        self.asked.append("BatchGetItem")
        raise ValueError("an attribute value has exactly one type, not 0")

    async def call(self, handler: HttpHandler, operation: str, body: Params) -> Params:
        """What was passed on."""
        made = HttpRequest("POST", "/", f"DynamoDB_20120810.{operation}", json.dumps(body).encode())
        reply = await handler.handle(made)
        assert reply.status == 200, reply.body
        return self.sent[-1]


@pytest.fixture
def passing() -> Passing:
    return Passing()


@pytest.fixture
def handler(passing: Passing) -> HttpHandler:
    operations: Any = passing
    return HttpHandler(operations, lambda: 0.0)


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
    passing: Passing, handler: HttpHandler, operation: str, body: Params, more: Params
) -> None:
    assert await passing.call(handler, operation, body) == {**body, **more}
    assert passing.asked == [operation]


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
    passing: Passing, handler: HttpHandler, body: Params, consistent: bool | None
) -> None:
    assert (await passing.call(handler, "Scan", body)).get("ConsistentRead") is consistent


async def test_a_projection_is_valid_once_it_found_an_item(
    passing: Passing, handler: HttpHandler
) -> None:
    body = {"TableName": "table", "Key": KEY, "ProjectionExpression": "a"}
    for passing.answer in ({}, {"Item": {}}):
        await passing.call(handler, "GetItem", body)
        assert passing.asked == []
    await passing.call(handler, "GetItem", body)
    assert passing.asked == ["GetItem"]


async def test_so_it_is_in_batches(passing: Passing, handler: HttpHandler) -> None:
    body = {"RequestItems": {"table": {"Keys": [KEY], "ProjectionExpression": "a"}}}
    for passing.answer in ({"Responses": {"table": []}}, {"Responses": {"table": [{}]}}):
        await passing.call(handler, "BatchGetItem", body)
        assert passing.asked == []
    await passing.call(handler, "BatchGetItem", body)
    assert passing.asked == ["BatchGetItem"]


async def test_a_statement_is_passed_on_as_it_was_understood(
    passing: Passing, handler: HttpHandler
) -> None:
    """A parser that takes the first of two members must not be given both."""
    twice = b'{"Statement": "DELETE FROM t", "Statement": "SELECT * FROM t"}'
    target = "DynamoDB_20120810.ExecuteStatement"
    assert (await handler.handle(HttpRequest("POST", "/", target, twice))).status == 200
    assert b"SELECT" in passing.body
    assert b"DELETE" not in passing.body


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
async def test_what_is_no_json_is_refused_at_once(
    passing: Passing, handler: HttpHandler, target: str, body: bytes
) -> None:
    request = HttpRequest("POST", "/", target, body)
    assert handler.fast(request) is None
    reply = await handler.handle(request)
    assert reply.status == 400
    assert b"#SerializationException" in reply.body
    assert passing.sent == []
    assert passing.asked == []


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
    passing: Passing, handler: HttpHandler, operation: str, body: Params
) -> None:
    request = HttpRequest("POST", "/", f"DynamoDB_20120810.{operation}", json.dumps(body).encode())
    assert handler.fast(request) is None
    reply = await handler.handle(request)
    assert reply.status == 400
    message = "Value provided in ExpressionAttributeNames unused in expressions: keys: {#b}"
    assert message in reply.body.decode()
    assert passing.sent == []
    assert passing.asked == []
