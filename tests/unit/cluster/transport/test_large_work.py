"""Work on the other thread holds nobody up: no full collections, no freeing of much at once."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from typing import Any

import pytest

from cluster.transport import large_work
from cluster.transport.large_work import COLLECTING, FREED_AT_ONCE, LargeWork, free
from tests.support.waiting import until


class Leaf:
    """Tells when it is freed."""


class Slices(list[Any]):
    """Counts what is dropped by one call."""

    def __init__(self, values: list[Any]) -> None:
        super().__init__(values)
        self.dropped: list[int] = []

    def __delitem__(self, index: Any) -> None:
        before = len(self)
        super().__delitem__(index)
        self.dropped.append(before - len(self))


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


def test_many_values_are_freed_few_at_a_time() -> None:
    values = Slices([{"l": {"L": [{"L": []} for _ in range(3 * FREED_AT_ONCE)]}}])
    free(values)
    assert values == []
    assert max(values.dropped) == FREED_AT_ONCE
    assert sum(values.dropped) == 2 * 3 * FREED_AT_ONCE + 3


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
