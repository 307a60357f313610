"""Time-outs of attempts: as ``asyncio.timeout``, with one timer for all."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from node.backend.time_limits import TimeLimit, TimeLimits
from tests.support.waiting import until


async def never() -> None:
    await asyncio.get_running_loop().create_future()


async def test_what_takes_too_long_ends() -> None:
    limits = TimeLimits()
    with pytest.raises(TimeoutError):
        async with limits.within(0.01):
            await never()
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


@pytest.mark.parametrize("left_s", [0.0, -1.0])
async def test_no_time_at_all_ends_what_waits(left_s: float) -> None:
    with pytest.raises(TimeoutError):
        async with TimeLimits().within(left_s):
            await never()


async def test_what_ends_in_time_is_left_alone() -> None:
    limits = TimeLimits()
    async with limits.within(0.01) as limit:
        await asyncio.sleep(0)
    await asyncio.sleep(0.03)
    assert not limits._running
    assert limit.when() is not None


async def test_an_error_in_time_comes_out_as_it_is() -> None:
    with pytest.raises(ZeroDivisionError):
        async with TimeLimits().within(1.0):
            raise ZeroDivisionError


async def test_each_has_its_own_time() -> None:
    limits, ended = TimeLimits(), list[str]()

    async def one(name: str, left_s: float) -> None:
        try:
            async with limits.within(left_s):
                await never()
        except TimeoutError:
            ended.append(name)

    await asyncio.gather(one("late", 0.06), one("early", 0.01), one("middle", 0.03))
    assert ended == ["early", "middle", "late"]


async def test_the_time_may_become_shorter_or_none_at_all() -> None:
    limits = TimeLimits()

    async def shortened() -> None:
        async with limits.within(60.0) as limit:
            limit.reschedule(asyncio.get_running_loop().time() + 0.01)
            await never()

    with pytest.raises(TimeoutError):
        await shortened()
    async with limits.within(0.01) as limit:
        limit.reschedule(None)
        assert limit.when() is None
        await asyncio.sleep(0.03)


@pytest.mark.parametrize("moment", ["before", "after"])
async def test_a_cancellation_of_another_is_no_time_out(moment: str) -> None:
    limits = TimeLimits()
    entered: list[TimeLimit] = []

    async def run() -> None:
        async with limits.within(60.0) as limit:
            entered.append(limit)
            await never()

    task: asyncio.Task[Any] = asyncio.create_task(run())
    await until(lambda: entered)
    if moment == "after":
        entered[0].end()
    task.cancel()
    if moment == "before":
        entered[0].end()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert task.cancelled()


async def test_one_timer_is_enough_while_all_end_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = asyncio.get_running_loop()
    made: list[float] = []
    kept = loop.call_at

    def call_at(when: float, *arguments: Any, **options: Any) -> asyncio.TimerHandle:
        made.append(when)
        return kept(when, *arguments, **options)

    monkeypatch.setattr(loop, "call_at", call_at)
    limits = TimeLimits()
    for _ in range(100):
        async with limits.within(10.0) as limit:
            limit.reschedule(loop.time() + 3.0)
            limit.reschedule(None)
    assert len(made) <= 2
