"""Large answers are written as the library would, and no call writes much."""

from __future__ import annotations

import random
from typing import Any

import pytest

from node.frontends.grpc import encoding
from node.frontends.grpc.encoding import encode
from node.frontends.grpc.messages import fill
from node.values.size import holds_more
from paceline.types import Params
from paceline.v1 import data_pb2 as pb


def random_value(rng: random.Random, depth: int = 0) -> Params:
    match rng.randrange(9 if depth < 4 else 6):
        case 0:
            return {"S": "é" * rng.choice((0, 1, 300))}
        case 1:
            return {"N": str(rng.randrange(10**9))}
        case 2:
            return {"NULL": True}
        case 3:
            return {"B": rng.randbytes(rng.choice((0, 1, 200)))}
        case 4:
            return {"SS": ["a"] * rng.choice((1, 40))}
        case 5:
            return {"BS": [b"a"] * rng.choice((1, 40))}
        case 6 | 7:
            return {"L": [random_value(rng, depth + 1) for _ in range(rng.choice((0, 1, 30)))]}
    names = range(rng.choice((0, 1, 20)))
    return {"M": {f"a{n}": random_value(rng, depth + 1) for n in names}}


def random_item(rng: random.Random) -> Params:
    return {name: random_value(rng) for name in "xyz"}


def batch_get(rng: random.Random) -> Params:
    return {
        "Responses": {t: [random_item(rng) for _ in range(rng.randrange(3))] for t in "ab"},
        "UnprocessedKeys": {"c": {"Keys": [random_item(rng)], "ConsistentRead": True}},
        "ConsumedCapacity": [{"TableName": "a", "CapacityUnits": 1.5}],
    }


def batch_write(rng: random.Random) -> Params:
    put = {"PutRequest": {"Item": random_item(rng)}}
    return {"UnprocessedItems": {"a": [put, {"DeleteRequest": {"Key": random_item(rng)}}]}}


def transact_get(rng: random.Random) -> Params:
    return {"Responses": [{"Item": random_item(rng)}, {}, {"Item": random_item(rng)}]}


def page(rng: random.Random) -> Params:
    last = random_item(rng)
    return {"Items": [random_item(rng)] * 3, "Count": 3, "LastEvaluatedKey": last}


KINDS: list[tuple[Any, Any]] = [
    (pb.BatchGetItemResponse, batch_get),
    (pb.BatchWriteItemResponse, batch_write),
    (pb.TransactGetItemsResponse, transact_get),
    (pb.QueryResponse, page),
    (pb.GetItemResponse, lambda rng: {"Item": random_item(rng)}),
    (pb.UpdateItemResponse, lambda rng: {"Attributes": random_item(rng)}),
]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("kind", "make"), KINDS)
def test_random_answers(kind: Any, make: Any, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(f"{kind.DESCRIPTOR.name} {seed}")
    result = make(rng)
    expected = kind()
    fill(expected, result)
    for values in (1, 4, 16, 64, 100_000):
        monkeypatch.setattr(encoding, "SLICE_VALUES", values)
        assert kind.FromString(encode(kind, result)) == expected


@pytest.mark.parametrize("width", [1, 7, 100, 1000])
def test_no_message_holds_more_than_a_slice(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    slice_values = 128
    filled: list[bool] = []

    def noted(fill_one: Any) -> Any:
        def call(message: Any, *what: Any) -> None:
            filled.append(holds_more(what[-1], slice_values))
            fill_one(message, *what)

        return call

    monkeypatch.setattr(encoding, "SLICE_VALUES", slice_values)
    monkeypatch.setattr(encoding, "fill_message", noted(encoding.fill_message))
    monkeypatch.setattr(encoding, "fill_field", noted(encoding.fill_field))
    lists = {f"l{n}": {"L": [{"L": [{"N": "7"}] * width}] * 3} for n in range(20)}
    result = {"Item": {**lists, "m": {"M": {"x": {"L": [{"NULL": True}] * width}}}}}
    expected = pb.GetItemResponse()
    fill(expected, result)
    assert pb.GetItemResponse.FromString(encode(pb.GetItemResponse, result)) == expected
    assert not any(filled)
