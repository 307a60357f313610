"""Nodes know each other by certificates that only holders of the cluster's secret can make."""

from __future__ import annotations

import asyncio
import base64
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest
from cryptography import x509

from cluster.transport import member_certificates as module
from cluster.transport.member_certificates import (
    ANY_NODE,
    DISCOVERY,
    LIFE,
    OVERDUE,
    RENEW,
    MemberCertificate,
    channel_options,
    check_secret,
    is_discovery,
    peer_name,
    sign,
)
from cluster.transport.member_channels import MemberChannels
from paceline.clock import wall_time
from paceline.errors import ConfigError
from tests.support.waiting import until

SECRET = base64.b64encode(bytes(range(32))).decode()
OTHER = base64.b64encode(bytes(range(1, 33))).decode()
METHOD = "/test.Echo/Who"
TIMEOUT_S = 10.0


class Who(grpc.GenericRpcHandler):
    """Says which node calls."""

    def service(self, details: Any) -> Any:
        async def who(request: bytes, context: Any) -> bytes:
            return (peer_name(context.auth_context()) or "nobody").encode()

        return grpc.unary_unary_rpc_method_handler(who) if details.method == METHOD else None


@asynccontextmanager
async def served(certificate: MemberCertificate) -> AsyncIterator[str]:
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((Who(),))
    port = server.add_secure_port("127.0.0.1:0", certificate.server_credentials())
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(None)


async def who(address: str, credentials: grpc.ChannelCredentials | None, server: str = "n1") -> str:
    if credentials is None:
        channel = grpc.aio.insecure_channel(address)
    else:
        channel = grpc.aio.secure_channel(address, credentials, options=channel_options(server))
    async with channel:
        call = channel.unary_unary(METHOD)
        answer: bytes = await call(b"", timeout=TIMEOUT_S)
        return answer.decode()


def member(node_id: str = "n2", secret: str = SECRET, cluster: str = "c") -> MemberCertificate:
    return MemberCertificate(secret, cluster, node_id)


async def test_both_ends_know_each_other() -> None:
    async with served(member("n1")) as address:
        assert await who(address, member("n2").channel_credentials()) == "n2"


async def test_an_answer_comes_from_the_node_that_was_meant() -> None:
    async with served(member("n3")) as address:
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await who(address, member("n2").channel_credentials(), "n1")
    assert error.value.code() == grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize(
    "stranger",
    [
        lambda: member(secret=OTHER).channel_credentials(),
        lambda: member(cluster="d").channel_credentials(),
        lambda: grpc.ssl_channel_credentials(member().pair.authority),
        lambda: None,
    ],
    ids=["another secret", "another cluster", "no certificate", "no TLS"],
)
async def test_strangers_get_no_answer(
    stranger: Callable[[], grpc.ChannelCredentials | None],
) -> None:
    async with served(member("n1")) as address:
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await who(address, stranger())
    assert error.value.code() == grpc.StatusCode.UNAVAILABLE


async def test_a_stranger_is_not_called() -> None:
    async with served(member("n1", secret=OTHER)) as address:
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await who(address, member().channel_credentials())
    assert error.value.code() == grpc.StatusCode.UNAVAILABLE


async def test_a_new_certificate_is_used_without_a_restart() -> None:
    times = [datetime.now(UTC).timestamp() - 3 * LIFE.total_seconds()]
    certificate = MemberCertificate(SECRET, "c", "n1", lambda: times[0])
    async with served(certificate) as address:
        with pytest.raises(grpc.aio.AioRpcError):  # over for long
            await who(address, member().channel_credentials())
        times[0] = datetime.now(UTC).timestamp()
        assert await who(address, member().channel_credentials()) == "n2"


async def test_connections_outlive_the_certificates_that_they_were_made_with() -> None:
    """Both ends have certificates that end in a moment, and are renewed later, by their clock."""
    real = wall_time
    behind_s = [(LIFE - timedelta(seconds=2)).total_seconds()]
    ends = real() + 2

    def clock() -> float:
        return real() - behind_s[0]

    shown = {node_id: MemberCertificate(SECRET, "c", node_id, clock) for node_id in ("n1", "n2")}
    async with served(shown["n1"]) as address:
        channels = MemberChannels(shown["n2"])
        old = channels.open(address, "n1", use="replication")
        call = old.unary_unary(METHOD)
        assert await call(b"", timeout=TIMEOUT_S) == b"n2"
        pair = channels.pair
        await until(lambda: real() > ends, "they are over")
        assert await call(b"", timeout=TIMEOUT_S) == b"n2"
        # Without a renewal nobody new comes in.
        assert await code_of(channels, address) == grpc.StatusCode.UNAVAILABLE
        behind_s[0] = 0
        assert channels.pair is not pair
        assert await code_of(channels, address) == grpc.StatusCode.OK
        assert await call(b"", timeout=TIMEOUT_S) == b"n2"
        await old.close(None)


