"""No cached page differs from a fresh one; and pages that a write cannot change stay."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest

from cluster.coherence.effects import Effect
from cluster.coherence.fills import Fill
from cluster.coherence.guard import Guard
from cluster.coherence.messages import Outcome, Position
from cluster.settings import CacheSettings, QueryInvalidation
from node.cache.caches import Caches
from node.cache.query_cache import QueryKey
from node.reads.items import Counters
from node.reads.queries import Queries, QueryAnswer
from node.reads.single_flight import SingleFlight
from node.tables.keys import KnownKeys
from node.tables.table_info import TableInfo
from paceline.dax.keys import encode_key
from paceline.types import Item, KeyAttribute, KeySchema, Params
from tests.unit.node.fakes import Clock, FakeBackend
from tests.unit.node.reads.query_planted import PLANTED, Plant, planted
from tests.unit.node.reads.query_rig import Stale, run

SEEDS = range(15)
FRESH = 5
SEEDS_MAX = 2000
"""Far more than any planted bug needs."""

NOTICED_BY = {
    "an_unknown_old_image_counts_as_no_item": 13,
    "an_unknown_old_image_counts_as_an_item_without_attributes": 13,
    "updates_change_no_index_key": 25,
    "a_computed_value_counts_as_removed": 37,
    "an_unknown_effect_spares_global_indexes": 53,
    "prefixes_match_themselves_only": 13,
    "pages_are_taken_for_forward_ones": 20,
    "an_index_has_one_entry_per_sort_value": 14,
    "global_indexes_are_kept_within_q": 10,
    "unknown_outcomes_end_for_queries": 30,
    "nothing_is_held_for_overlapping_writes": 102,
}
"""Seeds known to notice a bug that few do: tried first."""


def test_no_cached_page_differs_from_a_fresh_one() -> None:
    fresh = random.Random().randrange(1 << 40)
    print(f"fresh seeds from {fresh}")
    counts: Counter[str] = Counter()
    for seed in (*SEEDS, *range(fresh, fresh + FRESH)):
        counts += run(seed)
    print(dict(counts))
    assert counts["hits"] > 100
    assert counts["compared"] > 500
    assert min(counts["effects known"], counts["effects not known"]) > 100


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_no_cached_page_differs_from_a_fresh_one_for_long() -> None:
    fresh = random.Random().randrange(1 << 40)
    print(f"fresh seeds from {fresh}")
    for seed in range(fresh, fresh + 10_000):
        run(seed)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("bug", PLANTED, ids=lambda bug: bug.__name__)
def test_a_planted_bug_is_caught(bug: Plant) -> None:
    with planted(bug):
        for seed in (NOTICED_BY.get(bug.__name__, 0), *range(SEEDS_MAX)):
            try:
                run(seed)
            except Stale as stale:
                print(str(stale).splitlines()[0])
                return
    pytest.fail(f"{SEEDS_MAX} seeds did not notice {bug.__name__}")


# -- what is kept -----------------------------------------------------------------------------

PARTITIONS = 330
SORTS = 20
REQUESTS = 4_000
WRITES = 0.05
STEP_S = 0.001
INFO = TableInfo("t", KeySchema(KeyAttribute("h", "S"), KeyAttribute("r", "N")), "1", "ACTIVE", {})


class Node:
    """A node's query path, that every request and every write goes through."""

    def __init__(self, clock: Clock, invalidation: QueryInvalidation) -> None:
        settings = CacheSettings(query_invalidation=invalidation, query_ttl_millis=300_000)
        self.caches = Caches.from_settings(settings)
        self.guard = Guard(self.caches, 10.0)
        self.guard.extend(1e9, clock.time)
        self.flights: SingleFlight[QueryKey, Fill, QueryAnswer] = SingleFlight(10)
        self.counters = Counters()
        backend: Any = FakeBackend()
        self.queries = Queries(backend, self.guard, self.caches, self.flights, self.counters, clock)


def partition_query(partition: int, sort: int | None) -> Params:
    params: Params = {
        "TableName": "t",
        "KeyConditionExpression": "h = :h",
        "ExpressionAttributeValues": {":h": {"S": str(partition)}},
    }
    if sort is not None:
        params["KeyConditionExpression"] += " AND r = :r"
        params["ExpressionAttributeValues"][":r"] = {"N": str(sort)}
    return params


@pytest.mark.parametrize("ranges", [False, True], ids=["whole partitions", "single sort keys"])
async def test_most_hits_of_a_cache_that_knows_ttls_only_are_kept(ranges: bool) -> None:
    rng = random.Random(5)
    clock = Clock(0.0)
    exact, ttl_only = nodes = Node(clock, "exact"), Node(clock, "off")
    effect = Effect(KnownKeys().of(INFO).digest, ())
    open_until: dict[Position, int] = {}
    distinct: set[tuple[int, int | None]] = set()
    queries = 0
    for number in range(REQUESTS):
        clock.time += STEP_S
        partition, sort = rng.randrange(PARTITIONS), rng.randrange(SORTS)
        if rng.random() < WRITES:
            item: Item = {"h": {"S": str(partition)}, "r": {"N": str(sort)}}
            key = ("t", encode_key(INFO.schema, item))
            for node in nodes:
                node.guard.fence(Position(1, number), (key,), clock.time, (effect,))
            open_until[Position(1, number)] = number + 5
            continue
        for position in [position for position, until in open_until.items() if until <= number]:
            del open_until[position]
            for node in nodes:
                node.guard.settle(position, Outcome.SUCCESS, (), clock.time)
        queries += 1
        distinct.add((partition, sort % 3 if ranges else None))
        params = partition_query(partition, sort % 3 if ranges else None)
        for node in nodes:
            await node.queries.answer("Query", params, INFO, 1e9)
    kept, all_hits = exact.counters.query_hits, ttl_only.counters.query_hits
    print(f"{kept} hits of {all_hits} with TTLs only: {kept / all_hits:.1%}")
    assert all_hits == queries - len(distinct) > REQUESTS / 2
    assert kept >= 0.8 * all_hits
    for node in nodes:
        await node.flights.aclose()
