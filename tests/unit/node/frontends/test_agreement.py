"""One request, whichever front end it comes by: the same answer, from the same place, at the same
price, and with the same question to DynamoDB."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from cluster.coherence.messages import WHOLE
from node.backend.calls import Success
from paceline.types import Params
from tests.unit.node.frontends.doors import refused
from tests.unit.node.frontends.front_ends import KEY_BYTES_MAX, KEYS_MAX, Outcome, World, item, key

ALL = ("http", "raw", "grpc", "dax")
NOT_DAX = ("http", "raw", "grpc")
"""For what a client of DAX's protocol does not send: it asks for the table's schema first, by which
keys are bytes, and expressions are trees that it has made itself."""

Call = tuple[str, Params]


def get(number: int = 1, **more: Any) -> Call:
    return "GetItem", {"TableName": "table", "Key": key(number), **more}


def batch(*numbers: int, capacity: str | None = None, **more: Any) -> Call:
    params: Params = {"RequestItems": {"table": {"Keys": [key(n) for n in numbers], **more}}}
    return "BatchGetItem", params if capacity is None else {
        **params,
        "ReturnConsumedCapacity": capacity,
    }


def two_tables(one: Params, other: Params) -> Call:
    parts = {"table": {"Keys": [key(1)], **one}, "other": {"Keys": [key(1)], **other}}
    return "BatchGetItem", {"RequestItems": parts, "ReturnConsumedCapacity": "TOTAL"}


def query(**more: Any) -> Call:
    params = {
        "TableName": "table",
        "KeyConditionExpression": "#i = :i",
        "ExpressionAttributeNames": {"#i": "id"},
        "ExpressionAttributeValues": {":i": {"S": "a"}},
    }
    return "Query", {**params, **more}


def scan(**more: Any) -> Call:
    return "Scan", {"TableName": "table", **more}


def projected(text: str, **names: str) -> Params:
    used = {f"#{mark}": name for mark, name in names.items()}
    return {"ProjectionExpression": text, **({"ExpressionAttributeNames": used} if used else {})}


BARE = projected("v")
RESERVED = projected("name")
SAFE = projected("#v", v="v")
OVERLAPPING = projected("#m, #m.#a", m="m", a="a")
INTO_KEY = projected("#k.#a", k="id", a="a")
UNUSED = projected("#v", v="v", w="w")
LONG_KEY = {"id": {"S": "x" * (KEY_BYTES_MAX + 1)}, "at": {"N": "1"}}
WRONG_KEY = {"id": {"N": "1"}, "at": {"N": "1"}}
ASKED = {"ConsistentRead": True}
TOTAL = {"ReturnConsumedCapacity": "TOTAL"}
INDEXES = {"ReturnConsumedCapacity": "INDEXES"}
ARN = "arn:aws:dynamodb:us-east-1:1:table/table"

MISSED: tuple[str, list[Any]] = ("miss", [False])
PASSED: tuple[str, list[Any]] = ("bypass", [True])
HIT: tuple[str, list[Any]] = ("hit", [])


@dataclass(frozen=True)
class Row:
    """``wanted``: where the answer comes from, and whether each question to DynamoDB is consistent
    (of batches: by table); ``after``: reads before it."""

    name: str
    call: Call
    wanted: tuple[str, list[Any]]
    after: tuple[Call, ...] = ()
    doors: tuple[str, ...] = ALL
    refused: bool = False
    units: float | None = None
    """What the answer says that it consumed, in all."""


ROWS = (
    # -- one item -----------------------------------------------------------------------------
    Row("a miss", get(), MISSED),
    Row("a miss, counted", get(**TOTAL), MISSED, units=0.5),
    Row("a miss, counted by index", get(**INDEXES), MISSED, units=0.5),
    Row("a hit", get(), HIT, (get(),)),
    Row("a hit, counted", get(**TOTAL), HIT, (get(),), units=0.0),
    Row("a hit, counted by index", get(**INDEXES), HIT, (get(),), units=0.0),
    Row("a hit, not counted", get(ReturnConsumedCapacity="NONE"), HIT, (get(),)),
    Row("a known absence", get(9), HIT, (get(9),)),
    Row("a known absence, counted", get(9, **TOTAL), HIT, (get(9),), units=0.0),
    Row("ConsistentRead", get(**ASKED), PASSED, (get(),)),
    Row("ConsistentRead, counted", get(**ASKED, **TOTAL), PASSED, (get(),), units=1.0),
    Row("a projection, from the cache", get(**SAFE), HIT, (get(),)),
    Row("a projection, counted", get(**SAFE, **TOTAL), HIT, (get(),), units=0.0),
    Row("a projection that misses", get(**SAFE), MISSED),
    Row("bare names", get(**BARE), PASSED, (get(),), NOT_DAX),
    Row("bare names that were taken", get(**BARE), HIT, (get(), get(**BARE)), NOT_DAX),
    Row("names of no item", get(**BARE), PASSED, (get(), get(9, **BARE)), NOT_DAX),
    Row("a reserved name", get(**RESERVED), PASSED, (get(),), NOT_DAX, refused=True),
    Row("paths that overlap", get(**OVERLAPPING), PASSED, (get(),), NOT_DAX, refused=True),
    Row("a path into a key", get(**INTO_KEY), PASSED, (get(),), refused=True),
    Row("a key too long", ("GetItem", {"TableName": "table", "Key": LONG_KEY}), PASSED,
        refused=True),
    Row("a key of another type", ("GetItem", {"TableName": "table", "Key": WRONG_KEY}), PASSED,
        doors=NOT_DAX, refused=True),
    Row("names without an expression", get(ExpressionAttributeNames={"#a": "a"}), PASSED,
        (get(),), NOT_DAX, refused=True),
    Row("names that are not used", get(**UNUSED), ("", []), (get(),), NOT_DAX, refused=True),
    Row("a table that is not there", ("GetItem", {"TableName": "gone", "Key": key(1)}), PASSED,
        doors=NOT_DAX, refused=True),
    Row("an ARN", ("GetItem", {"TableName": ARN, "Key": key(1)}), PASSED),
    Row("an ARN, again", ("GetItem", {"TableName": ARN, "Key": key(1)}), PASSED,
        (("GetItem", {"TableName": ARN, "Key": key(1)}),)),
    # -- several ------------------------------------------------------------------------------
    Row("a batch that misses", batch(1, 2), ("miss", [{"table": False}])),
    Row("a batch that hits", batch(1, 2), HIT, (get(1), get(2))),
    Row("a batch that hits, counted", batch(1, 2, capacity="TOTAL"), HIT, (get(1), get(2)),
        units=0.0),
    Row("a batch that hits, counted by index", batch(1, capacity="INDEXES"), HIT, (get(1),),
        units=0.0),
    Row("half a batch", batch(1, 2, capacity="TOTAL"), ("miss", [{"table": False}]), (get(1),),
        units=0.5),
    Row("a batch with ConsistentRead", batch(1, 2, capacity="TOTAL", **ASKED),
        ("bypass", [{"table": True}]), (get(1), get(2)), units=2.0),
    Row("a batch that is consistent in part", two_tables(ASKED, {}),
        ("miss", [{"table": True}]), (batch(1), two_tables({}, {})), units=1.0),
    Row("two tables of which one is cached", two_tables({}, {}),
        ("miss", [{"other": False}]), (batch(1),), units=0.5),
    Row("a projected batch", batch(1, 2, **SAFE), HIT, (get(1), get(2))),
    Row("bare names in a batch", batch(1, **BARE), ("bypass", [{"table": True}]), (get(1),),
        NOT_DAX),
    Row("bare names in a batch, taken", batch(1, **BARE), HIT, (get(1), batch(1, **BARE)),
        NOT_DAX),
    Row("bare names, taken by GetItem", batch(1, **BARE), HIT, (get(1), get(1, **BARE)),
        NOT_DAX),
    Row("paths that overlap in a batch", batch(1, **OVERLAPPING),
        ("bypass", [{"table": True}]), (get(1),), NOT_DAX, refused=True),
    Row("a path into a key in a batch", batch(1, **INTO_KEY), ("bypass", [{"table": True}]),
        (get(1),), refused=True),
    Row("paths that overlap in one of two tables", two_tables(OVERLAPPING, {}),
        ("bypass", [{"table": True, "other": True}]), (two_tables({}, {}),), NOT_DAX, refused=True),
    Row("a key twice in a batch", batch(1, 1), ("bypass", [{"table": True}]), (get(1),), NOT_DAX,
        refused=True),
    Row("a key too long in a batch", ("BatchGetItem", {"RequestItems": {
        "table": {"Keys": [key(1), LONG_KEY]}}}), ("bypass", [{"table": True}]), (get(1),),
        refused=True),
    Row("a key of another type in a batch", ("BatchGetItem", {"RequestItems": {
        "table": {"Keys": [key(1), WRONG_KEY]}}}), ("bypass", [{"table": True}]), (get(1),),
        NOT_DAX, refused=True),
    Row("too many keys", batch(*range(KEYS_MAX + 1)), ("bypass", [{"table": True}]), (),
        NOT_DAX, refused=True),
    Row("no keys", batch(), ("bypass", [{"table": True}]), (), NOT_DAX, refused=True),
    Row("a batch of an ARN", ("BatchGetItem", {"RequestItems": {ARN: {"Keys": [key(1)]}}}),
        ("bypass", [{ARN: True}])),
    # -- pages --------------------------------------------------------------------------------
    Row("a query that misses", query(), MISSED),
    Row("a query that misses, counted", query(**TOTAL), MISSED, units=1.5),
    Row("a query that hits", query(), HIT, (query(),)),
    Row("a query that hits, counted", query(**TOTAL), HIT, (query(),), units=0.0),
    Row("a query that hits, counted by index", query(**INDEXES), HIT, (query(),), units=0.0),
    Row("a query that hits after one that was counted", query(), HIT, (query(**TOTAL),)),
    Row("a query with ConsistentRead", query(**ASKED), PASSED, (query(),)),
    Row("a query of a local index", query(IndexName="by-age"), HIT, (query(IndexName="by-age"),)),
    Row("a query of a global index", query(IndexName="by-city"), HIT,
        (query(IndexName="by-city"),)),
    Row("a consistent query of a global index", query(IndexName="by-city", **ASKED), PASSED,
        (query(IndexName="by-city"),), refused=True),
    Row("an index that nobody knows", query(IndexName="new"), ("bypass", [True, False]),
        refused=True),
    Row("a query of an ARN", query(TableName=ARN), PASSED),
    Row("a scan that misses", scan(), MISSED),
    Row("a scan that hits", scan(), HIT, (scan(),)),
    Row("a scan with ConsistentRead", scan(**ASKED), PASSED, (scan(),)),
    Row("a scan of a table that is not there", ("Scan", {"TableName": "gone"}), PASSED,
        doors=NOT_DAX, refused=True),
    # -- transactions -------------------------------------------------------------------------
    Row("a transaction", ("TransactGetItems", {"TransactItems": [{"Get": get()[1]}]}),
        ("bypass", [False]), (get(),)),
    Row("a transaction with names that are not used",
        ("TransactGetItems", {"TransactItems": [{"Get": get(**UNUSED)[1]}]}), ("", []), (get(),),
        NOT_DAX, refused=True),
)  # fmt: skip


async def outcome(row: Row, door: str) -> Outcome:
    world = World(door)
    for call in row.after:
        await world.read(*call)
    return await world.read(*row.call)


def consumed(found: Outcome) -> float | None:
    told = (found.result or {}).get("ConsumedCapacity")
    if told is None:
        return None
    return float(sum(one["CapacityUnits"] for one in (told if isinstance(told, list) else [told])))


@pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])
async def test_every_front_end_answers_alike(row: Row) -> None:
    found = {door: await outcome(row, door) for door in row.doors}
    first = found[row.doors[0]]
    cache, asked = row.wanted
    for door, one in found.items():
        assert [consistent for _, consistent, _, _ in one.asked] == asked, door
        assert (one.error is not None) is row.refused, (door, one.error)
        assert (one.result, one.error) == (first.result, first.error), door
        assert consumed(one) == row.units, door
        assert (one.asked, one.counted) == (first.asked, first.counted), door
        if one.cache is not None:
            assert one.cache == cache, door
    if first.result is not None and "Item" in first.result and "Projection" not in str(row.call):
        assert first.result["Item"] == item(1)


@pytest.mark.parametrize("door", ALL)
async def test_a_key_that_dynamodb_may_refuse_is_passed_on_and_its_item_answered(
    door: str,
) -> None:
    world = World(door)
    long = {"id": {"S": "a"}, "at": {"N": "1" * 39}}
    stored = {**long, "v": {"N": "7"}}
    world.dynamodb.answer = lambda operation, params: Success({"Item": stored})
    for _ in range(2):
        found = await world.read("GetItem", {"TableName": "table", "Key": long})
        assert found.error is None
        assert found.result == {"Item": stored}
        assert [consistent for _, consistent, _, _ in found.asked] == [True]
        assert found.counted == (0, 0, 1, 0, 0)


@pytest.mark.parametrize("door", ALL)
async def test_a_write_to_an_arn_fences_the_whole_table(door: str) -> None:
    """Whichever region's or account's table it is: one of that name may be cached here."""
    world = World(door)
    await world.read(*get())
    found = await world.read("DeleteItem", {"TableName": ARN, "Key": key(1)})
    assert found.error is None
    (sent,) = world.dynamodb.writes
    assert sent.leased
    assert sent.keys == {("table", WHOLE)}
    assert sent.body["TableName"] == ARN
    assert (await world.read(*get())).cache in ("miss", None)
    assert world.dynamodb.sent[-1].operation == "GetItem"


async def test_a_read_that_is_passed_on_and_refused_raises_doubts_as_any_other() -> None:
    """Of a table that is gone; whatever the front end."""
    for door in NOT_DAX:
        world = World(door)
        await world.read(*get())
        world.dynamodb.answer = lambda operation, params: refused("ResourceNotFoundException")
        assert world.node.tables._doubts == set()
        await world.read(*get(**ASKED))
        assert world.node.tables._doubts == {"table"}, door
