"""What the clients of a chaos run do: calls on a few hot keys, every written value unique.

All items are in one partition of one table with the keys ``pk`` and ``sk``, so that one query reads
them all. What an item is used for follows from its sort key:

* ``w…``: puts, updates, batches and transactions that write whatever was there;
* ``c…``: puts under a condition on the value that this client saw last;
* ``d…``: puts and deletes;
* ``n…``: counters, raised by one.

A call is written as boto3's low-level client takes it, and so are its results, so that every client
makes the same calls.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

PARTITION = "hot"
WRITTEN = ("w0", "w1", "w2")
COMPARED = ("c0", "c1")
DELETED = ("d0",)
COUNTERS = ("n0", "n1")
KEYS = (*WRITTEN, *COMPARED, *DELETED, *COUNTERS)

TABLE_KEYS: dict[str, Any] = {
    "KeySchema": [
        {"AttributeName": "pk", "KeyType": "HASH"},
        {"AttributeName": "sk", "KeyType": "RANGE"},
    ],
    "AttributeDefinitions": [
        {"AttributeName": "pk", "AttributeType": "S"},
        {"AttributeName": "sk", "AttributeType": "S"},
    ],
}

Value = str | int | None
"""Of an item; a counter's is a number. None: there is no item."""
Action = Literal["read", "write", "compare", "add"]


@dataclass(frozen=True, slots=True)
class Effect:
    """What a call does to one key."""

    key: str
    action: Action
    value: Value = None
    """What a write writes, None for a delete."""
    expected: Value = None
    """What a comparison expects to find."""


@dataclass(frozen=True, slots=True)
class Call:
    operation: str
    params: dict[str, Any]
    effects: tuple[Effect, ...]

    @property
    def writes(self) -> bool:
        return self.effects[0].action != "read"

    def results(self, result: Mapping[str, Any]) -> list[tuple[Effect, Value]]:
        """Which effects took place, by DynamoDB's answer, and what each of them found.

        Left out is what a batch did not process: that surely did not happen. A counter that was
        raised has its new value, a comparison that held has what it wrote.
        """
        match self.operation:
            case "GetItem":
                return [(self.effects[0], value_of(self.effects[0].key, result.get("Item")))]
            case "Query":
                found = {item["sk"]["S"]: item for item in result["Items"]}
                return [(e, value_of(e.key, found.get(e.key))) for e in self.effects]
            case "BatchGetItem":
                (answers,) = result["Responses"].values() or [[]]
                found = {item["sk"]["S"]: item for item in answers}
                left = {
                    key["sk"]["S"]
                    for table in result.get("UnprocessedKeys", {}).values()
                    for key in table["Keys"]
                }
                return [
                    (e, value_of(e.key, found.get(e.key)))
                    for e in self.effects
                    if e.key not in left
                ]
            case "TransactGetItems":
                return [
                    (e, value_of(e.key, answer.get("Item")))
                    for e, answer in zip(self.effects, result["Responses"], strict=True)
                ]
            case "BatchWriteItem":
                left = {
                    _key_of(request)
                    for requests in result.get("UnprocessedItems", {}).values()
                    for request in requests
                }
                return [(e, e.value) for e in self.effects if e.key not in left]
            case "UpdateItem" if self.effects[0].action == "add":
                return [(self.effects[0], int(result["Attributes"]["v"]["N"]))]
        return [(e, e.value) for e in self.effects]


def value_of(key: str, item: Mapping[str, Any] | None) -> Value:
    if item is None:
        return None
    return int(item["v"]["N"]) if key in COUNTERS else str(item["v"]["S"])


def key(sk: str) -> dict[str, Any]:
    return {"pk": {"S": PARTITION}, "sk": {"S": sk}}


def _item(sk: str, value: str) -> dict[str, Any]:
    return {**key(sk), "v": {"S": value}}


def _key_of(request: Mapping[str, Any]) -> str:
    if "PutRequest" in request:
        return str(request["PutRequest"]["Item"]["sk"]["S"])
    return str(request["DeleteRequest"]["Key"]["sk"]["S"])