async def code_of(channels: MemberChannels, address: str) -> grpc.StatusCode:
    async with channels.open(address, "n1", use="replication") as channel:
        return await channel.unary_unary(METHOD)(b"", timeout=TIMEOUT_S).code()


def test_a_renewal_that_fails_is_told_and_tried_again(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    times = [1e9]
    certificate = MemberCertificate(SECRET, "c", "n1", lambda: times[0])
    ((name, _, left_s),) = certificate.gauges()
    assert name == "member_certificate_expires_in_seconds"
    assert left_s() == LIFE.total_seconds()

    def broken(*_: Any) -> None:
        raise OSError("no entropy")

    with monkeypatch.context() as patched:
        patched.setattr(module, "sign", broken)
        times[0] += (LIFE - OVERDUE).total_seconds() - 1
        certificate.check()
        assert "made anew long ago" not in capsys.readouterr().out
        times[0] += 2
        certificate.check()
        told = capsys.readouterr().out
        assert "made anew long ago" in told
        assert "no entropy" in told
        assert certificate.as_dict()["problem"] == "no entropy"
        assert left_s() == OVERDUE.total_seconds() - 1
    certificate.check()
    assert "made anew" not in capsys.readouterr().out
    assert certificate.as_dict()["problem"] is None
    assert left_s() == LIFE.total_seconds()


async def test_it_is_made_anew_though_nobody_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHECK_S", 0.001)
    times = [1e9]
    certificate = MemberCertificate(SECRET, "c", "n1", lambda: times[0])
    watching = asyncio.create_task(certificate.watch())
    first = certificate._pair
    times[0] += LIFE.total_seconds()
    await until(lambda: certificate._pair is not first, "it is renewed")
    watching.cancel()
    await asyncio.wait([watching])


def test_a_certificate_says_what_its_program_is() -> None:
    def named(*names: str) -> dict[str, list[bytes]]:
        return {"x509_subject_alternative_name": [name.encode() for name in names]}

    assert peer_name(named("n1", ANY_NODE)) == "n1"
    assert peer_name(named(ANY_NODE, "n1")) == "n1"
    for other in ((), ("n1",), (DISCOVERY,), (ANY_NODE,), ("n1", "n2"), ("n1", "n2", ANY_NODE)):
        assert peer_name(named(*other)) is None
    assert is_discovery(named(DISCOVERY))
    for other in ((), ("n1", ANY_NODE), (DISCOVERY, ANY_NODE), ("n1",)):
        assert not is_discovery(named(*other))


@pytest.mark.parametrize("node_id", [DISCOVERY, ANY_NODE, "Discovery", "MEMBER", "*.a", "n*"])
def test_no_node_has_a_name_that_means_something_else(node_id: str) -> None:
    with pytest.raises(ConfigError, match="PACELINE_NODE_ID"):
        MemberCertificate(SECRET, "c", node_id)


def test_it_is_made_anew_before_its_end() -> None:
    times = [1e9]
    certificate = MemberCertificate(SECRET, "c", "n1", lambda: times[0])
    first = certificate.pair
    times[0] += (LIFE - RENEW).total_seconds() - 1
    assert certificate.pair is first
    times[0] += 2
    assert certificate.pair is not first
    assert certificate.pair.not_after > first.not_after
    assert certificate.pair.key != first.key


def test_a_certificate_names_its_node_alone_and_signs_nothing() -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    certificate = x509.load_pem_x509_certificate(sign(SECRET, "c", ("n1",), now).chain)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [name.value for name in names] == ["n1"]
    constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
    assert not constraints.ca
    assert certificate.not_valid_before_utc < now
    assert certificate.not_valid_after_utc - now <= timedelta(days=30)


def test_the_authority_is_the_same_on_all_nodes_and_another_one_in_each_cluster() -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)

    def key(secret: str, cluster: str, node: str) -> Any:
        authority = x509.load_pem_x509_certificate(sign(secret, cluster, (node,), now).authority)
        return authority.public_key().public_numbers()  # type: ignore[union-attr]

    assert key(SECRET, "c", "n1") == key(SECRET, "c", "n2")
    assert key(SECRET, "c", "n1") != key(SECRET, "d", "n1")
    assert key(SECRET, "c", "n1") != key(OTHER, "c", "n1")


@pytest.mark.parametrize("secret", ["", "a", "a" * 64, "ab" * 40, "correct horse battery staple"])
def test_a_secret_that_could_be_guessed_is_refused(secret: str) -> None:
    with pytest.raises(ConfigError, match="at least 32 random bytes") as error:
        MemberCertificate(secret, "c", "n1")
    assert not secret or len(secret) == 1 or secret not in str(error.value)


def test_random_secrets_are_accepted() -> None:
    for _ in range(500):
        data = secrets.token_bytes(32)
        for spelled in (data.hex(), base64.b64encode(data).decode(), secrets.token_urlsafe(32)):
            check_secret(spelled)


def test_an_id_that_no_certificate_can_have_is_refused() -> None:
    with pytest.raises(ConfigError, match="no certificate can have the name"):
        MemberCertificate(SECRET, "c", "nöde")
