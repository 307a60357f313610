"""Flushes that are carried to the primary, and what its side makes of a forwarded call."""

from __future__ import annotations

from typing import Any, cast

import pytest

from cluster.coherence.guard import Guard
from cluster.settings import CacheSettings
from node.cache.caches import Caches
from node.control import FLUSH, Control
from node.replication import wire
from node.replication.coordinator import There
from node.replication.servicer import ANSWER_S, ReplicationServicer
from paceline.errors import NotSent, OutcomeUnknown, PacelineError, Unavailable
from paceline.types import Params, Result
from paceline.v1 import replication_pb2 as pb
from tests.unit.node.fakes import Clock, FakeTables


class Elsewhere:
    """A coordinator that names another node as the primary, and the way there."""

    def __init__(self, clock: Clock, ends: list[PacelineError | None]) -> None:
        self.clock = clock
        self.ends = ends
        self.sent: list[Params] = []

    def route(self) -> There:
        return There("n2", "n2:1", 1)

    async def changed(self, timeout_s: float) -> None:
        self.clock.time += timeout_s

    async def reach(self, address: str, deadline: float) -> None: ...

    async def forward(
        self, address: str, operation: str, params: Params, deadline: float
    ) -> Result:
        assert operation == FLUSH
        self.sent.append(params)
        end = self.ends.pop(0) if len(self.ends) > 1 else self.ends[0]
        if end is not None:
            raise end
        return {}


def control(ends: list[PacelineError | None]) -> tuple[Control, Elsewhere]:
    clock = Clock()
    there = Elsewhere(clock, ends)
    other = cast(Any, there)
    guard = Guard(Caches.from_settings(CacheSettings()), 10.0)
    return Control(guard, cast(Any, FakeTables()), other, cast(Any, None), other, clock), there


async def test_a_flush_whose_answer_got_lost_is_sent_again() -> None:
    flushing, there = control([OutcomeUnknown("the link broke"), NotSent("no time"), None])
    await flushing.flush("t")
    assert there.sent == [{"Table": "t"}] * 3


async def test_a_flush_that_reaches_no_primary_says_so() -> None:
    flushing, _ = control([OutcomeUnknown("the link broke")])
    with pytest.raises(Unavailable):
        await flushing.flush(None)


class Deadlines:
    """A write path that records until when it may try."""

    def __init__(self) -> None:
        self.deadlines: list[float] = []

    async def execute_here(self, operation: str, params: Params, deadline: float) -> Result:
        self.deadlines.append(deadline)
        raise NotSent("not in time")


class Context:
    def time_remaining(self) -> float:
        return 10.0


async def test_a_forwarded_write_ends_before_its_caller_stops_waiting() -> None:
    clock, writes = Clock(), Deadlines()
    absent: Any = None
    servicer = ReplicationServicer(
        absent, cast(Any, writes), absent, absent, absent, clock, default_timeout_s=10.0
    )
    request = pb.ForwardRequest(operation="PutItem", params=wire.pack({}), origin="n1")
    reply = await servicer.Forward(request, Context())
    assert reply.error.kind == "NotSent"
    assert writes.deadlines == [clock.time + 10.0 - ANSWER_S]
