"""CPU of a node per GetItem hit beside redis-server's per GET, in one interleaved run.

``make bench`` or ``python -m benchmarks.hits [--rounds 7] [--seconds 1.5] [--keys 10000] [--tls]``,
over the DAX protocol and over HTTP; with ``--tls`` over TLS, redis-server too. 64 connections with
one request outstanding each, 1 KB values, everything cached. CPU is the on-CPU time of all threads
of the server process (``/proc/PID/task/*/schedstat``), so waiting and preemption do not count; what
counts is the ratio within the run, since both servers saw the same machine.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from aiohttp import web

from benchmarks.load_generator import PREAMBLE, dax_request, http_request, key_name
from paceline_local.certificates import Authority

CONNECTIONS = 64
WARMERS = 16
VALUE = "x" * 1000
START_S = 20.0
REPLY_S = 10.0
HEAD_BYTES = 18
"""Of a reply: status, map, item head, 52-bit list id, string head (docs/dax-protocol.md, 10.2)."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def cpu_ns(pid: int) -> int:
    total = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        total += int((task / "schedstat").read_text().split()[0])
    return total


def wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + START_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            if process.poll() is not None or time.monotonic() > until:
                raise SystemExit(f"{process.args!r} did not start") from None
            time.sleep(0.05)


def certificates(directory: Path) -> tuple[Path, Path]:
    """(certificate, key) in files."""
    files = directory / "cert.pem", directory / "key.pem"
    for file, content in zip(files, Authority.new().issue(["localhost", "127.0.0.1"]), strict=True):
        file.write_bytes(content)
    return files


# -- the servers -------------------------------------------------------------------------------


def source_app() -> web.Application:
    """A DynamoDB with one table in which every key exists; only the warm-up asks it."""

    async def answer(request: web.Request) -> web.Response:
        operation = request.headers["X-Amz-Target"].partition(".")[2]
        body = json.loads(await request.read())
        result: dict[str, Any] = {}
        if operation == "DescribeTable":
            name = {"AttributeName": "id"}
            result["Table"] = {
                "TableName": body["TableName"],
                "TableStatus": "ACTIVE",
                "TableId": "bench",
                "KeySchema": [{**name, "KeyType": "HASH"}],
                "AttributeDefinitions": [{**name, "AttributeType": "S"}],
            }
        elif operation == "GetItem":
            result["Item"] = {**body["Key"], "v": {"S": VALUE}}
        return web.Response(
            body=json.dumps(result).encode(),
            content_type="application/x-amz-json-1.0",
            headers={"x-amzn-requestid": "bench"},  # an answer without one is not DynamoDB's
        )

    app = web.Application()
    app.router.add_post("/", answer)
    return app


def serve_source(port: int) -> None:
    web.run_app(source_app(), host="127.0.0.1", port=port, print=None)


