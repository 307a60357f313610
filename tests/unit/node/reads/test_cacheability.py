"""Which reads a cache may answer, and in which words the others are passed on."""

from __future__ import annotations

from typing import Any

import pytest

from cluster.settings import CacheSettings, TableSettings
from node.reads.cacheability import (
    Cacheability,
    ConsistentTables,
    Passed,
    PlainBatch,
    PlainGet,
    PlainPart,
    nothing_consumed,
    passed_on,
    wants_capacity,
)
from node.tables.table_info import IndexInfo, TableInfo
from paceline.dynamodb_operations import BATCH_GET_KEYS_MAX
from paceline.types import KeyAttribute, KeySchema, Params
from tests.unit.node.fakes import TABLE

CACHED = "cached"
"""A table whose consistent reads its cache answers."""
TTL_ONLY = "ttl-only"
"""The same, of which no write drops a page."""
ARN = "arn:aws:dynamodb:eu-west-1:123456789012:table/t"
KEY = {"id": {"S": "a"}}
INDEXES = {
    "by-city": IndexInfo("GSI", KeySchema(KeyAttribute("city", "S"))),
    "by-age": IndexInfo("LSI", KeySchema(KeyAttribute("id", "S"), KeyAttribute("age", "N"))),
}
TOLD = TableInfo("t", TABLE.schema, "table-1", "ACTIVE", INDEXES)


@pytest.fixture
def cacheability() -> Cacheability:
    settings = CacheSettings(
        tables={
            CACHED: TableSettings(consistent_reads="cache"),
            TTL_ONLY: TableSettings(consistent_reads="cache", query_invalidation="off"),
        }
    )
    return Cacheability(ConsistentTables(settings))


def get(name: str = "t", **more: Any) -> Params:
    return {"TableName": name, "Key": KEY, **more}


# -- one item -------------------------------------------------------------------------------------


def test_a_read_of_a_whole_item_by_its_key_is_the_caches(cacheability: Cacheability) -> None:
    assert cacheability.of_get(get(), TOLD) == PlainGet(TOLD, ("t", b"a"), ())
    assert cacheability.of_get(get(ConsistentRead=False), TOLD) == PlainGet(TOLD, ("t", b"a"), ())
    projected = get(ProjectionExpression="#v", ExpressionAttributeNames={"#v": "v"})
    assert cacheability.of_get(projected, TOLD) == PlainGet(TOLD, ("t", b"a"), (("v",),))


@pytest.mark.parametrize(
    ("params", "described", "why"),
    [
        (get(ConsistentRead=True), True, Passed.CONSISTENT),
        (get(ARN), True, Passed.NAME),
        (get(ProjectionExpression="name"), True, Passed.PROJECTION),
        (get(AttributesToGet=["v"]), True, Passed.PROJECTION),
        (get(), False, Passed.UNDESCRIBED),
        (get(ConsistentRead=True), False, Passed.CONSISTENT),
        (
            get(ProjectionExpression="#i.#v", ExpressionAttributeNames={"#i": "id", "#v": "v"}),
            True,
            Passed.PROJECTION,
        ),
        (get(Key={"id": {"N": "1"}}), True, Passed.KEY),
        (get(Key={}), True, Passed.KEY),
    ],
)
def test_whatever_else_is_asked_is_passed_on(
    cacheability: Cacheability, params: Params, described: bool, why: Passed
) -> None:
    assert cacheability.of_get(params, TOLD if described else None) is why


def test_consistent_reads_are_the_caches_where_its_table_says_so(
    cacheability: Cacheability,
) -> None:
    assert isinstance(cacheability.of_get(get(CACHED, ConsistentRead=True), TOLD), PlainGet)
    assert cacheability.allows("t", consistent_read=False)
    assert not cacheability.allows("t", consistent_read=True)
    assert cacheability.allows(CACHED, consistent_read=True)
    assert not cacheability.allows(ARN, consistent_read=False)


