"""Reads at one node: what it answers, and what becomes of a node that does not."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable

import pytest

from paceline.dax.cbor import Reader
from paceline.dax.errors import encode_error
from paceline.dax.family import Family
from paceline.dax.methods import Method
from paceline.dax.responses import MISS_REPLY, key_schema_reply
from paceline.errors import DynamoDBError, Unavailable
from paceline.types import KeyAttribute, KeySchema
from paceline_local.warm import node as warm_node
from paceline_local.warm.node import NodeClient

SCHEMA = KeySchema(KeyAttribute("id", "S"))
GET = {"TableName": "t", "Key": {"id": {"S": "a"}}, "ProjectionExpression": "id"}
REFUSED = encode_error(DynamoDBError("ThrottlingException", "later"), client=Family.PACELINE)

Answer = Callable[[Method], bytes | None]


class Node:
    """Answers each request by its method; None: closes the connection."""

    def __init__(self) -> None:
        self.answer: Answer = lambda method: (
            key_schema_reply(SCHEMA) if method is Method.DEFINE_KEY_SCHEMA else MISS_REPLY
        )
        self.asked: list[Method] = []
        self.connections = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        greeted = False
        try:
            while data := await reader.read(10_000):
                if not greeted:
                    data = data[data.index(b"PacelineClient-1\x00") + 17 :]
                    greeted = True
                codec = Reader(data)
                codec.read_int()
                self.asked.append(Method(codec.read_int()))
                answer = self.answer(self.asked[-1])
                if answer is None:
                    return
                writer.write(answer)
        finally:
            writer.close()


@pytest.fixture
async def node() -> AsyncIterator[tuple[Node, NodeClient]]:
    made = Node()
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    client = NodeClient("node-1", *server.sockets[0].getsockname()[:2])
    async with server:
        yield made, client
        await client.close()


async def test_it_asks_for_a_schema_once(node: tuple[Node, NodeClient]) -> None:
    made, client = node
    assert await client.schema("t") == SCHEMA
    for _ in range(3):
        assert await client.call("GetItem", GET) == {}
    assert made.asked == [Method.DEFINE_KEY_SCHEMA, *[Method.GET_ITEM] * 3]
    assert made.connections == 1


async def test_an_error_is_the_nodes(node: tuple[Node, NodeClient]) -> None:
    made, client = node
    await client.schema("t")
    made.answer = lambda method: REFUSED
    with pytest.raises(DynamoDBError, match="later"):
        await client.call("GetItem", GET)


async def test_a_node_that_closes_is_asked_again_on_another_connection(
    node: tuple[Node, NodeClient],
) -> None:
    made, client = node
    await client.schema("t")
    usual, made.answer = made.answer, lambda method: None
    with pytest.raises(Unavailable, match=r"node-1 does not answer: .*closed"):
        await client.call("GetItem", GET)
    made.answer = usual
    assert await client.call("GetItem", GET) == {}
    assert made.connections == 2


async def test_a_node_that_says_nothing(
    node: tuple[Node, NodeClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    made, client = node
    monkeypatch.setattr(warm_node, "REPLY_S", 0.05)
    made.answer = lambda method: b""
    with pytest.raises(Unavailable, match="node-1 does not answer: timed out"):
        await client.schema("t")


async def test_a_node_that_is_not_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    client = NodeClient("node-1", "127.0.0.1", port)
    with pytest.raises(Unavailable, match=f"{port} cannot be reached"):
        await client.schema("t")
    await client.close()
