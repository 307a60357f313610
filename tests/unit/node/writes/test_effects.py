"""What the primary says a write can change in indexes."""

from __future__ import annotations

from typing import Any

import pytest

from cluster.coherence.effects import Effect, IndexTouch
from cluster.coherence.guard import Guard
from cluster.coherence.messages import Image, Position
from cluster.settings import CacheSettings, TableSettings
from node.cache.caches import Caches
from node.tables.keys import KnownKeys
from node.tables.table_info import IndexInfo, TableInfo
from node.writes.effects import CHANGES_MAX, EFFECTS_BYTES_MAX, Effects, effect_of_change
from node.writes.plan import plan_write
from paceline.dax.attribute_lists import encode_item, list_id
from paceline.dax.keys import encode_key
from paceline.errors import RequestError
from paceline.types import Item, Key, KeyAttribute, KeySchema, Params
from tests.unit.node.fakes import Clock

SCHEMA = KeySchema(KeyAttribute("h", "S"), KeyAttribute("r", "N"))
INFO = TableInfo(
    "t",
    SCHEMA,
    "id",
    "ACTIVE",
    {
        "by-city": IndexInfo("GSI", KeySchema(KeyAttribute("city", "S"), KeyAttribute("at", "N"))),
        "inverted": IndexInfo("GSI", KeySchema(KeyAttribute("r", "N"), KeyAttribute("h", "S"))),
        "local": IndexInfo("LSI", KeySchema(KeyAttribute("h", "S"), KeyAttribute("at", "N"))),
    },
)
PLAIN = TableInfo("plain", SCHEMA, "id", "ACTIVE", {})
COMPOUND = TableInfo(
    "compound",
    SCHEMA,
    "id",
    "ACTIVE",
    {"many": IndexInfo("GSI", KeySchema(KeyAttribute("city", "S")), compound=True)},
)
KEYS = KnownKeys().of(INFO)
KEY: Item = {"h": {"S": "a"}, "r": {"N": "1"}}
ITEM: Item = {**KEY, "city": {"S": "Bonn"}, "at": {"N": "7"}, "x": {"L": [{"S": "y"}]}}
P = KEYS.partition("local", KEY["h"])
INVERTED = IndexTouch("inverted", KEYS.partition("inverted", {"N": "1"}), b"a")


def city(name: str | None, at: str | None) -> IndexTouch:
    partition = None if name is None else name.encode()
    return IndexTouch("by-city", partition, None if at is None else KEYS.sort("by-city", {"N": at}))


def local(at: str | None) -> IndexTouch:
    return IndexTouch("local", P, None if at is None else KEYS.sort("local", {"N": at}))


class Node:
    def __init__(self, settings: CacheSettings | None = None) -> None:
        self.clock = Clock(1.0)
        self.lists: dict[int, tuple[str, ...]] = {}
        self.known: dict[str, TableInfo] = {info.name: info for info in (INFO, PLAIN, COMPOUND)}
        self.caches = Caches.from_settings(settings or CacheSettings())
        self.guard = Guard(self.caches, 10.0)
        self.guard.extend(1000.0, 1.0)
        tables: Any = self
        self.effects = Effects(tables, self.caches, self.guard, self.names_of, self.clock)

    def peek(self, table: str) -> TableInfo | None:
        return self.known.get(table)

    def names_of(self, number: int) -> tuple[str, ...]:
        if number not in self.lists:
            raise RequestError("ValidationException", "no such list")
        return self.lists[number]

    def cache(self, item: Item | None, key: Item = KEY) -> Key:
        def define(names: tuple[str, ...]) -> int:
            self.lists[list_id(names)] = names
            return list_id(names)

        plan = plan_write("DeleteItem", {"TableName": "t", "Key": key}, {"t": SCHEMA})
        encoded = None if item is None else encode_item(item, SCHEMA, define)
        self.caches.install(plan.keys[0], Image(encoded), self.clock.time)
        return plan.keys[0]

    def of(self, operation: str, params: Params) -> tuple[Effect | None, ...]:
        plan = plan_write(operation, params, dict.fromkeys(self.known, SCHEMA))
        return self.effects.of(plan)

    def touches(self, operation: str, params: Params) -> set[IndexTouch] | None:
        (effect,) = self.of(operation, {"TableName": "t", **params})
        assert effect is not None
        assert effect.schema == KEYS.digest
        return None if effect.touches is None else set(effect.touches)


@pytest.fixture
def node() -> Node:
    return Node()


def update(expression: str, **values: Any) -> Params:
    params: Params = {"Key": KEY, "UpdateExpression": expression}
    if values:
        params["ExpressionAttributeValues"] = {f":{name}": v for name, v in values.items()}
    return params


