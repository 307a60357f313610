"""The promise under random schedules: no read gives what is older than what was known before.

``PACELINE_SEED=N`` runs that one seed, ``PACELINE_SEEDS=N`` so many, from the one in
``PACELINE_SEED`` on.
"""

import os
from collections import Counter
from collections.abc import Mapping
from functools import cache

import pytest

from tests.unit.cluster.coherence.world import World

SEEDS = int(os.environ.get("PACELINE_SEEDS", "1" if "PACELINE_SEED" in os.environ else "32"))
FIRST = int(os.environ.get("PACELINE_SEED", "0"))
BATCHES = 8


@cache
def counts_of(seed: int) -> Mapping[str, int]:
    """What happened in the schedule of ``seed``; run once, however many tests ask."""
    print(f"seed {seed}")
    return World(seed).run()


@pytest.mark.parametrize("batch", range(BATCHES))
def test_no_read_is_older_than_what_was_acknowledged_or_seen(batch: int) -> None:
    for seed in range(FIRST + batch, FIRST + SEEDS, BATCHES):
        counts_of(seed)


def test_the_schedules_reach_what_they_are_meant_to_reach() -> None:
    """A world in which nothing is cached, or nothing ever fails, would prove nothing."""
    counts: Counter[str] = Counter()
    for seed in range(30):
        counts.update(counts_of(seed))
    hits = sum(count for what, count in counts.items() if what.startswith("hit, read"))
    queries = sum(count for what, count in counts.items() if what.startswith("hit, query"))
    indexes = sum(count for what, count in counts.items() if what.startswith("hit, index"))
    assert hits > 3000
    assert queries > 100
    assert indexes > 10
    for what, least in {
        "acknowledged": 1000,
        "rejected": 300,
        "unknown": 200,
        "joined": 200,
        "kept": 500,
        "epochs": 60,
        "hand-overs": 10,
        "hand-backs": 20,
        "resubscriptions": 100,
        "lost": 300,
        "never ready": 50,
        "not begun": 20,
    }.items():
        assert counts[what] >= least, (what, counts)


@pytest.mark.full(minutes=1)
def test_no_read_is_older_in_more_schedules() -> None:
    for seed in range(FIRST + SEEDS, FIRST + SEEDS + 300):
        counts_of(seed)


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_no_read_is_older_in_a_long_run() -> None:
    for seed in range(100_000, 105_000):
        counts_of(seed)
