"""Reads: what is answered from the cache, what is kept, what is shared."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from cluster.coherence.guard import Fill, Guard
from cluster.coherence.messages import Image, Outcome, Position
from cluster.settings import CacheSettings, TableSettings
from cluster.transport.large_work import LargeWork
from node.cache.caches import Caches
from node.cache.query_cache import QueryKey
from node.reads.batch_get import BatchGet
from node.reads.items import ItemFlights, ReadPath
from node.reads.misses import Found
from node.reads.queries import FORM_FACTOR, Queries, QueryAnswer, query_key
from node.reads.reading import ReadOperations, ReadRequest
from node.reads.single_flight import SingleFlight
from node.tables.attribute_lists import AttributeLists, UnknownAttributeList
from node.tables.schemas import Upstream
from paceline.dax.attribute_lists import encode_item
from paceline.errors import DynamoDBError, Unavailable
from paceline.types import Item, Key, Params, Result
from tests.support.waiting import until
from tests.unit.node.fakes import SCHEMA, TABLE, Clock, FakeAgent, FakeBackend, FakeTables

KEY: Key = ("t", b"a")
ITEM: Item = {"id": {"S": "a"}, "v": {"N": "1"}}
DEADLINE = 1000.0
Q = 10.0


class Node:
    """The read side of a node around fakes, holding a lease of one second."""

    def __init__(self, settings: CacheSettings | None = None) -> None:
        self.clock = Clock()
        self.backend: Any = FakeBackend()
        self.agent: Any = FakeAgent()
        tables: Any = FakeTables()
        self.caches = Caches.from_settings(settings or CacheSettings())
        self.guard = Guard(self.caches, Q)
        self.guard.extend(self.clock.time + 1, self.clock.time)
        self.lists = AttributeLists(self.agent)
        upstream = Upstream(self.backend, tables, self.lists)
        item_flights = ItemFlights(100)
        query_flights: SingleFlight[QueryKey, Fill, QueryAnswer] = SingleFlight(100)
        self.reads = ReadPath(upstream, self.guard, self.caches, item_flights, self.clock)
        queries = Queries(
            self.backend,
            self.guard,
            self.caches,
            query_flights,
            self.reads.counters,
            self.clock,
        )
        batches = BatchGet(upstream, self.reads, self.guard, self.clock)
        self.all_reads = ReadOperations(upstream, self.reads, batches, queries)

    async def read(self, operation: str, params: Params) -> Result:
        answer = await self.all_reads.answer(ReadRequest(operation, params), DEADLINE)
        return await answer.results(LargeWork())

    async def get(self) -> Item | None:
        found = await self.reads.item(TABLE, KEY, {"id": {"S": "a"}}, DEADLINE, capacity="NONE")
        return None if found.item is None else {**KEY_ITEM, **self.lists.decode(found.item)}

    def answers(self, item: Item | None) -> None:
        async def answer(operation: str, params: Params) -> Result:
            return {} if item is None else {"Item": item}

        self.backend.read_answer = answer


KEY_ITEM: Item = {"id": {"S": "a"}}


@pytest.fixture
def node() -> Node:
    return Node()


async def test_the_second_read_is_a_hit(node: Node) -> None:
    node.answers(ITEM)
    assert await node.get() == ITEM
    assert await node.get() == ITEM
    assert len(node.backend.reads) == 1
    assert (node.reads.counters.hits, node.reads.counters.misses) == (1, 1)


async def test_absence_is_cached_too(node: Node) -> None:
    assert await node.get() is None
    assert await node.get() is None
    assert len(node.backend.reads) == 1


async def test_without_a_lease_reads_pass_through_consistently_and_nothing_is_kept(
    node: Node,
) -> None:
    node.answers(ITEM)
    node.clock.time += 2
    assert await node.get() == ITEM
    assert await node.get() == ITEM
    assert [params["ConsistentRead"] for _, params in node.backend.reads] == [True, True]
    assert node.caches.items.count == 0


async def test_a_fill_that_a_write_overtook_is_answered_but_not_kept(node: Node) -> None:
    release = asyncio.Event()

    async def answer(operation: str, params: Params) -> Result:
        await release.wait()
        return {"Item": ITEM}

    node.backend.read_answer = answer
    read = asyncio.create_task(node.get())
    await until(lambda: bool(node.backend.reads))
    node.guard.fence(Position(1, 1), [KEY], node.clock.time)
    node.guard.settle(Position(1, 1), Outcome.SUCCESS, (None,), node.clock.time)
    release.set()
    assert await read == ITEM
    assert node.caches.items.count == 0


async def test_reads_of_one_key_share_a_fill_unless_a_write_began_since(node: Node) -> None:
    release = asyncio.Event()

    async def answer(operation: str, params: Params) -> Result:
        await release.wait()
        return {"Item": ITEM}

    node.backend.read_answer = answer
    first = [asyncio.create_task(node.get()) for _ in range(3)]
    await until(lambda: bool(node.backend.reads))
    node.guard.fence(Position(1, 1), [KEY], node.clock.time)
    late = asyncio.create_task(node.get())
    await until(lambda: len(node.backend.reads) == 2)
    release.set()
    assert await asyncio.gather(*first, late) == [ITEM] * 4
    assert node.backend.reads[1][1]["ConsistentRead"] is True


async def test_who_joins_gets_what_cannot_be_cached_too_and_no_bill(node: Node) -> None:
    release = asyncio.Event()
    odd: Item = {"id": {"S": "a"}, "v": {"X": "a type of tomorrow"}}  # type: ignore[typeddict-unknown-key]

    async def answer(operation: str, params: Params) -> Result:
        await release.wait()
        return {"Item": odd, "ConsumedCapacity": {"CapacityUnits": 0.5}}

    node.backend.read_answer = answer

    def read() -> asyncio.Task[Found]:
        item = node.reads.item(TABLE, KEY, KEY_ITEM, DEADLINE, capacity="TOTAL")
        return asyncio.create_task(item)

    reads = [read(), read()]
    await until(lambda: bool(node.backend.reads))
    release.set()
    first, second = await asyncio.gather(*reads)
    assert len(node.backend.reads) == 1
    assert node.backend.reads[0][1]["ReturnConsumedCapacity"] == "TOTAL"
    assert first == Found(None, {"CapacityUnits": 0.5}, odd)
    assert second == Found(None, None, odd)
    assert node.reads.cached(KEY) is None


async def test_where_nobody_asks_what_it_costs_dynamodb_is_not_asked_either(node: Node) -> None:
    node.answers(ITEM)
    await node.read("GetItem", {"TableName": "t", "Key": KEY_ITEM})
    assert node.backend.reads == [("GetItem", {"TableName": "t", "Key": KEY_ITEM})]


async def test_after_a_write_the_fill_is_consistent_and_kept(node: Node) -> None:
    node.guard.fence(Position(1, 1), [KEY], node.clock.time)
    node.guard.settle(Position(1, 1), Outcome.SUCCESS, (None,), node.clock.time)
    node.answers(ITEM)
    await node.get()
    assert node.backend.reads[0][1]["ConsistentRead"] is True
    await node.get()
    assert len(node.backend.reads) == 1


async def test_a_new_shape_is_registered_before_it_is_cached(node: Node) -> None:
    node.answers(ITEM)
    await node.get()
    assert node.agent.commits == 1
    entry = node.caches.items.lookup("t", b"a", node.clock.time)
    assert entry is not None
    assert entry.item == encode_item(ITEM, SCHEMA, node.lists.list_id)


async def test_a_cached_item_of_a_list_that_this_node_cannot_read_is_asked_for(
    node: Node,
) -> None:
    """The primary's stream may be ahead of this node's log."""
    node.answers(ITEM)
    await node.get()
    [number] = node.agent.lists
    get: Params = {"TableName": "t", "Key": KEY_ITEM}
    learned: list[int] = []

    async def learn(list_id: int) -> None:
        learned.append(list_id)
        raise UnknownAttributeList(list_id)

    def unknown(list_id: int) -> tuple[str, ...]:
        raise UnknownAttributeList(list_id)

    known, node.lists.names_of = node.lists.names_of, unknown  # type: ignore[method-assign]
    node.lists.learn = learn  # type: ignore[method-assign]
    assert await node.read("GetItem", get) == {"Item": ITEM}
    assert node.backend.reads[1:] == [("GetItem", {**get, "ConsistentRead": True})]
    assert learned == [number]

    async def learn_at_last(list_id: int) -> None:
        node.lists.names_of = known  # type: ignore[method-assign]

    node.lists.learn = learn_at_last  # type: ignore[method-assign]
    assert await node.read("GetItem", get) == {"Item": ITEM}
    assert len(node.backend.reads) == 2


# -- batches ---------------------------------------------------------------------------------


def batch(*ids: str, **more: Any) -> Params:
    return {"RequestItems": {"t": {"Keys": [{"id": {"S": each}} for each in ids], **more}}}


async def test_a_batch_fetches_only_what_is_not_cached_and_keeps_it(node: Node) -> None:
    node.answers(ITEM)
    await node.get()

    async def answer(operation: str, params: Params) -> Result:
        assert [key["id"]["S"] for key in params["RequestItems"]["t"]["Keys"]] == ["b", "c"]
        return {"Responses": {"t": [{"id": {"S": "b"}, "v": {"N": "2"}}]}, "UnprocessedKeys": {}}

    node.backend.read_answer = answer
    result = await node.read("BatchGetItem", batch("a", "b", "c"))
    assert sorted(item["id"]["S"] for item in result["Responses"]["t"]) == ["a", "b"]
    assert result["UnprocessedKeys"] == {}
    again = await node.read("BatchGetItem", batch("a", "b", "c"))
    assert sorted(item["id"]["S"] for item in again["Responses"]["t"]) == ["a", "b"]
    assert len(node.backend.reads) == 2  # the first get, the first batch


async def test_of_a_batch_with_an_item_that_cannot_be_cached_nothing_is_kept(node: Node) -> None:
    """Nor are its other keys taken for absent, and the caller gets all of it."""
    odd: Any = {"id": {"S": "b"}, "v": {"X": "a type of tomorrow"}}

    async def answer(operation: str, params: Params) -> Result:
        return {"Responses": {"t": [ITEM, odd]}, "UnprocessedKeys": {}}

    node.backend.read_answer = answer
    result = await node.read("BatchGetItem", batch("a", "b", "c"))
    assert result["Responses"]["t"] == [ITEM, odd]
    assert node.caches.items.count == 0
    assert node.guard.begin_fill(KEY, node.clock.time) is not None  # no fill is left behind


async def test_a_batch_that_a_write_overtook_is_answered_and_that_key_of_it_not_kept(
    node: Node,
) -> None:
    async def answer(operation: str, params: Params) -> Result:
        node.guard.fence(Position(1, 1), [KEY], node.clock.time)
        node.guard.settle(Position(1, 1), Outcome.SUCCESS, (None,), node.clock.time)
        return {"Responses": {"t": [ITEM]}, "UnprocessedKeys": {}}

    node.backend.read_answer = answer
    assert (await node.read("BatchGetItem", batch("a", "b")))["Responses"]["t"] == [ITEM]
    assert node.caches.items.lookup("t", b"a", node.clock.time) is None
    assert node.caches.items.lookup("t", b"b", node.clock.time) is not None


@pytest.mark.parametrize("consistent", [False, True])
async def test_one_key_that_needs_consistency_makes_its_part_of_a_batch_ask_for_it(
    node: Node, consistent: bool
) -> None:
    if consistent:
        node.guard.fence(Position(1, 1), [KEY], node.clock.time)
        node.guard.settle(Position(1, 1), Outcome.SUCCESS, (None,), node.clock.time)

    async def answer(operation: str, params: Params) -> Result:
        return {"Responses": {"t": [ITEM]}, "UnprocessedKeys": {}}

    node.backend.read_answer = answer
    await node.read("BatchGetItem", batch("a", "b"))
    part = node.backend.reads[0][1]["RequestItems"]["t"]
    assert part.get("ConsistentRead", False) is consistent
    assert node.caches.items.count == 2  # b is known to be absent
    assert node.reads.counters.misses == 2
    await node.read("BatchGetItem", batch("a", "b"))
    assert (node.reads.counters.hits, node.reads.counters.misses) == (2, 2)


async def test_a_key_left_unprocessed_is_not_taken_for_absent(node: Node) -> None:
    async def answer(operation: str, params: Params) -> Result:
        return {"Responses": {"t": []}, "UnprocessedKeys": {"t": {"Keys": [{"id": {"S": "a"}}]}}}

    node.backend.read_answer = answer
    result = await node.read("BatchGetItem", batch("a"))
    assert result["UnprocessedKeys"]["t"]["Keys"] == [{"id": {"S": "a"}}]
    assert node.caches.items.count == 0


async def test_a_batch_with_a_key_twice_is_dynamodbs_to_refuse(node: Node) -> None:
    node.answers(ITEM)
    await node.get()

    async def answer(operation: str, params: Params) -> Result:
        raise DynamoDBError("ValidationException", "duplicates")

    node.backend.read_answer = answer
    with pytest.raises(DynamoDBError, match="duplicates"):
        await node.read("BatchGetItem", batch("a", "a"))
    asked = batch("a", "a", ConsistentRead=True)
    assert node.backend.reads[1:] == [("BatchGetItem", asked)]


@pytest.mark.parametrize(
    "requests",
    [
        {},
        {"t": {"Keys": []}},
        {"t": {"Keys": [{"id": {"S": "a"}}]}, "u": {"Keys": []}},
        {"t": {"Keys": [{"id": {"S": str(number)}} for number in range(101)]}},
    ],
)
async def test_a_batch_that_dynamodb_refuses_is_left_to_it_whatever_is_cached(
    node: Node, requests: Params
) -> None:
    for number in range(101):
        node.caches.install(("t", str(number).encode()), Image(None), node.clock.time)
    await node.read("BatchGetItem", {"RequestItems": requests})
    asked = {table: {**part, "ConsistentRead": True} for table, part in requests.items()}
    assert node.backend.reads == [("BatchGetItem", {"RequestItems": asked})]


async def test_a_list_definition_outlasts_one_that_had_less_time(node: Node) -> None:
    attempts = 0
    commit = node.agent.define_attribute_list

    async def define(names: tuple[str, ...], timeout_s: float) -> int:
        nonlocal attempts
        attempts += 1
        if attempts == 1:
            raise Unavailable("the attempt of a caller with half a second")
        number: int = await commit(names, timeout_s)
        return number

    node.agent.define_attribute_list = define
    assert await node.lists.define(("v",)) == node.agent.id_of(("v",))
    node.agent.define_attribute_list = define
    attempts = 0
    with pytest.raises(Unavailable):
        await node.lists.define(("w",), 0.0)


async def test_a_batch_with_a_fenced_key_asks_consistently(node: Node) -> None:
    node.guard.fence(Position(1, 1), [KEY], node.clock.time)

    async def answer(operation: str, params: Params) -> Result:
        return {"Responses": {"t": [ITEM]}, "UnprocessedKeys": {}}

    node.backend.read_answer = answer
    await node.read("BatchGetItem", batch("a", "b"))
    assert node.backend.reads[0][1]["RequestItems"]["t"]["ConsistentRead"] is True
    assert node.caches.items.lookup("t", b"a", node.clock.time) is None


async def test_a_batch_projects_from_whole_items(node: Node) -> None:
    async def answer(operation: str, params: Params) -> Result:
        assert "ProjectionExpression" not in params["RequestItems"]["t"]
        return {"Responses": {"t": [ITEM]}, "UnprocessedKeys": {}}

    node.backend.read_answer = answer
    projected = batch("a", ProjectionExpression="#v", ExpressionAttributeNames={"#v": "v"})
    result = await node.read("BatchGetItem", projected)
    assert result["Responses"]["t"] == [{"v": {"N": "1"}}]


# -- queries ---------------------------------------------------------------------------------

PAGE: Result = {"Items": [ITEM], "Count": 1, "ScannedCount": 1}


async def page(operation: str, params: Params) -> Result:
    return {**PAGE, "ConsumedCapacity": {"TableName": "t", "CapacityUnits": 0.5}}


async def test_a_page_is_cached_until_its_table_is_written(node: Node) -> None:
    node.backend.read_answer = page
    query: Params = {"TableName": "t", "KeyConditionExpression": "#0 = :0"}
    assert (await node.read("Query", query))["Count"] == 1
    assert await node.read("Query", query) == PAGE
    assert len(node.backend.reads) == 1
    hit = await node.all_reads.answer(ReadRequest("Query", query), DEADLINE)
    assert hit.kept is not None  # in the form of the cache, to which a front end may add its own
    assert (hit.cache, hit.result) == ("hit", None)
    assert hit.kept.size == FORM_FACTOR * len(hit.kept.packed)  # with that form's room
    node.guard.fence(Position(1, 1), [("t", b"other")], node.clock.time)
    await node.read("Query", query)
    await node.read("Query", query)
    assert len(node.backend.reads) == 3
    assert node.backend.reads[1][1]["ConsistentRead"] is True
    node.guard.settle(Position(1, 1), Outcome.SUCCESS, (Image(None),), node.clock.time)
    await node.read("Query", query)
    await node.read("Query", query)
    assert len(node.backend.reads) == 4


async def test_a_global_index_is_not_cached_soon_after_a_write(node: Node) -> None:
    node.backend.read_answer = page
    query: Params = {"TableName": "t", "IndexName": "by-city"}
    node.guard.fence(Position(1, 1), [KEY], node.clock.time)
    node.guard.settle(Position(1, 1), Outcome.SUCCESS, (None,), node.clock.time)
    await node.read("Query", query)
    await node.read("Query", query)
    assert len(node.backend.reads) == 2
    assert all("ConsistentRead" not in params for _, params in node.backend.reads)


async def test_where_writes_are_not_to_matter_a_page_outlives_them() -> None:
    tables = {"t": TableSettings(query_invalidation="off")}
    node = Node(CacheSettings(tables=tables))
    node.backend.read_answer = page
    query: Params = {"TableName": "t", "KeyConditionExpression": "#0 = :0"}
    node.guard.fence(Position(1, 1), [KEY], node.clock.time)
    await node.read("Query", query)
    node.guard.settle(Position(1, 1), Outcome.UNKNOWN, (None,), node.clock.time)
    assert await node.read("Query", query) == PAGE
    assert len(node.backend.reads) == 1


async def test_a_consistent_query_is_neither_answered_nor_kept(node: Node) -> None:
    node.backend.read_answer = page
    query: Params = {"TableName": "t", "ConsistentRead": True}
    await node.read("Scan", query)
    await node.read("Scan", query)
    assert len(node.backend.reads) == 2
    assert node.caches.queries.count == 0


def test_query_keys_tell_answers_apart_and_nothing_else() -> None:
    one = {"TableName": "t", "Limit": 2, "ExpressionAttributeValues": {":0": {"S": "x"}}}
    same = {"ExpressionAttributeValues": {":0": {"S": "x"}}, "Limit": 2, "TableName": "t"}
    assert query_key("Query", one) == query_key("Query", same)
    assert query_key("Query", {**one, "ReturnConsumedCapacity": "TOTAL"}) == query_key("Query", one)
    for change in (
        {"Limit": 3},
        {"ScanIndexForward": False},
        {"ExpressionAttributeValues": {":0": {"B": b"x"}}},
        {"ExclusiveStartKey": {"id": {"S": "a"}}},
        {"Select": "COUNT"},
        {"AttributesToGet": ["a", "b"]},
        {"AttributesToGet": ["b", "a"]},
        {"TableName": "u"},
    ):
        assert query_key("Query", {**one, **change}) != query_key("Query", one), change
    assert query_key("Scan", one) != query_key("Query", one)
    nested = {"TableName": "t", "X": [{"a": 1, "b": 2}]}
    assert query_key("Scan", nested) == query_key("Scan", {**nested, "X": [{"b": 2, "a": 1}]})
