"""Flushes that are carried to the primary, and what its side makes of a forwarded call."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from cluster.coherence.guard import Guard
from cluster.coherence.messages import Ack, Image, LeaseRequest, Position, Subscribe
from cluster.settings import CacheSettings, LeaseSettings
from node.cache.caches import Caches
from node.frontends.peers import ANSWER_S, ReplicationServicer
from node.replication import wire
from node.replication.coordinator import Here, There
from node.replication.primary_driver import EpochOver, Link, PrimaryDriver
from node.tables.schemas import Cause
from node.writes.fencing import PrimaryAccess
from node.writes.flush import FLUSH, Flushes
from paceline.errors import NotSent, OutcomeUnknown, PacelineError, RequestError, Unavailable
from paceline.types import Params, Result
from paceline.v1 import replication_pb2 as pb
from tests.support.waiting import until
from tests.unit.node.fakes import Clock, FakeTables


class Elsewhere:
    """A coordinator that names another node as the primary, and the way there."""

    def __init__(self, clock: Clock, ends: list[PacelineError | None]) -> None:
        self.clock = clock
        self.ends = ends
        self.sent: list[Params] = []

    def route(self) -> There:
        return There("n2", 1)

    async def changed(self, timeout_s: float) -> None:
        self.clock.time += timeout_s

    def at_hand(self, node_id: str) -> bool:
        return False

    async def share(self, *_: Any) -> None: ...

    async def reach(self, address: str, deadline: float) -> None: ...

    async def forward(
        self, address: str, operation: str, params: Params, deadline: float, _by: Any = None
    ) -> Result:
        assert operation == FLUSH
        self.sent.append(params)
        end = self.ends.pop(0) if len(self.ends) > 1 else self.ends[0]
        if end is not None:
            raise end
        return {}


def flushes(ends: list[PacelineError | None]) -> tuple[Flushes, Elsewhere]:
    clock = Clock()
    there = Elsewhere(clock, ends)
    other = cast(Any, there)
    guard = Guard(Caches.from_settings(CacheSettings()), 10.0)
    access = PrimaryAccess(other, cast(Any, None), other, clock)
    return Flushes(guard, cast(Any, FakeTables()), access), there


async def test_a_flush_whose_answer_got_lost_is_sent_again() -> None:
    flushing, there = flushes([OutcomeUnknown("the link broke"), NotSent("no time"), None])
    await flushing.flush("t")
    assert there.sent == [{"Table": "t"}] * 3


async def test_a_flush_that_reaches_no_primary_says_so() -> None:
    flushing, _ = flushes([OutcomeUnknown("the link broke")])
    with pytest.raises(Unavailable):
        await flushing.flush(None)


async def test_this_node_forgets_what_it_has_whether_or_not_a_primary_is_there() -> None:
    flushing, _ = flushes([OutcomeUnknown("the link broke")])
    key = ("t", b"a")
    guard = flushing._guard
    guard.extend(1e6, 0.0)
    fill = guard.begin_fill(key, 50.0)
    assert fill is not None
    doubted: list[str] = []
    flushing._tables.doubt = doubted.append  # type: ignore[method-assign]
    with pytest.raises(Unavailable):
        await flushing.flush("t")
    assert doubted == ["t"]
    assert not guard.end_fill(fill, 51.0)


@pytest.mark.parametrize(
    ("query", "table", "answer"),
    [({}, None, "all tables"), ({"table": ""}, None, "all tables"), ({"table": "t"}, "t", "t")],
)
async def test_a_flush_by_hand_is_of_one_table_or_of_all(
    query: dict[str, str], table: str | None, answer: str
) -> None:
    flushing, there = flushes([None])
    assert await flushing.command(query) == {"flushed": answer}
    assert there.sent == [{"Table": table}]


async def test_a_flush_by_hand_of_something_else_is_refused() -> None:
    flushing, there = flushes([None])
    with pytest.raises(RequestError, match="unknown parameter: 'tabel'"):
        await flushing.command({"tabel": "t"})
    assert there.sent == []


async def test_flushes_that_nobody_waits_for_end_with_the_node() -> None:
    flushing, there = flushes([None])
    unheard = asyncio.Event()

    async def reach(address: str, deadline: float) -> None:
        await unheard.wait()

    there.reach = reach  # type: ignore[method-assign]
    flushing.table_changed("t", "outside")
    [task] = flushing._tasks
    await asyncio.sleep(0)
    await flushing.aclose()
    assert task.cancelled()
    assert there.sent == []


class Deadlines:
    """A write path that records until when it may try."""

    def __init__(self) -> None:
        self.deadlines: list[float] = []

    async def execute_here(
        self, operation: str, params: Params, deadline: float, by: Any = None
    ) -> Result:
        self.deadlines.append(deadline)
        raise NotSent("not in time")


class Context:
    def __init__(self, time_s: float) -> None:
        self._time_s = time_s

    def time_remaining(self) -> float:
        return self._time_s


@pytest.mark.parametrize(("time_s", "left_s"), [(10.0, 10.0 - ANSWER_S), (0.2, 0.15), (-1.0, 0.0)])
async def test_a_forwarded_write_ends_before_its_caller_stops_waiting(
    time_s: float, left_s: float
) -> None:
    clock, writes = Clock(), Deadlines()
    absent: Any = None
    servicer = ReplicationServicer(
        absent, cast(Any, writes), absent, absent, absent, clock, default_timeout_s=10.0
    )
    request = pb.ForwardRequest(operation="PutItem", params=wire.pack({}))
    reply = await servicer.Forward(request, Context(time_s))
    assert reply.error.kind == "NotSent"
    assert writes.deadlines == [pytest.approx(clock.time + left_s)]


class Holding:
    """A coordinator of the node that is the primary."""

    def __init__(self, driver: PrimaryDriver) -> None:
        self.driver = driver

    def route(self) -> Here:
        assert self.driver.primary is not None
        return Here(self.driver.primary)

    async def changed(self, timeout_s: float) -> None: ...


async def test_a_flush_has_reached_everyone_who_may_serve_when_it_returns() -> None:
    clock = Clock()
    caches = Caches.from_settings(CacheSettings())
    guard = Guard(caches, 10.0)
    driver = PrimaryDriver("n1", guard, LeaseSettings(), clock)
    members = frozenset({"n1", "n2", "n3"})
    driver.begin_epoch(1, members, reset=False, lease_until=clock.time + 60)
    primary = driver.primary
    assert primary is not None
    for number, name in ((1, "n2"), (2, "n3")):
        driver._links[number] = Link(number)
        primary.subscribed(number, Subscribe(name, "i", 1, None), clock.time)
        primary.received(number, Ack(Position(1, 0)), clock.time)
        primary.received(number, LeaseRequest(1), clock.time)
    caches.install(("t", b"a"), Image(None), clock.time)
    nobody = cast(Any, None)
    tables = cast(Any, FakeTables())
    access = PrimaryAccess(cast(Any, Holding(driver)), driver, nobody, clock)
    flushing = Flushes(guard, tables, access)
    task = asyncio.create_task(flushing.flush("t"))
    await until(lambda: bool(guard.open_fences()))
    assert caches.items.count == 0
    driver._run(primary.received(1, Ack(primary.position), clock.time))
    await asyncio.sleep(0)
    assert not task.done()  # n3 may still answer from its cache
    driver._run(primary.received(2, Ack(primary.position), clock.time))
    await task
    assert guard.open_fences() == ()


async def test_a_flush_whose_lease_lapsed_meanwhile_is_not_told_as_done() -> None:
    """Who was told of it then may be nobody who serves now."""
    clock = Clock()
    guard = Guard(Caches.from_settings(CacheSettings()), 10.0)
    driver = PrimaryDriver("n1", guard, LeaseSettings(), clock)
    members = frozenset({"n1", "n2", "n3"})
    driver.begin_epoch(1, members, reset=False, lease_until=clock.time + 1.0)
    primary = driver.primary
    assert primary is not None
    for number, name in ((1, "n2"), (2, "n3")):
        driver._links[number] = Link(number)
        primary.subscribed(number, Subscribe(name, "i", 1, None), clock.time)
        primary.received(number, Ack(Position(1, 0)), clock.time)
    nobody = cast(Any, None)
    holding = cast(Any, Holding(driver))
    access = PrimaryAccess(holding, driver, nobody, clock)
    flushing = Flushes(guard, cast(Any, FakeTables()), access)
    task = asyncio.create_task(flushing.run_here({"Table": "t"}, clock.time + 10.0))
    await until(lambda: bool(guard.open_fences()))
    clock.time += 2.0
    primary.lapsed(clock.time)
    driver.renewed(clock.time + 10.0)
    for number in (1, 2):
        driver._run(primary.received(number, Ack(primary.position), clock.time))
    with pytest.raises(EpochOver, match="the lease lapsed"):
        await task


@pytest.mark.parametrize(
    ("cause", "told", "warned"),
    [("outside", 1, True), ("under way", 1, False), ("here only", 0, False)],
)
async def test_who_is_told_of_a_table_that_is_another_one(
    capsys: pytest.CaptureFixture[str], cause: Cause, told: int, warned: bool
) -> None:
    flushing, there = flushes([None])
    flushing.table_changed("t", cause)
    await asyncio.gather(*flushing._tasks)
    assert there.sent == [{"Table": "t"}] * told
    assert ("changed outside the cluster" in capsys.readouterr().out) is warned
