"""Requests of far more parts than DynamoDB's are refused before their parts are looked at."""

from __future__ import annotations

from typing import Any

import pytest

from node.requests.excess import ENTRIES_MAX, PLACEHOLDERS_MAX, refuse_excess
from paceline.dax.validity import SurelyInvalid

KEY = {"id": {"S": "a"}}
DELETE = {"DeleteRequest": {"Key": KEY}}


def batch_get(tables: int, keys: int) -> dict[str, Any]:
    return {"RequestItems": {f"t{n}": {"Keys": [KEY] * keys} for n in range(tables)}}


def batch_write(tables: int, writes: int) -> dict[str, Any]:
    return {"RequestItems": {f"t{n}": [DELETE] * writes for n in range(tables)}}


def placeholders(count: int) -> dict[str, Any]:
    return {"ExpressionAttributeNames": {f"#a{n}": "a" for n in range(count)}}


def values(count: int) -> dict[str, Any]:
    return {"ExpressionAttributeValues": {f":a{n}": {"N": "1"} for n in range(count)}}


MOST = [
    ("BatchGetItem", batch_get(1, ENTRIES_MAX), batch_get(1, ENTRIES_MAX + 1)),
    ("BatchGetItem", batch_get(ENTRIES_MAX, 1), batch_get(ENTRIES_MAX + 1, 0)),
    ("BatchWriteItem", batch_write(2, ENTRIES_MAX // 2), batch_write(2, ENTRIES_MAX // 2 + 1)),
    (
        "TransactWriteItems",
        {"TransactItems": [{"Delete": {"Key": KEY}}] * ENTRIES_MAX},
        {"TransactItems": [{"Delete": {"Key": KEY}}] * (ENTRIES_MAX + 1)},
    ),
    (
        "BatchExecuteStatement",
        {"Statements": [{}] * ENTRIES_MAX},
        {"Statements": [{}] * (ENTRIES_MAX + 1)},
    ),
    (
        "ExecuteTransaction",
        {"TransactStatements": [{}] * ENTRIES_MAX},
        {"TransactStatements": [{}] * (ENTRIES_MAX + 1)},
    ),
    ("UpdateItem", placeholders(PLACEHOLDERS_MAX), placeholders(PLACEHOLDERS_MAX + 1)),
    ("Query", values(PLACEHOLDERS_MAX), values(PLACEHOLDERS_MAX + 1)),
    (
        "BatchGetItem",
        {"RequestItems": {"t": placeholders(PLACEHOLDERS_MAX)}},
        {"RequestItems": {"t": placeholders(PLACEHOLDERS_MAX + 1)}},
    ),
    (
        "TransactWriteItems",
        {"TransactItems": [{"Update": values(PLACEHOLDERS_MAX)}]},
        {"TransactItems": [{"Update": values(PLACEHOLDERS_MAX + 1)}]},
    ),
]


@pytest.mark.parametrize(("operation", "most", "more"), MOST)
def test_the_most_and_more(operation: str, most: Any, more: Any) -> None:
    refuse_excess(operation, most)
    with pytest.raises(SurelyInvalid) as refused:
        refuse_excess(operation, more)
    assert len(refused.value.message) < 300


@pytest.mark.parametrize(
    "params",
    [
        {"RequestItems": [1] * 1000},
        {"RequestItems": {"t": 1, "u": {"Keys": {}}, "v": {"Keys": "x" * 1000}}},
        {"TransactItems": {"a": 1}, "Statements": "x" * 1000},
        {"TransactItems": [1, {"Put": [1]}, {"Put": {"ExpressionAttributeNames": [1] * 9000}}]},
        {"ExpressionAttributeNames": "x" * 9000, "ExpressionAttributeValues": None},
    ],
)
def test_members_of_the_wrong_kind_are_dynamodbs_to_refuse(params: dict[str, Any]) -> None:
    refuse_excess("BatchGetItem", params)
