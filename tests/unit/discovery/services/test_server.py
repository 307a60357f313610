"""The server in front of services: whom it answers, and how much it takes."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cluster.transport.expected import ExpectedLimits
from cluster.transport.tls import ServerCertificate
from discovery.services import server as module
from discovery.services.requests import ServiceAnswer, ServiceRequest
from discovery.services.server import ServicesServer
from paceline.errors import ConfigError
from tests.support.certificates import Authority, write_pair
from tests.support.waiting import until

FORM = "application/x-www-form-urlencoded"
END_S = 5.0


class Echo:
    """Says what it was asked."""

    def __init__(self, name: str, content_type: str = FORM) -> None:
        self.name = name
        self.content_types = (content_type,)
        self.asked: list[ServiceRequest] = []

    def takes(self, request: ServiceRequest) -> bool:
        return request.content_type in self.content_types

    def answer(self, request: ServiceRequest) -> ServiceAnswer:
        self.asked.append(request)
        return ServiceAnswer(200, "text/plain", f"{self.name}: ".encode() + request.body)


@pytest.fixture
async def echoes() -> list[Echo]:
    return [Echo("sts"), Echo("dax", "application/x-amz-json-1.1")]


@pytest.fixture
async def address(echoes: list[Echo]) -> AsyncIterator[str]:
    server = ServicesServer(echoes, hosts=["discovery.example"], setting="PACELINE_HTTP_BIND")
    yield await server.start("127.0.0.1:0")
    await server.stop()


async def sent(address: str, data: bytes, tls: object = None) -> bytes:
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port), ssl=tls)  # type: ignore[arg-type]
    try:
        writer.write(data)
        async with asyncio.timeout(END_S):
            return await reader.read()
    except ConnectionResetError:
        return b""
    finally:
        writer.close()


def request(
    body: bytes = b"Action=A",
    *headers: str,
    method: str = "POST",
    target: str = "/",
    host: str = "localhost:8113",
    kind: str = FORM,
) -> bytes:
    lines = [
        *(f"{method} {target} HTTP/1.1", f"Host: {host}", f"Content-Type: {kind}"),
        *(f"Content-Length: {len(body)}", "Connection: close", *headers),
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def status(reply: bytes) -> int:
    return int(reply.split(b" ", 2)[1])


async def test_a_service_sees_the_request_as_it_came(address: str, echoes: list[Echo]) -> None:
    reply = await sent(address, request(b"Action=%41", "X-Twice: 1", "x-twice: 2", target="/%41?b"))
    assert status(reply) == 200
    assert reply.endswith(b"sts: Action=%41")
    (asked,) = echoes[0].asked
    assert (asked.target, asked.method, asked.address) == ("/%41?b", "POST", "127.0.0.1")
    assert [value for name, value in asked.headers if name.lower() == b"x-twice"] == [b"1", b"2"]
    assert f"x-amzn-RequestId: {asked.id}".lower() in reply.decode().lower()
    assert "access-control" not in reply.decode().lower()


@pytest.mark.parametrize(
    "host", ["127.0.0.1:8113", "[::1]", "localhost", "discovery.example", "DISCOVERY.example.:80"]
)
async def test_it_answers_by_its_names(address: str, host: str) -> None:
    assert status(await sent(address, request(host=host))) == 200


@pytest.mark.parametrize("host", ["evil.example", "10.0.0.1", "localhost.evil.example", "", "a b"])
async def test_it_does_not_by_others(address: str, echoes: list[Echo], host: str) -> None:
    reply = await sent(address, request(host=host))
    assert status(reply) in (400, 403)
    assert echoes[0].asked == []


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "file://", "http://10.0.0.1"])
@pytest.mark.parametrize("method", ["POST", "OPTIONS", "GET"])
async def test_a_strangers_page_is_not_answered(
    address: str, echoes: list[Echo], origin: str, method: str
) -> None:
    reply = await sent(address, request(b"", f"Origin: {origin}", method=method))
    assert status(reply) == 403
    assert echoes[0].asked == []


@pytest.mark.parametrize(
    ("site", "expected"),
    [("cross-site", 403), ("same-site", 403), ("same-origin", 200), ("none", 200)],
)
async def test_images_of_a_strangers_page_are_not_looked_at(
    address: str, echoes: list[Echo], site: str, expected: int
) -> None:
    reply = await sent(address, request(b"", f"Sec-Fetch-Site: {site}", method="GET"))
    assert status(reply) == expected
    assert len(echoes[0].asked) == (expected == 200)


async def test_hosts_and_origins_come_once(address: str, echoes: list[Echo]) -> None:
    for more in ("Host: localhost", "Origin: http://localhost\r\nOrigin: http://evil.example"):
        assert status(await sent(address, request(b"a", more))) == 400
    assert echoes[0].asked == []


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (request(kind="text/plain"), 404),
        (request(kind="multipart/form-data; boundary=a"), 404),
        (request(b"{}", kind="application/x-amz-json-1.1"), 200),
        (request(b"a" * (module.BODY_BYTES_MAX + 1)), 413),
        (request(b"a" * module.BODY_BYTES_MAX), 200),
        (request(b"a", "Content-Encoding: gzip"), 415),
        (request(target="http://localhost/"), 400),
        (request(b"a", f"X-Long: {'a' * 2 * module.HEADER_BYTES_MAX}"), 400),
        (request(target="/?" + "a" * 2 * module.LINE_BYTES_MAX), 400),
        (request(b"a", *(f"X-{n}: 1" for n in range(2 * module.HEADERS_MAX))), 400),
        (b"no http\r\n\r\n", 400),
        (
            b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: " + FORM.encode()
            + b"\r\nTransfer-Encoding: chunked\r\n\r\n"
            + (b"8000\r\n" + b"a" * 0x8000 + b"\r\n") * 3
            + b"0\r\n\r\n",
            413,
        ),
    ],
)  # fmt: skip
async def test_what_is_taken_has_bounds(address: str, data: bytes, expected: int) -> None:
    assert status(await sent(address, data)) == expected


async def test_a_signature_names_the_service(address: str, echoes: list[Echo]) -> None:
    def signed(service: str) -> str:
        scope = f"20260102/us-east-1/{service}/aws4_request"
        return f"Authorization: AWS4-HMAC-SHA256 Credential=K/{scope}, SignedHeaders=h, Signature=s"

    assert status(await sent(address, request(b"a", signed("dax")))) == 415, "of another kind"
    assert status(await sent(address, request(b"a", signed("sts")))) == 200
    assert status(await sent(address, request(b"a", signed("s3")))) == 404
    query = "/?X-Amz-Credential=K%2F20260102%2Fus-east-1%2Fsts%2Faws4_request"
    assert status(await sent(address, request(b"", method="GET", target=query))) == 200
    assert [len(one.asked) for one in echoes] == [2, 0]


async def test_a_body_that_does_not_come_is_not_waited_for(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "REQUEST_S", 0.05)
    whole = request(b"Action=A")
    assert status(await sent(address, whole[:-3])) == 408


async def test_one_connection_more_ends_the_longest_idle_one(
    echoes: list[Echo], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CONNECTIONS_MAX", 2)
    server = ServicesServer(echoes, setting="PACELINE_HTTP_BIND")
    host, _, port = (await server.start("127.0.0.1:0")).rpartition(":")
    ends = [await asyncio.open_connection(host, int(port)) for _ in range(2)]
    assert status(await sent(f"{host}:{port}", request())) == 200
    async with asyncio.timeout(END_S):
        assert await ends[0][0].read() == b""
    for _, writer in ends:
        writer.close()
    await server.stop()


async def test_requests_that_never_end_make_room(
    echoes: list[Echo], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CONNECTIONS_MAX", 2)
    server = ServicesServer(echoes, setting="PACELINE_HTTP_BIND")
    address = await server.start("127.0.0.1:0")
    host, _, port = address.rpartition(":")
    expected = server._connections._unfinished
    ends = [await asyncio.open_connection(host, int(port)) for _ in range(2)]
    for _, writer in ends:
        writer.write(request()[:-3])
    await until(lambda: len(expected) == 2, "two requests without the rest of their bodies", END_S)
    assert status(await sent(address, request())) == 200
    async with asyncio.timeout(END_S):
        assert await ends[0][0].read() == b""
    ends[1][1].write(request()[-3:])
    async with asyncio.timeout(END_S):
        assert status(await ends[1][0].read()) == 200
    for _, writer in ends:
        writer.close()
    await server.stop()


@pytest.mark.parametrize("encrypted", [False, True])
async def test_newcomers_of_an_address_are_bounded(
    tmp_path: Path, echoes: list[Echo], encrypted: bool
) -> None:
    authority = Authority.new()
    certificate = ServerCertificate(*write_pair(tmp_path, authority)) if encrypted else None
    trusting = ssl.create_default_context(cadata=authority.pem.decode()) if encrypted else None
    limits = ExpectedLimits(per_address_max=1, exempt=())
    server = ServicesServer(echoes, setting="PACELINE_HTTP_BIND", limits=limits)
    address = await server.start("127.0.0.1:0", certificate)
    host, _, port = address.rpartition(":")
    _, silent = await asyncio.open_connection(host, int(port))

    async def is_answered() -> bool:
        try:
            return status(await sent(address, request(), trusting)) == 200
        except (OSError, IndexError):
            return False

    assert not await is_answered()
    silent.close()
    await until(is_answered, "a place that is free again", END_S)
    await server.stop()


async def test_it_serves_tls_and_counts_handshakes(
    tmp_path: Path, echoes: list[Echo], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CONNECTIONS_MAX", 2)
    monkeypatch.setattr(module, "HANDSHAKE_S", 0.3)
    authority = Authority.new()
    cert, key = write_pair(tmp_path, authority)
    trusting = ssl.create_default_context(cadata=authority.pem.decode())
    server = ServicesServer(echoes, setting="PACELINE_HTTPS_BIND")
    address = await server.start("127.0.0.1:0", ServerCertificate(cert, key))
    assert status(await sent(address, request(), trusting)) == 200
    assert echoes[0].asked[0].secure
    host, _, port = address.rpartition(":")
    silent = [await asyncio.open_connection(host, int(port)) for _ in range(3)]
    async with asyncio.timeout(END_S):  # the oldest makes room
        assert await silent[0][0].read() == b""
    assert status(await sent(address, request(), trusting)) == 200
    for reader, writer in silent:  # they make room, or their time for a handshake ends
        async with asyncio.timeout(END_S):
            assert await reader.read() == b""
        writer.close()
    await server.stop()


async def test_an_address_in_use_and_hosts_that_are_none_are_said(address: str) -> None:
    with pytest.raises(ConfigError, match=r"PACELINE_HTTP_BIND.*in use"):
        await ServicesServer([], setting="PACELINE_HTTP_BIND").start(address)
    with pytest.raises(ConfigError, match="PACELINE_HTTP_HOSTS"):
        await ServicesServer([], hosts=["a b"], setting="PACELINE_HTTP_BIND").start("127.0.0.1:0")
