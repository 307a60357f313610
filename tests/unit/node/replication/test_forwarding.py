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
from tests.support.waiting import until
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

    def stream_stream(self, *_: Any, **__: Any) -> Any:
        return lambda: StreamOfOne(Streaming(broken(grpc.StatusCode.UNIMPLEMENTED)))

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


# -- small writes on one stream --------------------------------------------------------------------


class Streaming(Primary):
    """A primary that takes a stream; the test writes its answers."""

    def __init__(self, refuses: Exception | None = None) -> None:
        super().__init__(None)
        self.ready.set()
        self.frames: list[pb.ForwardFrame] = []
        self.calls: list[StreamOfOne] = []
        self.refuses = refuses
        self.blocked: asyncio.Event | None = None
        """What a write of a frame waits for."""

    def stream_stream(self, *_: Any, **__: Any) -> Any:
        return self._stream

    def _stream(self) -> StreamOfOne:
        self.calls.append(StreamOfOne(self))
        return self.calls[-1]

    def answers(self, *ends: pb.NumberedAnswer) -> None:
        self.calls[-1].coming.put_nowait(pb.AnswerFrame(answers=ends))

    @property
    def numbers(self) -> list[list[int]]:
        return [[request.id for request in frame.requests] for frame in self.frames]


class StreamOfOne:
    def __init__(self, primary: Streaming) -> None:
        self.primary = primary
        self.coming: asyncio.Queue[Any] = asyncio.Queue()
        self.coming.put_nowait(primary.refuses or pb.AnswerFrame())
        self.cancelled = False

    async def read(self) -> Any:
        came = await self.coming.get()
        if isinstance(came, Exception):
            raise came
        return came

    async def write(self, frame: pb.ForwardFrame) -> None:
        self.primary.frames.append(frame)
        if self.primary.blocked is not None:
            await self.primary.blocked.wait()

    def cancel(self) -> bool:
        self.cancelled = True
        return True


def done(number: int) -> pb.NumberedAnswer:
    value = {"Attributes": {"v": {"N": str(number)}}}
    return pb.NumberedAnswer(id=number, reply=pb.ForwardReply(result=wire.pack(value)))


async def streaming() -> tuple[Streaming, Forwarder, Clock]:
    clock, primary = Clock(), Streaming()
    to = forwarder(primary, clock)
    assert not to.at_hand("n2")
    await asyncio.gather(*(to.reach("n2", clock.time + 1.0) for _ in range(3)))
    assert to.at_hand("n2")
    assert len(primary.calls) == 1
    return primary, to, clock


def writes(to: Forwarder, clock: Clock, count: int, within_s: float = 5.0) -> list[Any]:
    return [
        asyncio.ensure_future(to.share("n2", "PutItem", PUT, clock.time + within_s, lambda: False))
        for _ in range(count)
    ]


async def test_writes_of_one_turn_share_a_frame_and_answers_find_their_writes() -> None:
    primary, to, clock = await streaming()
    under_way = writes(to, clock, 3)
    await until(lambda: bool(primary.frames))
    assert primary.numbers == [[1, 2, 3]]
    [request, *_] = primary.frames[0].requests
    assert request.left_s == pytest.approx(5.0)
    assert wire.unpack(request.request.params) == PUT
    primary.answers(done(3), done(1))
    primary.answers(done(7), done(1), done(2))
    results = await asyncio.gather(*under_way)
    assert [one["Attributes"]["v"]["N"] for one in results] == ["1", "2", "3"]
    assert primary.requests == []  # none was a call of its own
    await to.aclose()


async def test_what_comes_while_a_frame_is_sent_shares_the_next_one() -> None:
    primary, to, clock = await streaming()
    primary.blocked = asyncio.Event()
    under_way = writes(to, clock, 1)
    await until(lambda: bool(primary.frames))
    for _ in range(3):
        under_way += writes(to, clock, 1)
        await asyncio.sleep(0)
    primary.blocked.set()
    await until(lambda: len(primary.frames) == 2)
    assert primary.numbers == [[1], [2, 3, 4]]
    primary.answers(*(done(number) for number in (1, 2, 3, 4)))
    await asyncio.gather(*under_way)
    await to.aclose()


@pytest.mark.parametrize("end", [broken(grpc.StatusCode.UNAVAILABLE), grpc.aio.EOF])
async def test_of_a_stream_that_breaks_only_what_was_not_handed_over_may_be_routed_again(
    end: Any,
) -> None:
    primary, to, clock = await streaming()
    primary.blocked = asyncio.Event()
    sent = writes(to, clock, 2)
    await until(lambda: bool(primary.frames))
    unsent = writes(to, clock, 2)
    await asyncio.sleep(0)
    primary.calls[0].coming.put_nowait(end)
    ends = await asyncio.gather(*sent, *unsent, return_exceptions=True)
    assert [type(one) for one in ends] == [OutcomeUnknown] * 2 + [EpochOver] * 2
    assert not to.at_hand("n2")
    assert primary.calls[0].cancelled
    assert primary.numbers == [[1, 2]]
    await to.aclose()


