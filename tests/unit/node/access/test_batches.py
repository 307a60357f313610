"""What batches and transactions need: for each of their items."""

from typing import Any

import pytest

from node.access.need import ATTRIBUTES, LEADING_KEYS
from tests.unit.node.access.asked import ADA, ANY, PLAYS, USERS, asked, only, pair, told


def test_batch_get_item_needs_its_action_for_each_item() -> None:
    found = asked(
        "BatchGetItem",
        RequestItems={
            "Users": {"Keys": [ADA, {"id": {"S": "bob"}}], "ProjectionExpression": "wins"},
            "Plays": {"Keys": [{"game": {"N": "1"}, "at": {"S": "x"}}]},
        },
        ReturnConsumedCapacity="INDEXES",
    )
    assert [(*pair(need), told(need)["leadingkeys"]) for need in found] == [
        ("dynamodb:BatchGetItem", USERS, ["ada"]),
        ("dynamodb:BatchGetItem", USERS, ["bob"]),
        ("dynamodb:BatchGetItem", PLAYS, ["1"]),
    ]
    assert told(found[0])["attributes"] == ["id", "wins"]
    assert [told(need)["select"] for need in found] == [
        "SPECIFIC_ATTRIBUTES",
        "SPECIFIC_ATTRIBUTES",
        "ALL_ATTRIBUTES",
    ]
    assert {told(need)["returnconsumedcapacity"] for need in found} == {"INDEXES"}


def test_batch_write_item_needs_its_action_for_each_item() -> None:
    found = asked(
        "BatchWriteItem",
        RequestItems={
            "Users": [
                {"PutRequest": {"Item": {**ADA, "wins": {"N": "1"}}}},
                {"DeleteRequest": {"Key": {"id": {"S": "bob"}}}},
            ]
        },
    )
    assert {pair(need) for need in found} == {("dynamodb:BatchWriteItem", USERS)}
    assert [told(need) for need in found] == [
        {"leadingkeys": ["ada"], "attributes": ["id", "wins"]},
        {"leadingkeys": ["bob"], "attributes": ["id"]},
    ]


@pytest.mark.parametrize(
    ("operation", "items"),
    [
        ("BatchGetItem", None),
        ("BatchGetItem", {}),
        ("BatchGetItem", []),
        ("BatchGetItem", {"": {"Keys": [{}]}}),
        ("BatchWriteItem", None),
        ("BatchWriteItem", {"": []}),
    ],
)
def test_a_batch_of_nothing_needs_something(operation: str, items: Any) -> None:
    need = only(operation, RequestItems=items)
    assert pair(need) == (f"dynamodb:{operation}", ANY)
    assert LEADING_KEYS in need.facts.unknown


@pytest.mark.parametrize(
    "entry",
    [
        *(None, {}, {"PutRequest": None}, {"PutRequest": {}}, {"OtherRequest": {"Key": ADA}}),
        {"PutRequest": {"Item": ADA}, "DeleteRequest": {"Key": {"id": {"S": "bob"}}}},
    ],
)
def test_an_odd_entry_of_a_batch_hides_its_key(entry: Any) -> None:
    need = only("BatchWriteItem", RequestItems={"Users": [entry]})
    assert pair(need) == ("dynamodb:BatchWriteItem", USERS)
    assert LEADING_KEYS in need.facts.unknown


def test_a_read_transaction_needs_get_item_for_each_item() -> None:
    found = asked(
        "TransactGetItems",
        TransactItems=[
            {"Get": {"TableName": "Users", "Key": ADA, "ProjectionExpression": "wins"}},
            {"Get": {"TableName": "Plays", "Key": {"game": {"N": "1"}}}},
        ],
        ReturnConsumedCapacity="TOTAL",
    )
    assert [(*pair(need), told(need)["leadingkeys"]) for need in found] == [
        ("dynamodb:GetItem", USERS, ["ada"]),
        ("dynamodb:GetItem", PLAYS, ["1"]),
    ]
    for need in found:
        for service in ("dynamodb", "dax"):
            assert need.facts.context[f"{service}:enclosingoperation"] == ("TransactGetItems",)
        assert told(need)["returnconsumedcapacity"] == "TOTAL"


def test_a_write_transaction_needs_the_action_of_each_item() -> None:
    keyed = {"TableName": "Users", "Key": ADA}
    found = asked(
        "TransactWriteItems",
        TransactItems=[
            {"Put": {"TableName": "Users", "Item": {**ADA, "a": {"S": "x"}}}},
            {"Update": {**keyed, "UpdateExpression": "REMOVE b"}},
            {"Delete": keyed},
            {
                "ConditionCheck": {
                    **keyed,
                    "ConditionExpression": "attribute_exists(c)",
                    "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
                }
            },
        ],
        ClientRequestToken="t",
    )
    assert [need.action for need in found] == [
        *("dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:DeleteItem"),
        "dynamodb:ConditionCheckItem",
    ]
    assert [told(need)["attributes"] for need in found] == [
        ["id", "a"],
        ["id", "b"],
        ["id"],
        ["id", "c"],
    ]
    assert told(found[3])["returnvalues"] == "ALL_OLD"
    for need in found:
        assert need.facts.context["dynamodb:enclosingoperation"] == ("TransactWriteItems",)
        assert told(need)["leadingkeys"] == ["ada"]


@pytest.mark.parametrize("entries", [None, [], {}, [None], [{}], [{"Put": None}]])
def test_a_transaction_that_is_none_needs_all_that_it_could(entries: Any) -> None:
    found = asked("TransactWriteItems", TransactItems=entries)
    assert {pair(need) for need in found} == {
        (f"dynamodb:{action}", ANY)
        for action in ("PutItem", "UpdateItem", "DeleteItem", "ConditionCheckItem")
    }
    reads = asked("TransactGetItems", TransactItems=[{}])
    assert {pair(need) for need in reads} == {("dynamodb:GetItem", ANY)}
    for need in (*found, *reads):
        assert set(need.facts.unknown) == {LEADING_KEYS, ATTRIBUTES}


def test_what_stands_beside_a_part_of_a_transaction_takes_nothing_away_from_it() -> None:
    """DynamoDB may pass over what it does not know."""
    put, delete = {"TableName": "Users", "Item": ADA}, {"TableName": "Plays", "Key": {}}
    for entry in ({"Put": put, "Odd": 1}, {"Put": put, "Delete": delete}, {"Put": put, "Get": 5}):
        found = asked("TransactWriteItems", TransactItems=[entry])
        assert ("dynamodb:PutItem", USERS) in {pair(need) for need in found}
        assert ("dynamodb:PutItem", ANY) in {pair(need) for need in found}
    reads = asked(
        "TransactGetItems", TransactItems=[{"Get": {"TableName": "Users", "Key": ADA}, "Put": put}]
    )
    assert {("dynamodb:GetItem", USERS), ("dynamodb:GetItem", ANY)} <= {pair(n) for n in reads}
