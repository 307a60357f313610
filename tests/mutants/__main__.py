"""``make mutants``: which changes of the production code would no test notice?

    make mutants                      # the project's own planted bugs
    make mutants MUTANTS=DIR JOBS=2   # every *.patch of a folder, as git diff writes them

Each is applied to a copy of the tree. The unit tests run that import what it touches, then the
simulation; the first that fails has caught it. Exit code 1 if one survives, or does not apply.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tests.mutants import nets
from tests.mutants.mutant import Mutant, PatchMutant, PlantMutant, copy_tree, patches
from tests.mutants.nets import Catch, UnitTests
from tests.simulation.planting import DoesNotApply
from tests.simulation.plants import PLANTS
from tests.simulation.runner import JOBS

ROOT = Path(__file__).parents[2]

NOTHING = PatchMutant(Path("nothing"))
"""For a look at the tree as it is."""
SWEEP_S = 100.0
"""For one run of the simulation with all that has to be imported first, on a busy machine."""


@dataclass(frozen=True)
class Verdict:
    mutant: str
    catches: tuple[Catch, ...] = ()
    trouble: str = ""
    """It could not be tried, or fell to something that is no test."""

    @property
    def good(self) -> bool:
        return bool(self.catches) and not self.trouble

    def __str__(self) -> str:
        if self.trouble:
            return f"{self.mutant:<62} {self.trouble}"
        if not self.catches:
            return f"{self.mutant:<62} SURVIVED"
        lines = []
        for catch in self.catches:
            seed = "-" if catch.seed is None else str(catch.seed)
            calls = "-" if catch.operations is None else str(catch.operations)
            seen = catch.seen.replace("\n", " ")[:60]
            lines.append(f"{self.mutant:<62} {catch.by:<50} {seed:>10} {calls:>6}  {seen}")
        return "\n".join(lines)


HEAD = f"{'mutant':<62} {'caught by':<50} {'seed':>10} {'calls':>6}  what was seen"


@dataclass(frozen=True)
class Effort:
    """Seconds of wall clock, for one mutant."""

    unit_s: float
    simulate_s: float
    both: bool
    """Also where the first net has caught it."""


class Trial:
    def __init__(self, root: Path, unit: UnitTests, effort: Effort, scratch: Path) -> None:
        self._root = root
        self._unit = unit
        self._effort = effort
        self._scratch = scratch

    def __call__(self, mutant: Mutant) -> Verdict:
        """Never raises: one that goes wrong must not hide the others."""
        try:
            with tempfile.TemporaryDirectory(dir=self._scratch) as directory:
                return self._tried(mutant, Path(directory) / "tree")
        except DoesNotApply as reason:
            return Verdict(mutant.name, trouble=f"DOES NOT APPLY: {reason}")
        except Exception as error:
            traceback.print_exc()
            return Verdict(mutant.name, trouble=f"NOT TRIED: {error!r}")

    def _tried(self, mutant: Mutant, tree: Path) -> Verdict:
        effort = self._effort
        touched = mutant.touched()
        mutant.apply(copy_tree(self._root, tree))
        files = self._unit.usable(self._unit.of(touched))
        found = [nets.by_unit_tests(tree, files, effort.unit_s)]
        if found[0] is None or effort.both:
            # A plant is applied in its own world; the tree that has it already would refuse it.
            where = self._root if mutant.plant else tree
            limit_s = 2 * effort.simulate_s + effort.unit_s
            found.append(nets.by_simulation(mutant, where, effort.simulate_s, limit_s))
        return Verdict(mutant.name, tuple(catch for catch in found if catch is not None))


def tried(
    mutants: Sequence[Mutant],
    root: Path,
    effort: Effort,
    jobs: int,
    say: Callable[[str], None] = print,
) -> list[Verdict]:
    with tempfile.TemporaryDirectory(prefix="paceline-mutants-") as directory:
        scratch = Path(directory)
        unit = UnitTests(copy_tree(root, scratch / "unchanged"))
        alone = nets.by_simulation(NOTHING, scratch / "unchanged", 1.0, SWEEP_S)
        if alone is not None:
            raise RuntimeError(f"the simulation fails without any mutant: {alone.seen}")
        trial = Trial(root, unit, effort, scratch)
        say(HEAD)
        verdicts = []
        with ThreadPoolExecutor(jobs) as pool:
            for verdict in pool.map(trial, mutants):
                verdicts.append(verdict)
                say(str(verdict))
        if unit.left_out:
            say(f"left out, since they fail or take long without a mutant: {unit.left_out}")
    return verdicts


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="make mutants", description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, help="of patches; none: the planted bugs")
    parser.add_argument("--only", default="", help="those whose names have this in them")
    parser.add_argument("--jobs", type=int, default=JOBS, help="at a time")
    parser.add_argument("--unit-s", type=float, default=180.0, help="for the unit tests of one")
    parser.add_argument("--simulate-s", type=float, default=120.0, help="to look for a seed")
    parser.add_argument("--both", action="store_true", help="simulate what unit tests caught, too")
    given = parser.parse_args(argv)
    mutants: list[Mutant] = []
    if given.folder is not None:
        mutants += patches(given.folder)
    else:
        mutants += [PlantMutant(plant, ROOT) for plant in PLANTS if not plant.unseen]
    mutants = [mutant for mutant in mutants if given.only in mutant.name]
    if not mutants:
        print(f"there are no mutants in {given.folder or 'the planted bugs'}", file=sys.stderr)
        return 2
    effort = Effort(given.unit_s, given.simulate_s, given.both)
    verdicts = tried(mutants, ROOT, effort, given.jobs, lambda text: print(text, flush=True))
    bad = [verdict for verdict in verdicts if not verdict.good]
    print(f"{len(verdicts)} mutants, {len(verdicts) - len(bad)} caught")
    for verdict in bad:
        print(f"    {verdict}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
