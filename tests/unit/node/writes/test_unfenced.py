"""No data write goes to DynamoDB without fence and lease, whatever fails beside it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import botocore.session
import grpc
import pytest

from cluster.coherence.messages import WHOLE
from node.backend.calls import End, Silence, Success
from node.reads import reading
from node.replication.primary_driver import EpochOver
from node.requests.reach import (
    DYNAMODB,
    HARMLESS,
    STREAM_READS,
    STREAMS,
    goes_unfenced,
    reach_of,
)
from node.tables import schemas
from node.writes import path
from paceline.clock import now
from paceline.dax.request_types import BatchWriteItem, DeleteItem
from paceline.dynamodb_operations import PARTIQL, READS, TABLES
from paceline.dynamodb_operations import WRITES as WRITING
from paceline.errors import DynamoDBError, OutcomeUnknown, PacelineError, RequestError, Unavailable
from paceline.types import Params
from paceline.v1 import data_pb2 as pb
from tests.unit.node.frontends.doors import Node, Sent, description, refused, type_of

ITEM = {"id": {"S": "a"}, "v": {"N": "1"}}
KEY = {"id": {"S": "a"}}
PUT: Params = {"TableName": "t-1", "Item": ITEM}

REFUSALS: dict[str, Callable[[str], End | None]] = {
    "throttled": lambda table: refused("ThrottlingException"),
    "5xx": lambda table: refused("InternalServerError", 500),
    "denied": lambda table: refused("AccessDeniedException"),
    "not there yet": lambda table: refused("ResourceNotFoundException"),
    "no connection": lambda table: Silence("no connection", sent=False),
    "late": lambda table: None,
    "no description": lambda table: Success({"Table": {"TableName": table}}),
    "nothing": lambda table: Success({}),
}
FAILING = pytest.mark.parametrize("failing", REFUSALS)

WRITES: list[tuple[str, Params, set[str]]] = [
    ("PutItem", PUT, {"t-1"}),
    ("UpdateItem", {"TableName": "t-1", "Key": KEY, "UpdateExpression": "SET v = v"}, {"t-1"}),
    ("DeleteItem", {"TableName": "t-1", "Key": KEY, "ReturnValues": "ALL_OLD"}, {"t-1"}),
    (
        "BatchWriteItem",
        {
            "RequestItems": {
                "t-1": [
                    {"PutRequest": {"Item": ITEM}},
                    {"PutRequest": {"Item": {"id": {"S": "b"}}}},
                ],
                "t-2": [{"DeleteRequest": {"Key": KEY}}],
            }
        },
        {"t-1", "t-2"},
    ),
    (
        "TransactWriteItems",
        {"TransactItems": [{"Put": PUT}, {"Delete": {"TableName": "t-2", "Key": KEY}}]},
        {"t-1", "t-2"},
    ),
    ("PutItem", {**PUT, "FromTheFuture": 1}, {"t-1"}),
    ("PutItem", {"TableName": "t-1"}, {"t-1"}),
    ("PutItem", {"TableName": "arn:aws:dynamodb:us-east-1:1:table/t-1", "Item": ITEM}, {"t-1"}),
    ("UpdateItem", {"TableName": "t-1", "Key": 1}, {"t-1"}),
    ("ExecuteStatement", {"Statement": "INSERT INTO \"t-1\" VALUE {'id': 'a'}"}, {"t-1"}),
    ("ExecuteStatement", {"Statement": "UPSERT INTO t-1 VALUE {'id': 'a'}"}, {"t-1"}),
    (
        "BatchExecuteStatement",
        {"Statements": [{"Statement": f"DELETE FROM \"t-{n}\" WHERE id='a'"} for n in (1, 2)]},
        {"t-1", "t-2"},
    ),
    (
        "ExecuteTransaction",
        {
            "TransactStatements": [
                {"Statement": "SELECT * FROM \"t-1\" WHERE id='a'"},
                {"Statement": "UPDATE \"t-2\" SET v=1 WHERE id='a'"},
            ]
        },
        {"t-2"},
    ),
]


@pytest.fixture
def node(monkeypatch: pytest.MonkeyPatch) -> Node:
    monkeypatch.setattr(path, "SCHEMAS_S", 0.05)
    monkeypatch.setattr(schemas, "DESCRIBE_TIMEOUT_S", 0.1)
    return Node()


def in_order(sent: Sent, tables: set[str]) -> bool:
    return sent.leased and tables <= sent.fenced


@FAILING
@pytest.mark.parametrize(("operation", "body", "named"), WRITES)
async def test_by_http_every_table_is_fenced_whole(
    node: Node, failing: str, operation: str, body: Params, named: set[str]
) -> None:
    node.dynamodb.describe = REFUSALS[failing]
    for table in named:
        node.keep(table, b"a")
    assert (await node.post(operation, body)).status == 200
    (sent,) = node.dynamodb.writes
    assert in_order(sent, named)
    assert not any(node.is_kept(table, b"a") for table in named)
    assert node.guard.open_fences() == ()


@FAILING
async def test_an_unknown_outcome_leaves_the_whole_table_in_doubt(node: Node, failing: str) -> None:
    node.dynamodb.describe = REFUSALS[failing]
    node.dynamodb.answer = lambda operation, params: Silence("it broke", sent=True)
    assert type_of(await node.post("PutItem", PUT)) == "OutcomeUnknownException"
    assert node.guard.unknown_keys(now()) == (("t-1", WHOLE),)
    assert node.guard.begin_fill(("t-1", b"any"), now()) is None


@FAILING
async def test_a_refusal_is_dynamodbs_own(node: Node, failing: str) -> None:
    node.dynamodb.describe = REFUSALS[failing]
    node.dynamodb.answer = lambda operation, params: refused("ConditionalCheckFailedException")
    assert type_of(await node.post("PutItem", PUT)) == "ConditionalCheckFailedException"
    assert node.guard.unknown_keys(now()) == ()


@FAILING
async def test_by_dax_the_error_is_answered(node: Node, failing: str) -> None:
    node.dynamodb.describe = REFUSALS[failing]
    for request in (
        DeleteItem("t-1", b"a"),
        BatchWriteItem({"t-1": ((b"a", None),), "t-2": ((b"a", None),)}),
    ):
        with pytest.raises((DynamoDBError, Unavailable)):
            await node.dax.handle(request, node.peer)
    assert node.dynamodb.writes == []


@FAILING
async def test_by_grpc_the_error_is_answered(node: Node, failing: str) -> None:
    node.dynamodb.describe = REFUSALS[failing]
    key = {"id": pb.AttributeValue(s="a")}
    _, one = await node.call("PutItem", pb.PutItemRequest(table_name="t-1", item=key))
    _, two = await node.call("DeleteItem", pb.DeleteItemRequest(table_name="t-1", key=key))
    assert node.dynamodb.writes == []
    # Nobody is told that the outcome is unknown: nothing was done.
    assert {one.code, two.code}.isdisjoint(
        {None, grpc.StatusCode.UNKNOWN, grpc.StatusCode.INTERNAL}
    )


ARN = "arn:aws:dynamodb:us-east-1:1:table/t-1"
ARN_WRITES: list[tuple[str, Params, set[str]]] = [
    ("PutItem", {"TableName": ARN, "Item": ITEM}, {"t-1"}),
    (
        "UpdateItem",
        {"TableName": ARN, "Key": KEY, "UpdateExpression": "SET v = v"},
        {"t-1"},
    ),
    (
        "BatchWriteItem",
        {
            "RequestItems": {
                ARN: [{"PutRequest": {"Item": ITEM}}],
                "t-2": [{"DeleteRequest": {"Key": KEY}}],
            }
        },
        {"t-1", "t-2"},
    ),
    (
        "TransactWriteItems",
        {
            "TransactItems": [
                {"Put": PUT},
                {"Delete": {"TableName": ARN, "Key": {"id": {"S": "b"}}}},
            ]
        },
        {"t-1"},
    ),
]
"""By any front end that knows parameters."""


@pytest.mark.parametrize(("operation", "params", "named"), ARN_WRITES)
async def test_a_write_by_arn_fences_every_table_whole_and_asks_for_no_schema(
    node: Node, operation: str, params: Params, named: set[str]
) -> None:
    for table in named:
        node.keep(table, b"z")
    await node.operations.write(operation, params, now() + 5.0)
    (sent,) = node.dynamodb.sent
    assert sent.leased
    assert sent.keys == {(table, WHOLE) for table in named}
    assert {name: sent.params[name] for name in params} == params
    assert not any(node.is_kept(table, b"z") for table in named)
    assert node.guard.open_fences() == ()
    assert not any(node.is_kept(table, b"a") for table in named)


async def test_a_write_by_arn_through_grpc_needs_no_description(node: Node) -> None:
    node.dynamodb.describe = REFUSALS["denied"]
    key = {"id": pb.AttributeValue(s="a")}
    _, call = await node.call("DeleteItem", pb.DeleteItemRequest(table_name=ARN, key=key))
    assert call.code is None
    (sent,) = node.dynamodb.sent
    assert sent.keys == {("t-1", WHOLE)}


async def test_a_write_by_arn_whose_outcome_is_unknown_leaves_the_table_in_doubt(
    node: Node,
) -> None:
    node.dynamodb.answer = lambda operation, params: Silence("it broke", sent=True)
    with pytest.raises(OutcomeUnknown):
        await node.operations.write("PutItem", {"TableName": ARN, "Item": ITEM}, now() + 5.0)
    assert node.guard.unknown_keys(now()) == (("t-1", WHOLE),)


@FAILING
async def test_a_primary_that_is_not_told_the_schema_fences_the_table(
    node: Node, failing: str
) -> None:
    """Whoever forwarded the write knew its keys."""
    node.dynamodb.describe = REFUSALS[failing]
    await node.writes.execute_here("PutItem", PUT, now() + 5.0)
    (sent,) = node.dynamodb.writes
    assert in_order(sent, {"t-1"})
    assert sent.params == PUT


async def test_a_node_that_is_no_primary_sends_nothing(node: Node) -> None:
    node.driver.end_epoch("another node has it")
    with pytest.raises(EpochOver):
        await node.writes.execute_here("PutItem", PUT, now() + 5.0)
    assert node.dynamodb.writes == []


async def test_only_the_table_that_is_not_known_is_fenced_whole(node: Node) -> None:
    node.dynamodb.describe = lambda table: (
        refused("ThrottlingException") if table == "t-2" else Success(description(table))
    )
    node.keep("t-1", b"b")
    batch = {"t-1": [{"PutRequest": {"Item": ITEM}}], "t-2": [{"PutRequest": {"Item": ITEM}}]}
    assert (await node.post("BatchWriteItem", {"RequestItems": batch})).status == 200
    (sent,) = node.dynamodb.writes
    assert sent.keys == {("t-1", b"a"), ("t-2", WHOLE)}
    assert node.is_kept("t-1", b"b")


async def test_writes_under_throttling_do_not_ask_each_time(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    time = [1000.0]
    monkeypatch.setattr(node.tables, "_now", lambda: time[0])
    node.dynamodb.describe = lambda table: refused("AccessDeniedException")
    for _ in range(20):
        assert (await node.post("PutItem", PUT)).status == 200
    assert len(node.dynamodb.of("DescribeTable")) == 1
    node.dynamodb.describe = lambda table: Success(description(table))
    time[0] += schemas.SILENT_S
    assert (await node.post("PutItem", PUT)).status == 200
    assert node.dynamodb.writes[-1].keys == {("t-1", b"a")}


async def test_a_write_does_not_make_anybody_forget_the_schema(node: Node) -> None:
    await node.post("PutItem", PUT)
    for body in ({**PUT, "FromTheFuture": 1}, {"TableName": "t-1", "Item": {"v": {"N": "1"}}}):
        await node.post("PutItem", body)
    await node.post("ExecuteStatement", {"Statement": "UPDATE \"t-1\" SET v=1 WHERE id='a'"})
    await node.post("PutItem", PUT)
    assert len(node.dynamodb.of("DescribeTable")) == 1


READS_: list[tuple[str, Params]] = [
    ("GetItem", {"TableName": "t-1", "Key": KEY, "ReturnConsumedCapacity": "TOTAL"}),
    ("BatchGetItem", {"RequestItems": {"t-1": {"Keys": [KEY]}}}),
    ("Query", {"TableName": "t-1", "KeyConditionExpression": "id = :a"}),
    ("Scan", {"TableName": "t-1", "ConsistentRead": False}),
]


@FAILING
@pytest.mark.parametrize(("operation", "body"), READS_)
async def test_reads_of_a_table_that_is_not_described_are_consistent(
    node: Node, monkeypatch: pytest.MonkeyPatch, failing: str, operation: str, body: Params
) -> None:
    monkeypatch.setattr(reading, "DESCRIBED_S", 0.05)
    node.dynamodb.describe = REFUSALS[failing]
    assert (await node.post(operation, body)).status == 200
    (sent,) = node.dynamodb.of(operation)
    asked = sent.body.get("RequestItems", {"t-1": sent.body})["t-1"]
    assert asked["ConsistentRead"] is True


async def test_an_index_of_unknown_kind_is_asked_consistently_if_it_can_be(node: Node) -> None:
    node.dynamodb.describe = REFUSALS["denied"]
    scan = {"TableName": "t-1", "IndexName": "i"}

    def answer(operation: str, params: Params) -> End:
        consistent = params.get("ConsistentRead")
        return refused("ValidationException") if consistent else Success({"Items": []})

    node.dynamodb.answer = answer
    assert (await node.post("Scan", scan)).status == 200
    assert [sent.body.get("ConsistentRead") for sent in node.dynamodb.of("Scan")] == [True, None]
    node.dynamodb.answer = lambda operation, params: Success({"Items": []})
    assert (await node.post("Scan", scan)).status == 200
    assert node.dynamodb.sent[-1].body["ConsistentRead"] is True


# -- keys that do not fit ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("item", "words"),
    [
        ({"v": {"N": "1"}}, "Missing the key id in the item"),
        ({"id": {"N": "1"}}, "Type mismatch for key id expected: S actual: N"),
        ({"id": {"S": ""}}, "cannot contain an empty string value"),
    ],
)
async def test_a_mistake_of_a_client_empties_no_cache(node: Node, item: Any, words: str) -> None:
    node.keep("t-1", b"b")
    reply = await node.post("PutItem", {"TableName": "t-1", "Item": item})
    assert type_of(reply) == "ValidationException"
    assert words in reply.body.decode()
    assert node.dynamodb.writes == []
    assert node.is_kept("t-1", b"b")


async def test_keys_of_a_table_that_is_another_one_by_now_are_fenced(node: Node) -> None:
    await node.post("PutItem", PUT)
    node.dynamodb.describe = lambda table: Success(description(table, "other"))
    other = {"TableName": "t-1", "Item": {"other": {"S": "x"}}}
    young = await node.post("PutItem", other)
    assert type_of(young) == "ValidationException"  # DynamoDB said otherwise a moment ago
    node.tables._known["t-1"].checked_at -= schemas.CONFIRMED_S
    assert (await node.post("PutItem", other)).status == 200
    assert node.dynamodb.writes[-1].keys == {("t-1", b"x")}
    assert node.changed == [("t-1", "outside")]


async def test_if_dynamodb_does_not_say_what_the_table_is_now_it_is_fenced_whole(
    node: Node,
) -> None:
    await node.post("PutItem", PUT)
    node.tables._known["t-1"].checked_at -= schemas.CONFIRMED_S
    node.dynamodb.describe = lambda table: refused("ThrottlingException")
    assert (
        await node.post("PutItem", {"TableName": "t-1", "Item": {"x": {"S": "x"}}})
    ).status == 200
    assert in_order(node.dynamodb.writes[-1], {"t-1"})


# -- what cannot be understood -------------------------------------------------------------------


@pytest.mark.parametrize("name", ["x" * 256, "", 7, None, []])
async def test_what_names_no_table_goes_under_the_lease_all_the_same(node: Node, name: Any) -> None:
    """DynamoDB cannot do it, and says so in its own words."""
    await node.post("PutItem", {"TableName": name})
    (sent,) = node.dynamodb.writes
    assert sent.leased
    # No message between nodes could hold such a name.
    assert sent.fenced <= {"TableName"}


async def test_half_a_character_is_not_sent(node: Node) -> None:
    reply = await node.post("PutItem", {"TableName": "\ud800"})
    assert type_of(reply) == "SerializationException"
    assert node.dynamodb.sent == []


async def test_a_statement_that_spells_too_much_is_not_sent(node: Node) -> None:
    text = " ".join(f"table{number}" for number in range(200))
    reply = await node.post("ExecuteStatement", {"Statement": f"DROP {text}"})
    assert type_of(reply) == "ValidationException"
    assert node.dynamodb.sent == []


async def test_an_operation_of_the_future_may_change_all_that_it_names(node: Node) -> None:
    node.keep("a", b"k")
    node.keep("c", b"k")
    assert (await node.post("SwapTables", {"Names": ["a", "b"]})).status == 200
    (sent,) = node.dynamodb.writes
    assert in_order(sent, {"a", "b"})
    assert not node.is_kept("a", b"k")
    assert node.is_kept("c", b"k")
    refused_ = await node.post("SwapEverything", {})
    assert type_of(refused_) == "UnknownOperationException"
    assert len(node.dynamodb.writes) == 1


async def test_a_statement_of_a_batch_may_be_in_doubt(node: Node) -> None:
    """The batch has an answer, but one of its statements has none."""
    statements = {"Statements": [{"Statement": f'DELETE FROM "t-{n}"'} for n in (1, 2)]}
    done: Params = {"TableName": "t-1"}
    for code, doubted in (("InternalServerError", True), ("ConditionalCheckFailed", False)):
        error = {"Error": {"Code": code, "Message": "because"}}
        node.dynamodb.answer = lambda operation, params, error=error: Success(  # type: ignore[misc]
            {"Responses": [done, error]}
        )
        before = len(node.guard.unknown_keys(now()))
        assert before == 0 or not doubted
        assert (await node.post("BatchExecuteStatement", statements)).status == 200
        assert (len(node.guard.unknown_keys(now())) > before) is doubted


# -- the two ways --------------------------------------------------------------------------------


def test_every_operation_goes_one_way_or_the_other() -> None:
    ways = (READS, HARMLESS, WRITING, PARTIQL, TABLES)
    known = botocore.session.get_session().get_service_model("dynamodb").operation_names
    for operation in known:
        assert sum(operation in way for way in ways) == 1, operation
    streams = botocore.session.get_session().get_service_model("dynamodbstreams")
    assert set(streams.operation_names) == STREAM_READS


@pytest.mark.parametrize("operation", [*sorted(WRITING | TABLES), "DescribeFuture"])
async def test_nothing_that_may_write_goes_without_a_fence(node: Node, operation: str) -> None:
    target = f"{DYNAMODB}.{operation}"
    assert not goes_unfenced(target, b"{}")
    for repeat in (True, False):
        with pytest.raises(AssertionError, match="without a fence"):
            await node.backend.raw(target, b"{}", now() + 1.0, repeat=repeat)
    assert node.dynamodb.sent == []


@pytest.mark.parametrize(
    ("body", "unfenced"),
    [
        (b'{"Statement": "SELECT * FROM t"}', True),
        (b'{"Statement": "DELETE FROM t"}', False),
        (b'{"Statement": "TRUNCATE t"}', False),
        (b"{}", False),
        (b"no JSON", False),
        (b"[]", False),
    ],
)
def test_of_statements_only_reads_do(body: bytes, unfenced: bool) -> None:
    assert goes_unfenced(f"{DYNAMODB}.ExecuteStatement", body) is unfenced


def test_nor_do_operations_of_streams_that_are_not_known() -> None:
    assert goes_unfenced(f"{STREAMS}.GetRecords", b"{}")
    assert not goes_unfenced(f"{STREAMS}.PutRecords", b"{}")


@pytest.mark.parametrize("operation", sorted(WRITING | PARTIQL))
async def test_neither_reads_nor_control_calls_carry_a_write(node: Node, operation: str) -> None:
    with pytest.raises(AssertionError):
        await node.backend.read(operation, PUT, now() + 1.0)
    with pytest.raises(AssertionError):
        await node.backend.control(operation, PUT, now() + 1.0)
    assert node.dynamodb.sent == []


def test_what_an_operation_on_a_table_may_change() -> None:
    reach = reach_of("DeleteTable", {"TableName": "t"})
    assert reach is not None
    assert (reach.tables, reach.remakes) == (("t",), True)
    assert reach_of("DescribeTable", {"TableName": "t"}) is None
    with pytest.raises(RequestError):
        reach_of("Unknown", {})
    assert issubclass(RequestError, PacelineError)


# -- operations on tables ------------------------------------------------------------------------


async def test_a_table_that_is_made_anew_is_asked_for_again(node: Node) -> None:
    await node.post("PutItem", PUT)
    node.dynamodb.describe = lambda table: Success(description(table, "other"))
    assert (await node.post("DeleteTable", {"TableName": "t-1"})).status == 200
    assert (await node.post("CreateTable", {"TableName": "t-1"})).status == 200
    other = {"TableName": "t-1", "Item": {"other": {"S": "x"}}}
    assert (await node.post("PutItem", other)).status == 200
    assert node.dynamodb.writes[-1].keys == {("t-1", b"x")}
    assert node.changed == [("t-1", "here only")]


@pytest.mark.parametrize(
    ("end", "forgotten"),
    [
        (Success({}), True),
        (Silence("it broke", sent=True), True),
        (refused("ResourceInUseException"), False),
        (Silence("no connection", sent=False), False),
    ],
)
async def test_what_surely_changed_nothing_makes_nobody_forget(
    node: Node, end: End, forgotten: bool
) -> None:
    await node.post("PutItem", PUT)
    node.dynamodb.answer = lambda operation, params: end
    await node.post("UpdateTable", {"TableName": "t-1"})
    assert (node.tables.peek("t-1") is None) is forgotten
