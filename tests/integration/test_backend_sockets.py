"""What is given up does not arrive later: bytes that are still under way are dropped."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import ssl
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from cluster.settings import DynamoDBSettings
from node.backend import calls
from node.backend.client import Backend
from node.backend.lean import pool
from node.backend.sockets import LINGER_NOT, socket_factory
from node.streams.client import StreamClient
from paceline import clock
from paceline.errors import ConfigError, NotSent, OutcomeUnknown
from tests.support.certificates import Authority, write_pair
from tests.support.dynamodb_ways import LEAN, MOSTLY_LEAN, either_way
from tests.support.flaky_http import Answer, FlakyDynamoDB

PATIENT_S = 20.0
RECEIVE_BUFFER_BYTES = 4096
ITEM = {"id": {"S": "1"}, "data": {"B": bytes(390_000)}}
SIZES = [pytest.param(1, id="in the kernel"), pytest.param(20, id="in the process")]


way = either_way(MOSTLY_LEAN)


"""Items of a batch: half a megabyte, and more than the kernel takes from a socket."""


def batch(items: int) -> dict[str, Any]:
    return {"RequestItems": {"t": [{"PutRequest": {"Item": ITEM}}] * items}}


class Deaf:
    """Accepts one connection, on which it reads nothing but a TLS handshake before ``read``."""

    def __init__(self, context: ssl.SSLContext | None) -> None:
        self._listener = socket.socket()
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen()
        self._context = context
        self.port: int = self._listener.getsockname()[1]
        self.accepted = threading.Event()
        self.connection: socket.socket | None = None
        self.was_reset = False
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def _accept(self) -> None:
        connection, _ = self._listener.accept()
        connection.settimeout(PATIENT_S)
        # Encrypted bytes count as well as others: only the handshake needs to be understood.
        self.connection = connection
        if self._context is not None:
            incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            tls = self._context.wrap_bio(incoming, outgoing, server_side=True)
            while True:
                try:
                    tls.do_handshake()
                    break
                except ssl.SSLWantReadError:
                    connection.sendall(outgoing.read())
                    incoming.write(connection.recv(2048))
            try:
                connection.sendall(outgoing.read())  # session tickets
            except ConnectionError:  # given up already; the error is told once
                self.was_reset = True
        self.accepted.set()

    def read(self) -> tuple[int, bool]:
        """Everything that comes: how many bytes, and whether a reset ended it."""
        assert self.accepted.wait(PATIENT_S)
        assert self.connection is not None
        count = 0
        try:
            while data := self.connection.recv(65536):
                count += len(data)
        except ConnectionResetError:
            return count, True
        return count, self.was_reset

    def close(self) -> None:
        self._listener.close()
        self._thread.join(PATIENT_S)
        if self.connection is not None:
            self.connection.close()


@contextmanager
def deaf(context: ssl.SSLContext | None = None) -> Iterator[Deaf]:
    server = Deaf(context)
    try:
        yield server
    finally:
        if server.connection is None:  # let accept return
            socket.create_connection(("127.0.0.1", server.port)).close()
        server.close()


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, Path]:
    """(of a server, file of its authority)"""
    directory = tmp_path_factory.mktemp("tls")
    authority = Authority.new()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*write_pair(directory, authority))
    ca_file = directory / "ca.pem"
    ca_file.write_bytes(authority.pem)
    return context, ca_file


async def give_up(backend: Backend, items: int, how: str) -> None:
    sending = asyncio.Event()

    def may_send() -> bool:
        sending.set()
        return True

    writing = asyncio.create_task(
        backend.write("BatchWriteItem", batch(items), clock.now() + PATIENT_S, may_send)
    )
    if how == "cancelled":
        # Asked in the very step that hands the bytes over.
        async with asyncio.timeout(PATIENT_S):
            await sending.wait()
        writing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await writing
        return
    ended = await writing
    assert isinstance(ended.error, OutcomeUnknown), ended.error


@pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning")
@pytest.mark.parametrize("items", SIZES)
@pytest.mark.parametrize("how", ["time-out", "cancelled"])
@pytest.mark.parametrize("encrypted", [False, True], ids=["plain", "tls"])
async def test_a_write_that_is_given_up_stays_where_it_is(
    tls: tuple[ssl.SSLContext, Path], encrypted: bool, how: str, items: int
) -> None:
    context, ca_file = tls
    scheme = "https" if encrypted else "http"
    with deaf(context if encrypted else None) as server:
        backend = Backend(
            DynamoDBSettings(
                endpoint=f"{scheme}://localhost:{server.port}",
                credentials="dummy",
                connect_timeout_s=PATIENT_S,
                read_timeout_s=0.3 if how == "time-out" else PATIENT_S,
            ),
            ca_file=ca_file if encrypted else None,
        )
        await backend.start()
        try:
            await give_up(backend, items, how)
            count, was_reset = await asyncio.to_thread(server.read)
        finally:
            await backend.stop()
    assert was_reset, "an orderly end would have sent the rest first"
    assert count < 390_000


CHILD = """
import asyncio, sys
from cluster.settings import DynamoDBSettings
from node.backend.client import Backend
from paceline import clock
from tests.integration.test_backend_sockets import batch

