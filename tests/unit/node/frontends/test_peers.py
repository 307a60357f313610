"""Writes that other nodes forward on a stream: carried out side by side, answered together."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import grpc.aio
import pytest

from node.frontends import peers
from node.frontends.peers import ANSWER_S, ReplicationServicer
from node.replication import wire
from node.replication.primary_driver import EpochOver
from paceline.errors import NotSent
from paceline.types import Params, Result
from paceline.v1 import replication_pb2 as pb
from tests.support.waiting import until
from tests.unit.node.fakes import Clock


class Writes:
    """A write path whose writes end when the test says so."""

    def __init__(self) -> None:
        self.ends: dict[str, asyncio.Future[Result]] = {}
        self.deadlines: list[float] = []

    async def execute_here(
        self, operation: str, params: Params, deadline: float, by: Any = None
    ) -> Result:
        self.deadlines.append(deadline)
        end: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self.ends[params["name"]] = end
        return await end

    def end(self, name: str, with_what: Any) -> None:
        if isinstance(with_what, Exception):
            self.ends[name].set_exception(with_what)
        else:
            self.ends[name].set_result(with_what)


class Stream:
    """gRPC's context of one stream."""

    def __init__(self) -> None:
        self.coming: asyncio.Queue[Any] = asyncio.Queue()
        self.frames: list[pb.AnswerFrame] = []
        self.blocked: asyncio.Event | None = None

    async def read(self) -> Any:
        return await self.coming.get()

    async def write(self, frame: pb.AnswerFrame) -> None:
        self.frames.append(frame)
        if self.blocked is not None:
            await self.blocked.wait()

    async def abort(self, code: grpc.StatusCode, details: str) -> None:
        raise RuntimeError(details)

    def asks(self, *names: str, first: int = 1) -> None:
        requests = [
            pb.NumberedForward(
                id=first + index,
                left_s=8.0,
                request=pb.ForwardRequest(operation="Op", params=wire.pack({"name": name})),
            )
            for index, name in enumerate(names)
        ]
        self.coming.put_nowait(pb.ForwardFrame(requests=requests))

    @property
    def numbers(self) -> list[list[int]]:
        return [[answer.id for answer in frame.answers] for frame in self.frames]

    @property
    def answers(self) -> dict[int, pb.NumberedAnswer]:
        return {answer.id: answer for frame in self.frames for answer in frame.answers}


class Rig:
    def __init__(self) -> None:
        self.clock, self.writes, self.stream = Clock(), Writes(), Stream()
        absent: Any = None
        writes: Any = self.writes
        self.servicer = ReplicationServicer(
            absent, writes, absent, absent, absent, self.clock, default_timeout_s=10.0
        )
        self.serving = asyncio.ensure_future(self.servicer.Exchange(None, self.stream))

    async def aclose(self) -> None:
        self.serving.cancel()
        await asyncio.gather(self.serving, return_exceptions=True)


async def test_answers_that_are_ready_together_share_a_frame_and_keep_their_numbers() -> None:
    rig = Rig()
    rig.stream.asks("a", "b", "c")
    await until(lambda: len(rig.writes.ends) == 3)
    assert rig.stream.numbers == [[]]  # it takes requests
    assert rig.writes.deadlines == [pytest.approx(rig.clock.time + 8.0 - ANSWER_S)] * 3
    rig.writes.end("c", {"Attributes": {}})
    rig.writes.end("a", NotSent("no"))
    await until(lambda: len(rig.stream.frames) == 2)
    assert rig.stream.numbers == [[], [3, 1]]
    rig.writes.end("b", EpochOver("not I"))
    await until(lambda: len(rig.stream.frames) == 3)
    answers = rig.stream.answers
    assert wire.unpack(answers[3].reply.result) == {"Attributes": {}}
    assert answers[1].reply.error.kind == "NotSent"
    assert answers[2].not_primary == "not I"
    await rig.aclose()


