"""No listener speaks old TLS: neither an old version, nor a suite without authenticated encryption
or forward secrecy."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from cluster.settings import Listener
from cluster.transport.dax_server import DaxServer
from cluster.transport.grpc_server import GrpcServer
from cluster.transport.tls import ServerCertificate
from tests.support.certificates import Authority, write_pair
from tests.support.grpc_channels import member, serving_members
from tests.unit.cluster.transport.test_certificate import Silent

pytestmark = pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")

DEADLINE_S = 10.0

OLD_VERSIONS = [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1]
OLD_SUITES = [
    "ECDHE-ECDSA-AES128-SHA256",
    "ECDHE-ECDSA-AES256-SHA",
    "ECDHE-RSA-AES256-SHA384",
    "DHE-RSA-AES256-GCM-SHA384",
    "AES128-GCM-SHA256",
    "AES256-SHA",
]
REFUSED = (ssl.SSLError, ConnectionError)
"""With or without an alert: each test has a handshake beside it that succeeds."""
GOOD = "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-CHACHA20-POLY1305"


def client(suites: str, version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_2) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    context.set_ciphers(f"{suites}:@SECLEVEL=0")  # else this library itself would not offer them
    context.minimum_version = context.maximum_version = version
    return context


async def suite_of(address: str, context: ssl.SSLContext) -> str:
    host, _, port = address.rpartition(":")
    async with asyncio.timeout(DEADLINE_S):
        _, writer = await asyncio.open_connection(host, int(port), ssl=context)
        found: str = writer.get_extra_info("cipher")[0]
        writer.transport.abort()
    return found


@asynccontextmanager
async def dax(directory: Path) -> AsyncIterator[str]:
    server = DaxServer(Silent(), connections_max=10)
    context = ServerCertificate(*write_pair(directory, Authority.new())).context()
    await server.start([Listener(name="secure", bind="127.0.0.1:0", tls=True)], context)
    host, port = server.addresses["secure"]
    try:
        yield f"{host}:{port}"
    finally:
        await server.abort()


@asynccontextmanager
async def grpc(directory: Path) -> AsyncIterator[str]:
    server = GrpcServer([])
    certificate = ServerCertificate(*write_pair(directory, Authority.new()))
    address = await server.start("127.0.0.1:0", certificate.grpc_credentials())
    try:
        yield address
    finally:
        await server.stop(0.0)


Serving = Callable[[Path], Any]


@pytest.fixture(params=[dax, grpc], ids=["dax and http", "grpc"])
async def address(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[str]:
    serving: Serving = request.param
    async with serving(tmp_path) as address:
        yield address


async def test_what_is_offered_by_everybody_today(address: str) -> None:
    assert await suite_of(address, client(GOOD)) in GOOD
    assert "TLS_" in await suite_of(address, client(GOOD, ssl.TLSVersion.TLSv1_3))


@pytest.mark.parametrize("suite", OLD_SUITES)
async def test_an_old_suite_is_refused(address: str, suite: str) -> None:
    with pytest.raises(REFUSED):
        await suite_of(address, client(suite))


@pytest.mark.parametrize("version", OLD_VERSIONS, ids=lambda version: version.name)
async def test_an_old_version_is_refused(address: str, version: ssl.TLSVersion) -> None:
    with pytest.raises(REFUSED):
        await suite_of(address, client("ALL", version))


async def test_between_members(tmp_path: Path) -> None:
    shown = member("node-2").pair
    file = tmp_path / "member.pem"
    file.write_bytes(shown.key + shown.chain)

    def of_member(suites: str, version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_2) -> ssl.SSLContext:
        context = client(suites, version)
        context.load_cert_chain(file)
        return context

    async with serving_members("node-1") as address:
        assert await suite_of(address, of_member(GOOD)) in GOOD
        for suite in OLD_SUITES:
            with pytest.raises(REFUSED):
                await suite_of(address, of_member(suite))
        for version in OLD_VERSIONS:
            with pytest.raises(REFUSED):
                await suite_of(address, of_member("ALL", version))
