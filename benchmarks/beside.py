"""What one hostile client does to others: the answers to hits beside it, at worst and at 99 %.

``python -m benchmarks.beside [--seconds 4] [--only TEXT]``. The node, the DynamoDB behind it, the
client that reads a cached item over HTTP every millisecond and the hostile one are processes of
their own. Each row is one kind of load, sent again and again for so many seconds, once at least;
the first row has none, and tells what the machine itself does to such a client. Sizes are those
that DynamoDB takes, but where a request is to be refused.
"""

from __future__ import annotations

import argparse
import http.client
import json
import multiprocessing
import os
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import grpc
from aiohttp import web
from botocore.exceptions import ClientError

import paceline
from benchmarks.hits import free_port, running
from benchmarks.load_generator import http_request, key_name
from node.frontends.grpc.values import fill_item, fill_value
from paceline.errors import PacelineError
from paceline.v1 import data_pb2 as pb
from paceline.v1 import data_pb2_grpc

TABLE = "bench"
PAUSE_S = 0.001
CALL_S = 60.0
ITEMS, NUMBERS = 25, 6000
DENSEST = 1_864_000
"""Empty lists in 16 MB of JSON: ``{"L":[]},`` has nine bytes."""
BODY_BYTES_MAX = 16 * 1024 * 1024

Params = dict[str, Any]


# -- the requests ------------------------------------------------------------------------------


def puts(values: list[Params]) -> Params:
    """``ITEMS`` items with ``values`` each."""
    items = [{"id": {"S": f"i{n}"}, "l": {"L": values}} for n in range(ITEMS)]
    return {"RequestItems": {TABLE: [{"PutRequest": {"Item": item}} for item in items]}}


def numbers() -> Params:
    return puts([{"N": "7"}] * NUMBERS)