# -- batches --------------------------------------------------------------------------------------


def keys(count: int, first: int = 0) -> dict[str, Any]:
    return {"Keys": [{"id": {"S": f"{first + n}"}} for n in range(count)]}


def batch(cacheability: Cacheability, **parts: Params) -> PlainBatch | Passed:
    return cacheability.of_batch({"RequestItems": parts}, dict.fromkeys(parts, TOLD))


def test_of_a_batch_the_parts_that_ask_for_consistency_are_passed_on(
    cacheability: Cacheability,
) -> None:
    consistent = {**keys(1), "ConsistentRead": True}
    found = batch(cacheability, t=keys(2), u=consistent, cached=consistent)
    assert found == PlainBatch(
        {
            "t": PlainPart(
                TOLD, {("t", b"0"): keys(2)["Keys"][0], ("t", b"1"): {"id": {"S": "1"}}}, ()
            ),
            "cached": PlainPart(TOLD, {("cached", b"0"): {"id": {"S": "0"}}}, ()),
        },
        {"u": consistent},
    )
    assert batch(cacheability, u=consistent) is Passed.CONSISTENT


def test_one_part_that_dynamodb_may_refuse_makes_it_refuse_all(cacheability: Cacheability) -> None:
    consistent = {**keys(1), "ConsistentRead": True}
    refused: dict[Passed, Params] = {
        Passed.PROJECTION: {**keys(1), "ProjectionExpression": "name"},
        Passed.KEY: {"Keys": [KEY, {"id": {"N": "1"}}]},
        Passed.BATCH: {"Keys": [KEY, KEY]},
    }
    for why, part in refused.items():
        assert batch(cacheability, t=keys(1), u=part, v=consistent) is why
    into_key = {"ProjectionExpression": "#i.#i", "ExpressionAttributeNames": {"#i": "id"}}
    assert batch(cacheability, t={**keys(1), **into_key}) is Passed.PROJECTION
    assert batch(cacheability, **{ARN: keys(1)}) is Passed.NAME
    request = {"RequestItems": {"t": keys(1)}}
    assert cacheability.of_batch(request, {"t": None}) is Passed.UNDESCRIBED


def test_a_batch_of_no_keys_or_of_too_many_is_dynamodbs_to_refuse(
    cacheability: Cacheability,
) -> None:
    half = BATCH_GET_KEYS_MAX // 2
    assert isinstance(batch(cacheability, t=keys(half), u=keys(half)), PlainBatch)
    assert batch(cacheability, t=keys(half), u=keys(half + 1)) is Passed.BATCH
    assert batch(cacheability) is Passed.BATCH
    assert batch(cacheability, t=keys(1), u=keys(0)) is Passed.BATCH
    assert batch(cacheability, t=keys(1), u={}) is Passed.BATCH


# -- pages ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "index", "consistent", "described", "why"),
    [
        ("t", None, False, True, None),
        ("t", "by-city", False, True, None),
        ("t", None, True, True, Passed.CONSISTENT),
        (ARN, None, False, True, Passed.NAME),
        ("t", None, False, False, Passed.UNDESCRIBED),
        ("t", "by-name", False, True, Passed.INDEX),
        (CACHED, None, True, True, None),
        (CACHED, "by-age", True, True, None),
        (CACHED, "by-city", True, True, Passed.CONSISTENT),
        (TTL_ONLY, None, True, True, Passed.CONSISTENT),
        (TTL_ONLY, None, False, True, None),
    ],
)
def test_which_pages_are_the_caches(
    cacheability: Cacheability,
    name: str,
    index: str | None,
    consistent: bool,
    described: bool,
    why: Passed | None,
) -> None:
    params: Params = {"TableName": name, "ConsistentRead": consistent}
    if index is not None:
        params["IndexName"] = index
    told = TOLD if described else None
    assert cacheability.of_page(params, told) is (TOLD if why is None else why)


