"""Nodes know each other by certificates that only holders of the cluster's secret can make."""

from __future__ import annotations

import base64
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest
from cryptography import x509

from cluster.transport.member_certificates import (
    LIFE,
    RENEW,
    MemberCertificate,
    channel_options,
    check_secret,
    peer_name,
    sign,
)
from paceline.errors import ConfigError

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
    certificate = x509.load_pem_x509_certificate(sign(SECRET, "c", "n1", now).chain)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [name.value for name in names] == ["n1"]
    constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
    assert not constraints.ca
    assert certificate.not_valid_before_utc < now
    assert certificate.not_valid_after_utc - now <= timedelta(days=30)


def test_the_authority_is_the_same_on_all_nodes_and_another_one_in_each_cluster() -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)

    def key(secret: str, cluster: str, node: str) -> Any:
        authority = x509.load_pem_x509_certificate(sign(secret, cluster, node, now).authority)
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
