"""What takes long is done off the loop, whichever way a request comes and an answer goes."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from cluster.coherence.messages import Image
from node.backend.calls import Success
from node.frontends.dax.json_requests import raw_requests
from node.frontends.grpc import servicer as grpc_servicer
from node.frontends.grpc.values import fill_item, to_item
from node.frontends.http.messages import HttpRequest
from node.reads.reading import ReadRequest
from node.replication import wire
from node.requests import reach, statements
from node.tables import attribute_lists
from node.values import json_slices, msgpack_slices
from node.values.size import holds_more
from paceline.clock import now
from paceline.dax import request_types as dax
from paceline.dax.attribute_lists import encode_item, list_id
from paceline.dax.cbor import Reader
from paceline.dax.responses import read_raw_reply
from paceline.types import Item, Params
from paceline.v1 import data_pb2 as pb
from tests.support.waiting import until
from tests.unit.node.fakes import SCHEMA, WatchedWork
from tests.unit.node.frontends.doors import SIGNED, Node

MANY = {"L": [{"N": "7"}] * 6000}
LARGE = 4096
"""Values, or bytes by the four."""

DONE_BY: list[tuple[Any, str]] = [
    (json_slices, "dumps"),
    (json_slices, "dumps_few"),
    (json_slices, "loads"),
    (msgpack_slices, "packb"),
    (msgpack_slices, "unpackb"),
    (wire, "pack"),
    (wire, "pack_few"),
    (wire, "unpack"),
    (reach, "written_tables"),
    (statements, "spelled"),
    (attribute_lists, "decode_item"),
    (attribute_lists, "encode_item"),
    (attribute_lists, "encode_values"),
    (grpc_servicer, "encode"),
    (grpc_servicer, "fill"),
]


class Watch:
    """Who does what takes long, of large values."""

    def __init__(self) -> None:
        self.off_the_loop: list[str] = []
        self.on_the_loop: list[str] = []

    def over(self, name: str, work: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            if any(map(_is_large, arguments)):
                inline = threading.current_thread() is threading.main_thread()
                (self.on_the_loop if inline else self.off_the_loop).append(name)
            return work(*arguments)

        return call


def _is_large(value: Any) -> bool:
    if isinstance(value, str | bytes):
        return len(value) > 4 * LARGE
    return holds_more(value, LARGE)


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Watch:
    watch = Watch()
    for place, name in DONE_BY:
        monkeypatch.setattr(place, name, watch.over(name, getattr(place, name)))
    return watch


@pytest.fixture
async def node() -> AsyncIterator[Node]:
    node = Node(WatchedWork())
    yield node
    await node.work.aclose()


async def by_http(node: Node, operation: str, params: Params) -> tuple[int, Params]:
    """As the protocol has large ones read."""
    body = json.dumps(params).encode()
    request = node_request(operation, body)
    await node.work.run(lambda: node.http.read(request))
    reply = await node.http.handle(request)
    return reply.status, json.loads(reply.body)


def node_request(operation: str, body: bytes) -> HttpRequest:
    return HttpRequest(f"DynamoDB_20120810.{operation}", body, headers=SIGNED)


async def by_raw_frame(node: Node, operation: str, params: Params) -> tuple[int, Params]:
    raw = dax.RawRequest(f"DynamoDB_20120810.{operation}", json.dumps(params).encode())
    answer = await raw_requests(node.operations, node.work)(raw)
    reply = read_raw_reply(answer[1:])
    return reply.status, json.loads(reply.body)


JSON = pytest.mark.parametrize("post", [by_http, by_raw_frame])

STATEMENT: Params = {"Statement": "INSERT INTO tab VALUE {'id':?}", "Parameters": MANY["L"]}
SELECT: Params = {"Statement": "SELECT * FROM tab WHERE id = ?", "Parameters": MANY["L"]}
UNREADABLE: Params = {"Statement": "t " * 50_000}
LEGACY: Params = {
    "TableName": "tab",
    "Key": {"id": {"S": "a"}},
    "AttributeUpdates": {f"a{n}": {"Value": {"N": "7"}} for n in range(3000)},
}
FILTERED: Params = {
    "TableName": "tab",
    "QueryFilter": {f"a{n}": {"ComparisonOperator": "NULL"} for n in range(5000)},
}
UNKNOWN: Params = {"TableName": "tab", "Key": {"id": {"S": "a"}}, "Tomorrow": MANY["L"]}
REQUESTS = [
    ("ExecuteStatement", STATEMENT),
    ("ExecuteStatement", SELECT),
    ("ExecuteStatement", UNREADABLE),
    ("UpdateItem", LEGACY),
    ("UpdateItem", UNKNOWN),
    ("Query", FILTERED),
    ("PutItem", {"TableName": "tab", "Item": {"id": {"S": "a"}, "l": MANY}}),
    ("AnOperationOfTomorrow", UNKNOWN),
]


@JSON
@pytest.mark.parametrize(("operation", "params"), REQUESTS)
async def test_requests_of_many_values_in_json(
    node: Node, watch: Watch, post: Any, operation: str, params: Params
) -> None:
    status, _ = await post(node, operation, params)
    assert status == 200
    assert (node.dynamodb.of(operation) or node.dynamodb.sent)[-1].body.items() >= params.items()
    assert watch.off_the_loop
    assert watch.on_the_loop == []


@JSON
async def test_what_was_made_of_json_is_let_go(node: Node, post: Any) -> None:
    for operation, params in REQUESTS[:4]:
        await by_raw_frame(node, operation, params)
        assert isinstance(node.work, WatchedWork)
        assert params in node.work.gone


def pages(count: int) -> Params:
    items = [{"id": {"S": f"{n}"}, "l": MANY} for n in range(count)]
    return {"Items": items, "Count": count, "ScannedCount": count}


QUERY: Params = {
    "TableName": "tab",
    "KeyConditionExpression": "id = :v",
    "ExpressionAttributeValues": {":v": {"S": "x"}},
}


@pytest.mark.parametrize("asked", [{}, {"ReturnConsumedCapacity": "TOTAL"}])
async def test_pages_of_many_values(node: Node, watch: Watch, asked: Params) -> None:
    page = pages(2)
    node.dynamodb.answer = lambda operation, params: Success(json.loads(json.dumps(page)))
    node.guard.extend(now() + 3600.0, now())
    request = pb.QueryRequest(table_name="tab", key_condition_expression="id = :v")
    fill_item(request.expression_attribute_values, {":v": {"S": "x"}})
    if asked:
        request.return_consumed_capacity = pb.RETURN_CONSUMED_CAPACITY_TOTAL
    for n in range(3):
        status, told = await by_http(node, "Query", {**QUERY, **asked})
        assert status == 200
        assert told.items() >= page.items()
        response, _ = await node.call("Query", request)
        read = pb.QueryResponse.FromString(response)
        assert [to_item(item.attributes) for item in read.items] == page["Items"], n
    assert len(node.dynamodb.of("Query")) == 1
    assert {"packb", "unpackb"} <= set(watch.off_the_loop)
    assert watch.on_the_loop == []


async def test_a_page_that_changed_while_it_was_packed_is_not_kept(node: Node) -> None:
    """It is kept in the step in which the guard has allowed it."""
    page = pages(1)
    node.dynamodb.answer = lambda operation, params: Success(dict(page))
    node.guard.extend(now() + 3600.0, now())
    packing, go_on = threading.Event(), threading.Event()
    packed = msgpack_slices.packb

    def slowly(value: Any) -> bytes:
        if holds_more(value, LARGE):
            packing.set()
            assert go_on.wait(30.0)
        return packed(value)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(msgpack_slices, "packb", slowly)
        reading = asyncio.create_task(by_http(node, "Query", QUERY))
        await until(packing.is_set)
        put = {"TableName": "tab", "Item": {"id": {"S": "x"}}}
        await node.operations.write("PutItem", put, now() + 10.0)
        go_on.set()
        await reading
    await by_http(node, "Query", QUERY)
    assert len(node.dynamodb.of("Query")) == 2


async def test_batches_of_cached_items_of_many_values_in_all(node: Node, watch: Watch) -> None:
    """Each of them is small enough to be decoded on the loop."""
    node.guard.extend(now() + 3600.0, now())
    await node.tables.schema("tab")
    items: list[Item] = [{"id": {"S": str(n)}, "l": {"L": [{"N": "7"}] * 3000}} for n in range(10)]
    await node.lists.define(("l",))
    for item in items:
        image = encode_item(item, SCHEMA, list_id)
        node.caches.install(("tab", item["id"]["S"].encode()), Image(image), now())
    work = node.work
    assert isinstance(work, WatchedWork)
    request = {"RequestItems": {"tab": {"Keys": [{"id": item["id"]} for item in items]}}}
    before = work.pieces
    found = await node.operations.reads.answer(ReadRequest("BatchGetItem", request), now() + 10.0)
    assert found.cache == "hit"
    assert found.result is not None
    assert found.result["Responses"]["tab"] == items
    assert work.pieces == before + 2  # they are counted, then decoded


async def test_by_dax_parameters_and_answers_are_let_go(node: Node, watch: Watch) -> None:
    work = node.work
    assert isinstance(work, WatchedWork)
    item = {"id": {"S": "a"}, "l": MANY}
    await node.lists.define(("l",))
    values = encode_item(item, SCHEMA, list_id)
    node.peer.large = True
    await node.dax.handle(dax.PutItem("tab", b"a", values), node.peer)
    assert {"TableName": "tab", "Item": item} in work.gone
    node.peer.large = False
    result = {"Responses": [{"Item": item}]}
    node.dynamodb.answer = lambda operation, params: Success(dict(result))
    get = dax.TransactGetItems((dax.TransactGet("tab", b"a", None),))
    reply = await node.dax.handle(get, node.peer)
    assert Reader(reply).read_array() == 0
    assert result in work.gone
    assert watch.on_the_loop == []
