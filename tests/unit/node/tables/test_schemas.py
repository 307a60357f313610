from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from node.tables.schemas import (
    CONFIRMED_S,
    DESCRIBE_TIMEOUT_S,
    IDLE_INTERVALS,
    IN_USE_S,
    TOLD_S,
    Cause,
    Tables,
)
from node.tables.table_info import IndexInfo, TableInfo
from paceline.errors import DynamoDBError, Unavailable
from paceline.types import KeyAttribute, KeySchema, Params, Result
from tests.support.stopwatch import Stopwatch
from tests.support.waiting import until

CHECK_S = 0.08

MISSING = DynamoDBError(
    "ResourceNotFoundException", "Requested resource not found: Table: t not found", 400
)


def description(name: str = "t", table_id: str = "id-1", key: str = "id") -> dict[str, Any]:
    return {
        "TableName": name,
        "TableId": table_id,
        "TableStatus": "ACTIVE",
        "KeySchema": [{"AttributeName": key, "KeyType": "HASH"}],
        "AttributeDefinitions": [{"AttributeName": key, "AttributeType": "S"}],
    }


class Source:
    """Answers DescribeTable from ``tables``, or with ``error``, once ``open`` is set."""

    def __init__(self) -> None:
        self.tables: dict[str, dict[str, Any]] = {"t": description()}
        self.error: Exception | None = None
        self.open = asyncio.Event()
        self.open.set()
        self.asked: list[str] = []
        self.observer: Callable[[str, Params, DynamoDBError], None] | None = None

    def observe_errors(self, observer: Callable[[str, Params, DynamoDBError], None]) -> None:
        self.observer = observer

    async def control(
        self, operation: str, params: Params, deadline: float | None = None
    ) -> Result:
        assert operation == "DescribeTable"
        assert deadline is not None
        self.asked.append(params["TableName"])
        table = self.tables.get(params["TableName"])
        await self.open.wait()
        if self.error is not None:
            raise self.error
        if table is None:
            raise MISSING
        return {"Table": table}


class Setup:
    def __init__(self, tables_max: int = 100) -> None:
        self.time = 0.0
        self.changed: list[str] = []
        self.causes: list[Cause] = []
        self.source = Source()
        self.tables = Tables(
            self.source,
            check_s=CHECK_S,
            on_changed=self.on_changed,
            now=lambda: self.time,
            tables_max=tables_max,
        )

    def on_changed(self, table: str, cause: Cause) -> None:
        self.changed.append(table)
        self.causes.append(cause)


@pytest.fixture
async def setup() -> AsyncIterator[Setup]:
    """Not started: nothing is checked in the background; the clock stands still."""
    setup = Setup()
    yield setup
    await setup.tables.stop()


@pytest.fixture
async def live() -> AsyncIterator[Setup]:
    """Started, on the real clock."""
    setup = Setup()
    setup.tables._now = time.monotonic
    await setup.tables.start()
    yield setup
    await setup.tables.stop()


def test_a_description_with_indexes() -> None:
    info = TableInfo.of(
        {
            "TableName": "t",
            "TableId": "id-1",
            "TableStatus": "CREATING",
            "KeySchema": [
                {"AttributeName": "sort", "KeyType": "RANGE"},
                {"AttributeName": "id", "KeyType": "HASH"},
            ],
            "AttributeDefinitions": [
                {"AttributeName": "id", "AttributeType": "S"},
                {"AttributeName": "sort", "AttributeType": "N"},
                {"AttributeName": "mail", "AttributeType": "B"},
            ],
            "GlobalSecondaryIndexes": [
                {
                    "IndexName": "g",
                    "KeySchema": [{"AttributeName": "mail", "KeyType": "HASH"}],
                }
            ],
            "LocalSecondaryIndexes": [
                {
                    "IndexName": "l",
                    "KeySchema": [
                        {"AttributeName": "id", "KeyType": "HASH"},
                        {"AttributeName": "mail", "KeyType": "RANGE"},
                    ],
                }
            ],
        }
    )
    id_, sort, mail = KeyAttribute("id", "S"), KeyAttribute("sort", "N"), KeyAttribute("mail", "B")
    assert info == TableInfo(
        "t",
        KeySchema(id_, sort),
        "id-1",
        "CREATING",
        {
            "g": IndexInfo("GSI", KeySchema(mail)),
            "l": IndexInfo("LSI", KeySchema(id_, mail)),
        },
    )


