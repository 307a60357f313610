"""The simulation can fail: every rule left out on purpose is missed by some seed."""

from collections.abc import Callable

import pytest

from tests.unit.cluster.coherence.planted import NOTICED_BY, PLANTED, RARE, Bug, kinds_with
from tests.unit.cluster.coherence.world import Stale, World

SEEDS_MAX = 2000
"""Far more than any of them needs. Only a bug that no seed notices any more gets so far."""


def notices(bug: Bug, seed: int) -> bool:
    world = World(seed, kinds_with(bug), RARE.get(bug))
    try:
        world.run()
    except Stale as stale:
        print(f"{bug.__name__}: seed {seed}, after {world.operations} operations")
        print(str(stale).splitlines()[0])
        return True
    return False


@pytest.mark.timeout(600)
@pytest.mark.parametrize("bug", PLANTED, ids=lambda bug: bug.__name__)
def test_a_planted_bug_gives_a_stale_read(
    bug: Bug, record_property: Callable[[str, object], None]
) -> None:
    for seed in (NOTICED_BY.get(bug, 0), *range(SEEDS_MAX)):
        if notices(bug, seed):
            record_property("seed", seed)
            return
    pytest.fail(f"{SEEDS_MAX} seeds did not notice {bug.__name__}")


@pytest.mark.full(minutes=1)
@pytest.mark.parametrize("bug", NOTICED_BY, ids=lambda bug: bug.__name__)
def test_a_seed_that_noticed_a_bug_still_does(bug: Bug) -> None:
    """The search above takes minutes in all where they do not. A change of the protocol, or of the
    schedules, changes what a seed does: put the seed that the search prints into NOTICED_BY."""
    assert notices(bug, NOTICED_BY[bug])
