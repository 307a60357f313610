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


@pytest.fixture
def collected(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Is it time for a collection, and each that was made."""
    made: list[bool] = []
    monkeypatch.setattr(gc, "collect", lambda: made.append(True))
    monkeypatch.setattr(large_work, "COLLECTED_AFTER_S", -1.0)
    return made


async def holding(work: LargeWork, go_on: asyncio.Event, child: bool = False) -> None:
    await work.run(lambda: None)
    await go_on.wait()
    if child:
        await asyncio.create_task(work.admitted())
    await work.admitted()
    await work.run(lambda: None)


async def entering(work: LargeWork) -> None:
    await work.admitted()
    await work.run(lambda: None)


async def test_who_begins_waits_for_a_collection_until_nobody_holds_values(
    collected: list[bool],
) -> None:
    work, go_on = LargeWork(), asyncio.Event()
    await work.admitted()
    assert work._gate is None, "nothing was put off"
    holder = asyncio.create_task(holding(work, go_on, child=True))
    await until(lambda: bool(work._users) and not work._under_way)
    waiting = [asyncio.create_task(entering(work)) for _ in range(2)]
    await until(lambda: work._gate is not None)
    waiting[0].cancel()
    await work.run(lambda: None)  # of this very task, as of answers to writes: it does not wait
    work.holds_nothing()
    assert collected == []
    assert not waiting[1].done()
    go_on.set()  # and it is not in its own way
    await holder
    await waiting[1]
    assert waiting[0].cancelled()
    assert collected == [True]
    assert work._gate is None
    await work.aclose()


async def test_what_was_let_go_has_gone_before_a_collection(collected: list[bool]) -> None:
    work = LargeWork()
    leaf = Leaf()
    gone = weakref.ref(leaf)
    found: list[bool] = []

    async def request(leaf: Leaf | None) -> None:
        await work.run(lambda: None)
        held: list[object] = [[leaf]]
        leaf = None
        waiting = asyncio.create_task(outside())
        await until(lambda: work._gate is not None)
        work.let_go(held)
        waiting.add_done_callback(lambda _: found.append(gone() is None))

    async def outside() -> None:
        large_work._inside.set(False)
        await work.admitted()

    one = asyncio.create_task(request(leaf))
    del leaf
    await one
    await until(lambda: bool(found))
    assert found == [True]
    assert collected == [True]
    await work.aclose()


async def test_nobody_waits_for_ever_for_one_who_holds_values(
    collected: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    work, go_on = LargeWork(), asyncio.Event()
    holder = asyncio.create_task(holding(work, go_on))
    await until(lambda: bool(work._users) and not work._under_way)
    waiting = asyncio.create_task(entering(work))
    await until(lambda: work._gate is not None)
    monkeypatch.setattr(large_work, "COLLECTED_AFTER_S", 1000.0)
    work._waited_enough()
    await waiting
    assert collected == []
    await asyncio.create_task(entering(work))
    assert work._gate is None, "the next try comes later"
    go_on.set()
    await holder
    await work.aclose()


async def test_values_are_held_from_the_end_of_a_piece_on(
    collected: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may take longer than values live."""
    work, go_on = LargeWork(), asyncio.Event()
    clock = [0.0]
    loop = asyncio.get_running_loop()
    monkeypatch.setattr(loop, "time", lambda: clock[0])

    def piece() -> None:
        clock[0] += 2 * large_work.HELD_S

    async def request() -> None:
        await work.run(piece)
        await go_on.wait()

    holder = asyncio.create_task(request())
    await until(lambda: bool(work._users) and not work._under_way)
    waiting = asyncio.create_task(entering(work))
    await until(lambda: work._gate is not None)
    assert collected == []
    go_on.set()
    await holder
    await waiting
    assert collected == [True]
    await work.aclose()


async def test_a_task_that_goes_on_for_ever_says_that_it_holds_nothing(
    collected: list[bool],
) -> None:
    work = LargeWork()
    for _ in range(3):
        await work.run(lambda: None)  # of this very task
        assert len(work._users) == 1
        work.holds_nothing()
    assert not work._users
    await asyncio.create_task(entering_anew(work))
    assert collected == [True]
    await work.aclose()


async def entering_anew(work: LargeWork) -> None:
    large_work._inside.set(False)
    await entering(work)
