"""Once DynamoDB has said yes, nothing that goes wrong afterwards makes it a failure or a doubt."""

from __future__ import annotations

import json
from typing import Any

import grpc
import pytest

from cluster.coherence.guard import Guard
from cluster.coherence.messages import Position
from cluster.coherence.primary import Primary
from node.backend.calls import Silence, Success
from node.cache.caches import Caches
from node.cache.query_cache import QueryCache
from node.frontends.dax import handler as dax_handler
from node.frontends.grpc import errors as grpc_errors
from node.frontends.grpc import servicer as grpc_servicer
from node.frontends.json_api import replies
from node.frontends.peers import ReplicationServicer
from node.reads import queries
from node.replication import wire
from node.replication.forwarding import Forwarder
from node.tables import attribute_lists
from node.tables.attribute_lists import AttributeLists
from node.writes.effects import Effects
from node.writes.in_doubt import InDoubtWrites
from node.writes.plan import WritePlan
from paceline.clock import now
from paceline.dax.request_types import DeleteItem
from paceline.errors import DynamoDBError, OutcomeUnknown, RequestError
from paceline.types import Params, Result
from paceline.v1 import data_pb2 as pb
from paceline.v1 import replication_pb2
from tests.unit.node.fakes import WatchedWork
from tests.unit.node.frontends.doors import Node

KEY = {"id": {"S": "a"}}
PUT: Params = {"TableName": "t-1", "Item": {**KEY, "v": {"N": "1"}}}


class Broken(Exception):
    pass


def broken(*args: Any, **kwargs: Any) -> Any:
    raise Broken


@pytest.fixture
def node() -> Node:
    return Node()


AFTERWARDS = [
    (attribute_lists, "encode_values"),
    (WritePlan, "images"),
    (WritePlan, "may_be_in_doubt"),
    (AttributeLists, "encode_now"),
    (Primary, "settle"),
    (Primary, "orphaned"),
    (Guard, "settle"),
    (Guard, "images_allowed"),
    (Caches, "install"),
    (replies, "to_json"),
]


@pytest.mark.parametrize(("where", "name"), AFTERWARDS)
async def test_a_write_by_http(
    node: Node, monkeypatch: pytest.MonkeyPatch, where: Any, name: str
) -> None:
    """A step that fails once; where it fails for good, nobody can be told of an orphan."""
    node.keep("t-1", b"a")
    real, failures = getattr(where, name), []

    def failing(*args: Any, **kwargs: Any) -> Any:
        if not failures:
            failures.append(name)
            raise Broken
        return real(*args, **kwargs)

    monkeypatch.setattr(where, name, failing)
    reply = await node.post("PutItem", PUT)
    assert failures == [name]
    assert (reply.status, json.loads(reply.body)) == (200, {})
    assert name == "to_json" or not node.is_kept("t-1", b"a")


async def test_effects_that_are_not_known_are_any(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Effects, "of", broken)
    assert (await node.post("PutItem", PUT)).status == 200


class Observer:
    """Of writes, as streams have one."""

    def __getattr__(self, name: str) -> Any:
        return broken


async def test_no_write_depends_on_who_looks_on(node: Node) -> None:
    node.driver.observer = Observer()
    assert (await node.post("PutItem", PUT)).status == 200
    assert node.guard.open_fences() == ()


