"""A cached item may come by the primary's stream before its attribute list comes by the log."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cluster.coherence.messages import Image
from node.backend.calls import Success
from node.frontends.http.messages import HttpRequest
from node.reads.reading import ReadRequest
from node.tables import attribute_lists
from paceline.clock import now
from paceline.dax.attribute_lists import encode_item, list_id
from paceline.types import KeyAttribute, KeySchema, Params
from tests.unit.node.frontends.doors import SIGNED, Node

SCHEMA = KeySchema(KeyAttribute("id", "S"))
KEY = {"id": {"S": "x"}}
ITEM = {**KEY, "v": {"N": "1"}}
PARAMS: Params = {"TableName": "table", "Key": KEY}
READS: list[tuple[str, Params, Params]] = [
    ("GetItem", PARAMS, {"Item": ITEM}),
    (
        "BatchGetItem",
        {"RequestItems": {"table": {"Keys": [KEY]}}},
        {"Responses": {"table": [ITEM]}, "UnprocessedKeys": {}},
    ),
]


@pytest.fixture
async def node() -> Node:
    """Whose cache has the item, and whose log lacks its list."""
    node = Node()
    await node.tables.schema("table")
    image = encode_item(ITEM, SCHEMA, list_id)
    node.caches.install(("table", b"x"), Image(image), now())
    return node


def tell(node: Node) -> None:
    node.agent.lists[list_id(("v",))] = ("v",)


async def test_by_http_the_fast_way_leaves_it_to_the_slow_one(node: Node) -> None:
    request = HttpRequest("DynamoDB_20120810.GetItem", json.dumps(PARAMS).encode(), headers=SIGNED)
    assert node.http.fast(request) is None
    tell(node)
    reply = node.http.fast(request)
    assert reply is not None
    assert reply.cache == "hit"


@pytest.mark.parametrize(("operation", "params", "result"), READS)
async def test_the_list_is_waited_for(
    node: Node, operation: str, params: Params, result: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = 0
    names_of: Any = node.agent.names_of

    def asked_for(number: int) -> Any:
        nonlocal asked
        asked += 1
        if asked > 2:
            tell(node)
        return names_of(number)

    monkeypatch.setattr(node.agent, "names_of", asked_for)
    answer = await node.operations.read(ReadRequest(operation, params), now() + 10)
    assert (answer.result, answer.cache) == (result, "hit")
    assert node.dynamodb.of(operation) == []


@pytest.mark.parametrize(("operation", "params", "result"), READS)
async def test_a_list_that_does_not_come_leaves_the_read_to_dynamodb(
    node: Node, operation: str, params: Params, result: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error would blame the caller, who knows nothing of attribute lists."""
    monkeypatch.setattr(attribute_lists, "LEARN_S", 0.01)
    node.dynamodb.answer = lambda operation, params: Success(result)
    answer = await node.operations.read(ReadRequest(operation, params), now() + 10)
    assert (answer.result, answer.cache) == (result, "bypass")
    (sent,) = node.dynamodb.of(operation)
    assert "ConsistentRead" in json.dumps(sent.params)
