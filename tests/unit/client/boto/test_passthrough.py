"""What DAX's methods have no place for: when it is sent, where, and what its answers mean."""

import json
from collections.abc import Generator
from random import Random
from typing import Any

import pytest
from botocore.exceptions import ClientError

from paceline.client.boto import errors, model
from paceline.client.core import carried
from paceline.client.core.call_flow import Core
from paceline.client.core.commands import Broken, kind_of
from paceline.client.core.retry import Kind, NoAnswer, Wait
from paceline.client.core.roster import Node, Roster
from paceline.client.core.routing import Router
from paceline.client.settings import Settings
from paceline.dax.cbor import Reader
from paceline.dax.connection import ErrorReply, Reply
from paceline.dax.errors import decode_error, encode_error
from paceline.dax.methods import Method
from paceline.dax.request_types import RawRequest, UpdateItem
from paceline.dax.responses import RawReply, raw_reply
from paceline.dynamodb_operations import CARRIED
from paceline.errors import DynamoDBError, OutcomeUnknown, ProtocolError, RequestError
from paceline.types import KeyAttribute, KeySchema
from tests.unit.client.rig import boto_core

SCHEMAS = {"hash": KeySchema(KeyAttribute("id", "S"))}
PUT = {
    "TableName": "hash",
    "Item": {"id": {"S": "ada"}},
    "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
}
DESCRIBE = {"TableName": "hash"}
STATEMENT = {"Statement": 'SELECT * FROM "hash"'}
UPDATE = {"Statement": "UPDATE \"hash\" SET n=1 WHERE id='a'"}


def core(**options: Any) -> Core:
    made = boto_core(Router(Random(7).randrange), Settings(), lambda: 0.0, **options)
    made.definitions.schemas.update(SCHEMAS)
    made.follow(
        Roster(tuple(Node(n, f"n{n}", "a", "127.0.0.1", n, n == 2) for n in (1, 2, 3)), 1, "c")
    )
    return made


def way(made: Core, operation: str, params: dict[str, Any]) -> Generator[Any, Any, Any]:
    return made.perform(operation, params, made.begin(operation, params, 0.0, 10.0))


def said(request: Any, status: int, body: dict[str, Any], *details: Any) -> Reply:
    return Reply(request, raw_reply(RawReply(status, json.dumps(body).encode(), *details))[1:])


def refusal(name: str, message: str = "no", **more: Any) -> dict[str, Any]:
    return {"__type": f"com.amazonaws.dynamodb.v20120810#{name}", "message": message, **more}


# -- when --------------------------------------------------------------------------------------


def test_every_parameter_of_boto3_is_carried_one_way_or_the_other() -> None:
    for operation in CARRIED:
        members = model.service_model().operation_model(operation).input_shape.members
        left = set(members) - carried.CARRIED_PARAMETERS[operation]
        assert left <= {carried.ON_FAILURE}, f"{operation} has new parameters, which travel raw"
        assert carried.CARRIED_PARAMETERS[operation] <= set(members)


@pytest.mark.parametrize(
    ("operation", "params", "needed"),
    [
        ("PutItem", PUT, True),
        ("PutItem", {**PUT, carried.ON_FAILURE: "NONE"}, False),
        ("PutItem", {"TableName": "hash", "Item": {}, "Expected": {}}, False),
        ("PutItem", {"TableName": "hash", "Item": {}, "Novelty": 1}, True),
        ("TransactWriteItems", {"TransactItems": [], "ClientRequestToken": "t"}, False),
        ("DescribeTable", DESCRIBE, True),
        ("ExecuteStatement", STATEMENT, True),
    ],
)
def test_what_is_sent_raw(operation: str, params: dict[str, Any], needed: bool) -> None:
    assert carried.needs_passthrough(operation, params) is needed


@pytest.mark.parametrize(
    ("operation", "params", "kind"),
    [
        ("GetItem", {}, Kind.READ),
        ("PutItem", PUT, Kind.WRITE),
        ("TransactWriteItems", {}, Kind.IDEMPOTENT),
        ("DescribeTable", DESCRIBE, Kind.READ),
        ("ListTables", {}, Kind.READ),
        ("CreateTable", {}, Kind.WRITE),
        ("TagResource", {}, Kind.WRITE),
        ("ExecuteStatement", STATEMENT, Kind.READ),
        ("ExecuteStatement", {"Statement": " \n select a from t"}, Kind.READ),
        ("ExecuteStatement", {"Statement": "-- SELECT\nDELETE FROM t WHERE id='a'"}, Kind.WRITE),
        ("ExecuteStatement", UPDATE, Kind.WRITE),
        ("BatchExecuteStatement", {"Statements": [STATEMENT, STATEMENT]}, Kind.READ),
        ("BatchExecuteStatement", {"Statements": [STATEMENT, UPDATE]}, Kind.WRITE),
        ("ExecuteTransaction", {"TransactStatements": [STATEMENT, UPDATE]}, Kind.WRITE),
    ],
)
def test_what_may_be_repeated(operation: str, params: dict[str, Any], kind: Kind) -> None:
    assert kind_of(operation, params) is kind


# -- where, and how often ----------------------------------------------------------------------


def test_a_raw_write_goes_to_the_primary_once() -> None:
    for operation, params in (("PutItem", PUT), ("ExecuteStatement", UPDATE), ("CreateTable", {})):
        call = way(core(), operation, params)
        step = call.send(None)
        assert step.node.number == 2
        assert not step.read
        assert isinstance(step.request, RawRequest)
        assert step.request.target == f"DynamoDB_20120810.{operation}"
        assert json.loads(step.request.body) == params
        with pytest.raises(errors.OutcomeUnknownException):
            call.send(Broken(NoAnswer.NO_REPLY, "the node closed the connection"))


