"""The primary's driver: its writes, its links, and what becomes of both when the epoch ends."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import grpc.aio
import pytest

from cluster.coherence.effects import Effect
from cluster.coherence.guard import Guard
from cluster.coherence.messages import Ack, Fence, Flush, Image, Outcome, Position, Subscribe
from cluster.coherence.messages import Welcome as WelcomeMessage
from cluster.coherence.primary import Primary, Ready
from cluster.settings import CacheSettings, LeaseSettings
from node.cache.caches import Caches
from node.replication import packing, wire
from node.replication import primary_driver as driver_module
from node.replication.primary_driver import EpochOver, Link, PrimaryDriver
from paceline.types import Key
from paceline.v1 import replication_pb2 as pb
from tests.support.waiting import until
from tests.unit.node.fakes import Clock

K: Key = ("t", b"a")
EFFECT = Effect(7, ())
LEASE_S = 60.0


class Observer:
    def __init__(self) -> None:
        self.told: list[Any] = []
        self.fails = False

    def _tell(self, *what: Any) -> None:
        self.told.append(what)
        if self.fails:
            raise ValueError("a defect")

    def fenced(
        self, fence: Position, keys: Sequence[Key], effects: Sequence[Effect | None]
    ) -> None:
        self._tell(fence, keys, effects)

    def settled(self, fence: Position, images: Sequence[Image | None]) -> None:
        self._tell(fence, images)

    def epoch_over(self) -> None:
        self._tell("over")


class Context:
    """gRPC's, of one replica's stream: the test reads and writes the other end."""

    def __init__(self, node_id: str = "n2") -> None:
        self.frames: asyncio.Queue[Any] = asyncio.Queue()
        self.written: list[pb.PrimaryMessage] = []
        self.aborted: tuple[grpc.StatusCode, str] | None = None
        self.node_id = node_id

    async def abort(self, code: grpc.StatusCode, details: str) -> None:
        self.aborted = (code, details)
        raise grpc.aio.AbortError

    async def read(self) -> Any:
        return await self.frames.get()

    async def write(self, frame: pb.PrimaryFrame) -> None:
        self.written += [
            *frame.messages,
            *map(wire.primary_message, packing.unpacked(frame.packed)),
        ]

    def send(self, *messages: Any) -> None:
        self.frames.put_nowait(wire.replica_frame(messages))

    @property
    def refused(self) -> str | None:
        last = self.written[-1] if self.written else None
        return last.refused.reason if last is not None and last.HasField("refused") else None


class Served:
    def __init__(self) -> None:
        self.clock = Clock()
        self.guard = Guard(Caches.from_settings(CacheSettings()), 10.0)
        self.driver = PrimaryDriver("n1", self.guard, LeaseSettings(), self.clock)
        self.observer = Observer()
        self.driver.observer = self.observer
        self.primary = self.begin(1)
        self.observer.told.clear()

    def begin(self, epoch: int) -> Primary:
        members = frozenset({"n1", "n2", "n3"})
        until_s = self.clock.time + LEASE_S
        self.driver.begin_epoch(epoch, members, reset=False, lease_until=until_s)
        assert self.driver.primary is not None
        return self.driver.primary

    def serve(self, context: Context) -> asyncio.Task[None]:
        return asyncio.create_task(self.driver.serve(context, context.node_id))


@pytest.fixture
def served() -> Served:
    return Served()


# -- writes ---------------------------------------------------------------------------------------


async def test_who_looks_on_is_told_of_each_fence_and_of_the_images_of_clear_successes(
    served: Served,
) -> None:
    image = Image(b"item")
    first, _ = served.driver.begin(served.primary, [K], [EFFECT])
    assert served.guard.open_fences() == (Fence(first, (K,), (EFFECT,)),)
    assert served.driver.settle(served.primary, first, Outcome.SUCCESS, [image])
    second, _ = served.driver.begin(served.primary, [K])
    assert served.driver.settle(served.primary, second, Outcome.REJECTED, [image])
    third, _ = served.driver.begin(served.primary, [K])
    served.clock.time += LEASE_S
    assert not served.driver.settle(served.primary, third, Outcome.SUCCESS, [image])
    assert served.observer.told == [
        (first, [K], [EFFECT]),
        (first, (image,)),
        (second, [K], ()),
        (second, ()),
        (third, [K], ()),
        (third, ()),
    ]


async def test_no_write_depends_on_who_looks_on(served: Served) -> None:
    served.observer.fails = True
    fence, _ = served.driver.begin(served.primary, [K])
    assert served.driver.settle(served.primary, fence, Outcome.SUCCESS, [None])
    served.driver.end_epoch("over")
    assert len(served.observer.told) == 3
    served.driver.observer = None
    served.begin(2)


async def test_a_write_waits_for_nothing_once_it_is_settled_or_its_epoch_is_over(
    served: Served,
) -> None:
    settled, ready = served.driver.begin(served.primary, [K])
    served.driver.settle(served.primary, settled, Outcome.REJECTED, [None])
    assert ready.cancelled()
    _, waits = served.driver.begin(served.primary, [K])
    served.driver.end_epoch("too few members")
    assert served.driver._ready == {}
    with pytest.raises(EpochOver, match="too few members"):
        await waits
    assert served.observer.told[-1] == ("over",)
    assert served.primary.closed
    served.driver.end_epoch("again")  # nothing is there to end
    assert served.observer.told.count(("over",)) == 1


async def test_the_time_that_a_fence_took_is_counted_once_it_is_held(served: Served) -> None:
    for number in (1, 2):
        served.primary.subscribed(number, Subscribe(f"n{number + 1}", "i", 1, None), 0.0)
    fence, ready = served.driver.begin(served.primary, [K])
    _, never = served.driver.begin(served.primary, [("t", b"b")])
    served.clock.time += 0.03
    served.driver._run(served.primary.received(1, Ack(fence), served.clock.time))
    assert ready.done()
    ((_, buckets, total),) = served.driver.fence_waits.distributions()
    assert (buckets[-1][1], total) == (1, pytest.approx(0.03))
    never.cancel()
    served.driver.end_epoch("over")


async def test_a_write_whose_caller_has_gone_is_no_harm(served: Served) -> None:
    for number in (1, 2):
        served.primary.subscribed(number, Subscribe(f"n{number + 1}", "i", 1, None), 0.0)
    fence, ready = served.driver.begin(served.primary, [K])
    ready.cancel()
    served.driver._run([Ready(Position(1, 99)), *served.primary.received(1, Ack(fence), 0.0)])
    assert served.driver.may_send(served.primary, fence)
    _, waits = served.driver.begin(served.primary, [K])
    waits.cancel()
    served.driver.end_epoch("over")


async def test_a_write_of_another_epoch_is_neither_begun_nor_settled(served: Served) -> None:
    fence, _ = served.driver.begin(served.primary, [K])
    later = served.begin(2)
    with pytest.raises(EpochOver):
        served.driver.begin(served.primary, [K])
    assert not served.driver.settle(served.primary, fence, Outcome.SUCCESS, [None])
    assert not served.driver.may_send(served.primary, fence)
    assert later.position == Position(2, 0)


def test_a_node_that_is_no_primary_flushes_and_renews_nothing(served: Served) -> None:
    served.driver.end_epoch("over")
    with pytest.raises(EpochOver):
        served.driver.flush("t")
    served.driver.renewed(served.clock.time + 500.0)
    served.driver.lapsed()
    served.driver.tick()
    assert served.guard.serve_until < served.clock.time


def test_the_lease_is_the_primarys(served: Served) -> None:
    served.driver.renewed(served.clock.time + 500.0)
    assert served.primary.holds(served.clock.time + 499.0)
    served.driver.lapsed()
    assert not served.primary.holds(served.clock.time)


# -- links ----------------------------------------------------------------------------------------


async def test_a_flush_travels_on_every_link_and_nothing_on_one_that_is_gone(
    served: Served,
) -> None:
    contexts = [Context("n2"), Context("n3")]
    tasks = [served.serve(context) for context in contexts]
    for name, context in zip(("n2", "n3"), contexts, strict=True):
        context.send(Subscribe(name, "i", 1, None))
    await until(lambda: all(context.written for context in contexts))
    contexts[1].frames.put_nowait(grpc.aio.EOF)  # type: ignore[attr-defined]
    await asyncio.wait_for(tasks[1], 10.0)
    assert contexts[1].refused == "the replica closed the stream"
    assert served.driver.links == 1
    assert list(served.primary.replicas.links) == [1]
    served.driver.flush("t")
    await until(lambda: len(contexts[0].written) == 2)
    assert isinstance(wire.primary_message_back(contexts[0].written[0]), WelcomeMessage)
    assert wire.primary_message_back(contexts[0].written[1]) == Flush(Position(1, 1), "t")
    served.driver.end_epoch("over")
    await asyncio.wait_for(tasks[0], 10.0)
    assert contexts[0].refused == "over"
    assert served.driver.links == 0


async def test_a_node_that_is_no_primary_refuses_every_link(served: Served) -> None:
    served.driver.end_epoch("over")
    context = Context()
    await asyncio.wait_for(served.driver.serve(context, "n2"), 10.0)
    assert context.refused == "not the primary"
    assert served.driver.links == 0


async def test_nobody_subscribes_for_another_node(served: Served) -> None:
    context = Context("n2")
    context.send(Subscribe("n3", "i", 1, None))
    with pytest.raises(grpc.aio.AbortError):
        await asyncio.wait_for(served.serve(context), 10.0)
    assert context.aborted == (grpc.StatusCode.PERMISSION_DENIED, "n2 subscribes as n3")
    assert not context.written
    assert served.primary.replicas.of("n3") is None
    assert served.driver.links == 0


async def test_a_link_for_another_epoch_is_closed(served: Served) -> None:
    context = Context()
    context.send(Subscribe("n2", "i", 2, None))
    await asyncio.wait_for(served.serve(context), 10.0)
    assert context.refused == "epoch 2 is not the current one"


async def test_what_comes_on_a_link_after_its_epoch_is_over_reaches_no_other(
    served: Served,
) -> None:
    context = Context()
    task = served.serve(context)
    context.send(Subscribe("n2", "i", 1, None))
    await until(lambda: bool(context.written))
    later = served.begin(2)
    context.send(Subscribe("n2", "i", 2, None), Ack(Position(2, 0)))
    await asyncio.wait_for(task, 10.0)
    assert later.replicas.links == {}
    assert later.replicas.of("n2") is None


async def test_a_node_that_subscribes_anew_loses_its_link_of_before(served: Served) -> None:
    contexts = [Context("n2"), Context("n2")]
    tasks = [served.serve(context) for context in contexts]
    for context in contexts:
        context.send(Subscribe("n2", "i", 1, None))
        await until(lambda context=context: bool(context.written))  # type: ignore[misc]
    await asyncio.wait_for(tasks[0], 10.0)
    assert contexts[0].refused == "the node has subscribed anew"
    assert served.driver.links == 1
    tasks[1].cancel()
    await asyncio.gather(tasks[1], return_exceptions=True)


async def test_a_link_whose_messages_cannot_be_read_is_closed_with_the_reason(
    served: Served,
) -> None:
    context = Context()
    context.frames.put_nowait(pb.ReplicaFrame(messages=[pb.ReplicaMessage()]))
    await asyncio.wait_for(served.serve(context), 10.0)
    assert context.refused is not None
    assert "unexpected message from a replica" in context.refused


async def test_a_link_that_breaks_leaves_no_task_and_no_record(served: Served) -> None:
    context = Context()
    task = served.serve(context)
    context.send(Subscribe("n2", "i", 1, None))
    await until(lambda: bool(context.written))
    before = asyncio.all_tasks()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert served.driver.links == 0
    assert served.primary.replicas.links == {}
    left = asyncio.all_tasks() & before
    assert left == {asyncio.current_task()}


# -- backlogs -------------------------------------------------------------------------------------


def flush(sequence: int) -> Flush:
    return Flush(Position(1, sequence), None)


def test_messages_for_a_replica_that_takes_none_are_bounded_by_their_number(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(driver_module, "LINK_BACKLOG_MAX", 3)
    link = Link(1)
    for sequence in range(3):
        link.put(flush(sequence))
    assert link.closed is None
    link.put(flush(3))
    assert link.closed == "replica too far behind"
    link.put(flush(4))
    assert link.backlog == []


def test_bytes_may_reach_their_bound_and_no_more_is_taken_then(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(driver_module, "LINK_BYTES_MAX", 10)
    link = Link(1)
    for sequence in range(3):
        assert link.closed is None
        link.put(Fence(Position(1, sequence), (("tabl", b"k"),)))
    assert link.closed == "replica too far behind"


def test_a_frame_has_at_least_one_message_and_no_more_than_fit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    messages = [Fence(Position(1, n + 1), (("t", bytes([n]) * 100),)) for n in range(5)]
    one = wire.primary_message(messages[0]).ByteSize()
    for room, sizes in ((2 * one, [2, 2, 1]), (2 * one - 1, [1] * 5), (1, [1] * 5)):
        monkeypatch.setattr(driver_module, "FRAME_BYTES_MAX", room)
        link = Link(1)
        for message in messages:
            link.put(message)
        frames = [link.next_frame() for _ in sizes]
        assert [len(frame.messages) for frame in frames] == sizes
        sent = [wire.primary_message_back(m) for frame in frames for m in frame.messages]
        assert sent == messages
        assert link.backlog == []
        assert link.bytes == 0


def test_a_frame_keeps_the_order_of_what_is_packed_and_what_is_not() -> None:
    link = Link(1, packs=True)
    fences = [Fence(Position(1, n), (("t", bytes([n])),)) for n in range(5)]
    for message in (flush(1), *fences[:2], flush(2), *fences[2:]):
        link.put(packing.packed(message) or message)
    frames = []
    while link.backlog:
        frames.append(link.next_frame())
    assert [len(frame.messages) for frame in frames] == [1, 1]
    assert [packing.unpacked(frame.packed) for frame in frames] == [fences[:2], fences[2:]]
    assert link.bytes == 0


def test_a_frame_has_no_more_packed_messages_than_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    fences = [Fence(Position(1, n), (("t", bytes([n])),)) for n in range(5)]
    pieces = [packing.packed(fence) or b"" for fence in fences]
    monkeypatch.setattr(driver_module, "FRAME_BYTES_MAX", 2 * len(pieces[0]))
    link = Link(1, packs=True)
    for piece in pieces:
        link.put(piece)
    found = [packing.unpacked(link.next_frame().packed) for _ in range(3)]
    assert found == [fences[:2], fences[2:4], fences[4:]]
    assert link.bytes == 0


@pytest.mark.parametrize("reads_packed", [False, True])
async def test_a_replica_of_an_older_release_gets_no_packed_messages(
    served: Served, reads_packed: bool
) -> None:
    context = Context("n2")
    serving = served.serve(context)
    frames: list[pb.PrimaryFrame] = []
    kept = context.write

    async def write(frame: pb.PrimaryFrame) -> None:
        frames.append(frame)
        await kept(frame)

    context.write = write  # type: ignore[method-assign]
    hello = wire.replica_frame([Subscribe("n2", "i", 1, None), Ack(Position(1, 0))])
    hello.messages[0].subscribe.reads_packed = reads_packed
    context.frames.put_nowait(hello)
    await until(lambda: context.written, "the Welcome")
    served.driver.begin(served.primary, [("t", b"k")])
    await until(lambda: len(context.written) == 2, "the fence")
    assert bool(frames[-1].packed) is reads_packed
    assert bool(frames[-1].messages) is not reads_packed
    serving.cancel()
    await asyncio.gather(serving, return_exceptions=True)


def test_a_frame_has_no_more_messages_than_its_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver_module, "FRAME_MESSAGES_MAX", 2)
    link = Link(1)
    for sequence in range(3):
        link.put(flush(sequence))
    assert [len(link.next_frame().messages) for _ in range(2)] == [2, 1]


def test_a_link_is_closed_for_its_first_reason_and_wakes_who_serves_it() -> None:
    link = Link(1)
    link.put(flush(1))
    assert link.wake.is_set()
    link.wake.clear()
    link.close("first")
    assert link.wake.is_set()
    assert link.backlog == []
    link.close("second")
    assert link.closed == "first"
