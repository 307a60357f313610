"""The HTTP server on real sockets, with a handler that tests steer."""

import asyncio
import gzip
import json
import time
import zlib
from binascii import crc32
from collections.abc import AsyncIterator
from email.utils import parsedate_to_datetime
from typing import Any

import boto3
import botocore.config
import pytest
from botocore.exceptions import ClientError

from cluster.settings import Listener
from node.frontends.http import protocol
from node.frontends.http.messages import HttpRequest
from node.frontends.http.server import HttpServer
from node.frontends.json_api.replies import HttpReply, reply_of
from paceline.errors import DynamoDBError, NotSent, OutcomeUnknown, PacelineError, Unavailable

DEADLINE_S = 20.0


class FakeHandler:
    """Echoes target and length; ``fast`` bodies at once. ``gate`` holds the others back."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.gate.set()
        self.started = asyncio.Event()
        self.requests: list[HttpRequest] = []
        self.active_max = self.active = 0
        self.error: Exception | None = None

    def fast(self, request: HttpRequest) -> HttpReply | None:
        if request.body == b'"fast"':
            return HttpReply(200, b'"fast"', "hit")
        return None

    def read(self, request: HttpRequest) -> None:
        request.parsed = "read apart"

    async def handle(self, request: HttpRequest) -> HttpReply:
        self.requests.append(request)
        self.started.set()
        self.active += 1
        self.active_max = max(self.active, self.active_max)
        await self.gate.wait()
        self.active -= 1
        if isinstance(self.error, PacelineError):
            return reply_of(self.error)
        if self.error is not None:
            raise self.error
        body = {"target": request.target, "bytes": len(request.body), "text": "x" * 2000}
        return HttpReply(200, json.dumps(body).encode(), "miss")

    def failed(self, request: HttpRequest) -> HttpReply:
        return reply_of(OutcomeUnknown("planned"))

    async def is_busy(self) -> None:
        async with asyncio.timeout(DEADLINE_S):
            await self.started.wait()


class FakeSignatures:
    """Takes every request, until there is a refusal."""

    def __init__(self) -> None:
        self.refusal: HttpReply | None = None

    def accepts(self, request: HttpRequest) -> bool:
        return self.refusal is None

    async def refused(self, request: HttpRequest, deadline: float) -> HttpReply | None:
        return self.refusal


def http_server(handler: Any, signatures: Any = None, connections_max: int = 4) -> HttpServer:
    return HttpServer(
        handler,
        signatures or FakeSignatures(),
        healthy=b"healthy: planned ",
        connections_max=connections_max,
    )


class Client:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def reply(self) -> tuple[int, dict[str, str], bytes]:
        async with asyncio.timeout(DEADLINE_S):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            lines = head.split("\r\n")[:-2]
            headers = {k.lower(): v for k, v in (line.split(": ", 1) for line in lines[1:])}
            if "transfer-encoding" in headers:
                length = int(await self.reader.readuntil(b"\r\n"), 16)
                body = await self.reader.readexactly(length)
                assert await self.reader.readexactly(7) == b"\r\n0\r\n\r\n"
            else:
                body = await self.reader.readexactly(int(headers.get("content-length", 0)))
        return int(lines[0].split()[1]), headers, body

    async def at_end(self) -> bool:
        async with asyncio.timeout(DEADLINE_S):
            return await self.reader.read(1) == b""


def post(body: bytes, *headers: str, target: str = "DynamoDB_20120810.PutItem") -> bytes:
    lines = ["POST / HTTP/1.1", "Host: x", f"X-Amz-Target: {target}", *headers]
    if not any(line.lower().startswith("content-type") for line in headers):
        lines.append("Content-Type: application/x-amz-json-1.0")
    if not any(line.lower().startswith("transfer-encoding") for line in headers):
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


@pytest.fixture
async def handler() -> FakeHandler:
    return FakeHandler()


@pytest.fixture
async def signatures() -> FakeSignatures:
    return FakeSignatures()


@pytest.fixture
async def server(handler: FakeHandler, signatures: FakeSignatures) -> AsyncIterator[HttpServer]:
    server = http_server(handler, signatures)
    await server.start([Listener(name="http", bind="127.0.0.1:0")])
    yield server
    await server.abort()


@pytest.fixture
async def client(server: HttpServer) -> AsyncIterator[Client]:
    reader, writer = await asyncio.open_connection(*server.addresses["http"])
    yield Client(reader, writer)
    writer.close()
    await writer.wait_closed()


async def test_what_dynamodb_says_of_a_signature_comes_before_the_request_is_read(
    client: Client, handler: FakeHandler, signatures: FakeSignatures
) -> None:
    signatures.refusal = reply_of(DynamoDBError("MissingAuthenticationTokenException", "sign it"))
    for body in (b'"fast"', b"{}"):
        client.send(post(body))
        status, _, told = await client.reply()
        assert status == 400
        assert b"sign it" in told
    client.send(
        post(b'"fast"', "Authorization: AWS4-X Credential=a SignedHeaders=b Signature=c", "Date: d")
    )
    assert (await client.reply())[2] == b'"fast"'
    assert handler.requests == []


async def test_a_reply_has_dynamodbs_headers(client: Client) -> None:
    client.send(post(b"{}"))
    status, headers, body = await client.reply()
    assert status == 200
    assert headers["content-type"] == "application/x-amz-json-1.0"
    assert headers["x-amz-crc32"] == str(crc32(body))
    assert headers["x-paceline-cache"] == "miss"
    assert len(headers["x-amzn-requestid"]) == 52
    client.send(post(b'"fast"'))
    _, again, body = await client.reply()
    assert body == b'"fast"'
    assert again["x-paceline-cache"] == "hit"
    assert again["x-amzn-requestid"] != headers["x-amzn-requestid"]


async def test_byte_at_a_time(client: Client, handler: FakeHandler) -> None:
    for byte in post(b'{"a": 1}'):
        client.send(bytes([byte]))
        await client.writer.drain()
        await asyncio.sleep(0)
    assert (await client.reply())[0] == 200
    assert handler.requests[0].body == b'{"a": 1}'


async def test_pipelined_requests_are_answered_in_order(
    client: Client, handler: FakeHandler
) -> None:
    handler.gate.clear()
    client.send(post(b"1") + post(b'"fast"') + post(b"333") + post(b'"fast"'))
    await handler.is_busy()
    handler.gate.set()
    bodies = [(await client.reply())[2] for _ in range(4)]
    assert [json.loads(body) == "fast" for body in bodies] == [False, True, False, True]
    assert [json.loads(bodies[i])["bytes"] for i in (0, 2)] == [1, 3]
    assert handler.active_max == 1


@pytest.mark.parametrize(("head", "body"), [("", b"x" * 30_000), ("x" * 30_000, b"")])
async def test_a_flood_of_pipelined_requests_stays_in_the_kernel(
    server: HttpServer, client: Client, handler: FakeHandler, head: str, body: bytes
) -> None:
    handler.gate.clear()
    client.send(post(body, f"X-More: {head}") * 200)
    await handler.is_busy()
    (connection,) = server._connections
    for _ in range(50):
        assert connection.buffered_bytes < 1_000_000
        assert len(connection._waiting) < 50  # type: ignore[attr-defined]
        await asyncio.sleep(0)
    handler.gate.set()
    for _ in range(200):
        assert json.loads((await client.reply())[2])["bytes"] == len(body)


async def test_bodies_that_are_worked_on_leave_less_room_for_others(
    server: HttpServer, client: Client, handler: FakeHandler
) -> None:
    server.memory.bytes_max = 100_000
    handler.gate.clear()
    client.send(post(b"x" * 90_000))
    await handler.is_busy()
    other = Client(*await asyncio.open_connection(*server.addresses["http"]))
    other.send(post(b"x" * 90_000)[:-1])
    assert b"ThrottlingException" in (await other.reply())[2]
    assert await other.at_end()
    other.writer.close()
    handler.gate.set()
    assert (await client.reply())[0] == 200
    assert server.memory.held_bytes == 0


async def test_chunked_bodies(client: Client, handler: FakeHandler) -> None:
    chunks = b"3\r\nabc\r\n2;name=value\r\nde\r\n0\r\nX-Amz-Target: other\r\n\r\n"
    client.send(post(chunks, "Transfer-Encoding: chunked") + post(b"next"))
    assert json.loads((await client.reply())[2])["bytes"] == 5
    await client.reply()
    assert [request.body for request in handler.requests] == [b"abcde", b"next"]
    assert handler.requests[0].operation == "PutItem"


async def test_expect_continue(client: Client, handler: FakeHandler) -> None:
    request = post(b"later", "Expect: 100-continue")
    client.send(request[:-5])
    assert (await client.reply())[0] == 100
    assert not handler.requests
    client.send(b"later")
    assert (await client.reply())[0] == 200


async def test_every_reply_says_when_it_was_made(client: Client) -> None:
    for _ in range(2):
        began = int(time.time())
        client.send(post(b"{}"))
        made = parsedate_to_datetime((await client.reply())[1]["date"]).timestamp()
        assert began <= made <= time.time()


async def test_gzip_is_for_long_replies_of_those_who_ask(client: Client) -> None:
    client.send(post(b"{}", "Accept-Encoding: gzip, deflate"))
    _, headers, body = await client.reply()
    assert headers["content-encoding"] == "gzip"
    assert headers["x-amz-crc32"] == str(crc32(body))
    assert json.loads(gzip.decompress(body))["bytes"] == 2
    client.send(post(b'"fast"', "Accept-Encoding: gzip") + post(b"{}", "Accept-Encoding: identity"))
    for _ in range(2):
        assert "content-encoding" not in (await client.reply())[1]


async def test_connection_close_is_honoured(client: Client) -> None:
    client.send(post(b"{}", "Connection: close"))
    _, headers, _ = await client.reply()
    assert headers["connection"] == "close"
    assert await client.at_end()


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_beyond_the_limit(
    client: Client, handler: FakeHandler, monkeypatch: pytest.MonkeyPatch, chunked: bool
) -> None:
    monkeypatch.setattr(protocol, "BODY_BYTES_MAX", 1000)
    body = b"y" * 1001
    if chunked:
        client.send(post(b"%x\r\n%b\r\n0\r\n\r\n" % (1001, body), "Transfer-Encoding: chunked"))
    else:
        client.send(post(body))
    status, _, answer = await client.reply()
    assert status == 413
    assert json.loads(answer)["__type"].endswith("#RequestEntityTooLargeException")
    assert await client.at_end()
    assert not handler.requests


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"\x01\x1a\x0f\xb0 not http\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nX: " + b"y" * 100_000, 431),
    ],
)
async def test_what_cannot_be_taken_in_is_refused_and_the_connection_ends(
    client: Client, data: bytes, status: int
) -> None:
    client.send(data)
    assert (await client.reply())[0] == status
    assert await client.at_end()


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", 200),
        (b"GET /x HTTP/1.1\r\nHost: x\r\n\r\n", 404),
        (post(b"{}", "Content-Type: application/x-amz-json-1.1"), 404),
        (b"PUT" + post(b"{}")[4:], 404),
        (post(b"{}", "Origin: http://evil.example"), 403),
    ],
)
async def test_what_is_no_request_of_an_sdk(
    client: Client, handler: FakeHandler, request_: bytes, status: int
) -> None:
    client.send(request_ + post(b"{}"))
    assert (await client.reply())[0] == status
    assert (await client.reply())[0] == 200
    assert len(handler.requests) == 1


async def test_half_a_request_and_then_the_end(client: Client, handler: FakeHandler) -> None:
    client.send(post(b"12345")[:-2])
    client.writer.write_eof()
    assert await client.at_end()
    assert not handler.requests


async def test_a_client_that_sends_no_more_still_gets_its_reply(
    client: Client, handler: FakeHandler
) -> None:
    handler.gate.clear()
    client.send(post(b"{}"))
    client.writer.write_eof()
    await handler.is_busy()
    handler.gate.set()
    assert (await client.reply())[0] == 200
    assert await client.at_end()


async def test_an_unforeseen_failure_is_an_unknown_outcome(
    client: Client, handler: FakeHandler
) -> None:
    handler.error = RuntimeError("planned")
    client.send(post(b"{}"))
    status, _, body = await client.reply()
    assert status == 409
    assert json.loads(body)["__type"] == "paceline#OutcomeUnknownException"


async def test_drain_finishes_what_is_under_way(
    server: HttpServer, client: Client, handler: FakeHandler
) -> None:
    handler.gate.clear()
    client.send(post(b"{}"))
    await handler.is_busy()
    drained = asyncio.create_task(server.drain(DEADLINE_S))
    await asyncio.sleep(0)
    handler.gate.set()
    _, headers, _ = await client.reply()
    assert headers["connection"] == "close"
    client.writer.close()
    await drained


async def test_connections_over_the_limit_end_at_once(server: HttpServer) -> None:
    """The kept ones have had an answer: one that had none would make room instead."""
    kept = [Client(*await asyncio.open_connection(*server.addresses["http"])) for _ in range(4)]
    for client in kept:
        client.send(post(b'"fast"'))
        assert (await client.reply())[0] == 200
    further = Client(*await asyncio.open_connection(*server.addresses["http"]))
    assert await further.at_end()
    assert server.connections == 4
    for client in (*kept, further):
        client.writer.close()
        await client.writer.wait_closed()


REPEATED: list[tuple[PacelineError, str, int]] = [
    (OutcomeUnknown("read the item"), "OutcomeUnknownException", 1),
    (NotSent("no primary"), "ThrottlingException", 2),
    (Unavailable("too many requests"), "ThrottlingException", 2),
    (DynamoDBError("ConditionalCheckFailedException", "no"), "ConditionalCheckFailedException", 1),
    (DynamoDBError("InternalServerError", "oops", 500), "InternalServerError", 2),
]
"""An error, its name, and how many attempts boto3 makes of two that it may make."""


@pytest.mark.parametrize("mode", ["legacy", "standard"])
async def test_what_boto3_repeats(server: HttpServer, handler: FakeHandler, mode: Any) -> None:
    """A write whose outcome is unknown is made exactly once, whatever the retry mode."""
    host, port = server.addresses["http"]

    def put_all() -> None:
        client = boto3.client(
            "dynamodb",
            endpoint_url=f"http://{host}:{port}",
            region_name="us-east-1",
            aws_access_key_id="x",
            aws_secret_access_key="x",
            config=botocore.config.Config(
                retries={"mode": mode, "total_max_attempts": 2}, proxies={}, read_timeout=10
            ),
        )
        try:
            for error, code, attempts in REPEATED:
                handler.error = error
                handler.requests.clear()
                with pytest.raises(ClientError) as caught:
                    client.put_item(TableName="table", Item={"id": {"S": "1"}})
                assert caught.value.response["Error"]["Code"] == code
                assert len(handler.requests) == attempts, code
        finally:
            client.close()

    await asyncio.to_thread(put_all)
    assert b"Credential=x/" in handler.requests[0].headers[b"authorization"]


# -- compressed requests ---------------------------------------------------------------------------


async def test_compressed_requests_are_unpacked(client: Client, handler: FakeHandler) -> None:
    body = b'{"a": "1"}'
    client.send(post(gzip.compress(body), "Content-Encoding: gzip"))
    client.send(post(zlib.compress(body), "Content-Encoding: Deflate"))
    client.send(post(b'"fast"', "Content-Encoding: "))
    assert [(await client.reply())[0] for _ in range(2)] == [200, 200]
    assert [request.body for request in handler.requests] == [body, body]
    assert (await client.reply())[2] == b'"fast"'


@pytest.mark.parametrize(
    ("body", "encoding", "status"),
    [
        (gzip.compress(b"{}")[:-1], "gzip", 500),
        (gzip.compress(b"{}") + b"more", "gzip", 500),
        (b"{}", "gzip", 500),
        (gzip.compress(b"{}"), "deflate", 500),
        (b"{}", "br", 500),
        (gzip.compress(b" " * (protocol.BODY_BYTES_MAX + 1)), "gzip", 413),
        (2 * gzip.compress(b" " * (protocol.BODY_BYTES_MAX // 2 + 1)), "gzip", 413),
        (10_000 * gzip.compress(b""), "gzip", 500),
    ],
    ids=["cut off", "more behind", "plain", "other", "unknown", "large", "large in two", "many"],
)
async def test_what_cannot_be_unpacked_is_refused(
    client: Client, handler: FakeHandler, body: bytes, encoding: str, status: int
) -> None:
    client.send(post(body, f"Content-Encoding: {encoding}") + post(b'"fast"'))
    assert (await client.reply())[0] == status
    assert handler.requests == []
    assert (await client.reply())[2] == b'"fast"'


@pytest.mark.parametrize(
    ("accepted", "packed"),
    [
        ("gzip", True),
        ("br, GZIP ;q=0.5, deflate", True),
        ("gzip;q=1", True),
        ("identity", False),
        ("gzip;q=0", False),
        ("deflate, gzip; q=0.0", False),
        ("x-gzip", False),
    ],
)
async def test_replies_are_packed_for_those_who_say_so(
    client: Client, accepted: str, packed: bool
) -> None:
    client.send(post(b"{}", f"Accept-Encoding: {accepted}"))
    _, headers, body = await client.reply()
    assert headers.get("content-encoding") == ("gzip" if packed else None)
    assert json.loads(gzip.decompress(body) if packed else body)["bytes"] == 2


async def test_head_is_answered_without_a_body(client: Client) -> None:
    client.send(b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n")
    head = await client.reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 ")
    client.send(post(b'"fast"'))
    assert (await client.reply())[2] == b'"fast"'
