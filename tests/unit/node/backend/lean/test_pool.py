"""Connections: how many, who gets which, and that none is lost count of."""

from __future__ import annotations

import asyncio
import random
from typing import Any, cast

import pytest

from node.backend.lean.connection import Connection
from node.backend.lean.pool import Limits, NotConnected, Pool
from tests.support.waiting import until

KEEPALIVE_S = 20.0


class Stub:
    def __init__(self) -> None:
        self.should_close = False
        self.is_new = True
        self.aborted = False

    def abort(self) -> None:
        self.aborted = self.should_close = True


class Rig:
    """``failing``: what connecting raises."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, connections_max: int = 2) -> None:
        self.time = 100.0
        self.made: list[Stub] = []
        self.failing: Exception | None = None
        self.gate = asyncio.Event()
        self.gate.set()
        self.pool = Pool(
            "localhost",
            8000,
            None,
            Limits(connections_max, connect_s=5.0, keepalive_s=KEEPALIVE_S, unacknowledged_s=3.0),
            now=lambda: self.time,
        )

        async def connect() -> Connection:
            await self.gate.wait()
            if self.failing is not None:
                raise self.failing
            self.made.append(Stub())
            return cast(Connection, self.made[-1])

        monkeypatch.setattr(self.pool, "_connect", connect)

    @property
    def open(self) -> int:
        return sum(not one.aborted for one in self.made)


@pytest.fixture
def rig(monkeypatch: pytest.MonkeyPatch) -> Rig:
    return Rig(monkeypatch)


async def test_the_one_used_last_is_used_first(rig: Rig) -> None:
    first, second = await rig.pool.take(), await rig.pool.take()
    rig.pool.give_back(second, True)
    rig.pool.give_back(first, True)
    assert await rig.pool.take() is first
    assert await rig.pool.take() is second
    assert len(rig.made) == 2


async def test_who_is_one_too_many_waits_for_one_that_comes_back(rig: Rig) -> None:
    first, _ = await rig.pool.take(), await rig.pool.take()
    third = asyncio.ensure_future(rig.pool.take())
    await asyncio.sleep(0)
    assert not third.done()
    rig.pool.give_back(first, True)
    assert await third is first


async def test_one_that_is_no_good_makes_room_for_another(rig: Rig) -> None:
    first, _ = await rig.pool.take(), await rig.pool.take()
    third = asyncio.ensure_future(rig.pool.take())
    await asyncio.sleep(0)
    rig.pool.give_back(first, False)
    assert await third is rig.made[2]
    assert rig.made[0].aborted


@pytest.mark.parametrize("how", ["idle for long", "closed meanwhile"])
async def test_one_that_may_be_closed_is_not_used(rig: Rig, how: str) -> None:
    first = await rig.pool.take()
    rig.pool.give_back(first, True)
    if how == "idle for long":
        rig.time += KEEPALIVE_S
    else:
        rig.made[0].should_close = True
    assert await rig.pool.take() is rig.made[1]
    assert rig.made[0].aborted


async def test_what_is_idle_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    rig = Rig(monkeypatch)
    first, second = await rig.pool.take(), await rig.pool.take()
    rig.pool.give_back(first, True)
    rig.time += KEEPALIVE_S / 2
    rig.pool.give_back(second, True)
    rig.time += KEEPALIVE_S / 2
    rig.pool._close_idle()
    assert [one.aborted for one in rig.made] == [True, False]
    rig.time += KEEPALIVE_S / 2
    rig.pool._close_idle()
    assert [one.aborted for one in rig.made] == [True, True]
    assert rig.pool._count == 0


@pytest.mark.parametrize(
    "failing", [OSError("refused"), TimeoutError("too long")], ids=["refused", "late"]
)
async def test_a_failure_to_connect_is_told_and_leaves_room(rig: Rig, failing: Exception) -> None:
    rig.failing = failing
    for _ in range(5):
        with pytest.raises(NotConnected):
            await rig.pool.take()
    rig.failing = None
    assert await rig.pool.take() is rig.made[0]
    assert await rig.pool.take() is rig.made[1]


async def test_who_gives_up_leaves_its_turn_to_the_next(rig: Rig) -> None:
    first, _ = await rig.pool.take(), await rig.pool.take()
    third, fourth = (asyncio.ensure_future(rig.pool.take()) for _ in range(2))
    await asyncio.sleep(0)
    rig.pool.give_back(first, True)  # the third is told
    third.cancel()
    assert await asyncio.wait_for(fourth, 10) is first


async def test_who_waits_is_not_passed_over(rig: Rig) -> None:
    """By those that come later, in the step of a connection's return or behind it."""
    first, second = await rig.pool.take(), await rig.pool.take()
    third, fourth = (asyncio.ensure_future(rig.pool.take()) for _ in range(2))
    await asyncio.sleep(0)
    rig.pool.give_back(first, True)
    fifth = asyncio.ensure_future(rig.pool.take())
    rig.pool.give_back(second, False)
    sixth = asyncio.ensure_future(rig.pool.take())
    await until(lambda: third.done() and fourth.done())
    assert await third is first
    assert await fourth is rig.made[2]
    assert not fifth.done()
    assert not sixth.done()
    rig.pool.give_back(first, True)
    assert await asyncio.wait_for(fifth, 10) is first
    sixth.cancel()
    rig.pool.give_back(first, True)
    assert await asyncio.wait_for(rig.pool.take(), 10) is first


