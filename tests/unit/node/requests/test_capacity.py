"""What answers of DynamoDB consumed: as they tell it, or by the sizes of what they show."""

from __future__ import annotations

import json
from typing import Any

import pytest

from node.backend.consumed import note_answer, note_refusal
from node.requests.capacity import VALUES_MAX, CapacityCounts, estimated
from node.requests.counts import OTHER, TABLES_MAX
from node.requests.reach import RAW
from paceline.errors import DynamoDBError

KEY = {"id": {"S": "a"}}


def item_of(size: int) -> dict[str, Any]:
    """So many bytes, as DynamoDB counts them."""
    return {"id": {"S": "x" * (size - 2)}}


def get(size: int, **more: Any) -> tuple[str, dict[str, Any], dict[str, Any]]:
    return "GetItem", {"TableName": "t", "Key": KEY, **more}, {"Item": item_of(size)}


@pytest.mark.parametrize(
    ("operation", "params", "result", "units"),
    [
        (*get(4096), 0.5),
        (*get(4097), 1.0),
        (*get(4096, ConsistentRead=True), 1.0),
        ("GetItem", {"TableName": "t", "Key": KEY}, {}, 0.5),
        ("Query", {"TableName": "t"}, {"Items": [item_of(2048)] * 3}, 1.0),
        ("Query", {"TableName": "t"}, {"Items": [], "ScannedCount": 0}, 0.5),
        # Four were read for each one that the filter let through.
        ("Scan", {"TableName": "t"}, {"Items": [item_of(4096)], "ScannedCount": 4}, 2.0),
        ("PutItem", {"TableName": "t", "Item": item_of(1024)}, {}, 1.0),
        ("PutItem", {"TableName": "t", "Item": item_of(1025)}, {}, 2.0),
        ("PutItem", {"TableName": "t", "Item": KEY}, {"Attributes": item_of(3000)}, 3.0),
        ("DeleteItem", {"TableName": "t", "Key": KEY}, {}, 1.0),
        ("DeleteItem", {"TableName": "t", "Key": KEY}, {"Attributes": item_of(5000)}, 5.0),
        ("UpdateItem", {"TableName": "t", "Key": KEY}, {"Attributes": item_of(2048)}, 2.0),
        (
            "BatchGetItem",
            {"RequestItems": {"t": {"Keys": [KEY, KEY, KEY], "ConsistentRead": True}}},
            {
                "Responses": {"t": [item_of(5000)]},
                "UnprocessedKeys": {"t": {"Keys": [KEY]}},
            },
            3.0,
        ),
        (
            "BatchWriteItem",
            {
                "RequestItems": {
                    "t": [
                        {"PutRequest": {"Item": item_of(2000)}},
                        {"DeleteRequest": {"Key": KEY}},
                    ]
                }
            },
            {},
            3.0,
        ),
        (
            "TransactGetItems",
            {"TransactItems": [{"Get": {"TableName": "t", "Key": KEY}}] * 2},
            {"Responses": [{"Item": item_of(5000)}, {}]},
            6.0,
        ),
        (
            "TransactWriteItems",
            {
                "TransactItems": [
                    {"Put": {"TableName": "t", "Item": item_of(1500)}},
                    {"ConditionCheck": {"TableName": "t", "Key": KEY}},
                ]
            },
            {},
            6.0,
        ),
    ],
)
def test_estimates_follow_dynamodbs_rules(
    operation: str, params: dict[str, Any], result: dict[str, Any], units: float
) -> None:
    assert sum(count for _, count in estimated(operation, params, result)) == units


