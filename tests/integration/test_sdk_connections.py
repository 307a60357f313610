"""The SDK's connections, with nodes that are slow, silent or slow readers: two DAX servers that do
as the test wants."""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from typing import Any

import pytest
import uvloop

import paceline
from cluster.settings import Listener
from cluster.transport.dax_server import ConnectionInfo, DaxServer
from paceline.client.settings import Settings
from paceline.dax import requests as dax
from paceline.dax.attribute_lists import list_id
from paceline.dax.responses import (
    MISS_REPLY,
    Endpoint,
    Role,
    attribute_list_id_reply,
    endpoints_reply,
    key_schema_reply,
)
from paceline.errors import Unavailable
from paceline.types import KeyAttribute, KeySchema

GET = {"TableName": "t", "Key": {"id": {"S": "a"}}}


class Node:
    """A handler of DAX requests that answers nothing of the operations named in ``silent``."""

    def __init__(self, number: int, zone: str) -> None:
        self.number = number
        self.zone = zone
        self.silent: set[type] = set()
        self.seen: list[Any] = []
        self.port = 0
        self.roster: list[Node] = []

    def fast(self, data: bytes) -> bytes | None:
        return None

    async def handle(self, request: dax.Request, peer: ConnectionInfo) -> bytes:
        if isinstance(request, dax.Endpoints):
            return endpoints_reply([node.endpoint for node in self.roster])
        self.seen.append(request)
        if type(request) in self.silent:
            await asyncio.Event().wait()
        match request:
            case dax.DefineKeySchema():
                return key_schema_reply(KeySchema(KeyAttribute("id", "S")))
            case dax.DefineAttributeListId(names=names):
                return attribute_list_id_reply(list_id(names))
        return MISS_REPLY

    @property
    def endpoint(self) -> Endpoint:
        role = Role.LEADER if self.number == 1 else Role.REPLICA
        return Endpoint(self.number, "x", b"\x7f\0\0\1", self.port, role, self.zone, 1)

    def count(self, kind: type) -> int:
        return sum(type(request) is kind for request in self.seen)


class Loop(threading.Thread):
    """An event loop in a thread of its own."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.loop = uvloop.new_event_loop()
        self.start()

    def run(self) -> None:
        self.loop.run_forever()
        self.loop.close()

    def do(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(20.0)

    def end(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.join(20.0)


async def serve(node: Node) -> DaxServer:
    server = DaxServer(node, connections_max=100)
    await server.start([Listener(name="default", bind="127.0.0.1:0")])
    _, node.port = server.addresses["default"]
    return server


@pytest.fixture
def nodes() -> Iterator[tuple[Node, Node]]:
    """The first one is the primary, and in the clients' zone."""
    thread = Loop()
    pair = Node(1, "a"), Node(2, "b")
    servers = [thread.do(serve(node)) for node in pair]
    for node in pair:
        node.roster = list(pair)
    yield pair
    for server in servers:
        thread.do(server.abort())
    thread.end()


Calls = Callable[..., Any]


def blocking(node: Node, settings: Settings, work: Callable[[Any, Calls], None]) -> None:
    with paceline.Client(f"dax://127.0.0.1:{node.port}", zone="a", settings=settings) as client:
        work(client, lambda method, **params: method(**params))


def awaiting(node: Node, settings: Settings, work: Callable[[Any, Calls], None]) -> None:
    thread = Loop()

    async def make() -> Any:
        return paceline.AsyncClient(f"dax://127.0.0.1:{node.port}", zone="a", settings=settings)

    async def awaited(method: Callable[..., Awaitable[Any]], params: Any) -> Any:
        return await method(**params)

    client = thread.do(make())
    try:
        work(client, lambda method, **params: thread.do(awaited(method, params)))
    finally:
        thread.do(client.close())
        thread.end()


both = pytest.mark.parametrize("using", [blocking, awaiting])
Using = Callable[[Node, Settings, Callable[[Any, Calls], None]], None]


