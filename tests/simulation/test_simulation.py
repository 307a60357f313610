"""Seeds of the simulation, fixed ones and fresh ones: ``docs/simulation.md``.

They run in processes of their own, whose hashes of texts do not change from one to the next.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BUDGET_S = float(os.environ.get("PACELINE_SIM_S", "150"))
FIXED = range(1, 31)


def simulate(*options: str, timeout_s: float = 300) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "tests.simulation", *options],
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": "0"},
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    print(done.stdout)
    assert done.returncode == 0, f"{done.stdout[-6000:]}\n{done.stderr[-6000:]}"
    return done.stdout


def test_a_seed_goes_the_same_way_in_every_process() -> None:
    runs = {simulate("--seed", "7", "--operations", "300").split("digest")[1] for _ in range(2)}
    assert len(runs) == 1


@pytest.mark.timeout(600)
def test_fixed_seeds() -> None:
    simulate(
        *("--first", str(FIXED.start), "--seeds", str(len(FIXED)), "--operations", "600"),
        timeout_s=500,
    )


@pytest.mark.timeout(600)
def test_fresh_seeds() -> None:
    simulate("--seeds", "100000", "--seconds", str(BUDGET_S), timeout_s=BUDGET_S + 200)
