"""A cached item may come by the primary's stream before its attribute list comes by the log."""

from __future__ import annotations

import json
import os
import random
from typing import Any

import pytest

from cluster.access.calling import Call, call
from cluster.access.principals import AccessKey, Principal
from cluster.access.signatures.verification import Verified
from cluster.coherence.messages import Image
from node.backend.calls import Success
from node.frontends.http.messages import HttpRequest
from node.reads.reading import ReadRequest
from node.tables import attribute_lists
from node.tables.attribute_lists import AttributeLists
from node.tables.shares import Shares
from node.tables.table_info import TableInfo
from paceline.clock import now
from paceline.dax.attribute_lists import attribute_names, encode_item, list_id
from paceline.errors import PacelineError, RequestError
from paceline.types import Item, KeyAttribute, KeySchema, Params
from tests.support.random_values import RandomValues
from tests.unit.node.fakes import FakeAgent
from tests.unit.node.frontends.doors import SIGNED, Node

TEXTS = ("", "x", "ü€😀", "a" * 300, '"\\\n\x01', "B", "BS")
NUMBERS = ("0", "-1.5", "1E+20", "12345678901234567890.5", "-3")
NAMES = ("x", "B", "S", "ü", "n")

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


def test_what_is_encoded_at_once_is_what_is_encoded_in_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seed = int(os.environ.get("PACELINE_SEED") or random.randrange(1 << 30))
    print(f"PACELINE_SEED={seed}")
    monkeypatch.setattr(attribute_lists, "SHAPES_MAX", 5)
    values = RandomValues(random.Random(seed), TEXTS, NUMBERS, NAMES)
    rng = values.rng
    agent: Any = FakeAgent()
    lists = attribute_lists.AttributeLists(agent)
    schemas = [SCHEMA, KeySchema(KeyAttribute("a", "S"), KeyAttribute("id", "S"))]
    tables = [TableInfo("t", schema, "1", "ACTIVE", {}) for schema in schemas]
    in_a_row = {table.schema: lists.encoding(table) for table in tables}
    for _ in range(300):
        names = ["id", "a", *rng.sample(["b", "B", "c"], rng.randrange(4))]
        rng.shuffle(names)
        item: Item = {name: values.value() for name in names}
        table = rng.choice(tables)
        others = attribute_names(item, table.schema)
        if agent.id_of(others) is None:
            assert lists.encode_known(item, table) is None
            agent.lists[list_id(others)] = others
        assert lists.encode_known(item, table) == encode_item(item, table.schema, list_id)
        texts: Item = {name: {"S": rng.choice(TEXTS)} for name in names}
        for one in rng.choices([item, texts], k=4):
            encoded = encode_item(one, table.schema, list_id)
            assert lists.encode_now(one, table.schema) == encoded
            assert in_a_row[table.schema](one) == encoded


def test_a_list_that_is_gone_from_the_log_is_not_used() -> None:
    agent: Any = FakeAgent()
    lists = attribute_lists.AttributeLists(agent)
    table = TableInfo("t", SCHEMA, "1", "ACTIVE", {})
    agent.lists[list_id(("v",))] = ("v",)
    assert lists.encode_known(ITEM, table) is not None
    agent.lists.clear()
    assert lists.encode_known(ITEM, table) is None
    assert lists.encoding(table)(ITEM) is None
    with pytest.raises(KeyError):
        lists.encode_now(ITEM, SCHEMA)


def by(arn: str, role: str | None = None) -> Call:
    principal = Principal(arn, f"arn:{arn}", role_arn=role)
    return Call(Verified(principal, AccessKey("PLAK", "s" * 40, arn), 0, (), 1e12, 1))


async def defined(lists: AttributeLists, caller: Call | None, *names: str) -> str:
    """What it ends with."""
    token = call.set(caller)
    try:
        await lists.define(names)
    except PacelineError as error:
        return getattr(error, "name", type(error).__name__)
    finally:
        call.reset(token)
    return "defined"


async def test_nobody_uses_up_what_all_share() -> None:
    agent: Any = FakeAgent()
    lists = AttributeLists(agent, shares=Shares(100))
    eve, ann = by("eve"), by("ann")
    shapes = [f"{number:030}" for number in range(10)]
    assert [await defined(lists, eve, one) for one in shapes] == [
        *["defined"] * 3,
        *["LimitExceededException"] * 7,
    ]
    # Known ones are everybody's, others have a share of their own, and so has who need not sign.
    assert await defined(lists, eve, shapes[0]) == "defined"
    assert await defined(lists, ann, shapes[5]) == "defined"
    assert await defined(lists, None, *shapes) == "defined"
    # All sessions of a role have one share.
    sessions = [by(f"session-{number}", "arn:role") for number in range(4)]
    told = [await defined(lists, one, f"x{n:029}") for n, one in enumerate(sessions)]
    assert told == [*["defined"] * 3, "LimitExceededException"]


async def test_a_list_that_was_not_registered_costs_nothing() -> None:
    class Failing(FakeAgent):
        async def define_attribute_list(self, names: Any, timeout_s: float) -> int:
            raise RequestError("LimitExceededException", "the log is full")

    agent: Any = Failing()
    lists = AttributeLists(agent, shares=Shares(100))
    for number in range(10):
        assert await defined(lists, by("ann"), f"{number:060}") == "LimitExceededException"
    lists._agent = FakeAgent()  # type: ignore[assignment]
    assert await defined(lists, by("ann"), "y" * 60) == "defined"
