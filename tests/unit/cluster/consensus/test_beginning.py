"""How a disk without a log comes to one: what is asked, kept, and given up for good."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from cluster.consensus import beginning as module
from cluster.consensus.beginning import REFUSALS, Beginning
from cluster.consensus.core.messages import Durable, HardState, Snapshot, founded
from cluster.consensus.founding import Answer, Disks, Introduction
from cluster.consensus.interface import NotAccepted, Peer, Welcome
from tests.support.waiting import until

PEERS = {"n1": "a:1", "n2": "b:1", "n3": "c:1"}
DISKS = {"n1": "d1", "n2": "d2", "n3": "d3"}
EMPTY = Durable(HardState(), Snapshot())


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ROUND_S", 0.005)


class Founder:
    """One of several, who reach each other unless they are ``silent``."""

    def __init__(self, world: World, node: str, disk: str, promised: Disks | None = None) -> None:
        self.kept: list[Disks] = []
        self.goes = asyncio.Event()
        """Cleared: the disk stands still."""
        self.goes.set()
        self.welcome = Welcome()
        self.has_founded: Disks | None = None
        self.rounds = 0
        self.said: Introduction | None = None
        self._world = world
        self.it = Beginning(node, disk, "c", PEERS, promised, self._ask, self._keep)

    async def _ask(self, node: str, address: str, mine: Introduction) -> Answer | None:
        assert address == PEERS[node]
        self.said = mine
        self.rounds += node == ("n2" if self.it.introduction.node != "n2" else "n1")
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

    def opens(self, welcome: Welcome) -> None:
        self.welcome, self.has_founded = welcome, welcome.founders

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
    assert not any(founder.it.waits_for for founder in world.values())


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
    """Beginning without its voters, it could never stand for election."""
    world = three()
    late = world["n3"] = Founder(world, "n3", "d3", DISKS)
    joined = world["n1"]
    joined.opens(Welcome(accepted=True, founders=DISKS))
    del world["n2"]
    async with asyncio.timeout(10):
        assert await late.it.run() == founded(tuple(DISKS.values()))


@pytest.mark.parametrize("founders", [{"n1": "d1", "n2": "d2"}, {}])
async def test_a_disk_that_promised_is_in_no_other_log(founders: Disks) -> None:
    """``{"n3": "d3"}`` most of all: alone, it would lead a log of its own at once."""
    for promise in (DISKS, {"n3": "d3"}):
        world = three()
        late = world["n3"] = Founder(world, "n3", "d3", promise)
        world["n1"].opens(Welcome(accepted=True, founders=founders))
        begun = asyncio.create_task(late.it.run())
        await until(lambda: late.it.waits_for, "it waits")  # noqa: B023
        await until(lambda: late.rounds > 3, "it goes on to wait")  # noqa: B023
        assert not begun.done()
        assert ("data directory" if founders else "not known yet") in str(late.it.waits_for)
        begun.cancel()
        await asyncio.wait([begun])


async def test_a_disk_that_founded_and_did_not_promise_is_not_begun_with() -> None:
    """Its node may have voted with what is not there any more."""
    world = three()
    world["n1"].opens(Welcome(accepted=True, founders=DISKS))
    begun = asyncio.create_task(world["n3"].it.run())
    await until(lambda: world["n3"].rounds > 3, "it asks")
    assert not begun.done()
    assert "a copy?" in str(world["n3"].it.waits_for)
    begun.cancel()
    await asyncio.wait([begun])


async def test_a_disk_that_comes_to_a_log_waits_until_it_is_taken_in() -> None:
    """What founders say that did not hear of the log does not count."""
    world = three()
    world["n1"].has_founded = {"n1": "d1", "n2": "d2"}
    begun = asyncio.create_task(world["n3"].it.run())
    await until(lambda: world["n3"].rounds > 2, "it asks")
    assert "taken in" in str(world["n3"].it.waits_for)
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


async def test_one_refusal_is_not_believed() -> None:
    """A leader that was deposed a moment ago does not know it, nor of members added since."""
    world = three()
    world["n1"].has_founded = world["n2"].has_founded = {"n1": "d1", "n2": "d2"}
    world["n2"].welcome = Welcome(accepted=True)
    new = world["n3"]
    for _ in range(2):
        world["n1"].welcome = Welcome(refusal="not-a-member")
        new.rounds = 0
        begun = asyncio.create_task(new.it.run())
        await until(lambda: new.rounds >= REFUSALS - 2, "it was refused")
        assert "n1 refuses this disk: not-a-member" in str(new.it.waits_for)
        assert not begun.done(), "another one accepts it, which may be older"
        world["n1"].welcome = Welcome()
        async with asyncio.timeout(10):
            assert await begun == EMPTY


async def test_nobody_found_with_what_is_not_there_any_more() -> None:
    """The second one's disk is emptied before the third comes, and it is away just then."""
    world = three()
    third, second = world.pop("n3"), world["n2"]
    begun = asyncio.create_task(world["n1"].it.run())
    await until(lambda: world["n1"].it.waits_for and world["n1"].rounds > 1, "it heard")
    del world["n2"]
    await until(lambda: "n2" in str(world["n1"].it.waits_for), "it is missed")
    world["n3"] = third
    await until(lambda: "n3" not in str(world["n1"].it.waits_for), "the third is there")
    assert not world["n1"].kept
    world["n2"] = Founder(world, "n2", "emptied")
    del second
    tasks = [begun, *(asyncio.create_task(world[node].it.run()) for node in ("n2", "n3"))]
    async with asyncio.timeout(10):
        assert await asyncio.gather(*tasks) == [founded(("d1", "emptied", "d3"))] * 3


