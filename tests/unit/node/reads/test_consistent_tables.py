"""Reads with ConsistentRead: whose caches answer them, and what fills those caches."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import pytest

from cluster.coherence.guard import Fill, Guard
from cluster.coherence.messages import Position
from cluster.roster.endpoints import AddressFamily
from cluster.settings import CacheSettings, TableSettings
from cluster.transport.dax_interface import ConnectionInfo
from cluster.transport.large_work import LargeWork
from node.cache.caches import Caches
from node.cache.query_cache import QueryKey
from node.frontends.dax.handler import DaxHandler
from node.operations import Operations
from node.reads.batch_get import BatchGet
from node.reads.cacheability import Cacheability, ConsistentTables
from node.reads.items import ItemFlights, ReadPath
from node.reads.queries import Queries, QueryAnswer
from node.reads.reading import ReadOperations, ReadRequest
from node.reads.single_flight import SingleFlight
from node.tables.attribute_lists import AttributeLists
from node.tables.schemas import Upstream
from node.tables.table_info import IndexInfo, TableInfo
from paceline.dax.options import Options
from paceline.dax.request_types import GetItem
from paceline.dax.requests import encode_request
from paceline.dax.responses import MISS_REPLY
from paceline.errors import DynamoDBError
from paceline.types import KeyAttribute, KeySchema, Params, Result
from tests.unit.node.fakes import SCHEMA, Clock, FakeAgent, FakeBackend, FakeTables

DEADLINE = 1000.0
KEY = {"id": {"S": "a"}}
ITEM = {**KEY, "v": {"N": "1"}}
INDEXES = {
    "by-city": IndexInfo("GSI", SCHEMA),
    "by-age": IndexInfo("LSI", KeySchema(SCHEMA.hash, KeyAttribute("age", "N"))),
}
SETTINGS = CacheSettings(
    tables={
        "strong": TableSettings(consistent_reads="cache"),
        "parity": TableSettings(consistent_reads="cache", query_invalidation="off"),
    }
)


class IndexedTables(FakeTables):
    def peek(self, table: str) -> TableInfo:
        return TableInfo(table, SCHEMA, "table-1", "ACTIVE", INDEXES)

    async def schema(self, table: str) -> TableInfo:
        return TableInfo(table, SCHEMA, "table-1", "ACTIVE", INDEXES)


class Node:
    """The read side of a node around fakes, holding a lease of one second."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.backend = cast(Any, FakeBackend())
        self.backend.read_answer = self._answer
        agent: Any = FakeAgent()
        tables: Any = IndexedTables()
        self.caches = Caches.from_settings(SETTINGS)
        self.guard = Guard(self.caches, 10.0)
        self.guard.extend(self.clock.time + 1, self.clock.time)
        consistent = ConsistentTables(SETTINGS)
        upstream = Upstream(self.backend, tables, AttributeLists(agent))
        items = ItemFlights(100)
        pages: SingleFlight[QueryKey, Fill, QueryAnswer] = SingleFlight(100)
        reads = ReadPath(
            upstream, self.guard, self.caches, items, self.clock, Cacheability(consistent)
        )
        queries = Queries(
            self.backend,
            self.guard,
            self.caches,
            pages,
            reads.counters,
            self.clock,
            consistent,
        )
        batches = BatchGet(upstream, reads, self.guard, self.clock)
        no_writes: Any = None
        self.counters = reads.counters
        all_reads = ReadOperations(upstream, reads, batches, queries)
        self.operations = Operations(upstream, all_reads, no_writes, 100)
        endpoints: Callable[..., bytes] = lambda peer: b""  # noqa: E731
        self.handler = DaxHandler(
            self.operations,
            self.caches.items,
            self.guard,
            endpoints,
            self.clock,
        )

    @property
    def kept(self) -> list[bytes]:
        """The keys of cached items, in the order of their coming."""
        columns = self.caches.items.columns
        kept = zip(columns.keys, columns.values, strict=True)
        return [key for key, value in kept if isinstance(value, bytes)]

    async def execute(self, operation: str, **params: Any) -> Result:
        answer = await self.operations.read(ReadRequest(operation, params), DEADLINE)
        return await answer.results(LargeWork())

    @property
    def asked(self) -> list[bool]:
        """Whether each read of DynamoDB so far was consistent."""

        def consistent(operation: str, params: Params) -> bool:
            if operation == "BatchGetItem":
                (params,) = params["RequestItems"].values()
            return bool(params.get("ConsistentRead"))

        return [consistent(*read) for read in self.backend.reads]

    @staticmethod
    async def _answer(operation: str, params: Params) -> Result:
        match operation:
            case "GetItem":
                return {"Item": ITEM}
            case "BatchGetItem":
                return {"Responses": {name: [ITEM] for name in params["RequestItems"]}}
            case "TransactGetItems":
                return {"Responses": [{"Item": ITEM}]}
        if params.get("IndexName") == "by-city" and params.get("ConsistentRead"):
            raise DynamoDBError("ValidationException", "not on a global index", 400)
        return {"Items": [ITEM], "Count": 1}


@pytest.fixture
def node() -> Node:
    return Node()


def read(operation: str, table: str) -> dict[str, Any]:
    match operation:
        case "GetItem":
            return {"TableName": table, "Key": KEY, "ConsistentRead": True}
        case "BatchGetItem":
            return {"RequestItems": {table: {"Keys": [KEY], "ConsistentRead": True}}}
        case "Query":
            return {"TableName": table, "KeyConditionExpression": "id = :0", "ConsistentRead": True}
    return {"TableName": table, "ConsistentRead": True}


OPERATIONS = ("GetItem", "BatchGetItem", "Query", "Scan")


