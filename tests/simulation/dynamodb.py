"""A small DynamoDB in memory, with the truth about every item, and a caller that troubles it.

Only what the workload uses: SET of one attribute, three kinds of condition, key conditions on
partition and range, pages, one global index per table.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from paceline.dax.keys import encode_key
from paceline.errors import DynamoDBError
from paceline.types import Item, Key, KeyAttribute, KeySchema, Params, Result

PAGE_ITEMS = 100

VALUE = "v"
"""The attribute whose values are unique, so that a read names the write that it saw."""


@dataclass(frozen=True)
class SimulatedIndex:
    name: str
    schema: KeySchema


@dataclass(frozen=True)
class SimulatedTable:
    name: str
    schema: KeySchema
    index: SimulatedIndex | None = None


TABLES = (
    SimulatedTable("t", KeySchema(KeyAttribute("id", "S"))),
    SimulatedTable(
        "r",
        KeySchema(KeyAttribute("p", "S"), KeyAttribute("s", "N")),
        SimulatedIndex("by-g", KeySchema(KeyAttribute("g", "S"))),
    ),
)


@dataclass(frozen=True, slots=True)
class Version:
    """What a write left under a key. ``sequence`` counts all versions of all keys."""

    sequence: int
    t: float
    item: Item | None

    @property
    def value(self) -> str | None:
        return None if self.item is None else self.item[VALUE]["S"]


@dataclass
class Record:
    """An item's whole life."""

    key: Key
    attributes: Item
    versions: list[Version] = field(default_factory=lambda: [Version(0, 0.0, None)])
    times: list[float] = field(default_factory=lambda: [0.0])

    def at(self, t: float) -> Version:
        """What was there at ``t``."""
        return self.versions[max(bisect_right(self.times, t) - 1, 0)]

    @property
    def now(self) -> Version:
        return self.versions[-1]


