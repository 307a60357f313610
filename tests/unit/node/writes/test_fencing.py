"""One fencing round: however it is left, its fence is settled, and by what is true then."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from cluster.coherence.guard import Guard
from cluster.coherence.messages import Ack, Image, Outcome, Position, Subscribe
from cluster.coherence.primary import Primary
from cluster.settings import CacheSettings, LeaseSettings
from node.cache.caches import Caches
from node.replication.coordinator import Here, There
from node.replication.primary_driver import EpochOver, Link, PrimaryDriver
from node.writes.fencing import (
    IN_DOUBT,
    INVALIDATION,
    WRITE,
    FenceRefused,
    PrimaryAccess,
    Purpose,
    ReadyFence,
    announced,
    fenced,
)
from paceline.errors import NotSent, OutcomeUnknown, RequestError, Unavailable
from paceline.types import Params, Result
from tests.support.waiting import until
from tests.unit.node.fakes import Clock

KEY = ("t", b"a")
PURPOSES = pytest.mark.parametrize("purpose", [WRITE, IN_DOUBT, INVALIDATION])


class Broken(Exception):
    pass


class Driver(PrimaryDriver):
    """Of n1, alone or with two replicas whose acknowledgements the test sends."""

    def __init__(self, members: int) -> None:
        self.clock = Clock()
        self.guard = Guard(Caches.from_settings(CacheSettings()), 10.0)
        super().__init__("n1", self.guard, LeaseSettings(), self.clock)
        names = [f"n{number + 1}" for number in range(members)]
        until_s = self.clock.time + 60.0
        self.begin_epoch(1, frozenset(names), reset=False, lease_until=until_s)
        self.held = self.primary
        for number, name in enumerate(names[1:], start=1):
            self._links[number] = Link(number)
            self.the.subscribed(number, Subscribe(name, "i", 1, None), self.clock.time)
            self.the.received(number, Ack(Position(1, 0)), self.clock.time)
        self.ends: list[Outcome | str | None] = []
        """Settles by their outcomes, flushes by their tables, in order."""

    @property
    def the(self) -> Primary:
        assert self.held is not None
        return self.held

    def acknowledge(self) -> None:
        self._run(self.the.received(1, Ack(self.the.position), self.clock.time))

    def flush(self, table: str | None) -> None:
        self.ends.append(table)
        super().flush(table)

    def settle(
        self, primary: Primary, fence: Position, outcome: Outcome, images: Sequence[Image | None]
    ) -> bool:
        self.ends.append(outcome)
        return super().settle(primary, fence, outcome, images)

    @property
    def open(self) -> int:
        """What is not settled; an epoch that is over has settled everything."""
        writes = 0 if self.primary is None else self.primary.open_writes
        return len(self.guard.open_fences()) + writes

    def cached(self) -> bool:
        return self._guard._caches.items.count == 1  # type: ignore[attr-defined]


Body = Callable[[ReadyFence], Coroutine[Any, Any, None]]


async def nothing(fence: ReadyFence) -> None:
    await asyncio.sleep(0)


async def round_of(
    driver: Driver, purpose: Purpose, body: Body = nothing, within_s: float = 10.0
) -> ReadyFence:
    async with fenced(driver, driver.the, [KEY], within_s, purpose, remade=["r"]) as fence:
        await body(fence)
    return fence


async def waiting(driver: Driver, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
    task = asyncio.ensure_future(work)
    await until(lambda: driver.open > 0)
    return task


# -- before there is a fence ------------------------------------------------------------------


@PURPOSES
async def test_no_fence_is_made_without_a_lease(purpose: Purpose) -> None:
    driver = Driver(1)
    driver.clock.time += 120.0
    with pytest.raises(FenceRefused, match="lease is not valid"):
        await round_of(driver, purpose)
    assert (driver.ends, driver.open) == ([], 0)


@PURPOSES
async def test_no_fence_is_made_in_an_epoch_that_is_over(purpose: Purpose) -> None:
    driver = Driver(1)
    driver.end_epoch("over")
    with pytest.raises(EpochOver):
        await round_of(driver, purpose)
    assert (driver.ends, driver.open) == ([], 0)


@PURPOSES
async def test_an_error_of_ours_before_the_fence_says_that_nothing_was_sent(
    purpose: Purpose, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = Driver(1)

    def broken(*args: Any) -> Any:
        raise Broken

    monkeypatch.setattr(driver.guard, "fence", broken)
    with pytest.raises(NotSent, match="internal error") as raised:
        await round_of(driver, purpose)
    assert not isinstance(raised.value, FenceRefused), "that would be tried again for ever"


# -- until it is ready --------------------------------------------------------------------------


@PURPOSES
async def test_a_fence_that_is_not_ready_in_time_is_settled_unready(purpose: Purpose) -> None:
    driver = Driver(3)
    with pytest.raises(NotSent) as raised:
        await round_of(driver, purpose, within_s=0.0)
    assert str(raised.value) == purpose.late
    assert not isinstance(raised.value, FenceRefused)
    assert (driver.ends, driver.open) == ([purpose.unready], 0)


@PURPOSES
async def test_the_end_of_the_epoch_ends_the_wait(purpose: Purpose) -> None:
    driver = Driver(3)
    task = await waiting(driver, round_of(driver, purpose))
    driver.end_epoch("over")
    with pytest.raises(EpochOver):
        await task
    assert (driver.ends, driver.open) == ([purpose.unready], 0)


@PURPOSES
async def test_who_is_cancelled_while_it_waits_has_begun_nothing(purpose: Purpose) -> None:
    driver = Driver(3)
    task = await waiting(driver, round_of(driver, purpose))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (driver.ends, driver.open) == ([purpose.unready], 0)


async def test_a_lapse_during_the_wait_lets_nothing_be_sent() -> None:
    driver = Driver(3)
    may: list[bool] = []

    async def body(fence: ReadyFence) -> None:
        may.append(fence.may_send())
        fence.ended(Outcome.REJECTED)

    task = await waiting(driver, round_of(driver, WRITE, body))
    driver.lapsed()
    driver.renewed(driver.clock.time + 60.0)
    driver.acknowledge()
    fence = await task
    assert (may, fence.held, driver.ends, driver.open) == ([False], False, [Outcome.REJECTED], 0)


async def test_an_epoch_that_ends_when_nobody_waits_any_more_leaves_no_error_behind() -> None:
    driver = Driver(3)
    unseen: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: unseen.append(context))
    task = await waiting(driver, round_of(driver, WRITE))
    task.cancel()
    driver.end_epoch("over")
    await asyncio.gather(task, return_exceptions=True)
    gc.collect()
    await asyncio.sleep(0)
    assert unseen == []
    assert driver.open == 0


# -- once it is ready ---------------------------------------------------------------------------


@PURPOSES
async def test_what_the_body_says_is_what_is_settled(purpose: Purpose) -> None:
    driver = Driver(1)
    image = Image(None)

    async def body(fence: ReadyFence) -> None:
        assert fence.may_send()
        assert [open_.keys for open_ in driver.guard.open_fences()] == [(KEY,)]
        fence.ended(Outcome.SUCCESS, [image])

    fence = await round_of(driver, purpose, body)
    assert (fence.held, driver.ends, driver.open) == (True, ["r", Outcome.SUCCESS], 0)
    assert driver.cached()


async def test_a_rejected_write_has_made_no_table_another_one() -> None:
    driver = Driver(1)

    async def body(fence: ReadyFence) -> None:
        fence.ended(Outcome.REJECTED)

    await round_of(driver, WRITE, body)
    assert driver.ends == [Outcome.REJECTED]


@PURPOSES
async def test_a_body_that_fails_leaves_its_error_and_what_is_not_said(purpose: Purpose) -> None:
    driver = Driver(1)

    async def body(fence: ReadyFence) -> None:
        raise Broken

    with pytest.raises(Broken):
        await round_of(driver, purpose, body)
    assert (driver.ends, driver.open) == (["r", purpose.unsaid], 0)


@PURPOSES
async def test_a_body_that_is_cancelled_has_said_nothing(purpose: Purpose) -> None:
    driver = Driver(1)
    began = asyncio.Event()

    async def body(fence: ReadyFence) -> None:
        began.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(round_of(driver, purpose, body))
    await began.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (driver.ends, driver.open) == (["r", purpose.unsaid], 0)


@pytest.mark.parametrize("ending", ["lapse", "time", "epoch"])
async def test_a_write_whose_lease_lapsed_is_not_held_and_in_doubt(ending: str) -> None:
    driver = Driver(1)

    async def body(fence: ReadyFence) -> None:
        assert fence.may_send()
        match ending:
            case "lapse":
                driver.lapsed()
                driver.renewed(driver.clock.time + 60.0)
            case "time":
                driver.clock.time += 120.0
            case "epoch":
                driver.end_epoch("over")
        fence.ended(Outcome.SUCCESS, [Image(None)])

    fence = await round_of(driver, WRITE, body)
    assert (fence.held, driver.open) == (False, 0)
    assert driver.guard.unknown_keys(driver.clock.time) == (KEY,)
    assert not driver.cached()


@pytest.mark.parametrize("step", ["settle", "orphaned"])
async def test_a_fence_that_cannot_be_settled_is_not_held(
    step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = Driver(1)

    def broken(*args: Any) -> Any:
        raise Broken

    monkeypatch.setattr(driver.the, step, broken)
    fence = await round_of(driver, WRITE)
    assert not fence.held

    async def body(fence: ReadyFence) -> None:
        raise KeyError

    with pytest.raises(KeyError):
        await round_of(driver, WRITE, body)


async def test_an_announcement_during_which_the_lease_lapsed_is_none() -> None:
    driver = Driver(3)
    told = announced(driver, driver.the, [KEY], 10.0, IN_DOUBT)
    task = await waiting(driver, told)
    driver.acknowledge()
    await task
    assert driver.guard.unknown_keys(driver.clock.time) == (KEY,)
    task = await waiting(driver, announced(driver, driver.the, [KEY], 10.0, IN_DOUBT))
    driver.lapsed()
    driver.renewed(driver.clock.time + 60.0)
    driver.acknowledge()
    with pytest.raises(EpochOver, match="lapsed during the report"):
        await task
    assert driver.open == 0


@dataclass
class Cut:
    """What a round had come to when it was cancelled."""

    sent: bool = False
    said: bool = False


@pytest.mark.parametrize("purpose", [WRITE, IN_DOUBT, INVALIDATION])
async def test_it_may_be_cancelled_at_any_moment(purpose: Purpose) -> None:
    """Turn by turn, until the round ends first."""
    for turns in range(100):
        driver, cut = Driver(3), Cut()

        async def body(fence: ReadyFence, cut: Cut = cut) -> None:
            cut.sent = fence.may_send()
            for _ in range(3):
                await asyncio.sleep(0)
            fence.ended(Outcome.SUCCESS)
            cut.said = True
            await asyncio.sleep(0)

        task = asyncio.create_task(round_of(driver, purpose, body))
        for turn in range(turns):
            await asyncio.sleep(0)
            if turn == 3:
                driver.acknowledge()
        task.cancel()
        (end,) = await asyncio.gather(task, return_exceptions=True)
        assert driver.open == 0
        outcomes = [one for one in driver.ends if isinstance(one, Outcome)]
        if cut.said:
            assert outcomes == [Outcome.SUCCESS]
        elif cut.sent:
            assert outcomes == [purpose.unsaid]
        else:
            assert outcomes in ([], [purpose.unready])
        if not isinstance(end, asyncio.CancelledError):
            assert cut.said
            break
    else:
        pytest.fail("it never ended by itself")


# -- the way to the primary -----------------------------------------------------------------------


class Elsewhere:
    """A coordinator and a forwarder: who is the primary, turn by turn, and what comes back."""

    def __init__(self, routes: list[Here | There | None], answers: list[Any] | None = None) -> None:
        self.clock = Clock()
        self.routes = routes
        """The first is the present one; every wait for a change takes it away, but for the last."""
        self.answers = answers or []
        self.asked: list[str] = []
        self.waits: list[float] = []

    def route(self) -> Here | There | None:
        return self.routes[0]

    async def changed(self, timeout_s: float) -> None:
        if timeout_s == 1.0:  # for a connection
            await asyncio.Event().wait()
        self.waits.append(timeout_s)
        self.clock.time += timeout_s
        if len(self.routes) > 1:
            del self.routes[0]

    def at_hand(self, node_id: str) -> bool:
        return False

    async def share(self, *_: Any) -> None: ...

    async def reach(self, node_id: str, deadline: float) -> None:
        if node_id == "unreachable":
            await asyncio.Event().wait()

    async def forward(
        self, node_id: str, operation: str, params: Params, deadline: float, _by: Any = None
    ) -> Result:
        self.asked.append(node_id)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, BaseException):
            raise answer
        if isinstance(answer, asyncio.Event):
            await answer.wait()
        return {"from": node_id}

    async def run(self, *, repeatable: bool = False, here: Any = None) -> Result:
        other: Any = self
        driver: Any = None
        access = PrimaryAccess(other, driver, other, self.clock)
        deadline = self.clock() + 10.0
        return await access.at_primary("Op", {}, deadline, here, repeatable=repeatable)


N2, N3 = There("n2", 1), There("n3", 2)


@pytest.mark.parametrize("error", [OutcomeUnknown("?"), NotSent("no"), RequestError("E", "no")])
async def test_what_comes_of_a_write_is_final(error: Exception) -> None:
    there = Elsewhere([N2, N3], [error, {}])
    with pytest.raises(type(error)):
        await there.run()
    assert (there.asked, there.waits) == (["n2"], [])


@pytest.mark.parametrize(
    "error", [OutcomeUnknown("?"), NotSent("no"), Unavailable("no"), RequestError("E", "no")]
)
async def test_what_is_repeatable_is_done_until_it_is_certain(error: Exception) -> None:
    there = Elsewhere([N2, N3], [error, error, {}])
    assert await there.run(repeatable=True) == {"from": "n3"}
    assert there.asked == ["n2", "n3", "n3"]
    there = Elsewhere([N2], [error])
    with pytest.raises(Unavailable):
        await there.run(repeatable=True)
    assert there.clock.time == pytest.approx(110.0)


async def test_an_error_of_ours_here_is_final_unless_it_may_be_repeated() -> None:
    driver = Driver(1)
    calls: list[Primary] = []

    async def here(primary: Primary) -> Result:
        calls.append(primary)
        if len(calls) < 3:
            raise Broken
        return {"from": "here"}

    there = Elsewhere([Here(driver.the)])
    with pytest.raises(Broken):
        await there.run(here=here)
    assert await there.run(repeatable=True, here=here) == {"from": "here"}
    assert calls == [driver.the] * 3


@pytest.mark.parametrize("repeatable", [False, True])
async def test_who_was_not_the_primary_has_begun_nothing(*, repeatable: bool) -> None:
    there = Elsewhere([N2, None, N3], [EpochOver("not I"), {}])
    assert await there.run(repeatable=repeatable) == {"from": "n3"}
    assert there.asked == ["n2", "n3"]


async def test_who_was_not_the_primary_is_followed_by_the_next_one_at_once() -> None:
    there = Elsewhere([Here(Driver(1).the), N3], [{}])

    async def here(primary: Primary) -> Result:
        del there.routes[0]  # the view came while it was asked
        raise EpochOver("not I")

    assert await there.run(here=here) == {"from": "n3"}
    assert there.waits == []


@pytest.mark.parametrize("error", [NotSent("no time left"), EpochOver("not in a second")])
async def test_nothing_is_handed_over_to_who_cannot_be_reached(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    there = Elsewhere([N2], [{}])

    async def reach(node_id: str, deadline: float) -> None:
        raise error

    monkeypatch.setattr(there, "reach", reach)
    with pytest.raises(NotSent):
        await there.run()
    assert there.asked == []


@pytest.mark.parametrize(("repeatable", "error"), [(False, NotSent), (True, Unavailable)])
async def test_without_a_primary(*, repeatable: bool, error: type[Exception]) -> None:
    there = Elsewhere([None])
    with pytest.raises(error, match="no primary"):
        await there.run(repeatable=repeatable)
    assert (there.asked, there.clock.time) == ([], pytest.approx(110.0))


async def test_an_answer_is_waited_for_a_moment_after_the_next_epoch_has_begun(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("node.writes.fencing.NEW_PRIMARY_GRACE_S", 0.0)
    monkeypatch.setattr("node.writes.fencing.CHECK_S", 0.0)
    there = Elsewhere([N2], [asyncio.Event(), RequestError("E", "asked twice")])
    task = asyncio.create_task(there.run())
    await until(lambda: there.asked == ["n2"])
    there.routes = [N3]
    with pytest.raises(OutcomeUnknown, match="primary changed"):
        await task
    assert there.asked == ["n2"]


@pytest.mark.parametrize("where", ["reach", "forward", "changed", "here"])
async def test_who_is_cancelled_on_the_way_leaves_nothing_running(where: str) -> None:
    reached = asyncio.Event()

    async def here(primary: Primary) -> Result:
        reached.set()
        await asyncio.Event().wait()
        raise AssertionError

    class Slow(Elsewhere):
        async def changed(self, timeout_s: float) -> None:
            reached.set()
            await asyncio.Event().wait()

        async def forward(self, *args: Any) -> Result:
            reached.set()
            return await super().forward(*args)

    route = {
        "reach": There("unreachable", 1),
        "forward": N2,
        "changed": None,
        "here": Here(Driver(1).the),
    }[where]
    before = asyncio.all_tasks()
    task = asyncio.create_task(Slow([route], [asyncio.Event()]).run(here=here))
    await reached.wait()
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert asyncio.all_tasks() == before


async def test_only_the_primary_does_what_others_forward() -> None:
    nobody: Any = None
    for route in (N2, None):
        other: Any = Elsewhere([route])
        with pytest.raises(EpochOver):
            PrimaryAccess(other, nobody, nobody, Clock()).here()
    driver = Driver(1)
    other = Elsewhere([Here(driver.the)])
    assert PrimaryAccess(other, nobody, nobody, Clock()).here() is driver.the
