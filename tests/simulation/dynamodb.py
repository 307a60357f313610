"""A small DynamoDB in memory, with the truth about every item.

Only what the workload uses: ``expressions`` and ``statements`` say which conditions, updates and
PartiQL; pages, one global index per table.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

from paceline.dax.keys import encode_key
from paceline.errors import DynamoDBError
from paceline.types import Item, Key, KeySchema, Params, Result
from tests.simulation.expressions import (
    changes_of,
    compared,
    holds,
    legacy_compared,
    legacy_holds,
    projected,
    scalar,
)
from tests.simulation.partiql import Partiql
from tests.simulation.statements import PARTIQL
from tests.simulation.statements import only_reads as statements_read
from tests.simulation.tables import (
    ACTIVE,
    CREATING,
    DELETING,
    Made,
    SimulatedTable,
    check_key,
    created,
    described,
    fits,
    invalid,
    missing,
)
from tests.simulation.versions import Record, Version

PAGE_ITEMS = 100
UNLIKE_THE_SCHEMA = (
    "One or more parameter values were invalid: Condition parameter type does not match schema type"
)

READS = frozenset(
    {
        *("GetItem", "BatchGetItem", "TransactGetItems", "Query", "Scan", "DescribeTable"),
        *("DescribeStream", "GetShardIterator", "GetRecords"),
    }
)

CREATING_S = 0.3
DELETING_S = 0.3
"""How long a table is neither there nor gone, at most."""


class Changes(Protocol):
    """``tests.simulation.streams.Streams``."""

    def changed(
        self, made: Made, key: Key, keys: Item, old: Item | None, new: Item | None
    ) -> None: ...
    def described(self, made: Made) -> Result: ...
    def table_deleted(self, made: Made) -> None: ...


def only_reads(operation: str, params: Params) -> bool:
    if operation in PARTIQL:
        try:
            return statements_read(operation, params)
        except DynamoDBError:
            return True  # it will be refused
    return operation in READS


class Store:
    """The tables. ``consistent`` reads see now; others what was there at the time given."""

    def __init__(self, clock: Callable[[], float], tables: Sequence[SimulatedTable]) -> None:
        self._clock = clock
        self.made = {table.name: Made(table, f"{table.name}-1") for table in tables}
        self.schemas = {table.name: table.schema for table in tables}
        """Of each table, or of the last one of its name."""
        self.records: dict[Key, Record] = {}
        """Of the tables as they are: the same bytes may be the keys of two items, of a table with
        one key type and of one with another."""
        self._named: dict[tuple[Any, ...], Record] = {}
        self.by_table: dict[str, list[Record]] = {table: [] for table in self.made}
        self.sequence = 0
        self.landed: dict[str, Version] = {}
        """Unique value to the version that it became."""
        self.on_landed: Callable[[str], None] = lambda _: None
        self.streams: Changes | None = None
        """Of all tables, if they have any."""
        self._tokens: dict[str, Result] = {}
        self._incarnations = 1
        self._partiql = Partiql(self)

    def table(self, name: str) -> Made:
        """ResourceNotFoundException unless it takes requests."""
        made = self.made.get(name)
        if made is None or made.status != ACTIVE:
            raise missing()
        return made

    def record(self, table: str, attributes: Mapping[str, Any], *, whole: bool = True) -> Record:
        """Of an item, or of its key attributes; ValidationException for a key that the table does
        not have."""
        schema = self.table(table).table.schema
        if not whole and len(attributes) != len(schema.names):
            raise invalid("The provided key element does not match the schema")
        check_key(schema, attributes, whole=whole)
        name = (table, *[tuple(attributes[n].items()) for n in schema.names])
        return self._named.get(name) or self._new(table, schema, attributes)

    def _new(self, table: str, schema: KeySchema, attributes: Mapping[str, Any]) -> Record:
        plain = schema.key_of(attributes)
        record = Record((table, encode_key(schema, plain)), plain)
        self._named[table, *[tuple(plain[n].items()) for n in schema.names]] = record
        self.records[record.key] = record
        self.by_table[table].append(record)
        return record

    def key(self, table: str, attributes: Mapping[str, Any]) -> Key:
        """Of an item, or of its key attributes, as the table's clients know it now. There is a
        record of it from now on."""
        schema = self.schemas[table]
        name = (table, *[tuple(attributes[n].items()) for n in schema.names])
        record = self._named.get(name)
        return (record or self._new(table, schema, attributes)).key

    def order(self, table: str, attributes: Mapping[str, Any]) -> tuple[Any, ...]:
        """By which pages go."""
        return _order(attributes, self.schemas[table].names)

    def put(self, record: Record, item: Item | None) -> Version:
        if item is None and record.now.item is None:
            return record.now
        self.sequence += 1
        version = Version(self.sequence, self._clock(), item)
        made = self.made.get(record.key[0])
        if self.streams is not None and made is not None and made.status == ACTIVE:
            self.streams.changed(made, record.key, record.attributes, record.now.item, item)
        record.versions.append(version)
        record.times.append(version.t)
        record.sequences.append(version.sequence)
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
                item = self.get(params["TableName"], params["Key"], at)
                return {} if item is None else {"Item": dict(projected(item, params))}
            case "BatchGetItem":
                return self._batch_get(params, then)
            case "TransactGetItems":
                found = (
                    self.get(part["Get"]["TableName"], part["Get"]["Key"], None)
                    for part in params["TransactItems"]
                )
                return {"Responses": [{} if i is None else {"Item": dict(i)} for i in found]}
            case "Query" | "Scan":
                return self._select(params, then)
            case "DescribeTable":
                made = self.made.get(params["TableName"])
                if made is None or self._clock() < made.described_from:
                    raise missing(params["TableName"])
                streams = {} if self.streams is None else self.streams.described(made)
                return {"Table": {**described(made), **streams}}
        if operation in PARTIQL:
            return self._partiql.read(operation, params, then)
        raise AssertionError(f"{operation} is not simulated")

    def write(self, operation: str, params: Params) -> Result:
        """DynamoDBError: nothing was changed."""
        match operation:
            case "PutItem":
                record = self.record(params["TableName"], params["Item"])
                self.check(record, params)
                return self._changed(record, params, params["Item"], {})
            case "DeleteItem":
                record = self.record(params["TableName"], params["Key"], whole=False)
                self.check(record, params)
                return self._changed(record, params, None, {})
            case "UpdateItem":
                record = self.record(params["TableName"], params["Key"], whole=False)
                self.check(record, params)
                changes = changes_of(params)
                return self._changed(record, params, updated(record, changes), changes)
            case "BatchWriteItem":
                return self._batch_write(params)
            case "TransactWriteItems":
                return self.once(params, lambda: self._transact_write(params))
            case "DeleteTable":
                self.table(params["TableName"])
                return {"TableDescription": described(self.delete_table(params["TableName"]))}
            case "CreateTable":
                if params["TableName"] in self.made:
                    raise DynamoDBError("ResourceInUseException", "Table already exists", 400)
                return {"TableDescription": described(self.create_table(created(params)))}
        if operation in PARTIQL:
            return self._partiql.write(operation, params)
        raise AssertionError(f"{operation} is not simulated")

    def once(self, params: Params, work: Callable[[], Result]) -> Result:
        """Under its ClientRequestToken, if it has one."""
        token = params.get("ClientRequestToken")
        if token is None:
            return work()
        if token not in self._tokens:
            self._tokens[token] = work()
        return self._tokens[token]

    def _changed(self, record: Record, params: Params, after: Item | None, changes: Item) -> Result:
        before = record.now.item or {}
        self.put(record, after)
        given: Item = {}
        match params.get("ReturnValues", "NONE"):
            case "ALL_OLD":
                given = before
            case "ALL_NEW":
                given = after or {}
            case "UPDATED_OLD":
                given = {name: before[name] for name in changes if name in before}
            case "UPDATED_NEW":
                given = changes
        return {"Attributes": dict(given)} if given else {}

    def check(self, record: Record, params: Mapping[str, Any]) -> None:
        item = record.now.item
        condition = params.get("ConditionExpression")
        good = condition is None or holds(condition, params, item or {})
        if good and legacy_holds(params.get("Expected") or {}, item or {}):
            return
        old = params.get("ReturnValuesOnConditionCheckFailure") == "ALL_OLD"
        raise DynamoDBError(
            "ConditionalCheckFailedException",
            "The conditional request failed",
            400,
            item=dict(item) if old and item else None,
        )

    def _batch_write(self, params: Params) -> Result:
        changes: list[tuple[Record, Item | None]] = []
        for table, requests in params["RequestItems"].items():
            for request in requests:
                if "PutRequest" in request:
                    item = request["PutRequest"]["Item"]
                    changes.append((self.record(table, item), item))
                else:
                    key = request["DeleteRequest"]["Key"]
                    changes.append((self.record(table, key, whole=False), None))
        for record, after in changes:
            self.put(record, after)
        return {"UnprocessedItems": {}}

    def _transact_write(self, params: Params) -> Result:
        reasons: list[dict[str, Any]] = []
        changes: list[tuple[Record, Item | None]] = []
        for action in params["TransactItems"]:
            ((kind, body),) = action.items()
            if kind == "Put":
                record = self.record(body["TableName"], body["Item"])
            else:
                record = self.record(body["TableName"], body["Key"], whole=False)
            try:
                self.check(record, body)
                reasons.append({"Code": "None"})
            except DynamoDBError as error:
                reason = {"Code": "ConditionalCheckFailed", "Message": error.message}
                reasons.append(reason if error.item is None else {**reason, "Item": error.item})
            if kind == "Put":
                changes.append((record, body["Item"]))
            elif kind == "Delete":
                changes.append((record, None))
            elif kind == "Update":
                changes.append((record, updated(record, changes_of(body))))
        cancel(reasons)
        for record, item in changes:
            self.put(record, item)
        return {}

    def get(self, table: str, key: Item, at: float | None) -> Item | None:
        record = self.record(table, key, whole=False)
        return self._item(record, at)

    def _item(self, record: Record, at: float | None) -> Item | None:
        if at is None:
            return record.now.item
        return record.at(max(at, self.made[record.key[0]].created_at)).item

    def _batch_get(self, params: Params, then: float) -> Result:
        responses: dict[str, list[Item]] = {}
        for table, part in params["RequestItems"].items():
            at = None if part.get("ConsistentRead") else then
            found = [self.get(table, key, at) for key in part["Keys"]]
            responses[table] = [dict(projected(item, part)) for item in found if item is not None]
        return {"Responses": responses, "UnprocessedKeys": {}}

    def _select(self, params: Params, then: float) -> Result:
        table = self.table(params["TableName"]).table
        at = None if params.get("ConsistentRead") else then
        items = [
            item
            for record in self.by_table[table.name]
            if (item := self._item(record, at)) is not None
        ]
        condition = params.get("KeyConditionExpression")
        legacy = params.get("KeyConditions")
        parts = {p.name: p.type for p in (table.schema.hash, table.schema.range) if p is not None}
        asked = compared(condition, params) if condition else legacy_compared(legacy or {})
        if any(name in parts and parts[name] not in value for name, value in asked):
            raise DynamoDBError("ValidationException", UNLIKE_THE_SCHEMA, 400)
        if condition is not None:
            items = [i for i in items if holds(condition, params, i)]
        if legacy is not None:
            items = [i for i in items if legacy_holds(legacy, i)]
        names = table.schema.names
        items.sort(key=lambda item: _order(item, names))
        start = params.get("ExclusiveStartKey")
        if start is not None:
            items = [item for item in items if _order(item, names) > _order(start, names)]
        limit = params.get("Limit", PAGE_ITEMS)
        result: Result = {"Items": [dict(projected(item, params)) for item in items[:limit]]}
        result["Count"] = result["ScannedCount"] = len(result["Items"])
        if len(items) > limit:
            last = items[limit - 1]
            result["LastEvaluatedKey"] = {name: last[name] for name in names}
        return result

    # -- tables -------------------------------------------------------------------------------

    def delete_table(self, name: str) -> Made:
        """Its items are gone at once, the table soon."""
        made = self.made[name]
        made.status = DELETING
        if self.streams is not None:
            self.streams.table_deleted(made)
        for record in self.by_table[name]:
            self.put(record, None)
        return made

    def deleted(self, made: Made) -> None:
        if self.made.get(made.table.name) is made:
            del self.made[made.table.name]

    def create_table(self, table: SimulatedTable) -> Made:
        self._incarnations += 1
        made = Made(table, f"{table.name}-{self._incarnations}", self._clock(), CREATING)
        self.made[table.name] = made
        self.schemas[table.name] = table.schema
        for record in self.by_table[table.name]:
            if fits(table.schema, record.attributes):
                self.records[record.key] = record
        return made

    def active(self, made: Made) -> None:
        made.status = ACTIVE


def cancel(reasons: list[dict[str, Any]]) -> None:
    """TransactionCanceledException unless all went well."""
    if any(reason["Code"] != "None" for reason in reasons):
        codes = ", ".join(reason["Code"] for reason in reasons)
        raise DynamoDBError(
            "TransactionCanceledException",
            "Transaction cancelled, please refer cancellation reasons for specific reasons "
            f"[{codes}]",
            400,
            reasons=reasons,
        )


def updated(record: Record, changes: Item) -> Item:
    return {**record.attributes, **(record.now.item or {}), **changes}


def error_body(error: DynamoDBError) -> bytes:
    """As it comes over HTTP."""
    body: dict[str, Any] = {
        "__type": f"com.amazonaws.dynamodb.v20120810#{error.name}",
        "message": error.message,
    }
    if error.reasons is not None:
        body["CancellationReasons"] = error.reasons
    if error.item is not None:
        body["Item"] = error.item
    return json.dumps(body).encode()


def _order(item: Mapping[str, Any], names: Iterable[str]) -> tuple[Any, ...]:
    return tuple([scalar(item[name]) for name in names])
