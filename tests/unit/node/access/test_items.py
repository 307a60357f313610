"""What operations on items need: each of them, its leading keys, attributes and answers."""

from typing import Any

import pytest

from node.access.need import ATTRIBUTES, LEADING_KEYS, RETURN_VALUES, SELECT, VALUES_MAX
from tests.unit.node.access.asked import ADA, ANY, PLAYS, USERS, asked, only, pair, told


def test_get_item() -> None:
    need = only("GetItem", TableName="Users", Key=ADA)
    assert pair(need) == ("dynamodb:GetItem", USERS)
    assert told(need) == {"leadingkeys": ["ada"], "attributes": ["id"], "select": "ALL_ATTRIBUTES"}
    assert need.facts.unknown == {}
    need = only(
        "GetItem",
        TableName="Users",
        Key=ADA,
        ProjectionExpression="#n, address.city[0], wins",
        ExpressionAttributeNames={"#n": "na.me"},
        ReturnConsumedCapacity="TOTAL",
        ConsistentRead=True,
    )
    assert told(need) == {
        "leadingkeys": ["ada"],
        "attributes": ["id", "na.me", "address", "wins"],
        "select": "SPECIFIC_ATTRIBUTES",
        "returnconsumedcapacity": "TOTAL",
    }
    older = only("GetItem", TableName="Users", Key=ADA, AttributesToGet=["wins"])
    assert told(older)["attributes"] == ["id", "wins"]
    assert told(older)["select"] == "SPECIFIC_ATTRIBUTES"


@pytest.mark.parametrize(
    ("table", "key", "leading"),
    [
        ("Users", {"id": {"S": ""}}, ""),
        ("Users", {"id": {"S": "ä/*"}}, "ä/*"),
        ("Plays", {"game": {"N": "007.50"}, "at": {"S": "x"}}, "7.5"),
        ("Plays", {"game": {"N": "-0"}}, "0"),
        ("Plays", {"game": {"N": "1e3"}}, "1000"),
        ("Blobs", {"hash": {"B": b"\x00\xff"}}, "AP8="),
    ],
)
def test_leading_keys_are_as_dynamodb_compares_them(
    table: str, key: dict[str, Any], leading: str
) -> None:
    need = only("DeleteItem", TableName=table, Key=key)
    assert need.facts.context[LEADING_KEYS] == (leading,)
    assert LEADING_KEYS not in need.facts.unknown


@pytest.mark.parametrize(
    "key",
    [
        *(None, [], {}, {"id": "ada"}, {"id": {"N": "5"}}, {"id": {"S": 5}}),
        *({"id": {"S": "ada", "N": "5"}}, {"ID": {"S": "ada"}}),
    ],
)
def test_a_leading_key_that_cannot_be_read_is_not_left_out(key: Any) -> None:
    need = only("GetItem", TableName="Users", Key=key)
    assert LEADING_KEYS not in need.facts.context
    assert "id" in need.facts.unknown[LEADING_KEYS]
    bad_number = only("GetItem", TableName="Plays", Key={"game": {"N": "ten"}})
    assert LEADING_KEYS in bad_number.facts.unknown
    text_for_bytes = only("GetItem", TableName="Blobs", Key={"hash": {"B": "AP8="}})
    assert LEADING_KEYS in text_for_bytes.facts.unknown
    not_known = only("GetItem", TableName="Others", Key=ADA)
    assert LEADING_KEYS in not_known.facts.unknown


def test_put_item() -> None:
    need = only(
        "PutItem",
        TableName="Users",
        Item={**ADA, "wins": {"N": "1"}},
        ConditionExpression="attribute_not_exists(id) OR losses < :l",
        ExpressionAttributeValues={":l": {"N": "3"}},
        ReturnValues="ALL_OLD",
    )
    assert pair(need) == ("dynamodb:PutItem", USERS)
    assert told(need) == {
        "leadingkeys": ["ada"],
        "attributes": ["id", "wins", "losses"],
        "returnvalues": "ALL_OLD",
    }
    plain = told(only("PutItem", TableName="Users", Item=ADA))
    assert plain == {"leadingkeys": ["ada"], "attributes": ["id"]}
    older = only("PutItem", TableName="Users", Item=ADA, Expected={"wins": {"Exists": False}})
    assert told(older)["attributes"] == ["id", "wins"]


