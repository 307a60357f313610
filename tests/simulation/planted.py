"""Bugs on purpose: each leaves one rule out of the production code, for one run of the simulation.

``python -m tests.simulation.planted [PART OF A NAME]...`` prints the table of bugs, the seeds that
catch them, and the operations that it took.
"""

from __future__ import annotations

import argparse
import gc
import json
import multiprocessing
import random
import secrets
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.simulation.options import Options
from tests.simulation.planting import DoesNotApply, Plant, lowered
from tests.simulation.plants import PLANTS
from tests.simulation.plants.worlds import WORLDS
from tests.simulation.runner import JOBS
from tests.simulation.simulation import Report, simulate

KNOWN = Path(__file__).with_name("planted_seeds.json")
"""Seeds that caught them once; other code may make them go another way, then others are tried."""

OPERATIONS = 1500
SEEDS_MAX = 60
"""Far more than most of them need."""


def options(world: str, seed: int, operations: int | None = None) -> Options:
    """``operations``: None: as many as the world has."""
    drawn = Options.drawn(random.Random(f"{seed} options"), OPERATIONS)
    changed: Mapping[str, Any] = {"liveness": False, "outside": None, **WORLDS[world]}
    found = replace(drawn, **changed)
    return found if operations is None else replace(found, operations=operations)


def run(plant: Plant, seed: int) -> Report:
    with plant.planted():
        return simulate(seed, options(plant.world, seed))


def control_world(world: str, seed: int) -> Report:
    return simulate(seed, options(world, seed))


def control(plant: Plant, seed: int, operations: int) -> Report:
    """The plant's world without the plant, but with its limits, for as long as it took."""
    with lowered(plant.limits):
        return simulate(seed, options(plant.world, seed, operations))


def caught(plant: Plant, seeds: Iterable[int]) -> Report | None:
    """By the first seed that does it."""
    return next((r for seed in seeds if not (r := run(plant, seed)).good), None)


def known_seeds() -> dict[str, int]:
    found: dict[str, int] = json.loads(KNOWN.read_text(encoding="utf-8"))
    return found


def remember(found: Mapping[str, int]) -> None:
    """Those of plants that are no more are forgotten."""
    names = {plant.name for plant in PLANTS}
    seeds = {name: seed for name, seed in {**known_seeds(), **found}.items() if name in names}
    text = json.dumps(dict(sorted(seeds.items())), indent=1, ensure_ascii=False)
    KNOWN.write_text(text + "\n", encoding="utf-8")


def share(plants: Sequence[Plant], part: int, parts: int) -> list[Plant]:
    """Every ``parts``-th, from ``part`` on: so that in ``parts`` turns all have been tried."""
    return [plant for number, plant in enumerate(plants) if number % parts == part % parts]


class Finding:
    """``report`` None: no seed caught it."""

    def __init__(self, plant: Plant, report: Report | None, error: str, elapsed_s: float) -> None:
        self.plant = plant
        self.report = report
        self.error = error
        """That it does not apply, or that its world breaks a promise without it."""
        self.elapsed_s = elapsed_s

    @property
    def good(self) -> bool:
        return self.report is not None and not self.error

    def __str__(self) -> str:
        name = self.plant.name
        if self.error:
            return f"{name:<62} {'-':>10} {'-':>6}  {self.error}"
        if self.report is None:
            return f"{name:<62} {'none':>10} {'-':>6}  SURVIVED {self.elapsed_s:.0f} s of seeds"
        seen = (self.report.violation or "").partition(": ")[2].replace("\n", " ")[:80]
        return f"{name:<62} {self.report.seed:>10} {self.report.operations:>6}  {seen}"


HEAD = f"{'bug':<62} {'seed':>10} {'calls':>6}  what was seen"


def findings(
    plants: Sequence[Plant], seeds: Sequence[int], *, known: bool, jobs: int = JOBS
) -> Iterator[Finding]:
    """``known``: the seed that did it before is tried first, and also without the plant."""
    before = known_seeds() if known else {}
    work = [(plant.name, before.get(plant.name), seeds) for plant in plants]
    if jobs <= 1:
        yield from map(_finding, work)
        return
    gc.freeze()
    with multiprocessing.get_context("fork").Pool(jobs) as pool:
        yield from pool.imap(_finding, work)


def _finding(work: tuple[str, int | None, Sequence[int]]) -> Finding:
    name, known, seeds = work
    plant = next(plant for plant in PLANTS if plant.name == name)
    began = time.process_time()
    error, report = "", None
    try:
        report = caught(plant, [*([known] if known is not None else []), *seeds])
        if report is not None:
            alone = control(plant, report.seed, report.operations)
            if not alone.good:
                error = f"NO PROOF: seed {report.seed} fails without it: {alone.violation}"
    except DoesNotApply as reason:
        error = f"DOES NOT APPLY: {reason}"
    return Finding(plant, report, error, time.process_time() - began)


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="parts of names; none: all")
    parser.add_argument("--seeds", type=int, default=SEEDS_MAX, help="how many may be tried")
    parser.add_argument("--fresh", action="store_true", help="seeds that were never tried before")
    parser.add_argument("--part", help="N/M: every M-th plant from the N-th on")
    parser.add_argument("--unseen", action="store_true", help="those that no world shows, instead")
    parser.add_argument("--remember", action="store_true", help="write the seeds down")
    parser.add_argument("--jobs", type=int, default=JOBS)
    given = parser.parse_args(argv)
    names: list[str] = given.names
    chosen = [plant for plant in PLANTS if bool(plant.unseen) == given.unseen]
    chosen = [p for p in chosen if not names or any(name in p.name for name in names)]
    if given.part:
        part, _, parts = given.part.partition("/")
        chosen = share(chosen, int(part), int(parts))
    first = secrets.randbelow(1 << 31) if given.fresh else 0
    print(HEAD)
    good = True
    for found in findings(
        chosen, range(first, first + given.seeds), known=not given.fresh, jobs=given.jobs
    ):
        print(found, flush=True)
        good = good and found.good
        if given.remember and found.good and found.report is not None:
            remember({found.plant.name: found.report.seed})
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
