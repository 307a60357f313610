"""Operations on items: leading keys, attributes, what is selected and returned. Pure.

A batch needs its own action for each of its items, a transaction the action of each item's
operation, with the name of the transaction as EnclosingOperation. Parameters that DynamoDB refuses
need what a request without them would: it is DynamoDB that says what is wrong with them, to those
who may ask.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from node.access.expressions import add_attributes, add_select, hide_leading, partition_values
from node.access.need import (
    ATTRIBUTES,
    ENCLOSING_OPERATIONS,
    LEADING_KEYS,
    RETURN_CONSUMED_CAPACITY,
    RETURN_VALUES,
    SELECT,
    Facts,
    Need,
)
from node.access.places import Place, index_of
from node.requests.table_names import table_of
from node.tables.table_info import TableInfo
from paceline.dax.numbers import normalize
from paceline.types import KeyAttribute

InfoOf = Callable[[str], TableInfo | None]
"""What is known of a table by its name; None if nothing is."""

_ON_FAILURE: Final = "ReturnValuesOnConditionCheckFailure"
_KEYED: Final = {"TableName", "ExpressionAttributeNames", "ReturnConsumedCapacity"}
_READ: Final = {*_KEYED, "AttributesToGet", "ConsistentRead", "ProjectionExpression"}
_GUARDED: Final = {*_KEYED, "ConditionExpression", "ExpressionAttributeValues", _ON_FAILURE}
_CHANGE: Final = {
    *(*_GUARDED, "ConditionalOperator", "Expected", "ReturnItemCollectionMetrics"),
    "ReturnValues",
}
_PAGE: Final = {
    *(*_READ, "ConditionalOperator", "ExclusiveStartKey", "ExpressionAttributeValues"),
    *("FilterExpression", "IndexName", "Limit", "Select"),
}
PARAMETERS: Final[Mapping[str, frozenset[str]]] = {
    name: frozenset(parameters)
    for name, parameters in {
        "GetItem": {*_READ, "Key"},
        "Query": {*_PAGE, "KeyConditionExpression", "KeyConditions", "QueryFilter"}
        | {"ScanIndexForward"},
        "Scan": {*_PAGE, "ScanFilter", "Segment", "TotalSegments"},
        "PutItem": {*_CHANGE, "Item"},
        "UpdateItem": {*_CHANGE, "AttributeUpdates", "Key", "UpdateExpression"},
        "DeleteItem": {*_CHANGE, "Key"},
        "Get": {*_KEYED, "Key", "ProjectionExpression"},
        "Put": {*_GUARDED, "Item"},
        "Update": {*_GUARDED, "Key", "UpdateExpression"},
        "Delete": {*_GUARDED, "Key"},
        "ConditionCheck": {*_GUARDED, "Key"},
        "KeysAndAttributes": {*_READ, "Key"},
        "PutRequest": {"TableName", "Item", "ReturnConsumedCapacity"},
        "DeleteRequest": {"TableName", "Key", "ReturnConsumedCapacity"},
    }.items()
}
"""By operation, or by the part of a transaction or batch: what DynamoDB reads there. What else is
there may mean something to a later DynamoDB, and means nothing to that of today."""

_TRANSACTED: Final = {
    "Get": "GetItem",
    "Put": "PutItem",
    "Update": "UpdateItem",
    "Delete": "DeleteItem",
    "ConditionCheck": "ConditionCheckItem",
}
"""Action by member of a transaction's entry."""

_READS: Final = ("GetItem", "Get", "KeysAndAttributes", "Query", "Scan")
_RETURNS_ALL: Final = "ALL_OLD"


