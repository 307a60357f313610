"""The table of DynamoDB's operations agrees with botocore's model of them."""

from typing import Any

import pytest

from paceline.client.boto import model
from paceline.client.core import carried
from paceline.dynamodb_operations import (
    CARRIED,
    OPERATIONS,
    Access,
    Named,
    named_tables,
    only_reads,
)
from tests.support.rows import every_row

NOT_IN_THE_MODEL = {"CancelBulkOperation"}
"""Which some versions of DynamoDB have."""


def test_all_operations_of_the_model_are_in_it_and_no_others() -> None:
    assert set(OPERATIONS) == {*model.service_model().operation_names, *NOT_IN_THE_MODEL}


@every_row("name", sorted(set(OPERATIONS) - NOT_IN_THE_MODEL))
def test_it_says_what_the_model_says(name: str) -> None:
    operation = OPERATIONS[name]
    described = model.service_model().operation_model(name)
    members = described.input_shape.members
    assert operation.token in (*described.idempotent_members, None)
    assert (operation.token is None) == (not described.idempotent_members)
    by_parameter = isinstance(operation.named.value, str)
    assert not by_parameter or operation.named.value in members
    assert by_parameter or "TableName" not in members
    if operation.statements:
        assert members[operation.statements].member.members.keys() >= {"Statement", "Parameters"}
    elif operation.statements is not None:
        assert members.keys() >= {"Statement", "Parameters"}
    assert (operation.statements is None) == (operation.effect is not Access.STATEMENTS)


def test_what_is_carried_has_a_method_in_the_protocol() -> None:
    assert set(carried.CARRIED_PARAMETERS) == CARRIED


@pytest.mark.parametrize(
    ("operation", "params", "reads"),
    [
        ("GetItem", {}, True),
        ("ListTagsOfResource", {}, True),
        ("PutItem", {}, False),
        ("ListWhatNobodyKnows", {}, False),
        ("CreateBackup", {}, False),
        ("ExecuteStatement", {"Statement": " select * from t"}, True),
        ("ExecuteStatement", {"Statement": "SELECTED"}, False),
        ("ExecuteStatement", {}, False),
        ("ExecuteTransaction", {"TransactStatements": [{"Statement": "SELECT 1"}]}, True),
        (
            "BatchExecuteStatement",
            {"Statements": [{"Statement": "SELECT 1"}, {"Statement": "DELETE FROM t"}]},
            False,
        ),
    ],
)
def test_only_reads(operation: str, params: dict[str, Any], reads: bool) -> None:
    assert only_reads(operation, params) is reads


@pytest.mark.parametrize(
    ("operation", "params", "tables"),
    [
        ("GetItem", {"TableName": "a", "TargetTableName": "b"}, ("a",)),
        ("DescribeTable", {"TableName": "a"}, ("a",)),
        ("RestoreTableFromBackup", {"TargetTableName": "a", "TableName": "b"}, ("a",)),
        ("ImportTable", {"TableCreationParameters": {"TableName": "a"}}, ("a",)),
        ("BatchWriteItem", {"RequestItems": {"a": [], "b": []}}, ("a", "b")),
        (
            "TransactWriteItems",
            {
                "TransactItems": [
                    {"Put": {"TableName": "a"}},
                    {"ConditionCheck": {"TableName": "b"}, "Delete": {"TableName": "a"}},
                ]
            },
            ("a", "b"),
        ),
        ("ListTables", {"TableName": "a"}, ()),
        ("ExecuteStatement", {"Statement": "SELECT * FROM a"}, ()),
        ("NobodyKnowsIt", {"TableName": "a"}, ()),
    ],
)
def test_the_tables_that_a_request_names(
    operation: str, params: dict[str, Any], tables: tuple[str, ...]
) -> None:
    assert named_tables(operation, params) == tables


@every_row("nonsense", [None, 1, "t", [], [1], ["t"], {"a": 1}, {1: {}}, [{"Put": 1}]])
@every_row("operation", sorted(OPERATIONS))
def test_what_is_not_as_dynamodb_has_it_names_nothing_but_text(
    operation: str, nonsense: Any
) -> None:
    named = OPERATIONS[operation].named
    params = {each.value: nonsense for each in Named}
    found = named_tables(operation, params)
    if named in (Named.TABLE, Named.TARGET, Named.GLOBAL_TABLE) and nonsense == "t":
        assert found == ("t",)
    elif named is Named.REQUEST_ITEMS and nonsense == {"a": 1}:
        assert found == ("a",)
    else:
        assert found == ()
