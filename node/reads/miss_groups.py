"""Which misses go to DynamoDB together, and which of a batch's answers is whose. Pure.

A BatchGetItem answers in no order and leaves out what is not there, so that each item has to be
told by its key; and DynamoDB refuses one that names a key twice.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from typing import Any, Final, Protocol, TypeVar

from node.tables.item_keys import item_key, lone_text
from node.tables.table_info import TableInfo
from paceline.dynamodb_operations import BATCH_GET_KEYS_MAX
from paceline.errors import RequestError
from paceline.types import Item, Key, Params, Result

DENIED: Final = frozenset({"AccessDeniedException", "UnknownOperationException"})
"""Names of errors after which a table's misses go one by one for a while: who may read single items
need not have the right to read batches."""


class Fetchable(Protocol):
    """A miss: an item that DynamoDB is to be asked for."""

    @property
    def table(self) -> TableInfo: ...
    @property
    def key(self) -> Key: ...
    @property
    def attributes(self) -> Item:
        """The key as DynamoDB takes it."""

    @property
    def consistent(self) -> bool:
        """It needs a ConsistentRead."""

    @property
    def alone(self) -> bool:
        """Its caller wants to know what this read consumed, which a batch does not tell."""


W = TypeVar("W", bound=Fetchable)


def grouped(misses: Iterable[W], denied: Container[str]) -> list[dict[Key, W]]:
    """Returns groups, in the order of their first misses; those of one go as a GetItem.

    All of a group are of one table and of one consistency, no key is in it twice (whatever its
    spelling), and it has ``BATCH_GET_KEYS_MAX`` at most. Tables in ``denied`` have no others.
    """
    groups: list[dict[Key, W]] = []
    open_: dict[tuple[int, bool], dict[Key, W]] = {}
    for miss in misses:
        kind = (id(miss.table), miss.consistent)
        group = open_.get(kind)
        if miss.alone or miss.table.name in denied or (group is not None and miss.key in group):
            groups.append({miss.key: miss})
        elif group is None or len(group) == BATCH_GET_KEYS_MAX:
            open_[kind] = group = {miss.key: miss}
            groups.append(group)
        else:
            group[miss.key] = miss
    return groups


def request_of(group: Mapping[Key, W]) -> Params:
    """Returns the parameters of a group's BatchGetItem."""
    first = next(iter(group.values()))
    part: Params = {"Keys": [miss.attributes for miss in group.values()]}
    if first.consistent:
        part["ConsistentRead"] = True
    return {"RequestItems": {first.table.name: part}}


def answers_of(group: Mapping[Key, W], result: Result) -> dict[Key, Item | None]:
    """Returns the item of each key that the answer tells of, None where there is none.

    Keys that DynamoDB has left undone are not there. ValueError for what is no answer to this
    group's request: then it tells of nothing.
    """
    table = next(iter(group.values())).table
    responses: dict[str, list[Item]] = result.get("Responses") or {}
    unprocessed: dict[str, Any] = result.get("UnprocessedKeys") or {}
    if not (responses.keys() | unprocessed.keys()) <= {table.name}:
        raise ValueError("it tells of other tables")
    left = unprocessed.get(table.name, {}).get("Keys", ())
    undone = {_key_in(group, table, attributes) for attributes in left}
    found: dict[Key, Item | None] = {}
    for item in responses.get(table.name, ()):
        key = _key_in(group, table, item)
        if key in found or key in undone:
            raise ValueError("it tells of one key twice")
        found[key] = item
    if table.name in responses:
        for key in group:
            if key not in found and key not in undone:
                found[key] = None
    return found


def _key_in(group: Mapping[Key, W], table: TableInfo, item: Item) -> Key:
    schema = table.schema
    try:
        lone = lone_text(schema)
        if lone is not None:
            key = table.name, item[lone]["S"].encode()
        else:
            key = item_key(table.name, schema.key_of(item), schema, "Key")
    except (KeyError, RequestError) as error:
        raise ValueError(f"it has an item without the table's key: {error!r}") from None
    if key not in group:
        raise ValueError("it has an item that was not asked for")
    return key