OLD = {city("Bonn", "7"), local("7"), INVERTED}
UNKNOWN_OLD = {IndexTouch("by-city"), local(None), INVERTED}


def test_an_old_item_that_is_not_known_may_be_anywhere(node: Node) -> None:
    new = {city("Ulm", "8"), local("8")}
    item = {**KEY, "city": {"S": "Ulm"}, "at": {"N": "8.0"}}
    assert node.touches("PutItem", {"Item": item}) == UNKNOWN_OLD | new
    assert node.touches("DeleteItem", {"Key": KEY}) == UNKNOWN_OLD


def test_an_old_item_that_is_cached_is_where_its_attributes_say(node: Node) -> None:
    node.cache(ITEM)
    assert node.touches("DeleteItem", {"Key": KEY}) == OLD
    item = {**KEY, "city": {"S": "Ulm"}}
    assert node.touches("PutItem", {"Item": item}) == OLD, "without `at` it is in no other place"


def test_attributes_that_no_index_has_do_not_hide_those_that_one_has(node: Node) -> None:
    more: Item = {f"{letter}{letter}": {"S": letter} for letter in "abcxyz"}
    node.cache({**ITEM, **more})
    assert node.touches("DeleteItem", {"Key": KEY}) == OLD


def test_of_a_change_whose_images_cannot_be_read_nothing_is_known() -> None:
    key = encode_key(SCHEMA, KEY)
    assert effect_of_change(KEYS, key, ITEM, None).touches is not None
    assert effect_of_change(KEYS, key, {"city": {"S": "Bonn"}}, None) == Effect(KEYS.digest, None)


def test_an_item_that_is_known_to_be_absent_is_nowhere(node: Node) -> None:
    node.cache(None)
    assert node.touches("DeleteItem", {"Key": KEY}) == set()
    assert node.touches("PutItem", {"Item": ITEM}) == OLD
    upsert = update("SET city = :c", c={"S": "Ulm"})
    assert node.touches("UpdateItem", upsert) == {INVERTED}


def test_updates(node: Node) -> None:
    node.cache(ITEM)
    assert node.touches("UpdateItem", update("SET x = :x", x={"S": "z"})) == OLD
    moved = node.touches("UpdateItem", update("SET city = :c", c={"S": "Ulm"}))
    assert moved == OLD | {city("Ulm", "7")}
    assert node.touches("UpdateItem", update("REMOVE city")) == OLD
    counted = node.touches("UpdateItem", update("ADD #at :n", n={"N": "1"}) | NAMES)
    assert counted == OLD | {city("Bonn", None), local(None)}
    computed = node.touches("UpdateItem", update("SET #at = #at + :n, x = :n", n=ONE) | NAMES)
    assert computed == OLD | {city("Bonn", None), local(None)}
    kept = update("SET city = if_not_exists(city, :c), x = :c REMOVE #at", c={"S": "Ulm"}) | NAMES
    assert node.touches("UpdateItem", kept) == OLD
    inside = node.touches("UpdateItem", update("SET city.x = :c", c={"S": "Ulm"}))
    assert inside == OLD | {IndexTouch("by-city")}


NAMES: Params = {"ExpressionAttributeNames": {"#at": "at"}}
ONE = {"N": "1"}


def test_an_update_of_an_item_that_is_not_known(node: Node) -> None:
    assert node.touches("UpdateItem", update("SET x = :x", x=ONE)) == UNKNOWN_OLD
    moved = node.touches("UpdateItem", update("SET city = :c", c={"S": "Ulm"}))
    assert moved == UNKNOWN_OLD | {city("Ulm", None)}


def test_legacy_updates(node: Node) -> None:
    node.cache(ITEM)
    put: Params = {"Key": KEY, "AttributeUpdates": {"city": {"Value": {"S": "Ulm"}}}}
    assert node.touches("UpdateItem", put) == OLD | {city("Ulm", "7")}
    add: Params = {"Key": KEY, "AttributeUpdates": {"at": {"Action": "ADD", "Value": ONE}}}
    assert node.touches("UpdateItem", add) == OLD | {city("Bonn", None), local(None)}
    gone: Params = {"Key": KEY, "AttributeUpdates": {"at": {"Action": "DELETE"}}}
    assert node.touches("UpdateItem", gone) == OLD
    value: Params = {"Action": "DELETE", "Value": {"SS": ["x"]}}  # of a set
    some: Params = {"Key": KEY, "AttributeUpdates": {"city": value}}
    assert node.touches("UpdateItem", some) == OLD | {IndexTouch("by-city")}
    assert node.touches("UpdateItem", {"Key": KEY}) == OLD


