"""BatchGetItem in DAX's own form, held against the general way: the same replies, the same kept."""

from __future__ import annotations

import os
import random
from typing import Any

import pytest

from cluster.coherence.messages import Outcome, Position
from node.backend.calls import End, Success
from node.frontends.dax import handler as module
from node.reads import batch_forms
from paceline.clock import now
from paceline.dax.client.requests import to_request
from paceline.dax.client.results import decode_result
from paceline.dax.family import Family
from paceline.dax.keys import encode_key
from paceline.errors import PacelineError, Unavailable
from paceline.types import Item, KeyAttribute, KeySchema, Params
from tests.support.random_values import RandomValues
from tests.unit.node.frontends.doors import Node, description, refused

SCHEMAS = {
    "texts": KeySchema(KeyAttribute("id", "S")),
    "bytes": KeySchema(KeyAttribute("p", "B"), KeyAttribute("s", "S")),
    "numbers": KeySchema(KeyAttribute("id", "N")),
}
TEXTS = ("", "x", "ü€😀", "a" * 300, '"\\\n\x01', "B", "BS")
NUMBERS = ("0", "-1.5", "1E+20", "12345678901234567890.5", "-3")
NAMES = ("x", "B", "S", "ü", "n")


def described(table: str) -> End:
    schema = SCHEMAS[table]
    parts = [(schema.hash, "HASH"), *([(schema.range, "RANGE")] if schema.range else [])]
    told = description(table)["Table"]
    told["KeySchema"] = [{"AttributeName": p.name, "KeyType": role} for p, role in parts]
    told["AttributeDefinitions"] = [
        {"AttributeName": p.name, "AttributeType": p.type} for p, _ in parts
    ]
    return Success({"Table": told})


def key_of(table: str, number: int) -> Item:
    match table:
        case "texts":
            return {"id": {"S": f"k{number}"}}
        case "bytes":
            return {"p": {"B": b"\xff" * (1 + number % 3)}, "s": {"S": f"s{number}"}}
    return {"id": {"N": str(number)}}


class Rig(Node):
    """``there``: what DynamoDB has. ``undone``: how many keys a batch leaves out at its end."""

    def __init__(self) -> None:
        super().__init__()
        self.there: dict[tuple[str, bytes], Item] = {}
        self.undone = 0
        self.general = 0
        self.dynamodb.describe = described
        self.dynamodb.answer = self._answer
        whole = self.dax._general

        async def general(*parts: Any) -> bytes:
            self.general += 1
            return await whole(*parts)

        self.dax._general = general  # type: ignore[method-assign]

    def _answer(self, operation: str, params: Params) -> End:
        assert operation == "BatchGetItem"
        responses: dict[str, list[Item]] = {}
        left: dict[str, Any] = {}
        for table, part in params["RequestItems"].items():
            keys = part["Keys"]
            end = max(len(keys) - self.undone, 1)
            found = [self.there.get((table, encode_key(SCHEMAS[table], key))) for key in keys[:end]]
            responses[table] = [item for item in reversed(found) if item is not None]
            if keys[end:]:
                left[table] = {"Keys": keys[end:]}
        return Success({"Responses": responses, "UnprocessedKeys": left})

    def has(self, table: str, item: Item) -> None:
        self.there[table, encode_key(SCHEMAS[table], item)] = item

    async def batch(self, params: Params) -> tuple[Any, bytes]:
        """The result as an SDK has it, its lists in an order of their own; and the reply."""
        request = to_request("BatchGetItem", params, SCHEMAS.__getitem__, self.lists.list_id)
        reply = await self.dax.handle(request, self.peer)
        result = decode_result(
            "BatchGetItem", params, reply[1:], SCHEMAS.__getitem__, self.lists.names_of
        )
        for items in result["Responses"].values():
            items.sort(key=repr)
        return result, reply

    @property
    def kept(self) -> dict[Any, bytes]:
        columns = self.caches.items.columns
        return {
            (columns.names[columns.places[node]], key): columns.values[node]
            for node, key in enumerate(columns.keys)
            if key is not None
        }


@pytest.fixture
async def rigs() -> tuple[Rig, Rig]:
    """The second never goes the short way."""
    both = Rig(), Rig()
    for rig in both:
        for table in SCHEMAS:
            await rig.tables.schema(table)
    return both