def test_update_item() -> None:
    need = only(
        "UpdateItem",
        TableName="Users",
        Key=ADA,
        UpdateExpression="SET a = b + :n, c = if_not_exists(d, :n) REMOVE e.f ADD g :n DELETE h :s",
        ConditionExpression="size(#i) > :n",
        ExpressionAttributeNames={"#i": "i"},
        ExpressionAttributeValues={":n": {"N": "1"}, ":s": {"SS": ["x"]}},
        ReturnValues="UPDATED_NEW",
    )
    assert pair(need) == ("dynamodb:UpdateItem", USERS)
    assert sorted(told(need)["attributes"]) == ["a", "b", "c", "d", "e", "g", "h", "i", "id"]
    assert told(need)["returnvalues"] == "UPDATED_NEW"
    older = only(
        "UpdateItem", TableName="Users", Key=ADA, AttributeUpdates={"wins": {"Action": "DELETE"}}
    )
    assert told(older)["attributes"] == ["id", "wins"]


def test_delete_item() -> None:
    need = only("DeleteItem", TableName="Users", Key=ADA, ConditionExpression="attribute_exists(a)")
    assert pair(need) == ("dynamodb:DeleteItem", USERS)
    assert told(need)["attributes"] == ["id", "a"]


def test_an_item_that_comes_with_a_failed_condition_is_returned() -> None:
    params = {"TableName": "Users", "Key": ADA, "ReturnValuesOnConditionCheckFailure": "ALL_OLD"}
    assert told(only("DeleteItem", **params))["returnvalues"] == "ALL_OLD"
    both = asked("DeleteItem", **params, ReturnValues="UPDATED_OLD")
    assert [told(need)["returnvalues"] for need in both] == ["UPDATED_OLD", "ALL_OLD"]
    params["ReturnValuesOnConditionCheckFailure"] = "NONE"
    assert "returnvalues" not in told(only("DeleteItem", **params))


def test_query_of_a_table() -> None:
    need = only(
        "Query",
        TableName="Plays",
        KeyConditionExpression="#g = :g AND begins_with(#a, :a)",
        FilterExpression="score > :s",
        ProjectionExpression="score, player.name",
        ExpressionAttributeNames={"#g": "game", "#a": "at"},
        ExpressionAttributeValues={":g": {"N": "5.0"}, ":a": {"S": "2"}, ":s": {"N": "1"}},
    )
    assert pair(need) == ("dynamodb:Query", PLAYS)
    assert told(need)["leadingkeys"] == ["5"]
    assert sorted(told(need)["attributes"]) == ["at", "game", "player", "score"]
    assert told(need)["select"] == "SPECIFIC_ATTRIBUTES"
    older = only(
        "Query",
        TableName="Plays",
        KeyConditions={"game": {"ComparisonOperator": "EQ", "AttributeValueList": [{"N": "5"}]}},
        QueryFilter={"score": {"ComparisonOperator": "NOT_NULL"}},
        AttributesToGet=["at"],
        Select="COUNT",
    )
    assert told(older) == {
        "leadingkeys": ["5"],
        "attributes": ["game", "score", "at"],
        "select": "COUNT",
    }


def test_query_of_an_index() -> None:
    params = {
        "TableName": "Users",
        "IndexName": "byTeam",
        "KeyConditionExpression": ":t = team",
        "ExpressionAttributeValues": {":t": {"S": "red"}},
    }
    need = only("Query", **params)
    assert pair(need) == ("dynamodb:Query", f"{USERS}/index/byTeam")
    assert told(need) == {
        "leadingkeys": ["red"],
        "attributes": ["team"],
        "select": "ALL_PROJECTED_ATTRIBUTES",
    }
    for index in ("byBoth", "none"):
        assert LEADING_KEYS in only("Query", **{**params, "IndexName": index}).facts.unknown
    local = only(
        "Query",
        TableName="Plays",
        IndexName="byScore",
        KeyConditionExpression="game = :g",
        ExpressionAttributeValues={":g": {"N": "1"}},
    )
    assert (pair(local)[1], told(local)["leadingkeys"]) == (f"{PLAYS}/index/byScore", ["1"])
    odd = only("Query", TableName="Users", IndexName=5)
    assert odd.resource == f"{USERS}/index/*"


@pytest.mark.parametrize(
    "condition",
    [
        *("id > :v", "id = :v AND id = :w", "id = :v OR id = :w", "other = :v", "id = :none"),
        *("NOT id = :v", "id = other", "id.x = :v", "id = ", "id IN (:v, :w)", 5),
    ],
)
def test_a_key_condition_that_is_not_read_hides_the_leading_keys(condition: Any) -> None:
    values = {":v": {"S": "ada"}, ":w": {"S": "bob"}}
    need = only(
        "Query",
        TableName="Users",
        KeyConditionExpression=condition,
        ExpressionAttributeValues=values,
    )
    assert LEADING_KEYS not in need.facts.context
    assert LEADING_KEYS in need.facts.unknown


