"""The simulation can fail: every bug on purpose is caught by some seed.

A tenth of the bugs at a time, another one every day; ``PACELINE_PLANTS=N`` chooses it, ``all``
takes all of them.
"""

import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PARTS = 10


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
def test_a_tenth_of_the_planted_bugs_is_caught() -> None:
    chosen = os.environ.get("PACELINE_PLANTS") or str(datetime.now(UTC).toordinal() % PARTS)
    print(f"PACELINE_PLANTS={chosen} tries the same bugs again")
    part = [] if chosen == "all" else ["--part", f"{int(chosen)}/{PARTS}"]
    assert len(plant(*part, timeout_s=550).splitlines()) > 1


@pytest.mark.full
@pytest.mark.timeout(1800)
def test_every_planted_bug_is_caught() -> None:
    plant(timeout_s=1700)


@pytest.mark.soak
@pytest.mark.timeout(7200)
def test_every_planted_bug_is_caught_by_fresh_seeds() -> None:
    plant("--fresh", "--seeds", "400", timeout_s=7000)
