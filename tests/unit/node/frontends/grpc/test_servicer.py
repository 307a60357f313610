"""Typed messages to parameters and back, and errors as gRPC clients see them."""

from __future__ import annotations

import asyncio
from typing import Any, NoReturn
from urllib.parse import quote

import grpc
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from hypothesis import given
from hypothesis import strategies as st

from cluster.transport.large_work import LargeWork
from cluster.transport.memory import OBJECT_BYTES, MemoryBudget
from node.frontends.grpc import errors
from node.frontends.grpc import servicer as grpc_servicer
from node.frontends.grpc.errors import ERROR_KEY, STATUS_KEY, status_of
from node.frontends.grpc.messages import fill, to_params
from node.frontends.grpc.servicer import DataServicer, timeout_s
from node.frontends.grpc.values import fill_item, to_item
from node.operations import REQUEST_TIMEOUT_S
from node.reads.reading import ReadAnswer
from paceline.errors import (
    ConfigError,
    DynamoDBError,
    NotSent,
    OutcomeUnknown,
    PacelineError,
    RequestError,
    Unavailable,
)
from paceline.types import KeyAttribute, KeySchema
from paceline.v1 import data_pb2 as pb
from tests.unit.node.fakes import WatchedWork
from tests.unit.node.frontends.doors import Node

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
NUMBERS = st.integers(-(10**30), 10**30).map(str) | st.sampled_from(["1.5", "1E+2", "-0.001"])
SCALARS = st.one_of(
    TEXTS.map(lambda x: {"S": x}),
    NUMBERS.map(lambda x: {"N": x}),
    st.binary(max_size=5).map(lambda x: {"B": x}),
    st.booleans().map(lambda x: {"BOOL": x}),
    st.just({"NULL": True}),
    st.lists(TEXTS, min_size=1, max_size=3, unique=True).map(lambda x: {"SS": x}),
    st.lists(NUMBERS, min_size=1, max_size=3, unique=True).map(lambda x: {"NS": x}),
    st.lists(st.binary(max_size=3), min_size=1, max_size=3, unique=True).map(lambda x: {"BS": x}),
)
VALUES: Any = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda x: {"L": x}),
        st.dictionaries(TEXTS, inner, max_size=3).map(lambda x: {"M": x}),
    ),
    max_leaves=10,
)


@given(st.dictionaries(TEXTS, VALUES, max_size=4))
def test_an_item_comes_back_as_it_was(item: dict[str, Any]) -> None:
    message = pb.Attributes()
    fill_item(message.attributes, item)
    assert to_item(pb.Attributes.FromString(message.SerializeToString()).attributes) == item


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (pb.AttributeValue(), "Supplied AttributeValue is empty"),
        (pb.AttributeValue(n="abc"), "cannot be converted to a numeric value: abc"),
        (pb.AttributeValue(n=""), "cannot be converted to a numeric value"),
        (pb.AttributeValue(ns=pb.NumberSet(values=["1", "x"])), "numeric value: x"),
        (
            pb.AttributeValue(l=pb.ListValue(values=[pb.AttributeValue()])),
            "Supplied AttributeValue is empty",
        ),
    ],
)
def test_what_is_no_value(value: pb.AttributeValue, words: str) -> None:
    with pytest.raises(RequestError, match=words) as caught:
        to_item({"a": value})
    assert caught.value.name == "ValidationException"


def key(text: str) -> dict[str, pb.AttributeValue]:
    return {"id": pb.AttributeValue(s=text)}


def test_what_is_not_given_is_left_out() -> None:
    assert to_params(pb.GetItemRequest(table_name="t", key=key("x"))) == {
        "TableName": "t",
        "Key": {"id": {"S": "x"}},
    }
    assert to_params(pb.ScanRequest(table_name="t")) == {"TableName": "t"}
    # What DynamoDB demands is judged by it, also where it is empty.
    assert to_params(pb.PutItemRequest()) == {"TableName": "", "Item": {}}
    assert to_params(pb.BatchGetItemRequest(request_items={"t": pb.KeysAndAttributes()})) == {
        "RequestItems": {"t": {"Keys": []}}
    }