def test_scan() -> None:
    need = only(
        "Scan",
        TableName="Users",
        FilterExpression="pay > :p",
        ExpressionAttributeValues={":p": {"N": "1"}},
        ExclusiveStartKey=ADA,
    )
    assert pair(need) == ("dynamodb:Scan", USERS)
    assert told(need) == {"attributes": ["id", "pay"], "select": "ALL_ATTRIBUTES"}
    assert need.facts.unknown == {}
    older = only("Scan", TableName="Users", IndexName="byTeam", ScanFilter={"pay": {}})
    assert (pair(older)[1], told(older)["attributes"]) == (f"{USERS}/index/byTeam", ["pay"])


def test_what_is_not_understood_is_unknown_and_not_absent() -> None:
    strange = only("GetItem", TableName="Users", Key=ADA, AlsoRead="everything")
    assert "AlsoRead" in strange.facts.unknown[ATTRIBUTES]
    for params in (
        {"ProjectionExpression": "a,,b"},
        {"ProjectionExpression": "#a"},
        {"ProjectionExpression": 5},
        {"ProjectionExpression": "#a", "ExpressionAttributeNames": {"#a": 5}},
        {"ProjectionExpression": "#a", "ExpressionAttributeNames": []},
        {"AttributesToGet": "a"},
        {"AttributesToGet": [5]},
        {"Key": {5: {"S": "x"}}},
    ):
        need = only("GetItem", **{"TableName": "Users", "Key": ADA, **params})
        assert ATTRIBUTES in need.facts.unknown, params
    odd = only("DeleteItem", TableName="Users", Key=ADA, ReturnValues=5)
    assert RETURN_VALUES in odd.facts.unknown


SMUGGLED: list[tuple[str, dict[str, Any]]] = [
    # DynamoDB reads none of these there, and so gives whole items.
    ("GetItem", {"TableName": "Users", "Key": ADA, "Select": "SPECIFIC_ATTRIBUTES"}),
    ("GetItem", {"TableName": "Users", "Key": ADA, "FilterExpression": "id = id"}),
    (
        "TransactGetItems",
        {"TransactItems": [{"Get": {"TableName": "Users", "Key": ADA, "AttributesToGet": ["id"]}}]},
    ),
    ("BatchGetItem", {"RequestItems": {"Users": {"Keys": [ADA], "Select": "COUNT"}}}),
    ("BatchGetItem", {"RequestItems": {"Users": {"Keys": [ADA], "IndexName": "byTeam"}}}),
    ("Query", {"TableName": "Users", "Select": "SPECIFIC_ATTRIBUTES"}),
    ("Scan", {"TableName": "Users", "Select": "SPECIFIC_ATTRIBUTES"}),
]


@pytest.mark.parametrize(("operation", "params"), SMUGGLED)
def test_a_parameter_that_is_not_read_says_nothing(operation: str, params: dict[str, Any]) -> None:
    need = only(operation, **params)
    assert SELECT in need.facts.unknown or told(need)["select"] == "ALL_ATTRIBUTES"
    assert need.resource == USERS


def test_a_part_of_a_transaction_has_no_return_values_of_its_own() -> None:
    update = {"TableName": "Users", "Key": ADA, "UpdateExpression": "REMOVE a"}
    need = only(
        "TransactWriteItems", TransactItems=[{"Update": {**update, "ReturnValues": "NONE"}}]
    )
    assert RETURN_VALUES in need.facts.unknown
    assert told(need)["attributes"] == ["id", "a"]


def test_more_attributes_than_are_compared_are_unknown() -> None:
    item = {f"a{number}": {"S": ""} for number in range(VALUES_MAX - 1)}
    assert ATTRIBUTES not in only("PutItem", TableName="Users", Item={**ADA, **item}).facts.unknown
    item["one more"] = {"S": ""}
    need = only("PutItem", TableName="Users", Item={**ADA, **item})
    assert "more than 1024 values" in need.facts.unknown[ATTRIBUTES]


@pytest.mark.parametrize(
    ("name", "resources"),
    [
        ("Users", [USERS]),
        (USERS, [USERS]),
        # Its rights are those of the table that is known here by that name, too.
        (USERS.replace("us-east-1", "eu-west-1"), [USERS, USERS.replace("us-east-1", "eu-west-1")]),
        (None, [ANY]),
        (5, [ANY]),
        ("", [ANY]),
        ("x" * 256, [ANY]),
        ("Us*", [ANY.replace("*", "Us*")]),
    ],
)
def test_tables_go_by_name_or_arn(name: Any, resources: list[str]) -> None:
    assert [need.resource for need in asked("Scan", TableName=name)] == resources


def test_nothing_is_read_before_somebody_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: Any) -> None:
        raise AssertionError("the request was read")

    monkeypatch.setattr("node.access.items.add_attributes", never)
    (need,) = asked("GetItem", TableName="Users", Key=ADA)
    with pytest.raises(AssertionError, match="the request was read"):
        _ = need.facts
