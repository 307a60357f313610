"""The core without botocore: its errors are Paceline's own; what needs botocore is refused."""

import subprocess
import sys

import pytest

from paceline.client.core.call_flow import Core
from paceline.client.core.carried import ON_FAILURE
from paceline.client.core.commands import Exchange
from paceline.client.core.retry import Kind, NoAnswer
from paceline.client.core.roster import Node, Roster
from paceline.client.core.routing import Router
from paceline.client.settings import Settings
from paceline.dax.connection import ErrorReply, Reply
from paceline.dax.request_types import DefineAttributeList, PutItem
from paceline.dax.responses import attribute_list_id_reply, key_schema_reply
from paceline.dax.server.replies import encode_result
from paceline.errors import DynamoDBError, OutcomeUnknown, RequestError, Unavailable
from paceline.types import KeyAttribute, KeySchema, Params

GET: Params = {"TableName": "t", "Key": {"id": {"S": "a"}}, "ProjectionExpression": "v"}
PUT: Params = {"TableName": "t", "Item": {"id": {"S": "a"}}}
REFUSED = DynamoDBError("ConditionalCheckFailedException", "no")

WITHOUT = """
import sys
sys.modules["botocore"] = sys.modules["boto3"] = sys.modules["grpc"] = None
from tests.unit.client.core import test_alone as alone
alone.test_it_answers()
alone.test_an_unknown_outcome()
import paceline.client
try:
    paceline.client.Client
except Exception as error:
    print(type(error).__name__, error)
"""


def core() -> Core:
    made = Core("dax://test", Router(lambda n: 0), Settings(), lambda: 0.0)
    made.follow(Roster((Node(1, "n1", "a", "127.0.0.1", 1, True),), 1, "c"))
    return made


def test_it_answers() -> None:
    made = core()
    call = made.begin("GetItem", GET, 0.0, 10.0)
    way = made.perform("GetItem", GET, call)
    asked = way.send(None)
    assert isinstance(asked, Exchange)
    schema = KeySchema(KeyAttribute("id", "S"))
    asked = way.send(Reply(asked.request, key_schema_reply(schema)[1:]))  # type: ignore[arg-type]
    assert isinstance(asked, Exchange)
    with pytest.raises(StopIteration) as ended:
        way.send(Reply(asked.request, b"\xf6"))  # type: ignore[arg-type]
    assert ended.value.value == {}


def test_an_unknown_outcome() -> None:
    made = core()
    call = made.call(Kind.WRITE, 0.0, 10.0)
    end = call.lost(NoAnswer.NO_REPLY, "gone")
    assert end is not None
    assert type(made.raised(end, "PutItem", PUT, call)) is OutcomeUnknown


def test_what_dynamodb_refuses_and_what_nobody_answers() -> None:
    made = core()
    way = made.perform("PutItem", PUT, made.begin("PutItem", PUT, 0.0, 10.0))
    asked = way.send(None)
    assert isinstance(asked, Exchange)
    schema = KeySchema(KeyAttribute("id", "S"))
    asked = way.send(Reply(asked.request, key_schema_reply(schema)[1:]))  # type: ignore[arg-type]
    while not (isinstance(asked, Exchange) and isinstance(asked.request, PutItem)):
        assert isinstance(asked, Exchange)
        body = attribute_list_id_reply(1)[1:]
        asked = way.send(Reply(asked.request, body))  # type: ignore[arg-type]
    with pytest.raises(DynamoDBError) as refused:
        way.send(ErrorReply(asked.request, REFUSED))
    assert refused.value is REFUSED

    call = made.call(Kind.READ, 0.0, 10.0)
    end = made.raised(call.give_up("nobody there"), "GetItem", GET, call)
    assert type(end) is Unavailable
    assert str(end) == "no answer from dax://test: nobody there"


@pytest.mark.parametrize("body", [b"\xa1\x00\x01", b"\x01", b"\x80"])
def test_a_write_whose_answer_cannot_be_read_is_of_unknown_outcome(body: bytes) -> None:
    made = core()
    made.definitions.schemas["t"] = KeySchema(KeyAttribute("id", "S"))
    made.definitions.ids[()] = 1
    way = made.perform("PutItem", PUT, made.begin("PutItem", PUT, 0.0, 10.0))
    asked = way.send(None)
    assert isinstance(asked, Exchange)
    with pytest.raises(OutcomeUnknown, match="the node's answer cannot be read"):
        way.send(Reply(asked.request, body))  # type: ignore[arg-type]
    assert made.counters.unknown_outcomes == 1


def test_so_is_one_whose_answer_is_written_with_what_cannot_be_learned() -> None:
    made = core()
    made.definitions.schemas["t"] = KeySchema(KeyAttribute("id", "S"))
    made.definitions.ids[()] = 1
    put = {**PUT, "ReturnValues": "ALL_OLD"}
    way = made.perform("PutItem", put, made.begin("PutItem", put, 0.0, 10.0))
    asked = way.send(None)
    assert isinstance(asked, Exchange)
    assert isinstance(asked.request, PutItem)
    old = encode_result(
        asked.request,
        put,
        {"Attributes": {"id": {"S": "a"}, "v": {"S": "b"}}},
        {"t": KeySchema(KeyAttribute("id", "S"))}.__getitem__,
        lambda names: 7,
    )[1:]
    asked = way.send(Reply(asked.request, old))
    assert isinstance(asked, Exchange)
    assert isinstance(asked.request, DefineAttributeList)
    with pytest.raises(OutcomeUnknown, match="it was answered, but not how"):
        way.send(Reply(asked.request, b"\x01"))


@pytest.mark.parametrize(
    ("operation", "params"),
    [("DescribeTable", {"TableName": "t"}), ("PutItem", {**PUT, ON_FAILURE: "ALL_OLD"})],
)
def test_what_the_protocol_has_no_place_for_is_refused(operation: str, params: Params) -> None:
    made = core()
    way = made.perform(operation, params, made.begin(operation, params, 0.0, 10.0))
    with pytest.raises(RequestError, match=f"no place for {operation}"):
        way.send(None)


def test_a_request_that_is_wrong_is_not_passed_on() -> None:
    made = core()
    made.definitions.schemas["t"] = KeySchema(KeyAttribute("id", "S"))
    wrong = {"TableName": "t", "Key": {"id": {"N": "1"}}}
    way = made.perform("GetItem", wrong, made.begin("GetItem", wrong, 0.0, 10.0))
    with pytest.raises(RequestError):
        way.send(None)


def test_it_needs_neither_botocore_nor_grpc() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", WITHOUT], capture_output=True, text=True, timeout=60, check=True
    )
    assert "ConfigError the SDK needs botocore" in ended.stdout
