"""Reads in callers' own names, at random: nobody is answered from a cache whom DynamoDB has not
allowed that very read shortly before, and DynamoDB is asked as each asks."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from cluster.access.calling import Call, call
from cluster.access.principals import AccessKey, Principal
from cluster.access.signatures.verification import Verified
from cluster.access.upstream import Profile
from cluster.coherence.guard import Guard
from cluster.coherence.messages import Outcome, Position
from cluster.settings import CacheSettings
from cluster.transport.large_work import LargeWork
from node.backend.acting import Actor, Who, acting_as, actor_of
from node.cache.caches import Caches
from node.operations import Operations
from node.reads.as_caller import CallersReads, Flights
from node.reads.batch_get import BatchGet
from node.reads.items import ItemFlights, ReadPath
from node.reads.queries import Queries
from node.reads.reading import ReadOperations, ReadRequest
from node.reads.seen_rights import SeenRights, right_of
from node.reads.single_flight import SingleFlight
from node.tables.attribute_lists import AttributeLists
from node.tables.schemas import Upstream
from paceline.dax.expressions import apply_projection
from paceline.errors import DynamoDBError
from paceline.types import Item, Params, Result
from tests.support.examples import examples
from tests.unit.node.fakes import TABLE, Clock, FakeAgent, FakeTables

T = TABLE.name
KEEP_S = 10.0
NAMES = ("ann", "bob")
KEYS = ("a", "b", "c")
ACTIONS = ("GetItem", "BatchGetItem", "Query")
PROJECTIONS: tuple[str | None, ...] = (None, "v", "v, w")
CAPACITIES: tuple[str | None, ...] = (None, "TOTAL")
ADDED = {"ConsistentRead"}


def actor(name: str, revision: int = 1) -> Actor:
    return Actor(Who(name, revision, Profile(name)), f"arn:{name}", "PLAK")


@dataclass
class DynamoDB:
    """``allowed``: (name, action, key). It notes what it has allowed, in its own words."""

    clock: Clock
    allowed: set[tuple[str, str, str]] = field(default_factory=set)
    items: dict[str, Item] = field(default_factory=dict)
    yes: list[tuple[float, str, str]] = field(default_factory=list)
    no: list[tuple[float, str]] = field(default_factory=list)
    asked: list[tuple[str, str, Params]] = field(default_factory=list)
    reads: Any = None
    is_full = False

    async def read(
        self, operation: str, params: Params, deadline: float, on_sent: Any = None
    ) -> Result:
        from node.backend.acting import acting

        by = acting.get()
        assert by is not None
        name = by.who.name
        self.asked.append((name, operation, params))
        at = self.clock.time
        may = all((name, operation, key) in self.allowed for key in keys_of(operation, params))
        await asyncio.sleep(0)
        if not may:
            self.no.append((at, name))
            error = DynamoDBError("AccessDeniedException", f"{name} may not", 400)
            self.reads.notice(operation, params, error)
            raise error
        self.yes += [(at, name, one) for one in words_of(operation, params)]
        return self._answer(operation, params)

    def _answer(self, operation: str, params: Params) -> Result:
        if operation == "GetItem":
            item = self._item(params["Key"]["id"]["S"], params)
            return {} if item is None else {"Item": item}
        if operation == "BatchGetItem":
            part = params["RequestItems"][T]
            found = [self._item(key["id"]["S"], part) for key in part["Keys"]]
            return {"Responses": {T: [one for one in found if one is not None]}}
        item = self._item(params["ExpressionAttributeValues"][":id"]["S"], params)
        return {"Items": [] if item is None else [item], "Count": 0 if item is None else 1}

    def _item(self, key: str, part: Params) -> Item | None:
        item = self.items.get(key)
        text = part.get("ProjectionExpression")
        if item is None or text is None:
            return None if item is None else dict(item)
        return apply_projection(item, tuple((name.strip(),) for name in text.split(",")))


def keys_of(operation: str, params: Params) -> list[str]:
    if operation == "BatchGetItem":
        return [key["id"]["S"] for key in params["RequestItems"][T]["Keys"]]
    if operation == "Query":
        return [params["ExpressionAttributeValues"][":id"]["S"]]
    return [params["Key"]["id"]["S"]]


def words_of(operation: str, params: Params) -> list[str]:
    """What a right is of, for each item or page: all but what the node may add."""
    capacity = params.get("ReturnConsumedCapacity")
    if operation == "Query":
        told = {name: value for name, value in params.items() if name not in ADDED}
        return [json.dumps([operation, told], sort_keys=True)]
    part = params["RequestItems"][T] if operation == "BatchGetItem" else params
    return [
        json.dumps([operation, key, part.get("ProjectionExpression"), capacity])
        for key in keys_of(operation, params)
    ]


class Node:
    def __init__(self) -> None:
        self.clock = Clock()
        self.dynamodb = DynamoDB(self.clock)
        self.guard = Guard(Caches.from_settings(CacheSettings()), 1.0)
        caches: Any = self.guard._caches
        agent: Any = FakeAgent()
        tables: Any = FakeTables()
        backend: Any = self.dynamodb
        upstream = Upstream(backend, tables, AttributeLists(agent))
        items = ReadPath(upstream, self.guard, caches, ItemFlights(100), self.clock)
        flights: Any = SingleFlight(100)
        queries = Queries(backend, self.guard, caches, flights, items.counters, self.clock)
        batches = BatchGet(upstream, items, self.guard, self.clock)
        reads = ReadOperations(upstream, items, batches, queries)
        self.rights = SeenRights(KEEP_S)
        self.reads = CallersReads(
            upstream, reads, self.guard, Flights(100), self.rights, self.clock
        )
        self.dynamodb.reads = self.reads
        self.sequence = 0

    async def read(self, name: str, operation: str, params: Params) -> Result | str:
        self.guard.extend(self.clock.time + 1.0, self.clock.time)
        with acting_as(actor(name)):
            try:
                answer = await self.reads.answer(ReadRequest(operation, params), 1e9)
            except DynamoDBError as error:
                return error.name
            return await answer.results(LargeWork())

    def write(self, key: str, value: str | None) -> None:
        self.sequence += 1
        fence = Position(1, self.sequence)
        self.guard.fence(fence, [(T, key.encode())], self.clock.time)
        if value is None:
            self.dynamodb.items.pop(key, None)
        else:
            item: Item = {"id": {"S": key}, "v": {"S": value}, "w": {"S": "w"}}
            self.dynamodb.items[key] = item
        self.guard.settle(fence, Outcome.SUCCESS, [None], self.clock.time)


def params_of(
    operation: str, keys: Iterable[str], projection: str | None, capacity: str | None
) -> Params:
    keys = list(keys)
    more: Params = {} if projection is None else {"ProjectionExpression": projection}
    returned: Params = {} if capacity is None else {"ReturnConsumedCapacity": capacity}
    if operation == "BatchGetItem":
        part = {"Keys": [{"id": {"S": key}} for key in keys], **more}
        return {"RequestItems": {T: part}, **returned}
    if operation == "GetItem":
        return {"TableName": T, "Key": {"id": {"S": keys[0]}}, **more, **returned}
    return {
        "TableName": T,
        "KeyConditionExpression": "id = :id",
        "ExpressionAttributeValues": {":id": {"S": keys[0]}},
        **more,
        **returned,
    }


names, keys = st.sampled_from(NAMES), st.sampled_from(KEYS)
reads = st.tuples(
    st.just("read"),
    names,
    st.sampled_from(ACTIONS),
    st.lists(keys, min_size=1, max_size=3, unique=True),
    st.sampled_from(PROJECTIONS),
    st.sampled_from(CAPACITIES),
)
steps = st.one_of(
    reads,
    st.tuples(st.just("together"), st.lists(reads, min_size=2, max_size=4)),
    st.tuples(st.just("alike"), reads),
    st.tuples(st.just("allow"), names, st.sampled_from(ACTIONS), keys),
    st.tuples(st.just("revoke"), names, st.sampled_from(ACTIONS), keys),
    st.tuples(st.just("write"), keys, st.sampled_from((None, "1", "2"))),
    st.tuples(st.just("wait"), st.sampled_from((0.5, 2.0, 6.0, 11.0))),
)


@settings(max_examples=examples(150), phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(st.lists(steps, max_size=40))
def test_nobody_gets_from_the_cache_what_he_was_not_given_just_before(
    script: list[Any],
) -> None:
    asyncio.run(run(script))


async def run(script: list[Any]) -> None:
    node = Node()
    dynamodb = node.dynamodb
    dynamodb.allowed = {(name, action, key) for name in NAMES for action in ACTIONS for key in KEYS}
    for key in KEYS:
        node.write(key, "0")
    for step in script:
        match step:
            case ("read", *_):
                await read_and_check(node, [step])
            case ("together", several):
                await read_and_check(node, several)
            case ("alike", (_, _, *what)):
                await read_and_check(node, [("read", name, *what) for name in (*NAMES, NAMES[0])])
            case ("allow", *right):
                dynamodb.allowed.add(tuple(right))
            case ("revoke", *right):
                dynamodb.allowed.discard(tuple(right))
            case ("write", key, value):
                node.write(key, value)
            case ("wait", seconds):
                node.clock.time += seconds
    await node.reads.aclose()


async def read_and_check(node: Node, steps: list[Any]) -> None:
    dynamodb, now = node.dynamodb, node.clock.time
    begun = len(dynamodb.asked)
    # What comes at the same time may count, or not.
    allowed, denied = set(dynamodb.yes), list(dynamodb.no)
    wanted = [
        (name, operation, params_of(operation, keys, projection, capacity))
        for _, name, operation, keys, projection, capacity in steps
    ]
    told = await asyncio.gather(*(node.read(*one) for one in wanted))
    asked = dynamodb.asked[begun:]
    for name, operation, params in asked:
        check_as_asked(params, [one[2] for one in wanted if one[:2] == (name, operation)])
    for (name, operation, params), result in zip(wanted, told, strict=True):
        theirs = [words for who, op, sent in asked if who == name for words in words_of(op, sent)]
        if result == "AccessDeniedException":
            assert theirs, "it was refused without being asked"
            continue
        assert not isinstance(result, str)
        for words in words_of(operation, params):
            if words in theirs:
                continue
            since = max((at for at, who in denied if who == name), default=float("-inf"))
            assert any(
                who == name and one == words and now - at < KEEP_S and (at > since or at == now)
                for at, who, one in allowed
            ), f"{name} had no right to {words}"
        check_answer(node, operation, params, result)


def check_as_asked(sent: Params, wanted: list[Params]) -> None:
    """Parts of a batch may be left out, and consistency may be added."""
    part = sent["RequestItems"][T] if "RequestItems" in sent else sent
    for one in wanted:
        asked = one["RequestItems"][T] if "RequestItems" in one else one
        same = {**asked, **{name: part[name] for name in ADDED & part.keys()}}
        if "Keys" in asked:
            same["Keys"] = part["Keys"]
            if not all(key in asked["Keys"] for key in part["Keys"]):
                continue
        if same == part and one.get("ReturnConsumedCapacity") == sent.get("ReturnConsumedCapacity"):
            return
    raise AssertionError(f"nobody asked for {sent}")


def check_answer(node: Node, operation: str, params: Params, result: Result) -> None:
    expected = node.dynamodb._answer(operation, params)
    if operation == "BatchGetItem":
        got, right = result["Responses"][T], expected["Responses"][T]
        assert sorted(map(repr, got)) == sorted(map(repr, right))
    else:
        name = "Item" if operation == "GetItem" else "Items"
        assert result.get(name) == expected.get(name)


async def test_hits_there_are() -> None:
    """Else the test above would show nothing."""
    node = Node()
    node.dynamodb.allowed = {("ann", action, "a") for action in ACTIONS}
    node.write("a", "1")
    for operation in ACTIONS:
        params = params_of(operation, ["a"], None, None)
        first = await node.read("ann", operation, params)
        asked = len(node.dynamodb.asked)
        assert await node.read("ann", operation, params) == first
        assert len(node.dynamodb.asked) == asked, operation
        assert await node.read("bob", operation, params) == "AccessDeniedException"
    with acting_as(actor("ann", revision=2)):
        await node.reads.answer(
            ReadRequest("GetItem", params_of("GetItem", ["a"], None, None)), 1e9
        )
    assert node.dynamodb.asked[-1][0] == "ann"  # a changed principal was not seen before


@pytest.mark.parametrize("operation", ACTIONS)
async def test_requests_at_the_same_time_join_their_own_callers_alone(operation: str) -> None:
    node = Node()
    node.dynamodb.allowed = {(name, operation, "a") for name in NAMES}
    node.write("a", "1")
    await read_and_check(node, [("read", n, operation, ["a"], None, None) for n in NAMES * 2])
    asked = [name for name, _, _ in node.dynamodb.asked]
    assert set(asked) == set(NAMES)
    assert operation == "BatchGetItem" or asked.count(NAMES[0]) == 1


async def test_what_was_projected_is_not_kept_for_the_whole() -> None:
    node = Node()
    node.dynamodb.allowed = {("ann", action, "a") for action in ACTIONS}
    node.write("a", "1")
    await read_and_check(node, [("read", "ann", "GetItem", ["a"], None, None)])
    for operation in ("GetItem", "BatchGetItem"):
        for value in ("2", "3"):  # the first of a kind is passed on
            node.write("a", value)
            await read_and_check(node, [("read", "ann", operation, ["a"], "id, v", None)])
        await read_and_check(node, [("read", "ann", "GetItem", ["a"], None, None)])


@pytest.mark.parametrize(
    ("error", "left"),
    [
        ("AccessDeniedException", "u"),
        ("ExpiredTokenException", None),
        ("ProvisionedThroughputExceededException", "both"),
    ],
)
def test_what_is_denied_is_forgotten_where_it_was(error: str, left: str | None) -> None:
    node = Node()
    from node.reads.seen_rights import right_of

    who = actor("ann").who
    rights = {table: right_of(who, table, "GetItem") for table in (T, "u")}
    for right in rights.values():
        node.rights.saw(right, node.clock.time, node.clock.time)
    node.clock.time += 1
    with acting_as(actor("ann")):
        params = {"TableName": f"arn:aws:dynamodb:us-east-1:1:table/{T}"}
        node.reads.notice("GetItem", params, DynamoDBError(error, "", 400))
    held = {table for table, right in rights.items() if node.rights.holds(right, node.clock.time)}
    assert held == {"u": {"u"}, None: set(), "both": {T, "u"}}[left]


@pytest.mark.parametrize(
    ("parts", "left"),
    [
        ([{}, {"Error": {"Code": "AccessDenied", "Message": "no"}}], False),
        ([{"Error": {"Code": "AccessDeniedException"}}], False),
        ([{"Error": {"Code": "ConditionalCheckFailed"}}, {"Item": {}}], True),
        ([], True),
        (None, True),
    ],
)
def test_a_denied_part_of_many_statements_is_noticed(parts: Any, left: bool) -> None:
    node, who = Node(), actor("ann").who
    right = right_of(who, T, "GetItem")
    node.clock.time = 10.0
    node.rights.saw(right, 9.0, 10.0)
    with acting_as(actor("ann")):
        node.reads.notice_parts({} if parts is None else {"Responses": parts})
    assert node.rights.holds(right, 10.0) is left


class Primary:
    """Does the writes of another node; ``told``: how they end."""

    told: Result | Exception

    async def execute(self, operation: str, params: Params, deadline: float) -> Result:
        if isinstance(self.told, Exception):
            raise self.told
        return self.told


@pytest.mark.parametrize("batch", [False, True])
async def test_what_the_primary_was_denied_is_noticed_here(batch: bool) -> None:
    """This node's own backend has not seen it."""
    node, primary = Node(), Primary()
    backend: Any = node.dynamodb
    tables: Any = FakeTables()
    agent: Any = FakeAgent()
    user = Principal("ann", "arn:ann", upstream=Profile("ann"), revision=1)
    who = actor_of(user, "PLAK").who
    operations: Any = Operations(
        Upstream(backend, tables, AttributeLists(agent)),
        node.reads._reads,
        primary,  # type: ignore[arg-type]
        10,
        as_callers=node.reads,
    )
    rights = [right_of(who, T, "GetItem"), right_of(who, "Other", "GetItem")]
    for right in rights:
        node.rights.saw(right, node.clock.time - 1, node.clock.time)
    denied = DynamoDBError("AccessDeniedException", "no", 400)
    primary.told = {"Responses": [{"Error": {"Code": "AccessDenied"}}]} if batch else denied
    verified = Verified(user, AccessKey("PLAK", "s" * 40, "ann"), 0, (), 1e12, 1)
    token = call.set(Call(verified))
    refused = contextlib.nullcontext() if batch else pytest.raises(DynamoDBError, match="no")
    with refused:
        item = {"id": {"S": "a"}}
        await operations.write("PutItem", {"TableName": T, "Item": item}, node.clock.time + 10)
    call.reset(token)
    held = [node.rights.holds(right, node.clock.time) for right in rights]
    assert held == [False, not batch]
