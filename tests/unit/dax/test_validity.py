"""What DynamoDB surely refuses, in its words, and what only it can judge."""

from typing import Any

import pytest

from paceline.client.core.legacy import modernize
from paceline.dax.expressions.parser import parse_update
from paceline.dax.validity import SurelyInvalid, are_sane_paths, refuse_invalid
from paceline.errors import RequestError

NAMES, VALUES = "ExpressionAttributeNames", "ExpressionAttributeValues"
ONE = {":a": {"N": "1"}}
UNUSED = f"Value provided in {NAMES} unused in expressions: keys: {{#b}}"
MIXED = "Can not use both expression and non-expression parameters in the same request: "

REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("GetItem", {"ProjectionExpression": "#a", NAMES: {"#a": "a", "#b": "b"}}, UNUSED),
    ("GetItem", {"ProjectionExpression": "a", NAMES: {"#b": "b"}}, UNUSED),
    (
        "GetItem",
        {"ProjectionExpression": "#a", NAMES: {"#a": "a", "bad": "x"}},
        f'{NAMES} contains invalid key: Syntax error; key: "bad"',
    ),
    (
        "PutItem",
        {"ConditionExpression": "a = :a", VALUES: {**ONE, "b": {"N": "1"}}},
        f'{VALUES} contains invalid key: Syntax error; key: "b"',
    ),
    (
        "DeleteItem",
        {"ConditionExpression": "a = :a", VALUES: {**ONE, ":c": {"N": "1"}, ":b": {"N": "1"}}},
        f"Value provided in {VALUES} unused in expressions: keys: {{:b, :c}}",
    ),
    (
        "GetItem",
        {"ProjectionExpression": "a", "AttributesToGet": ["a"]},
        f"{MIXED}Non-expression parameters: {{AttributesToGet}} "
        "Expression parameters: {ProjectionExpression}",
    ),
    (
        "UpdateItem",
        {"ConditionExpression": "a = :a", "AttributeUpdates": {}, "Expected": {}, VALUES: ONE},
        f"{MIXED}Non-expression parameters: {{AttributeUpdates, Expected}} "
        "Expression parameters: {ConditionExpression}",
    ),
    (
        "Query",
        {
            "KeyConditionExpression": "a = :a",
            "KeyConditions": {},
            "QueryFilter": {},
            "ProjectionExpression": "a",
            VALUES: ONE,
        },
        f"{MIXED}Non-expression parameters: {{QueryFilter, KeyConditions}} "
        "Expression parameters: {ProjectionExpression, KeyConditionExpression}",
    ),
    (
        "BatchGetItem",
        {"RequestItems": {"t": {"ProjectionExpression": "a"}, "u": {"AttributesToGet": ["a"]}}},
        f"{MIXED}Non-expression parameters: {{AttributesToGet}} "
        "Expression parameters: {ProjectionExpression}",
    ),
    (
        "BatchGetItem",
        {
            "RequestItems": {
                "t": {"Keys": []},
                "u": {"ProjectionExpression": "#a", NAMES: {"#a": "a", "#b": "b"}},
            }
        },
        UNUSED,
    ),
    (
        "UpdateItem",
        {"UpdateExpression": "SET q=:a SET r=:a", VALUES: ONE},
        'Invalid UpdateExpression: The "SET" section can only be used once in an update '
        "expression;",
    ),
    (
        "TransactWriteItems",
        {
            "TransactItems": [
                {"Update": {"UpdateExpression": "ADD c :a SET d = :a ADD e :a", VALUES: ONE}}
            ]
        },
        'Invalid UpdateExpression: The "ADD" section can only be used once in an update '
        "expression;",
    ),
]


@pytest.mark.parametrize(("operation", "params", "message"), REFUSED)
def test_what_is_surely_refused(operation: str, params: dict[str, Any], message: str) -> None:
    for _ in range(2):  # also when it is remembered
        with pytest.raises(SurelyInvalid) as caught:
            refuse_invalid(operation, params)
        assert caught.value.name == "ValidationException"
        assert caught.value.message == message


@pytest.mark.parametrize(
    ("operation", "params"),
    [
        ("GetItem", {}),
        ("GetItem", {"ProjectionExpression": "#a", NAMES: {"#a": "a"}}),
        ("GetItem", {"ProjectionExpression": "#a, #a.", NAMES: {"#b": "b"}}),
        ("GetItem", {"ProjectionExpression": "", NAMES: {"#b": "b"}}),
        ("GetItem", {"ProjectionExpression": "\ud800", NAMES: {"#b": "b"}}),
        ("GetItem", {"ProjectionExpression": 1, NAMES: ["#b"]}),
        ("GetItem", {"ProjectionExpression": "x" * 5000, NAMES: {"#b": "b"}}),
        ("GetItem", {NAMES: {"#b": "b"}}),
        ("GetItem", {"ProjectionExpression": None, "AttributesToGet": ["a"]}),
        ("Query", {"KeyConditions": {}, "FilterExpression": "a = :a", VALUES: ONE}),
        ("BatchGetItem", {"RequestItems": []}),
        ("TransactWriteItems", {"TransactItems": [1, {"Update": 1, "Other": {}}]}),
        ("CreateTable", {"ProjectionExpression": "#a", NAMES: {"#b": "b"}}),
        (
            "UpdateItem",
            {
                "UpdateExpression": "SET #a = :a REMOVE b",
                "ConditionExpression": "b = :b",
                NAMES: {"#a": "a"},
                VALUES: {**ONE, ":b": {"N": "1"}},
            },
        ),
    ],
)
def test_what_is_valid_or_dynamodbs_to_judge(operation: str, params: dict[str, Any]) -> None:
    refuse_invalid(operation, params)


def test_a_clause_of_an_update_comes_once() -> None:
    for text in ("SET q=:a SET r=:a", "ADD c :a SET q=:a ADD d :a", "remove a REMOVE b"):
        with pytest.raises(RequestError, match="section can only be used once"):
            parse_update(text, None, ONE)


def test_old_parameters_of_one_table_and_expressions_of_another() -> None:
    batch = {"t": {"ProjectionExpression": "a"}, "u": {"AttributesToGet": ["a"]}}
    with pytest.raises(RequestError, match="Can not use both"):
        modernize("BatchGetItem", {"RequestItems": batch})


@pytest.mark.parametrize(
    ("paths", "sane"),
    [
        ((("a",), ("b", "c")), True),
        ((("m", "a"), ("m", "b")), True),
        ((("l", 0), ("l", 1)), True),
        ((("a",), ("a",)), False),
        ((("m",), ("m", "a")), False),
        ((("l", 0, "x"), ("l",)), False),
        ((("m", "a"), ("m", 0)), False),
        ((("",),), False),
        ((("a",) * 32,), True),
        ((("a",) * 33,), False),
        ((("a" * 65_536,),), False),
    ],
)
def test_paths_of_a_projection(paths: tuple[tuple[str | int, ...], ...], sane: bool) -> None:
    assert are_sane_paths(paths) is sane
