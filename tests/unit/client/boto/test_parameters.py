"""What DynamoDB refuses is refused in its words, and what it gives is given as it gives it."""

from typing import Any

import pytest
from botocore.exceptions import ClientError

from paceline.client.core.call_flow import Core
from paceline.client.core.commands import Exchange, kind_of
from paceline.client.core.legacy import modernize
from paceline.client.core.plain_get import PlainGetEncoder
from paceline.client.core.roster import Node, Roster
from paceline.client.core.routing import Router
from paceline.client.settings import Settings
from paceline.dax.attribute_lists import encode_item
from paceline.dax.cbor import write_bytes
from paceline.dax.client.results import decode_result
from paceline.dax.connection import ErrorReply
from paceline.dax.keys import encode_key, stored_key
from paceline.dax.request_types import RawRequest
from paceline.errors import DynamoDBError, RequestError
from paceline.types import KeyAttribute, KeySchema
from tests.unit.client.rig import boto_core

SCHEMA = KeySchema(KeyAttribute("pk", "B"), KeyAttribute("sk", "N"))
IS_1 = {"Value": {"N": "1"}}


def core() -> Core:
    made = boto_core(Router(lambda n: 0), Settings(), lambda: 0.0)
    made.follow(Roster((Node(1, "n1", "a", "127.0.0.1", 1, True),), 1, "c"))
    made.definitions.schemas["t"] = SCHEMA
    return made


@pytest.mark.parametrize(
    "params",
    [
        {"Expected": {"a": {"Exists": False, **IS_1}}},
        {"Expected": {"a": {"ComparisonOperator": "EQ", **IS_1}}},
        {"Expected": {"a": {"AttributeValueList": [{"N": "1"}], **IS_1}}},
        {"Expected": {"a": IS_1}, "ConditionalOperator": "OR"},
        {"ConditionalOperator": "AND"},
        {"ScanFilter": {"a": {"ComparisonOperator": "IS", "AttributeValueList": [{"N": "1"}]}}},
    ],
)
def test_odd_old_parameters_are_dynamodbs_to_judge(params: dict[str, Any]) -> None:
    with pytest.raises(RequestError):
        modernize("PutItem", params)


def test_a_refusal_of_old_parameters_is_in_their_words() -> None:
    made = core()
    params = {
        "TableName": "t",
        "Key": {"pk": {"B": b"x"}, "sk": {"N": "1"}},
        "AttributeUpdates": {"a": {"Action": "ADD", "Value": {"S": "x"}}},
    }
    way = made.perform("UpdateItem", params, made.call(kind_of("UpdateItem", params), 0.0, 10.0))
    modern = way.send(None)
    assert isinstance(modern, Exchange)
    error = DynamoDBError("ValidationException", "Invalid UpdateExpression")
    again = way.send(ErrorReply(modern.request, error))  # type: ignore[arg-type]
    assert isinstance(again, Exchange)
    assert isinstance(again.request, RawRequest)
    error = DynamoDBError("ValidationException", "Action ADD is only supported for")
    with pytest.raises(ClientError, match="Action ADD"):
        way.send(ErrorReply(again.request, error))


@pytest.mark.parametrize("sent", ["1.0", "+1", "1e0"])
def test_a_key_is_given_back_as_it_is_stored(sent: str) -> None:
    key = {"pk": {"B": bytearray(b"x")}, "sk": {"N": sent}}
    stored = {"pk": {"B": b"x"}, "sk": {"N": "1"}}
    assert stored_key(SCHEMA, key) == stored
    body = bytearray(b"\xa1\x00")
    write_bytes(body, encode_item(stored, SCHEMA, lambda names: 1))
    params = {"TableName": "t", "Key": key}
    found = decode_result("GetItem", params, bytes(body), lambda _: SCHEMA, lambda _: ())
    assert found == {"Item": stored}
    assert type(found["Item"]["pk"]["B"]) is bytes
    plain = PlainGetEncoder(core().definitions)
    assert plain.encode({"TableName": "t", "Key": {**key, "pk": {"B": b"x"}}}) is None
    assert plain.encode({"TableName": "t", "Key": stored}) is not None


def test_a_key_of_two_types_is_none() -> None:
    with pytest.raises(ValueError, match="more than one type"):
        encode_key(SCHEMA, {"pk": {"B": b"x"}, "sk": {"N": "1", "S": "1"}})


def test_null_is_true() -> None:
    with pytest.raises(ValueError, match="value of true"):
        encode_item({"a": {"NULL": False}}, KeySchema(KeyAttribute("id", "S")), lambda names: 1)
