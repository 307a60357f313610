"""Random schemas, queries and writes, as requests and as data for the model."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any, Literal

from node.tables.table_info import IndexInfo, TableInfo
from paceline.types import AttributeValue, Item, KeyAttribute, KeySchema, KeyType, Params
from tests.unit.node.reads.model_table import Asked, Condition, ModelTable

TABLE = "t"
TYPES: tuple[KeyType, ...] = ("S", "N", "B")
DOMAIN: dict[KeyType, list[Any]] = {
    "S": ["a", "ab", "b", "ba", "\u00e9", "\uffee", "\U0001f600"],
    "N": ["-20", "-3", "-2.5", "0", "1", "1.5", "2", "10", "1E2"],
    "B": [b"\x00", b"a", b"a\x00", b"ab", b"\x7f\xff", b"\xff", b"\xff\xff"],
}
OPS = ("=", "<", "<=", ">", ">=", "BETWEEN", "begins_with")
OTHERS = ("i1", "i2", "i3")
"""Attributes that index keys are made of, besides the table's own."""


def random_table(rng: random.Random) -> TableInfo:
    base = KeySchema(
        KeyAttribute("h", rng.choice(TYPES)),
        KeyAttribute("r", rng.choice(TYPES)) if rng.random() < 0.8 else None,
    )
    attributes = [KeyAttribute(name, rng.choice(TYPES)) for name in OTHERS]
    indexes: dict[str, IndexInfo] = {}
    if base.range is not None:
        for number in range(rng.randint(0, 2)):
            local = KeySchema(base.hash, rng.choice(attributes))
            indexes[f"lsi{number}"] = IndexInfo("LSI", local)
    own = [base.hash] if base.range is None else [base.hash, base.range]
    for number in range(rng.randint(0, 3)):
        of_hash = rng.choice([*attributes, *attributes, *own])
        rest = [a for a in [*attributes, *own] if a != of_hash]
        of_range = rng.choice(rest) if rng.random() < 0.6 else None
        indexes[f"gsi{number}"] = IndexInfo("GSI", KeySchema(of_hash, of_range))
    return TableInfo(TABLE, base, "id-1", "ACTIVE", indexes)


@dataclass(frozen=True)
class Query:
    operation: str
    params: Params
    asked: Asked


@dataclass
class Write:
    """``changes`` gives what it does to the model when it lands."""

    operation: str
    params: Params
    actions: list[tuple[Literal["put", "delete", "update"], Item, Any]] = field(
        default_factory=list
    )
    """(kind, item or key, the update's assignments)."""

    def changes(self, table: ModelTable) -> list[tuple[Item, Item | None]]:
        done: list[tuple[Item, Item | None]] = []
        for kind, item, assigned in self.actions:
            if kind == "put":
                done.append((item, item))
            elif kind == "delete":
                done.append((item, None))
            else:
                new = dict(table.item(item) or item)
                for action, name, value in assigned:
                    if action == "set":
                        new[name] = value
                    elif action == "keep":
                        new.setdefault(name, value)
                    else:
                        new.pop(name, None)
                done.append((item, new))
        return done


