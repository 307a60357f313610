"""Logs in trouble: nothing that was committed is lost or changed, and each rule left out shows."""

from __future__ import annotations

import os
import random
from collections.abc import Callable

import pytest

from tests.simulation.planting import changed, lowered
from tests.unit.cluster.consensus.core import (
    test_commits,
    test_elections,
    test_members,
    test_mending,
    test_progress,
    test_snapshots,
)
from tests.unit.cluster.consensus.core.plants import PLANTS, Plant
from tests.unit.cluster.consensus.core.world import Options, World

LIMITS = {
    "cluster.consensus.core.leadership:PIECE_BYTES": 40,
    "cluster.consensus.core.leadership:ENTRIES_MAX": 7,
    "cluster.consensus.core.log:KEPT_ENTRIES": 4,
}
"""So that a snapshot has several pieces, a log is brought level in several messages, and who is far
behind needs a snapshot."""

PLANTED_SEEDS = 150

RULES = (
    *(test_commits, test_elections, test_members, test_mending, test_progress),
    test_snapshots,
)

WORLDS = {
    "usual": Options(),
    "one voter": Options(disks=1, trouble_s=0.5, tails=False),
    "two voters": Options(disks=2, tails=False),
    "five voters": Options(disks=5),
    "steady": Options(changes=False, trouble_s=0.5),
    "snapshots": Options(compaction=5, trouble_s=0.5),
    "slow disks": Options(slow_sync_s=0.3, trouble_s=0.5),
    "losses": Options(loss=0.3, stalls=0.05),
    "resets": Options(resets=0.7, trouble_s=0.15, delay_s=0.1),
    "late messages": Options(resets=0.7, late=0.5, tails=False, trouble_s=0.2, delay_s=0.1),
    "members": Options(spare=4, trouble_s=0.15, resets=0.1),
    "large snapshots": Options(disks=5, compaction=4, delay_s=0.08, trouble_s=0.4),
}


def seeds(count: int) -> list[int]:
    first = int(os.environ.get("PACELINE_SEED", random.randrange(10**9)))
    print(f"PACELINE_SEED={first}")
    return list(range(first, first + count))


def run(seed: int, options: Options) -> World:
    world = World(seed, options)
    try:
        with lowered(LIMITS):
            world.live()
    except Exception as error:
        error.add_note(f"PACELINE_SEED={seed}, {options}")
        raise
    return world


def rule(plant: Plant) -> Callable[[], None]:
    suite, _, test = plant.rule.partition(".")
    (found,) = (getattr(one, suite) for one in RULES if hasattr(one, suite))
    method: Callable[[], None] = getattr(found(), test)
    return method


@pytest.mark.parametrize("options", WORLDS.values(), ids=list(WORLDS))
def test_fresh_seeds(options: Options) -> None:
    seen = sum((run(seed, options).seen for seed in seeds(1)), start=run(1, options).seen)
    assert seen["applied"] > 300
    assert seen["leaders"] > 1


@pytest.mark.full(minutes=5)
@pytest.mark.parametrize("options", WORLDS.values(), ids=list(WORLDS))
def test_many_fresh_seeds(options: Options) -> None:
    for seed in seeds(300):
        run(seed, options)


def test_the_worlds_have_what_they_are_for() -> None:
    seen = sum((run(seed, Options()).seen for seed in range(13)), start=run(13, Options()).seen)
    wanted = (
        *("AddLearner", "Promote", "Remove", "changes refused", "crashes", "cuts", "leaders"),
        *("mended", "snapshots", "tails lost", "transfers"),
    )
    assert not [name for name in wanted if seen[name] < 3], seen


def test_a_seed_goes_the_same_way_twice() -> None:
    assert run(7, Options()).seen == run(7, Options()).seen


@pytest.mark.parametrize("plant", PLANTS, ids=lambda plant: plant.name)
def test_a_rule_left_out_shows(plant: Plant) -> None:
    with changed(plant.changes):
        if plant.rule:
            with pytest.raises((Exception, pytest.fail.Exception)):  # whichever way it fails
                rule(plant)()
            return
        for seed in (plant.seed, *range(PLANTED_SEEDS)):
            try:
                run(seed, plant.options)
            except Exception:
                return
    raise AssertionError(f"{PLANTED_SEEDS} worlds show nothing of it")


def test_the_rules_hold_without_plants() -> None:
    """Else one that is caught would prove nothing."""
    for plant in PLANTS:
        if plant.rule:
            rule(plant)()
