"""How a disk without a log comes to one: what is asked, kept, and given up for good."""

from __future__ import annotations

import asyncio

import pytest

from cluster.consensus.beginning import Beginning
from cluster.consensus.core.messages import Durable, HardState, Snapshot, founded
from cluster.consensus.founding import Answer, Disks, Introduction
from cluster.consensus.interface import NotAccepted, Welcome
from tests.support.waiting import until

PEERS = {"n1": "a:1", "n2": "b:1", "n3": "c:1"}
DISKS = {"n1": "d1", "n2": "d2", "n3": "d3"}
EMPTY = Durable(HardState(), Snapshot())


class Founder:
    """One of several, who reach each other unless they are ``silent``."""

    def __init__(self, world: World, node: str, disk: str, promised: Disks | None = None) -> None:
        self.kept: list[Disks] = []
        self.goes = asyncio.Event()
        """Cleared: the disk stands still."""
        self.goes.set()
        self.welcome = Welcome()
        self.has_founded: Disks | None = None
        self._world = world
        self.it = Beginning(node, disk, "c", PEERS, promised, self._ask, self._keep)

    async def _ask(self, node: str, address: str, mine: Introduction) -> Answer | None:
        assert address == PEERS[node]
        other = self._world.get(node)
        return None if other is None else other.answer()

    def answer(self) -> Answer:
        told = self.it.introduction
        return Answer(
            Introduction(
                told.node, told.disk, told.cluster, told.founders, told.promised, self.has_founded
            ),
            self.welcome,
        )

    async def _keep(self, disks: Disks) -> None:
        await self.goes.wait()
        self.kept.append(disks)


World = dict[str, Founder]


def three() -> World:
    world: World = {}
    for node, disk in DISKS.items():
        world[node] = Founder(world, node, disk)
    return world


async def test_all_found_the_same_log_once_all_have_promised() -> None:
    world = three()
    begun = [asyncio.create_task(founder.it.run()) for founder in world.values()]
    async with asyncio.timeout(10):
        results = await asyncio.gather(*begun)
    assert results == [founded(tuple(DISKS.values()))] * 3
    assert all(founder.kept == [DISKS] for founder in world.values())
    assert all(founder.it.promised == DISKS for founder in world.values())


async def test_a_promise_is_told_once_it_is_durable() -> None:
    world = three()
    world["n1"].goes.clear()
    begun = [asyncio.create_task(founder.it.run()) for founder in world.values()]
    others = [world["n2"], world["n3"]]
    await until(lambda: all(founder.kept for founder in others), "the others have promised")
    await until(lambda: "n1" in str(others[0].it.waits_for), "they wait for the first")
    assert world["n1"].it.promised is None
    assert not any(task.done() for task in begun)
    world["n1"].goes.set()
    async with asyncio.timeout(10):
        await asyncio.gather(*begun)


async def test_a_founder_that_comes_late_founds_what_was_founded() -> None:
    world = three()
    late = world["n3"] = Founder(world, "n3", "d3", DISKS)
    world["n1"].has_founded = DISKS
    del world["n2"]
    async with asyncio.timeout(10):
        assert await late.it.run() == founded(tuple(DISKS.values()))


async def test_a_late_founder_that_hears_only_from_one_who_joined_founds_it_all_the_same() -> None:
    """Who joined later does not know how the log was founded; that the log knows this disk shows
    that it was founded with it. Beginning without its voters, it could never stand for election."""
    world = three()
    late = world["n3"] = Founder(world, "n3", "d3", DISKS)
    world["n1"].has_founded = {}
    world["n1"].welcome = Welcome(accepted=True)
    del world["n2"]
    async with asyncio.timeout(10):
        assert await late.it.run() == founded(tuple(DISKS.values()))


async def test_a_disk_that_comes_to_a_log_waits_until_it_is_taken_in() -> None:
    world = three()
    world["n1"].has_founded = {"n1": "d1", "n2": "d2"}
    begun = asyncio.create_task(world["n3"].it.run())
    await until(lambda: "taken in" in str(world["n3"].it.waits_for), "it waits")
    assert not begun.done()
    world["n1"].welcome = Welcome(accepted=True)
    async with asyncio.timeout(10):
        assert await begun == EMPTY
    assert not world["n3"].kept


@pytest.mark.parametrize("reason", ["other-disk", "not-a-member"])
async def test_a_refusal_is_final(reason: str) -> None:
    world = three()
    world["n2"].has_founded = DISKS
    world["n2"].welcome = Welcome(refusal=reason)
    with pytest.raises(NotAccepted) as raised:
        async with asyncio.timeout(10):
            await Founder(world, "n1", "another").it.run()
    assert raised.value.reason == reason


async def test_one_founder_alone_asks_nobody() -> None:
    kept: list[Disks] = []

    async def keep(disks: Disks) -> None:
        kept.append(disks)

    async def ask(*_: object) -> None:
        pytest.fail("there is nobody to ask")

    alone = Beginning("n1", "d1", "c", {"n1": "a:1"}, None, ask, keep)
    assert await alone.run() == founded(("d1",))
    assert kept == [{"n1": "d1"}]
