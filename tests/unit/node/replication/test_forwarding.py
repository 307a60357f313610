"""How the way to the primary ends: nothing sent, refused there, answered, or not known."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import grpc.aio
import pytest

from cluster.coherence.messages import Position
from cluster.coherence.takeover import ANSWERS_S
from cluster.coherence.takeover_report import TakeoverReport
from node.replication import forwarding as forwarding_module
from node.replication import wire
from node.replication.forwarding import HAND_OVER_S, Forwarder
from node.replication.primary_driver import EpochOver
from paceline.errors import (
    DynamoDBError,
    NotSent,
    OutcomeUnknown,
    PacelineError,
    RequestError,
    Unavailable,
)
from paceline.types import Params
from paceline.v1 import replication_pb2 as pb
from tests.unit.node.fakes import Clock, WatchedWork

PUT: Params = {"TableName": "t", "Item": {"id": {"S": "a"}}}


class Primary:
    """The other end of the channel: what it answers every call with."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.requests: list[pb.ForwardRequest] = []
        self.timeouts: list[float] = []
        self.ready = asyncio.Event()

    async def channel_ready(self) -> None:
        await self.ready.wait()

    def unary_unary(self, *_: Any, **__: Any) -> Any:
        return self._call

    def stream_stream(self, *_: Any, **__: Any) -> Any: ...

    async def _call(self, request: Any, timeout: float) -> Any:
        self.requests.append(request)
        self.timeouts.append(timeout)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def forwarder(primary: Primary, clock: Clock | None = None) -> Forwarder:
    channel: Any = primary
    return Forwarder(lambda node_id: channel, clock or Clock())


def broken(code: grpc.StatusCode) -> grpc.aio.AioRpcError:
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata(), "details")


async def test_without_time_left_the_primary_is_not_even_looked_for() -> None:
    clock, primary = Clock(), Primary(None)
    primary.ready.set()
    with pytest.raises(NotSent):
        await forwarder(primary, clock).reach("n2", clock.time)
    await forwarder(primary, clock).reach("n2", clock.time + 0.1)


async def test_a_primary_that_cannot_be_reached_is_looked_up_again() -> None:
    clock, primary = Clock(), Primary(None)
    assert HAND_OVER_S > 0.01
    with pytest.raises(EpochOver):
        await forwarder(primary, clock).reach("n2", clock.time + 0.01)


async def test_however_much_time_there_is_the_view_is_looked_at_soon(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(forwarding_module, "HAND_OVER_S", 0.01)
    clock = Clock()
    reaching = forwarder(Primary(None), clock).reach("n2", clock.time + 1000.0)
    with pytest.raises(EpochOver):
        await asyncio.wait_for(reaching, 10.0)


async def test_a_write_is_carried_with_the_time_that_is_left() -> None:
    clock = Clock()
    primary = Primary(pb.ForwardReply(result=wire.pack({"Attributes": {"v": {"B": b"\0"}}})))
    answer = await forwarder(primary, clock).forward("n2", "PutItem", PUT, clock.time + 7.0)
    assert answer == {"Attributes": {"v": {"B": b"\0"}}}
    [request] = primary.requests
    assert request.operation == "PutItem"
    assert wire.unpack(request.params) == PUT
    assert primary.timeouts == [pytest.approx(7.0)]


@pytest.mark.parametrize(
    ("code", "meaning"),
    [
        (grpc.StatusCode.FAILED_PRECONDITION, EpochOver),
        (grpc.StatusCode.PERMISSION_DENIED, NotSent),
        (grpc.StatusCode.UNAVAILABLE, OutcomeUnknown),
        (grpc.StatusCode.DEADLINE_EXCEEDED, OutcomeUnknown),
        (grpc.StatusCode.INTERNAL, OutcomeUnknown),
    ],
)
async def test_only_the_primarys_own_word_says_that_nothing_was_done(
    code: grpc.StatusCode, meaning: type[Exception]
) -> None:
    clock = Clock()
    with pytest.raises(meaning):
        await forwarder(Primary(broken(code)), clock).forward("n2", "PutItem", PUT, clock.time + 1)


@pytest.mark.parametrize(
    "error", [NotSent("no"), OutcomeUnknown("who knows"), DynamoDBError("Refused", "by DynamoDB")]
)
async def test_an_error_of_the_primary_is_the_callers(error: PacelineError) -> None:
    primary = Primary(pb.ForwardReply(error=wire.forward_error(error)))
    clock = Clock()
    with pytest.raises(type(error)) as raised:
        await forwarder(primary, clock).forward("n2", "PutItem", PUT, clock.time + 1)
    assert str(raised.value) == str(error)


async def test_a_request_that_is_too_large_is_refused_here_and_one_that_just_fits_is_sent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = Clock()
    size = pb.ForwardRequest(operation="PutItem", params=wire.pack(PUT)).ByteSize()
    primary = Primary(pb.ForwardReply(result=wire.pack({})))
    monkeypatch.setattr(forwarding_module, "RECEIVED_BYTES_MAX", size)
    assert await forwarder(primary).forward("n2", "PutItem", PUT, clock.time + 1) == {}
    monkeypatch.setattr(forwarding_module, "RECEIVED_BYTES_MAX", size - 1)
    with pytest.raises(RequestError):
        await forwarder(primary).forward("n2", "PutItem", PUT, clock.time + 1)
    assert len(primary.requests) == 1


async def test_an_answer_that_cannot_be_read_is_a_success_without_its_values() -> None:
    primary = Primary(pb.ForwardReply(result=b"\xc1"))
    clock = Clock()
    assert await forwarder(primary).forward("n2", "PutItem", PUT, clock.time + 1) == {}


async def test_the_call_has_some_time_in_any_case() -> None:
    clock = Clock()
    primary = Primary(pb.ForwardReply(result=wire.pack({})))
    await forwarder(primary, clock).forward("n2", "PutItem", PUT, clock.time - 5.0)
    assert primary.timeouts == [0.001]


async def test_what_a_member_remembers_is_asked_for_from_this_nodes_position() -> None:
    report = TakeoverReport(Position(1, 5), (), (), (("t", b"a"),), False)
    primary = Primary(wire.takeover_report(report))
    assert await forwarder(primary).recall("n2", 2, Position(1, 5)) == report
    assert primary.requests == [wire.recall_request(2, Position(1, 5))]
    assert primary.timeouts == [ANSWERS_S]


async def test_a_member_that_does_not_tell_what_it_remembers_is_unavailable() -> None:
    with pytest.raises(Unavailable):
        await forwarder(Primary(broken(grpc.StatusCode.UNAVAILABLE))).recall("n2", 2, None)


async def test_many_values_are_packed_and_unpacked_off_the_loop() -> None:
    many = {"l": {"L": [{"N": "7"}] * 5000}}
    for value, pieces in (({}, 0), (many, 2)):
        clock, work = Clock(), WatchedWork()
        primary: Any = Primary(pb.ForwardReply(result=wire.pack({"Attributes": value})))
        forwarding = Forwarder(lambda node_id, to=primary: to, clock, work)
        put = {**PUT, "Item": {**PUT["Item"], **value}}
        answer = await forwarding.forward("n2", "PutItem", put, clock.time + 1)
        assert answer == {"Attributes": value}
        assert wire.unpack(primary.requests[0].params) == put
        assert work.pieces == pieces
        await work.aclose()
