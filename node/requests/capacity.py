"""The capacity that answers of DynamoDB consumed: as they tell it where their caller asked for it,
else estimated by the sizes of items. Pure.

An estimate follows DynamoDB's rules: a read takes a unit for each 4 KB of an item, half of that if
it is eventually consistent, a write a unit for each 1 KB, and both twice as much in a transaction.
What an answer does not show is left out, so an estimate is never more than a little too high and
may be too low: an item that a write replaces or deletes, an update's other attributes, secondary
indexes, attributes that a projection leaves out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, Literal

from node.requests.counts import OTHER, TABLES_MAX
from paceline.types import Params, Result

Source = Literal["told", "estimate"]
Kind = Literal["read", "write"]
KINDS: Final[tuple[Kind, ...]] = ("read", "write")

READ_BYTES: Final = 4096
WRITE_BYTES: Final = 1024
VALUES_MAX: Final = 500
"""So many values of an answer are looked at; the rest of its items count as those did."""

_READS: Final = frozenset({"GetItem", "BatchGetItem", "Query", "Scan", "TransactGetItems"})
_WRITES: Final = frozenset(
    {"PutItem", "UpdateItem", "DeleteItem", "BatchWriteItem", "TransactWriteItems"}
)
COUNTED: Final = _READS | _WRITES
FAILED_CONDITION: Final = "ConditionalCheckFailedException"
"""Such a write has changed nothing, and consumed what it would have for the item that is there."""

Units = list[tuple[str, float]]
"""Tables, which may come more than once, and their units."""


class CapacityCounts:
    """``units``: by kind, table and source."""

    def __init__(self) -> None:
        self.units: dict[tuple[Kind, str, Source], float] = {}

    def answered(self, operation: str, params: Params, result: Result) -> None:
        """What DynamoDB has carried out."""
        if operation not in COUNTED:
            return
        kind: Kind = "read" if operation in _READS else "write"
        told = units_told(result)
        if told is not None:
            self._add(kind, "told", told)
        else:
            self._add(kind, "estimate", estimated(operation, params, result))

    def answered_large(self, operation: str, params: Params, units: float) -> None:
        """A read of one table of which only its size is known, in units of strong consistency."""
        table = params.get("TableName")
        if operation in _READS and isinstance(table, str):
            self._add("read", "estimate", [(table, _share(params) * units)])

    def failed_condition(self, operation: str, params: Params, item: Any) -> None:
        """``item``: the one that is there, if the answer has it."""
        table = params.get("TableName")
        if operation in _WRITES and isinstance(table, str):
            self._add("write", "estimate", [(table, _units([_as_item(item)], WRITE_BYTES))])

    def of(self, kind: Kind) -> Iterable[tuple[str, Source, float]]:
        return [
            (table, source, units)
            for (one, table, source), units in self.units.items()
            if one == kind
        ]

    def _add(self, kind: Kind, source: Source, units: Units) -> None:
        for named, count in units:
            table = named.rpartition("/")[2]  # it may be an ARN
            label = kind, table, source
            if label not in self.units and len(self.units) >= 4 * TABLES_MAX:
                label = kind, OTHER, source
            self.units[label] = self.units.get(label, 0.0) + count


def units_told(result: Result) -> Units | None:
    """None: the answer tells of no capacity."""
    told = result.get("ConsumedCapacity")
    if told is None:
        return None
    if isinstance(told, Mapping):
        told = [told]
    if not isinstance(told, list) or not told:
        return None
    found = [
        (str(one.get("TableName", "")), float(one["CapacityUnits"]))
        for one in told
        if isinstance(one, Mapping) and isinstance(one.get("CapacityUnits"), (int, float))
    ]
    return found or None


def estimated(operation: str, params: Params, result: Result) -> Units:
    """Of a request as boto3's low-level client has it that DynamoDB has carried out."""
    table = str(params.get("TableName", ""))
    match operation:
        case "GetItem":
            size, _ = _size(result.get("Item") or {})
            return [(table, _share(params) * max(1, -(-size // READ_BYTES)))]
        case "Query" | "Scan":
            return [(table, _share(params) * _page_units(result))]
        case "BatchGetItem":
            return _of_batch_get(params, result)
        case "TransactGetItems":
            gets = [one["Get"] for one in params["TransactItems"]]
            answers = result.get("Responses") or [{}] * len(gets)
            return [
                (str(get["TableName"]), 2 * _units([one.get("Item") or {}], READ_BYTES))
                for get, one in zip(gets, answers, strict=False)
            ]
        case "PutItem":
            seen = [params.get("Item") or {}, result.get("Attributes") or {}]
            return [(table, _largest(seen))]
        case "UpdateItem" | "DeleteItem":
            seen = [params.get("Key") or {}, result.get("Attributes") or {}]
            return [(table, _largest(seen))]
        case "BatchWriteItem":
            return _of_batch_write(params, result)
        case "TransactWriteItems":
            return [
                (str(part["TableName"]), 2 * _largest([part.get("Item") or part.get("Key") or {}]))
                for one in params["TransactItems"]
                for part in one.values()
            ]
    return []


def _share(request: Mapping[str, Any]) -> float:
    return 1.0 if request.get("ConsistentRead") is True else 0.5


def _page_units(result: Result) -> float:
    """A page is read as a whole; what its filter took out counts as much as the rest."""
    items: Sequence[Any] = result.get("Items") or ()
    size = float(_sizes(items))
    seen = result.get("ScannedCount")
    if items and isinstance(seen, int) and seen > len(items):
        size *= seen / len(items)
    return max(1.0, -(-size // READ_BYTES))


def _of_batch_get(params: Params, result: Result) -> Units:
    """Keys without an item are read, too; those that are left to ask for again are not."""
    left = result.get("UnprocessedKeys") or {}
    found = result.get("Responses") or {}
    units: Units = []
    for table, asked in params["RequestItems"].items():
        items = found.get(table) or []
        keys = len(asked["Keys"]) - len((left.get(table) or {}).get("Keys") or ())
        absent = max(0, keys - len(items))
        units.append((table, _share(asked) * (_units(items, READ_BYTES) + absent)))
    return units


def _of_batch_write(params: Params, result: Result) -> Units:
    left = result.get("UnprocessedItems") or {}
    units: Units = []
    for table, requests in params["RequestItems"].items():
        items = [(one.get("PutRequest") or {}).get("Item") or {} for one in requests]
        written = len(requests) - len(left.get(table) or ())
        share = written / len(requests) if requests else 0.0
        units.append((table, share * _units(items, WRITE_BYTES)))
    return units


def _largest(items: Iterable[Any]) -> float:
    return max(_units([item], WRITE_BYTES) for item in items)


def _as_item(item: Any) -> Any:
    return item if isinstance(item, Mapping) else {}


def _units(items: Sequence[Any], unit_bytes: int) -> float:
    """Each item takes one at least."""
    return _summed(items, lambda size: max(1, -(-size // unit_bytes)))


def _sizes(items: Sequence[Any]) -> float:
    return _summed(items, lambda size: size)


def _summed(items: Sequence[Any], cost: Callable[[int], int]) -> float:
    """Items after the first ``VALUES_MAX`` values cost as much as those before did."""
    total = values = 0
    for looked, item in enumerate(items, 1):
        size, count = _size(item)
        total += cost(size)
        values += count
        if values >= VALUES_MAX:
            return total * len(items) / looked
    return float(total)


def _size(item: Mapping[str, Mapping[str, Any]]) -> tuple[int, int]:
    """Bytes of an item as DynamoDB counts them, and how many values were looked at; of an item of
    more than ``VALUES_MAX`` values the bytes of so many."""
    size = count = 0
    left: list[Any] = []
    for name, value in item.items():
        size += len(name) if name.isascii() else _text_bytes(name)
        text = value.get("S")
        if text is None:
            left.append(value)
        else:  # most are texts
            count += 1
            size += len(text) if text.isascii() else _text_bytes(text)
    while left and count < VALUES_MAX:
        count += 1
        for kind, content in left.pop().items():
            if kind == "S":
                size += _text_bytes(content)
            elif kind == "N":
                size += len(content) // 2 + 1
            elif kind == "B":
                size += len(content)
            elif kind == "M":
                size += 3
                for name, value in content.items():
                    size += _text_bytes(name) + 1
                    left.append(value)
            elif kind == "L":
                size += 3 + len(content)
                left += content
            elif kind in {"SS", "BS"}:
                size += sum(map(len, content))
            elif kind == "NS":
                size += sum(len(one) // 2 + 1 for one in content)
            else:
                size += 1
    return size, count


def _text_bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "replace"))