@contextmanager
def running(argv: list[str], port: int, **environment: str) -> Iterator[int]:
    process = subprocess.Popen(
        argv,
        env={**os.environ, **environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.STDOUT,
    )
    try:
        wait_for(port, process)
        yield process.pid
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def start_node(stack: ExitStack, pair: tuple[Path, Path], keys: int) -> tuple[dict[str, int], int]:
    """Ports by protocol, and the process id."""
    source = free_port()
    ports = {kind: free_port() for kind in ("dax", "http", "dax+tls", "http+tls")}
    code = f"from benchmarks.hits import serve_source; serve_source({source})"
    untouched = pair[0].with_name("untouched")  # nobody has written to it: cache at once
    untouched.touch()
    stack.enter_context(running([sys.executable, "-c", code], source))
    listeners = [
        {"name": "default", "bind": f"127.0.0.1:{ports['dax']}"},
        {"name": "tls", "bind": f"127.0.0.1:{ports['dax+tls']}", "tls": True},
    ]
    pid = stack.enter_context(
        running(
            [sys.executable, "-m", "paceline_server", "node"],
            ports["dax"],
            PACELINE_LISTENERS=json.dumps(listeners),
            PACELINE_TLS__CERT_FILE=str(pair[0]),
            PACELINE_TLS__KEY_FILE=str(pair[1]),
            PACELINE_HTTPS_BIND=f"127.0.0.1:{ports['http+tls']}",
            PACELINE_GRPC_BIND=f"127.0.0.1:{free_port()}",
            PACELINE_ADMIN_BIND=f"127.0.0.1:{free_port()}",
            PACELINE_HTTP_BIND=f"127.0.0.1:{ports['http']}",
            PACELINE_DYNAMODB__ENDPOINT=f"http://127.0.0.1:{source}",
            PACELINE_DYNAMODB__CREDENTIALS="dummy",
            PACELINE_DYNAMODB__UNTOUCHED_FILE=str(untouched),
            PACELINE_LOG_LEVEL="error",
        )
    )
    asyncio.run(warm_node(ports["dax"], over_dax, keys))
    asyncio.run(warm_node(ports["http"], over_http, keys))
    return ports, pid


Read = Callable[[asyncio.StreamReader, asyncio.StreamWriter, str], Awaitable[bytes]]


async def over_dax(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, key: str) -> bytes:
    """An error, which is shorter, is what there is when the time is over."""
    writer.write(dax_request(key))
    reply = b""
    with suppress(TimeoutError):
        async with asyncio.timeout(REPLY_S):
            while len(reply) < len(VALUE) + HEAD_BYTES:
                more = await reader.read(len(VALUE) + HEAD_BYTES - len(reply))
                if not more:
                    break
                reply += more
    return reply


async def over_http(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, key: str) -> bytes:
    """The first hit of a key makes the JSON that the others are answered with."""
    writer.write(http_request(key))
    head = await reader.readuntil(b"\r\n\r\n")
    _, _, length = head.partition(b"\r\nContent-Length: ")
    return await reader.readexactly(int(length[: length.index(b"\r")]))


async def warm_node(port: int, read: Read, keys: int) -> None:
    """Reads every key once, on some connections at a time."""

    async def some(numbers: range) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        if read is over_dax:
            writer.write(PREAMBLE)
        for number in numbers:
            async with asyncio.timeout(START_S):
                reply = await read(reader, writer, key_name(number))
            if VALUE.encode() not in reply:
                raise SystemExit(f"the node answered {reply[:80]!r}")
        writer.close()

    async with asyncio.TaskGroup() as group:
        for first in range(WARMERS):
            group.create_task(some(range(first, keys, WARMERS)))


def start_redis(stack: ExitStack, pair: tuple[Path, Path] | None, keys: int) -> tuple[int, int]:
    """``pair``: for TLS, on the next free port."""
    port = secure = free_port()
    argv = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", ""]
    if pair is not None:
        secure = free_port()
        argv += ["--tls-port", str(secure), "--tls-auth-clients", "no"]
        argv += ["--tls-cert-file", str(pair[0]), "--tls-key-file", str(pair[1])]
        argv += ["--tls-ca-cert-file", str(pair[0])]
    pid = stack.enter_context(running([*argv, "--appendonly", "no"], port))
    with socket.create_connection(("127.0.0.1", port)) as one, one.makefile("rb") as replies:
        for number in range(keys):
            key = key_name(number)
            one.sendall(
                f"*3\r\n$3\r\nSET\r\n${len(key)}\r\n{key}\r\n${len(VALUE)}\r\n{VALUE}\r\n".encode()
            )
            if replies.readline() != b"+OK\r\n":
                raise SystemExit("redis-server did not take a value")
    return secure, pid


# -- measuring ---------------------------------------------------------------------------------


def measure(kind: str, port: int, pid: int, seconds: float, keys: int) -> dict[str, float]:
    before = cpu_ns(pid)
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "benchmarks.load_generator",
            kind,
            *map(str, (port, CONNECTIONS, seconds, keys)),
        ],
        check=True,
        capture_output=True,
        timeout=seconds + 60,
    )
    result: dict[str, float] = json.loads(done.stdout)
    result["cpu_us"] = (cpu_ns(pid) - before) / 1000 / result["requests"]
    return result


def main(rounds: int, seconds: float, keys: int, tls: bool) -> int:
    if shutil.which("redis-server") is None:
        print("skipped: redis-server is not installed, and without it there is no comparison")
        return 0
    if not Path("/proc/self/schedstat").exists():
        print("skipped: this system does not tell a process's CPU time per thread (Linux does)")
        return 0
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        pair = certificates(directory)
        redis_port, redis_pid = start_redis(stack, pair if tls else None, keys)
        ports, node_pid = start_node(stack, pair, keys)
        over = "+tls" if tls else ""
        kinds = [kind + over for kind in ("dax", "http")]
        ratios: dict[str, list[float]] = {kind: [] for kind in kinds}
        print("round   redis us/GET" + "".join(f"   {kind} us/hit   ratio" for kind in kinds))
        for number in range(rounds):
            redis = measure(f"redis{over}", redis_port, redis_pid, seconds, keys)["cpu_us"]
            line = f"{number + 1:5}   {redis:12.1f}"
            for kind in kinds:
                port = ports[kind]
                node = measure(kind, port, node_pid, seconds, keys)["cpu_us"]
                ratios[kind].append(node / redis)
                line += f"   {node:10.1f}   {node / redis:5.2f}"
            print(line, flush=True)
        for kind, found in ratios.items():
            print(
                f"CPU per hit over {kind}, node to redis-server: median "
                f"{statistics.median(found):.2f} ({min(found):.2f} to {max(found):.2f}, {rounds} "
                f"rounds, {CONNECTIONS} connections, {keys} keys, {len(VALUE)} bytes)"
            )
    return 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=1.5)
    parser.add_argument("--keys", type=int, default=10_000)
    parser.add_argument("--tls", action="store_true")
    raise SystemExit(main(**vars(parser.parse_args())))
