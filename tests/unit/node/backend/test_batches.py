import random

from node.backend.batches import keys_in, merge_get, merge_write, writes_in
from node.backend.retry import BASE_S, CAP_S, Backoff

PUT = {"PutRequest": {"Item": {"id": {"S": "1"}}}}


def test_counts() -> None:
    assert writes_in({"a": [PUT, PUT], "b": [PUT]}) == 3
    assert keys_in({"a": {"Keys": [{}, {}]}, "b": {"Keys": [{}], "ConsistentRead": True}}) == 3


def test_rounds_of_a_batch_write_become_one_result() -> None:
    first = {
        "UnprocessedItems": {"a": [PUT]},
        "ConsumedCapacity": [
            {
                "TableName": "a",
                "CapacityUnits": 2.0,
                "Table": {"CapacityUnits": 1.0},
                "GlobalSecondaryIndexes": {"g": {"CapacityUnits": 1.0}},
            },
            {"TableName": "b", "CapacityUnits": 5.0},
        ],
        "ItemCollectionMetrics": {
            "a": [{"ItemCollectionKey": {"id": {"S": "1"}}, "SizeEstimateRangeGB": [0.0, 1.0]}]
        },
    }
    second = {
        "UnprocessedItems": {},
        "ConsumedCapacity": [
            {
                "TableName": "a",
                "CapacityUnits": 3.0,
                "Table": {"CapacityUnits": 1.0},
                "GlobalSecondaryIndexes": {
                    "g": {"CapacityUnits": 1.0},
                    "h": {"CapacityUnits": 1.0},
                },
            }
        ],
        "ItemCollectionMetrics": {
            "a": [
                {"ItemCollectionKey": {"id": {"S": "1"}}, "SizeEstimateRangeGB": [1.0, 2.0]},
                {"ItemCollectionKey": {"id": {"S": "2"}}, "SizeEstimateRangeGB": [0.0, 1.0]},
            ]
        },
    }
    assert merge_write(merge_write({}, first), second) == {
        "UnprocessedItems": {},
        "ConsumedCapacity": [
            {
                "TableName": "a",
                "CapacityUnits": 5.0,
                "Table": {"CapacityUnits": 2.0},
                "GlobalSecondaryIndexes": {
                    "g": {"CapacityUnits": 2.0},
                    "h": {"CapacityUnits": 1.0},
                },
            },
            {"TableName": "b", "CapacityUnits": 5.0},
        ],
        "ItemCollectionMetrics": {
            "a": [
                {"ItemCollectionKey": {"id": {"S": "1"}}, "SizeEstimateRangeGB": [1.0, 2.0]},
                {"ItemCollectionKey": {"id": {"S": "2"}}, "SizeEstimateRangeGB": [0.0, 1.0]},
            ]
        },
    }


def test_absent_parts_stay_absent() -> None:
    assert merge_write({}, {}) == {"UnprocessedItems": {}}
    assert merge_get({}, {}) == {"Responses": {}, "UnprocessedKeys": {}}


def test_rounds_of_a_batch_get_become_one_result() -> None:
    one, two, three = ({"id": {"S": n}} for n in "123")
    first = {
        "Responses": {"a": [one]},
        "UnprocessedKeys": {"a": {"Keys": [two]}, "b": {"Keys": [three]}},
        "ConsumedCapacity": [{"TableName": "a", "CapacityUnits": 0.5}],
    }
    second = {
        "Responses": {"a": [two], "b": []},
        "UnprocessedKeys": {"b": {"Keys": [three]}},
        "ConsumedCapacity": [
            {"TableName": "a", "CapacityUnits": 0.5},
            {"TableName": "b", "CapacityUnits": 1.0},
        ],
    }
    assert merge_get(first, second) == {
        "Responses": {"a": [one, two], "b": []},
        "UnprocessedKeys": {"b": {"Keys": [three]}},
        "ConsumedCapacity": [
            {"TableName": "a", "CapacityUnits": 1.0},
            {"TableName": "b", "CapacityUnits": 1.0},
        ],
    }


def test_pauses_double_up_to_the_cap_and_are_jittered() -> None:
    backoff = Backoff(random.Random(1))
    ceiling = BASE_S
    pauses = []
    for _ in range(12):
        pause = backoff.pause_s()
        assert ceiling / 2 <= pause <= ceiling
        pauses.append(pause)
        ceiling = min(ceiling * 2, CAP_S)
    assert ceiling == CAP_S
    other = Backoff(random.Random(2))
    assert pauses != [other.pause_s() for _ in range(12)]
