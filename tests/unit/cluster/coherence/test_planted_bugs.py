"""The simulation can fail: every rule left out on purpose is missed by some seed."""

from collections.abc import Callable

import pytest

from tests.unit.cluster.coherence.planted import NOTICED_BY, PLANTED, RARE, Bug, kinds_with
from tests.unit.cluster.coherence.world import Stale, World

SEEDS_MAX = 2000
"""Far more than any of them needs. Only a bug that no seed notices any more gets so far."""


@pytest.mark.timeout(600)
@pytest.mark.parametrize("bug", PLANTED, ids=lambda bug: bug.__name__)
def test_a_planted_bug_gives_a_stale_read(
    bug: Bug, record_property: Callable[[str, object], None]
) -> None:
    for seed in (NOTICED_BY.get(bug, 0), *range(SEEDS_MAX)):
        world = World(seed, kinds_with(bug), RARE.get(bug))
        try:
            world.run()
        except Stale as stale:
            record_property("seed", seed)
            record_property("operations", world.operations)
            print(f"{bug.__name__}: seed {seed}, after {world.operations} operations")
            print(str(stale).splitlines()[0])
            return
    pytest.fail(f"{SEEDS_MAX} seeds did not notice {bug.__name__}")
