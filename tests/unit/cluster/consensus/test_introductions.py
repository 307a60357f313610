"""How nodes introduce themselves to each other: by certificates, and in words that are bounded."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from dataclasses import replace

import grpc
import grpc.aio
import pytest
import pytest_asyncio
from google.protobuf.message import DecodeError

from cluster.consensus import introductions as module
from cluster.consensus.founding import Answer, Introduction
from cluster.consensus.interface import Peer, Welcome
from cluster.consensus.introductions import FOUNDERS_MAX, METHOD, Introducer
from cluster.consensus.links import ConsensusServicer
from cluster.transport.member_certificates import MemberCertificate, channel_options
from paceline.v1 import consensus_pb2 as pb

SECRET = secrets.token_hex(32)
MINE = Introduction("n2", "d2", "c", ("n1", "n2"))
THEIRS = Introduction("n1", "d1", "c", ("n1", "n2"), {"n1": "d1"}, {"n1": "d1", "n2": "d2"})


class Ends:
    """n1 answers; n2 asks, if it is not ``asker``."""

    def __init__(self) -> None:
        self.heard: list[Introduction] = []
        self.says = Answer(THEIRS, Welcome(True, "why"))
        self.holds = asyncio.Event()
        self.asker, self.secret = "n2", SECRET
        self.raw: bytes | None = None
        self.opened: list[tuple[str, str]] = []
        self.channels: list[grpc.aio.Channel] = []
        self.introducer = Introducer(self.open)
        self.server: grpc.aio.Server
        self.port = 0

    async def listen(self) -> None:
        ends = self

        class Servicer(ConsensusServicer):
            async def _introduce(self, request: bytes, context: object) -> bytes:
                said = await super()._introduce(request, context)
                return said if ends.raw is None else ends.raw

        def meet(node: str, peer: Peer) -> bool:
            raise AssertionError("nothing is sent")

        def introduced(other: Introduction) -> Answer:
            self.heard.append(other)
            return self.says

        self.server = grpc.aio.server()
        self.server.add_generic_rpc_handlers((Servicer(meet, meet, introduced),))  # type: ignore[arg-type]
        certificate = MemberCertificate(SECRET, "c", "n1")
        self.port = self.server.add_secure_port("127.0.0.1:0", certificate.server_credentials())
        await self.server.start()

    def open(self, node: str, address: str) -> grpc.aio.Channel:
        self.opened.append((node, address))
        self.channels.append(self.channel())
        return self.channels[-1]

    def channel(self) -> grpc.aio.Channel:
        return grpc.aio.secure_channel(
            f"127.0.0.1:{self.port}",
            MemberCertificate(self.secret, "c", self.asker).channel_credentials(),
            options=channel_options("n1"),
        )


@pytest_asyncio.fixture
async def ends() -> AsyncIterator[Ends]:
    made = Ends()
    await made.listen()
    yield made
    await made.server.stop(None)


@pytest.mark.parametrize(
    "mine",
    [
        MINE,
        replace(MINE, promised={"n1": "d1", "n2": "d2"}),
        replace(MINE, promised={}, founded={}),
        replace(MINE, founded={"n9": "d9"}),
    ],
)
async def test_all_that_is_said_arrives(ends: Ends, mine: Introduction) -> None:
    answer = await ends.introducer.ask("n1", "there:1", mine)
    assert ends.heard == [mine]
    assert answer == ends.says
    assert ends.opened == [("n1", "there:1")]
    assert not ends.introducer.refused
    assert ends.channels[0].get_state() == grpc.ChannelConnectivity.SHUTDOWN


async def test_what_is_not_known_is_not_made_up(ends: Ends) -> None:
    ends.says = Answer(replace(THEIRS, promised=None, founded=None), Welcome())
    assert await ends.introducer.ask("n1", "there:1", MINE) == ends.says


async def test_nobody_introduces_another_one(ends: Ends) -> None:
    ends.asker = "n3"
    assert await ends.introducer.ask("n1", "there:1", MINE) is None
    assert not ends.heard
    async with ends.channel() as channel:
        call = channel.unary_unary(METHOD)(pb.Introduction(node="n2", disk="d").SerializeToString())
        assert await call.code() == grpc.StatusCode.PERMISSION_DENIED


async def test_nobody_answers_for_another_one(ends: Ends) -> None:
    ends.says = Answer(replace(THEIRS, node="n3"), Welcome(accepted=True))
    assert await ends.introducer.ask("n1", "there:1", MINE) is None


@pytest.mark.parametrize(
    "data",
    [
        b"\xff\xff",
        pb.Introduction(disk="d").SerializeToString(),
        pb.Introduction(node="n2").SerializeToString(),
        pb.Introduction(
            node="n2", disk="d", founders=[str(n) for n in range(FOUNDERS_MAX + 1)]
        ).SerializeToString(),
        pb.Introduction(
            node="n2",
            disk="d",
            founded=pb.Disks(by_node={str(n): "d" for n in range(FOUNDERS_MAX + 1)}),
        ).SerializeToString(),
    ],
)
async def test_what_is_no_introduction_is_refused(ends: Ends, data: bytes) -> None:
    async with ends.channel() as channel:
        call = channel.unary_unary(METHOD)(data)
        assert await call.code() == grpc.StatusCode.INVALID_ARGUMENT
        assert not ends.heard
    try:
        ends.raw = pb.IntroductionAnswer(
            introduction=pb.Introduction.FromString(data)
        ).SerializeToString()
    except DecodeError:
        ends.raw = data
    assert await ends.introducer.ask("n1", "there:1", MINE) is None
    assert not ends.introducer.refused


async def test_as_many_founders_as_may_be(ends: Ends) -> None:
    names = tuple(str(n) for n in range(FOUNDERS_MAX))
    mine = replace(MINE, founders=names, promised=dict.fromkeys(names, "d"))
    assert await ends.introducer.ask("n1", "there:1", mine) == ends.says
    assert ends.heard == [mine]


async def test_who_has_another_secret_is_named_until_it_answers(ends: Ends) -> None:
    ends.secret = secrets.token_hex(32)
    assert await ends.introducer.ask("n1", "there:1", MINE) is None
    assert ends.introducer.refused == {"n1"}
    ends.secret = SECRET
    assert await ends.introducer.ask("n1", "there:1", MINE) is not None
    assert not ends.introducer.refused
    ends.introducer.refused.add("n1")
    port, ends.port = ends.port, 1
    assert await ends.introducer.ask("n1", "there:1", MINE) is None
    assert not ends.introducer.refused, "that nobody listens is another matter"
    ends.port = port


async def test_who_says_nothing_is_not_waited_for(
    ends: Ends, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(*_: object) -> bytes:
        await asyncio.Event().wait()
        raise AssertionError

    monkeypatch.setattr(module, "ASK_S", 0.1)
    monkeypatch.setattr(module, "answer", never)
    async with asyncio.timeout(5):
        assert await ends.introducer.ask("n1", "there:1", MINE) is None
