"""How many requests begin in a turn of the event loop."""

from __future__ import annotations

import asyncio
import random

import pytest

from cluster.transport.turns import TURN_S, Turns
from tests.support.waiting import until


class Rig:
    """Requests take time of a clock of their own."""

    def __init__(self) -> None:
        self.time = 0.0
        self.turns = Turns(lambda: self.time)
        self.order: list[int] = []
        self.taken: list[float] = []
        """What each turn of the loop took, in seconds of that clock."""

    async def request(self, number: int, takes_s: float) -> None:
        await self.turns.begin()
        self.order.append(number)
        self.time += takes_s

    async def watch(self) -> None:
        """Notes each turn, as a timer of a lease would see it."""
        while True:
            began = self.time
            await asyncio.sleep(0)
            self.taken.append(self.time - began)


@pytest.fixture
def rig() -> Rig:
    return Rig()


async def test_a_few_begin_at_once(rig: Rig) -> None:
    for number in range(10):
        await rig.request(number, TURN_S / 20)
        assert not rig.turns._waiting
    assert rig.order == list(range(10))


@pytest.mark.parametrize("takes_s", [TURN_S / 50, TURN_S / 3, TURN_S * 2])
async def test_many_are_spread_over_turns(rig: Rig, takes_s: float) -> None:
    watching = asyncio.ensure_future(rig.watch())
    count = 200
    tasks = [asyncio.ensure_future(rig.request(n, takes_s)) for n in range(count)]
    await until(lambda: all(task.done() for task in tasks))
    watching.cancel()
    assert rig.order == list(range(count))
    assert max(rig.taken) <= 2 * TURN_S + takes_s
    assert sum(rig.taken) > 0.8 * count * takes_s  # the last one was not noted
    # Nor is a turn of the loop spent on each of many small ones.
    assert sum(1 for taken in rig.taken if taken) <= max(count, 4 * count * takes_s / TURN_S)


async def test_time_that_nobody_takes_lets_all_go_on(rig: Rig) -> None:
    rig.time = 0.0
    tasks = [asyncio.ensure_future(rig.request(n, 0.0)) for n in range(1000)]
    await asyncio.wait_for(asyncio.gather(*tasks), 10)
    assert rig.order == list(range(1000))


@pytest.mark.parametrize("seed", range(20))
async def test_who_gives_up_holds_up_nobody(rig: Rig, seed: int) -> None:
    print(f"seed {seed}")
    rng = random.Random(seed)
    tasks = [
        asyncio.ensure_future(rig.request(n, rng.choice([0.0, TURN_S / 5, TURN_S * 2])))
        for n in range(60)
    ]
    for _ in range(rng.randrange(5)):
        await asyncio.sleep(0)
    given_up = rng.sample(tasks, 20)
    for task in given_up:
        task.cancel()
    await until(lambda: all(task.done() for task in tasks))
    assert {n for n, task in enumerate(tasks) if not task.cancelled()} == set(rig.order)
    assert rig.order == sorted(rig.order)
    await asyncio.sleep(0)
    await asyncio.wait_for(rig.request(99, 0.0), 10)
