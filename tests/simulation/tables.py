"""The tables of the simulated DynamoDB: what they are, and what DescribeTable says of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from paceline.errors import DynamoDBError
from paceline.types import KeyAttribute, KeySchema, Params, Result

ACTIVE, CREATING, DELETING = "ACTIVE", "CREATING", "DELETING"


@dataclass(frozen=True)
class SimulatedIndex:
    name: str
    schema: KeySchema


@dataclass(frozen=True)
class SimulatedTable:
    name: str
    schema: KeySchema
    index: SimulatedIndex | None = None


HASHED, NUMBERED, RANGED = "hashed", "numbered", "ranged"

TABLES = (
    SimulatedTable(HASHED, KeySchema(KeyAttribute("id", "S"))),
    SimulatedTable(NUMBERED, KeySchema(KeyAttribute("n", "N"))),
    SimulatedTable(
        RANGED,
        KeySchema(KeyAttribute("p", "S"), KeyAttribute("s", "N")),
        SimulatedIndex("by-g", KeySchema(KeyAttribute("g", "S"))),
    ),
)


@dataclass
class Made:
    """A table as it is now. ``created_at``: nothing of it can be older, whatever was there under
    its name."""

    table: SimulatedTable
    table_id: str
    created_at: float = 0.0
    status: str = ACTIVE
    described_from: float = 0.0
    """Until then DescribeTable may not know it."""


def missing(table: str | None = None) -> DynamoDBError:
    """``table``: as DescribeTable says it."""
    more = f": Table: {table} not found" if table else ""
    return DynamoDBError("ResourceNotFoundException", f"Requested resource not found{more}", 400)


def invalid(message: str) -> DynamoDBError:
    return DynamoDBError("ValidationException", message, 400)


def fits(schema: KeySchema, attributes: Mapping[str, Any]) -> bool:
    """Whether these are a key of such a table."""
    return all(
        part is None or part.type in attributes.get(part.name, {})
        for part in (schema.hash, schema.range)
    )


def check_key(schema: KeySchema, attributes: Mapping[str, Any], *, whole: bool) -> None:
    """``whole``: of an item, not of a key alone."""
    for part in (schema.hash, schema.range):
        if part is None:
            continue
        value = attributes.get(part.name)
        if value is not None and part.type in value:
            continue
        if not whole:
            raise invalid("The provided key element does not match the schema")
        if value is None:
            raise invalid(
                "One or more parameter values were invalid: "
                f"Missing the key {part.name} in the item"
            )
        raise invalid(
            "One or more parameter values were invalid: Type mismatch for key "
            f"{part.name} expected: {part.type} actual: {next(iter(value))}"
        )


def described(made: Made) -> Result:
    table = made.table
    schemas = [table.schema, *([table.index.schema] if table.index else [])]
    attributes = {
        part.name: part.type
        for schema in schemas
        for part in (schema.hash, schema.range)
        if part is not None
    }
    description: Result = {
        "TableName": table.name,
        "TableId": made.table_id,
        "TableStatus": made.status,
        "KeySchema": _elements(table.schema),
        "AttributeDefinitions": [
            {"AttributeName": name, "AttributeType": kind} for name, kind in attributes.items()
        ],
    }
    if table.index is not None:
        description["GlobalSecondaryIndexes"] = [
            {"IndexName": table.index.name, "KeySchema": _elements(table.index.schema)}
        ]
    return description


def creation(table: SimulatedTable) -> Params:
    """CreateTable's parameters."""
    description = described(Made(table, ""))
    indexes = [
        {**index, "Projection": {"ProjectionType": "ALL"}}
        for index in description.get("GlobalSecondaryIndexes", ())
    ]
    params = {
        "TableName": table.name,
        "KeySchema": description["KeySchema"],
        "AttributeDefinitions": description["AttributeDefinitions"],
        "BillingMode": "PAY_PER_REQUEST",
    }
    return {**params, "GlobalSecondaryIndexes": indexes} if indexes else params


def created(params: Params) -> SimulatedTable:
    types = {
        attribute["AttributeName"]: attribute["AttributeType"]
        for attribute in params["AttributeDefinitions"]
    }
    (index,) = params.get("GlobalSecondaryIndexes") or (None,)
    return SimulatedTable(
        params["TableName"],
        _schema(params["KeySchema"], types),
        None
        if index is None
        else SimulatedIndex(index["IndexName"], _schema(index["KeySchema"], types)),
    )


def _schema(elements: list[dict[str, str]], types: Mapping[str, Any]) -> KeySchema:
    parts = [KeyAttribute(e["AttributeName"], types[e["AttributeName"]]) for e in elements]
    return KeySchema(*parts)


def variants(table: SimulatedTable) -> tuple[SimulatedTable, SimulatedTable]:
    """The table, and one of its name whose last key attribute is of another type."""
    schema = table.schema
    last = schema.range or schema.hash
    other = KeyAttribute(last.name, "S" if last.type == "N" else "N")
    changed = KeySchema(other) if schema.range is None else KeySchema(schema.hash, other)
    return table, replace(table, schema=changed)


def _elements(schema: KeySchema) -> list[dict[str, str]]:
    elements = [{"AttributeName": schema.hash.name, "KeyType": "HASH"}]
    if schema.range is not None:
        elements.append({"AttributeName": schema.range.name, "KeyType": "RANGE"})
    return elements
