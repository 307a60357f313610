"""Work on the other thread holds nobody up: no full collections, no freeing of much at once."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from collections.abc import Iterator

import pytest

from cluster.transport import large_work
from cluster.transport.large_work import COLLECTING, FREED_AT_ONCE, LargeWork, free
from tests.support.waiting import until


class Leaf:
    """Tells when it is freed."""


@pytest.fixture(autouse=True)
def _as_usual() -> Iterator[None]:
    """Others may have left large work open."""
    gc.set_threshold(*COLLECTING)
    yield
    gc.set_threshold(*COLLECTING)


async def test_there_is_no_full_collection_while_large_values_live() -> None:
    work = LargeWork()
    inside = await work.run(gc.get_threshold)
    assert inside[:2] == COLLECTING[:2]
    assert inside[2] == large_work.FULL_COLLECTIONS_HELD_MAX > 1000 * COLLECTING[2]
    assert gc.get_threshold() == inside, "until what was made has gone"
    await work.aclose()
    assert gc.get_threshold() == COLLECTING


async def test_collections_come_back_by_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(large_work, "HELD_S", 0.0)
    work = LargeWork()
    await work.run(lambda: None)
    await until(lambda: gc.get_threshold() == COLLECTING)
    await work.aclose()


async def test_work_without_end_leaves_times_for_collections(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(large_work, "HELD_IN_A_ROW_S", -1.0)
    work = LargeWork()
    held = large_work.FULL_COLLECTIONS_HELD_MAX
    assert (await work.run(gc.get_threshold))[2] == held
    assert await work.run(gc.get_threshold) == COLLECTING, "it was held for too long in a row"
    assert await work.run(gc.get_threshold) == COLLECTING, "and there is time for one now"
    monkeypatch.setattr(large_work, "COLLECTING_S", 0.0)
    work = LargeWork()
    await work.run(gc.get_threshold)
    await work.run(gc.get_threshold)
    assert (await work.run(gc.get_threshold))[2] == held
    await work.aclose()


@pytest.mark.parametrize("shape", ["list of values", "lists in lists", "map of values"])
def test_values_are_freed_one_by_one(shape: str) -> None:
    count = 3 * FREED_AT_ONCE
    leaves = [{"B": Leaf()} for _ in range(count)]
    alive = weakref.WeakSet(leaf["B"] for leaf in leaves)
    match shape:
        case "list of values":
            values: list[object] = [{"l": {"L": leaves}}]
        case "lists in lists":
            values = [{"l": {"L": [{"L": leaves[n : n + 10]} for n in range(0, count, 10)]}}]
        case _:
            values = [{"m": {"M": {f"a{n}": leaf for n, leaf in enumerate(leaves)}}}]
    del leaves
    before, most = count, 0
    for _ in large_work._freed(values):
        most = max(most, before - len(alive))
        before = len(alive)
    assert values == []
    assert before == 0
    assert most == 1


async def test_what_nobody_waits_for_any_more_is_freed_on_the_thread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    freed: list[tuple[list[object], bool]] = []

    def free_(values: list[object]) -> None:
        freed.append((list(values), threading.current_thread() is threading.main_thread()))

    monkeypatch.setattr(large_work, "free", free_)
    work = LargeWork()
    begun, go_on = threading.Event(), threading.Event()

    def make() -> str:
        begun.set()
        assert go_on.wait(30.0)
        return "made"

    waiting = asyncio.ensure_future(work.run(make))
    await until(begun.is_set)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    go_on.set()
    await until(lambda: freed == [(["made"], False)])
    await work.aclose()


async def test_there_is_no_full_collection_while_work_takes_longer_than_values_live(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(large_work, "HELD_S", 0.0)
    work = LargeWork()
    passed = threading.Event()

    def look() -> tuple[int, int, int]:
        assert passed.wait(30.0)
        return gc.get_threshold()

    looking = asyncio.ensure_future(work.run(look))
    for _ in range(10):  # of the loop's turns, in each of which its timer is due
        await asyncio.sleep(0)
    passed.set()
    assert (await looking)[2] == large_work.FULL_COLLECTIONS_HELD_MAX
    await until(lambda: gc.get_threshold() == COLLECTING)
    await work.aclose()


async def test_what_is_small_is_done_at_once() -> None:
    work = LargeWork()
    for large in (False, True):
        inline = await work.run_if(
            large, lambda: threading.current_thread() is threading.main_thread()
        )
        assert inline is not large
    await work.aclose()


def test_what_was_let_go_is_freed_whatever_it_is_in() -> None:
    leaf = Leaf()
    gone = weakref.ref(leaf)
    values: list[object] = [{"a": [({"b": leaf},)]}]
    del leaf
    free(values)
    assert gone() is None


def test_what_others_hold_is_as_it_was() -> None:
    shared = {"M": {"a": {"L": [{"N": "1"}, ({"S": "x"},)]}}}
    free([{"Item": shared}, shared["M"]])
    assert shared == {"M": {"a": {"L": [{"N": "1"}, ({"S": "x"},)]}}}


async def test_values_are_let_go_on_the_thread() -> None:
    work = LargeWork()
    await work.run(lambda: None)
    leaf = Leaf()
    gone = weakref.ref(leaf)
    values: list[object] = [[leaf]]
    del leaf
    work.let_go(values)
    await work.run(lambda: None)  # behind it
    assert gone() is None
    await work.aclose()
    work.let_go([[]])  # it may come late


async def test_work_in_a_row_is_interrupted_by_a_collection_when_its_values_have_gone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    collected: list[bool] = []
    monkeypatch.setattr(gc, "collect", lambda: collected.append(True))
    work = LargeWork()
    go_on = asyncio.Event()

    async def request() -> None:
        await work.run(lambda: None)
        await go_on.wait()
        work.let_go([[]])

    go_on.set()
    await asyncio.create_task(request())
    await asyncio.create_task(request())
    await asyncio.create_task(work.run(lambda: None))  # behind what was let go
    assert collected == [], "it was not put off for long"
    monkeypatch.setattr(large_work, "COLLECTED_AFTER_S", -1.0)
    go_on.clear()
    holding = asyncio.create_task(request())
    await until(lambda: holding in work._users)
    work.let_go([[]])
    await asyncio.create_task(work.run(lambda: None))
    assert collected == [], "what it has made may be there still"
    go_on.set()
    await holding
    work.let_go([[]])
    await until(lambda: bool(collected))
    assert not work._users
    collected.clear()
    await work.run(lambda: None)  # of this very task, which goes on
    assert len(work._users) == 1
    work.holds_nothing()
    work.let_go([[]])
    await until(lambda: bool(collected))
    await work.aclose()
