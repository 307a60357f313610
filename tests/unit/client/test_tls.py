"""Whom a client trusts, for which name, and what it says when a handshake fails."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from cluster.settings import Listener
from cluster.transport.dax_server import ConnectionInfo, DaxServer
from cluster.transport.tls import ServerCertificate
from paceline.client.aio import pool as pools
from paceline.client.aio.pool import Pool
from paceline.client.core.commands import Broken
from paceline.client.core.retry import NoAnswer
from paceline.client.core.seeds import parse_seeds
from paceline.client.roster.feed import RosterFeed
from paceline.client.sync.connection import BlockingConnection
from paceline.client.tls import Tls, make_tls
from paceline.dax.connection import ErrorReply
from paceline.dax.request_types import Endpoints, Request
from paceline.errors import ConfigError, RequestError
from tests.support.certificates import Authority, write_pair

SECURE = parse_seeds("daxs://localhost,other.example:2")
DEADLINE_S = 10.0


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority.new()


@pytest.fixture
def ca(tmp_path: Path, authority: Authority) -> Path:
    path = tmp_path / "ca.pem"
    path.write_bytes(authority.pem)
    return path


def trusting(ca: Path, seeds: str = "daxs://localhost") -> Tls:
    made = make_tls(parse_seeds(seeds), ca, environment={})
    assert made is not None
    return made


def test_plain_endpoints_have_none(ca: Path) -> None:
    assert make_tls(parse_seeds("dax://h"), ca, environment={"AWS_CA_BUNDLE": "nowhere"}) is None


def test_authorities_are_an_argument_or_in_the_environment(ca: Path, tmp_path: Path) -> None:
    ways = [
        make_tls(SECURE, ca, environment={"AWS_CA_BUNDLE": "nowhere"}),
        make_tls(SECURE, str(ca), environment={}),
        make_tls(SECURE, True, ca, environment={}),
        make_tls(SECURE, None, None, environment={"AWS_CA_BUNDLE": str(ca)}),
    ]
    for tls in ways:
        assert tls is not None
        assert [tls.context.verify_mode, tls.context.check_hostname] == [ssl.CERT_REQUIRED, True]
        assert (tls.name, tls.roots, tls.grpc) == ("localhost", ca.read_bytes(), True)
        assert len(tls.context.get_ca_certs()) == 1
        assert tls.context.minimum_version == ssl.TLSVersion.TLSv1_2
    with pytest.raises(ConfigError, match=r"none\.pem cannot be used as authorities"):
        make_tls(SECURE, tmp_path / "none.pem")
    (tmp_path / "none.pem").write_text("no PEM\n")
    with pytest.raises(ConfigError, match="AWS_CA_BUNDLE"):
        make_tls(SECURE, environment={"AWS_CA_BUNDLE": str(tmp_path / "none.pem")})


def test_the_system_is_trusted_by_default(ca: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(ca))
    tls = make_tls(SECURE, environment={})
    assert tls is not None
    assert tls.roots == ca.read_bytes()
    assert tls.context.verify_mode is ssl.CERT_REQUIRED


def test_checks_are_left_out_only_when_asked(ca: Path, tmp_path: Path) -> None:
    without = make_tls(SECURE, False, ca, environment={"AWS_CA_BUNDLE": "nowhere"})
    assert without is not None
    assert (without.context.verify_mode, without.grpc) == (ssl.CERT_NONE, False)
    any_name = make_tls(SECURE, ca, skip_hostname_verification=True, environment={})
    assert any_name is not None
    assert any_name.context.verify_mode is ssl.CERT_REQUIRED
    assert not any_name.context.check_hostname
    directory = make_tls(SECURE, tmp_path, environment={})
    assert directory is not None
    assert not directory.grpc
    for verify, any_name_will_do in ((False, False), (None, True)):
        with pytest.raises(ConfigError, match=r"paceline\+tls://h:9112: gRPC cannot leave out"):
            make_tls(parse_seeds("paceline+tls://h"), verify, None, any_name_will_do, {})


# -- handshakes --------------------------------------------------------------------------------


class Refusing:
    def fast(self, data: bytes) -> bytes | None:
        return None

    async def handle(self, request: Request, peer: ConnectionInfo) -> bytes:
        raise RequestError("ValidationException", "nothing is answered here")


@pytest_asyncio.fixture
async def server(tmp_path: Path, authority: Authority) -> AsyncIterator[dict[str, int]]:
    """Ports of a listener without TLS and of one with."""
    certificate = ServerCertificate(*write_pair(tmp_path, authority, "localhost"))
    server = DaxServer(Refusing(), connections_max=100)
    listeners = [
        Listener(name="plain", bind="127.0.0.1:0"),
        Listener(name="secure", bind="127.0.0.1:0", tls=True),
    ]
    await server.start(listeners, certificate.context())
    yield {name: port for name, (_, port) in server.addresses.items()}
    await server.abort()


@pytest.fixture
def silent() -> Iterator[int]:
    """A port that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield int(listening.getsockname()[1])


