"""The replica's driver: which link it has, what it sends on it, and when it takes another."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import grpc.aio
import pytest

from cluster.coherence.guard import Guard
from cluster.coherence.messages import (
    Ack,
    Fence,
    LeaseHandBack,
    LeaseReply,
    LeaseRequest,
    Position,
    Subscribe,
    Welcome,
)
from cluster.coherence.replica import REQUESTS_PER_LEASE, Replica
from cluster.settings import CacheSettings, LeaseSettings
from node.cache.caches import Caches
from node.replication import replica_driver as driver_module
from node.replication import wire
from node.replication.replica_driver import ReplicaDriver, Target
from paceline.errors import Unavailable
from paceline.v1 import replication_pb2 as pb
from tests.support.waiting import until
from tests.unit.node.fakes import Clock

FIRST = Target(1, "n2")
SECOND = Target(2, "n3")
START = Position(1, 0)


class Call:
    def __init__(self, node_id: str) -> None:
        self.node_id = node_id
        self.frames: asyncio.Queue[Any] = asyncio.Queue()
        self.sent: list[Any] = []
        self.writes = 0
        self.cancelled = False
        self.blocked = asyncio.Event()
        self.blocked.set()
        self.broken = False

    async def read(self) -> Any:
        frame = await self.frames.get()
        if isinstance(frame, Exception):
            raise frame
        return frame

    async def write(self, frame: pb.ReplicaFrame) -> None:
        await self.blocked.wait()
        if self.broken:
            raise asyncio.InvalidStateError("the call is over")
        self.sent += map(wire.replica_message_back, frame.messages)
        self.writes += 1

    def cancel(self) -> None:
        self.cancelled = True

    def receive(self, *messages: Any) -> None:
        self.frames.put_nowait(pb.PrimaryFrame(messages=map(wire.primary_message, messages)))

    def welcome(self, position: Position = START) -> None:
        self.receive(Welcome(position, True, (), (), False))


class Channel:
    def __init__(self, node_id: str, calls: list[Call]) -> None:
        self._node_id = node_id
        self._calls = calls

    def stream_stream(self, *_: Any, **__: Any) -> Any:
        return self._open

    def unary_unary(self, *_: Any, **__: Any) -> Any: ...

    def _open(self) -> Call:
        self._calls.append(Call(self._node_id))
        return self._calls[-1]


class Following:
    def __init__(self) -> None:
        self.clock = Clock()
        self.guard = Guard(Caches.from_settings(CacheSettings()), 10.0)
        self.replica = Replica("n1", "i", self.guard, LeaseSettings())
        self.calls: list[Call] = []

        def channel(node_id: str) -> Any:
            if node_id not in self.known:
                raise Unavailable("no member")
            return Channel(node_id, self.calls)

        self.known = {"n2", "n3"}
        self.driver = ReplicaDriver(self.replica, channel, self.clock)
        self.running = asyncio.create_task(self.driver.run())

    async def link(self, number: int = 1) -> Call:
        """The link with this number, once its Subscribe has gone out."""
        await until(lambda: len(self.calls) >= number and bool(self.calls[number - 1].sent))
        return self.calls[number - 1]


@pytest.fixture
async def following(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(driver_module, "RECONNECT_S", 0.001)
    following = Following()
    yield following
    following.running.cancel()
    await asyncio.gather(following.running, return_exceptions=True)


async def test_a_target_that_has_no_address_yet_is_tried_again(following: Following) -> None:
    following.known.clear()
    following.driver.follow(FIRST)
    for _ in range(5):
        await asyncio.sleep(0.001)
    assert not following.calls
    following.known.add("n2")
    call = await following.link()
    assert call.sent == [Subscribe("n1", "i", 1, None)]


async def test_it_subscribes_at_its_target_and_answers_there(following: Following) -> None:
    following.driver.follow(FIRST)
    call = await following.link()
    assert call.node_id == "n2"
    assert call.sent == [Subscribe("n1", "i", 1, None)]
    call.welcome()
    await until(lambda: len(call.sent) == 3)
    assert call.sent[1:] == [Ack(START), LeaseRequest(1)]
    assert call.writes == 2  # what is there together goes together
    call.receive(LeaseReply(1, START, 1.0))
    await until(lambda: following.guard.serve_until > following.clock.time)


async def test_the_same_target_again_is_no_other(following: Following) -> None:
    following.driver.follow(FIRST)
    call = await following.link()
    following.driver.follow(Target(1, "n2"))
    following.driver.leave(1)
    for _ in range(50):
        await asyncio.sleep(0)
    assert not call.cancelled
    assert len(following.calls) == 1


async def test_another_target_takes_the_links_place(following: Following) -> None:
    following.driver.follow(FIRST)
    first = await following.link()
    following.driver.follow(SECOND)
    second = await following.link(2)
    assert first.cancelled
    assert (second.node_id, second.sent) == ("n3", [Subscribe("n1", "i", 2, None)])
    following.driver.follow(None)
    await until(lambda: second.cancelled)
    assert len(following.calls) == 2


async def test_a_target_that_is_left_while_there_is_none_is_no_error(following: Following) -> None:
    following.driver.leave(5)
    assert following.driver._target is None


BROKEN = grpc.aio.AioRpcError(
    grpc.StatusCode.UNAVAILABLE, grpc.aio.Metadata(), grpc.aio.Metadata(), "gone"
)
REFUSED = pb.PrimaryFrame(messages=[pb.PrimaryMessage(refused=pb.Refused(reason="no"))])
GARBAGE = pb.PrimaryFrame(messages=[pb.PrimaryMessage()])


@pytest.mark.parametrize(
    "end",
    [grpc.aio.EOF, BROKEN, REFUSED, GARBAGE],  # type: ignore[attr-defined]
    ids=["ended", "broken", "refused", "unreadable"],
)
async def test_a_link_that_ends_is_linked_anew_from_where_the_replica_is(
    following: Following, end: Any
) -> None:
    following.driver.follow(FIRST)
    first = await following.link()
    first.welcome()
    await until(lambda: following.replica.lag == 0)
    first.frames.put_nowait(end)
    second = await following.link(2)
    assert first.cancelled
    assert following.replica.lag is None
    assert second.sent == [Subscribe("n1", "i", 1, START)]


async def test_what_came_before_a_refusal_in_one_frame_is_not_applied(
    following: Following,
) -> None:
    following.driver.follow(FIRST)
    call = await following.link()
    welcome = wire.primary_message(Welcome(START, True, (), (), False))
    call.frames.put_nowait(pb.PrimaryFrame(messages=[welcome, *REFUSED.messages]))
    await following.link(2)
    assert following.guard.position is None


async def test_a_stream_out_of_step_is_linked_anew(following: Following) -> None:
    following.driver.follow(FIRST)
    first = await following.link()
    first.welcome()
    first.receive(Fence(Position(1, 5), (("t", b"a"),)))
    second = await following.link(2)
    assert second.sent == [Subscribe("n1", "i", 1, START)]


async def test_the_lease_is_asked_for_with_time_while_there_is_a_link(
    following: Following,
) -> None:
    following.driver.tick()
    following.driver.follow(FIRST)
    call = await following.link()
    call.welcome()
    await until(lambda: len(call.sent) == 3)
    following.clock.time += LeaseSettings().read_s / REQUESTS_PER_LEASE
    following.driver.tick()
    await until(lambda: len(call.sent) == 4)
    assert call.sent[-1] == LeaseRequest(2)


async def test_a_lease_that_is_handed_back_is_told_on_the_link(following: Following) -> None:
    following.driver.follow(FIRST)
    call = await following.link()
    following.guard.extend(following.clock.time + 5.0, following.clock.time)
    following.driver.hand_back()
    assert following.guard.serve_until < following.clock.time
    await until(lambda: call.sent[-1] == LeaseHandBack())


async def test_a_link_that_takes_nothing_is_given_up(
    following: Following, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(driver_module, "OUTBOX_MAX", 3)
    following.driver.follow(FIRST)
    call = await following.link()
    call.blocked.clear()
    call.welcome()  # acknowledged, and the lease asked for
    await until(lambda: following.replica.lag == 0)
    for sequence in range(1, 10):
        call.receive(Fence(Position(1, sequence), (("t", b"a"),)))
    second = await following.link(2)
    assert call.cancelled
    assert isinstance(second.sent[0], Subscribe)


async def test_a_link_that_cannot_be_written_to_ends_with_its_reader(
    following: Following,
) -> None:
    following.driver.follow(FIRST)
    call = await following.link()
    call.broken = True
    call.welcome()
    await until(lambda: following.replica.lag == 0)
    for _ in range(20):
        await asyncio.sleep(0)
    assert not call.cancelled
    call.frames.put_nowait(BROKEN)
    await following.link(2)


async def test_between_two_attempts_at_the_same_primary_is_a_pause(
    following: Following, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(driver_module, "RECONNECT_S", 60.0)
    following.driver.follow(FIRST)
    call = await following.link()
    call.frames.put_nowait(BROKEN)
    await until(lambda: call.cancelled)
    for _ in range(100):
        await asyncio.sleep(0)
    assert len(following.calls) == 1


async def test_without_a_target_nothing_is_tried(
    following: Following, monkeypatch: pytest.MonkeyPatch
) -> None:
    targets: list[Any] = []

    async def link(target: Any) -> None:
        targets.append(target)

    monkeypatch.setattr(following.driver, "_link", link)
    following.driver.follow(FIRST)
    await until(lambda: bool(targets))
    following.driver.follow(None)
    for _ in range(100):
        await asyncio.sleep(0)
    assert set(targets) == {FIRST}


async def test_nothing_is_left_when_it_ends(following: Following) -> None:
    following.driver.follow(FIRST)
    call = await following.link()
    following.running.cancel()
    await asyncio.gather(following.running, return_exceptions=True)
    assert call.cancelled
    assert following.driver._outbox is None
    assert asyncio.all_tasks() == {asyncio.current_task()}