@both
def test_a_hedge_wins_over_a_silent_node(nodes: tuple[Node, Node], using: Using) -> None:
    near, far = nodes

    def work(client: Any, call: Calls) -> None:
        for _ in range(20):
            call(client.get_item, **GET)
        near.silent.add(dax.GetItem)
        began = time.monotonic()
        assert "Item" not in call(client.get_item, **GET)
        assert time.monotonic() - began < 4.0, "not the time of a whole attempt"
        assert far.count(dax.GetItem) >= 1
        stats = client.stats()
        assert stats["remote_reads"] >= 1, "it counts for the node that answered"
        assert [node["outstanding"] for node in stats["nodes"]] == [0, 0]

    using(near, Settings(hedge_after_s=0.2, attempt_s=8.0), work)


@both
def test_a_silent_node_costs_a_read_one_attempt(nodes: tuple[Node, Node], using: Using) -> None:
    near, far = nodes

    def work(client: Any, call: Calls) -> None:
        call(client.get_item, **GET)
        near.silent.add(dax.GetItem)
        for _ in range(2):  # the general way, and the short one
            found = call(client.get_item, **GET)
            assert found["ResponseMetadata"]["HTTPStatusCode"] == 200
        assert far.count(dax.GetItem) == 2
        assert client.stats()["retries"] >= 1

    using(near, Settings(attempt_s=1.0), work)


@both
def test_deadlines_are_kept(nodes: tuple[Node, Node], using: Using) -> None:
    near, far = nodes

    def work(client: Any, call: Calls) -> None:
        call(client.get_item, **GET)
        for node in nodes:
            node.silent |= {dax.GetItem, dax.PutItem, dax.RawRequest}
        brief = client.with_options(deadline_s=0.5)
        with pytest.raises(Unavailable):
            call(brief.get_item, **GET)
        with pytest.raises(client.exceptions.OutcomeUnknownException):
            call(brief.put_item, TableName="t", Item=GET["Key"])
        with pytest.raises(client.exceptions.OutcomeUnknownException):
            call(brief.delete_table, TableName="t")
        assert near.count(dax.PutItem) + far.count(dax.PutItem) == 1
        assert near.count(dax.RawRequest) + far.count(dax.RawRequest) == 1

    using(near, Settings(), work)


@both
def test_large_requests_are_sent_whole(nodes: tuple[Node, Node], using: Using) -> None:
    near, _ = nodes
    large = {"id": {"S": "large"}, "v": {"B": bytes(4_000_000)}}

    def work(client: Any, call: Calls) -> None:
        call(client.put_item, TableName="t", Item=large)
        [put] = [request for request in near.seen if isinstance(request, dax.PutItem)]
        assert len(put.values) > 4_000_000

    using(near, Settings(), work)


@both
def test_there_is_no_time_for_a_hedge(nodes: tuple[Node, Node], using: Using) -> None:
    near, far = nodes

    def work(client: Any, call: Calls) -> None:
        call(client.get_item, **GET)
        near.silent = far.silent = {dax.GetItem}
        with pytest.raises(Unavailable):
            call(client.with_options(deadline_s=0.05).get_item, **GET)
        assert client.stats()["hedges"] == 0

    using(near, Settings(hedge_after_s=0.2), work)


async def test_closing_ends_calls(nodes: tuple[Node, Node]) -> None:
    near, far = nodes
    client = paceline.AsyncClient(f"dax://127.0.0.1:{near.port}", zone="a")
    await client.get_item(**GET)
    near.silent = far.silent = {dax.GetItem, dax.PutItem}
    calls = [
        asyncio.ensure_future(client.get_item(**GET)),
        asyncio.ensure_future(client.get_item(**GET, ConsistentRead=True)),
        asyncio.ensure_future(client.put_item(TableName="t", Item={"id": {"S": "a"}})),
    ]
    while near.count(dax.GetItem) + near.count(dax.PutItem) < 4:  # noqa: ASYNC110 - a thread counts
        await asyncio.sleep(0.01)
    await client.close()
    async with asyncio.timeout(2.0):
        ends = await asyncio.gather(*calls, return_exceptions=True)
    kinds = client.exceptions
    assert [type(end) for end in ends[:2]] == [kinds.ClusterUnavailable] * 2, ends
    assert type(ends[2]) is kinds.OutcomeUnknownException
    assert not client._driver._pools