def test_every_kind_of_parameter() -> None:
    request = pb.QueryRequest(
        table_name="t",
        key_condition_expression="#i = :i",
        expression_attribute_names={"#i": "id"},
        expression_attribute_values={":i": pb.AttributeValue(s="x")},
        limit=0,
        scan_index_forward=False,
        consistent_read=True,
        select=pb.SELECT_ALL_PROJECTED_ATTRIBUTES,
        return_consumed_capacity=pb.RETURN_CONSUMED_CAPACITY_TOTAL,
    )
    assert to_params(request) == {
        "TableName": "t",
        "KeyConditionExpression": "#i = :i",
        "ExpressionAttributeNames": {"#i": "id"},
        "ExpressionAttributeValues": {":i": {"S": "x"}},
        "Limit": 0,
        "ScanIndexForward": False,
        "ConsistentRead": True,
        "Select": "ALL_PROJECTED_ATTRIBUTES",
        "ReturnConsumedCapacity": "TOTAL",
    }
    check = pb.TransactConditionCheck(
        table_name="t",
        key=key("x"),
        return_values_on_condition_check_failure=pb.RETURN_VALUES_ON_CONDITION_CHECK_FAILURE_ALL_OLD,
    )
    request_ = pb.TransactWriteItemsRequest(
        transact_items=[pb.TransactWrite(condition_check=check)], client_request_token="token"
    )
    assert to_params(request_) == {
        "TransactItems": [
            {
                "ConditionCheck": {
                    "TableName": "t",
                    "Key": {"id": {"S": "x"}},
                    "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
                }
            }
        ],
        "ClientRequestToken": "token",
    }


@pytest.mark.parametrize(
    "request_",
    [
        pb.TransactWriteItemsRequest(transact_items=[pb.TransactWrite()]),
        pb.BatchWriteItemRequest(
            request_items={"t": pb.WriteRequests(requests=[pb.WriteRequest()])}
        ),
        pb.UpdateItemRequest(return_values=99),  # type: ignore[arg-type]
    ],
)
def test_what_dynamodb_cannot_be_told(request_: Any) -> None:
    with pytest.raises(RequestError):
        to_params(request_)


def test_results_of_batches() -> None:
    response = pb.BatchWriteItemResponse()
    fill(
        response,
        {
            "UnprocessedItems": {
                "t": [
                    {"PutRequest": {"Item": {"id": {"S": "x"}}}},
                    {"DeleteRequest": {"Key": {"id": {"S": "y"}}}},
                ]
            },
            "ConsumedCapacity": [
                {
                    "TableName": "t",
                    "CapacityUnits": 1.5,
                    "GlobalSecondaryIndexes": {"i": {"CapacityUnits": 0.5}},
                }
            ],
            "ItemCollectionMetrics": {
                "t": [
                    {
                        "ItemCollectionKey": {"id": {"S": "x"}},
                        "SizeEstimateRangeGB": [0.0, 1.0],
                    }
                ]
            },
            "Newer": "than this node",
        },
    )
    first, second = response.unprocessed_items["t"].requests
    assert to_item(first.put_item.attributes) == {"id": {"S": "x"}}
    assert to_item(second.delete_key.attributes) == {"id": {"S": "y"}}
    (capacity,) = response.consumed_capacity
    assert capacity.global_secondary_indexes["i"].capacity_units == 0.5
    assert not capacity.HasField("read_capacity_units")
    (metrics,) = response.item_collection_metrics["t"].metrics
    assert list(metrics.size_estimate_range_gb) == [0.0, 1.0]


def test_an_item_that_is_not_there_is_told_from_an_empty_one() -> None:
    absent, empty = pb.GetItemResponse(), pb.GetItemResponse()
    fill(absent, {})
    fill(empty, {"Item": {}})
    assert not absent.HasField("item")
    assert empty.HasField("item")


# -- errors ---------------------------------------------------------------------------------


def told(error: PacelineError) -> tuple[grpc.StatusCode, pb.Error]:
    failure = status_of(error)
    return failure.code, pb.Error.FromString(dict(failure.trailing_metadata)[ERROR_KEY])


