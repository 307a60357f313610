"""Random operations through DAX and straight on a twin table: the same answers, step by step.

A seed is printed; ``PACELINE_DIFFERENTIAL_SEED`` replays it.
"""

import os
import random
from typing import Any

import pytest

from tests.support.cluster import Cluster
from tests.support.java_client import JavaClient, LowLevelJava, WithoutEmptyAttributes
from tests.support.js_client import JsClient, LowLevel
from tests.support.random_values import RandomValues
from tests.support.twins import Twins, standard_twins

STEPS = 150
SOAK_STEPS = 20_000
SEED = int(os.environ.get("PACELINE_DIFFERENTIAL_SEED", "20260814"))

NAMES = ("a", "b", "c", "with space", "Ω", "size", "n")
TEXTS = ("", "x", "xy", "hello", "ž", "0")
NUMBERS = ("0", "1", "-1", "2.5", "1E+3", "0.001", "12345678901234567890.5", "-7", "42")


class Steps(RandomValues):
    """Makes calls up, with few keys and few values so that they meet."""

    def __init__(self, rng: random.Random) -> None:
        super().__init__(rng, TEXTS, NUMBERS, NAMES)

    def key(self, table: str) -> dict[str, Any]:
        if table == "hash":
            return {"id": {"S": f"k{self.rng.randrange(6)}"}}
        return {
            "pk": {"S": f"p{self.rng.randrange(2)}"},
            "sk": {"N": self.rng.choice(("0", "1", "-2", "2.5", "30"))},
        }

    def item(self, table: str) -> dict[str, Any]:
        names = self.rng.sample(NAMES, self.rng.randrange(5))
        item = {**self.key(table), **{name: self.value() for name in names}}
        if table == "range" and self.rng.random() < 0.5:
            item["g"] = {"S": self.rng.choice("gh")}
        return item

    def condition(self) -> dict[str, Any]:
        """With the parts that go under every name of its expression."""
        rng = self.rng
        names = {"#x": rng.choice(NAMES)}
        values: dict[str, Any] = {}
        match rng.randrange(8):
            case 0:
                text = "attribute_exists(#x)"
            case 1:
                text = "attribute_not_exists(#x)"
            case 2:
                text = f"#x {rng.choice(['=', '<>', '<', '<=', '>', '>='])} :x"
                values = {":x": rng.choice([{"N": "1"}, {"S": "x"}, self.value()])}
                if text[3:5] not in ("= ", "<>"):
                    values = {":x": rng.choice([{"N": "1"}, {"S": "x"}])}
            case 3:
                text, values = "begins_with(#x, :x)", {":x": {"S": "x"}}
            case 4:
                text, values = "contains(#x, :x)", {":x": rng.choice([{"S": "x"}, {"N": "1"}])}
            case 5:
                text, values = "size(#x) > :x", {":x": {"N": "1"}}
            case 6:
                text, values = "attribute_type(#x, :x)", {":x": {"S": rng.choice(["S", "N", "L"])}}
            case _:
                text = "#x BETWEEN :x AND :y OR #x IN (:x, :z)"
                values = {":x": {"N": "0"}, ":y": {"N": "3"}, ":z": {"S": "x"}}
        found: dict[str, Any] = {"text": text, "names": names, "values": values}
        return found

    def with_condition(self, params: dict[str, Any], what: str) -> dict[str, Any]:
        condition = self.condition()
        params[what] = condition["text"]
        params.setdefault("ExpressionAttributeNames", {}).update(condition["names"])
        if condition["values"]:
            params.setdefault("ExpressionAttributeValues", {}).update(condition["values"])
        return params

    def update(self) -> dict[str, Any]:
        rng = self.rng
        one, two = rng.sample(NAMES, 2)
        names = {"#a": one, "#b": two}
        match rng.randrange(6):
            case 0:
                return {
                    "UpdateExpression": "SET #a = :a, #b = if_not_exists(#b, :b)",
                    "ExpressionAttributeNames": names,
                    "ExpressionAttributeValues": {":a": self.value(), ":b": self.value()},
                }
            case 1:
                return {
                    "UpdateExpression": "REMOVE #a SET #b = :b",
                    "ExpressionAttributeNames": names,
                    "ExpressionAttributeValues": {":b": self.value()},
                }
            case 2:
                return {
                    "UpdateExpression": "ADD #a :a",
                    "ExpressionAttributeNames": {"#a": one},
                    "ExpressionAttributeValues": {":a": {"N": rng.choice(("1", "-2.5"))}},
                }
            case 3:
                return {
                    "UpdateExpression": "SET #a = list_append(if_not_exists(#a, :e), :v)",
                    "ExpressionAttributeNames": {"#a": one},
                    "ExpressionAttributeValues": {":e": {"L": []}, ":v": {"L": [self.value()]}},
                }
            case 4:
                return {
                    "UpdateExpression": "SET #a = if_not_exists(#a, :a) + :a",
                    "ExpressionAttributeNames": {"#a": one},
                    "ExpressionAttributeValues": {":a": {"N": "1.5"}},
                }
        return {
            "UpdateExpression": "DELETE #a :a",
            "ExpressionAttributeNames": {"#a": one},
            "ExpressionAttributeValues": {":a": {"SS": ["x", "hello"]}},
        }

    def step(self) -> tuple[str, dict[str, Any]]:
        rng = self.rng
        table = rng.choice(("hash", "range"))
        at: dict[str, Any] = {"TableName": table}
        match rng.choices(
            ["get", "put", "update", "delete", "query", "scan", "batch", "transact"],
            [30, 14, 18, 6, 12, 4, 10, 6],
        )[0]:
            case "get":
                params = {**at, "Key": self.key(table)}
                if rng.random() < 0.2:
                    params["ConsistentRead"] = True
                if rng.random() < 0.3:
                    params["ProjectionExpression"] = "#p, #q.a"
                    params["ExpressionAttributeNames"] = dict(
                        zip(("#p", "#q"), rng.sample(NAMES, 2), strict=True)
                    )
                return "GetItem", params
            case "put":
                params = {**at, "Item": self.item(table)}
                params["ReturnValues"] = rng.choice(("NONE", "ALL_OLD"))
                if rng.random() < 0.4:
                    self.with_condition(params, "ConditionExpression")
                return "PutItem", params
            case "update":
                params = {**at, "Key": self.key(table), **self.update()}
                params["ReturnValues"] = rng.choice(
                    ("NONE", "ALL_OLD", "UPDATED_OLD", "ALL_NEW", "UPDATED_NEW")
                )
                if rng.random() < 0.3:
                    self.with_condition(params, "ConditionExpression")
                return "UpdateItem", params
            case "delete":
                params = {**at, "Key": self.key(table)}
                params["ReturnValues"] = rng.choice(("NONE", "ALL_OLD"))
                return "DeleteItem", params
            case "query":
                return "Query", self.query()
            case "scan":
                return "Scan", self.with_condition(at, "FilterExpression")
            case "batch":
                return self.batch()
        return self.transact()

    def query(self) -> dict[str, Any]:
        rng = self.rng
        params: dict[str, Any] = {
            "TableName": "range",
            "KeyConditionExpression": "pk = :p",
            "ExpressionAttributeValues": {":p": {"S": f"p{rng.randrange(2)}"}},
        }
        if rng.random() < 0.3:
            params["IndexName"] = "global"
            params["KeyConditionExpression"] = "g = :p AND sk >= :s"
            params["ExpressionAttributeValues"] = {":p": {"S": "g"}, ":s": {"N": "-5"}}
            # Rows of one hash key that share a range key have no order of their own.
            params["Select"] = "COUNT"
        elif rng.random() < 0.3:
            params["Limit"] = rng.randrange(1, 4)
        if rng.random() < 0.5:
            params["ScanIndexForward"] = False
        if rng.random() < 0.3:
            self.with_condition(params, "FilterExpression")
        return params

    def batch(self) -> tuple[str, dict[str, Any]]:
        keys = {
            tuple(sorted((n, *v.items()) for n, v in key.items())): key
            for key in (self.key("hash") for _ in range(4))
        }
        if self.rng.random() < 0.5:
            return "BatchGetItem", {"RequestItems": {"hash": {"Keys": list(keys.values())}}}
        writes: list[dict[str, Any]] = []
        for key in keys.values():
            if self.rng.random() < 0.3:
                writes.append({"DeleteRequest": {"Key": key}})
            else:
                writes.append({"PutRequest": {"Item": {**self.item("hash"), **key}}})
        return "BatchWriteItem", {"RequestItems": {"hash": writes}}

    def transact(self) -> tuple[str, dict[str, Any]]:
        one, two = self.key("hash"), self.key("range")
        if self.rng.random() < 0.4:
            gets = [
                {"Get": {"TableName": "hash", "Key": one}},
                {"Get": {"TableName": "range", "Key": two}},
            ]
            return "TransactGetItems", {"TransactItems": gets}
        check = self.with_condition({"TableName": "hash", "Key": one}, "ConditionExpression")
        put = {"TableName": "range", "Item": {**self.item("range"), **two}}
        return "TransactWriteItems", {"TransactItems": [{"ConditionCheck": check}, {"Put": put}]}