class Store:
    """The tables. ``consistent`` reads see now; others what was there at the time given."""

    def __init__(self, clock: Callable[[], float], tables: Iterable[SimulatedTable]) -> None:
        self._clock = clock
        self.tables = {table.name: table for table in tables}
        self.records: dict[Key, Record] = {}
        self._named: dict[tuple[str, tuple[Any, ...]], Record] = {}
        self._by_table: dict[str, list[Record]] = {table: [] for table in self.tables}
        self.sequence = 0
        self.landed: dict[str, Version] = {}
        """Unique value to the version that it became."""
        self.on_landed: Callable[[str], None] = lambda _: None
        self._tokens: dict[str, float] = {}
        self.table_ids = {name: f"{name}-1" for name in self.tables}

    def record(self, table: str, attributes: Mapping[str, Any]) -> Record:
        schema = self.tables[table].schema
        name = (table, tuple(_scalar(attributes[name]) for name in schema.names))
        record = self._named.get(name)
        if record is None:
            plain = schema.key_of(attributes)
            record = Record((table, encode_key(schema, plain)), plain)
            self._named[name] = record
            self.records[record.key] = record
            self._by_table[table].append(record)
        return record

    def key(self, table: str, attributes: Mapping[str, Any]) -> Key:
        """Of an item, or of its key attributes. There is a record of it from now on."""
        return self.record(table, attributes).key

    def order(self, table: str, attributes: Mapping[str, Any]) -> tuple[Any, ...]:
        """By which pages go."""
        return _order(attributes, self.tables[table].schema.names)

    def put(self, record: Record, item: Item | None) -> Version:
        if item is None and record.now.item is None:
            return record.now
        self.sequence += 1
        version = Version(self.sequence, self._clock(), item)
        record.versions.append(version)
        record.times.append(version.t)
        if version.value is not None:
            self.landed[version.value] = version
            self.on_landed(version.value)
        return version

    # -- operations ---------------------------------------------------------------------------

    def read(self, operation: str, params: Params, then: float) -> Result:
        """``then``: the time that reads which need not be consistent see."""
        match operation:
            case "GetItem":
                at = None if params.get("ConsistentRead") else then
                item = self._get(params["TableName"], params["Key"], at)
                return {} if item is None else {"Item": dict(item)}
            case "BatchGetItem":
                return self._batch_get(params, then)
            case "TransactGetItems":
                return {
                    "Responses": [
                        {} if item is None else {"Item": dict(item)}
                        for item in (
                            self._get(part["Get"]["TableName"], part["Get"]["Key"], None)
                            for part in params["TransactItems"]
                        )
                    ]
                }
            case "Query" | "Scan":
                return self._select(params, then)
            case "DescribeTable":
                return {"Table": self._describe(self.tables[params["TableName"]])}
        raise AssertionError(f"{operation} is not simulated")

    def write(self, operation: str, params: Params) -> Result:
        """DynamoDBError: nothing was changed."""
        match operation:
            case "PutItem":
                record = self.record(params["TableName"], params["Item"])
                self._check(record, params)
                return self._old(params, self._swap(record, params["Item"]))
            case "DeleteItem":
                record = self.record(params["TableName"], params["Key"])
                self._check(record, params)
                return self._old(params, self._swap(record, None))
            case "UpdateItem":
                record = self.record(params["TableName"], params["Key"])
                self._check(record, params)
                before = self._swap(record, _updated(record, params))
                if params.get("ReturnValues") == "ALL_NEW":
                    return {"Attributes": dict(record.now.item or {})}
                return self._old(params, before)
            case "BatchWriteItem":
                return self._batch_write(params)
            case "TransactWriteItems":
                return self._transact_write(params)
        raise AssertionError(f"{operation} is not simulated")

    def _swap(self, record: Record, item: Item | None) -> Item | None:
        before = record.now.item
        self.put(record, item)
        return before

    def _old(self, params: Params, before: Item | None) -> Result:
        if params.get("ReturnValues") == "ALL_OLD" and before is not None:
            return {"Attributes": dict(before)}
        return {}

    def _check(self, record: Record, params: Mapping[str, Any]) -> None:
        condition = params.get("ConditionExpression")
        if condition is None:
            return
        item = record.now.item
        if condition.startswith("attribute_not_exists"):
            good = item is None
        elif condition.startswith("attribute_exists"):
            good = item is not None
        else:
            expected = params["ExpressionAttributeValues"][condition.split("=")[1].strip()]
            good = item is not None and item.get(VALUE) == expected
        if not good:
            raise DynamoDBError(
                "ConditionalCheckFailedException", "The conditional request failed", 400
            )

    def _batch_write(self, params: Params) -> Result:
        for table, requests in params["RequestItems"].items():
            for request in requests:
                if "PutRequest" in request:
                    item = request["PutRequest"]["Item"]
                    self.put(self.record(table, item), item)
                else:
                    self.put(self.record(table, request["DeleteRequest"]["Key"]), None)
        return {"UnprocessedItems": {}}

    def _transact_write(self, params: Params) -> Result:
        token = params["ClientRequestToken"]
        if token in self._tokens:
            return {}
        reasons = []
        changes: list[tuple[Record, Item | None]] = []
        for action in params["TransactItems"]:
            ((kind, body),) = action.items()
            record = self.record(body["TableName"], body.get("Item") or body["Key"])
            try:
                self._check(record, body)
                reasons.append({"Code": "None"})
            except DynamoDBError:
                reasons.append({"Code": "ConditionalCheckFailed"})
            if kind == "Put":
                changes.append((record, body["Item"]))
            elif kind == "Delete":
                changes.append((record, None))
            elif kind == "Update":
                changes.append((record, _updated(record, body)))
        if any(reason["Code"] != "None" for reason in reasons):
            raise DynamoDBError(
                "TransactionCanceledException", "Transaction cancelled", 400, reasons=reasons
            )
        self._tokens[token] = self._clock()
        for record, item in changes:
            self.put(record, item)
        return {}

    def _get(self, table: str, key: Item, at: float | None) -> Item | None:
        record = self.record(table, key)
        return record.now.item if at is None else record.at(at).item

    def _batch_get(self, params: Params, then: float) -> Result:
        responses: dict[str, list[Item]] = {}
        for table, part in params["RequestItems"].items():
            at = None if part.get("ConsistentRead") else then
            found = (self._get(table, key, at) for key in part["Keys"])
            responses[table] = [dict(item) for item in found if item is not None]
        return {"Responses": responses, "UnprocessedKeys": {}}

    def _select(self, params: Params, then: float) -> Result:
        table = self.tables[params["TableName"]]
        at = None if params.get("ConsistentRead") else then
        items = [
            item
            for record in self._by_table[table.name]
            if (item := record.now.item if at is None else record.at(at).item) is not None
        ]
        condition = params.get("KeyConditionExpression")
        if condition is not None:
            items = [i for i in items if _matches(condition, params, i)]
        names = table.schema.names
        items.sort(key=lambda item: _order(item, names))
        start = params.get("ExclusiveStartKey")
        if start is not None:
            items = [item for item in items if _order(item, names) > _order(start, names)]
        limit = params.get("Limit", PAGE_ITEMS)
        result: Result = {"Items": [dict(item) for item in items[:limit]]}
        result["Count"] = result["ScannedCount"] = len(result["Items"])
        if len(items) > limit:
            last = result["Items"][-1]
            result["LastEvaluatedKey"] = {name: last[name] for name in names}
        return result

    def _describe(self, table: SimulatedTable) -> Result:
        schemas = [table.schema, *([table.index.schema] if table.index else [])]
        attributes = {
            part.name: part.type
            for schema in schemas
            for part in (schema.hash, schema.range)
            if part is not None
        }
        described: Result = {
            "TableName": table.name,
            "TableId": self.table_ids[table.name],
            "TableStatus": "ACTIVE",
            "KeySchema": _elements(table.schema),
            "AttributeDefinitions": [
                {"AttributeName": name, "AttributeType": kind} for name, kind in attributes.items()
            ],
        }
        if table.index is not None:
            described["GlobalSecondaryIndexes"] = [
                {"IndexName": table.index.name, "KeySchema": _elements(table.index.schema)}
            ]
        return described