def test_a_fenced_item_and_one_without_a_lease_are_not_known(node: Node) -> None:
    key = node.cache(ITEM)
    node.guard.fence(Position(1, 1), (key,), 1.0)
    assert node.touches("DeleteItem", {"Key": KEY}) == UNKNOWN_OLD
    lapsed = Node()
    lapsed.cache(ITEM)
    lapsed.guard.lapse(1.0)
    assert lapsed.touches("DeleteItem", {"Key": KEY}) == UNKNOWN_OLD
    for now, known in ((49.99, OLD), (50.0, UNKNOWN_OLD)):
        ending = Node()
        ending.cache(ITEM)
        ending.guard.lapse(1.0)
        ending.guard.extend(50.0, 1.0)
        ending.clock.time = now
        assert ending.touches("DeleteItem", {"Key": KEY}) == known
    expired = Node()
    expired.cache(ITEM)
    expired.clock.time = 301.0
    assert expired.touches("DeleteItem", {"Key": KEY}) == UNKNOWN_OLD


def test_what_cannot_be_read_is_not_known(node: Node) -> None:
    node.cache(ITEM)
    for expression in ("SET city", "SET city = :missing", "this is nothing"):
        assert node.touches("UpdateItem", update(expression)) is None
    node.lists.clear()
    assert node.touches("DeleteItem", {"Key": KEY}) is None


def test_a_value_of_another_type_may_be_anywhere(node: Node) -> None:
    node.cache({**ITEM, "city": {"N": "1"}})
    assert node.touches("DeleteItem", {"Key": KEY}) == {IndexTouch("by-city"), local("7"), INVERTED}


def test_batches_and_transactions_say_it_for_each_item(node: Node) -> None:
    node.cache(ITEM)
    other: Item = {"h": {"S": "b"}, "r": {"N": "2"}, "city": {"S": "Ulm"}}
    batch: Params = {
        "RequestItems": {
            "t": [{"DeleteRequest": {"Key": KEY}}, {"PutRequest": {"Item": other}}],
            "plain": [{"DeleteRequest": {"Key": KEY}}],
        }
    }
    first, second, third = node.of("BatchWriteItem", batch)
    assert first is not None
    assert set(first.touches or ()) == OLD
    assert second is not None
    assert IndexTouch("by-city") in (second.touches or ())
    assert third == Effect(KnownKeys().of(PLAIN).digest, ())
    actions: list[Params] = [
        {"ConditionCheck": {"TableName": "t", "Key": KEY}},
        {"Update": {"TableName": "t", **update("SET city = :c", c={"S": "Ulm"})}},
        {"Put": {"TableName": "plain", "Item": other}},
        {"Delete": {"TableName": "t", "Key": {"h": {"S": "c"}, "r": {"N": "2"}}}},
    ]
    updated, put, deleted = node.of("TransactWriteItems", {"TransactItems": actions})
    assert updated is not None
    assert set(updated.touches or ()) == OLD | {city("Ulm", "7")}
    assert put == third
    assert deleted is not None
    assert IndexTouch("by-city") in (deleted.touches or ())


def test_tables_that_are_not_known_or_not_invalidated() -> None:
    settings = CacheSettings(tables={"plain": TableSettings(query_invalidation="off")})
    node = Node(settings)
    assert node.of("DeleteItem", {"TableName": "plain", "Key": KEY}) == (None,)
    del node.known["t"]
    plan = plan_write("DeleteItem", {"TableName": "t", "Key": KEY}, {"t": SCHEMA})
    assert node.effects.of(plan) == (None,)


def test_an_index_of_compound_keys_may_change_anywhere(node: Node) -> None:
    (effect,) = node.of("DeleteItem", {"TableName": "compound", "Key": KEY})
    assert effect is not None
    assert effect.touches == (IndexTouch("many"),)
    (effect,) = node.of("PutItem", {"TableName": "compound", "Item": ITEM})
    assert effect is not None
    assert effect.touches == (IndexTouch("many"),)


def test_long_effects_are_left_out(node: Node) -> None:
    requests = []
    for number in range(10):
        item: Item = {"h": {"S": str(number)}, "r": {"N": "1"}}
        item |= {"city": {"S": "x" * (EFFECTS_BYTES_MAX // 10)}, "at": {"N": "1"}}
        requests.append({"PutRequest": {"Item": item}})
    assert node.of("BatchWriteItem", {"RequestItems": {"t": requests}}) == ()


def test_an_update_of_very_many_attributes_may_have_changed_any_place(node: Node) -> None:
    node.cache(ITEM)
    for count, known in ((CHANGES_MAX, True), (CHANGES_MAX + 1, False)):
        changes = {f"a{n}": {"Value": ONE} for n in range(count)}
        touches = node.touches("UpdateItem", {"Key": KEY, "AttributeUpdates": changes})
        assert (touches is not None) is known
