"""What a request had is freed when it ends: nothing of it is left to a collection of garbage.

Collections of all that there is are put off while large values are held, and one that frees two
million of them stops every thread for seconds.
"""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest

from cluster.settings import Listener
from cluster.transport.dax_protocol import DaxProtocol
from cluster.transport.dax_server import DaxServer
from node.backend.calls import End, Silence, Success
from node.frontends.dax import handler as dax
from node.frontends.grpc import servicer as grpc
from node.frontends.grpc.values import fill_item
from node.frontends.http.protocol import HttpProtocol
from node.frontends.json_api import handler as json_api
from paceline.dax.client.requests import to_request
from paceline.dax.connection import ClientConnection
from paceline.types import KeyAttribute, KeySchema, Params
from paceline.v1 import data_pb2 as pb
from tests.support.waiting import until
from tests.unit.node.frontends.doors import Call, Node, refused
from tests.unit.node.frontends.http.test_protocol import FakeHandler as HttpHandler
from tests.unit.node.frontends.http.test_protocol import http_server, post
from tests.unit.node.frontends.test_fuzz import Transport

pytestmark = pytest.mark.usefixtures("small_heap")

_numbers = count()
KEY = KeySchema(KeyAttribute("id", "S"))


def params_of(operation: str, value: Params) -> Params:
    if operation == "PutItem":
        return {"TableName": "t", "Item": {"id": {"S": "a"}, "v": {"L": [value]}}}
    return {
        "TableName": "t",
        "KeyConditionExpression": "id = :v",
        "ExpressionAttributeValues": {":v": value},
    }


async def test_a_connection_by_http_is_freed_when_it_is_lost() -> None:
    server = http_server(HttpHandler(), connections_max=5)
    gc.collect()
    gc.disable()
    try:
        protocol, transport = HttpProtocol(server, Listener(bind="127.0.0.1:0")), Transport()
        protocol.connection_made(transport)
        for _ in range(2):
            protocol.data_received(post(b'"fast"'))
        assert b"200 OK" in transport.written
        protocol.connection_lost(None)
        freed = weakref.ref(protocol)
        del protocol
        assert freed() is None
    finally:
        gc.enable()


async def by_http(node: Node, operation: str, params: Params) -> None:
    await node.post(operation, params)


async def by_grpc(node: Node, operation: str, params: Params) -> None:
    request: Any = getattr(pb, f"{operation}Request")(table_name="t")
    if operation == "PutItem":
        fill_item(request.item, params["Item"])
    else:
        request.key_condition_expression = params["KeyConditionExpression"]
        fill_item(request.expression_attribute_values, params["ExpressionAttributeValues"])
    context = Call()
    try:
        await getattr(node.grpc, operation)(request, context)
    except Exception as error:
        # Without this very frame.
        error.__traceback__ = getattr(error.__traceback__, "tb_next", None)
        context.trailing["aborted"] = [error, context.trailing]  # gRPC keeps it, too
    for ended in context.ended:
        ended(context)


async def by_dax(node: Node, operation: str, params: Params) -> None:
    """Over a connection, which is what turns errors into replies."""
    client = ClientConnection()
    await node.lists.define(("v",))
    asked = to_request(operation, params, lambda table: KEY, node.lists.list_id)
    server = DaxServer(node.dax, connections_max=5)
    protocol, transport = DaxProtocol(server, Listener(bind="127.0.0.1:0")), Transport()
    protocol.connection_made(transport)
    protocol.data_received(client.preamble("x", bytes(16)) + client.send(asked))
    await until(lambda: bool(transport.written))
    protocol.connection_lost(None)


@pytest.fixture
def _none_by_itself() -> Iterator[None]:
    gc.disable()
    gc.collect()
    yield
    gc.set_debug(0)
    gc.garbage.clear()
    gc.enable()


def left(value: Params) -> list[Any]:
    """Lists and dicts with ``value`` that only a collection frees."""
    gc.set_debug(gc.DEBUG_SAVEALL)
    gc.collect()
    gc.set_debug(0)
    found: list[Any] = []
    for one in gc.garbage:  # dicts of nothing but texts are never in it
        held = one if type(one) is list else list(one.values()) if type(one) is dict else []
        if any(type(inner) is dict and inner == value for inner in held):
            found.append(one)
    return found


@pytest.mark.usefixtures("_none_by_itself")
@pytest.mark.parametrize("end", ["refused", "not sent", "unknown", "failed", "done"])
@pytest.mark.parametrize("operation", ["PutItem", "Query"])
@pytest.mark.parametrize("door", [by_http, by_dax, by_grpc])
async def test_nothing_is_left(
    door: Any, operation: str, end: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (json_api, dax, grpc):  # reads are repeated until it is over
        monkeypatch.setattr(module, "REQUEST_TIMEOUT_S", 0.2)
    value: Params = {"S": f"of a request whose values are to be gone, {next(_numbers)}"}
    ends: dict[str, End] = {
        "refused": refused("ConditionalCheckFailedException"),
        "not sent": Silence("no connection", sent=False),
        "unknown": Silence("no answer", sent=True),
        "failed": refused("InternalServerError", 500),
        "done": Success({"Items": [{"id": {"S": "a"}, "v": {"L": [value]}}], "Count": 1}),
    }
    node = Node()
    node.dynamodb.answer = lambda operation, params: ends[end]
    await asyncio.create_task(door(node, operation, params_of(operation, value)))
    await asyncio.sleep(0)
    assert node.dynamodb.of(operation)
    node.dynamodb.sent.clear()
    assert left(value) == []
