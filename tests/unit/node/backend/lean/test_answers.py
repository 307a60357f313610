"""Answers to reads of items, held against what botocore's parser makes of them."""

from __future__ import annotations

import copy
import json
import os
import random
from base64 import b64encode
from typing import Any

import botocore.session
import pytest

from cluster.transport.large_work import LargeWork
from node.backend.bodies import StrictJSONParser, _ended
from node.backend.lean.answers import READ_HERE, result_of
from node.values import json_slices
from paceline.dynamodb_operations import WRITES

_MODEL = botocore.session.get_session().get_service_model("dynamodb")


def by_botocore(operation: str, body: Any) -> Any:
    shape = _MODEL.operation_model(operation).output_shape
    parser = StrictJSONParser(large_work=LargeWork())
    response = {"headers": {}, "status_code": 200, "body": json_slices.dumps(body)}
    result = _ended(super(StrictJSONParser, parser).parse(response, shape))
    result.pop("ResponseMetadata")
    return result


class Bodies:
    """Random ones; ``odd`` of their parts are not as DynamoDB writes them."""

    def __init__(self, rng: random.Random, odd: float) -> None:
        self.rng = rng
        self.odd = odd

    def value(self, depth: int = 0) -> Any:
        rng = self.rng
        if rng.random() < self.odd:
            wrong = [{}, None, [], 7, {"S": None}, {"X": "y"}, {"S": "a", "N": "1"}, {"SS": "x"}]
            return rng.choice([*wrong, {"NULL": None}, {"M": []}, {"L": {}}, {"B": 7}, {"N": 7}])
        texts = ["", "x", "ü€😀", '"\\\n\x01']
        match rng.choice(
            ["S", "N", "B", "BOOL", "NULL", "SS", "NS", "BS", "L", "M"][: 8 if depth > 2 else 10]
        ):
            case "S":
                return {"S": rng.choice(texts)}
            case "N":
                return {"N": rng.choice(["0", "12345678901234567890.123456789", "-1E+20"])}
            case "B":
                return {"B": b64encode(rng.randbytes(rng.randrange(5))).decode()}
            case "BOOL":
                return {"BOOL": rng.random() < 0.5}
            case "NULL":
                return {"NULL": True}
            case "SS":
                return {"SS": rng.sample(texts, rng.randrange(1, 4))}
            case "NS":
                return {"NS": ["1", "2.50"]}
            case "BS":
                return {"BS": [b64encode(rng.randbytes(3)).decode() for _ in range(2)]}
            case "L":
                return {"L": [self.value(depth + 1) for _ in range(rng.randrange(4))]}
        return {"M": {name: self.value(depth + 1) for name in rng.sample("aBSM", rng.randrange(4))}}

    def item(self) -> Any:
        return {name: self.value() for name in self.rng.sample(["id", "a", "B", "L"], 3)}

    def of(self, operation: str) -> Any:
        if operation == "GetItem":
            body: Any = {"Item": self.item()} if self.rng.random() < 0.8 else {}
        elif operation in WRITES:
            body = {"Attributes": self.item()} if self.rng.random() < 0.8 else {}
        else:
            tables = {name: [self.item() for _ in range(self.rng.randrange(4))] for name in "tu"}
            body = {"Responses": tables, "UnprocessedKeys": {}}
        if self.rng.random() < self.odd:
            more: Any = [
                ("ConsumedCapacity", {"CapacityUnits": 0.5}),
                ("Future", 1),
                ("Attributes", None),
            ]
            more += [("UnprocessedKeys", {"t": {"Keys": [{"id": {"S": "a"}}]}}), ("Item", None)]
            body.update([self.rng.choice(more)])
        return body


@pytest.mark.parametrize("odd", [0.0, 0.05])
@pytest.mark.parametrize("operation", sorted(READ_HERE))
def test_what_is_read_here_is_what_botocore_reads(operation: str, odd: float) -> None:
    seed = int(os.environ.get("PACELINE_SEED") or random.randrange(1 << 30))
    print(f"PACELINE_SEED={seed}")
    bodies = Bodies(random.Random(seed), odd)
    sure = 0
    for _ in range(400):
        body = bodies.of(operation)
        before = json.dumps(body)
        result = result_of(operation, copy.deepcopy(body))
        if result is not None:
            sure += 1
            assert result == by_botocore(operation, body), before
    assert sure == 400 if odd == 0 else sure > 20


@pytest.mark.parametrize(
    "body",
    [
        *(None, [], 7, "x", {"Item": 7}, {"Item": None}, {"Item": {"a": 1}}),
        *({"Attributes": 7}, {"Attributes": None}, {"Attributes": {"a": 1}}),
        {"Attributes": {}, "ItemCollectionMetrics": {}},
    ],
)
def test_other_json_is_botocores(body: Any) -> None:
    assert result_of("GetItem", body) is None
    assert result_of("BatchGetItem", body) is None
    assert result_of("PutItem", body) is None
    assert result_of("Query", {"Item": {}}) is None
