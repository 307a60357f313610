"""A table as DynamoDB has it, worked out the slow way: every answer from all items.

Shares nothing with the code under test: numbers are compared as decimals, strings as UTF-8,
and conditions come as data, not as text.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from node.tables.table_info import TableInfo
from paceline.types import AttributeValue, Item, KeyAttribute, KeySchema, Result

PAGE_BYTES = 250
"""What one page may read, in place of a megabyte."""

Content = Decimal | bytes
State = dict[tuple[Content, ...], Item]


def content(value: AttributeValue) -> Content:
    """Comparable within one type."""
    ((kind, raw),) = value.items()
    if kind == "N":
        return Decimal(raw)
    return raw.encode() if kind == "S" else bytes(raw)


def has(item: Item, attribute: KeyAttribute) -> bool:
    return attribute.name in item and attribute.type in item[attribute.name]


def size_of(item: Item) -> int:
    return sum(len(name) + len(str(next(iter(value.values())))) for name, value in item.items())


@dataclass(frozen=True)
class Condition:
    """On a sort key or, in a filter, on any attribute."""

    op: str
    values: tuple[AttributeValue, ...]

    def holds(self, value: AttributeValue) -> bool:
        if next(iter(value)) != next(iter(self.values[0])):
            return False
        this, bounds = content(value), [content(bound) for bound in self.values]
        match self.op:
            case "=":
                return this == bounds[0]
            case "<":
                return this < bounds[0]  # type: ignore[operator]
            case "<=":
                return this <= bounds[0]  # type: ignore[operator]
            case ">":
                return this > bounds[0]  # type: ignore[operator]
            case ">=":
                return this >= bounds[0]  # type: ignore[operator]
            case "BETWEEN":
                return bounds[0] <= this <= bounds[1]  # type: ignore[operator]
            case "begins_with":
                assert isinstance(this, bytes)
                assert isinstance(bounds[0], bytes)
                return this.startswith(bounds[0])
        raise AssertionError(self.op)


@dataclass(frozen=True)
class Asked:
    """A Query (``partition`` given) or Scan, as data."""

    index: str | None = None
    partition: AttributeValue | None = None
    range: Condition | None = None
    filter: tuple[str, Condition] | None = None
    forward: bool = True
    limit: int | None = None
    projected: tuple[str, ...] | None = None
    count_only: bool = False


@dataclass
class ModelTable:
    info: TableInfo
    state: State = field(default_factory=dict)
    history: list[tuple[float, State]] = field(default_factory=lambda: [(0.0, {})])
    """States with the times from which they held."""

    def key_of(self, item: Item) -> tuple[Content, ...]:
        return tuple(content(item[name]) for name in self.info.schema.names)

    def change(self, now: float, changes: list[tuple[Item, Item | None]]) -> None:
        """(key, new item or None), all at once."""
        state = dict(self.state)
        for key, item in changes:
            state.pop(self.key_of(key), None)
            if item is not None:
                state[self.key_of(item)] = item
        self.state = state
        self.history.append((now, state))

    def states_since(self, since: float) -> list[State]:
        """All that were true at some time from ``since`` on."""
        first = max(i for i, (start, _) in enumerate(self.history) if start <= max(since, 0.0))
        return [state for _, state in self.history[first:]]

    def item(self, key: Item, state: State | None = None) -> Item | None:
        return (self.state if state is None else state).get(self.key_of(key))

    def answer(self, asked: Asked, start: Item | None, state: State | None = None) -> Result:
        state = self.state if state is None else state
        schema = self.info.indexes[asked.index].schema if asked.index else self.info.schema
        entries = [
            item
            for item in state.values()
            if has(item, schema.hash) and (schema.range is None or has(item, schema.range))
        ]
        if asked.partition is not None:
            wanted = content(asked.partition)
            entries = [item for item in entries if content(item[schema.hash.name]) == wanted]
        if asked.range is not None and schema.range is not None:
            name = schema.range.name
            entries = [item for item in entries if asked.range.holds(item[name])]
        order = _Order(schema, self.info.schema, scan=asked.partition is None)
        entries.sort(key=order, reverse=not asked.forward)
        if start is not None:
            at = order(start)
            entries = [
                item
                for item in entries
                if (order(item) > at if asked.forward else order(item) < at)
            ]
        return self._page(asked, entries, order)

    def _page(self, asked: Asked, entries: list[Item], order: _Order) -> Result:
        read: list[Item] = []
        used = 0
        stopped = False
        for item in entries:
            if read and used + size_of(item) > PAGE_BYTES:
                stopped = True
                break
            read.append(item)
            used += size_of(item)
            if len(read) == asked.limit:
                stopped = True
                break
        found = read
        if asked.filter is not None:
            name, condition = asked.filter
            found = [item for item in read if name in item and condition.holds(item[name])]
        result: Result = {"Count": len(found), "ScannedCount": len(read)}
        if not asked.count_only:
            result["Items"] = [_projected(item, asked.projected) for item in found]
        if stopped:
            result["LastEvaluatedKey"] = {name: read[-1][name] for name in order.names}
        return result


class _Order:
    """By the index's sort key, then by the item's own key; scans by partition first."""

    def __init__(self, schema: KeySchema, base: KeySchema, *, scan: bool) -> None:
        names = [*(schema.names if scan else schema.names[1:]), *base.names]
        self._sort = names
        self.names = list(dict.fromkeys([*schema.names, *base.names]))

    def __call__(self, item: Item) -> tuple[Any, ...]:
        return tuple(content(item[name]) for name in self._sort)


def _projected(item: Item, names: tuple[str, ...] | None) -> Item:
    return item if names is None else {name: item[name] for name in names if name in item}