async def test_who_is_not_the_primary_has_done_nothing() -> None:
    primary, to, clock = await streaming()
    [writing] = writes(to, clock, 1)
    await until(lambda: bool(primary.frames))
    primary.answers(pb.NumberedAnswer(id=1, not_primary="not I"))
    with pytest.raises(EpochOver, match="not I"):
        await writing
    [writing] = writes(to, clock, 1)
    await until(lambda: len(primary.frames) == 2)
    error = wire.forward_error(NotSent("no"))
    primary.answers(pb.NumberedAnswer(id=2, reply=pb.ForwardReply(error=error)))
    with pytest.raises(NotSent, match="no"):
        await writing
    await to.aclose()


async def test_each_write_has_its_own_deadline_and_what_was_not_sent_is_known_to_be() -> None:
    primary, to, clock = await streaming()
    primary.blocked = asyncio.Event()
    sent = [*writes(to, clock, 1, 50.0), *writes(to, clock, 1, 0.02)]
    await until(lambda: bool(primary.frames))
    unsent = writes(to, clock, 1, 0.03)
    await asyncio.sleep(0)
    clock.time += 0.04
    with pytest.raises(OutcomeUnknown, match="in time"):
        await sent[1]
    with pytest.raises(NotSent, match="no time"):
        await unsent[0]
    primary.blocked.set()
    primary.answers(done(2), done(1))  # too late, and in time
    assert await sent[0] == {"Attributes": {"v": {"N": "1"}}}
    await to.aclose()


async def test_who_goes_away_before_a_write_is_handed_over_takes_it_along() -> None:
    primary, to, clock = await streaming()
    primary.blocked = asyncio.Event()
    first, *others = writes(to, clock, 3)
    await until(lambda: bool(primary.frames))
    later = writes(to, clock, 2)
    await asyncio.sleep(0)
    later[0].cancel()
    others[0].cancel()  # this one was sent
    await asyncio.sleep(0)
    primary.blocked.set()
    await until(lambda: len(primary.frames) == 2)
    assert primary.numbers == [[1, 2, 3], [5]]
    primary.answers(*(done(number) for number in (1, 2, 3, 5)))
    await asyncio.gather(first, others[1], later[1])
    await to.aclose()


async def test_a_large_write_is_a_call_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    primary, to, clock = await streaming()
    large = {**PUT, "Item": {"id": {"S": "a"}, "v": {"S": "x" * 20_000}}}
    many = {**PUT, "Item": {"id": {"S": "a"}, "v": {"L": [{"N": "7"}] * 5000}}}
    for put in (large, many):
        assert await to.share("n2", "PutItem", put, clock.time + 5.0, lambda: False) is None
    monkeypatch.setattr(forwarding_module, "UNANSWERED_MAX", 2)
    under_way = writes(to, clock, 3)
    assert await under_way[2] is None
    await until(lambda: bool(primary.frames))
    assert primary.numbers == [[1, 2]]
    primary.answers(done(1), done(2))
    await asyncio.gather(*under_way)
    await to.aclose()


async def test_a_primary_without_such_a_stream_gets_calls() -> None:
    clock, primary = Clock(), Streaming(broken(grpc.StatusCode.UNIMPLEMENTED))
    to = forwarder(primary, clock)
    await to.reach("n2", clock.time + 1.0)
    assert not to.at_hand("n2")
    assert primary.calls[0].cancelled
    assert await to.share("n2", "PutItem", PUT, clock.time + 5.0, lambda: False) is None


async def test_an_answer_is_waited_for_a_moment_after_the_primary_has_moved() -> None:
    primary, to, clock = await streaming()
    primary.blocked = asyncio.Event()
    moved = False

    def asked() -> Any:
        sharing = to.share("n2", "PutItem", PUT, clock.time + 60.0, lambda: moved)
        return asyncio.ensure_future(sharing)

    answered, sent = asked(), asked()
    await until(lambda: bool(primary.frames))
    unsent = asked()
    await asyncio.sleep(0)
    moved = True
    await asyncio.sleep(2 * forwarding_module.CHECK_S)
    assert not sent.done()
    primary.answers(done(1))
    assert await answered == {"Attributes": {"v": {"N": "1"}}}
    clock.time += forwarding_module.NEW_PRIMARY_GRACE_S
    with pytest.raises(OutcomeUnknown, match="primary changed"):
        await sent
    with pytest.raises(EpochOver, match="primary changed"):
        await unsent
    await to.aclose()


async def test_the_stream_to_a_former_primary_ends_with_its_last_answer() -> None:
    clock, former, new = Clock(), Streaming(), Streaming()
    channels: dict[str, Any] = {"n2": former, "n3": new}
    to = Forwarder(channels.__getitem__, clock)
    await to.reach("n2", clock.time + 1.0)
    [writing] = writes(to, clock, 1)
    await until(lambda: bool(former.frames))
    await to.reach("n3", clock.time + 1.0)
    assert to.at_hand("n3")
    assert not to.at_hand("n2")
    assert not former.calls[0].cancelled
    former.answers(done(1))
    await writing
    await until(lambda: former.calls[0].cancelled)
    await to.aclose()
    assert new.calls[0].cancelled


async def test_a_new_channel_to_the_same_node_gets_a_new_stream() -> None:
    clock, one, other = Clock(), Streaming(), Streaming()
    channels: dict[str, Any] = {"n2": one}
    to = Forwarder(channels.__getitem__, clock)
    await to.reach("n2", clock.time + 1.0)
    channels["n2"] = other
    assert not to.at_hand("n2")
    await to.reach("n2", clock.time + 1.0)
    assert to.at_hand("n2")
    assert one.calls[0].cancelled
    await to.aclose()
