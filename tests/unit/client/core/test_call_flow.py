"""What clients send and how they read answers: plain gets, old parameters, DynamoDB itself."""

import logging
import sys
from collections.abc import Generator
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from paceline.client.aio.fallback import AsyncFallbackDriver
from paceline.client.boto import errors
from paceline.client.core.call_flow import Core
from paceline.client.core.commands import Broken, Exchange, Refused, kind_of
from paceline.client.core.definitions import Definitions
from paceline.client.core.legacy import modernize
from paceline.client.core.plain_get import PlainGetEncoder, is_whole_reply
from paceline.client.core.retry import AskDynamoDB, FallbackReservation, NoAnswer, Wait
from paceline.client.core.roster import Node, Roster
from paceline.client.core.routing import Router
from paceline.client.fallback import Fallback, consistently, cost
from paceline.client.settings import RequestEvent, Settings
from paceline.dax.attribute_lists import encode_item
from paceline.dax.client.requests import to_request
from paceline.dax.connection import ErrorReply, Reply
from paceline.dax.request_types import DefineKeySchema, GetItem
from paceline.dax.requests import encode_request
from paceline.dax.responses import item_reply, key_schema_reply
from paceline.errors import (
    ConfigError,
    DynamoDBError,
    OutcomeUnknown,
    RequestError,
    Unavailable,
)
from paceline.types import KeyAttribute, KeySchema
from tests.unit.client.rig import boto_core

SCHEMAS = {
    "hash": KeySchema(KeyAttribute("id", "S")),
    "range": KeySchema(KeyAttribute("pk", "B"), KeyAttribute("sk", "N")),
}
ITEM = {"id": {"S": "ada"}, "v": {"S": "x" * 300}, "n": {"N": "1.5"}}


def knowledge() -> Definitions:
    known = Definitions()
    known.schemas.update(SCHEMAS)
    known.ids[("n", "v")] = 77
    known.names[77] = ("n", "v")
    return known


# -- plain gets --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "params",
    [
        {"TableName": "hash", "Key": {"id": {"S": "ada"}}},
        {"TableName": "range", "Key": {"sk": {"N": "-1.5"}, "pk": {"B": b"\x00"}}},
    ],
)
def test_a_plain_get_is_the_codecs_frame(params: dict[str, Any]) -> None:
    known = knowledge()
    general = to_request("GetItem", params, known.schema_of, known.list_id)
    for _ in range(2):
        plain = PlainGetEncoder(known).encode(params)
        assert plain is not None
        assert plain.frame == encode_request(general)


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"TableName": "hash"},
        {"TableName": "hash", "Key": {"id": {"S": "a"}}, "ConsistentRead": True},
        {"TableName": "new", "Key": {"id": {"S": "a"}}},
        {"TableName": 1, "Key": {"id": {"S": "a"}}},
        {"TableName": "hash", "Key": None},
        {"TableName": "hash", "Key": {"id": {"N": "1"}}},
        {"TableName": "hash", "Key": {"id": {"S": ""}}},
        {"TableName": "hash", "Key": {"id": {"S": "a", "N": "1"}}},
        {"TableName": "hash", "Key": {"id": {"S": 1}}},
        {"TableName": "hash", "Key": {"id": "a"}},
        {"TableName": "hash", "Key": {"id": {"S": "a"}, "more": {"S": "a"}}},
        {"TableName": "range", "Key": {"pk": {"B": b"x"}, "sk": {"N": "one"}}},
        {"TableName": "range", "Key": {"pk": {"B": b"x"}}},
    ],
)
def test_whatever_is_not_plain_goes_the_general_way(params: dict[str, Any]) -> None:
    assert PlainGetEncoder(knowledge()).encode(params) is None