@pytest.mark.parametrize(
    ("error", "code", "outcome"),
    [
        (RequestError("ValidationException", "no"), "INVALID_ARGUMENT", 1),
        (DynamoDBError("SomethingNewException", "no"), "INVALID_ARGUMENT", 1),
        (DynamoDBError("ConditionalCheckFailedException", "no"), "FAILED_PRECONDITION", 1),
        (DynamoDBError("TransactionCanceledException", "no"), "ABORTED", 1),
        (DynamoDBError("ResourceNotFoundException", "no"), "NOT_FOUND", 1),
        (DynamoDBError("ThrottlingException", "no"), "RESOURCE_EXHAUSTED", 1),
        (
            DynamoDBError("ProvisionedThroughputExceededException", "no"),
            "RESOURCE_EXHAUSTED",
            1,
        ),
        (DynamoDBError("AccessDeniedException", "no"), "PERMISSION_DENIED", 1),
        (DynamoDBError("InternalServerError", "no", 500), "UNAVAILABLE", 1),
        (DynamoDBError("Strange", "no", 503), "UNAVAILABLE", 1),
        (NotSent("no primary"), "UNAVAILABLE", 1),
        (Unavailable("not now"), "UNAVAILABLE", 1),
        (OutcomeUnknown("who knows"), "UNKNOWN", 2),
        (ConfigError("what"), "INTERNAL", 1),
    ],
)
def test_codes(error: PacelineError, code: str, outcome: int) -> None:
    found, detail = told(error)
    assert found.name == code
    assert detail.outcome == outcome
    assert detail.code
    assert not detail.truncated


def test_items_and_reasons_as_far_as_there_is_room() -> None:
    item = {"id": {"S": "x"}}
    _, detail = told(DynamoDBError("ConditionalCheckFailedException", "no", item=item))
    assert to_item(detail.item.attributes) == item
    reasons: list[dict[str, Any]] = [
        {"Code": "None"},
        {"Code": "ConditionalCheckFailed", "Message": "no", "Item": item},
    ]
    _, detail = told(DynamoDBError("TransactionCanceledException", "no", reasons=reasons))
    assert [one.code for one in detail.cancellation_reasons] == ["None", "ConditionalCheckFailed"]
    assert to_item(detail.cancellation_reasons[1].item.attributes) == item

    large = {"id": {"S": "x" * errors.METADATA_BYTES_MAX}}
    _, detail = told(DynamoDBError("ConditionalCheckFailedException", "no", item=large))
    assert detail.truncated
    assert not detail.HasField("item")
    many = [{"Code": "ConditionalCheckFailed", "Message": "m" * 100, "Item": large}] * 100
    failure = status_of(DynamoDBError("TransactionCanceledException", "c" * 5000, reasons=many))
    detail = pb.Error.FromString(dict(failure.trailing_metadata)[ERROR_KEY])
    assert detail.truncated
    assert [one.code for one in detail.cancellation_reasons] == ["ConditionalCheckFailed"] * 100
    assert bytes_of(failure) < 8 * 1024


def bytes_of(failure: errors.GrpcStatus) -> int:
    return len(quote(failure.message)) + sum(len(value) for _, value in failure.trailing_metadata)


@pytest.mark.parametrize("character", ["é", "日", "😀", "%"])
def test_messages_in_other_scripts_fit_metadata(character: str) -> None:
    """Else the caller is told RESOURCE_EXHAUSTED by gRPC itself."""
    large = {"id": {"S": "x" * 3000}}
    failure = status_of(DynamoDBError("ValidationException", character * 2000, item=large))
    assert 50 < len(failure.message) < 2000
    assert bytes_of(failure) < 6 * 1024


def rich_status(data: bytes) -> Any:
    """Read by protobuf itself, with the fields as google/rpc has them."""
    file = descriptor_pb2.FileDescriptorProto(name="s.proto", package="s", syntax="proto3")
    kinds = descriptor_pb2.FieldDescriptorProto
    shapes = {
        "Any": [("type_url", 1, kinds.TYPE_STRING, 1), ("value", 2, kinds.TYPE_BYTES, 1)],
        "Status": [
            ("code", 1, kinds.TYPE_INT32, 1),
            ("message", 2, kinds.TYPE_STRING, 1),
            ("details", 3, kinds.TYPE_MESSAGE, 3),
        ],
        "ErrorInfo": [("reason", 1, kinds.TYPE_STRING, 1), ("domain", 2, kinds.TYPE_STRING, 1)],
    }
    for name, fields in shapes.items():
        message = file.message_type.add(name=name)
        for field, number, kind, label in fields:
            one = message.field.add(name=field, number=number, type=kind, label=label)
            if kind == kinds.TYPE_MESSAGE:
                one.type_name = ".s.Any"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    status = message_factory.GetMessageClass(pool.FindMessageTypeByName("s.Status"))
    info = message_factory.GetMessageClass(pool.FindMessageTypeByName("s.ErrorInfo"))
    found: Any = status.FromString(data)
    (detail,) = found.details
    return found.code, found.message, detail.type_url, info.FromString(detail.value)


