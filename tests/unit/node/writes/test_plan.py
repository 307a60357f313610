"""What a write touches, and what it leaves behind."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cluster.coherence.messages import WHOLE
from node.requests.reach import RAW, raw_params
from node.writes.plan import ItemWrite, Touched, plan_write
from paceline.dax.attribute_lists import encode_item
from paceline.errors import RequestError
from paceline.types import Item, KeySchema, Params
from tests.unit.node.fakes import SCHEMA

PUT: Params = {"TableName": "t", "Item": {"id": {"S": "a"}, "v": {"N": "1"}}}
SCHEMAS = {"t": SCHEMA}


def encode(item: Item, schema: KeySchema) -> bytes:
    return encode_item(item, schema, lambda names: 7)


def test_an_update_asks_for_the_new_image_and_hides_it_unless_asked() -> None:
    update: Params = {"TableName": "t", "Key": {"id": {"S": "a"}}}
    plan = plan_write("UpdateItem", update, SCHEMAS)
    assert plan.params["ReturnValues"] == "ALL_NEW"
    answer = {"Attributes": PUT["Item"], "ConsumedCapacity": {}}
    assert plan.reply(answer) == {"ConsumedCapacity": {}}
    (image,) = plan.images(answer, SCHEMAS, encode)
    assert image is not None
    assert image.item is not None
    asked = plan_write("UpdateItem", {**update, "ReturnValues": "ALL_NEW"}, SCHEMAS)
    assert asked.reply(answer) == answer


@pytest.mark.parametrize("asked", ["ALL_OLD", "UPDATED_OLD", "UPDATED_NEW"])
def test_attributes_that_are_not_the_whole_new_item_are_told_and_not_kept(asked: str) -> None:
    update: Params = {"TableName": "t", "Key": {"id": {"S": "a"}}, "ReturnValues": asked}
    plan = plan_write("UpdateItem", update, SCHEMAS)
    assert plan.params["ReturnValues"] == asked
    answer = {"Attributes": {"v": {"N": "0"}}}
    assert plan.images(answer, SCHEMAS, encode) == [None]
    assert plan.reply(answer) == answer


def test_a_transaction_fences_what_it_changes_and_nothing_it_only_checks() -> None:
    def named(name: str) -> dict[str, Any]:
        return {"TableName": "t", "Key": {"id": {"S": name}}}

    plan = plan_write(
        "TransactWriteItems",
        {
            "TransactItems": [
                {"Put": {"TableName": "t", "Item": {"id": {"S": "p"}}}},
                {"Update": named("u")},
                {"Delete": named("d")},
                {"ConditionCheck": named("c")},
            ]
        },
        SCHEMAS,
    )
    assert [key for _, key in plan.keys] == [b"p", b"u", b"d"]
    # The success may be that of an earlier transaction under the same token:
    # 1. transact(T, put v1)   2. put v2   3. transact(T, put v1) succeeds and writes nothing.
    assert plan.images({}, SCHEMAS, encode) == [None, None, None]


def test_a_write_without_its_key_is_the_callers_mistake() -> None:
    with pytest.raises(RequestError, match="Missing the key id"):
        plan_write("PutItem", {"TableName": "t", "Item": {"v": {"N": "1"}}}, SCHEMAS)
    with pytest.raises(RequestError, match="does not match the schema"):
        plan_write("DeleteItem", {"TableName": "t", "Key": {"id": {"N": "1"}}}, SCHEMAS)


def test_an_update_of_a_table_that_is_not_described_asks_for_nothing_that_nobody_keeps() -> None:
    params: Params = {"TableName": "t", "Key": {"id": {"S": "a"}}}
    plan = plan_write("UpdateItem", params, {})
    assert plan.params == params
    assert plan.touched == (Touched(("t", WHOLE)),)
    assert plan.reply({"Attributes": {}}) == {"Attributes": {}}


def test_what_is_no_write_that_is_known_has_no_plan() -> None:
    for operation in ("GetItem", "PutItemOfTomorrow"):
        with pytest.raises(AssertionError, match=operation):
            plan_write(operation, PUT, SCHEMAS)


def test_two_actions_on_one_item_leave_it_open_what_becomes_of_it() -> None:
    key = {"TableName": "t", "Key": {"id": {"S": "a"}}}
    other = {"TableName": "t", "Key": {"id": {"S": "b"}}}
    actions = [{"Put": PUT}, {"Delete": other}, {"Update": key}]
    plan = plan_write("TransactWriteItems", {"TransactItems": actions}, SCHEMAS)
    assert plan.touched == (Touched(("t", b"a")), Touched(("t", b"b"), ItemWrite(other["Key"])))


def test_only_items_whose_images_a_success_tells_need_their_lists() -> None:
    put = {"PutRequest": {"Item": PUT["Item"]}}
    delete = {"DeleteRequest": {"Key": {"id": {"S": "b"}}}}
    batch = plan_write("BatchWriteItem", {"RequestItems": {"t": [put, delete], "u": []}}, SCHEMAS)
    assert list(batch.items(SCHEMAS)) == [(PUT["Item"], SCHEMA)]
    assert [key for _, key in batch.keys] == [b"a", b"b", WHOLE]
    transaction = plan_write("TransactWriteItems", {"TransactItems": [{"Put": PUT}]}, SCHEMAS)
    assert list(transaction.items(SCHEMAS)) == []


def of_statements(operation: str, *codes: str | None) -> bool:
    """Whether a batch whose statements ended so is in doubt."""
    plan = plan_write(
        RAW, raw_params(f"DynamoDB_20120810.{operation}", b"{}", (("t", WHOLE),)), SCHEMAS
    )
    responses = [
        {"TableName": "t"} if code is None else {"Error": {"Code": code}} for code in codes
    ]
    return plan.may_be_in_doubt({"Body": json.dumps({"Responses": responses}).encode()})


def test_a_batch_whose_answer_is_too_long_to_look_into_is_in_doubt(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    length = len(json.dumps({"Responses": [{"TableName": "t"}]}))
    monkeypatch.setattr("node.writes.plan.ANSWER_BYTES_MAX", length)
    assert not of_statements("BatchExecuteStatement", None)
    monkeypatch.setattr("node.writes.plan.ANSWER_BYTES_MAX", length - 1)
    assert of_statements("BatchExecuteStatement", None)
    assert not of_statements("ExecuteStatement", None)


def test_a_batch_is_in_doubt_if_a_statement_ended_with_an_error_that_says_nothing() -> None:
    batch = "BatchExecuteStatement"
    assert not of_statements(batch)
    assert not of_statements(batch, None, "ConditionalCheckFailed", "ThrottlingError")
    assert of_statements(batch, None, "InternalServerError", "ValidationError")
    assert of_statements(batch, "AnErrorOfTomorrow")
    assert not of_statements("ExecuteStatement", "InternalServerError")  # as a whole it succeeded


def test_a_batch_whose_answer_takes_long_to_look_into_is_in_doubt() -> None:
    batch = "BatchExecuteStatement"
    assert not of_statements(batch, *[None] * 1000)
    assert of_statements(batch, *[None] * 5000)
    assert not of_statements("ExecuteStatement", *[None] * 5000)