@dataclass(frozen=True, slots=True)
class ItemNeeds:
    place: Place
    info_of: InfoOf

    def one(
        self, part: str, params: Mapping[str, Any], enclosing: str | None = None
    ) -> Iterator[Need]:
        """GetItem, Query, Scan, PutItem, UpdateItem or DeleteItem, or a part of the transaction
        ``enclosing``."""
        action = _TRANSACTED.get(part, part)

        def find() -> Facts:
            return self._facts(part, params, enclosing)

        index = params.get("IndexName") if action in ("Query", "Scan") else None
        for table in self.place.tables(params.get("TableName")):
            resource = table if index is None else index_of(table, index)
            yield Need(f"dynamodb:{action}", resource, find)
            # An item that comes with a failed condition is one that is read.
            if params.get(_ON_FAILURE) not in (None, "NONE") and (
                params.get("ReturnValues") not in (None, "NONE")
            ):
                yield Need(f"dynamodb:{action}", resource, lambda: with_old_item(find()))

    def transaction(self, operation: str, params: Mapping[str, Any]) -> Iterator[Need]:
        entries = params.get("TransactItems")
        reads = operation == "TransactGetItems"
        if not isinstance(entries, list | tuple) or not entries:
            entries = [{}]
        for entry in entries:
            members = entry if isinstance(entry, Mapping) else {}
            known = {
                name: part
                for name, part in members.items()
                if name in _TRANSACTED and isinstance(part, Mapping)
            }
            for name, part in known.items():
                whole = {**part, **self._capacity(params)}
                yield from self.one(name, whole, operation)
            if len(known) != 1 or len(members) != 1 or reads is not ("Get" in known):
                # DynamoDB refuses it, or passes over what it does not know.
                for action in ["GetItem"] if reads else list(_TRANSACTED.values())[1:]:
                    yield Need(f"dynamodb:{action}", self.place.any_table, _nothing_known)

    def batch_get(self, params: Mapping[str, Any]) -> Iterator[Need]:
        for table, asked in self._tables(params):
            given = asked if isinstance(asked, Mapping) else {}
            keys = given.get("Keys")
            rest = {name: value for name, value in given.items() if name != "Keys"}
            rest.update(self._capacity(params))
            if not isinstance(keys, list | tuple) or not keys:
                keys = [None]
            for key in keys:
                whole = {**rest, "TableName": table, "Key": key}
                yield from self._batched("BatchGetItem", "KeysAndAttributes", whole)

    def batch_write(self, params: Mapping[str, Any]) -> Iterator[Need]:
        for table, asked in self._tables(params):
            entries = asked if isinstance(asked, list | tuple) and asked else [None]
            for entry in entries:
                whole = {"TableName": table, **self._capacity(params)}
                kind = "DeleteRequest"
                members = entry if isinstance(entry, Mapping) else {}
                for name in ("PutRequest", "DeleteRequest"):
                    part = members.get(name)
                    if isinstance(part, Mapping) and len(members) == 1:
                        kind = name
                        whole |= {**part, "TableName": table}
                yield from self._batched("BatchWriteItem", kind, whole)

    def _batched(self, action: str, kind: str, params: Mapping[str, Any]) -> Iterator[Need]:
        for resource in self.place.tables(params["TableName"]):
            yield Need(f"dynamodb:{action}", resource, lambda: self._facts(kind, params, None))

    def _tables(self, params: Mapping[str, Any]) -> list[tuple[Any, Any]]:
        tables = params.get("RequestItems")
        return list(tables.items()) if isinstance(tables, Mapping) and tables else [(None, None)]

    @staticmethod
    def _capacity(params: Mapping[str, Any]) -> dict[str, Any]:
        name = "ReturnConsumedCapacity"
        return {name: params[name]} if name in params else {}

    def _facts(self, part: str, params: Mapping[str, Any], enclosing: str | None) -> Facts:
        facts = Facts()
        strange = sorted(map(str, params.keys() - PARAMETERS[part]))
        if strange:
            # Nor may it stand for one that would be read elsewhere: a projection, say.
            facts.hide(
                f"this version of Paceline does not know the parameter {strange[0]}",
                (LEADING_KEYS, ATTRIBUTES, SELECT, RETURN_VALUES),
            )
        if enclosing is not None:
            for key in ENCLOSING_OPERATIONS:
                facts.add(key, enclosing)
        facts.add_text(RETURN_CONSUMED_CAPACITY, params.get("ReturnConsumedCapacity"))
        add_attributes(facts, params)
        if part in _READS:
            add_select(facts, params, of_index=params.get("IndexName") is not None)
        else:
            facts.add_text(RETURN_VALUES, params.get("ReturnValues"))
            if params.get(_ON_FAILURE) not in (None, "NONE") and (
                params.get("ReturnValues") in (None, "NONE")
            ):
                facts = with_old_item(facts)
        if part != "Scan":
            self._add_leading(facts, part, params)
        return facts

    def _add_leading(self, facts: Facts, kind: str, params: Mapping[str, Any]) -> None:
        name = table_of(params.get("TableName"))
        info = None if name is None else self.info_of(name)
        if info is None:
            hide_leading(facts, f"it is not known here what the keys of {name} are")
            return
        if kind == "Query":
            part = hash_of(info, params.get("IndexName"))
            if part is None:
                hide_leading(facts, f"the keys of the index {params.get('IndexName')} are not read")
                return
            values = partition_values(params, part.name)
            given = values[0] if len(values) == 1 else None
        else:
            part = info.schema.hash
            item = params.get("Item" if "Item" in PARAMETERS[kind] else "Key")
            given = item.get(part.name) if isinstance(item, Mapping) else None
        leading = leading_key(given, part)
        if leading is None:
            hide_leading(facts, f"it has no value of {part.name} that can be read")
        else:
            facts.add(LEADING_KEYS, leading)


def hash_of(info: TableInfo, index: object) -> KeyAttribute | None:
    """None for an index that is not known, or whose partition key has several attributes."""
    if index is None:
        return info.schema.hash
    known = info.indexes.get(index) if isinstance(index, str) else None
    return None if known is None or known.compound else known.schema.hash


def leading_key(value: object, part: KeyAttribute) -> str | None:
    """The value of a partition key as policies compare it: text as it is, numbers as DynamoDB
    spells them, binary values as base64. None for what is no value of the key's."""
    if not isinstance(value, Mapping) or len(value) != 1:
        return None
    given = value.get(part.type)
    if part.type == "B":
        return base64.b64encode(given).decode() if isinstance(given, bytes | bytearray) else None
    if not isinstance(given, str):
        return None
    if part.type == "S":
        return given
    try:
        return normalize(given)
    except ValueError:
        return None


def with_old_item(facts: Facts) -> Facts:
    made = facts.copy()
    made.context[RETURN_VALUES] = (_RETURNS_ALL,)
    return made


def _nothing_known() -> Facts:
    facts = Facts()
    facts.hide("the request is none that DynamoDB takes")
    return facts