def test_all_kinds_of_values_have_a_size() -> None:
    item = {
        "é": {"S": "é"},  # 4
        "n": {"N": "12345"},  # 1 + 3
        "b": {"B": b"123"},  # 4
        "t": {"BOOL": True},  # 2
        "z": {"NULL": True},  # 2
        "l": {"L": [{"S": "a"}, {"M": {"k": {"S": "v"}}}]},  # 1 + 3 + 2 + 1 + 3 + 2 + 1
        "s": {"SS": ["a", "bc"]},  # 4
        "m": {"NS": ["1", "22"]},  # 1 + 1 + 2
        "c": {"BS": [b"abc"]},  # 4
    }
    rest = 4096 - (4 + 4 + 4 + 2 + 2 + 13 + 4 + 4 + 4)
    for more, units in ((rest, 0.5), (rest + 1, 1.0)):
        found = estimated(
            "GetItem", {"TableName": "t"}, {"Item": {**item, "p": {"S": "x" * (more - 1)}}}
        )
        assert found == [("t", units)]


def test_of_a_long_page_a_part_is_looked_at() -> None:
    items = [item_of(4096)] * (10 * VALUES_MAX)
    assert estimated("Scan", {"TableName": "t"}, {"Items": items}) == [("t", 5.0 * VALUES_MAX)]


def test_what_an_answer_tells_counts_and_not_the_estimate() -> None:
    counts = CapacityCounts()
    told = {"TableName": "t", "CapacityUnits": 7.5}
    note_answer(counts, *("GetItem", "GetItem"), {"TableName": "t"}, {"ConsumedCapacity": told})
    arn = "arn:aws:dynamodb:us-east-1:123456789012:table/u"
    many = {"ConsumedCapacity": [told, {"TableName": arn, "CapacityUnits": 2}]}
    note_answer(counts, *("BatchWriteItem", "BatchWriteItem"), {}, many)
    assert list(counts.of("read")) == [("t", "told", 7.5)]
    assert list(counts.of("write")) == [("t", "told", 7.5), ("u", "told", 2.0)]


def test_what_was_sent_as_it_came_counts_too() -> None:
    counts = CapacityCounts()

    def passed(name: str, asked: dict[str, Any], answer: bytes) -> None:
        sent = {"Target": f"DynamoDB_20120810.{name}", "Body": json.dumps(asked).encode()}
        note_answer(counts, RAW, name, sent, {"Body": answer, "RequestId": None})

    asked = {"TableName": "t", "Key": KEY, "ConsistentRead": True}
    passed("GetItem", asked, json.dumps({"Item": item_of(5000)}).encode())
    passed("GetItem", asked, b"")
    passed("Scan", {"TableName": "t"}, b" " * 100 * 4096)
    passed("DescribeTable", {"TableName": "t"}, b"{}")
    assert list(counts.of("read")) == [("t", "estimate", 2.0 + 1.0 + 50.0)]


def test_a_condition_that_fails_consumes_and_other_refusals_do_not() -> None:
    counts = CapacityCounts()
    asked = {"TableName": "t", "Item": KEY}
    failed = DynamoDBError("ConditionalCheckFailedException", "x", 400, item=item_of(2000))
    note_refusal(counts, "PutItem", "PutItem", asked, failed)
    raw = {"Target": "DynamoDB_20120810.PutItem", "Body": json.dumps(asked).encode()}
    bare = DynamoDBError("ConditionalCheckFailedException", "x", 400)
    note_refusal(counts, "PutItem", RAW, raw, bare)
    note_refusal(counts, "PutItem", "PutItem", asked, DynamoDBError("ValidationException", "x"))
    assert list(counts.of("write")) == [("t", "estimate", 3.0)]


def test_an_answer_that_cannot_be_counted_stays_an_answer() -> None:
    counts = CapacityCounts()
    note_answer(counts, "BatchGetItem", "BatchGetItem", {}, {})
    note_answer(counts, "GetItem", "GetItem", {"TableName": "t"}, {"Item": {"id": {"S": 5}}})
    note_answer(counts, RAW, "GetItem", {"Body": b"{"}, {"Body": b"{}"})
    assert counts.units == {}


def test_there_are_few_labels() -> None:
    counts = CapacityCounts()
    for place in range(9 * TABLES_MAX):
        counts.answered("GetItem", {"TableName": f"t{place}", "Key": KEY}, {})
    assert len(counts.units) == 4 * TABLES_MAX + 1
    assert (OTHER, "estimate", 2.5 * TABLES_MAX) in counts.of("read")
