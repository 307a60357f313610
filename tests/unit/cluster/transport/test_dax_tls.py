"""DAX over TLS: same server, same prober."""

import asyncio
import datetime
import ipaddress
import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from cluster.log.view import ClusterView, Member
from cluster.roster.endpoints import Health
from cluster.roster.live_roster import LiveRoster
from cluster.roster.prober import ENDPOINTS, PREAMBLE, Prober
from cluster.settings import Listener
from cluster.transport.dax_protocol import GOODBYE
from cluster.transport.dax_server import ConnectionInfo, DaxServer
from paceline.dax.errors import encode_error
from paceline.dax.family import Family
from paceline.dax.request_types import Request
from tests.support.rosters import whole_roster

DEADLINE_S = 10.0


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Key and self-signed certificate of 127.0.0.1 in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=5))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]),
            critical=False,
        )
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + made.public_bytes(serialization.Encoding.PEM)
    )
    return path


class RosterHandler:
    def __init__(self, live_roster: LiveRoster) -> None:
        self.live_roster = live_roster

    def fast(self, data: bytes) -> bytes | None:
        return None

    async def handle(self, request: Request, peer: ConnectionInfo) -> bytes:
        reply = self.live_roster.endpoints_reply(peer.listener, peer.family, tls=peer.tls)
        assert reply is not None
        return reply


async def test_tls_listener_tells_tls_addresses_and_is_probed(certificate: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    live_roster = LiveRoster()
    server = DaxServer(RosterHandler(live_roster), connections_max=10)
    await server.start(
        [
            Listener(name="plain", bind="127.0.0.1:0"),
            Listener(name="secure", bind="127.0.0.1:0", tls=True),
        ],
        context,
    )
    port = server.addresses["secure"][1]
    member = Member("n1", "a", "i", 1, {"dax-tls/secure": f"127.0.0.1:{port}"})
    live_roster.update_view(ClusterView("c", (member,), epoch=1))
    prober = Prober(live_roster.update_health)
    try:
        trusting = ssl.create_default_context(cafile=str(certificate))
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trusting)
        writer.write(PREAMBLE + ENDPOINTS)
        async with asyncio.timeout(DEADLINE_S):
            endpoints = whole_roster(await reader.read(1000))
        assert [(e.hostname, e.port) for e in endpoints] == [("n1", port)]

        prober.follow([member])
        async with asyncio.timeout(DEADLINE_S):
            while True:
                snapshot = live_roster.snapshot()
                assert snapshot is not None
                if snapshot.health.get("n1") is Health.ALIVE:
                    break
                await live_roster.changed_since(snapshot.revision)
        await prober.aclose()

        draining = asyncio.create_task(server.drain(DEADLINE_S))
        async with asyncio.timeout(DEADLINE_S):
            goodbye = encode_error(GOODBYE, client=Family.PACELINE, read=False)
            assert await reader.read() == goodbye
            writer.close()
            await draining
    finally:
        await prober.aclose()
        await server.abort()
