"""Any bytes on the ports of DAX and HTTP: no traceback, and the connection ends or waits."""

import asyncio
import socket
from collections.abc import Callable
from typing import Any
from unittest.mock import Mock

import pytest
import structlog
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.settings import Listener
from cluster.transport.dax_protocol import DaxProtocol
from cluster.transport.dax_server import ConnectionInfo, DaxServer
from node.frontends.http.protocol import HttpProtocol
from paceline.dax.connection import ClientConnection
from paceline.dax.request_types import GetItem, PutItem, Request
from paceline.dax.requests import encode_request
from tests.support.examples import examples
from tests.unit.cluster.transport.test_dax_server import FakeHandler
from tests.unit.node.frontends.http.test_protocol import FakeHandler as HttpHandler
from tests.unit.node.frontends.http.test_protocol import http_server, post

PREAMBLE = ClientConnection().preamble("DaxPythonClient-2.1.0", b"session")
REQUESTS = encode_request(GetItem("t", b"k")) + encode_request(PutItem("t", b"k", b"\x01"))
WRITTEN_MAX = 100_000
RUNNER = asyncio.Runner()


class DaxHandler(FakeHandler):
    async def handle(self, request: Request, peer: ConnectionInfo) -> bytes:
        return b"reply"


class Transport(asyncio.Transport):
    """Takes everything at once."""

    def __init__(self) -> None:
        super().__init__()
        self.written = bytearray()
        self.ended = False

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        known = {
            "peername": ("192.0.2.1", 1),
            "sockname": ("127.0.0.1", 2),
            "socket": Mock(spec=socket.socket),
        }
        return known.get(name, default)

    def write(self, data: Any) -> None:
        assert not self.ended
        self.written += data

    def write_eof(self) -> None:
        self.ended = True

    def can_write_eof(self) -> bool:
        return True

    def is_closing(self) -> bool:
        return self.ended

    def close(self) -> None:
        self.ended = True

    abort = close

    def get_write_buffer_size(self) -> int:
        return 0

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


async def fed(make: Callable[[], asyncio.Protocol], pieces: list[bytes]) -> Transport:
    protocol, transport = make(), Transport()
    protocol.connection_made(transport)
    for piece in pieces:
        if piece:
            protocol.data_received(piece)
        await asyncio.sleep(0)
    for _ in range(5):
        await asyncio.sleep(0)
    protocol.eof_received()
    protocol.connection_lost(None)
    return transport


def tracebacks(make: Callable[[], asyncio.Protocol], pieces: list[bytes]) -> list[Any]:
    problems: list[Any] = []

    async def run() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: problems.append(context))
        transport = await fed(make, pieces)
        assert len(transport.written) < WRITTEN_MAX

    with structlog.testing.capture_logs() as logged:
        RUNNER.run(run())
    return problems + [line for line in logged if line.get("exc_info")]


def dax() -> asyncio.Protocol:
    return DaxProtocol(DaxServer(DaxHandler(), connections_max=5), Listener(bind="127.0.0.1:0"))


def http() -> asyncio.Protocol:
    return HttpProtocol(http_server(HttpHandler(), connections_max=5), Listener(bind="127.0.0.1:0"))


def cut(data: bytes, places: list[int]) -> list[bytes]:
    ends = sorted({place % (len(data) + 1) for place in places} | {len(data)})
    return [data[start:end] for start, end in zip([0, *ends], ends, strict=False)]


PLACES = st.lists(st.integers(0, 4096), max_size=4)


@settings(max_examples=examples(150), deadline=None)
@given(st.sampled_from([b"", PREAMBLE, PREAMBLE + REQUESTS]), st.binary(max_size=300), PLACES)
def test_any_bytes_on_the_dax_port(start: bytes, data: bytes, places: list[int]) -> None:
    assert tracebacks(dax, cut(start + data, places)) == []


@settings(max_examples=examples(150), deadline=None)
@given(st.integers(0, 10_000), st.binary(min_size=1, max_size=8), PLACES)
def test_changed_bytes_on_the_dax_port(at: int, change: bytes, places: list[int]) -> None:
    stream = PREAMBLE + 3 * REQUESTS
    at %= len(stream)
    changed = stream[:at] + change + stream[at + len(change) :]
    assert tracebacks(dax, cut(changed, places)) == []


NAME_WORDS = (
    "Content-Length Host Transfer-Encoding Connection Expect Upgrade Origin Content-Encoding "
    "Content-Type Accept-Encoding Authorization X-Amz-Target X"
)
NAMES = st.sampled_from(NAME_WORDS.split())
ODD = "² ٣ [ [::1 -1 +1 0x1 1e9 999999999999999999999999999999 18446744073709551615 %ff \x00"
USUAL = "chunked gzip gzip;q=² close upgrade 100-continue AWS4-HMAC-SHA256 null"
VALUES = st.sampled_from(ODD.split(" ") + USUAL.split()) | st.text(max_size=12)
LINES = st.lists(st.tuples(NAMES, VALUES), max_size=6)
STARTS = st.sampled_from(
    """POST / HTTP/1.1
POST /?X-Amz-Algorithm=²&[ HTTP/1.1
GET / HTTP/1.0
HEAD / HTTP/1.1
PRI * HTTP/2.0
CONNECT a:1 HTTP/1.1
POST http://[/ HTTP/1.1
POST / HTTP/9.9""".splitlines()
)


@settings(max_examples=examples(150), deadline=None)
@given(STARTS, LINES, st.binary(max_size=40), PLACES)
def test_any_heads_on_the_http_port(
    start: str, lines: list[tuple[str, str]], body: bytes, places: list[int]
) -> None:
    head = "\r\n".join([start, *(f"{name}: {value}" for name, value in lines), "", ""])
    assert tracebacks(http, cut(head.encode("utf-8", "surrogatepass") + body, places)) == []


@settings(max_examples=examples(150), deadline=None)
@given(st.binary(max_size=200), st.integers(0, 200), PLACES)
def test_any_bytes_on_the_http_port(data: bytes, at: int, places: list[int]) -> None:
    whole = post(b"{}")
    at %= len(whole)
    assert tracebacks(http, cut(whole[:at] + data + whole[at:], places)) == []


def test_the_check_sees_tracebacks(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: Any, data: bytes) -> bytes:
        raise RuntimeError("planned")

    monkeypatch.setattr(DaxHandler, "fast", broken)
    assert tracebacks(dax, [PREAMBLE, REQUESTS])
