"""The certificate of listeners: what clients are shown, and what happens when its files change."""

import asyncio
import os
import socket
import ssl
import warnings
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
import pytest_asyncio
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from grpc_health.v1 import health_pb2, health_pb2_grpc

from cluster.settings import Listener, TlsSettings
from cluster.transport import client_server
from cluster.transport.dax_server import ConnectionInfo, DaxServer
from cluster.transport.grpc_server import GrpcServer
from cluster.transport.tls import ServerCertificate, require_certificate
from paceline.dax.request_types import Request
from paceline.errors import ConfigError
from tests.support.certificates import Authority, write_pair

DEADLINE_S = 10.0


class Silent:
    def fast(self, data: bytes) -> bytes | None:
        return None

    async def handle(self, request: Request, peer: ConnectionInfo) -> bytes:
        raise AssertionError("nothing is asked here")


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority.new()


@pytest.fixture
def files(tmp_path: Path, authority: Authority) -> tuple[Path, Path]:
    return write_pair(tmp_path, authority)


@pytest.fixture
def trusting(authority: Authority) -> ssl.SSLContext:
    return ssl.create_default_context(cadata=authority.pem.decode())


@pytest_asyncio.fixture
async def listening(files: tuple[Path, Path]) -> AsyncIterator[tuple[ServerCertificate, int]]:
    certificate = ServerCertificate(*files)
    server = DaxServer(Silent(), connections_max=10)
    await server.start(
        [Listener(name="secure", bind="127.0.0.1:0", tls=True)], certificate.context("http/1.1")
    )
    yield certificate, server.addresses["secure"][1]
    await server.abort()


async def shown(port: int, trusting: ssl.SSLContext, name: str = "127.0.0.1") -> int:
    """The serial number of the certificate that a new connection is shown."""
    async with asyncio.timeout(DEADLINE_S):
        _, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=trusting, server_hostname=name
        )
        found = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        writer.close()
        await writer.wait_closed()
    return x509.load_der_x509_certificate(found).serial_number


def serial(file: Path) -> int:
    return x509.load_pem_x509_certificate(file.read_bytes()).serial_number


@pytest.mark.parametrize("name", ["127.0.0.1", "::1", "localhost"])
async def test_new_files_are_shown_to_new_connections(
    listening: tuple[ServerCertificate, int],
    files: tuple[Path, Path],
    tmp_path: Path,
    authority: Authority,
    trusting: ssl.SSLContext,
    name: str,
) -> None:
    certificate, port = listening
    first = serial(files[0])
    assert await shown(port, trusting, name) == first
    certificate.check()
    assert await shown(port, trusting, name) == first

    write_pair(tmp_path, authority)
    second = serial(files[0])
    assert second != first
    certificate.check()
    assert await shown(port, trusting, name) == second


async def test_clients_choose_a_protocol_also_after_a_change(
    listening: tuple[ServerCertificate, int],
    tmp_path: Path,
    authority: Authority,
    trusting: ssl.SSLContext,
) -> None:
    certificate, port = listening
    trusting.set_alpn_protocols(["h2", "http/1.1"])
    for _ in range(2):
        async with asyncio.timeout(DEADLINE_S):
            _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trusting)
            assert writer.get_extra_info("ssl_object").selected_alpn_protocol() == "http/1.1"
            writer.close()
            await writer.wait_closed()
        write_pair(tmp_path, authority)
        certificate.check()


@pytest.mark.parametrize("spoilt", ["other key", "no certificate", "gone", "encrypted key"])
async def test_new_files_that_cannot_be_used_change_nothing(
    listening: tuple[ServerCertificate, int],
    files: tuple[Path, Path],
    tmp_path: Path,
    authority: Authority,
    trusting: ssl.SSLContext,
    spoilt: str,
) -> None:
    certificate, port = listening
    first = serial(files[0])
    good = [file.read_bytes() for file in files]
    refused = {name: value for name, _, value in certificate.gauges()}
    match spoilt:
        case "other key":
            files[1].write_bytes(authority.issue(["localhost"])[1])
        case "no certificate":
            files[0].write_text("not PEM at all\n")
        case "gone":
            files[1].unlink()
        case "encrypted key":
            key: Any = serialization.load_pem_private_key(good[1], None)
            files[1].write_bytes(
                key.private_bytes(
                    serialization.Encoding.PEM,
                    serialization.PrivateFormat.PKCS8,
                    serialization.BestAvailableEncryption(b"secret"),
                )
            )
    certificate.check()
    assert certificate.problem
    assert refused["tls_certificate_refused"]() == 1.0
    assert await shown(port, trusting) == first

    # The key came first, its certificate follows: then both are taken.
    certificate_pem, key_pem = authority.issue(["127.0.0.1"])
    files[1].write_bytes(key_pem)
    certificate.check()
    files[0].write_bytes(certificate_pem)
    certificate.check()
    assert certificate.problem is None
    assert refused["tls_certificate_refused"]() == 0.0
    assert await shown(port, trusting) == serial(files[0]) != first