async def main():
    settings = DynamoDBSettings(endpoint=sys.argv[1], credentials="dummy", read_timeout_s=60.0)
    backend = Backend(settings)
    await backend.start()
    def may_send():
        print("sending", flush=True)
        return True
    await backend.write("BatchWriteItem", batch(1), clock.now() + 60.0, may_send)

asyncio.run(main())
"""


def test_the_writes_of_a_process_that_is_killed_die_with_it() -> None:
    with deaf() as server:
        child = subprocess.Popen(
            [sys.executable, "-c", CHILD, f"http://127.0.0.1:{server.port}"],
            cwd=Path(__file__).parents[2],
            stdout=subprocess.PIPE,
        )
        try:
            assert child.stdout is not None
            assert child.stdout.readline() == b"sending\n"
            assert server.accepted.wait(PATIENT_S)
            assert server.connection is not None
            # The first bytes are here, so that all are in the child's kernel or its process.
            assert server.connection.recv(1, socket.MSG_PEEK)
            child.send_signal(signal.SIGKILL)
            child.wait(PATIENT_S)
            count, was_reset = server.read()
        finally:
            child.kill()
            child.wait()
            child.stdout.close()
    assert was_reset
    assert count < 390_000


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux's list of connections")
def test_the_kernel_gives_up_what_nobody_takes() -> None:
    """As of a process that is stopped with its request in the send queue."""
    with deaf() as server:
        made = socket_factory(0.3)((socket.AF_INET, socket.SOCK_STREAM, 0, "", ()))
        with made:
            made.connect(("127.0.0.1", server.port))
            port = made.getsockname()[1]
            assert server.accepted.wait(PATIENT_S)
            made.setblocking(False)
            queued = 0
            with contextlib.suppress(BlockingIOError):
                while True:
                    queued += made.send(bytes(65536))
            assert _is_listed(port, server.port)
            deadline = time.monotonic() + PATIENT_S
            while _is_listed(port, server.port):
                assert time.monotonic() < deadline, "the kernel still tries"
                time.sleep(0.02)
            count, was_reset = server.read()
    assert was_reset
    assert count < queued / 2


def _is_listed(local: int, remote: int) -> bool:
    """Whether the kernel has this connection as an established one."""
    ends = (f":{local:04X}", f":{remote:04X}")
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if (fields[1][-5:], fields[2][-5:]) == ends and fields[3] == "01":
            return True
    return False


@pytest.mark.parametrize(
    ("read_timeout_s", "quarantine_s", "limit_s"),
    [(3.0, 10.0, 3.0), (30.0, 10.0, 5.0), (0.25, 10.0, 0.25)],
)
@pytest.mark.parametrize("encrypted", [False, True], ids=["plain", "tls"])
async def test_every_socket_has_the_limit(
    tls: tuple[ssl.SSLContext, Path],
    monkeypatch: pytest.MonkeyPatch,
    way: str,
    encrypted: bool,
    read_timeout_s: float,
    quarantine_s: float,
    limit_s: float,
) -> None:
    made: list[socket.socket] = []

    def noting(unacknowledged_s: float) -> Callable[[Any], socket.socket]:
        make = socket_factory(unacknowledged_s)

        def note(address: Any) -> socket.socket:
            made.append(make(address))
            return made[-1]

        return note

    monkeypatch.setattr(pool if way == LEAN else calls, "socket_factory", noting)
    options: list[bytes] = []

    def look() -> bool:
        sock = made[-1]
        options.append(sock.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, len(LINGER_NOT)))
        if sys.platform == "linux":
            millis = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)
            options.append(struct.pack("i", millis))
        return True

    expected = [LINGER_NOT]
    if sys.platform == "linux":
        expected.append(struct.pack("i", round(limit_s * 1000)))
    context, ca_file = tls
    scheme = "https" if encrypted else "http"
    async with FlakyDynamoDB([Answer()], ssl=context if encrypted else None) as server:
        endpoint = f"{scheme}://localhost:{server.port}"
        settings = DynamoDBSettings(
            endpoint=endpoint, credentials="dummy", read_timeout_s=read_timeout_s
        )
        backend = Backend(
            settings, ca_file=ca_file if encrypted else None, quarantine_s=quarantine_s
        )
        await backend.start()
        try:
            ended = await backend.write(
                "PutItem", {"TableName": "t", "Item": {}}, clock.now() + PATIENT_S, look
            )
        finally:
            await backend.stop()
        if ended.error is not None:  # a busy machine, and the shortest time-out
            assert isinstance(ended.error, OutcomeUnknown)
    assert options == expected


@pytest.mark.parametrize(
    ("host", "trusted", "taken"),
    [
        ("localhost", True, True),
        ("LOCALHOST", True, True),
        ("localhost.", True, True),
        ("localhost", False, False),
        ("elsewhere.example", True, False),
        ("127.0.0.9", True, False),
    ],
)
async def test_whose_certificate_is_taken(
    tls: tuple[ssl.SSLContext, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    way: str,
    host: str,
    trusted: bool,
    taken: bool,
) -> None:
    if host.endswith(".") and way != LEAN:
        pytest.skip("aiohttp does not connect there")
    context, ca_file = tls
    if not trusted:
        ca_file = tmp_path / "other.pem"
        ca_file.write_bytes(Authority.new().pem)
    async with FlakyDynamoDB([Answer()], ssl=context) as server:
        address = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", server.port))

        async def resolved(*_: Any, **__: Any) -> list[Any]:
            return [address]

        monkeypatch.setattr(type(asyncio.get_running_loop()), "getaddrinfo", resolved)
        if host == "127.0.0.9":
            await server.refuse()
            server._server = await asyncio.start_server(
                server._serve, host, server.port, ssl=context
            )
            address = (*address[:4], (host, server.port))
        settings = DynamoDBSettings(endpoint=f"https://{host}:{server.port}", credentials="dummy")
        backend = Backend(settings, ca_file=ca_file)
        await backend.start()
        try:
            ended = await backend.write(
                "PutItem", {"TableName": "t", "Item": {}}, clock.now() + 1.0, lambda: True
            )
        finally:
            await backend.stop()
        assert len(server.requests) == taken
        assert (type(ended.error) is NotSent) is not taken
        if not taken and way == LEAN:
            assert "certificate verify failed" in str(ended.error)


async def test_authorities_that_cannot_be_read(
    way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if way != LEAN:
        pytest.skip("it reads them with the first request")
    for path in (tmp_path / "none.pem", tmp_path / "wrong.pem"):
        (tmp_path / "wrong.pem").write_text("nothing")
        monkeypatch.setenv("AWS_CA_BUNDLE", str(path))
        backend = Backend(DynamoDBSettings(endpoint="https://localhost:1", credentials="dummy"))
        try:
            with pytest.raises(ConfigError, match=path.name):
                await backend.start()
        finally:
            await backend.stop()


async def test_sockets_to_streams_have_it_too(monkeypatch: pytest.MonkeyPatch) -> None:
    limits: list[float] = []

    def noting(unacknowledged_s: float) -> Callable[[Any], socket.socket]:
        limits.append(unacknowledged_s)
        return socket_factory(unacknowledged_s)

    monkeypatch.setattr(calls, "socket_factory", noting)
    async with FlakyDynamoDB([Answer({"Streams": []})]) as server:
        settings = DynamoDBSettings(endpoint=server.endpoint, credentials="dummy")
        streams = StreamClient(settings)
        backend = Backend(settings)
        await backend.start()
        await streams.start()
        try:
            await streams.call("ListStreams", {}, clock.now() + PATIENT_S)
            target = "DynamoDBStreams_20120810.ListStreams"
            await backend.raw(target, b"{}", clock.now() + PATIENT_S, repeat=True)
        finally:
            await streams.stop()
            await backend.stop()
    assert limits == [3.0, 3.0, 3.0]