def _elements(schema: KeySchema) -> list[dict[str, str]]:
    elements = [{"AttributeName": schema.hash.name, "KeyType": "HASH"}]
    if schema.range is not None:
        elements.append({"AttributeName": schema.range.name, "KeyType": "RANGE"})
    return elements


def _updated(record: Record, params: Mapping[str, Any]) -> Item:
    match = re.fullmatch(r"SET (\w+) = (:\w+)(?:, (\w+) = (:\w+))?", params["UpdateExpression"])
    assert match is not None, params["UpdateExpression"]
    values = params["ExpressionAttributeValues"]
    item = {**record.attributes, **(record.now.item or {})}
    for name, value in (match.group(1, 2), match.group(3, 4)):
        if name is not None:
            item[name] = values[value]
    return item


def _matches(condition: str, params: Params, item: Item) -> bool:
    values = params["ExpressionAttributeValues"]
    rest = condition
    while rest:
        match = re.match(r"(\w+) BETWEEN (:\w+) AND (:\w+)", rest)
        if match is not None:
            name, low, high = match.groups()
            good = name in item and _scalar(values[low]) <= _scalar(item[name]) <= _scalar(
                values[high]
            )
        else:
            match = re.match(r"(\w+) (=|<=|>=|<|>) (:\w+)", rest)
            assert match is not None, condition
            name, sign, value = match.groups()
            good = name in item and _COMPARE[sign](_scalar(item[name]), _scalar(values[value]))
        if not good:
            return False
        rest = rest[match.end() :].removeprefix(" AND ")
    return True


_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "=": lambda a, b: a == b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}


def _scalar(value: Mapping[str, Any]) -> Any:
    ((kind, plain),) = value.items()
    return int(plain) if kind == "N" else plain


def _order(item: Mapping[str, Any], names: Iterable[str]) -> tuple[Any, ...]:
    return tuple(_scalar(item[name]) for name in names)
