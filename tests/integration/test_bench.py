"""The benchmarks run and measure; how fast anything is is not asserted here."""

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


def test_what_one_client_does_to_others_is_measured() -> None:
    load = "raw: 16 MB nested too deeply"
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.beside", "--seconds=0.1", f"--only={load}", "--why"],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for row in ("nobody", load):
        told = rf"^{row} +\d+\.\d .*\n    longest turn \d+\.\d, collection \d+\.\d$"
        assert re.search(told, done.stdout, re.MULTILINE), done.stdout