async def test_an_error_of_ours_is_an_unknown_outcome_and_of_its_write_alone() -> None:
    rig = Rig()
    rig.stream.asks("a", "b")
    await until(lambda: len(rig.writes.ends) == 2)
    rig.writes.end("a", RuntimeError("a bug"))
    rig.writes.end("b", {})
    await until(lambda: len(rig.stream.answers) == 2)
    assert rig.stream.answers[1].reply.error.kind == "OutcomeUnknown"
    assert wire.unpack(rig.stream.answers[2].reply.result) == {}
    rig.stream.coming.put_nowait(
        pb.ForwardFrame(
            requests=[
                pb.NumberedForward(
                    id=9, left_s=1.0, request=pb.ForwardRequest(operation="Op", params=b"\xc1")
                )
            ]
        )
    )
    await until(lambda: len(rig.stream.answers) == 3)
    assert rig.stream.answers[9].reply.error.kind == "OutcomeUnknown"
    await rig.aclose()


async def test_a_write_that_is_cut_off_is_an_unknown_outcome() -> None:
    rig = Rig()
    rig.stream.asks("a")
    await until(lambda: bool(rig.writes.ends))
    rig.writes.ends["a"].cancel()
    await until(lambda: len(rig.stream.answers) == 1)
    assert rig.stream.answers[1].reply.error.kind == "OutcomeUnknown"
    await rig.aclose()


async def test_writes_go_on_when_their_stream_ends() -> None:
    rig = Rig()
    rig.stream.asks("a")
    await until(lambda: bool(rig.writes.ends))
    rig.stream.coming.put_nowait(grpc.aio.EOF)  # type: ignore[attr-defined]
    await rig.serving
    assert not rig.writes.ends["a"].cancelled()
    rig.writes.end("a", {})
    await rig.servicer.aclose()
    assert rig.stream.numbers == [[]]


async def test_a_node_that_stops_tells_the_last_answers_first() -> None:
    rig = Rig()
    rig.stream.asks("a", "b")
    await until(lambda: len(rig.writes.ends) == 2)
    rig.stream.blocked = asyncio.Event()
    rig.writes.end("a", {})
    closing = asyncio.ensure_future(rig.servicer.aclose())
    await until(lambda: len(rig.stream.frames) == 2)
    rig.writes.end("b", {})
    await asyncio.sleep(0)
    assert not closing.done()
    first, rig.stream.blocked = rig.stream.blocked, asyncio.Event()
    first.set()
    await until(lambda: len(rig.stream.frames) == 3)
    for _ in range(5):
        await asyncio.sleep(0)
    assert not closing.done()  # one of two is told
    rig.stream.blocked.set()
    await closing
    assert rig.stream.numbers == [[], [1], [2]]
    await rig.aclose()


async def test_a_node_that_stops_does_not_wait_for_answers_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(peers, "TOLD_S", 0.01)
    rig = Rig()
    rig.stream.asks("a")
    await until(lambda: bool(rig.writes.ends))
    await rig.servicer.aclose()
    await rig.aclose()


async def test_a_frame_of_large_answers_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "FRAME_BYTES_MAX", 1000)
    rig = Rig()
    rig.stream.asks("a", "b", "c", "d")
    await until(lambda: len(rig.writes.ends) == 4)
    large = {"Attributes": {"v": {"S": "x" * 2000}}}
    for name, answer in (("a", large), ("b", {}), ("c", {}), ("d", large)):
        rig.writes.end(name, answer)
    await until(lambda: len(rig.stream.answers) == 4)
    assert rig.stream.numbers == [[], [1], [2, 3], [4]]
    await rig.aclose()


async def test_more_requests_than_a_node_may_have_end_the_stream(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(peers, "UNANSWERED_MAX", 2)
    rig = Rig()
    rig.stream.asks("a", "b")
    await until(lambda: len(rig.writes.ends) == 2)
    assert not rig.serving.done()
    rig.stream.asks("c", first=3)
    with pytest.raises(RuntimeError, match="too many"):
        await rig.serving