def run(twins: Twins, steps: int, seed: str) -> None:
    print(f"seed {seed}")
    made = Steps(random.Random(seed))
    for number in range(steps):
        operation, params = made.step()
        through, straight = twins.both(operation, **params)
        assert through == straight, (
            f"step {number} of seed {seed}: {operation}({params})\n"
            f"  through DAX: {through}\n  straight:    {straight}"
        )
    for table in ("hash", "range"):
        cached, direct = twins.dump(table)
        assert cached == direct


def test_the_python_client(twins: Twins) -> None:
    run(twins, STEPS, f"python {SEED}")


@pytest.mark.full(minutes=0.5)
@pytest.mark.parametrize("kind", ["v3", "v2"])
def test_a_javascript_client(cluster: Cluster, plain: Any, kind: Any) -> None:
    with JsClient(kind, cluster.dax) as client:
        for twins in standard_twins(LowLevel(client), plain):
            run(twins, STEPS, f"{kind} {SEED}")


@pytest.mark.full(minutes=0.5)
def test_the_java_client(cluster: Cluster, plain: Any) -> None:
    with JavaClient(cluster.dax) as client:
        for twins in standard_twins(LowLevelJava(client), WithoutEmptyAttributes(plain)):
            run(twins, STEPS // 2, f"java {SEED}")


@pytest.mark.soak
@pytest.mark.parametrize("lane", range(3))
def test_the_python_client_for_long(twins: Twins, lane: int) -> None:
    run(twins, SOAK_STEPS, f"soak {SEED} {lane}")