def only_general(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = module._is_plain_batch

    def allowed(request: Any, rule: Any) -> bool:
        return rule is not rig.dax._cacheability and plain(request, rule)

    monkeypatch.setattr(module, "_is_plain_batch", allowed)


async def test_both_ways_answer_and_keep_the_same(
    rigs: tuple[Rig, Rig], monkeypatch: pytest.MonkeyPatch
) -> None:
    seed = int(os.environ.get("PACELINE_SEED") or random.randrange(1 << 30))
    print(f"PACELINE_SEED={seed}")
    short, long = rigs
    only_general(long, monkeypatch)
    values = RandomValues(random.Random(seed), TEXTS, NUMBERS, NAMES)
    rng = values.rng
    position = 0
    for _ in range(150):
        if rng.random() < 0.3:
            table = rng.choice(list(SCHEMAS))
            item = {**key_of(table, rng.randrange(20)), "v": values.value()}
            key = table, encode_key(SCHEMAS[table], item)
            position += 1
            for rig in rigs:
                rig.has(table, item)
                rig.guard.fence(Position(1, position), [key], now())
                rig.guard.settle(Position(1, position), Outcome.SUCCESS, (None,), now())
        tables = rng.sample(list(SCHEMAS), rng.choice([1, 1, 2]))
        if rng.random() < 0.7 and "numbers" in tables:
            tables = ["texts"]
        requests = {
            table: {"Keys": [key_of(table, n) for n in rng.sample(range(20), rng.randint(1, 12))]}
            for table in tables
        }
        for rig in rigs:
            rig.undone = rng.choice([0, 0, 3]) if rig is short else short.undone
            rig.peer.client = (
                rng.choice([Family.JAVA, Family.PYTHON]) if rig is short else short.peer.client
            )
        (result, reply), (other, other_reply) = [
            await rig.batch({"RequestItems": requests}) for rig in rigs
        ]
        assert result == other
        assert len(reply) == len(other_reply)
    assert short.kept == long.kept
    assert short.general < long.general / 2
    assert short.operations.reads.counters == long.operations.reads.counters
    assert not short.guard._fills._items


@pytest.mark.parametrize(
    "part",
    [
        {"ConsistentRead": True},
        {"ProjectionExpression": "v"},
        {"Keys": [key_of("texts", n) for n in range(101)]},
        {"Keys": [key_of("texts", 1), key_of("texts", 1)]},
        {"Keys": [key_of("texts", 1), {"id": {"S": ""}}]},
        {"Keys": [{"id": {"S": "x" * 2049}}]},
    ],
    ids=["consistent", "projection", "too many", "twice", "empty", "long"],
)
async def test_what_dynamodb_may_refuse_goes_the_general_way(
    rigs: tuple[Rig, Rig], part: Params
) -> None:
    rig = rigs[0]
    request = {"texts": {"Keys": [key_of("texts", 1)], **part}}
    try:
        await rig.batch({"RequestItems": request})
    except PacelineError:
        pass
    assert rig.general == 1


async def test_errors_are_told(rigs: tuple[Rig, Rig]) -> None:
    rig = rigs[0]
    rig.dynamodb.answer = lambda operation, params: refused("ResourceNotFoundException")
    with pytest.raises(PacelineError) as told:
        await rig.batch({"RequestItems": {"texts": {"Keys": [key_of("texts", 1)]}}})
    assert getattr(told.value, "name", None) == "ResourceNotFoundException"
    assert not rig.guard._fills._items


async def test_an_item_without_a_form_goes_the_general_way(rigs: tuple[Rig, Rig]) -> None:
    rig = rigs[0]
    rig.has("texts", {**key_of("texts", 1), "v": {"future": 1}})
    rig.has("texts", {**key_of("texts", 2), "v": {"S": "good"}})
    keys = [key_of("texts", 1), key_of("texts", 2)]
    with pytest.raises(Unavailable):  # as ever: no client of this protocol can be told it
        await rig.batch({"RequestItems": {"texts": {"Keys": keys}}})
    assert rig.general == 1
    assert not rig.guard._fills._items


async def test_hits_too_large_for_one_go_do_not_go_in_one(
    rigs: tuple[Rig, Rig], monkeypatch: pytest.MonkeyPatch
) -> None:
    rig = rigs[0]
    for n in range(4):
        rig.has("texts", {**key_of("texts", n), "v": {"S": "x" * 400}})
    request = {"RequestItems": {"texts": {"Keys": [key_of("texts", n) for n in range(4)]}}}
    first, _ = await rig.batch(request)
    monkeypatch.setattr(batch_forms, "HIT_BYTES_MAX", 1000)
    assert (await rig.batch(request))[0] == first
    assert rig.general == 1
