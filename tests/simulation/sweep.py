"""Looks for a seed that breaks a promise, in every world in turn; says what it found in JSON.

``--plant NAME``: with that bug, in its own world. Without: of the code as it stands, which may have
been changed; then half of the runs are in worlds that are drawn from the seed.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from itertools import count

from tests.simulation.planted import control_world, findings
from tests.simulation.plants import PLANTS
from tests.simulation.plants.worlds import WORLDS
from tests.simulation.runner import HASH_SEED
from tests.simulation.simulation import Report, simulate

OPERATIONS = 2000


def runs() -> Iterator[tuple[str, Report]]:
    """(world, report), without end."""
    for seed in count():
        for number, world in enumerate(WORLDS):
            yield world, control_world(world, seed)
            drawn = seed * len(WORLDS) + number
            yield "drawn", simulate(drawn, operations=OPERATIONS)


def sweep(seconds: float) -> dict[str, object]:
    begun = time.monotonic()
    done = operations = 0
    for world, report in runs():
        done += 1
        operations += report.operations
        if not report.good:
            return {
                "caught": True,
                "world": world,
                "seed": report.seed,
                "operations": report.operations,
                "seen": report.violation,
            }
        if time.monotonic() - begun >= seconds:
            break
    return {"caught": False, "runs": done, "operations": operations}


def with_plant(name: str, seeds: int) -> dict[str, object]:
    chosen = [plant for plant in PLANTS if plant.name == name]
    if not chosen:
        return {"caught": False, "error": f"there is no plant {name!r}"}
    (found,) = findings(chosen, range(seeds), known=True, jobs=1)
    if found.error or found.report is None:
        return {"caught": False, "error": found.error, "runs": seeds}
    report = found.report
    return {
        "caught": True,
        "world": chosen[0].world,
        "seed": report.seed,
        "operations": report.operations,
        "seen": report.violation,
    }


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--plant", help="by its name")
    parser.add_argument("--seeds", type=int, default=60, help="with a plant")
    parser.add_argument("--seconds", type=float, default=120.0, help="without one")
    given = parser.parse_args(argv)
    assert os.environ.get("PYTHONHASHSEED") == HASH_SEED, "run it with PYTHONHASHSEED=0"
    found = with_plant(given.plant, given.seeds) if given.plant else sweep(given.seconds)
    print(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
