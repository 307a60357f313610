"""Merges what several rounds of one batch answered. Pure.

DynamoDB may leave a part of a batch undone (``UnprocessedItems``, ``UnprocessedKeys``). The part is
sent again, and the caller gets one result. Results are boto3's low-level dictionaries.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from paceline.types import Result


def writes_in(request_items: dict[str, list[Any]]) -> int:
    """Returns the number of puts and deletes in ``RequestItems`` or ``UnprocessedItems``."""
    return sum(len(requests) for requests in request_items.values())


def keys_in(request_items: dict[str, dict[str, Any]]) -> int:
    """Returns the number of keys in ``RequestItems`` or ``UnprocessedKeys`` of a BatchGetItem."""
    return sum(len(part["Keys"]) for part in request_items.values())


def merge_write(total: Result, part: Result) -> Result:
    """``UnprocessedItems`` are those of the last round."""
    merged: Result = {"UnprocessedItems": part.get("UnprocessedItems") or {}}
    if capacity := _capacities(total, part):
        merged["ConsumedCapacity"] = capacity
    metrics: dict[str, list[Any]] = {}
    for result in (total, part):
        for table, entries in (result.get("ItemCollectionMetrics") or {}).items():
            metrics[table] = _newest_metrics([*metrics.get(table, []), *entries])
    if metrics:
        merged["ItemCollectionMetrics"] = metrics
    return merged


def merge_get(total: Result, part: Result) -> Result:
    """``UnprocessedKeys`` are those of the last round."""
    responses: dict[str, list[Any]] = {}
    for result in (total, part):
        for table, items in (result.get("Responses") or {}).items():
            responses.setdefault(table, []).extend(items)
    merged: Result = {
        "Responses": responses,
        "UnprocessedKeys": part.get("UnprocessedKeys") or {},
    }
    if capacity := _capacities(total, part):
        merged["ConsumedCapacity"] = capacity
    return merged


def _capacities(*results: Result) -> list[dict[str, Any]]:
    """Returns one ConsumedCapacity per table, in the order in which tables first appear."""
    by_table: dict[str, dict[str, Any]] = {}
    for result in results:
        for entry in result.get("ConsumedCapacity") or ():
            name = entry.get("TableName", "")
            by_table[name] = _added(by_table[name], entry) if name in by_table else entry
    return list(by_table.values())


def _added(left: dict[str, Any], right: dict[str, Any]) -> dict[str, Any]:
    total = dict(left)
    for name, value in right.items():
        if name not in total or isinstance(value, str):
            total[name] = value
        elif isinstance(value, dict):
            total[name] = _added(total[name], value)
        else:
            total[name] = total[name] + value
    return total


def _newest_metrics(entries: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Returns one entry per item collection: the estimate of the last round stands."""
    by_collection = {repr(entry.get("ItemCollectionKey")): entry for entry in entries}
    return list(by_collection.values())