# -- what DynamoDB has taken ----------------------------------------------------------------------


def test_a_projection_is_the_caches_once_dynamodb_has_taken_it(cacheability: Cacheability) -> None:
    params = get(ProjectionExpression="name")
    assert cacheability.learns_from("GetItem", params)
    assert not cacheability.learns_from("GetItem", get())
    assert not cacheability.learns_from("Query", params)
    cacheability.learn("GetItem", params, {})  # no item, so it may not have been looked at
    assert cacheability.of_get(params, TOLD) is Passed.PROJECTION
    cacheability.learn("GetItem", params, {"Item": {}})
    assert isinstance(cacheability.of_get(params, TOLD), PlainGet)
    assert not cacheability.learns_from("GetItem", params)


def test_in_a_batch_each_table_tells_of_its_own_projection(cacheability: Cacheability) -> None:
    parts = {name: {**keys(1), "ProjectionExpression": name} for name in ("one", "other")}
    params: Params = {"RequestItems": parts}
    assert cacheability.learns_from("BatchGetItem", params)
    cacheability.learn("BatchGetItem", params, {"Responses": {"one": [KEY], "other": []}})
    assert isinstance(batch(cacheability, one=parts["one"]), PlainBatch)
    assert batch(cacheability, other=parts["other"]) is Passed.PROJECTION
    cacheability.learn("BatchGetItem", params, {})
    assert batch(cacheability, other=parts["other"]) is Passed.PROJECTION


# -- passing on -----------------------------------------------------------------------------------


def test_reads_are_passed_on_consistently() -> None:
    assert passed_on("GetItem", get(), None) == (get(ConsistentRead=True),)
    scan: Params = {"TableName": "t", "ConsistentRead": False}
    assert passed_on("Scan", scan, None) == ({"TableName": "t", "ConsistentRead": True},)
    parts = {"t": keys(1), "u": {**keys(1), "ConsistentRead": False}}
    [form] = passed_on("BatchGetItem", {"RequestItems": parts, "X": 1}, None)
    assert form["X"] == 1
    assert [part["ConsistentRead"] for part in form["RequestItems"].values()] == [True, True]


@pytest.mark.parametrize(
    ("operation", "params"),
    [
        ("TransactGetItems", {"TransactItems": []}),
        ("BatchGetItem", {"RequestItems": []}),
        ("BatchGetItem", {"RequestItems": {"t": 7}}),
        ("BatchGetItem", {}),
    ],
)
def test_what_has_no_place_for_it_goes_as_it_came(operation: str, params: Params) -> None:
    assert passed_on(operation, params, TOLD) == (params,)


def test_a_query_of_an_index_that_may_be_a_global_one_is_tried_both_ways() -> None:
    def forms(index: Any, table: TableInfo | None = TOLD) -> list[bool]:
        asked = passed_on("Query", {"TableName": "t", "IndexName": index}, table)
        return ["ConsistentRead" in form for form in asked]

    assert forms("by-city") == [False]
    assert forms("by-age") == [True, False]
    assert forms("by-name") == [True, False]
    assert forms("by-city", None) == [True, False]
    assert forms(7) == [True, False]


# -- capacity -------------------------------------------------------------------------------------


def test_an_answer_of_the_cache_has_consumed_nothing() -> None:
    total: Params = {"ReturnConsumedCapacity": "TOTAL"}
    assert wants_capacity(total)
    assert not wants_capacity({"ReturnConsumedCapacity": "NONE"})
    assert not wants_capacity({})
    assert nothing_consumed("t", total) == {"TableName": "t", "CapacityUnits": 0.0}
    assert nothing_consumed("t", {"ReturnConsumedCapacity": "INDEXES"}) == {
        "TableName": "t",
        "CapacityUnits": 0.0,
        "Table": {"CapacityUnits": 0.0},
    }
