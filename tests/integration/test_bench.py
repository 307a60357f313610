"""``make bench`` runs and measures hits; how fast they are is not asserted here."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.skipif(
    shutil.which("redis-server") is None or not Path("/proc/self/schedstat").exists(),
    reason="needs redis-server to compare with, and Linux to tell CPU time per thread",
)
def test_the_benchmark_measures_both_servers() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.hits", "--rounds=1", "--seconds=0.3", "--keys=500"],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = re.search(r"node to redis-server: median (\d+\.\d+)", done.stdout)
    assert found is not None, done.stdout
    assert float(found[1]) > 0