async def ask(port: int, tls: Tls | None, *, blocking: bool, connect_s: float = DEADLINE_S) -> bool:
    """Whether a node answered; ``Broken``."""
    if blocking:

        def exchange() -> bool:
            connection = BlockingConnection("127.0.0.1", port, connect_s, tls)
            try:
                for _ in range(2):
                    assert connection.usable
                    assert type(connection.exchange(Endpoints(), DEADLINE_S)) is ErrorReply
            finally:
                connection.close()
            return True

        return await asyncio.to_thread(exchange)
    pool = Pool("127.0.0.1", port, 2, connect_s, tls)
    try:
        connection = await pool.take(connect_s)
        async with asyncio.timeout(DEADLINE_S):
            for _ in range(2):
                assert connection.usable
                assert type(await connection.exchange(Endpoints())) is ErrorReply
        return True
    finally:
        await pool.close()


@pytest.mark.parametrize("blocking", [True, False])
async def test_names_and_authorities_are_checked(
    server: dict[str, int], ca: Path, tmp_path: Path, blocking: bool
) -> None:
    port = server["secure"]
    assert await ask(port, trusting(ca), blocking=blocking)
    other = tmp_path / "other.pem"
    other.write_bytes(Authority.new("Somebody else").pem)
    for wrong, says in (
        (trusting(other), "not to be trusted, .*: verify= or AWS_CA_BUNDLE"),
        (trusting(ca, "daxs://example.com"), "not valid for 'example.com'"),
    ):
        with pytest.raises(Broken, match=says) as caught:
            await ask(port, wrong, blocking=blocking)
        assert caught.value.how is NoAnswer.NOT_HANDED_OVER
    unchecked = make_tls(SECURE, False)
    assert await ask(port, unchecked, blocking=blocking)
    any_name = make_tls(
        parse_seeds("daxs://example.com"), ca, skip_hostname_verification=True, environment={}
    )
    assert await ask(port, any_name, blocking=blocking)


@pytest.mark.parametrize("blocking", [True, False])
async def test_the_wrong_kind_of_port_says_so(
    server: dict[str, int], ca: Path, blocking: bool
) -> None:
    with pytest.raises(Broken, match="ended the handshake, as ports without TLS do") as caught:
        await ask(server["plain"], trusting(ca), blocking=blocking)
    assert caught.value.how is NoAnswer.NOT_HANDED_OVER
    with pytest.raises(Broken, match=r"closed the connection|speaks TLS on this port"):
        await ask(server["secure"], None, blocking=blocking)


async def test_the_feed_says_which_kind_of_port_it_may_be(server: dict[str, int]) -> None:
    said: asyncio.Queue[str] = asyncio.Queue()
    seeds = parse_seeds(f"dax://127.0.0.1:{server['secure']}")
    feed = RosterFeed(seeds, lambda roster: None, said.put_nowait, poll_s=1.0)
    running = asyncio.create_task(feed.run())
    async with asyncio.timeout(DEADLINE_S):
        assert "for daxs://" in await said.get()
    running.cancel()
    await asyncio.wait([running])


@pytest.mark.parametrize("blocking", [True, False])
async def test_a_handshake_is_given_up(silent: int, ca: Path, blocking: bool) -> None:
    with pytest.raises(Broken, match="cannot be reached") as caught:
        await ask(silent, trusting(ca), blocking=blocking, connect_s=0.2)
    assert caught.value.how is NoAnswer.NOT_HANDED_OVER


async def test_a_burst_shakes_few_hands_at_a_time(
    server: dict[str, int], ca: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pools, "OPENING_MAX", 2)
    pool = Pool("127.0.0.1", server["secure"], 6, DEADLINE_S, trusting(ca))
    most = 0

    async def one() -> None:
        nonlocal most
        connection = await pool.take(DEADLINE_S)
        most = max(most, pool._opening)
        await connection.exchange(Endpoints())
        pool.give_back(connection)

    async with asyncio.timeout(DEADLINE_S):
        await asyncio.gather(*(one() for _ in range(40)))
    assert most <= 2
    assert 2 <= len(pool.connections) <= 6
    await pool.close()
