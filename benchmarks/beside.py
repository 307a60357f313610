"""What one hostile client does to others: the answers to hits beside it, at worst and at 99 %.

``python -m benchmarks.beside [--seconds 4] [--only TEXT] [--why]``. The node, the DynamoDB behind
it, the client that reads a cached item over HTTP every millisecond and the hostile one are
processes of their own. Each row is one kind of load, sent again and again for so many seconds, once
at least; the first row has none, and tells what the machine itself does to such a client. Sizes are
those that DynamoDB takes, but where a request is to be refused.

With ``--why`` the node notes what kept its loop (``benchmarks.watched_node``), and each row is
followed by the longest turn of the loop in milliseconds of its own processor time, the longest
collection of garbage, and the calls that held the interpreter for longest.
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
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import grpc
from botocore import xform_name
from botocore.exceptions import ClientError

import paceline
from benchmarks.beside_loads import (
    BODIES,
    FRAMES,
    JSON_ONLY,
    LOADS,
    MESSAGES,
    TABLE,
    json_request,
    message,
    raw_request,
)
from benchmarks.load.frames import http_frame
from benchmarks.load.kinds import key_name
from benchmarks.suite.servers import free_port, running
from paceline.dax.connection import NEED_DATA, ClientConnection, ErrorReply
from paceline.dax.request_types import Request
from paceline.errors import PacelineError
from paceline.v1 import data_pb2_grpc

PAUSE_S = 0.001
CALL_S = 60.0
STALLS_TOLD, FRAMES_TOLD = 3, 4


# -- the processes -----------------------------------------------------------------------------


def start_node(stack: ExitStack, notes: str = "") -> dict[str, int]:
    """Its ports by protocol. ``notes``: a file for what ``benchmarks.watched_node`` notes."""
    module = ["benchmarks.watched_node", notes] if notes else ["paceline_server", "node"]
    source = free_port()
    ports = {kind: free_port() for kind in ("dax", "http", "grpc")}
    code = f"from benchmarks.beside_loads import serve_source; serve_source({source})"
    stack.enter_context(running([sys.executable, "-c", code], source))
    untouched = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "untouched"
    untouched.touch()  # nobody has written: cache at once
    stack.enter_context(
        running(
            [sys.executable, "-m", *module],
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
    request = http_frame("GetItem", {"TableName": TABLE, "Key": {"id": {"S": key_name(1)}}})
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
    operation, body = json_request(name)
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


def by_raw(port: int, name: str) -> Iterator[str]:
    """JSON in a frame of DAX."""
    yield from by_frame(port, raw_request(name))


def by_dax(port: int, name: str) -> Iterator[str]:
    load = LOADS.get(name)
    if load is None:
        yield from by_frame(port, FRAMES[name]())
        return
    params = load.params()
    with paceline.Client(f"dax://127.0.0.1:{port}") as client:
        method = getattr(client, xform_name(load.operation))
        yield ""
        while True:
            try:
                method(**params)
                yield "done"
            except (PacelineError, ClientError) as error:
                yield str(error)[:70]


def by_frame(port: int, request: Request) -> Iterator[str]:
    """Over connections of its own: a node ends one that it cannot take a request from."""
    yield ""
    while True:
        connection = ClientConnection()
        frame = connection.preamble("bench", bytes(16)) + connection.send(request)
        with socket.create_connection(("127.0.0.1", port), timeout=CALL_S) as one:
            try:
                one.sendall(frame)
                event: Any = NEED_DATA
                while event is NEED_DATA:
                    data = one.recv(1 << 20)
                    if not data:
                        raise ConnectionError("closed")
                    connection.receive_data(data)
                    event = connection.next_event()
            except OSError as error:
                yield type(error).__name__
            else:
                yield str(event.error)[:70] if isinstance(event, ErrorReply) else "done"


def by_grpc(port: int, name: str) -> Iterator[str]:
    load = LOADS.get(name)
    operation = load.operation if load else "PutItem"
    request = message(operation, load.params()) if load else MESSAGES[name]()
    options = [(f"grpc.max_{way}_message_length", -1) for way in ("send", "receive")]
    with grpc.insecure_channel(f"127.0.0.1:{port}", options) as channel:
        stub: Any = data_pb2_grpc.DataStub(channel)
        yield ""
        while True:
            try:
                getattr(stub, operation)(request, timeout=CALL_S)
                yield "done"
            except grpc.RpcError as error:
                yield str(error.code())  # type: ignore[attr-defined]


PORTS = {"raw": "dax"}
CALLS = {"http": by_http, "raw": by_raw, "dax": by_dax, "grpc": by_grpc}


# -- measuring ---------------------------------------------------------------------------------


def row(name: str, took: list[float], note: str) -> None:
    ordered = sorted(took)
    at_99 = ordered[int(0.99 * (len(ordered) - 1))]
    print(f"{name:45} {1000 * ordered[-1]:8.1f} {1000 * at_99:8.1f}   {note}", flush=True)


class Notes:
    """What the node has noted since they were read last."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._at = 0

    def read(self) -> list[dict[str, Any]]:
        with self.path.open("rb") as file:
            file.seek(self._at)
            lines = file.read().splitlines()
            self._at = file.tell()
        return [json.loads(line) for line in lines]

    def tell(self) -> None:
        noted = self.read()
        longest = {
            kind: max((one["ms"] for one in noted if one["kind"] == kind), default=0.0)
            for kind in ("turn", "gc")
        }
        print(f"    longest turn {longest['turn']:.1f}, collection {longest['gc']:.1f}")
        stalls = sorted((one for one in noted if one["kind"] == "stall"), key=lambda it: -it["ms"])
        for one in stalls[:STALLS_TOLD]:
            stack = " < ".join(one["stack"][:FRAMES_TOLD])
            print(f"    stall {one['ms']:.1f}, {one['cpu_ms']:.1f} of {one['thread']}: {stack}")


def main(seconds: float, only: str, why: bool) -> int:
    context = multiprocessing.get_context("spawn")
    with ExitStack() as stack:
        directory = stack.enter_context(tempfile.TemporaryDirectory())
        notes = Notes(Path(directory) / "notes") if why else None
        ports = start_node(stack, str(notes.path) if notes else "")
        commands, theirs = context.Pipe()
        process = context.Process(target=victim, args=(ports["http"], theirs), daemon=True)
        process.start()
        stack.callback(process.terminate)

        def beside(work: Callable[[], str], name: str) -> None:
            commands.send(True)
            if notes is not None:
                notes.read()
            note = work()
            commands.send(False)
            took: list[float] = commands.recv()
            row(name, took, note)
            if notes is not None:
                notes.tell()

        print(f"{'beside':45} {'worst ms':>8} {'99 % ms':>8}   requests and their answer")
        commands.recv()
        beside(lambda: str(time.sleep(seconds) or ""), "nobody")
        kinds = [(protocol, name) for name, load in LOADS.items() for protocol in load.protocols]
        kinds += [(protocol, name) for name in BODIES for protocol in JSON_ONLY]
        kinds += [("dax", name) for name in FRAMES] + [("grpc", name) for name in MESSAGES]
        for protocol, name in kinds:
            title = f"{protocol}: {name}"
            if only not in title:
                continue
            ours, control = context.Pipe()
            one = context.Process(
                target=hostile,
                args=(protocol, name, ports[PORTS.get(protocol, protocol)], seconds, control),
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
    parser.add_argument("--why", action="store_true")
    raise SystemExit(main(**vars(parser.parse_args())))
