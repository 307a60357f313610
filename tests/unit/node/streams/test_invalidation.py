"""Records of a stream become fences of the primary: in bounded pieces, and never rejected."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from cluster.coherence.effects import Effect, IndexTouch
from cluster.coherence.guard import Guard
from cluster.coherence.messages import Image, Outcome, Position
from cluster.coherence.primary import Primary
from cluster.settings import CacheSettings, LeaseSettings
from node.cache.caches import Caches
from node.replication.primary_driver import EpochOver, PrimaryDriver
from node.streams import answers, invalidation
from node.streams.answers import Record
from node.streams.invalidation import Invalidation
from node.streams.own_writes import OwnWrites
from node.streams.shards import LATEST, TRIM_HORIZON, ShardDescription
from node.streams.steps import Failure, ListShards, Open, Read
from node.tables.keys import KnownKeys
from node.tables.table_info import TableInfo
from node.writes.effects import effect_of_change
from paceline.dax.attribute_lists import encode_item, list_id
from paceline.errors import NotSent, Unavailable
from paceline.types import Item, Key
from tests.support.waiting import until
from tests.unit.node.fakes import SCHEMA, TABLE, Clock


class Lists:
    def list_id(self, names: tuple[str, ...]) -> int:
        if "unregistered" in names:
            raise KeyError(names)
        return list_id(names)


class Recorder(PrimaryDriver):
    """A primary on its own, which notes what it is asked for."""

    def __init__(self, clock: Clock, members: Sequence[str] = ("n1",)) -> None:
        self.caches = Caches.from_settings(CacheSettings())
        self.guard = Guard(self.caches, 10.0)
        super().__init__("n1", self.guard, LeaseSettings(), clock)
        self.begin_epoch(1, frozenset(members), reset=False, lease_until=clock() + 1000.0)
        self.fences: list[tuple[Key, ...]] = []
        self.effects: list[tuple[Effect | None, ...]] = []
        self.outcomes: list[Outcome] = []
        self.flushed: list[str | None] = []
        self.refusals = 0
        self.lapses = False

    def begin(
        self, primary: Primary, keys: Sequence[Key], effects: Sequence[Effect | None] = ()
    ) -> tuple[Position, asyncio.Future[None]]:
        if self.refusals:
            self.refusals -= 1
            raise NotSent("not now")
        self.fences.append(tuple(keys))
        self.effects.append(tuple(effects))
        return super().begin(primary, keys, effects)

    def settle(
        self, primary: Primary, fence: Position, outcome: Outcome, images: Sequence[Image | None]
    ) -> bool:
        self.outcomes.append(outcome)
        if self.lapses:
            self.lapsed()
        return super().settle(primary, fence, outcome, images)

    def flush(self, table: str | None) -> None:
        self.flushed.append(table)
        super().flush(table)


class Setup:
    def __init__(self, members: Sequence[str] = ("n1",), effect_of: Any = None) -> None:
        self.clock = Clock()
        self.driver = Recorder(self.clock, members)
        self.own = OwnWrites()
        self.driver.observer = self.own
        self.own.watch(TABLE.name)
        self.invalidation = Invalidation(self.driver, self.own, Lists(), effect_of)

    @property
    def primary(self) -> Primary:
        assert self.driver.primary is not None
        return self.driver.primary

    async def apply(self, *records: Record, table: TableInfo = TABLE) -> int:
        return await self.invalidation.apply(self.primary, table, records)

    def write(self, item: Item) -> None:
        """A write through the cluster that leaves ``item``."""
        key = key_of(item["id"]["S"])
        fence, _ = self.driver.begin(self.primary, [key])
        image = Image(encode_item(item, SCHEMA, list_id))
        self.driver.settle(self.primary, fence, Outcome.SUCCESS, [image])
        self.driver.fences.clear()


def key_of(name: str) -> Key:
    return TABLE.name, name.encode()


def item_of(name: str, value: str = "1", attribute: str = "v") -> Item:
    return {"id": {"S": name}, attribute: {"S": value}}


def record(name: str, new: Item | None = None, *, images: bool = True) -> Record:
    return Record({"id": {"S": name}}, images, None, new)


async def test_each_item_is_fenced_and_settled_once() -> None:
    setup = Setup()
    setup.write(item_of("a"))
    assert setup.driver.caches.items.count == 1
    echoes = await setup.apply(record("a"), record("b"), record("a"))
    assert echoes == 0
    assert setup.driver.fences == [(key_of("a"), key_of("b"))]
    assert setup.driver.outcomes[-1] is Outcome.SUCCESS
    assert setup.driver.caches.items.count == 0
    assert setup.primary.open_writes == 0


async def test_own_writes_are_passed_over() -> None:
    setup = Setup()
    setup.write(item_of("a"))
    assert await setup.apply(record("a", item_of("a"))) == 1
    assert setup.driver.fences == []
    assert setup.driver.caches.items.count == 1
    assert await setup.apply(record("a", item_of("a"))) == 0, "only once"
    assert setup.driver.fences == [(key_of("a"),)]


@pytest.mark.parametrize(
    "foreign",
    [
        record("a", item_of("a"), images=False),
        record("a", item_of("a", "2")),
        record("a", item_of("a", attribute="unregistered")),
        record("a", None),
    ],
)
async def test_what_may_be_of_others_is_applied(foreign: Record) -> None:
    setup = Setup()
    setup.write(item_of("a"))
    assert await setup.apply(foreign) == 0
    assert await setup.apply(record("a", item_of("a"))) == 0, "what came before is forgotten"
    assert setup.driver.fences == [(key_of("a"),)] * 2


async def test_large_pages_are_fenced_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(invalidation, "FENCE_KEYS_MAX", 3)
    monkeypatch.setattr(invalidation, "FENCE_BYTES_MAX", 120)
    setup = Setup()
    names = [f"{number}" for number in range(7)] + ["x" * 50, "y" * 50]
    await setup.apply(*(record(name) for name in names))
    assert [len(fence) for fence in setup.driver.fences] == [3, 3, 2, 1]
    assert [key for fence in setup.driver.fences for key in fence] == [key_of(n) for n in names]


async def test_effects_of_one_item_are_put_together() -> None:
    oslo, rome = IndexTouch("city", b"oslo"), IndexTouch("city", b"rome")

    def effect_of(table: TableInfo, key: Key, old: Item | None, new: Item | None) -> Effect | None:
        assert new is not None
        city = new["v"]["S"]
        return None if city == "?" else Effect(7, (IndexTouch("city", city.encode()),))

    setup = Setup(effect_of=effect_of)
    await setup.apply(
        record("a", item_of("a", "oslo")),
        record("b", item_of("b", "oslo")),
        record("a", item_of("a", "rome")),
        record("c", item_of("c", "?")),
        record("d", item_of("d", "rome"), images=False),
    )
    assert setup.driver.effects == [
        (Effect(7, (oslo, rome)), Effect(7, (oslo,)), None, None),
    ]


async def test_a_change_touches_where_the_item_was_and_where_it_is() -> None:
    known = KnownKeys()

    def effect_of(table: TableInfo, key: Key, old: Item | None, new: Item | None) -> Effect:
        return effect_of_change(known.of(table), key[1], old, new)

    def city(name: str) -> Item:
        return item_of("a", name, "city")

    setup = Setup(effect_of=effect_of)
    keys: Item = {"id": {"S": "a"}}
    for old, new, touched in (
        (city("oslo"), city("rome"), {b"oslo", b"rome"}),
        (None, city("rome"), {b"rome"}),
        (city("rome"), None, {b"rome"}),
        (item_of("a"), item_of("a", "2"), set()),
    ):
        await setup.apply(Record(keys, True, old, new))
        effect = setup.driver.effects[-1][0]
        assert effect is not None
        assert effect.schema == known.of(TABLE).digest
        assert effect.touches is not None
        assert {touch.partition for touch in effect.touches} == touched
        assert {touch.name for touch in effect.touches} <= {"by-city"}
    await setup.apply(Record(keys, True, None, {"id": {"S": "a"}, "city": {"N": "1"}}))
    assert setup.driver.effects[-1] == (
        Effect(known.of(TABLE).digest, (IndexTouch("by-city"),)),
    ), "DynamoDB would not index it; whoever wrote that, anything may have changed"


async def test_a_record_that_does_not_fit_flushes_the_table() -> None:
    setup = Setup()
    await setup.apply(Record({"other": {"N": "1"}}, False, None, None), record("a"))
    assert setup.driver.flushed == [TABLE.name]
    assert setup.driver.fences == [(), (key_of("a"),)]


async def test_it_waits_for_the_primary_to_be_able_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(invalidation, "RETRY_S", 0.0)
    setup = Setup()
    setup.driver.refusals = 3
    await setup.apply(record("a"))
    assert setup.driver.fences == [(key_of("a"),)]


async def test_without_acknowledgement_it_is_not_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(invalidation, "READY_S", 0.01)
    setup = Setup(members=("n1", "n2", "n3"))
    with pytest.raises(Unavailable):
        await setup.apply(record("a"))
    assert setup.driver.outcomes == [Outcome.SUCCESS], "never rejected: that restores entries"
    with pytest.raises(Unavailable):
        await setup.invalidation.flush(setup.primary, TABLE.name)


async def test_the_end_of_the_epoch_ends_it() -> None:
    setup = Setup(members=("n1", "n2", "n3"))
    primary = setup.primary
    applying = asyncio.create_task(setup.apply(record("a")))
    await until(lambda: bool(setup.driver.fences))
    setup.driver.end_epoch("over")
    with pytest.raises(EpochOver):
        await applying
    with pytest.raises(EpochOver):
        await setup.invalidation.flush(primary, TABLE.name)


async def test_a_lapse_under_way_does_not_count() -> None:
    setup = Setup()
    setup.driver.lapses = True
    with pytest.raises(EpochOver):
        await setup.apply(record("a"))
    assert setup.driver.outcomes == [Outcome.SUCCESS]


CREATED = datetime(2026, 1, 1, tzinfo=UTC)


def test_what_is_asked_and_answered() -> None:
    listing = ListShards("arn", "shard-1", 1)
    assert answers.request(listing) == (
        "DescribeStream",
        {"StreamArn": "arn", "ExclusiveStartShardId": "shard-1"},
    )
    open_range = {"SequenceNumberRange": {"StartingSequenceNumber": "1"}}
    closed = {"SequenceNumberRange": {"StartingSequenceNumber": "1", "EndingSequenceNumber": "2"}}
    found = answers.answer(
        listing,
        {
            "StreamDescription": {
                "Shards": [
                    {"ShardId": "a", **closed},
                    {"ShardId": "b", "ParentShardId": "a", **open_range},
                ],
                "LastEvaluatedShardId": "b",
            }
        },
        0.0,
    )
    assert found.shards == (ShardDescription("a", None, True), ShardDescription("b", "a", False))
    assert found.next == "b"
    for position in (LATEST, TRIM_HORIZON):
        _, params = answers.request(Open("arn", "a", position, 1))
        assert params == {"StreamArn": "arn", "ShardId": "a", "ShardIteratorType": position}
    _, params = answers.request(Open("arn", "a", "17", 1))
    assert params["ShardIteratorType"] == "AFTER_SEQUENCE_NUMBER"
    assert params["SequenceNumber"] == "17"


def test_a_page() -> None:
    raw = {
        "dynamodb": {
            "Keys": {"id": {"S": "a"}},
            "SequenceNumber": "17",
            "StreamViewType": "NEW_AND_OLD_IMAGES",
            "OldImage": item_of("a"),
            "ApproximateCreationDateTime": CREATED,
        }
    }
    page = answers.answer(Read("i", "x", 0.0, 1), {"Records": [raw]}, CREATED.timestamp() + 3.0)
    assert page.last == "17"
    assert page.next is None
    assert page.age_s == 3.0
    assert page.records == (
        Record({"id": {"S": "a"}}, True, item_of("a"), None, CREATED.timestamp()),
    )
    empty = answers.answer(Read("i", "x", 0.0, 1), {"Records": [], "NextShardIterator": "y"}, 0.0)
    assert (empty.records, empty.last, empty.next) == ((), None, "y")


@pytest.mark.parametrize(
    ("name", "throttling", "failure"),
    [
        ("TrimmedDataAccessException", False, Failure.TRIMMED),
        ("ExpiredIteratorException", False, Failure.EXPIRED),
        ("ResourceNotFoundException", False, Failure.GONE),
        ("LimitExceededException", True, Failure.THROTTLED),
        ("AccessDeniedException", False, Failure.FAILED),
        ("InternalServerError", False, Failure.FAILED),
    ],
)
def test_errors(name: str, throttling: bool, failure: Failure) -> None:
    assert answers.failure(name, throttling=throttling) is failure


def test_the_stream_of_a_table() -> None:
    latest = {"LatestStreamArn": "arn"}
    assert answers.enabled_stream({}) is None
    assert answers.enabled_stream(latest) is None, "of a stream that was disabled"
    assert answers.enabled_stream({**latest, "StreamSpecification": {"StreamEnabled": True}}) == (
        "arn"
    )
