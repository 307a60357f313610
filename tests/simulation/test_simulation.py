"""Seeds of the simulation, fixed ones and fresh ones: ``docs/simulation.md``.

They run in processes of their own, whose hashes of texts do not change from one to the next.
"""

import os
import random
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
        pytest.param("785508025", "2000", marks=pytest.mark.full),
        # Many requests in one turn: how long it took was told by the true clock once.
        pytest.param("1000", "1000", marks=pytest.mark.full),
    ],
)
def test_a_seed_goes_the_same_way_in_every_process(seed: str, operations: str) -> None:
    assert len({_digest(seed, operations) for _ in range(3)}) == 1


def test_a_fresh_seed_goes_the_same_way_twice() -> None:
    seed = str(random.randrange(1 << 30))
    print(f"seed {seed}")
    assert len({_digest(seed, "800") for _ in range(2)}) == 1


def _digest(seed: str, operations: str) -> str:
    return simulate("--seed", seed, "--operations", operations, "--quiet").split("digest")[1]


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