@pytest.mark.parametrize("operation", OPERATIONS)
async def test_by_default_dynamodb_answers_every_one(node: Node, operation: str) -> None:
    for _ in range(3):
        await node.execute(operation, **read(operation, "t"))
    assert node.asked == [True] * 3
    assert node.caches.items.count + node.caches.queries.count == 0
    assert node.counters.bypasses == 3


async def test_of_a_batch_each_table_that_passes_the_cache_by_counts(node: Node) -> None:
    parts = {
        "t": {"Keys": [KEY], "ConsistentRead": True},
        "u": {"Keys": [KEY], "ConsistentRead": True},
        "strong": {"Keys": [KEY], "ConsistentRead": True},
    }
    for _ in range(2):
        await node.execute("BatchGetItem", RequestItems=parts)
    assert node.counters.bypasses == 4
    assert node.counters.passed_by_reason == {"consistent": 4}
    assert (node.counters.hits, node.counters.misses) == (1, 1)


@pytest.mark.parametrize("operation", OPERATIONS)
async def test_by_default_not_even_a_cached_answer_is_used(node: Node, operation: str) -> None:
    params = read(operation, "t")
    (params if "TableName" in params else params["RequestItems"]["t"]).pop("ConsistentRead")
    await node.execute(operation, **params)
    await node.execute(operation, **params)
    assert node.asked == [False]
    await node.execute(operation, **read(operation, "t"))
    assert node.asked == [False, True]


@pytest.mark.parametrize("operation", OPERATIONS)
async def test_where_the_cache_answers_the_second_is_a_hit(node: Node, operation: str) -> None:
    first = await node.execute(operation, **read(operation, "strong"))
    assert await node.execute(operation, **read(operation, "strong")) == first
    assert node.asked == [True]
    assert node.counters.bypasses == 0


@pytest.mark.parametrize("operation", OPERATIONS)
async def test_there_every_fill_is_consistent_whoever_causes_it(node: Node, operation: str) -> None:
    params = read(operation, "strong")
    (params if "TableName" in params else params["RequestItems"]["strong"]).pop("ConsistentRead")
    await node.execute(operation, **params)
    await node.execute(operation, **read(operation, "strong"))
    assert node.asked == [True]


@pytest.mark.parametrize("operation", OPERATIONS)
async def test_without_a_lease_they_pass_through_consistently(node: Node, operation: str) -> None:
    await node.execute(operation, **read(operation, "strong"))
    node.clock.time += 2
    for _ in range(2):
        await node.execute(operation, **read(operation, "strong"))
    assert node.asked == [True] * 3


@pytest.mark.parametrize("operation", OPERATIONS)
async def test_under_a_fence_they_pass_through_consistently(node: Node, operation: str) -> None:
    await node.execute(operation, **read(operation, "strong"))
    keys = [("strong", key) for key in node.kept]
    node.guard.fence(Position(1, 1), keys or [("strong", b"any")], node.clock.time)
    for _ in range(2):
        await node.execute(operation, **read(operation, "strong"))
    assert node.asked == [True] * 3


async def test_transactions_always_pass_through(node: Node) -> None:
    await node.execute("GetItem", **read("GetItem", "strong"))
    items = [{"Get": {"TableName": "strong", "Key": KEY}}]
    for _ in range(2):
        await node.execute("TransactGetItems", TransactItems=items)
    assert [operation for operation, _ in node.backend.reads] == ["GetItem"] + [
        "TransactGetItems"
    ] * 2


async def test_a_query_of_a_global_index_is_refused_by_dynamodb_itself(node: Node) -> None:
    params = {**read("Query", "strong"), "IndexName": "by-city"}
    eventual = {name: value for name, value in params.items() if name != "ConsistentRead"}
    await node.execute("Query", **eventual)
    await node.execute("Query", **eventual)
    assert node.asked == [False], "a page of a global index is cached, but never filled so"
    for _ in range(2):
        with pytest.raises(DynamoDBError, match="not on a global index"):
            await node.execute("Query", **params)
    assert node.asked == [False, True, True]


async def test_a_query_of_a_local_index_hits(node: Node) -> None:
    for _ in range(2):
        await node.execute("Query", **read("Query", "strong"), IndexName="by-age")
    assert node.asked == [True]


async def test_pages_that_live_until_their_ttl_are_no_answer(node: Node) -> None:
    for _ in range(2):
        await node.execute("Query", **read("Query", "parity"))
    assert node.asked == [True, True]
    for _ in range(2):
        await node.execute("GetItem", **read("GetItem", "parity"))
    assert node.asked == [True, True, True]


@pytest.mark.parametrize("tail", ["bf02f5ff", "bf02f50300ff", "bf030002f5ff"])
async def test_the_fast_path_answers_them_too(node: Node, tail: str) -> None:
    frames = {}
    for table in ("strong", "t"):
        await node.execute("GetItem", TableName=table, Key=KEY)
        key = node.kept[-1]
        whole = encode_request(GetItem(table, key))
        frames[table] = whole.removesuffix(b"\xbf\xff") + bytes.fromhex(tail)
    assert node.handler.fast(frames["strong"]) is not None
    assert node.counters.hits == 1
    assert node.handler.fast(frames["t"]) is None


async def test_the_dax_front_end_fills_and_hits(node: Node) -> None:
    peer = ConnectionInfo("dax", AddressFamily.IPV4, False, "10.0.0.1:1")
    for table, reads in (("strong", 1), ("t", 2)):
        node.backend.reads.clear()
        for _ in range(2):
            request = GetItem(table, b"a", Options(consistent_read=True))
            assert await node.handler.handle(request, peer) != MISS_REPLY
        assert node.asked == [True] * reads
