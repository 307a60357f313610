"""The simulation can fail: every bug on purpose is caught by some seed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.simulation.planted import PLANTS

ROOT = Path(__file__).parents[2]


def plant(*options: str, timeout_s: float) -> str:
    """In a process whose hashes of texts are always the same, so that seeds stay what they are."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.simulation.planted", *options],
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": "0"},
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    print(done.stdout)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr[-4000:]}"
    return done.stdout


@pytest.mark.timeout(600)
def test_every_planted_bug_is_caught() -> None:
    lines = plant(timeout_s=550).splitlines()
    assert len(lines) == 1 + len(PLANTS)


@pytest.mark.soak
@pytest.mark.timeout(7200)
def test_every_planted_bug_is_caught_by_fresh_seeds() -> None:
    plant("--fresh", "--seeds", "400", timeout_s=7000)
