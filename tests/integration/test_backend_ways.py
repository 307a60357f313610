"""Both ways to DynamoDB, held against each other: the same requests have the same ends."""

from __future__ import annotations

import os
import random
from collections.abc import AsyncIterator
from typing import Any

import pytest

from cluster.settings import DynamoDBSettings
from node.backend.client import Backend
from paceline import clock
from paceline.errors import PacelineError
from paceline.types import Params
from tests.support.dynamodb_ways import AIOBOTOCORE, LEAN
from tests.support.embedded import Database, dynamodb, embedded_dynamodb  # noqa: F401
from tests.support.random_values import RandomValues

WAIT_S = 20.0
OPERATIONS = 300
TEXTS = ("", "x", "ü€😀", "a" * 300, '"\\\n\x01', "B", "BS")
NUMBERS = ("0", "-1.5", "1E+20", "12345678901234567890.5", "-3")
NAMES = ("x", "B", "S", "ü", "n")
READS = ("GetItem", "Query", "Scan", "BatchGetItem", "TransactGetItems")
WRITES = ("PutItem", "UpdateItem", "DeleteItem", "BatchWriteItem", "TransactWriteItems")


@pytest.fixture
async def backends(dynamodb: Database) -> AsyncIterator[dict[str, Backend]]:  # noqa: F811
    found = {}
    for way in (LEAN, AIOBOTOCORE):
        settings = DynamoDBSettings(
            endpoint=dynamodb.endpoint,
            credentials="dummy",
            client=way,  # type: ignore[arg-type]
        )
        found[way] = Backend(settings)
        await found[way].start()
    assert found[LEAN]._caller._lean is not None
    assert found[AIOBOTOCORE]._caller._lean is None
    yield found
    for backend in found.values():
        await backend.stop()


class Requests(RandomValues):
    """Random ones, good and bad."""

    def __init__(self, rng: random.Random) -> None:
        super().__init__(rng, TEXTS, NUMBERS, NAMES)

    def key(self) -> dict[str, Any]:
        if self.rng.random() < 0.05:
            return self.rng.choice([{"id": {"N": "1"}}, {"no": {"S": "1"}}, {}])
        return {"id": {"S": str(self.rng.randrange(6))}}

    def item(self) -> dict[str, Any]:
        names = self.rng.sample(["a", "b", "B", "c"], self.rng.randrange(4))
        return {**self.key(), **{name: self.value() for name in names}}

    def some(self, **optional: Any) -> Params:
        return {name: value for name, value in optional.items() if self.rng.random() < 0.4}

    def condition(self) -> Params:
        if self.rng.random() < 0.6:
            return {}
        return {
            "ConditionExpression": self.rng.choice(["attribute_exists(id)", "a = :v", "a ="]),
            "ExpressionAttributeValues": {":v": self.value()},
            **self.some(ReturnValuesOnConditionCheckFailure="ALL_OLD"),
        }

    def of(self, operation: str, table: str) -> Params:
        rng, capacity = self.rng, self.some(ReturnConsumedCapacity=self.rng.choice(["TOTAL", "X"]))
        keys = [{"id": {"S": str(n)}} for n in rng.sample(range(6), rng.randint(1, 4))]
        match operation:
            case "GetItem":
                more = self.some(ConsistentRead=True, ProjectionExpression="a, id")
                return {"TableName": table, "Key": self.key(), **more, **capacity}
            case "Query":
                return {
                    "TableName": table,
                    "KeyConditionExpression": rng.choice(["id = :i", "id = :i", "a = :i"]),
                    "ExpressionAttributeValues": {":i": {"S": str(rng.randrange(6))}},
                    **capacity,
                }
            case "Scan":
                more = self.some(Limit=rng.randint(1, 4), ExclusiveStartKey=rng.choice(keys))
                return {"TableName": table, **more, **capacity}
            case "BatchGetItem":
                return {"RequestItems": {table: {"Keys": keys}}, **capacity}
            case "TransactGetItems":
                gets = [{"Get": {"TableName": table, "Key": key}} for key in keys]
                return {"TransactItems": gets, **capacity}
            case "PutItem":
                returned = self.some(ReturnValues=rng.choice(["ALL_OLD", "NONE"]))
                put = {"TableName": table, "Item": self.item(), **self.condition()}
                return {**put, **returned, **capacity}
            case "UpdateItem":
                values = {":n": self.value()}
                update = {"UpdateExpression": "SET a = :n", "ExpressionAttributeValues": values}
                kinds = ["ALL_NEW", "UPDATED_OLD", "UPDATED_NEW", "ALL_OLD"]
                returned = self.some(ReturnValues=rng.choice(kinds))
                return {"TableName": table, "Key": self.key(), **update, **returned, **capacity}
            case "DeleteItem":
                returned = self.some(ReturnValues="ALL_OLD")
                return {"TableName": table, "Key": self.key(), **self.condition(), **returned}
            case "BatchWriteItem":
                puts = [{"PutRequest": {"Item": {**key, "a": self.value()}}} for key in keys]
                return {"RequestItems": {table: puts}, **capacity}
        puts = [{"Put": {"TableName": table, "Item": key, **self.condition()}} for key in keys]
        return {"TransactItems": puts, **capacity}


async def end_of(backend: Backend, operation: str, params: Params, table: str) -> Any:
    """A result, or an error in all that it says; tables have one name."""
    deadline = clock.now() + WAIT_S
    error: PacelineError | None
    if operation in WRITES:
        ended = await backend.write(operation, params, deadline, lambda: True)
        result, error = ended.result, ended.error
    else:
        try:
            result, error = await backend.read(operation, params, deadline), None
        except PacelineError as refused:
            result, error = None, refused
    if error is None:
        return repr(result).replace(table, "T")
    says = {
        name: getattr(error, name, None)
        for name in ("name", "message", "status", "reasons", "item")
    }
    return repr((type(error), says)).replace(table, "T")


async def test_the_same_ends(dynamodb: Database, backends: dict[str, Backend]) -> None:  # noqa: F811
    seed = int(os.environ.get("PACELINE_DIFFERENTIAL_SEED") or random.randrange(1 << 30))
    print(f"PACELINE_DIFFERENTIAL_SEED={seed}")
    rng = random.Random(seed)
    requests = Requests(rng)
    tables = {way: dynamodb.create() for way in backends}
    refused = 0
    for _ in range(OPERATIONS):
        operation = rng.choice(READS + WRITES)
        state = rng.getstate()
        ends = {}
        for way, backend in backends.items():
            rng.setstate(state)
            table = tables[way] if rng.random() < 0.97 else "nosuchtable"
            params = requests.of(operation, table)
            ends[way] = await end_of(backend, operation, params, tables[way])
        assert ends[LEAN] == ends[AIOBOTOCORE], (operation, params)
        refused += "Error" in ends[LEAN]
    assert OPERATIONS / 20 < refused < OPERATIONS / 2