@pytest.mark.parametrize("size", [0, 10, 200, 70_000])
def test_a_plain_reply_is_found_whole_or_not_at_all(size: int) -> None:
    known = knowledge()
    item = {**ITEM, "v": {"S": "x" * size}}
    reply = item_reply(encode_item(item, SCHEMAS["hash"], known.list_id))
    assert is_whole_reply(reply)
    for cut in {1, 2, 3, 4, 5, 8, len(reply) // 2, len(reply) - 1}:
        assert not is_whole_reply(reply[:cut])
    assert not is_whole_reply(reply + b"\x80")
    key = {"id": ITEM["id"]}
    plain = PlainGetEncoder(known).encode({"TableName": "hash", "Key": key})
    assert plain is not None
    found = plain.decode(reply[1:], known.names_of)
    assert found == {"Item": item}
    assert found["Item"]["id"] is not key["id"], "the caller's own dictionaries stay theirs"


def test_a_miss_is_plain() -> None:
    assert is_whole_reply(b"\x80\xf6")
    plain = PlainGetEncoder(knowledge()).encode({"TableName": "hash", "Key": {"id": {"S": "a"}}})
    assert plain is not None
    assert plain.decode(b"\xf6", knowledge().names_of) == {}
    assert plain.decode(b"\xa2\x00\x40\x01\xf6", knowledge().names_of) is None


# -- old parameters ----------------------------------------------------------------------------


def test_old_parameters_become_expressions() -> None:
    found = modernize(
        "UpdateItem",
        {
            "TableName": "t",
            "Key": {},
            "AttributeUpdates": {
                "size": {"Value": {"S": "x"}},
                "gone": {"Action": "DELETE"},
                "n": {"Action": "ADD", "Value": {"N": "1"}},
                "set": {"Action": "DELETE", "Value": {"SS": ["a"]}},
            },
            "Expected": {
                "size": {"Exists": False},
                "n": {"ComparisonOperator": "BETWEEN", "AttributeValueList": [{"N": "1"}] * 2},
            },
            "ConditionalOperator": "OR",
        },
    )
    assert found["ConditionExpression"] == (
        "(attribute_not_exists(#legacy0)) OR (#legacy1 BETWEEN :legacy0 AND :legacy1)"
    )
    assert found["UpdateExpression"] == (
        "SET #legacy0 = :legacy2 REMOVE #legacy2 ADD #legacy1 :legacy3 DELETE #legacy3 :legacy4"
    )
    assert found["ExpressionAttributeNames"]["#legacy2"] == "gone"
    assert len(found["ExpressionAttributeValues"]) == 5
    assert "Expected" not in found


def test_old_key_conditions_and_filters() -> None:
    found = modernize(
        "Query",
        {
            "KeyConditions": {
                "pk": {"ComparisonOperator": "EQ", "AttributeValueList": [{"S": "a"}]},
                "sk": {"ComparisonOperator": "BEGINS_WITH", "AttributeValueList": [{"S": "b"}]},
            },
            "QueryFilter": {
                "x": {"ComparisonOperator": "IN", "AttributeValueList": [{"S": "a"}, {"S": "b"}]},
                "y": {"ComparisonOperator": "NULL"},
            },
            "AttributesToGet": ["x", "pk"],
        },
    )
    assert found["KeyConditionExpression"] == (
        "#legacy2 = :legacy0 AND begins_with(#legacy3, :legacy1)"
    ).replace("#legacy2", "#legacy1").replace("#legacy3", "#legacy2")
    assert found["FilterExpression"] == (
        "#legacy0 IN (:legacy2, :legacy3) AND attribute_not_exists(#legacy3)"
    )
    assert found["ProjectionExpression"] == "#legacy0, #legacy1"


@pytest.mark.parametrize(
    ("params", "says"),
    [
        ({"AttributesToGet": ["a"], "ProjectionExpression": "a"}, "Can not use both"),
        ({"Expected": {"a": {}}}, "Value must be provided"),
        ({"Expected": {"a": {"ComparisonOperator": "EQ"}}}, "Invalid number of argument"),
        ({"AttributeUpdates": {"a": {"Action": "PUT"}}}, "Only DELETE action"),
    ],
)
def test_wrong_old_parameters(params: dict[str, Any], says: str) -> None:
    with pytest.raises(RequestError, match=says):
        modernize("UpdateItem", params)


def test_new_parameters_are_left_alone() -> None:
    params = {"TableName": "t", "Key": {}}
    assert modernize("GetItem", params) is params


# -- a whole call ------------------------------------------------------------------------------


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def core(**options: Any) -> tuple[Core, Clock]:
    clock = Clock()
    made = boto_core(Router(Random(7).randrange), Settings(), clock, **options)
    made.follow(
        Roster(tuple(Node(n, f"n{n}", "a", "127.0.0.1", n, n == 2) for n in (1, 2, 3)), 1, "c")
    )
    return made, clock


def way(made: Core, operation: str, params: dict[str, Any]) -> Generator[Any, Any, Any]:
    now = made.clock()
    return made.perform(operation, params, made.call(kind_of(operation, params), now, now + 10.0))


GET = {"TableName": "hash", "Key": {"id": {"S": "ada"}}}
PUT = {"TableName": "hash", "Item": {"id": {"S": "ada"}}}


def test_a_call_asks_for_what_it_lacks_first() -> None:
    made, _ = core()
    call = way(made, "GetItem", GET)
    first = call.send(None)
    assert isinstance(first, Exchange)
    assert first.request == DefineKeySchema("hash")
    second = call.send(Reply(first.request, key_schema_reply(SCHEMAS["hash"])[1:]))
    assert isinstance(second.request, GetItem)
    with pytest.raises(StopIteration) as end:
        call.send(Reply(second.request, b"\xf6"))
    assert end.value.value == {}
    assert made.counters.retries == 0
    assert [state.outstanding for state in made.router.nodes.values()] == [0, 0, 0]


def test_a_put_that_was_handed_over_is_unknown() -> None:
    made, _ = core()
    made.definitions.schemas.update(SCHEMAS)
    call = way(made, "PutItem", PUT)
    assert call.send(None).node.number == 2
    with pytest.raises(errors.OutcomeUnknownException, match="may or may not") as caught:
        call.send(Broken(NoAnswer.NO_REPLY, "the node closed the connection"))
    assert isinstance(caught.value, OutcomeUnknown)
    assert isinstance(caught.value, ClientError)
    assert caught.value.response["Error"]["Code"] == "OutcomeUnknownException"
    assert made.counters.unknown_outcomes == 1


def test_an_error_of_the_question_in_front_is_the_calls() -> None:
    made, _ = core()
    call = way(made, "PutItem", PUT)
    asked = call.send(None)
    error = DynamoDBError("ResourceNotFoundException", "no such table")
    with pytest.raises(errors.exceptions().ResourceNotFoundException) as caught:
        call.send(ErrorReply(asked.request, error))
    assert caught.value.operation_name == "PutItem"


def test_a_busy_pool_says_nothing_of_the_node() -> None:
    made, _ = core()
    made.definitions.schemas.update(SCHEMAS)
    call = way(made, "GetItem", GET)
    first = call.send(None)
    other = call.send(Broken(NoAnswer.NOT_HANDED_OVER, "all in use", busy=True))
    assert other.node != first.node
    assert made.router.nodes[first.node.number].breaker.closed
    call.close()
    assert [state.outstanding for state in made.router.nodes.values()] == [0, 0, 0]


def test_a_table_that_was_made_anew_is_asked_for_again() -> None:
    made, _ = core()
    made.definitions.schemas.update(SCHEMAS)
    call = way(made, "GetItem", GET)
    asked = call.send(None)
    with pytest.raises(ClientError):
        call.send(ErrorReply(asked.request, DynamoDBError("ValidationException", "The key")))
    assert "hash" not in made.definitions.schemas


def test_nobody_answers() -> None:
    made, clock = core()
    made.definitions.schemas.update(SCHEMAS)
    call = way(made, "GetItem", GET)

    def go_on() -> None:
        step = call.send(None)
        while True:
            if isinstance(step, Wait):
                clock.now += step.seconds
                step = call.send(None)
            else:
                step = call.send(Broken(NoAnswer.NOT_HANDED_OVER, "n cannot be reached"))

    with pytest.raises(errors.ClusterUnavailable, match="cannot be reached") as caught:
        go_on()
    assert isinstance(caught.value, Unavailable)
    assert isinstance(caught.value, EndpointConnectionError)


# -- DynamoDB itself ---------------------------------------------------------------------------


def falling(client: Any, **options: Any) -> tuple[Fallback, Core]:
    made, _ = core(has_fallback=True, fallback_writes=True)
    return Fallback(client, made, rate_per_s=2.0, **options), made


def test_a_fallback_reads_consistently_within_its_budget() -> None:
    seen: list[Any] = []

    def get_item(**params: Any) -> Any:
        seen.append(params)
        return {"Item": {}}

    client = SimpleNamespace(get_item=get_item)
    fallback, made = falling(lambda: client)
    assert fallback.call("GetItem", GET, FallbackReservation(10.0)) == {"Item": {}}
    assert seen == [{**GET, "ConsistentRead": True}]
    fallback.call("GetItem", GET, FallbackReservation(10.0))
    reservations = [FallbackReservation(made.clock() + 10.0) for _ in range(3)]
    refused = [fallback.call("GetItem", GET, reservation) for reservation in reservations]
    assert [one.wait_s for one in refused] == pytest.approx([0.5, 1.0, 1.5]), "they queue"
    assert fallback.call(
        "GetItem", GET, FallbackReservation(made.clock() + 1.0)
    ).wait_s == pytest.approx(1.0)
    assert made.away
    assert len(seen) == 2
    assert fallback.call("GetItem", GET, reservations[0]) == {"Item": {}}, (
        "its tokens are taken already"
    )
    made.release(reservations[1])
    assert fallback.call(
        "GetItem", GET, FallbackReservation(made.clock() + 2.0)
    ).wait_s == pytest.approx(1.5)


@pytest.mark.parametrize(
    ("operation", "params", "expected", "tokens"),
    [
        ("Query", {"TableName": "t", "IndexName": "i"}, {"TableName": "t", "IndexName": "i"}, 1),
        (
            "BatchGetItem",
            {"RequestItems": {"t": {"Keys": [1, 2]}, "u": {"Keys": [3]}}},
            {
                "RequestItems": {
                    "t": {"Keys": [1, 2], "ConsistentRead": True},
                    "u": {"Keys": [3], "ConsistentRead": True},
                }
            },
            3,
        ),
        ("TransactGetItems", {"TransactItems": [1, 2]}, {"TransactItems": [1, 2]}, 2),
    ],
)
def test_what_a_fallback_costs(operation: str, params: Any, expected: Any, tokens: float) -> None:
    assert consistently(operation, params) == expected
    assert cost(operation, params) == tokens


def test_writes_behind_the_cluster_are_told_on_return(caplog: pytest.LogCaptureFixture) -> None:
    told: list[Any] = []
    client = SimpleNamespace(put_item=lambda **_: {}, transact_write_items=lambda **_: {})
    fallback, made = falling(lambda: client, on_return=told.append, burst=10.0)
    fallback.call("PutItem", PUT, FallbackReservation(10.0))
    update = {"Update": {"TableName": "range", "Key": {"pk": {"B": b"x"}}}}
    check = {"ConditionCheck": {"TableName": "hash", "Key": GET["Key"]}}
    fallback.call(
        "TransactWriteItems", {"TransactItems": [update, check]}, FallbackReservation(10.0)
    )
    call = way(made, "GetItem", GET)
    asked = call.send(None)
    with caplog.at_level(logging.WARNING, "paceline.client"):
        call.send(Reply(asked.request, key_schema_reply(SCHEMAS["hash"])[1:]))
    call.close()
    assert [behind.keys for behind in told] == [
        {"hash": [PUT["Item"]], "range": [{"pk": {"B": b"x"}}]}
    ]
    assert "2 keys of tables hash, range" in caplog.text
    assert not made.away
    assert made.counters.returns == 1


@pytest.mark.parametrize("operation", ["GetItem", "PutItem"])
def test_dynamodbs_errors_are_the_applications(operation: str) -> None:
    response: Any = {"Error": {"Code": "ConditionalCheckFailedException", "Message": "no"}}

    def refuse(**_: Any) -> Any:
        raise ClientError(response, operation)

    fallback, _ = falling(lambda: SimpleNamespace(get_item=refuse, put_item=refuse))
    with pytest.raises(errors.exceptions().ConditionalCheckFailedException):
        fallback.begin(operation, GET if operation == "GetItem" else PUT)


def test_a_dynamodb_that_cannot_be_reached_is_tried_again() -> None:
    def away(**_: Any) -> Any:
        raise EndpointConnectionError(endpoint_url="http://nowhere")

    fallback, _ = falling(lambda: SimpleNamespace(get_item=away))
    assert isinstance(fallback.begin("GetItem", GET), Refused)


async def test_a_client_with_awaitable_methods_may_be_the_fallback() -> None:
    async def get_item(**_: Any) -> Any:
        return {"Item": {"id": {"S": "x"}}}

    fallback, _ = falling(lambda: SimpleNamespace(get_item=get_item))
    found = await AsyncFallbackDriver(fallback).call("GetItem", GET, FallbackReservation(10.0))
    assert found == {"Item": {"id": {"S": "x"}}}


def test_a_read_without_nodes_falls_back() -> None:
    made, clock = core(has_fallback=True)
    made.router.nodes.clear()
    made.router.update(Roster((Node(9, "n9", "a", "127.0.0.1", 9, False),), 2, "c"))
    call = way(made, "GetItem", GET)
    call.send(None)
    step = call.send(Broken(NoAnswer.NOT_HANDED_OVER, "refused"))
    assert isinstance(step, AskDynamoDB)
    wait = call.send(Refused("the budget is spent", 0.5))
    assert isinstance(wait, Wait)
    clock.now += 0.5
    step = call.send(None)
    while not isinstance(step, AskDynamoDB):
        step = call.send(Broken(NoAnswer.NOT_HANDED_OVER, "refused"))
    with pytest.raises(StopIteration) as end:
        call.send({"Item": {}})
    assert end.value.value == {"Item": {}}


# -- what callbacks see ------------------------------------------------------------------------


def test_tracing_needs_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    from paceline.client.otel import Tracing

    monkeypatch.setitem(sys.modules, "opentelemetry.trace", None)
    with pytest.raises(ConfigError, match=r"paceline\[opentelemetry\]"):
        Tracing()


def test_a_span_for_every_call(monkeypatch: pytest.MonkeyPatch) -> None:
    from paceline.client.otel import Tracing

    spans: list[Any] = []

    class Span:
        def __init__(self, name: str, **details: Any) -> None:
            self.name, self.details = name, details
            spans.append(self)

        def set_attribute(self, name: str, value: Any) -> None:
            self.details["attributes"][name] = value

        def set_status(self, code: Any, text: str) -> None:
            self.details["status"] = (code, text)

        def end(self, end_time: int) -> None:
            self.details["end_time"] = end_time

    trace = SimpleNamespace(
        SpanKind=SimpleNamespace(CLIENT="client"),
        StatusCode=SimpleNamespace(ERROR="error"),
        get_tracer=lambda name: SimpleNamespace(start_span=Span),
    )
    monkeypatch.setitem(sys.modules, "opentelemetry.trace", trace)
    tracing = Tracing()
    tracing(RequestEvent("GetItem", GET, "n1", "a", 2, 0.0, 0.25, OutcomeUnknown("?")))
    (span,) = spans
    assert span.name == "GetItem"
    assert span.details["attributes"] == {
        "db.system.name": "aws.dynamodb",
        "db.operation.name": "GetItem",
        "db.collection.name": "hash",
        "paceline.attempts": 2,
        "paceline.node": "n1",
        "cloud.availability_zone": "a",
        "error.type": "OutcomeUnknown",
    }
    assert span.details["end_time"] - span.details["start_time"] == 250_000_000