async def test_what_was_promised_and_ends_meanwhile_is_replaced(rig: Rig) -> None:
    first, _ = await rig.pool.take(), await rig.pool.take()
    third = asyncio.ensure_future(rig.pool.take())
    await asyncio.sleep(0)
    rig.pool.give_back(first, True)
    rig.made[0].should_close = True
    assert await asyncio.wait_for(third, 10) is rig.made[2]
    assert rig.pool._promised == 0


async def test_close_ends_those_that_wait_and_what_comes_back(rig: Rig) -> None:
    first, second = await rig.pool.take(), await rig.pool.take()
    third = asyncio.ensure_future(rig.pool.take())
    await asyncio.sleep(0)
    rig.pool.give_back(second, True)
    rig.pool.close()
    with pytest.raises(NotConnected):
        await third
    rig.pool.give_back(first, True)
    assert rig.open == 0
    with pytest.raises(NotConnected):
        await rig.pool.take()


@pytest.mark.parametrize("seed", range(20))
async def test_random_uses_lose_none(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Never more than allowed, never one for two, and in the end everybody has had one."""
    print(f"seed {seed}")
    rng = random.Random(seed)
    rig = Rig(monkeypatch, connections_max=3)
    in_use: set[Any] = set()
    served = 0

    async def use() -> None:
        nonlocal served
        try:
            connection = await rig.pool.take()
        except NotConnected:
            return
        assert connection not in in_use
        in_use.add(connection)
        assert len(in_use) <= 3
        assert rig.open <= 3
        usable = rng.random() < 0.8
        try:
            for _ in range(rng.randrange(4)):
                await asyncio.sleep(0)
            served += 1
        finally:
            in_use.discard(connection)
            rig.pool.give_back(connection, usable)

    tasks = []
    for _ in range(200):
        tasks.append(asyncio.ensure_future(use()))
        rig.failing = OSError("x") if rng.random() < 0.2 else None
        rig.time += rng.choice([0.0, 1.0, KEEPALIVE_S])
        if rng.random() < 0.2:
            rng.choice(tasks).cancel()
        for _ in range(rng.randrange(3)):
            await asyncio.sleep(0)
    rig.failing = None
    await until(lambda: all(task.done() for task in tasks))
    assert served > 50
    assert rig.pool._promised == 0
    assert rig.pool._count == len(rig.pool._idle) == rig.open


async def test_it_is_full_while_whoever_comes_would_wait(rig: Rig) -> None:
    assert not rig.pool.is_full
    first, _ = await rig.pool.take(), await rig.pool.take()
    assert rig.pool.is_full
    third = asyncio.ensure_future(rig.pool.take())
    await asyncio.sleep(0)
    rig.pool.give_back(first, True)
    assert rig.pool.is_full, "that one is promised"
    rig.pool.give_back(await third, True)
    assert not rig.pool.is_full
    rig.pool.close()
    assert not rig.pool.is_full, "nobody waits for what is closed"
