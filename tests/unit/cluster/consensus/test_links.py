"""Streams between participants: order, who may speak for whom, what breaks and what is bounded."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from typing import Any

import grpc
import grpc.aio
import pytest
import pytest_asyncio

from cluster.consensus import links as module
from cluster.consensus.core.configuration import Configuration
from cluster.consensus.core.messages import AppendRequest, Entry, Kind, Message, SnapshotPiece
from cluster.consensus.forwarding import Forward, Forwarded, Letter
from cluster.consensus.founding import Answer, Introduction
from cluster.consensus.interface import Peer
from cluster.consensus.links import (
    ADDRESS_KEY,
    DISK_KEY,
    METHOD,
    ConsensusServicer,
    GrpcLinks,
)
from cluster.consensus.wire import encode
from cluster.transport.member_certificates import MemberCertificate, channel_options
from tests.support.waiting import until

SECRET = secrets.token_hex(32)
METADATA = ((DISK_KEY, "b:1"), (ADDRESS_KEY, "there:2"))
NAMES = {"n1": "a:1", "n2": "b:1"}


def said(n: int, source: str = "b:1", data: bytes = b"x") -> Forward:
    return Forward(source, "a:1", n, data)


class Ends:
    """n1 listens; n2 speaks."""

    def __init__(self) -> None:
        self.received: list[Letter] = []
        self.resets: list[str] = []
        self.channels = 0
        self.messages = 0
        self.port: int | None = None
        self.hold = asyncio.Event()
        self.hold.set()
        self.certificates = {node: MemberCertificate(SECRET, "c", node) for node in NAMES}
        self.server: grpc.aio.Server
        self.met: list[tuple[str, Peer]] = []
        self.links = GrpcLinks(self.open, self.resets.append, "b:1", "there:2")

    async def listen(self) -> None:
        ends = self

        class Counting(ConsensusServicer):
            def _take(self, node: str, disk: str, data: bytes) -> None:
                ends.messages += 1
                super()._take(node, disk, data)

            async def _send(self, requests: AsyncIterator[bytes], context: Any) -> bytes:
                async def held() -> AsyncIterator[bytes]:
                    async for data in requests:
                        await ends.hold.wait()
                        yield data

                return await super()._send(held(), context)

        self.server = grpc.aio.server()
        servicer = Counting(self.received.append, self.meet, self.introduced)
        self.server.add_generic_rpc_handlers((servicer,))
        credentials = self.certificates["n1"].server_credentials()
        self.port = self.server.add_secure_port("127.0.0.1:0", credentials)
        await self.server.start()

    def meet(self, node: str, peer: Peer) -> bool:
        self.met.append((node, peer))
        return NAMES.get(node) == peer.disk

    def introduced(self, other: Introduction) -> Answer:
        raise AssertionError(f"{other.node} has a log")

    def open(self, name: str) -> grpc.aio.Channel | None:
        assert name == "a:1"
        self.channels += 1
        return None if self.port is None else self.channel("n2")

    def channel(self, node: str) -> grpc.aio.Channel:
        return grpc.aio.secure_channel(
            f"127.0.0.1:{self.port}",
            self.certificates[node].channel_credentials(),
            options=channel_options("n1"),
        )

    async def close(self) -> None:
        self.hold.set()
        await self.links.aclose()
        if self.port is not None:
            await self.server.stop(None)


@pytest_asyncio.fixture
async def ends() -> AsyncIterator[Ends]:
    made = Ends()
    await made.listen()
    yield made
    await made.close()


async def test_letters_keep_their_order_and_go_together(ends: Ends) -> None:
    for n in range(2_000):
        ends.links.send(said(n))
    await until(lambda: len(ends.received) == 2_000, "all have arrived")
    assert [letter.request for letter in ends.received if isinstance(letter, Forward)] == [
        *range(2_000)
    ]
    assert ends.messages < 20
    assert ends.channels == 1


async def test_one_message_has_not_much_more_than_so_much(
    ends: Ends, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MESSAGE_BYTES_MAX", 1_000)
    for n in range(50):
        ends.links.send(said(n, data=b"x" * 300))
    await until(lambda: len(ends.received) == 50, "all have arrived")
    assert ends.messages >= 50 * 300 / 1_000


async def test_what_waits_is_bounded(ends: Ends, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WAITING_BYTES_MAX", 10_000)
    ends.links.send(said(0))
    await until(lambda: ends.received, "the stream is there")
    for n in range(1, 1_000):
        ends.links.send(said(n, data=b"x" * 1_000))
    ends.links.send(said(5_000, data=b"x" * 1_000))
    await until(lambda: len(ends.received) > 5, "what waited has arrived")
    ends.links.send(said(9_999))
    await until(lambda: ends.received[-1] == said(9_999), "the stream goes on")
    assert len(ends.received) < 15


async def test_nobody_speaks_for_another_one(ends: Ends) -> None:
    ends.links.send(said(1, source="c:1"))
    await until(lambda: ends.resets, "the stream was ended")
    assert not ends.received
    ends.links.send(said(2))
    await until(lambda: ends.received, "another one is opened")
    assert ends.received == [said(2)]


async def test_one_without_a_node_speaks_for_nobody(
    ends: Ends, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(NAMES, "n2")
    ends.links.send(said(1))
    await until(lambda: ends.resets, "the stream was ended")
    assert not ends.received


async def test_a_node_that_is_known_with_another_disk_is_not_heard(ends: Ends) -> None:
    async with ends.channel("n2") as channel:
        call = channel.stream_unary(METHOD)(metadata=((DISK_KEY, "emptied"), (ADDRESS_KEY, "x:1")))
        assert await call.code() == grpc.StatusCode.PERMISSION_DENIED
        call = channel.stream_unary(METHOD)()
        assert await call.code() == grpc.StatusCode.PERMISSION_DENIED
    assert ends.met == [("n2", Peer("x:1", "emptied"))]


async def test_a_stream_says_whose_it_is_and_where_to_answer(ends: Ends) -> None:
    ends.links.send(said(1))
    await until(lambda: ends.received, "the stream is there")
    assert ends.met == [("n2", Peer("there:2", "b:1"))]


async def test_a_server_that_ends_is_a_reset(ends: Ends) -> None:
    ends.links.send(said(1))
    await until(lambda: ends.received, "the stream is there")
    await ends.server.stop(None)
    await until(lambda: ends.resets == ["a:1"], "the reset is noticed, though nothing is sent")
    await ends.listen()
    sent = 0

    def arrives() -> bool:
        nonlocal sent
        sent += 1
        ends.links.send(said(100 + sent))
        return len(ends.received) > 1

    await until(arrives, "the next server is found")


async def test_what_nobody_listens_to_is_lost_and_no_reset(ends: Ends) -> None:
    await ends.server.stop(None)
    ends.port = None
    for n in range(3):
        ends.links.send(said(n))
    await until(lambda: ends.channels >= 1, "it was tried")
    before = ends.channels
    ends.links.send(said(4))
    await until(lambda: ends.channels > before or not ends.links._ways["a:1"]._letters, "gone")
    assert not ends.resets


async def test_a_stream_that_begins_ends_the_one_before(ends: Ends) -> None:
    ends.links.send(said(1))
    await until(lambda: ends.received, "the stream is there")
    ends.hold.clear()
    ends.links.send(said(2))
    await asyncio.sleep(0)
    async with ends.channel("n2") as channel:
        call = channel.stream_unary(METHOD)(metadata=METADATA)
        await call.initial_metadata()
        ends.hold.set()
        await call.write(encode([said(3)]))
        await until(lambda: ends.received[-1] == said(3), "the newer stream is read")
    assert said(2) not in ends.received


async def test_other_bytes_end_the_stream(ends: Ends) -> None:
    async with ends.channel("n2") as channel:
        call = channel.stream_unary(METHOD)(metadata=METADATA)
        await call.write(b"\xff\xff\xff")
        assert await call.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert not ends.received


async def test_streams_to_those_that_take_no_part_are_ended(ends: Ends) -> None:
    ends.links.send(said(1))
    await until(lambda: ends.received, "the stream is there")
    way = ends.links._ways["a:1"]
    ends.links.keep({"c:1"})
    await until(way._task.done, "it has ended")
    ends.links.send(said(2))
    await until(lambda: len(ends.received) == 2, "it is opened anew if needed")


def test_what_letters_hold_counts() -> None:
    entries = (Entry(1, 1, Kind.COMMAND, b"x" * 1_000),)
    for letter in (
        said(1, data=b"x" * 1_000),
        Message("b:1", "a:1", 1, 1, AppendRequest(0, 0, entries, 0)),
        Message("b:1", "a:1", 1, 1, SnapshotPiece(1, 1, Configuration(), 1_000, 0, b"x" * 1_000)),
    ):
        assert 1_000 <= module._size(letter) < 1_200
    assert module._size(Forwarded("a:1", "b:1", 1, 2, 3)) < 200