def test_who_asks_is_named_and_told_how_the_log_was_founded() -> None:
    asked: list[Introduction] = []

    def welcome(other: Introduction) -> Welcome:
        asked.append(other)
        return Welcome(accepted=True, founders=DISKS)

    async def no(*_: object) -> None:
        raise AssertionError("nobody is asked")

    joined = Beginning("n1", "z", "c", PEERS, None, no, no)
    founder = Beginning("n1", "d1", "c", PEERS, {"n1": "d1"}, no, no)
    other = Introduction("n4", "d4", "c", ("n4",), {"n4": "d4"})
    assert joined.answer(other, None).introduction.founded is None
    said = joined.answer(other, welcome)
    assert said.welcome.accepted
    assert said.introduction.founded == DISKS
    assert founder.answer(other, welcome).introduction.founded == {"n1": "d1"}
    assert asked == [other] * 2
    stranger = Introduction("n4", "d4", "x", ("n4",))
    said = joined.answer(stranger, welcome)
    assert said.welcome == Welcome()
    assert said.introduction.founded == {}
    assert founder.answer(stranger, welcome).introduction.founded == {"n1": "d1"}
    assert len(asked) == 2


async def test_one_founder_alone_asks_nobody() -> None:
    kept: list[Disks] = []

    async def keep(disks: Disks) -> None:
        kept.append(disks)

    async def ask(*_: object) -> None:
        pytest.fail("there is nobody to ask")

    alone = Beginning("n1", "d1", "c", {"n1": "a:1"}, None, ask, keep)
    assert await alone.run() == founded(("d1",))
    assert kept == [{"n1": "d1"}]


class TestStayingKnown:
    """A disk that has a log, and hears from no leader."""

    @pytest.fixture(autouse=True)
    def _quick(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "LOST_ROUND_S", 0.01)
        monkeypatch.setattr(module, "LOST_S", 0.03)

    async def test_one_that_is_level_asks_nobody(self) -> None:
        world = three()
        looked: list[bool] = []

        def is_level() -> bool:
            looked.append(len(looked) % 3 == 2)  # two rounds without are no reason
            return looked[-1]

        task = asyncio.create_task(world["n3"].it.stay_known(is_level))
        await until(lambda: len(looked) > 20, "it was looked after")
        assert not world["n3"].rounds
        await ended(task)

    async def test_one_that_is_lost_asks_until_it_is_known(self) -> None:
        world = three()
        lost, levels = world["n3"], [False]
        task = asyncio.create_task(lost.it.stay_known(lambda: levels[0]))
        await until(lambda: lost.rounds > 3, "it asks")
        assert lost.said == replace(lost.it.introduction, founded={}), "it says that it has a log"
        levels[0] = True
        await asyncio.sleep(0.05)
        before = lost.rounds
        await asyncio.sleep(0.05)
        assert lost.rounds == before
        await ended(task)

    async def test_it_asks_those_of_the_log_and_those_of_the_settings(self) -> None:
        asked: set[tuple[str, str]] = set()

        async def ask(node: str, address: str, mine: Introduction) -> Answer | None:
            asked.add((node, address))
            return None

        async def keep(disks: Disks) -> None:
            raise AssertionError("it promises nothing any more")

        it = Beginning("n1", "d1", "c", PEERS, None, ask, keep)
        it.know_peers({"n1": Peer("a:1", "d1"), "n2": Peer("z:2", "x"), "n4": Peer("d:1", "d4")})
        task = asyncio.create_task(it.stay_known(lambda: False))
        await until(lambda: len(asked) == 4, "all are asked")
        await asyncio.sleep(0.05)
        assert asked == {("n2", "b:1"), ("n3", "c:1"), ("n2", "z:2"), ("n4", "d:1")}
        await ended(task)

    async def test_a_refusal_counts_from_wherever_it_comes(self) -> None:
        """The other address of the node may be a former one."""

        async def ask(node: str, address: str, mine: Introduction) -> Answer | None:
            refused = Answer(Introduction("n2", "d2", "c", ()), Welcome(refusal="other-disk"))
            return refused if address == "b:1" else None

        async def keep(disks: Disks) -> None:
            raise AssertionError("it promises nothing any more")

        it = Beginning("n1", "d1", "c", PEERS, None, ask, keep)
        it.know_peers({"n2": Peer("z:2", "x")})
        with pytest.raises(NotAccepted):
            async with asyncio.timeout(10):
                await it.stay_known(lambda: False)

    async def test_who_is_refused_for_good_is_told(self) -> None:
        world = three()
        world["n1"].opens(Welcome(refusal="not-a-member", founders=DISKS))
        with pytest.raises(NotAccepted, match="not-a-member"):
            async with asyncio.timeout(10):
                await world["n3"].it.stay_known(lambda: False)
        assert world["n3"].rounds == REFUSALS

    async def test_refusals_of_before_do_not_count(self) -> None:
        world = three()
        levels: list[bool] = []

        def is_level() -> bool:
            levels.append(len(levels) % 6 == 5)  # at most three rounds in a row are asked
            return levels[-1]

        world["n1"].opens(Welcome(refusal="other-disk", founders=DISKS))
        task = asyncio.create_task(world["n3"].it.stay_known(is_level))
        await until(lambda: world["n3"].rounds > 2 * REFUSALS, "it was refused often")
        assert not task.done()
        await ended(task)


async def ended(task: asyncio.Task[None]) -> None:
    assert not task.done()
    task.cancel()
    await asyncio.wait([task])
