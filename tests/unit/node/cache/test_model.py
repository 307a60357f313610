"""Random operations on both caches against plain dictionaries with a virtual clock."""

from __future__ import annotations

from math import inf
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from cluster.coherence.effects import IndexTouch
from cluster.coherence.queries import BASE, Dependency
from node.cache import item_cache
from node.cache.budget import ENTRY_SHARE_MAX, Budget
from node.cache.caches import Caches
from node.cache.entry import QueryEntry, Ttl, Ttls, bytes_object_bytes
from node.cache.eviction import EvictionName, policy_named
from node.cache.key_table import SHARD_MASK
from node.cache.nodes import HITS_MAX, UNLINKED
from paceline.dax.responses import item_reply
from tests.support.examples import examples

Key = tuple[str, bytes]

TTLS = Ttls(
    Ttl(record_s=10.0, negative_s=4.0, query_s=6.0),
    {"B": Ttl(record_s=inf, negative_s=0.0, query_s=0.0)},
)

tables = st.sampled_from(["A", "B", "Ç"])
partitions = st.sampled_from([None, b"p", b"q"])
keys: st.SearchStrategy[Key] = st.tuples(tables, st.sampled_from([b"1", b"2", b"3" * 40, b"0"]))
# Lengths about the heads of a CBOR byte string; the longest exceed a tenth of the small budget.
items = st.none() | st.sampled_from([0, 1, 23, 24, 90, 255, 256, 700]).flatmap(
    lambda length: st.binary(min_size=length, max_size=length)
)


