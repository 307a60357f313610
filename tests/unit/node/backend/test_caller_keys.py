"""Principals' credentials: fetched once, anew before they expire, and never another's."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable

import pytest

from cluster.access.principals import Principal
from cluster.access.upstream import Profile, Role, StaticKey
from node.backend import caller_keys
from node.backend.acting import Who, acting, acting_as, actor_of
from node.backend.caller_keys import CallerKeys, Fetched, KeysDenied, NoKeys
from node.backend.lean.signing import Keys
from paceline.errors import RequestError

ANN = Who("ann", 1, Role("arn:aws:iam::123456789012:role/ann"))
BOB = Who("bob", 1, Profile("bob"))


class Provider:
    def __init__(self) -> None:
        self.fetched: list[Who] = []
        self.lasts_s: float | None = 3600.0
        self.fails: Exception | None = None
        self.go = asyncio.Event()
        self.go.set()
        self.now: Callable[[], float] = lambda: 0.0

    async def fetch(self, who: Who) -> Fetched:
        self.fetched.append(who)
        assert acting.get() is None  # of no request
        await self.go.wait()
        if self.fails is not None:
            raise self.fails
        until = None if self.lasts_s is None else self.now() + self.lasts_s
        return Fetched(Keys(f"{who.name}{len(self.fetched)}", "secret"), until)

    async def aclose(self) -> None: ...


class Setup:
    def __init__(self) -> None:
        self.time = 1000.0
        self.provider = Provider()
        self.provider.now = lambda: self.time
        self.keys = CallerKeys(self.provider, lambda: self.time)


async def test_they_are_fetched_once_for_all_who_wait() -> None:
    setup = Setup()
    setup.provider.go.clear()
    waiting = [asyncio.ensure_future(setup.keys.of(ANN)) for _ in range(5)]
    other = asyncio.ensure_future(setup.keys.of(BOB))
    await asyncio.sleep(0)
    waiting[0].cancel()  # who goes away takes nothing from the others
    setup.provider.go.set()
    assert {(await one).access for one in waiting[1:]} == {"ann1"}
    assert (await other).access.startswith("bob")
    assert setup.provider.fetched == [ANN, BOB]


async def test_they_are_fetched_anew_before_they_expire_and_old_ones_end_in_time() -> None:
    setup = Setup()
    assert (await setup.keys.of(ANN)).access == "ann1"
    setup.time += 3600 - caller_keys.EARLY_S + 1
    setup.provider.go.clear()
    assert (await setup.keys.of(ANN)).access == "ann1"  # still good, nobody waits
    setup.time += caller_keys.EARLY_S - caller_keys.LATE_S
    waiting = asyncio.ensure_future(setup.keys.of(ANN))
    await asyncio.sleep(0)
    assert not waiting.done()
    setup.provider.go.set()
    assert (await waiting).access == "ann2"


@pytest.mark.parametrize("failure", [NoKeys("later"), KeysDenied("never")])
async def test_a_failure_is_told_to_all_and_not_asked_for_again_at_once(
    failure: NoKeys | KeysDenied,
) -> None:
    setup = Setup()
    setup.provider.fails = failure
    for _ in range(3):
        with pytest.raises(type(failure)):
            await setup.keys.of(ANN)
    assert len(setup.provider.fetched) == 1
    setup.time += caller_keys.AGAIN_S
    setup.provider.fails = None
    assert (await setup.keys.of(ANN)).access == "ann2"


async def test_what_nobody_foresaw_gives_no_credentials() -> None:
    setup = Setup()
    setup.provider.fails = ZeroDivisionError()
    with pytest.raises(NoKeys):
        await setup.keys.of(ANN)


async def test_a_fetch_that_hangs_is_begun_less_and_less_often(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(caller_keys, "FETCH_S", 0.001)
    setup = Setup()
    setup.provider.go.clear()
    begun = []
    for second in range(200):
        setup.time = 1000.0 + second
        with pytest.raises(NoKeys, match="did not come in time"):
            await setup.keys.of(BOB)
        if len(setup.provider.fetched) > len(begun):
            begun.append(second)
    pauses = [later - before for before, later in itertools.pairwise(begun)]
    assert pauses == [2, 4, 8, 16, 32, 64, 64]
    setup.provider.go.set()
    setup.time += 64
    assert (await setup.keys.of(BOB)).access.startswith("bob")


async def test_what_dynamodb_refuses_is_fetched_anew_once() -> None:
    setup = Setup()
    first = await setup.keys.of(ANN)
    setup.keys.refused(ANN, first)
    second = await setup.keys.of(ANN)
    setup.keys.refused(ANN, first)  # of a request that was slower
    assert await setup.keys.of(ANN) == second
    assert len(setup.provider.fetched) == 2


async def test_a_changed_principal_is_another_one() -> None:
    setup = Setup()
    await setup.keys.of(ANN)
    assert (await setup.keys.of(ANN._replace(revision=2))).access == "ann2"


async def test_they_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caller_keys, "HELD_MAX", 2)
    setup = Setup()
    for revision in range(5):
        await setup.keys.of(ANN._replace(revision=revision))
    assert len(setup.keys._held) == 2


def test_who_has_none_is_nobody_upstream() -> None:
    with pytest.raises(RequestError, match="no credentials of its own"):
        actor_of(Principal("ann", "arn"), "PLAK")
    source = StaticKey("AKIA0000000000000000", "s" * 40)
    actor = actor_of(Principal("ann", "arn", upstream=source, revision=3), "PLAK")
    assert actor.who == Who("ann", 3, source)
    assert source.secret not in repr(actor)
    with acting_as(actor):
        assert acting.get() is actor
    assert acting.get() is None