def test_status_libraries_read_the_details() -> None:
    message = "no" * 200
    failure = status_of(DynamoDBError("ConditionalCheckFailedException", message))
    code, text, url, info = rich_status(dict(failure.trailing_metadata)[STATUS_KEY])
    assert (code, text) == (9, message)
    assert url == "type.googleapis.com/google.rpc.ErrorInfo"
    assert (info.reason, info.domain) == ("ConditionalCheckFailedException", "paceline")


def test_some_time_is_left_for_the_answer() -> None:
    assert timeout_s(None) == REQUEST_TIMEOUT_S
    assert timeout_s(1000.0) == REQUEST_TIMEOUT_S
    assert timeout_s(2.0) == pytest.approx(1.9)
    assert timeout_s(0.1) == pytest.approx(0.09)
    assert timeout_s(-1.0) == 0.0


class Aborted(Exception):
    pass


class FakeContext:
    def __init__(self, time_s: float | None = None) -> None:
        self.code: grpc.StatusCode | None = None
        self.metadata: dict[str, bytes] = {}
        self._time_s = time_s

    def peer(self) -> str:
        return "ipv4:127.0.0.1:1"

    def invocation_metadata(self) -> tuple[Any, ...]:
        return ()

    def time_remaining(self) -> float | None:
        return self._time_s

    async def send_initial_metadata(self, metadata: Any) -> None:
        pass

    def add_done_callback(self, callback: Any) -> None:
        pass

    async def abort(self, code: Any, message: str, trailing_metadata: Any) -> NoReturn:
        self.code, self.metadata = code, dict(trailing_metadata)
        raise Aborted(message)


class Failing:
    """Operations that end in a way that nobody thought of."""

    class tables:
        @staticmethod
        async def schemas(tables: tuple[str, ...]) -> dict[str, KeySchema]:
            return {table: KeySchema(KeyAttribute("id", "S")) for table in tables}

    async def allow(self, operation: str, params: Any) -> None: ...

    async def write(self, operation: str, params: Any, deadline: float, **_: Any) -> NoReturn:
        raise ZeroDivisionError

    async def read(self, request: Any, deadline: float) -> NoReturn:
        raise ZeroDivisionError


async def test_an_unforeseen_end_of_a_write_is_not_called_a_failure() -> None:
    servicer = DataServicer(Failing(), lambda: 0.0)  # type: ignore[arg-type]
    write, read = FakeContext(), FakeContext()
    with pytest.raises(Aborted):
        await servicer.PutItem(pb.PutItemRequest(table_name="t", item=key("x")), write)
    assert write.code is grpc.StatusCode.UNKNOWN
    assert pb.Error.FromString(write.metadata[ERROR_KEY]).outcome == pb.REQUEST_OUTCOME_UNKNOWN
    with pytest.raises(Aborted):
        await servicer.Scan(pb.ScanRequest(table_name="t"), read)
    assert read.code is grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize(
    ("item", "words"),
    [
        ({}, "Missing the key id in the item"),
        (key(""), "cannot contain an empty string value. Key: id"),  # it stands for the table
        (key("x" * 5000), "exceeded the maximum size limit"),
    ],
)
async def test_a_write_without_a_key_is_refused_before_anything_is_done(
    item: Any, words: str
) -> None:
    servicer = DataServicer(Failing(), lambda: 0.0)  # type: ignore[arg-type]
    context = FakeContext()
    with pytest.raises(Aborted, match=words):
        await servicer.PutItem(pb.PutItemRequest(table_name="t", item=item), context)
    assert context.code is grpc.StatusCode.INVALID_ARGUMENT


class Slow:
    """Operations that are asked, and never answer."""

    def __init__(self) -> None:
        self.deadline = 0.0

    async def read(self, request: Any, deadline: float) -> Any:
        self.deadline = deadline
        await asyncio.sleep(60)