async def test_a_write_by_dax(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    request = DeleteItem("t-1", b"a")
    plain = await node.dax.handle(request, node.peer)
    real, failures = dax_handler.encode_result, []

    def failing(*args: Any) -> Any:
        if not failures:
            failures.append(args)
            raise Broken
        return real(*args)

    monkeypatch.setattr(dax_handler, "encode_result", failing)
    assert await node.dax.handle(request, node.peer) == plain
    assert len(failures) == 1


async def test_a_write_by_grpc(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grpc_servicer, "fill", broken)
    key = {"id": pb.AttributeValue(s="a")}
    response, call = await node.call("PutItem", pb.PutItemRequest(table_name="t-1", item=key))
    assert (response, call.code) == (pb.PutItemResponse(), None)


def test_a_refusal_whose_details_cannot_be_told_is_a_refusal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(grpc_errors, "fill_item", broken)
    error = DynamoDBError("ConditionalCheckFailedException", "no", item=KEY)
    failure = grpc_errors.status_of(error)
    assert failure.code is grpc.StatusCode.FAILED_PRECONDITION
    told = pb.Error.FromString(dict(failure.trailing_metadata)[grpc_errors.ERROR_KEY])
    assert told.outcome == pb.REQUEST_OUTCOME_NOTHING_DONE
    assert told.truncated


class Done:
    """A primary's write path, on the other node."""

    async def execute_here(
        self, operation: str, params: Params, deadline: float, by: Any = None
    ) -> Result:
        return {"Attributes": {"s": {"S": "\ud800"}}}


class Context:
    def time_remaining(self) -> float:
        return 10.0


async def forwarded() -> Any:
    nothing: Any = None
    done: Any = Done()
    servicer = ReplicationServicer(nothing, done, nothing, nothing, nothing, now, 10.0)
    request = replication_pb2.ForwardRequest(operation="PutItem", params=wire.pack(PUT))
    return await servicer.Forward(request, Context())


async def test_the_primarys_answer_holds_whatever_dynamodb_says() -> None:
    reply = await forwarded()
    assert wire.unpack(reply.result) == {"Attributes": {"s": {"S": "\ud800"}}}


async def test_an_answer_that_cannot_be_packed_is_a_success(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = wire.pack
    monkeypatch.setattr(
        wire, "pack", lambda value: broken() if "Attributes" in value else real(value)
    )
    reply = await forwarded()
    assert reply.WhichOneof("outcome") == "result"
    assert wire.unpack(reply.result) == {}


class Stub:
    def __init__(self, channel: Any) -> None: ...

    async def Forward(self, request: Any, timeout: float) -> Any:
        return replication_pb2.ForwardReply(result=b"\xc1")


async def test_an_answer_that_cannot_be_unpacked_is_a_success(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("node.replication.forwarding.pb_grpc.ReplicationStub", Stub)
    nothing: Any = lambda address: None  # noqa: E731
    forwarder = Forwarder(nothing, now)
    assert await forwarder.forward("n1", "PutItem", PUT, now() + 10.0) == {}


async def test_a_write_too_large_for_any_primary_is_refused_before_it_is_sent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The refusal over there would not tell whether it had begun."""

    def sent(*_: Any, **__: Any) -> Any:
        pytest.fail("it was sent")

    monkeypatch.setattr("node.replication.forwarding.RECEIVED_BYTES_MAX", 1000)
    nothing: Any = lambda address: None  # noqa: E731
    forwarder = Forwarder(nothing, now)
    large = {**PUT, "Item": {**PUT["Item"], "v": {"S": "x" * 1000}}}
    monkeypatch.setattr("node.replication.forwarding.pb_grpc.ReplicationStub", Stub)
    assert await forwarder.forward("n1", "PutItem", PUT, now() + 10.0) == {}
    monkeypatch.setattr(Stub, "Forward", sent)
    with pytest.raises(RequestError, match="was not sent"):
        await forwarder.forward("n1", "PutItem", large, now() + 10.0)


async def test_a_write_in_doubt_of_which_nobody_can_be_told_stays_in_doubt(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Never a failure that says that nothing was done."""
    monkeypatch.setattr(Primary, "settle", broken)
    monkeypatch.setattr(InDoubtWrites, "run_here", broken)
    with pytest.raises(OutcomeUnknown):
        await node.writes.execute("PutItem", PUT, now() + 0.1)


async def test_a_step_before_the_write_is_sent_puts_nothing_in_doubt(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Guard, "fence", broken)
    reply = await node.post("PutItem", PUT)
    assert b"ThrottlingException" in reply.body
    assert node.dynamodb.writes == []


NUMBERS = ["1." + "0" * 1023, "0" * 5000 + "1", "-0" + "0" * 2000 + ".5", "1e" + "0" * 5000 + "2"]


@pytest.mark.parametrize("number", NUMBERS, ids=range(len(NUMBERS)))
async def test_zeros_that_say_nothing(node: Node, number: str) -> None:
    item = {**KEY, "v": {"L": [{"NS": [number]}, {"N": number}]}}
    assert (await node.post("PutItem", {"TableName": "t-1", "Item": item})).status == 200
    assert node.is_kept("t-1", b"a")
    value = pb.AttributeValue(n=number)
    request = pb.PutItemRequest(table_name="t-1", item={"id": pb.AttributeValue(s="b"), "v": value})
    response, call = await node.call("PutItem", request)
    assert (response, call.message) == (pb.PutItemResponse(), "")


# -- reads ---------------------------------------------------------------------------------------

GET = {"TableName": "t-1", "Key": KEY}
ODD = {**KEY, "v": {"FUTURE": "1"}}


def answers(node: Node, item: Params) -> None:
    def answer(operation: str, params: Params) -> Any:
        match operation:
            case "GetItem":
                return Success({"Item": item})
            case "BatchGetItem":
                return Success({"Responses": {"t-1": [item]}})
        return Success({"Items": [item], "Count": 1})

    node.dynamodb.answer = answer
    node.guard.extend(now() + 60.0, now())


BATCH = {"RequestItems": {"t-1": {"Keys": [KEY]}}}
QUERY = {
    "TableName": "t-1",
    "KeyConditionExpression": "id = :a",
    "ExpressionAttributeValues": {":a": {"S": "a"}},
}


@pytest.mark.parametrize(
    ("operation", "body", "where", "name"),
    [
        ("GetItem", GET, AttributeLists, "encode"),
        ("GetItem", GET, Caches, "install"),
        ("BatchGetItem", BATCH, AttributeLists, "encode"),
        ("BatchGetItem", BATCH, Caches, "install"),
        ("Query", QUERY, queries, "narrowed"),
        ("Query", QUERY, queries, "KeptResult"),
        ("Query", QUERY, QueryCache, "put"),
    ],
)
async def test_an_answer_that_cannot_be_kept_is_answered(
    node: Node,
    monkeypatch: pytest.MonkeyPatch,
    operation: str,
    body: Params,
    where: Any,
    name: str,
) -> None:
    answers(node, {**KEY, "v": {"N": "1"}})
    monkeypatch.setattr(where, name, broken)
    reply = await node.post(operation, body)
    assert reply.status == 200, reply.body
    assert b'"v"' in reply.body
    assert len(node.dynamodb.of(operation)) == 1


@pytest.mark.parametrize(
    ("operation", "body"), [("GetItem", GET), ("BatchGetItem", BATCH), ("Query", QUERY)]
)
@pytest.mark.parametrize("item", [ODD, {**KEY, "v": {"S": "\ud800"}}])
async def test_values_that_have_no_cached_form(
    node: Node, operation: str, body: Params, item: Params
) -> None:
    answers(node, item)
    for _ in range(2):
        reply = await node.post(operation, body)
        assert reply.status == 200, reply.body
        assert item == json.loads(reply.body).get("Item", item)
        assert b'"v"' in reply.body


async def test_an_unanswered_write_is_still_in_doubt(node: Node) -> None:
    node.dynamodb.answer = lambda operation, params: Silence("it broke", sent=True)
    reply = await node.post("PutItem", PUT)
    assert b"OutcomeUnknownException" in reply.body
    assert Position(1, 1) <= node.driver.primary.position  # type: ignore[union-attr]


async def test_many_values_of_another_nodes_write_are_read_and_told_off_the_loop() -> None:
    many = {"l": {"L": [{"N": "7"}] * 20_000}}

    class Large(Done):
        async def execute_here(
            self, operation: str, params: Params, deadline: float, by: Any = None
        ) -> Result:
            assert params == put
            return {"Attributes": value}

    for value, pieces in ({}, 0), (many, 2):
        put = {**PUT, "Item": {**PUT["Item"], **value}}
        nothing: Any = None
        large: Any = Large()
        work = WatchedWork()
        servicer = ReplicationServicer(nothing, large, nothing, nothing, nothing, now, 10.0, work)
        request = replication_pb2.ForwardRequest(operation="PutItem", params=wire.pack(put))
        reply = await servicer.Forward(request, Context())
        assert wire.unpack(reply.result) == {"Attributes": value}
        assert work.pieces == pieces
        await work.aclose()