class Workload:
    """One client's calls, one after the other. ``name`` makes its values unique."""

    def __init__(
        self, name: str, table: str, rng: random.Random, *, reads_only: bool = False
    ) -> None:
        self._name = name
        self._table = table
        self._rng = rng
        self._numbers = itertools.count(1)
        self._seen: dict[str, Value] = {}
        self._kinds: list[Callable[[], Call]] = []
        self._weights: list[int] = []
        for kind, weight in (
            (self._get, 40),
            (self._query, 5),
            (self._batch_get, 5),
            (self._transact_get, 1),
            (self._put, 12),
            (self._update, 10),
            (self._compare, 8),
            (self._delete, 4),
            (self._add, 10),
            (self._batch_write, 4),
            (self._transact_write, 1),
        ):
            if not reads_only or kind in (self._get, self._query, self._batch_get):
                self._kinds.append(kind)
                self._weights.append(weight)

    def next(self) -> Call:
        (kind,) = self._rng.choices(self._kinds, self._weights)
        return kind()

    def saw(self, key: str, value: Value) -> None:
        """What a read of this client returned: what its next comparison expects."""
        self._seen[key] = value

    def _value(self) -> str:
        return f"{self._name}.{next(self._numbers)}"

    def _get(self) -> Call:
        sk = self._rng.choice(KEYS)
        params: dict[str, Any] = {"TableName": self._table, "Key": key(sk)}
        if self._rng.random() < 0.15:
            params["ConsistentRead"] = True
        return Call("GetItem", params, (Effect(sk, "read"),))

    def _query(self) -> Call:
        first, last = sorted(self._rng.sample(KEYS, 2))
        if self._rng.random() < 0.5:
            first, last = min(KEYS), max(KEYS)
        params = {
            "TableName": self._table,
            "KeyConditionExpression": "pk = :p AND sk BETWEEN :a AND :z",
            "ExpressionAttributeValues": {
                ":p": {"S": PARTITION},
                ":a": {"S": first},
                ":z": {"S": last},
            },
        }
        return Call(
            "Query", params, tuple(Effect(sk, "read") for sk in KEYS if first <= sk <= last)
        )

    def _batch_get(self) -> Call:
        sks = self._rng.sample(KEYS, 3)
        params = {"RequestItems": {self._table: {"Keys": [key(sk) for sk in sks]}}}
        return Call("BatchGetItem", params, tuple(Effect(sk, "read") for sk in sks))

    def _transact_get(self) -> Call:
        sks = self._rng.sample(KEYS, 2)
        gets = [{"Get": {"TableName": self._table, "Key": key(sk)}} for sk in sks]
        return Call(
            "TransactGetItems", {"TransactItems": gets}, tuple(Effect(sk, "read") for sk in sks)
        )

    def _put(self) -> Call:
        sk, value = self._rng.choice((*WRITTEN, *DELETED)), self._value()
        params = {"TableName": self._table, "Item": _item(sk, value)}
        return Call("PutItem", params, (Effect(sk, "write", value),))

    def _update(self) -> Call:
        sk, value = self._rng.choice(WRITTEN), self._value()
        params = {
            "TableName": self._table,
            "Key": key(sk),
            "UpdateExpression": "SET v = :v",
            "ExpressionAttributeValues": {":v": {"S": value}},
        }
        return Call("UpdateItem", params, (Effect(sk, "write", value),))

    def _compare(self) -> Call:
        sk, value = self._rng.choice(COMPARED), self._value()
        expected = self._seen.get(sk)
        params: dict[str, Any] = {"TableName": self._table, "Item": _item(sk, value)}
        if expected is None:
            params["ConditionExpression"] = "attribute_not_exists(v)"
        else:
            params["ConditionExpression"] = "v = :old"
            params["ExpressionAttributeValues"] = {":old": {"S": expected}}
        return Call("PutItem", params, (Effect(sk, "compare", value, expected),))

    def _delete(self) -> Call:
        sk = self._rng.choice(DELETED)
        params = {"TableName": self._table, "Key": key(sk)}
        return Call("DeleteItem", params, (Effect(sk, "write", None),))

    def _add(self) -> Call:
        sk = self._rng.choice(COUNTERS)
        params = {
            "TableName": self._table,
            "Key": key(sk),
            "UpdateExpression": "ADD v :one",
            "ExpressionAttributeValues": {":one": {"N": "1"}},
            "ReturnValues": "UPDATED_NEW",
        }
        return Call("UpdateItem", params, (Effect(sk, "add", 1),))

    def _batch_write(self) -> Call:
        sks = self._rng.sample(WRITTEN, 2)
        effects = tuple(Effect(sk, "write", self._value()) for sk in sks)
        requests = [{"PutRequest": {"Item": _item(e.key, str(e.value))}} for e in effects]
        return Call("BatchWriteItem", {"RequestItems": {self._table: requests}}, effects)

    def _transact_write(self) -> Call:
        sks = self._rng.sample(WRITTEN, 2)
        effects = tuple(Effect(sk, "write", self._value()) for sk in sks)
        puts = [
            {"Put": {"TableName": self._table, "Item": _item(e.key, str(e.value))}} for e in effects
        ]
        return Call("TransactWriteItems", {"TransactItems": puts}, effects)
