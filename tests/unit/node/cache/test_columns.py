"""Nodes come, go and come again; the columns' memory is what they say."""

from __future__ import annotations

import gc
from sys import getsizeof

import pytest

from node.cache.budget import Budget
from node.cache.caches import Caches
from node.cache.columns import Columns
from node.cache.entry import Ttls
from node.cache.eviction import S3Fifo
from node.cache.nodes import UNLINKED, Nodes


@pytest.mark.parametrize("make", [Nodes, Columns])
def test_a_growth_takes_no_more_than_was_said(make: type[Nodes]) -> None:
    nodes = make()
    empty = sum(map(getsizeof, nodes._columns()))
    nodes.sentinel()
    for _ in range(20_000):
        grows, most, before = not nodes.has_free, nodes.growth_bytes, nodes.bytes
        node = nodes.take()
        assert node < len(nodes.next)
        assert (nodes.bytes - before <= most) if grows else nodes.bytes == before
    assert nodes.bytes == sum(map(getsizeof, nodes._columns())) - empty
    assert len({len(column) for column in nodes._columns()}) == 1


def test_nodes_that_were_given_back_are_taken_first() -> None:
    nodes = Nodes()
    end = nodes.sentinel()
    taken = [nodes.take() for _ in range(100)]
    assert sorted([end, *taken]) == list(range(101))
    size = nodes.bytes
    nodes.hits[taken[7]] = 3
    for node in taken[5:50]:
        nodes.give_back(node)
    assert {nodes.take() for _ in range(45)} == set(taken[5:50])
    assert nodes.hits[taken[7]] == 0
    assert nodes.bytes == size


def test_the_memory_goes_when_every_node_is_given_back() -> None:
    columns = Columns()
    end = columns.sentinel()
    taken = [columns.take() for _ in range(1000)]
    held = columns.keys
    for node in taken:
        assert columns.bytes > 40_000
        columns.give_back(node)
    assert columns.bytes < 300
    assert not columns.is_linked(taken[-1])
    assert columns.is_linked(end)
    assert columns.keys is held
    node = columns.take()
    assert columns.next[node] == UNLINKED


@pytest.mark.usefixtures("small_heap")
def test_the_garbage_collector_meets_no_cached_item() -> None:
    """Of an object for each, a full collection with a million items would take half a second."""
    caches = Caches(Budget(1 << 30, S3Fifo), Ttls())

    def install(first: int) -> None:
        for number in range(first, first + 10_000):
            entry = caches.items.install("T", b"%d" % number, b"item", 0.0)
            assert entry is not None
            caches.items.keep_form(entry, b"form")

    install(0)
    gc.collect()
    before = len(gc.get_objects())
    install(10_000)
    gc.collect()
    assert len(gc.get_objects()) <= before + 20
    assert not any(map(gc.is_tracked, caches.items.tables[b"T"]))
