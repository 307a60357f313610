"""What official clients send, byte for byte: calls through a relay that keeps their requests.

    with Relay(port_of_a_node) as relay: ...  # clients connect to relay.url

The frames of ``CALLS`` are kept in ``proto/dax/vectors/recorded/KIND.json``, one file per client.
They are only ever written by ``python -m pytest tests/conformance/test_recorded_frames.py
--record-frames``; without the option the same test compares what the clients send with the files.
"""

from __future__ import annotations

import json
import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from paceline.dax.connection import NEED_DATA, ServerConnection, framed_reply
from paceline.dax.request_types import DataRequest, Endpoints
from paceline.dax.responses import Endpoint, Role, endpoints_reply

FOLDER = Path(__file__).parents[2] / "proto" / "dax" / "vectors" / "recorded"
HASH, RANGE = "frames-hash", "frames-range"
"""Names are in the bytes, so these are the same in every run. Schemas: ``twins.schema``."""

ROW = {"pk": {"S": "rows"}, "sk": {"N": "10"}}
_BY_PK = {
    "TableName": RANGE,
    "KeyConditionExpression": "pk = :p",
    "ExpressionAttributeValues": {":p": {"S": "rows"}},
}
CALLS: dict[str, tuple[str, dict[str, Any]]] = {
    "get of a hash key": ("GetItem", {"TableName": HASH, "Key": {"id": {"S": "a"}}}),
    "get of a numeric sort key": ("GetItem", {"TableName": RANGE, "Key": ROW}),
    "get with a projection": (
        "GetItem",
        {"TableName": RANGE, "Key": ROW, "ProjectionExpression": "v"},
    ),
    "consistent get": ("GetItem", {"TableName": RANGE, "Key": ROW, "ConsistentRead": True}),
    "put": ("PutItem", {"TableName": RANGE, "Item": {**ROW, "g": {"S": "x"}, "v": {"N": "100"}}}),
    "put with a condition": (
        "PutItem",
        {
            "TableName": HASH,
            "Item": {"id": {"S": "a"}},
            "ConditionExpression": "attribute_not_exists(id)",
        },
    ),
    "update": (
        "UpdateItem",
        {
            "TableName": RANGE,
            "Key": ROW,
            "UpdateExpression": "SET v = :v",
            "ExpressionAttributeValues": {":v": {"N": "7"}},
            "ReturnValues": "ALL_NEW",
        },
    ),
    "delete": ("DeleteItem", {"TableName": HASH, "Key": {"id": {"S": "a"}}}),
    "query": ("Query", _BY_PK),
    "query backwards with a limit": ("Query", {**_BY_PK, "ScanIndexForward": False, "Limit": 1}),
    "query with a projection": ("Query", {**_BY_PK, "ProjectionExpression": "v"}),
    "query of an index that projects keys": (
        "Query",
        {
            "TableName": RANGE,
            "IndexName": "sparse",
            "KeyConditionExpression": "h = :h",
            "ExpressionAttributeValues": {":h": {"N": "4"}},
        },
    ),
    "query that counts": ("Query", {**_BY_PK, "Select": "COUNT"}),
    "query of all attributes": ("Query", {**_BY_PK, "Select": "ALL_ATTRIBUTES"}),
    "query from a start key": ("Query", {**_BY_PK, "ExclusiveStartKey": ROW}),
    "scan of a hash table": ("Scan", {"TableName": HASH}),
    "scan of a range table": ("Scan", {"TableName": RANGE}),
    "scan with a projection": ("Scan", {"TableName": RANGE, "ProjectionExpression": "v"}),
    "scan of an index": ("Scan", {"TableName": RANGE, "IndexName": "global"}),
    "scan from a start key": ("Scan", {"TableName": RANGE, "ExclusiveStartKey": ROW}),
    "batch get": ("BatchGetItem", {"RequestItems": {RANGE: {"Keys": [ROW]}}}),
    "batch write": (
        "BatchWriteItem",
        {"RequestItems": {HASH: [{"PutRequest": {"Item": {"id": {"S": "b"}}}}]}},
    ),
    "transact get": (
        "TransactGetItems",
        {"TransactItems": [{"Get": {"TableName": RANGE, "Key": ROW}}]},
    ),
    "transact write": (
        "TransactWriteItems",
        {
            "TransactItems": [{"Delete": {"TableName": HASH, "Key": {"id": {"S": "b"}}}}],
            "ClientRequestToken": "frames",
        },
    ),
}
"""No map of a call has more than one entry where a client's order would be left to chance."""


@dataclass
class Recorded:
    call: str
    operation: str
    params: dict[str, Any]
    frames: list[bytes] = field(default_factory=list)


def load(kind: str) -> list[Recorded]:
    content = json.loads((FOLDER / f"{kind}.json").read_text())
    return [
        Recorded(call, *CALLS[call], frames=[bytes.fromhex(frame) for frame in frames])
        for call, frames in content["frames"].items()
    ]


def save(kind: str, client: str, frames: dict[str, list[bytes]]) -> None:
    FOLDER.mkdir(exist_ok=True)
    content = {
        "client": client,
        "frames": {call: [frame.hex() for frame in sent] for call, sent in frames.items()},
    }
    (FOLDER / f"{kind}.json").write_text(json.dumps(content, indent=1) + "\n")


def kinds() -> Iterator[str]:
    """Of which clients there are files."""
    return (path.stem for path in sorted(FOLDER.glob("*.json")))


class _Recording(ServerConnection):
    def __init__(self) -> None:
        super().__init__()
        self.last = b""

    def _take(self, what: str, bytes_max: int) -> bytes | None:
        frame = super()._take(what, bytes_max)
        if frame is not None:
            self.last = frame
        return frame


class Relay:
    """One node, as far as its clients know: it names itself in the roster, and keeps frames."""

    def __init__(self, node_port: int) -> None:
        self._node_port = node_port
        self._lock = threading.Lock()
        self._frames: list[bytes] = []
        relay = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                relay._serve(self.request)

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True
            block_on_close = False

        self._server = Server(("127.0.0.1", 0), Handler)
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, name="relay")

    @property
    def url(self) -> str:
        return f"dax://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def taken(self) -> list[bytes]:
        """The data requests since it was last asked."""
        with self._lock:
            frames, self._frames = self._frames, []
        return frames

    def _serve(self, client: socket.socket) -> None:
        with socket.create_connection(("127.0.0.1", self._node_port)) as node:
            back = threading.Thread(target=_copy, args=(node, client), daemon=True)
            back.start()
            with suppress(OSError):
                self._forward(client, node)
            with suppress(OSError):
                node.shutdown(socket.SHUT_RDWR)
            back.join()

    def _forward(self, client: socket.socket, node: socket.socket) -> None:
        connection = _Recording()
        while data := client.recv(65536):
            connection.receive_data(data)
            while (event := connection.next_event()) is not NEED_DATA:
                if isinstance(event, Endpoints):
                    # No client sends another request before it has its reply.
                    assert connection.preamble is not None
                    reply = endpoints_reply([self._endpoint()])
                    framed = connection.preamble.framed
                    client.sendall(framed_reply(reply) if framed else reply)
                    continue
                if isinstance(event, DataRequest):
                    with self._lock:
                        self._frames.append(connection.last)
                node.sendall(connection.last)

    def _endpoint(self) -> Endpoint:
        address = socket.inet_aton("127.0.0.1")
        return Endpoint(1, "127.0.0.1", address, self.port, Role.LEADER, "a", 1)


def _copy(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