def test_a_raw_write_that_was_not_handed_over_is_sent_to_another_node() -> None:
    call = way(core(), "CreateTable", {})
    first = call.send(None)
    second = call.send(Broken(NoAnswer.NOT_HANDED_OVER, "refused"))
    assert second.node != first.node


def test_a_raw_read_asks_another_node_and_is_never_hedged() -> None:
    call = way(core(), "DescribeTable", DESCRIBE)
    first = call.send(None)
    assert not first.read
    second = call.send(Broken(NoAnswer.NO_REPLY, "no reply"))
    assert second.node != first.node
    table = {"TableName": "hash", "CreationDateTime": 1.5, "ItemCount": 3}
    with pytest.raises(StopIteration) as end:
        call.send(said(second.request, 200, {"Table": table}, "bypass", "ID"))
    result = end.value.value
    assert result["Table"]["CreationDateTime"].timestamp() == 1.5, "by the model"
    assert result["ResponseMetadata"] == {
        "RequestId": "ID",
        "HTTPStatusCode": 200,
        "HTTPHeaders": result["ResponseMetadata"]["HTTPHeaders"],
        "RetryAttempts": 1,
    }
    assert result["ResponseMetadata"]["HTTPHeaders"]["x-paceline-cache"] == "bypass"


@pytest.mark.parametrize(("operation", "falls"), [("DescribeTable", True), ("CreateTable", False)])
def test_only_reads_fall_back(operation: str, falls: bool) -> None:
    made = core(has_fallback=True, fallback_writes=True)
    assert (made.begin(operation, DESCRIBE, 0.0, 9.0)._fallback_closed) is not falls
    assert not made.begin("PutItem", PUT, 0.0, 9.0)._fallback_closed, "its key can be told"


# -- what answers mean -------------------------------------------------------------------------


def raised(operation: str, params: dict[str, Any], *answers: Any) -> Exception:
    call = way(core(), operation, params)
    step = call.send(None)
    for answer in answers:
        try:
            reply = (
                answer if isinstance(answer, ErrorReply | Broken) else said(step.request, *answer)
            )
            step = call.send(reply)
        except Exception as error:
            return error
        while isinstance(step, Wait):
            step = call.send(None)
    raise AssertionError(f"{step} instead of an error")


def test_a_refusal_has_the_members_that_boto3_gives() -> None:
    item = {"id": {"S": "ada"}, "b": {"B": "AQ=="}}
    error = raised("PutItem", PUT, (400, refusal("ConditionalCheckFailedException", Item=item)))
    assert isinstance(error, errors.exceptions().ConditionalCheckFailedException)
    assert isinstance(error, ClientError)
    response: Any = error.response
    assert response["Item"] == {"id": {"S": "ada"}, "b": {"B": b"\x01"}}
    assert response["Error"]["Code"] == "ConditionalCheckFailedException"
    assert response["ResponseMetadata"]["HTTPStatusCode"] == 400


def test_an_unknown_outcome_is_one() -> None:
    answer = {"__type": "paceline#OutcomeUnknownException", "message": "in doubt"}
    error = raised("PutItem", PUT, (409, answer))
    assert isinstance(error, errors.OutcomeUnknownException)
    error = raised("CreateTable", {}, (500, refusal("InternalServerError")))
    assert isinstance(error, OutcomeUnknown), "whatever a proxy makes of it"


def test_bytes_that_make_no_sense_are_no_answer() -> None:
    call = way(core(), "PutItem", PUT)
    step = call.send(None)
    with pytest.raises(OutcomeUnknown, match="make no sense"):
        call.send(Reply(step.request, b"\x81\x00"))


def test_a_read_is_repeated_after_an_internal_error() -> None:
    call = way(core(), "ListTables", {})
    step = call.send(None)
    step = call.send(said(step.request, 500, refusal("InternalServerError")))
    assert isinstance(step, Wait)


def old_nodes_answer(request: Any) -> ErrorReply:
    number = int(Method.RAW_REQUEST)
    error = ProtocolError(f"method {number} is unknown or not supported")
    return ErrorReply(request, decode_error(Reader(encode_error(error))))


def test_a_node_that_does_not_know_raw_requests_is_named() -> None:
    error = raised("DescribeTable", DESCRIBE, old_nodes_answer(None))
    assert isinstance(error, ClientError)
    assert error.response["Error"]["Code"] == "UnknownOperationException"
    assert "upgrade the node" in str(error)


def test_wrong_expressions_are_dynamodbs_to_judge() -> None:
    params = {
        "TableName": "hash",
        "Key": {"id": {"S": "a"}},
        "UpdateExpression": "SET a = ",
    }
    error = raised("UpdateItem", params, (400, refusal("ValidationException", "its words")))
    assert str(error).endswith("UpdateItem operation: its words")
    with pytest.raises(RequestError, match="ValidationException"):
        raise raised("UpdateItem", params, old_nodes_answer(None))
    right = {**params, "UpdateExpression": "SET a = b"}
    assert isinstance(way(core(), "UpdateItem", right).send(None).request, UpdateItem)


def test_a_table_that_was_deleted_is_forgotten() -> None:
    made = core()
    call = way(made, "DeleteTable", DESCRIBE)
    step = call.send(None)
    with pytest.raises(StopIteration):
        call.send(said(step.request, 200, {"TableDescription": {"TableName": "hash"}}))
    assert "hash" not in made.definitions.schemas


def test_an_error_without_a_model_keeps_its_code() -> None:
    error = raised("DescribeTable", DESCRIBE, (400, {"__type": "x#Strange", "Message": "odd"}))
    assert isinstance(error, ClientError)
    assert error.response["Error"] == {"Code": "Strange", "Message": "odd"}
    assert not isinstance(error, DynamoDBError)
