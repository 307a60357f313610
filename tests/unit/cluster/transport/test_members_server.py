"""The port of members: who gets in, what each may call, and how it stops."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import grpc
import pytest

from cluster.roster.servicer import SERVICE as FEED
from cluster.transport import members_server as module
from cluster.transport.grpc_limits import REQUEST_BYTES_MAX
from cluster.transport.member_certificates import MemberCertificate, peer_name
from cluster.transport.members_server import RECEIVED_BYTES_MAX, SENT_BYTES_MAX, MembersServer
from paceline.errors import ConfigError
from tests.support.grpc_channels import (
    OTHER_SECRET,
    SECRET,
    channels_of,
    discovery,
    member,
    members_server,
    serving_members,
)
from tests.support.waiting import until

DEADLINE_S = 10.0
WORK = "test.Work"
DENIED = grpc.StatusCode.PERMISSION_DENIED


class Service:
    def __init__(self) -> None:
        self.callers: list[str | None] = []
        self.go_on = asyncio.Event()
        self.go_on.set()

    def _called(self, context: Any) -> None:
        self.callers.append(peer_name(context.auth_context()))

    async def echo(self, request: bytes, context: Any) -> bytes:
        self._called(context)
        await self.go_on.wait()
        return request

    async def both(self, requests: Any, context: Any) -> AsyncIterator[bytes]:
        self._called(context)
        async for request in requests:
            yield request

    async def written(self, request: bytes, context: Any) -> None:
        self._called(context)
        await context.write(request)

    async def collect(self, requests: Any, context: Any) -> bytes:
        self._called(context)
        return b"".join([request async for request in requests])

    def add(self, server: Any) -> None:
        handlers = {
            "Echo": grpc.unary_unary_rpc_method_handler(self.echo),
            "Both": grpc.stream_stream_rpc_method_handler(self.both),
            "Written": grpc.unary_stream_rpc_method_handler(self.written),
            "Collect": grpc.stream_unary_rpc_method_handler(self.collect),
        }
        for service in (WORK, FEED):
            server.add_generic_rpc_handlers(
                [grpc.method_handlers_generic_handler(service, handlers)]
            )


async def every_kind(channel: Any, service: str) -> None:
    """A call of each kind, which gives back what it is given."""
    path = f"/{service}/"
    assert await channel.unary_unary(path + "Echo")(b"a", timeout=DEADLINE_S) == b"a"
    both = channel.stream_stream(path + "Both")(iter([b"b", b"c"]), timeout=DEADLINE_S)
    assert [message async for message in both] == [b"b", b"c"]
    written = channel.unary_stream(path + "Written")(b"d", timeout=DEADLINE_S)
    assert [message async for message in written] == [b"d"]
    collected = channel.stream_unary(path + "Collect")(iter([b"e", b"f"]), timeout=DEADLINE_S)
    assert await collected == b"ef"


async def refusals(channel: Any, service: str) -> list[grpc.StatusCode]:
    path = f"/{service}/"
    codes: list[grpc.StatusCode] = []
    for call in (
        channel.unary_unary(path + "Echo")(b"a", timeout=DEADLINE_S),
        channel.stream_stream(path + "Both")(iter([b"b"]), timeout=DEADLINE_S),
        channel.unary_stream(path + "Written")(b"d", timeout=DEADLINE_S),
        channel.stream_unary(path + "Collect")(iter([b"e"]), timeout=DEADLINE_S),
    ):
        codes.append(await call.code())
    return codes


async def test_a_node_may_call_everything_and_is_the_one_that_its_certificate_names() -> None:
    service = Service()
    async with (
        serving_members("n1", service.add) as address,
        channels_of(member("n2")).open(address, "n1", use="replication") as channel,
    ):
        for name in (WORK, FEED):
            await every_kind(channel, name)
    assert service.callers == ["n2"] * 8


async def test_discovery_may_follow_the_roster_and_nothing_else() -> None:
    service = Service()
    async with (
        serving_members("n1", service.add) as address,
        channels_of(discovery()).open(address, use="roster") as channel,
    ):
        await every_kind(channel, FEED)
        service.callers.clear()
        assert await refusals(channel, WORK) == [DENIED] * 4
        assert await refusals(channel, "test.Unknown") == [grpc.StatusCode.UNIMPLEMENTED] * 4
    assert service.callers == []


async def test_discovery_is_no_node_to_be_called() -> None:
    server = MembersServer(discovery(), "127.0.0.1:0")
    address = await server.start()
    try:
        for node_id in ("n1", "member"):
            channel = channels_of(member("n2")).open(address, node_id, use="replication")
            async with channel:
                call = channel.unary_unary(f"/{WORK}/Echo")(b"", timeout=DEADLINE_S)
                assert await call.code() == grpc.StatusCode.UNAVAILABLE
    finally:
        await server.stop()


async def test_a_node_is_believed_to_be_no_other_one() -> None:
    service = Service()
    async with (
        serving_members("n3", service.add) as address,
        channels_of(member("n2")).open(address, "n1", use="replication") as channel,
    ):
        call = channel.unary_unary(f"/{WORK}/Echo")(b"", timeout=DEADLINE_S)
        assert await call.code() == grpc.StatusCode.UNAVAILABLE
    assert service.callers == []


def hostile_bytes(host: str, port: int, files: Path) -> bytes:
    with socket.create_connection((host, port), DEADLINE_S) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\n\r\n" * 1000)
        return received(sock)


def plain_http2(host: str, port: int, files: Path) -> bytes:
    with socket.create_connection((host, port), DEADLINE_S) as sock:
        sock.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0]))
        return received(sock)


def tls_without_certificate(host: str, port: int, files: Path) -> bytes:
    return by_tls(host, port, None, files)


def of_another_cluster(host: str, port: int, files: Path) -> bytes:
    return by_tls(host, port, MemberCertificate(SECRET, "another", "n2"), files)


def with_another_secret(host: str, port: int, files: Path) -> bytes:
    return by_tls(host, port, member("n2", secret=OTHER_SECRET), files)


def received(sock: socket.socket) -> bytes:
    """All that comes until the other side has had enough."""
    data = b""
    with contextlib.suppress(OSError):
        while more := sock.recv(4096):
            data += more
    return data


def by_tls(host: str, port: int, shown: MemberCertificate | None, files: Path) -> bytes:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    if shown is not None:
        file = files / "pair.pem"
        file.write_bytes(shown.pair.key + shown.pair.chain)
        context.load_cert_chain(file)
    with socket.create_connection((host, port), DEADLINE_S) as sock:
        try:
            with context.wrap_socket(sock) as secure:
                secure.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
                return received(secure)
        except OSError:
            return b""


STRANGERS: list[Callable[[str, int, Path], bytes]] = [
    hostile_bytes,
    plain_http2,
    tls_without_certificate,
    of_another_cluster,
    with_another_secret,
]


@pytest.mark.parametrize("stranger", STRANGERS)
async def test_strangers_hear_nothing_of_http2_and_are_told_of_nowhere(
    stranger: Callable[[str, int, Path], bytes],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    service = Service()
    async with serving_members("n1", service.add) as address:
        host, _, port = address.rpartition(":")
        for _ in range(5):
            heard = await asyncio.wait_for(
                asyncio.to_thread(stranger, host, int(port), tmp_path), DEADLINE_S
            )
            # At most TLS's own words: a handshake record's or an alert's.
            assert heard[:1] in (b"", b"\x15", b"\x16")
        # A member comes in beside them.
        async with channels_of(member("n2")).open(address, "n1", use="replication") as channel:
            await every_kind(channel, WORK)
    assert service.callers == ["n2"] * 4
    assert not caplog.records


async def test_one_that_says_nothing_is_sent_away(monkeypatch: pytest.MonkeyPatch) -> None:
    options = [o for o in module._OPTIONS if o[0] != "grpc.server_handshake_timeout_ms"]
    monkeypatch.setattr(module, "_OPTIONS", [*options, ("grpc.server_handshake_timeout_ms", 200)])
    async with serving_members("n1") as address:
        host, _, port = address.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        assert await asyncio.wait_for(reader.read(1), DEADLINE_S) == b""
        writer.close()


async def test_connections_have_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    options = [o for o in module._OPTIONS if o[0] != "grpc.max_allowed_incoming_connections"]
    bound = ("grpc.max_allowed_incoming_connections", 2)
    monkeypatch.setattr(module, "_OPTIONS", [*options, bound])
    async with serving_members("n1") as address:
        host, _, port = address.rpartition(":")
        both = [await asyncio.open_connection(host, int(port)) for _ in range(2)]
        reader, writer = await asyncio.open_connection(host, int(port))
        async with asyncio.timeout(module.HANDSHAKE_MS / 1000 * 0.75):
            assert await reader.read(1) == b""
        for _, one in (*both, (reader, writer)):
            one.close()


async def test_the_largest_write_of_a_client_fits_and_a_larger_message_is_refused() -> None:
    assert REQUEST_BYTES_MAX * 7 // 4 <= RECEIVED_BYTES_MAX <= SENT_BYTES_MAX
    service = Service()
    async with (
        serving_members("n1", service.add) as address,
        channels_of(member("n2")).open(address, "n1", use="replication") as channel,
    ):
        echo = channel.unary_unary(f"/{WORK}/Echo")
        assert len(await echo(bytes(RECEIVED_BYTES_MAX), timeout=30.0)) == RECEIVED_BYTES_MAX
        call = echo(bytes(RECEIVED_BYTES_MAX + 1), timeout=30.0)
        assert await call.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert len(service.callers) == 1


async def test_a_stop_waits_for_answers_and_ends_streams() -> None:
    service = Service()
    server = members_server("n1", service.add)
    address = await server.start()
    channel = channels_of(member("n2")).open(address, "n1", use="replication")
    stream: Any = channel.stream_stream(f"/{WORK}/Both")()
    await stream.write(b"a")
    assert await stream.read() == b"a"
    service.go_on.clear()
    call: Any = channel.unary_unary(f"/{WORK}/Echo")(b"b", timeout=DEADLINE_S)
    await until(lambda: len(service.callers) == 2, "the call has come")
    stopping = asyncio.ensure_future(server.stop())
    await asyncio.sleep(0)
    service.go_on.set()
    assert await call == b"b"
    await asyncio.wait_for(stopping, DEADLINE_S)
    with pytest.raises(grpc.aio.AioRpcError):
        await stream.read()
    await server.stop()  # once more, as when a start fails
    await channel.close(None)


async def test_a_stop_lets_answers_leave_that_their_handlers_have_returned() -> None:
    service = Service()
    service.go_on.clear()
    server = members_server("n1", service.add)
    address = await server.start()
    async with channels_of(member("n2")).open(address, "n1", use="replication") as channel:
        echo: Any = channel.unary_unary(f"/{WORK}/Echo")
        words = [b"%d" % number * 100_000 for number in range(8)]
        calls = [echo(word, timeout=DEADLINE_S) for word in words]
        await until(lambda: len(service.callers) == len(words), "the calls have come")
        stopping = asyncio.ensure_future(server.stop())
        await asyncio.sleep(0)
        service.go_on.set()
        assert await asyncio.gather(*calls) == words
        await asyncio.wait_for(stopping, DEADLINE_S)


async def test_a_stop_does_not_wait_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STOP_S", 0.05)
    service = Service()
    service.go_on.clear()
    server = members_server("n1", service.add)
    address = await server.start()
    async with channels_of(member("n2")).open(address, "n1", use="replication") as channel:
        call: Any = channel.unary_unary(f"/{WORK}/Echo")(b"b", timeout=DEADLINE_S)
        await until(lambda: service.callers, "the call has come")
        await asyncio.wait_for(server.stop(), DEADLINE_S)
        assert await call.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)


async def test_a_port_in_use_is_named() -> None:
    async with serving_members("n1") as address:
        with pytest.raises(ConfigError, match=f"{address} .PACELINE_MEMBERS_BIND.*in use"):
            await MembersServer(member("n2"), address).start()


async def test_a_dial_map_may_tell_uses_apart() -> None:
    service = Service()
    async with serving_members("n1", service.add) as address:
        mapped = {"replication/10.255.255.1:1": address, "10.255.255.2:1": address}
        channels = channels_of(member("n2"), mapped)
        for to in mapped:
            async with channels.open(to.removeprefix("replication/"), use="replication") as channel:
                await every_kind(channel, WORK)
        assert "consensus/10.255.255.1:1" not in mapped
        async with channels.open("127.0.0.1:1", use="consensus") as channel:
            call = channel.unary_unary(f"/{WORK}/Echo")(b"", timeout=DEADLINE_S)
            assert await call.code() == grpc.StatusCode.UNAVAILABLE