async def test_a_short_deadline_is_its_callers_alone() -> None:
    """What is asked of DynamoDB may be shared with callers that have more time."""
    slow, context = Slow(), FakeContext(0.01)
    servicer = DataServicer(slow, lambda: 0.0)  # type: ignore[arg-type]
    with pytest.raises(Aborted, match="Scan took longer"):
        await servicer.Scan(pb.ScanRequest(table_name="t"), context)
    assert context.code is grpc.StatusCode.UNAVAILABLE
    assert slow.deadline == REQUEST_TIMEOUT_S


async def test_many_values_are_read_and_told_off_the_loop() -> None:
    many = {"id": {"S": "a"}, "l": {"L": [{"N": "7"}] * 10_000}}
    pieces = []

    class Counting(LargeWork):
        async def run(self, work: Any) -> Any:
            pieces.append(work)
            return await super().run(work)

    class Answering:
        def __init__(self) -> None:
            self.result: Any = {}

        async def read(self, request: Any, deadline: float) -> ReadAnswer:
            return ReadAnswer("bypass", self.result)

    class Silent:
        def peer(self) -> str:
            return "ipv4:127.0.0.1:1"

        def invocation_metadata(self) -> tuple[Any, ...]:
            return ()

        def time_remaining(self) -> float:
            return 10.0

        async def send_initial_metadata(self, metadata: Any) -> None: ...

        def add_done_callback(self, callback: Any) -> None:
            ended.append(callback)

    ended: list[Any] = []
    memory = MemoryBudget()
    work, operations = Counting(), Answering()
    servicer = DataServicer(operations, lambda: 0.0, work, memory)  # type: ignore[arg-type]
    request = pb.TransactGetItemsRequest()
    get = request.transact_items.add(table_name="t")
    fill_item(get.key, {"id": {"S": "a"}})
    await servicer.TransactGetItems(request, Silent())
    assert len(pieces) == 0
    operations.result = {"Responses": [{"Item": many}]}
    written = await servicer.TransactGetItems(request, Silent())
    assert isinstance(written, bytes)
    response = pb.TransactGetItemsResponse.FromString(written)
    assert to_item(response.responses[0].item.attributes) == many
    assert len(pieces) == 1
    fill_item(get.key, many)
    operations.result = {}
    await servicer.TransactGetItems(request, Silent())
    assert len(pieces) == 2
    values = sum(map(len, many.values())) + sum(len(one.get("L", ())) for one in many.values())
    assert memory.held_bytes >= OBJECT_BYTES * values > 1_000_000
    ended.pop()(None)
    assert memory.held_bytes == 0

    memory.bytes_max = OBJECT_BYTES * values  # and one more has it all
    memory.change(0, memory.bytes_max)
    assert await servicer._params(request, Silent(), []), "one at a time is let in beside it"
    with pytest.raises(RequestError, match="no memory"):
        await servicer._params(request, Silent(), [])
    ended.pop()(None)
    assert memory.held_bytes == memory.bytes_max
    await work.aclose()


async def test_a_hit_has_consumed_nothing_and_says_so_to_who_asks() -> None:
    node = Node()
    node.keep("t-1", b"a")
    request = pb.GetItemRequest(table_name="t-1", key=key("a"))
    answer, _ = await node.call("GetItem", request)
    assert not answer.HasField("consumed_capacity")
    request.return_consumed_capacity = pb.RETURN_CONSUMED_CAPACITY_TOTAL
    answer, _ = await node.call("GetItem", request)
    assert answer.consumed_capacity == pb.ConsumedCapacity(table_name="t-1", capacity_units=0.0)


async def test_more_values_than_a_request_of_dynamodbs_has_are_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    many = {"id": {"S": "a"}, "l": {"L": [{"N": "7"}] * 10_000}}
    request = pb.PutItemRequest(table_name="t-1")
    fill_item(request.item, many)
    node = Node(WatchedWork())
    _, call = await node.call("PutItem", request)
    assert call.code is None
    monkeypatch.setattr(grpc_servicer, "VALUES_MAX", 9999)
    _, call = await node.call("PutItem", request)
    assert call.code is grpc.StatusCode.INVALID_ARGUMENT
    assert "more than" in call.message
    assert isinstance(node.work, WatchedWork)
    assert {"TableName": "t-1", "Item": many} in node.work.gone
    assert len(node.dynamodb.of("PutItem")) == 1
    await node.work.aclose()
