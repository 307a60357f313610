"""Seeds of the simulation, fixed ones and fresh ones: ``docs/simulation.md``.

They run in processes of their own, whose hashes of texts do not change from one to the next.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from paceline.clock import now

ROOT = Path(__file__).parents[2]
BUDGET_S = float(os.environ.get("PACELINE_SIM_S", "30"))
FIXED = 12
FRESH_S_MIN = 10.0


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


@pytest.mark.parametrize(
    ("seed", "operations"),
    [
        ("7", "300"),
        # Batches by gRPC, whose maps have another order in every process.
        ("785508025", "2000"),
    ],
)
def test_a_seed_goes_the_same_way_in_every_process(seed: str, operations: str) -> None:
    run = ["--seed", seed, "--operations", operations, "--quiet"]
    runs = {simulate(*run).split("digest")[1] for _ in range(3)}
    assert len(runs) == 1


@pytest.mark.timeout(1200)
def test_fixed_seeds_and_then_fresh_ones() -> None:
    """As many fresh ones as the budget leaves time for; a busy machine runs fewer."""
    begun = now()
    simulate("--first", "1", "--seeds", str(FIXED), "--operations", "600", timeout_s=900)
    left_s = max(BUDGET_S - (now() - begun), FRESH_S_MIN)
    simulate("--seeds", "100000", "--seconds", str(left_s), timeout_s=left_s + 200)


@pytest.mark.soak
@pytest.mark.timeout(7200)
def test_many_fresh_seeds() -> None:
    simulate("--seeds", "1000", timeout_s=7000)
