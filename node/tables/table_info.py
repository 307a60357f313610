"""What DynamoDB says of a table, as far as a node needs it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from paceline.types import KeyAttribute, KeySchema

TABLES_MAX = 1000
"""The most tables known at a time; an AWS account has 2500 per region at most by default, an
application uses tens. The one not used for longest goes first, its cached items with it."""


@dataclass(frozen=True, slots=True)
class IndexInfo:
    """``compound``: its keys have more attributes than ``schema`` can say, which names the last."""

    kind: Literal["GSI", "LSI"]
    schema: KeySchema
    compound: bool = False


@dataclass(frozen=True, slots=True)
class TableInfo:
    """``table_id`` differs between a table and its re-creation under the same name."""

    name: str
    schema: KeySchema
    table_id: str
    status: str
    indexes: Mapping[str, IndexInfo]

    @classmethod
    def of(cls, description: Mapping[str, Any]) -> TableInfo:
        """Makes it of the ``Table`` of a DescribeTable result."""
        types = {
            attribute["AttributeName"]: attribute["AttributeType"]
            for attribute in description["AttributeDefinitions"]
        }
        kinds: tuple[tuple[Literal["GSI", "LSI"], str], ...] = (
            ("GSI", "GlobalSecondaryIndexes"),
            ("LSI", "LocalSecondaryIndexes"),
        )
        return cls(
            name=description["TableName"],
            schema=_schema(description["KeySchema"], types),
            # Stand-ins without TableId: a re-creation has another date.
            table_id=str(description.get("TableId") or description.get("CreationDateTime") or ""),
            status=description.get("TableStatus", "ACTIVE"),
            indexes={
                index["IndexName"]: IndexInfo(
                    kind, _schema(index["KeySchema"], types), _is_compound(index["KeySchema"])
                )
                for kind, field in kinds
                for index in description.get(field) or ()
            },
        )

    def same_content(self, other: TableInfo) -> bool:
        """True if what was cached of ``self`` is still of use under ``other``."""
        return (
            self.table_id == other.table_id
            and self.schema == other.schema
            and self.indexes == other.indexes
            and (other.status != "DELETING" or self.status == "DELETING")
        )


def _schema(elements: list[dict[str, str]], types: Mapping[str, Any]) -> KeySchema:
    by_role = {element["KeyType"]: element["AttributeName"] for element in elements}
    name = by_role.get("RANGE")
    return KeySchema(
        KeyAttribute(by_role["HASH"], types[by_role["HASH"]]),
        None if name is None else KeyAttribute(name, types[name]),
    )


def _is_compound(elements: list[dict[str, str]]) -> bool:
    return len({element["KeyType"] for element in elements}) < len(elements)