async def test_asked_once_and_then_known(setup: Setup) -> None:
    assert setup.tables.peek("t") is None
    info = await setup.tables.schema("t")
    assert info.schema == KeySchema(KeyAttribute("id", "S"))
    assert await setup.tables.schema("t") is info
    assert setup.tables.peek("t") is info
    assert setup.source.asked == ["t"]
    assert setup.changed == []


async def test_single_flight_survives_a_cancelled_caller(setup: Setup) -> None:
    setup.source.open.clear()
    callers = [asyncio.create_task(setup.tables.schema("t")) for _ in range(5)]
    await until(lambda: setup.source.asked == ["t"])
    callers[0].cancel()
    await asyncio.wait({callers[0]})
    setup.source.open.set()
    infos = await asyncio.gather(*callers[1:])
    assert {info.table_id for info in infos} == {"id-1"}
    assert setup.source.asked == ["t"]
    assert callers[0].cancelled()


async def test_a_missing_table_is_asked_for_every_time(setup: Setup) -> None:
    for _ in range(2):
        with pytest.raises(DynamoDBError) as caught:
            await setup.tables.schema("none")
        assert caught.value.name == "ResourceNotFoundException"
        assert caught.value.message == "Requested resource not found"
        assert caught.value.status == 400
    assert setup.source.asked == ["none", "none"]
    setup.source.tables["none"] = description("none")
    assert (await setup.tables.schema("none")).name == "none"


async def test_an_unknown_table_while_dynamodb_is_away(setup: Setup) -> None:
    setup.source.error = Unavailable("away")
    with pytest.raises(Unavailable):
        await setup.tables.schema("t")


async def test_a_table_that_was_idle_is_checked_before_use(setup: Setup) -> None:
    await setup.tables.schema("t")
    setup.source.tables["t"] = description(table_id="id-2", key="other")
    setup.time += 10 * CHECK_S
    assert setup.tables.peek("t") is None
    info = await setup.tables.schema("t")
    assert info.schema.hash.name == "other"
    assert setup.changed == ["t"]


async def test_an_idle_table_is_used_as_known_while_dynamodb_is_away(setup: Setup) -> None:
    info = await setup.tables.schema("t")
    setup.source.error = Unavailable("away")
    setup.time += 10 * CHECK_S
    assert await setup.tables.schema("t") is info
    assert setup.tables.peek("t") is info, "not asked again by every request"
    assert setup.changed == []


async def test_the_flush_comes_before_the_new_schema(setup: Setup) -> None:
    await setup.tables.schema("t")
    seen: list[TableInfo | None] = []

    def changed(table: str, cause: Cause) -> None:
        setup.time = 0.0
        seen.append(setup.tables.peek(table))

    setup.tables._on_changed = changed
    setup.source.tables["t"] = description(table_id="id-2")
    setup.time += 10 * CHECK_S
    assert (await setup.tables.schema("t")).table_id == "id-2"
    assert [info and info.table_id for info in seen] == ["id-1"]


async def test_a_flush_that_fails_leaves_the_change_to_be_noticed_again(setup: Setup) -> None:
    await setup.tables.schema("t")

    def failing(table: str, cause: Cause) -> None:
        raise RuntimeError(table)

    works, setup.tables._on_changed = setup.tables._on_changed, failing
    setup.source.tables["t"] = description(table_id="id-2")
    setup.time += 10 * CHECK_S
    with pytest.raises(RuntimeError):
        await setup.tables.schema("t")
    setup.tables._on_changed = works
    assert (await setup.tables.schema("t")).table_id == "id-2"
    assert setup.changed == ["t"]