async def test_files_that_are_links_are_followed(
    tmp_path: Path, authority: Authority, trusting: ssl.SSLContext
) -> None:
    """As Kubernetes replaces secrets: a link to a directory is pointed at the next one."""
    for version in ("one", "two"):
        (tmp_path / version).mkdir()
        write_pair(tmp_path / version, authority)
    current = tmp_path / "current"
    current.symlink_to("one")
    certificate = ServerCertificate(current / "cert.pem", current / "key.pem")
    first = certificate.not_after
    (tmp_path / "next").symlink_to("two")
    os.replace(tmp_path / "next", current)
    certificate.check()
    assert certificate.problem is None
    assert certificate.not_after >= first
    assert certificate._pair.chain == (tmp_path / "two" / "cert.pem").read_bytes()


async def test_watching_takes_up_changes(
    files: tuple[Path, Path],
    tmp_path: Path,
    authority: Authority,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("cluster.transport.tls.CHECK_S", 0.01)
    certificate = ServerCertificate(*files)
    watching = asyncio.create_task(certificate.watch())
    certificate_pem, key_pem = authority.issue(["localhost"], days=3)
    write_pair(tmp_path, authority)
    files[1].write_bytes(key_pem)
    files[0].write_bytes(certificate_pem)
    async with asyncio.timeout(DEADLINE_S):
        while certificate.not_after > datetime.now(UTC) + timedelta(days=4):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    watching.cancel()
    await asyncio.wait([watching])


async def test_grpc_shows_the_new_one_too(
    files: tuple[Path, Path], tmp_path: Path, authority: Authority
) -> None:
    certificate = ServerCertificate(*files)
    server = GrpcServer([])
    address = await server.start("127.0.0.1:0", certificate.grpc_credentials())
    await server.set_serving(True)
    try:
        other = Authority.new("Another authority")
        for signing in (authority, other, authority):
            write_pair(tmp_path, signing)
            certificate.check()
            assert certificate.problem is None
            for trusted in (authority, other):
                assert await answers(address, trusted) is (trusted is signing)
    finally:
        await server.stop()


async def answers(address: str, trusted: Authority) -> bool:
    credentials = grpc.ssl_channel_credentials(trusted.pem)
    options = [("grpc.use_local_subchannel_pool", 1)]
    async with grpc.aio.secure_channel(address, credentials, options=options) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        try:
            reply = await stub.Check(health_pb2.HealthCheckRequest(), timeout=DEADLINE_S)
        except grpc.aio.AioRpcError as error:
            if "CERTIFICATE_VERIFY_FAILED" in (error.details() or ""):
                return False
            raise
        return bool(reply.status == health_pb2.HealthCheckResponse.SERVING)


async def test_who_speaks_no_tls_is_let_go(
    listening: tuple[ServerCertificate, int],
) -> None:
    _, port = listening
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"\x67J7yne5G\x00\x41\x00\xa1")
    async with asyncio.timeout(DEADLINE_S):
        answer = await reader.read()
    assert answer[:1] in (b"", b"\x15")  # an alert of TLS, or nothing
    writer.close()
    await writer.wait_closed()


async def test_who_sends_nothing_is_let_go(
    files: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_server, "HANDSHAKE_S", 0.2)
    server = DaxServer(Silent(), connections_max=10)
    listener = Listener(name="secure", bind="127.0.0.1:0", tls=True)
    await server.start([listener], ServerCertificate(*files).context())
    try:
        reader, writer = await asyncio.open_connection(*server.addresses["secure"])
        async with asyncio.timeout(DEADLINE_S):
            assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()
        assert server.connections == 0
    finally:
        await server.abort()


async def test_old_versions_of_tls_are_refused(
    listening: tuple[ServerCertificate, int], trusting: ssl.SSLContext
) -> None:
    _, port = listening

    def connect(maximum: ssl.TLSVersion) -> str | None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        context.set_ciphers("ALL:@SECLEVEL=0")
        context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
        context.maximum_version = maximum
        with (
            socket.create_connection(("127.0.0.1", port), DEADLINE_S) as plain,
            context.wrap_socket(plain) as connection,
        ):
            return connection.version()

    assert await asyncio.to_thread(connect, ssl.TLSVersion.TLSv1_2) == "TLSv1.2"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        with pytest.raises(OSError, match=r"alert|reset|EOF"):
            await asyncio.to_thread(connect, ssl.TLSVersion.TLSv1_1)


def test_settings_that_cannot_work(tmp_path: Path, authority: Authority) -> None:
    certificate, key = write_pair(tmp_path, authority)
    assert ServerCertificate.of(TlsSettings()) is None
    assert ServerCertificate.of(TlsSettings(cert_file=certificate, key_file=key)) is not None
    both = tmp_path / "both.pem"
    both.write_bytes(certificate.read_bytes() + key.read_bytes())
    assert ServerCertificate.of(TlsSettings(cert_file=both)) is not None

    with pytest.raises(ConfigError, match="KEY_FILE needs PACELINE_TLS__CERT_FILE"):
        ServerCertificate.of(TlsSettings(key_file=key))
    with pytest.raises(ConfigError, match=r"none\.pem: no such file"):
        ServerCertificate.of(TlsSettings(cert_file=tmp_path / "none.pem", key_file=key))
    key.write_bytes(authority.issue(["localhost"])[1])
    with pytest.raises(ConfigError, match="the key does not belong to the certificate"):
        ServerCertificate.of(TlsSettings(cert_file=certificate, key_file=key))
    require_certificate(TlsSettings(), [])
    with pytest.raises(ConfigError, match="listener 'x': TLS needs a certificate"):
        require_certificate(TlsSettings(), ["listener 'x'"])
