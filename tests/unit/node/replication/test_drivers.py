"""The drivers of both halves of the coherence protocol: links that break, stall, come too late."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any, cast

import pytest

from cluster.coherence.effects import Effect, IndexTouch, effects_bytes
from cluster.coherence.guard import Guard
from cluster.coherence.messages import (
    Ack,
    Fence,
    Image,
    LeaseRequest,
    Outcome,
    Position,
    Settle,
    Subscribe,
    Welcome,
)
from cluster.coherence.replica import Replica
from cluster.settings import CacheSettings, LeaseSettings
from node.cache.caches import Caches
from node.frontends.peers import ReplicationServicer
from node.replication import packing, wire
from node.replication.primary_driver import LINK_BYTES_MAX, Link, PrimaryDriver
from node.replication.replica_driver import ReplicaDriver, Target
from paceline.clock import now
from paceline.v1 import replication_pb2 as pb
from paceline.v1 import replication_pb2_grpc as pb_grpc
from tests.support.grpc_channels import channels_of, member, members_server
from tests.support.waiting import until
from tests.unit.node.fakes import Clock

TARGET = Target(1, "n2")
MEMBERS = frozenset({"n1", "n2", "n3"})


class FakeCall:
    def __init__(self) -> None:
        self.written: list[pb.ReplicaFrame] = []
        self.reading: asyncio.Future[pb.PrimaryFrame] | None = None

    async def read(self) -> pb.PrimaryFrame:
        self.reading = asyncio.get_running_loop().create_future()
        return await self.reading

    async def write(self, frame: pb.ReplicaFrame) -> None:
        self.written.append(frame)

    def cancel(self) -> None: ...


class FakeChannel:
    def __init__(self) -> None:
        self.calls: list[FakeCall] = []

    def stream_stream(self, *_: Any, **__: Any) -> Any:
        return self._open

    def unary_unary(self, *_: Any, **__: Any) -> Any:
        return None

    def _open(self, metadata: Any = None) -> FakeCall:
        self.calls.append(FakeCall())
        return self.calls[-1]


class Following:
    def __init__(self) -> None:
        self.clock = Clock()
        self.guard = Guard(Caches.from_settings(CacheSettings()), 10.0)
        self.channel: Any = FakeChannel()
        replica = Replica("n1", "i", self.guard, LeaseSettings())
        self.driver = ReplicaDriver(replica, lambda address: self.channel, self.clock)
        self.running = asyncio.create_task(self.driver.run())


@pytest.fixture
async def following() -> Any:
    following = Following()
    yield following
    following.running.cancel()
    await asyncio.gather(following.running, return_exceptions=True)


def welcome(epoch: int) -> pb.PrimaryFrame:
    message = Welcome(Position(epoch, 0), reset=True, fences=(), unknown=(), all_unknown=False)
    return pb.PrimaryFrame(messages=[wire.primary_message(message)])


async def test_a_frame_of_the_current_link_is_applied(following: Following) -> None:
    following.driver.follow(TARGET)
    await until(lambda: bool(following.channel.calls) and following.channel.calls[0].reading)
    following.channel.calls[0].reading.set_result(welcome(1))
    await until(lambda: following.guard.position == Position(1, 0))


async def test_a_frame_that_comes_after_the_role_changed_is_not_applied(
    following: Following,
) -> None:
    following.driver.follow(TARGET)
    await until(lambda: bool(following.channel.calls) and following.channel.calls[0].reading)
    # The frame is there, but its reader runs only after this node took over as epoch 2.
    following.channel.calls[0].reading.set_result(welcome(1))
    following.driver.follow(None)
    following.guard.fence(Position(2, 1), [("t", b"a")], following.clock.time)
    for _ in range(20):
        await asyncio.sleep(0)
    assert following.guard.position is None
    assert [fence.position for fence in following.guard.open_fences()] == [Position(2, 1)]


async def test_a_link_to_a_primary_that_is_none_any_more_is_not_even_opened(
    following: Following,
) -> None:
    following.guard.extend(following.clock.time + 1.0, following.clock.time)
    following.driver.follow(TARGET)
    lapses = following.guard.generation

    def links() -> Iterator[str]:
        return (task.get_coro().__qualname__ for task in asyncio.all_tasks())  # type: ignore[union-attr]

    await until(lambda: "ReplicaDriver._link" in links())
    following.driver.follow(None)  # before the new task ran for the first time
    for _ in range(20):
        await asyncio.sleep(0)
    assert following.channel.calls == []
    assert following.guard.generation == lapses


async def test_only_a_link_to_the_primary_of_an_older_epoch_is_left(following: Following) -> None:
    following.driver.follow(TARGET)
    await until(lambda: len(following.channel.calls) == 1)
    following.driver.leave(TARGET.epoch)
    assert following.driver._target == TARGET
    following.driver.leave(TARGET.epoch + 1)
    assert following.driver._target is None


def test_images_for_a_replica_that_takes_none_are_bounded_by_their_bytes() -> None:
    link = Link(1)
    image = Image(b"x" * 400_000)
    for sequence in range(1, 200):
        link.put(
            Settle(Position(1, 2 * sequence), Position(1, sequence), Outcome.SUCCESS, (image,))
        )
    assert link.closed == "replica too far behind"
    assert link.backlog == []


def test_what_was_taken_from_a_link_does_not_count_any_more() -> None:
    link = Link(1)
    image = Image(b"x" * 400_000)
    for sequence in range(1, 1000):
        link.put(
            Settle(Position(1, 2 * sequence), Position(1, sequence), Outcome.SUCCESS, (image,))
        )
        link.next_frame()
    assert link.closed is None
    assert link.bytes == 0
    assert LINK_BYTES_MAX < 1000 * 400_000


def test_keys_and_effects_for_a_replica_that_takes_none_count_too() -> None:
    link = Link(1)
    effect = Effect(7, (IndexTouch("index", b"partition", b"sort"),))
    link.put(Fence(Position(1, 1), (("table", b"key"),), (effect,)))
    assert link.bytes == len("tablekey") + effects_bytes((effect,)) > len("tablekeyindexpartition")


def test_of_images_their_items_count_and_none_has_to_be_there() -> None:
    link = Link(1)
    images = (Image(b"item"), Image(None), None)
    link.put(Settle(Position(1, 2), Position(1, 1), Outcome.SUCCESS, images))
    assert link.bytes == len(b"item")


def primary_of_three() -> tuple[PrimaryDriver, Clock]:
    clock = Clock()
    guard = Guard(Caches.from_settings(CacheSettings()), 10.0)
    driver = PrimaryDriver("n1", guard, LeaseSettings(), clock)
    driver.begin_epoch(1, MEMBERS, reset=False, lease_until=clock.time + 60)
    return driver, clock


class Context:
    """gRPC's, of one replica's stream."""

    def __init__(self) -> None:
        self.frames: asyncio.Queue[Any] = asyncio.Queue()
        self.written: list[Any] = []

    async def read(self) -> Any:
        return await self.frames.get()

    async def write(self, frame: pb.PrimaryFrame) -> None:
        self.written += map(wire.primary_message_back, frame.messages)
        self.written += packing.unpacked(frame.packed)


async def test_every_replica_has_a_link_of_its_own() -> None:
    driver, _ = primary_of_three()
    contexts = {name: Context() for name in ("n2", "n3")}
    serving = [
        asyncio.create_task(driver.serve(context, name)) for name, context in contexts.items()
    ]
    try:
        for name, context in contexts.items():
            frame = wire.replica_frame([Subscribe(name, "i", 1, None), Ack(Position(1, 0))])
            context.frames.put_nowait(frame)
            await until(lambda context=context: bool(context.written))
        assert driver.links == 2
        fence, _ = driver.begin(cast(Any, driver.primary), [("t", b"a")])
        for context in contexts.values():
            await until(lambda context=context: len(context.written) == 2)
            welcome, fenced = context.written
            assert isinstance(welcome, Welcome)
            assert fenced == Fence(fence, (("t", b"a"),))
    finally:
        for task in serving:
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)
    assert driver.links == 0


async def test_an_epoch_that_this_node_begins_anew_waits_for_the_read_leases_of_its_former() -> (
    None
):
    driver, clock = primary_of_three()
    primary = driver.primary
    assert primary is not None
    primary.subscribed(1, Subscribe("n2", "i", 1, None), clock.time)
    primary.received(1, Ack(Position(1, 0)), clock.time)
    primary.received(1, LeaseRequest(1), clock.time)
    driver.begin_epoch(2, MEMBERS, reset=False, lease_until=clock.time + 60)
    assert driver.primary is not None
    assert driver.primary.replicas.leases_live(clock.time)
    driver.primary.subscribed(2, Subscribe("n3", "i", 2, None), clock.time)
    fence, ready = driver.begin(driver.primary, [("t", b"a")])
    driver._run(driver.primary.received(2, Ack(fence), clock.time))
    assert not ready.done()  # n2 may answer from its cache yet
    clock.time += LeaseSettings().read_s
    driver.tick()
    assert ready.done()


async def test_a_link_over_grpc_ends_on_both_sides_when_the_replica_leaves() -> None:
    def guard() -> Guard:
        return Guard(Caches.from_settings(CacheSettings()), 10.0)

    primary = PrimaryDriver("n1", guard(), LeaseSettings(), now)
    absent: Any = None
    servicer = ReplicationServicer(primary, absent, absent, absent, absent, now, 10.0)
    server = members_server(
        "n1", lambda it: pb_grpc.add_ReplicationServicer_to_server(servicer, it)
    )
    address = await server.start()
    channel = channels_of(member("n2")).open(address, "n1", use="replication")
    replica_guard = guard()
    replica = Replica("n2", "i", replica_guard, LeaseSettings())
    driver = ReplicaDriver(replica, lambda node_id: channel, now)
    running = asyncio.create_task(driver.run())
    try:
        driver.follow(Target(1, "n1"))
        await asyncio.sleep(0)  # refused at first: there is no primary yet
        primary.begin_epoch(1, frozenset({"n1", "n2"}), reset=False, lease_until=now() + 60)
        await until(lambda: replica_guard.serve_until > now())
        fence, ready = primary.begin(cast(Any, primary.primary), [("t", b"a")])
        await asyncio.wait_for(ready, 5.0)
        assert [held.position for held in replica_guard.open_fences()] == [fence]
        assert primary.links == 1
        driver.follow(None)
        await until(lambda: primary.links == 0)
        driver.follow(Target(1, "n1"))
        await until(lambda: primary.links == 1)
        primary.end_epoch("over")
        await until(lambda: primary.links == 0)
        primary.begin_epoch(2, frozenset({"n1", "n2"}), reset=False, lease_until=now() + 60)
        driver.follow(Target(2, "n1"))
        await until(lambda: primary.links == 1)
        await server.stop()
        await until(lambda: primary.links == 0)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        left = [repr(task) for task in asyncio.all_tasks() if "request_iterator" in repr(task)]
        assert left == [], "tasks of links that broke"
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await channel.close(None)
        await server.stop()