def densest() -> Params:
    return puts([{"L": []}] * (DENSEST // ITEMS - 8))


def keys(count: int) -> Params:
    return {"RequestItems": {TABLE: {"Keys": [{"id": {"S": f"k{n}"}} for n in range(count)]}}}


def update(count: int) -> Params:
    """Its maps of names and values have ``count`` entries each."""
    return {
        "TableName": TABLE,
        "Key": {"id": {"S": "u"}},
        "UpdateExpression": "SET #n1 = :v1",
        "ExpressionAttributeNames": {f"#n{n}": "a" for n in range(count)},
        "ExpressionAttributeValues": {f":v{n}": {"N": "1"} for n in range(count)},
    }


def statement(count: int) -> Params:
    values = [{"N": "7"}] * count
    return {"Statement": f"INSERT INTO {TABLE} VALUE {{'id':?,'l':?}}", "Parameters": values}


QUERY: Params = {
    "TableName": TABLE,
    "KeyConditionExpression": "id = :v",
    "ExpressionAttributeValues": {":v": {"S": "x"}},
}


@dataclass(frozen=True)
class Load:
    operation: str
    params: Callable[[], Params]
    protocols: tuple[str, ...] = ("http", "dax", "grpc")


LOADS = {
    f"write of {ITEMS} x {NUMBERS} numbers": Load("BatchWriteItem", numbers),
    "the densest write": Load("BatchWriteItem", densest),
    "answer of 25 x 6000 numbers": Load("BatchGetItem", lambda: keys(ITEMS)),
    "page of 100 000 numbers": Load("Query", lambda: {**QUERY, "ConsistentRead": True}),
    "page that is cached": Load("Query", lambda: QUERY),
    "100 000 keys": Load("BatchGetItem", lambda: keys(100_000)),
    "maps of 100 000 names and values": Load("UpdateItem", lambda: update(100_000)),
    "statement of 400 000 values": Load("ExecuteStatement", lambda: statement(400_000), ("http",)),
}

BODIES = {
    "16 MB with too many values": b"[" + b"0," * (BODY_BYTES_MAX // 2 - 2) + b"0]",
    "16 MB nested too deeply": b"[" * (BODY_BYTES_MAX // 2) + b"]" * (BODY_BYTES_MAX // 2),
}


# -- the processes -----------------------------------------------------------------------------


def answer_to(operation: str, body: Params) -> Params:
    name = {"AttributeName": "id"}
    items = [{"id": {"S": f"k{n}"}, "l": {"L": [{"N": "7"}] * NUMBERS}} for n in range(ITEMS)]
    match operation:
        case "DescribeTable":
            return {
                "Table": {
                    "TableName": body["TableName"],
                    "TableStatus": "ACTIVE",
                    "TableId": "bench",
                    "KeySchema": [{**name, "KeyType": "HASH"}],
                    "AttributeDefinitions": [{**name, "AttributeType": "S"}],
                }
            }
        case "GetItem":
            return {"Item": {**body["Key"], "v": {"S": "x" * 1000}}}
        case "BatchGetItem":
            return {"Responses": {TABLE: items}, "UnprocessedKeys": {}}
        case "Query":
            return {"Items": items[:17], "Count": 17, "ScannedCount": 17}
    return {}


def serve_source(port: int) -> None:
    """A DynamoDB with one table; what is written is forgotten."""

    async def answer(request: web.Request) -> web.Response:
        operation = request.headers["X-Amz-Target"].partition(".")[2]
        body = await request.read()
        read = operation in ("DescribeTable", "GetItem")
        return web.Response(
            body=json.dumps(answer_to(operation, json.loads(body) if read else {})).encode(),
            content_type="application/x-amz-json-1.0",
            headers={"x-amzn-requestid": "bench"},
        )

    app = web.Application(client_max_size=8 * BODY_BYTES_MAX)
    app.router.add_post("/", answer)
    web.run_app(app, host="127.0.0.1", port=port, print=None)


def start_node(stack: ExitStack) -> dict[str, int]:
    """Its ports by protocol."""
    source = free_port()
    ports = {kind: free_port() for kind in ("dax", "http", "grpc")}
    code = f"from benchmarks.beside import serve_source; serve_source({source})"
    stack.enter_context(running([sys.executable, "-c", code], source))
    untouched = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "untouched"
    untouched.touch()  # nobody has written: cache at once
    stack.enter_context(
        running(
            [sys.executable, "-m", "paceline_server", "node"],
            ports["http"],
            PACELINE_LISTENERS=json.dumps(
                [{"name": "default", "bind": f"127.0.0.1:{ports['dax']}"}]
            ),
            PACELINE_GRPC_BIND=f"127.0.0.1:{ports['grpc']}",
            PACELINE_ADMIN_BIND=f"127.0.0.1:{free_port()}",
            PACELINE_HTTP_BIND=f"127.0.0.1:{ports['http']}",
            PACELINE_DYNAMODB__ENDPOINT=f"http://127.0.0.1:{source}",
            PACELINE_DYNAMODB__CREDENTIALS="dummy",
            PACELINE_DYNAMODB__UNTOUCHED_FILE=str(untouched),
            PACELINE_LOG_LEVEL="error",
        )
    )
    return ports


def victim(port: int, commands: Connection) -> None:
    """Told True it begins, told False it sends its latencies in seconds, told None it ends."""
    request = http_request(key_name(1))
    with socket.create_connection(("127.0.0.1", port), timeout=CALL_S) as one:
        one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for _ in range(1000):  # the first is a miss
            ask(one, request)
        commands.send(None)
        while commands.recv() is not None:
            took: list[float] = []
            while not commands.poll():
                began = time.perf_counter()
                ask(one, request)
                took.append(time.perf_counter() - began)
                time.sleep(PAUSE_S)
            if commands.recv() is None:
                return
            commands.send(took)


def ask(one: socket.socket, request: bytes) -> None:
    one.sendall(request)
    reply = one.recv(65536)
    head, _, _ = reply.partition(b"\r\n\r\n")
    _, _, length = head.partition(b"\r\nContent-Length: ")
    left = len(head) + 4 + int(length.partition(b"\r")[0]) - len(reply)
    while left > 0:
        left -= len(one.recv(left))


def hostile(protocol: str, name: str, port: int, seconds: float, control: Connection) -> None:
    """Says when its request is ready, waits to be told, and sends how many times it was done."""
    with suppress(OSError):
        os.nice(1)
    call = CALLS[protocol](port, name)
    next(call)
    control.send(None)
    control.recv()
    until, count = time.monotonic() + seconds, 0
    said = ""
    while not count or time.monotonic() < until:
        said = next(call)
        count += 1
    control.send((count, said))


def by_http(port: int, name: str) -> Iterator[str]:
    load = LOADS.get(name)
    operation = load.operation if load else "PutItem"
    body = json.dumps(load.params(), separators=(",", ":")).encode() if load else BODIES[name]
    yield ""
    while True:
        one = http.client.HTTPConnection("127.0.0.1", port, timeout=CALL_S)
        one.request(
            "POST",
            "/",
            body,
            {
                "X-Amz-Target": f"DynamoDB_20120810.{operation}",
                "Content-Type": "application/x-amz-json-1.0",
                "Authorization": "AWS4-HMAC-SHA256 Credential=x/20260101/us-east-1/dynamodb/"
                "aws4_request, SignedHeaders=host, Signature=0",
                "X-Amz-Date": "20260101T000000Z",
            },
        )
        reply = one.getresponse()
        reply.read()
        one.close()
        yield str(reply.status)


def by_dax(port: int, name: str) -> Iterator[str]:
    load = LOADS[name]
    params = load.params()
    with paceline.Client(f"dax://127.0.0.1:{port}") as client:
        method = getattr(client, METHODS[load.operation])
        yield ""
        while True:
            try:
                method(**params)
                yield "done"
            except (PacelineError, ClientError) as error:
                yield str(error)[:70]


def by_grpc(port: int, name: str) -> Iterator[str]:
    load = LOADS[name]
    request = message(load.operation, load.params())
    options = [(f"grpc.max_{way}_message_length", -1) for way in ("send", "receive")]
    with grpc.insecure_channel(f"127.0.0.1:{port}", options) as channel:
        stub: Any = data_pb2_grpc.DataStub(channel)
        yield ""
        while True:
            try:
                getattr(stub, load.operation)(request, timeout=CALL_S)
                yield "done"
            except grpc.RpcError as error:
                yield str(error.code())  # type: ignore[attr-defined]


CALLS = {"http": by_http, "dax": by_dax, "grpc": by_grpc}
METHODS = {
    "BatchWriteItem": "batch_write_item",
    "BatchGetItem": "batch_get_item",
    "Query": "query",
    "UpdateItem": "update_item",
}


def message(operation: str, params: Params) -> Any:
    request: Any = getattr(pb, f"{operation}Request")()
    for table, part in params.get("RequestItems", {}).items():
        for put in part if isinstance(part, list) else ():
            one = request.request_items[table].requests.add()
            one.put_item.SetInParent()
            fill_item(one.put_item.attributes, put["PutRequest"]["Item"])
        for key in part["Keys"] if isinstance(part, dict) else ():
            fill_item(request.request_items[table].keys.add().attributes, key)
    if "TableName" in params:
        request.table_name = params["TableName"]
    if "Key" in params:
        fill_item(request.key, params["Key"])
    for field in ("UpdateExpression", "KeyConditionExpression", "ConsistentRead"):
        if field in params:
            setattr(request, snake(field), params[field])
    request_names = params.get("ExpressionAttributeNames")
    if request_names:
        request.expression_attribute_names.update(request_names)
    for placeholder, value in params.get("ExpressionAttributeValues", {}).items():
        fill_value(request.expression_attribute_values[placeholder], value)
    return request


def snake(name: str) -> str:
    return "".join(f"_{one.lower()}" if one.isupper() else one for one in name).lstrip("_")


# -- measuring ---------------------------------------------------------------------------------


def row(name: str, took: list[float], note: str) -> None:
    ordered = sorted(took)
    at_99 = ordered[int(0.99 * (len(ordered) - 1))]
    print(f"{name:45} {1000 * ordered[-1]:8.1f} {1000 * at_99:8.1f}   {note}", flush=True)


def main(seconds: float, only: str) -> int:
    context = multiprocessing.get_context("spawn")
    with ExitStack() as stack:
        ports = start_node(stack)
        commands, theirs = context.Pipe()
        process = context.Process(target=victim, args=(ports["http"], theirs), daemon=True)
        process.start()
        stack.callback(process.terminate)

        def beside(work: Callable[[], str], name: str) -> None:
            commands.send(True)
            note = work()
            commands.send(False)
            took: list[float] = commands.recv()
            row(name, took, note)

        print(f"{'beside':45} {'worst ms':>8} {'99 % ms':>8}   requests and their answer")
        commands.recv()
        beside(lambda: str(time.sleep(seconds) or ""), "nobody")
        kinds = [(protocol, name) for name, load in LOADS.items() for protocol in load.protocols]
        kinds += [("http", name) for name in BODIES]
        for protocol, name in kinds:
            title = f"{protocol}: {name}"
            if only not in title:
                continue
            ours, control = context.Pipe()
            one = context.Process(
                target=hostile, args=(protocol, name, ports[protocol], seconds, control)
            )
            one.start()
            ours.recv()

            def work(ours: Connection = ours) -> str:
                ours.send(None)
                count, said = ours.recv()
                time.sleep(0.5)  # what it holds is freed
                return f"{count} x {said}"

            beside(work, title)
            one.join()
    return 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--only", default="")
    raise SystemExit(main(**vars(parser.parse_args())))
