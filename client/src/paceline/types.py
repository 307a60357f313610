"""The types that every layer shares: DynamoDB's low-level values, key schemas, keys."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

KeyType = Literal["S", "N", "B"]

AttributeValue = dict[str, Any]
"""One value as boto3's low-level client has it: ``{"S": "x"}``, ``{"N": "1.5"}``,
``{"B": b".."}``, ``{"BOOL": True}``, ``{"NULL": True}``, ``{"L": [..]}``, ``{"M": {..}}``,
``{"SS": [..]}``, ``{"NS": [..]}``, ``{"BS": [..]}``."""

Item = dict[str, AttributeValue]
Params = dict[str, Any]
"""The parameters of a DynamoDB operation, as boto3's low-level client takes them."""
Result = dict[str, Any]
"""The result of a DynamoDB operation, as boto3's low-level client returns it."""

Key = tuple[str, bytes]
"""(table name, canonical DAX key bytes): the identity of an item in caches and fences."""


@dataclass(frozen=True, slots=True)
class KeyAttribute:
    name: str
    type: KeyType


@dataclass(frozen=True, slots=True)
class KeySchema:
    """Primary key of a table: hash attribute, then the range attribute if there is one."""

    hash: KeyAttribute
    range: KeyAttribute | None = None

    @property
    def names(self) -> tuple[str, ...]:
        return (self.hash.name,) if self.range is None else (self.hash.name, self.range.name)

    def key_of(self, item: Mapping[str, AttributeValue]) -> Item:
        """The key attributes of ``item``; KeyError when one is missing."""
        return {name: item[name] for name in self.names}


SchemaOf = Callable[[str], KeySchema]
"""The key schema of a table, by its name."""
