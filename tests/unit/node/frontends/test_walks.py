"""The walks of docs/architecture.md: as few files as they say, and a hit enters no others."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cluster.settings import Listener
from cluster.transport.dax_protocol import DaxProtocol
from cluster.transport.dax_server import DaxServer
from node.backend.calls import Success
from node.frontends.http.protocol import HttpProtocol
from node.frontends.http.server import HttpServer
from node.frontends.http.signatures import Signatures
from node.frontends.json_api.handler import JsonHandler
from paceline.clock import now
from paceline.dax.connection import ClientConnection
from paceline.dax.request_types import GetItem
from paceline.types import Params
from tests.support.waiting import until
from tests.unit.node.frontends.doors import SIGNED, Node
from tests.unit.node.frontends.test_fuzz import Transport

ROOT = Path(__file__).parents[4]
PRODUCT = tuple(str(ROOT / part) for part in ("node", "cluster", "client"))

FILES_MAX = {
    "A hit, by DAX": 2,
    "A hit, by HTTP": 5,
    "A miss, by DAX": 14,
    "A write at a replica": 22,
    "A call of the SDK": 8,
}

LEAVES = {
    "client/src/paceline/clock.py",
    # Flow control, and what a connection owes.
    "cluster/transport/served_connection.py",
    "cluster/transport/client_server.py",
    "cluster/transport/memory.py",
    # One function each, whose name says what it gives.
    "node/frontends/http/server.py",  # request_ids
    "node/frontends/http/dates.py",
    "node/tables/schemas.py",  # peek
}

LISTENER = Listener(bind="127.0.0.1:0")
ITEM = {"id": {"S": "a"}, "v": {"S": "walked"}}


def walk(title: str) -> tuple[int, list[str]]:
    """The number of files in the heading, and the files of the table's rows."""
    page = (ROOT / "docs" / "architecture.md").read_text()
    found = re.search(rf"^### {title}: (\d+) files\n(.*?)\n\n", page, re.DOTALL | re.MULTILINE)
    assert found is not None, f"no walk is called {title}"
    rows = [re.findall(r"`([\w./-]+\.py)`", row) for row in found[2].splitlines()[2:]]
    return int(found[1]), [paths[0] for paths in rows]


@pytest.mark.parametrize("title", FILES_MAX)
def test_a_walk_opens_as_few_files_as_it_says(title: str) -> None:
    said, files = walk(title)
    assert len(set(files)) == len(files) == said <= FILES_MAX[title]


@contextlib.contextmanager
def entered() -> Iterator[set[str]]:
    """The files of ours whose functions are called, in this thread, by whichever task."""
    files: set[str] = set()

    def seen(frame: Any, event: str, _: Any) -> None:
        name = frame.f_code.co_filename
        if event == "call" and name.startswith(PRODUCT):
            files.add(str(Path(name).relative_to(ROOT)))

    before = sys.getprofile()
    sys.setprofile(seen)
    try:
        yield files
    finally:
        sys.setprofile(before)


async def hit(node: Node, protocol: asyncio.Protocol, first: bytes, request: bytes) -> set[str]:
    """What the third of three requests enters: the first fills, the second may keep a form."""
    transport = Transport()
    protocol.connection_made(transport)
    protocol.data_received(first)
    for data in (request, request):
        transport.written.clear()
        protocol.data_received(data)
        await until(lambda: b"walked" in transport.written)
        await asyncio.sleep(0)
    transport.written.clear()
    hits = node.operations.reads.counters.hits
    with entered() as files:
        protocol.data_received(request)
    assert node.operations.reads.counters.hits == hits + 1
    assert b"walked" in transport.written
    protocol.connection_lost(None)
    return files


@pytest.fixture
async def node() -> Node:
    node = Node()
    node.dynamodb.answer = lambda operation, params: Success({"Item": ITEM})
    await node.tables.schema("table")
    return node


async def test_a_hit_by_dax_enters_no_other_file(node: Node) -> None:
    client = ClientConnection()
    opening = client.preamble("test-1", b"s" * 16)
    request = client.send(GetItem("table", b"a"))
    protocol = DaxProtocol(DaxServer(node.dax, connections_max=5), LISTENER)
    files = await hit(node, protocol, opening, request)
    assert files - {"client/src/paceline/clock.py"} == set(walk("A hit, by DAX")[1])


async def test_a_miss_by_dax_enters_all_of_its_walk(node: Node) -> None:
    """But for what stands below the backend here: a caller without connections."""
    client = ClientConnection()
    protocol = DaxProtocol(DaxServer(node.dax, connections_max=5), LISTENER)
    transport = Transport()
    protocol.connection_made(transport)
    protocol.data_received(client.preamble("test-1", b"s" * 16))
    request = client.send(GetItem("table", b"missed"))
    with entered() as files:
        protocol.data_received(request)
        await until(lambda: b"walked" in transport.written)
    protocol.connection_lost(None)
    wanted = set(walk("A miss, by DAX")[1])
    assert wanted - files == {"node/backend/calls.py", "node/backend/lean/way.py"}


async def test_a_hit_by_http_enters_no_other_file_but_leaves(node: Node) -> None:
    body: Params = {"TableName": "table", "Key": {"id": {"S": "a"}}}
    text = json.dumps(body).encode()
    head = [b"POST / HTTP/1.1", b"host: x", b"x-amz-target: DynamoDB_20120810.GetItem"]
    head += [name + b": " + value for name, value in SIGNED.items()]
    head += [b"content-type: application/x-amz-json-1.0", b"content-length: %d" % len(text)]
    api, signatures = JsonHandler(node.operations, now), Signatures(node.backend)
    server = HttpServer(api, signatures, healthy=b"", connections_max=5)
    request = b"\r\n".join([*head, b"", text])
    files = await hit(node, HttpProtocol(server, LISTENER), b"", request)
    wanted = set(walk("A hit, by HTTP")[1])
    assert wanted <= files
    assert files - wanted <= LEAVES