class Requests:
    """A small world of values, so that writes and queries meet often."""

    def __init__(self, rng: random.Random, info: TableInfo) -> None:
        self.rng = rng
        self.info = info
        self.types: dict[str, KeyType] = {
            part.name: part.type
            for schema in [info.schema, *(index.schema for index in info.indexes.values())]
            for part in (schema.hash, schema.range)
            if part is not None
        }
        self.values: dict[str, list[Any]] = {
            name: [{kind: value} for value in rng.sample(DOMAIN[kind], 2 if name == "h" else 5)]
            for name, kind in self.types.items()
        }

    def value(self, name: str) -> AttributeValue:
        if name not in self.values:
            return {"N": str(self.rng.randint(0, 3))}
        value: AttributeValue = self.rng.choice(self.values[name])
        return dict(value)

    # -- items and writes -------------------------------------------------------------------

    def key(self) -> Item:
        return {name: self.value(name) for name in self.info.schema.names}

    def item(self) -> Item:
        item = self.key()
        for name in self.types:
            if name not in item and self.rng.random() < 0.75:
                item[name] = self.value(name)
        item["f"] = self.value("f")
        item["pad"] = {"S": "x" * self.rng.choice([1, 1, 60, 200])}
        return item

    def write(self) -> Write:
        rng = self.rng
        kind = rng.random()
        if kind < 0.3:
            item = self.item()
            return Write("PutItem", {"TableName": TABLE, "Item": item}, [("put", item, None)])
        if kind < 0.45:
            key = self.key()
            return Write("DeleteItem", {"TableName": TABLE, "Key": key}, [("delete", key, None)])
        if kind < 0.8:
            body, action = self._update()
            return Write("UpdateItem", body, [action])
        return self._many(transaction=kind > 0.9)

    def _update(self) -> tuple[Params, tuple[Literal["update"], Item, Any]]:
        rng = self.rng
        key = self.key()
        names = [name for name in self.types if name not in key] + ["f", "pad"]
        chosen = rng.sample(names, rng.randint(1, min(3, len(names))))
        sets, removes, values = [], [], {}
        assigned: list[tuple[str, str, Any]] = []
        placeholders = {}
        for number, name in enumerate(chosen):
            value = self.value(name) if name != "pad" else {"S": "y" * rng.choice([1, 150])}
            placeholders[f"#{number}"] = name
            how = rng.random()
            if how < 0.6:
                sets.append(f"#{number} = :{number}")
                assigned.append(("set", name, value))
            elif how < 0.75:
                sets.append(f"#{number} = if_not_exists(#{number}, :{number})")
                assigned.append(("keep", name, value))
            else:
                removes.append(f"#{number}")
                assigned.append(("remove", name, None))
                continue
            values[f":{number}"] = value
        clauses = [f"SET {', '.join(sets)}"] * bool(sets)
        clauses += [f"REMOVE {', '.join(removes)}"] * bool(removes)
        params: Params = {
            "TableName": TABLE,
            "Key": key,
            "UpdateExpression": " ".join(clauses),
            "ExpressionAttributeNames": placeholders,
        }
        if values:
            params["ExpressionAttributeValues"] = values
        return params, ("update", key, assigned)

    def _many(self, *, transaction: bool) -> Write:
        keys: dict[str, tuple[Any, Any]] = {}
        for _ in range(self.rng.randint(1, 3)):
            how = self.rng.random()
            if how < 0.5:
                item = self.item()
                entry = ({"PutRequest": {"Item": item}}, ("put", item, None))
                body: Params = {"Put": {"TableName": TABLE, "Item": item}}
            elif how < 0.75 or not transaction:
                item = self.key()
                entry = ({"DeleteRequest": {"Key": item}}, ("delete", item, None))
                body = {"Delete": {"TableName": TABLE, "Key": item}}
            else:
                update, action = self._update()
                item = action[1]
                entry = ({}, action)
                body = {"Update": update}
            own = {name: item[name] for name in self.info.schema.names}
            keys.setdefault(str(own), (body if transaction else entry[0], entry[1]))
        requests = [request for request, _ in keys.values()]
        actions = [action for _, action in keys.values()]
        if transaction:
            check = {"ConditionCheck": {"TableName": TABLE, "Key": self.key()}}
            return Write("TransactWriteItems", {"TransactItems": [check, *requests]}, actions)
        return Write("BatchWriteItem", {"RequestItems": {TABLE: requests}}, actions)

    # -- queries ----------------------------------------------------------------------------

    def query(self) -> Query:
        rng = self.rng
        index = rng.choice([None, None, *self.info.indexes])
        schema = self.info.schema if index is None else self.info.indexes[index].schema
        filtered = None
        if rng.random() < 0.3:
            filtered = ("f", Condition(rng.choice(["=", "<", ">="]), (self.value("f"),)))
        is_scan = rng.random() < 0.15
        asked = Asked(
            index=index,
            partition=None if is_scan else self.value(schema.hash.name),
            range=None if is_scan or schema.range is None else self._range(schema.range),
            filter=filtered,
            forward=is_scan or rng.random() < 0.6,
            limit=rng.choice([None, None, 1, 2, 3]),
            projected=rng.choice([None, None, ("h", "f")]),
            count_only=rng.random() < 0.1,
        )
        return Query("Scan" if is_scan else "Query", self._params(asked, schema), asked)

    def _range(self, attribute: KeyAttribute) -> Condition | None:
        if self.rng.random() < 0.3:
            return None
        op = self.rng.choice(OPS if attribute.type != "N" else OPS[:-1])
        values = [self.value(attribute.name)]
        if op == "BETWEEN":
            values.append(self.value(attribute.name))
        elif op == "begins_with":
            ((kind, raw),) = values[0].items()
            values[0] = {kind: raw[: self.rng.randint(1, len(raw))]}
        return Condition(op, tuple(values))

    def _params(self, asked: Asked, schema: KeySchema) -> Params:
        rng = self.rng
        params: Params = {"TableName": TABLE}
        values: dict[str, AttributeValue] = {}
        names: dict[str, str] = {}
        if asked.index is not None:
            params["IndexName"] = asked.index
        if asked.partition is not None:
            names["#h"] = schema.hash.name
            values[":h"] = asked.partition
            condition = rng.choice(["#h = :h", ":h = #h", "(#h = :h)"])
            if asked.range is not None and schema.range is not None:
                names["#r"] = schema.range.name
                values |= {f":r{i}": value for i, value in enumerate(asked.range.values)}
                parts = [condition, _text(asked.range, swapped=rng.random() < 0.3)]
                rng.shuffle(parts)
                condition = " AND ".join(parts)
            params["KeyConditionExpression"] = condition
            if not asked.forward:
                params["ScanIndexForward"] = False
        if asked.filter is not None:
            name, tested = asked.filter
            names["#f"] = name
            values[":f"] = tested.values[0]
            params["FilterExpression"] = f"#f {tested.op} :f"
        if asked.limit is not None:
            params["Limit"] = asked.limit
        if asked.count_only:
            params["Select"] = "COUNT"
        if asked.projected is not None and not asked.count_only:
            params["ProjectionExpression"] = ", ".join(asked.projected)
        if names:
            params["ExpressionAttributeNames"] = names
        if values:
            params["ExpressionAttributeValues"] = values
        return params


_SWAPPED = {"=": "=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}


def _text(condition: Condition, *, swapped: bool) -> str:
    match condition.op:
        case "BETWEEN":
            return "#r BETWEEN :r0 AND :r1"
        case "begins_with":
            return "begins_with(#r, :r0)"
    return f":r0 {_SWAPPED[condition.op]} #r" if swapped else f"#r {condition.op} :r0"