@pytest.mark.parametrize(
    ("change", "flushed"),
    [
        ({"ItemCount": 7}, False),
        ({"TableStatus": "UPDATING"}, False),
        ({"TableStatus": "DELETING"}, True),
        ({"TableId": "id-2"}, True),
        (
            {
                "GlobalSecondaryIndexes": [
                    {"IndexName": "g", "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}]}
                ]
            },
            True,
        ),
    ],
)
async def test_what_counts_as_a_change(setup: Setup, change: dict[str, Any], flushed: bool) -> None:
    await setup.tables.schema("t")
    setup.source.tables["t"] = description() | change
    setup.time += 10 * CHECK_S
    await setup.tables.schema("t")
    assert setup.changed == (["t"] if flushed else [])


async def test_the_table_not_used_for_longest_makes_room_and_is_flushed() -> None:
    setup = Setup(tables_max=2)
    for name in ("a", "b", "c"):
        setup.source.tables[name] = description(name)
    await setup.tables.schema("a")
    setup.time += 0.01
    await setup.tables.schema("b")
    setup.time += 0.01
    await setup.tables.schema("a")
    await setup.tables.schema("c")
    assert setup.changed == ["b"]
    assert setup.tables.peek("a") is not None
    assert setup.tables.peek("b") is None


async def test_a_table_in_use_is_watched(live: Setup) -> None:
    await live.tables.schema("t")
    await until(lambda: len(live.source.asked) >= 3, meanwhile=lambda: live.tables.peek("t"))
    assert live.changed == []
    live.source.tables["t"] = description(table_id="id-2")
    await until(lambda: live.changed == ["t"], meanwhile=lambda: live.tables.peek("t"))
    del live.source.tables["t"]
    await until(lambda: live.changed == ["t", "t"], meanwhile=lambda: live.tables.peek("t"))
    with pytest.raises(DynamoDBError):
        await live.tables.schema("t")


async def test_a_table_is_watched_also_when_only_prepared_hits_are_served(live: Setup) -> None:
    await live.tables.schema("t")
    live.source.tables["t"] = description(table_id="id-2")
    await until(lambda: live.changed == ["t"])


async def test_an_idle_table_is_checked_more_rarely(setup: Setup) -> None:
    await setup.tables.schema("t")
    setup.time = IN_USE_S + 1.0
    known = setup.tables._known["t"]
    known.checked_at = setup.time - 2 * CHECK_S
    assert setup.tables._due() == set()
    known.checked_at = setup.time - (IDLE_INTERVALS + 1) * CHECK_S
    assert setup.tables._due() == {"t"}
    setup.tables.peek("t")
    known.checked_at = setup.time - 2 * CHECK_S
    assert setup.tables._due() == {"t"}


async def test_the_watch_survives_an_unreachable_dynamodb(live: Setup) -> None:
    await live.tables.schema("t")
    live.source.error = Unavailable("away")
    asked = len(live.source.asked)
    await until(
        lambda: len(live.source.asked) >= asked + 2, meanwhile=lambda: live.tables.peek("t")
    )
    assert live.tables.peek("t") is not None
    live.source.error = None
    live.source.tables["t"] = description(table_id="id-2")
    await until(lambda: live.changed == ["t"], meanwhile=lambda: live.tables.peek("t"))


def _error(name: str, message: str) -> DynamoDBError:
    return DynamoDBError(name, message, 400)


@pytest.mark.parametrize(
    ("operation", "params", "error"),
    [
        ("GetItem", {"TableName": "t"}, _error("ResourceNotFoundException", "Requested ...")),
        (
            "PutItem",
            {"TableName": "t"},
            _error("ValidationException", "... Missing the key id in the item"),
        ),
        (
            "BatchGetItem",
            {"RequestItems": {"other": {}, "t": {}}},
            _error("ResourceNotFoundException", "Requested resource not found"),
        ),
        (
            "TransactWriteItems",
            {"TransactItems": [{"Put": {"TableName": "t"}}]},
            DynamoDBError(
                "TransactionCanceledException",
                "Transaction cancelled",
                400,
                reasons=[
                    {
                        "Code": "ValidationError",
                        "Message": "The provided key element does not match the schema",
                    }
                ],
            ),
        ),
    ],
)
async def test_errors_have_a_table_checked_at_once(
    operation: str, params: Params, error: DynamoDBError
) -> None:
    setup = Setup()
    setup.tables._check_s = 1.0  # the next regular check comes after a second
    await setup.tables.start()
    try:
        await setup.tables.schema("t")
        assert setup.source.observer is not None
        del setup.source.tables["t"]
        with Stopwatch() as watch:
            setup.source.observer(operation, params, error)
            await until(lambda: setup.changed == ["t"])
        assert watch.elapsed_s < 0.5
    finally:
        await setup.tables.stop()


async def test_other_errors_do_not() -> None:
    setup = Setup()
    await setup.tables.schema("t")
    assert setup.source.observer is not None
    setup.source.observer(
        "PutItem", {"TableName": "t"}, _error("ConditionalCheckFailedException", "failed")
    )
    assert setup.tables._doubts == set()


async def test_a_doubt_that_arises_during_a_check_asks_again(live: Setup) -> None:
    await live.tables.schema("t")
    live.source.open.clear()
    asked = len(live.source.asked)
    live.tables.doubt("t")
    await until(lambda: len(live.source.asked) == asked + 1)
    live.source.tables["t"] = description(table_id="id-2")
    live.tables.doubt("t")
    live.source.open.set()
    await until(lambda: live.changed == ["t"])


async def test_many_errors_are_not_many_checks(live: Setup) -> None:
    await live.tables.schema("t")
    asked = len(live.source.asked)
    started = time.monotonic()
    while time.monotonic() - started < 0.5:
        live.tables.doubt("t")
        await asyncio.sleep(0.001)
    assert len(live.source.asked) - asked <= 8


async def test_what_is_forgotten_is_asked_for_before_it_is_used(setup: Setup) -> None:
    """A table that was made anew through another node has another schema from then on."""
    await setup.tables.schema("t")
    setup.source.tables["t"] = description(table_id="id-2", key="other")
    setup.tables.forget("u")
    assert setup.tables.peek("t") is not None
    setup.tables.forget("t")
    assert setup.tables.peek("t") is None
    setup.source.error = Unavailable("no answer")
    with pytest.raises(Unavailable):
        await setup.tables.schema("t")
    setup.source.error = None
    assert (await setup.tables.schema("t")).schema.hash.name == "other"
    assert setup.changed == ["t"]


async def test_an_answer_from_before_does_not_count(setup: Setup) -> None:
    setup.source.open.clear()
    asked = asyncio.ensure_future(setup.tables.schema("t"))
    await until(lambda: bool(setup.source.asked))
    setup.source.tables["t"] = description(table_id="id-2", key="other")
    setup.tables.forget(None)
    setup.source.open.set()
    assert (await asked).schema.hash.name == "other"
    assert setup.changed == []


async def test_the_changes_of_other_tables_hold_nothing_up(setup: Setup) -> None:
    """The first request after CreateTable, while other tables are made and deleted."""
    setup.source.open.clear()
    asked = asyncio.ensure_future(setup.tables.schema("t"))
    for number in range(10):
        await until(lambda: bool(setup.source.asked))
        setup.tables.forget(f"other-{number}")
    setup.source.open.set()
    assert (await asked).table_id == "id-1"
    assert setup.source.asked == ["t"]


async def test_a_table_that_is_changed_all_the_time_is_waited_for(
    setup: Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, changes = setup.source.control, list(range(7))

    async def control(*args: Any) -> Result:
        result = await real(*args)
        if changes:
            changes.pop()
            setup.tables.forget("t")
        return result

    monkeypatch.setattr(setup.source, "control", control)
    assert (await setup.tables.schema("t")).table_id == "id-1"
    assert setup.source.asked == ["t"] * 8


async def test_but_not_for_ever(setup: Setup) -> None:
    setup.source.open.clear()
    asked = asyncio.ensure_future(setup.tables.schema("t"))
    await until(lambda: len(setup.source.asked) == 1)
    setup.tables.forget("t")
    setup.time += DESCRIBE_TIMEOUT_S
    setup.source.open.set()
    with pytest.raises(Unavailable, match="being changed"):
        await asked


@pytest.mark.parametrize(
    ("status", "told_s", "cause"),
    [
        ("ACTIVE", None, "outside"),
        ("ACTIVE", 0.0, "under way"),
        ("ACTIVE", TOLD_S, "outside"),
        ("UPDATING", None, "under way"),
        ("DELETING", None, "under way"),
    ],
)
@pytest.mark.parametrize("gone", [False, True])
async def test_why_a_table_is_another_one(
    setup: Setup, status: str, told_s: float | None, cause: str, gone: bool
) -> None:
    setup.source.tables["t"] = {**description(), "TableStatus": status}
    if told_s is not None:
        setup.tables.forget("t")
        setup.time += told_s
    await setup.tables.schema("t")
    if gone:
        del setup.source.tables["t"]
    else:
        setup.source.tables["t"] = description(table_id="id-2")
    await setup.tables._check("t")
    assert setup.causes == [cause]


async def test_what_everybody_was_told_of_is_told_to_nobody(setup: Setup) -> None:
    await setup.tables.schema("t")
    setup.tables.forget("t")
    setup.source.tables["t"] = description(table_id="id-2")
    await setup.tables.schema("t")
    assert setup.causes == ["here only"]


async def test_what_is_no_description_is_no_schema(setup: Setup) -> None:
    setup.source.tables["t"] = {"TableName": "t"}
    with pytest.raises(Unavailable, match="no description"):
        await setup.tables.schema("t")


async def test_a_confirmed_schema_is_a_young_one(setup: Setup) -> None:
    await setup.tables.schema("t")
    for age_s, asked in ((CONFIRMED_S / 2, 1), (CONFIRMED_S, 2)):
        setup.time += age_s
        await setup.tables.confirmed("t")
        assert len(setup.source.asked) == asked
    setup.time += 2 * CONFIRMED_S
    setup.source.error = Unavailable("no answer")
    with pytest.raises(Unavailable, match="does not say now"):
        await setup.tables.confirmed("t")
