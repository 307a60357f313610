"""The budget counts real memory: what it says against what the interpreter allocated."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable

import pytest

from node.cache.budget import Budget
from node.cache.caches import Caches
from node.cache.entry import Ttls, allocated_bytes, bytes_object_bytes
from node.cache.eviction import Sieve

pytestmark = pytest.mark.usefixtures("small_heap")

TOLERANCE = 0.05
TOLERANCE_OF_KEYS_IN_ONE_DICT = 0.12


def traced_bytes(fill: Callable[[], None]) -> int:
    """Memory that ``fill`` left allocated: every block, in the allocator's steps of 16 bytes."""
    gc.collect()
    tracemalloc.start()
    try:
        fill()
        gc.collect()
        snapshot = tracemalloc.take_snapshot()
    finally:
        tracemalloc.stop()
    return sum((trace.size + 15) // 16 * 16 for trace in snapshot.traces)


@pytest.mark.parametrize("bytes_max", [250_000, 437_500, 1_500_000, 2_500_000])
@pytest.mark.parametrize("item_bytes", [None, 30, 100, 1000])
def test_a_full_cache_takes_what_the_budget_says(item_bytes: int | None, bytes_max: int) -> None:
    """Full and churning, which is when the limit matters, at sizes between two table sizes."""
    if item_bytes == 1000 and bytes_max > 1_000_000:
        bytes_max *= 4  # as many keys as of the others, in many dicts
    caches = Caches(Budget(bytes_max, Sieve), Ttls())

    def fill() -> None:
        for i in range(2 * bytes_max // (300 + (item_bytes or 0))):
            item = None if item_bytes is None else i.to_bytes(4, "big") + bytes(item_bytes - 4)
            caches.items.install("Users", b"\x58\x20%032d" % i, item, now=i / 1000)

    traced = traced_bytes(fill)
    counted = caches.budget.bytes_used
    assert caches.items.evictions > 0
    single = bytes_max < 1_000_000 and item_bytes is None
    tolerance = TOLERANCE_OF_KEYS_IN_ONE_DICT if single else TOLERANCE
    assert abs(counted / traced - 1) <= tolerance, f"counted {counted}, real {traced}"


@pytest.mark.parametrize("item_bytes", [100, 1000])
def test_a_growing_cache_never_takes_more_than_the_budget_says(item_bytes: int) -> None:
    caches = Caches(Budget(1 << 30, Sieve), Ttls())

    def fill() -> None:
        for i in range(3_000):
            item = i.to_bytes(4, "big") + bytes(item_bytes - 4)
            caches.items.install("Users", b"\x58\x20%032d" % i, item, now=i / 1000)

    traced = traced_bytes(fill)
    counted = caches.budget.bytes_used
    assert traced <= counted * 1.02
    assert counted <= traced * (1 + TOLERANCE)


def test_query_results_are_counted_with_what_surrounds_them() -> None:
    caches = Caches(Budget(2_000_000, Sieve), Ttls())

    def fill() -> None:
        for i in range(10_000):
            value = i.to_bytes(4, "big") + bytes(200)
            size = bytes_object_bytes(len(value))
            caches.queries.put(("Users", b"%032d" % i), value, size, now=i / 1000)

    traced = traced_bytes(fill)
    counted = caches.budget.bytes_used
    assert caches.queries.evictions > 0
    assert abs(counted / traced - 1) <= TOLERANCE, f"counted {counted}, real {traced}"


def test_evicted_entries_are_freed_without_the_cycle_collector() -> None:
    caches = Caches(Budget(1_000_000, Sieve), Ttls())

    def install(start: int) -> None:
        for i in range(start, start + 4_000):
            caches.items.install("Users", b"%032d" % i, bytes(100), now=0.0)

    install(0)
    gc.collect()
    gc.disable()
    try:
        for round_ in range(1, 4):
            install(round_ * 4_000)
        caches.clear(None)
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        # Other tests' threads make cycles of their own, so only the caches' objects count.
        left = [thing for thing in gc.garbage if type(thing).__module__.startswith("node.cache")]
        assert left == []
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()


def test_sizes_of_allocations() -> None:
    assert [allocated_bytes(n) for n in (1, 16, 17, 512, 513, 520, 521)] == [
        16,
        16,
        32,
        512,
        528,
        528,
        544,
    ]