class CachesAgainstModel(RuleBasedStateMachine):
    """The model never evicts. What is missing in the caches must be explained by evictions, and
    an eviction by a budget that had no room for what was then inserted."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = pytest.MonkeyPatch()
        self.now = 100.0
        self.live: dict[Key, tuple[bytes | None, float]] = {}
        self.parked: dict[Key, tuple[bytes | None, float]] = {}
        self.queries: dict[Key, tuple[object, float, bytes | None]] = {}

    @initialize(
        policy=st.sampled_from(["s3fifo", "sieve", "lru"]),
        bytes_max=st.sampled_from([4_000, 6_000, 20_000]),
        reclaim=st.sampled_from([1, 1000]),
    )
    def start(self, policy: EvictionName, bytes_max: int, reclaim: int) -> None:
        self.patch.setattr(item_cache, "_RECLAIM_AT_CLEAR", reclaim)
        self.patch.setattr(item_cache, "_RECLAIM_AT_INSTALL", 1)
        self.caches = Caches(Budget(bytes_max, policy_named(policy)), TTLS)
        self.evictions_seen = 0

    def teardown(self) -> None:
        self.patch.undo()

    def insert(self, size: int, used_before: int) -> None:
        """After an insertion of ``size`` bytes (0: refused): reconcile the evictions."""
        budget = self.caches.budget
        evicted = budget.evictions - self.evictions_seen
        self.evictions_seen = budget.evictions
        missing = self.lost()
        assert len(missing) <= evicted
        if evicted:
            room = budget.bytes_max - self.reserved()
            assert used_before + size > room, "evicted although there was room"
        for held, key in missing:
            del held[key]

    def models(self) -> tuple[dict[Key, Any], dict[Key, Any], dict[Key, Any]]:
        return self.live, self.parked, self.queries

    def lost(self) -> list[tuple[dict[Key, Any], Key]]:
        return [
            (model, key)
            for model, there in zip(self.models(), self.actual(), strict=True)
            for key in model
            if key not in there
        ]

    def reserved(self) -> int:
        """What is not for entries: a growth of the columns that there was no room for, too."""
        budget = self.caches.budget
        return budget.policy.bytes + budget.entries.bytes + budget.entries.growth_bytes

    def actual(self) -> tuple[dict[Key, int], dict[Key, int], dict[Key, int]]:
        """The nodes of all entries."""
        items, queries = self.caches.items, self.caches.queries
        assert all(queries._tables.values()), "no table is kept without entries"
        live: dict[Key, int] = {}
        parked: dict[Key, int] = {}
        for name, held in items._held.items():
            live |= {(name.decode(), key): node for key, node in held.live.items()}
            parked |= {(name.decode(), key): node for key, node in held.parked.items()}
            assert (items.tables.get(name) is held.live.shards) == bool(held.live.count)
        results = {
            (name.decode(), key): entry.node
            for name, entries in queries._tables.items()
            for key, entry in entries.items()
        }
        return live, parked, results

    @rule(seconds=st.sampled_from([0.5, 2.0, 4.0, 6.0, 10.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule(key=keys, item=items)
    def install(self, key: Key, item: bytes | None) -> None:
        used = self.caches.budget.bytes
        entry = self.caches.items.install(*key, item, self.now)
        self.live.pop(key, None)
        self.parked.pop(key, None)
        ttl = TTLS.of(key[0])
        ttl_s = ttl.negative_s if item is None else ttl.record_s
        if entry is None:
            too_large = item is not None and (
                (len(item) + len(key[1]) + 180) * ENTRY_SHARE_MAX > self.caches.budget.bytes_max
            )
            assert too_large or ttl_s == 0
            self.insert(0, used)
            return
        assert entry.size * ENTRY_SHARE_MAX <= self.caches.budget.bytes_max
        assert entry.reply == item_reply(item)
        assert entry.item == item
        self.live[key] = (item, self.now + ttl_s)
        self.insert(entry.size, used)
        assert key in self.live, "an entry is not evicted by its own insertion"

    @rule(table=tables, sizes=st.permutations([0, 24, 90, 200, 255, 40]))
    def fill(self, table: str, sizes: list[int]) -> None:
        """Reaches a full budget, and overwrites of other sizes in it, within a few steps."""
        for key, size in zip((b"1", b"2", b"4", b"5", b"6", b"3" * 40), sizes, strict=True):
            self.install((table, key), bytes(size))

    @rule(key=keys)
    def lookup(self, key: Key) -> None:
        entry = self.caches.items.lookup(*key, self.now)
        expected = self.live.get(key)
        if expected is None or expected[1] <= self.now:
            self.live.pop(key, None)
            assert entry is None
        else:
            assert entry is not None
            assert self.caches.items.columns.hits[self.actual()[0][key]]
            assert entry.item == expected[0]
            assert entry.form is None or not any(entry.form), "the form goes with its item"

    @rule(key=keys)
    def hit_as_a_front_end_does(self, key: Key) -> None:
        items = self.caches.items
        columns = items.columns
        shards = items.tables.get(key[0].encode())
        node = shards[hash(key[1]) & SHARD_MASK].get(key[1]) if shards is not None else None
        expected = self.live.get(key)
        assert (node is None) == (expected is None)
        if node is not None and expected is not None and self.now < columns.expires_at[node]:
            columns.hits[node] = min(columns.hits[node] + 1, HITS_MAX)
            if items.touch is not None:
                items.touch(node)
            assert columns.values[node] == item_reply(expected[0])
            assert self.now < expected[1]

    @rule(key=keys, size=st.sampled_from([2, 100, 300, 2_000]))
    def keep_form(self, key: Key, size: int) -> None:
        entry = self.caches.items.peek(*key)
        if entry is None:
            return
        budget, before = self.caches.budget, entry.form
        used, more = budget.bytes, bytes_object_bytes(size)
        fits = (entry.size + more) * ENTRY_SHARE_MAX <= budget.bytes_max
        self.caches.items.keep_form(entry, bytes(size))
        after = self.caches.items.peek(*key)
        if after is not None:
            assert after.form == (bytes(size) if before is None and fits else before)
        self.insert(more, used)

    @rule(key=keys)
    def park(self, key: Key) -> None:
        self.caches.park(key)
        if key in self.live:
            self.parked[key] = self.live.pop(key)

    @rule(key=keys, timed=st.booleans())
    def restore(self, key: Key, timed: bool) -> None:
        self.caches.restore(key, self.now if timed else -inf)
        entry = self.parked.pop(key, None)
        if entry is not None and not (timed and entry[1] <= self.now):
            self.live[key] = entry

    @rule(key=keys)
    def discard(self, key: Key) -> None:
        self.caches.discard(key)
        self.live.pop(key, None)
        self.parked.pop(key, None)

    @rule(key=keys, size=st.sampled_from([10, 100, 400, 5000]), partition=partitions)
    def put_query(self, key: Key, size: int, partition: bytes | None) -> None:
        budget = self.caches.budget
        used, value = budget.bytes, object()
        dependency = Dependency(key[0], partition=partition, low=b"b", high=b"d")
        kept = self.caches.queries.put(key, value, size, self.now, dependency)
        self.queries.pop(key, None)
        if kept:
            self.queries[key] = (value, self.now + TTLS.of(key[0]).query_s, partition)
        else:
            assert key[0] == "B" or (size + len(key[1]) + 900) * ENTRY_SHARE_MAX > budget.bytes_max
        entry = self.caches.queries._tables.get(key[0].encode(), {}).get(key[1])
        assert (entry is not None) == kept
        self.insert(entry.size if entry else 0, used)

    @rule(key=keys)
    def get_query(self, key: Key) -> None:
        value = self.caches.queries.get(key, self.now)
        expected = self.queries.get(key)
        if expected is not None and expected[1] <= self.now:
            del self.queries[key]
            expected = None
        assert value is (None if expected is None else expected[0])

    @rule(table=tables, partition=partitions, sort=st.sampled_from([b"a", b"b", b"c", b"d"]))
    def drop_queries(self, table: str, partition: bytes | None, sort: bytes) -> None:
        self.caches.drop_queries(table, [IndexTouch(BASE, partition, sort)] * 2)
        for key, (_, _, at) in list(self.queries.items()):
            if key[0] == table and (
                partition is None or at is None or (at == partition and sort in (b"b", b"c"))
            ):
                del self.queries[key]

    @rule(table=tables)
    def drop_all_queries(self, table: str) -> None:
        self.caches.drop_queries(table, None)
        self.queries = {key: v for key, v in self.queries.items() if key[0] != table}

    @precondition(lambda self: len(self.live) + len(self.parked) + len(self.queries) > 8)
    @rule(table=st.none() | tables)
    def clear(self, table: str | None) -> None:
        self.caches.clear(table)
        for held in self.models():
            for key in list(held):
                if table in (None, key[0]):
                    del held[key]

    @invariant()
    def nothing_is_lost_invented_or_miscounted(self) -> None:
        if not hasattr(self, "caches"):
            return
        live, parked, queries = self.actual()
        assert set(live) == set(self.live)
        assert set(parked) == set(self.parked)
        assert set(queries) == set(self.queries)
        caches, budget = self.caches, self.caches.budget
        items, columns = caches.items, budget.entries
        cleared = [node for nodes in items._cleared for _, node in nodes.items()]
        item_nodes = [*live.values(), *parked.values(), *cleared]
        sizes = [items.entry(node).size for node in item_nodes]
        for (_, key), node in [*live.items(), *parked.items(), *queries.items()]:
            assert columns.keys[node] == key
        pages = [columns.values[node] for node in queries.values()]
        assert all(isinstance(page, QueryEntry) for page in pages)
        assert [page.node for page in pages] == list(queries.values())
        assert budget.bytes == sum(sizes) + sum(page.size for page in pages)
        assert budget.bytes_used <= budget.bytes_max
        assert items.bytes + caches.queries.bytes == budget.bytes
        assert items.count == len(live)
        assert items.parked == len(parked)
        assert caches.queries.count == len(queries) == len(caches.queries._dependents)
        assert budget.evictions == items.evictions + caches.queries.evictions
        nodes = [*item_nodes, *queries.values()]
        assert sorted(nodes) == sorted(ring(budget))
        free = set(range(len(columns.next))).difference(nodes, sentinels(budget))
        assert len(free) == len(columns.next) - columns.used
        for column in (columns.keys, columns.values, columns.forms):
            assert not any(column[node] for node in free)
        assert all(columns.next[node] == UNLINKED for node in free)


def sentinels(budget: Budget) -> set[int]:
    policy: Any = budget.policy
    return {policy._end, getattr(policy, "_middle", policy._end)}


def ring(budget: Budget) -> list[int]:
    """The policy's nodes, newest first, with every link checked in both directions."""
    columns, ends = budget.entries, sentinels(budget)
    end = min(ends)
    nodes: list[int] = []
    node = end
    while columns.next[node] != end:
        assert columns.prev[columns.next[node]] == node
        node = columns.next[node]
        if node not in ends:  # S3-FIFO has a mark between its queues
            nodes.append(node)
    assert columns.prev[end] == node
    return nodes


CachesAgainstModel.TestCase.settings = settings(max_examples=examples(100), stateful_step_count=50)
TestCachesAgainstModel = CachesAgainstModel.TestCase
