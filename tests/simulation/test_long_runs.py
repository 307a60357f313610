"""A long run may be ended at any moment, in whatever way, and goes on where it was."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.simulation.long_runs import summary

ROOT = Path(__file__).parents[2]
OPERATIONS = 150
SEEDS = 6
END_S = 90.0


def command(file: Path, *more: str) -> list[str]:
    options = ["--continue", str(file), "--operations", str(OPERATIONS), "--jobs", "2"]
    return [sys.executable, "-m", "tests.simulation", *options, *more]


def run(file: Path, *more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(file, *more), cwd=ROOT, capture_output=True, text=True, timeout=END_S, check=False
    )


def lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def seeds(file: Path) -> list[int]:
    return [line["seed"] for line in lines(file) if line["kind"] == "seed"]


@pytest.mark.full
@pytest.mark.timeout(300)
@pytest.mark.parametrize("ended_by", [signal.SIGTERM, signal.SIGKILL], ids=lambda s: s.name)
def test_it_goes_on_after_any_end(tmp_path: Path, ended_by: signal.Signals) -> None:
    file = tmp_path / "runs.jsonl"
    running = subprocess.Popen(
        command(file, "--seeds", "100000"),
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        until = time.monotonic() + END_S
        while not (file.exists() and seeds_so_far(file) >= 2):
            assert running.poll() is None, "it ended by itself"
            assert time.monotonic() < until, "no seed was finished"
            time.sleep(0.02)
        running.send_signal(ended_by)
        running.wait(END_S)
    finally:
        _kill_group(running.pid)
    before = seeds_so_far(file)
    done = run(file, "--seeds", str(before + 2))
    assert done.returncode == 0, done.stdout + done.stderr
    found = seeds(file)
    first = lines(file)[0]["first"]
    assert sorted(found) == list(range(first, first + before + 2)), "each once, and none missing"
    assert f"{before + 2} seeds" in done.stdout
    again = run(file, "--seeds", str(before + 2))
    assert again.returncode == 0
    assert seeds(file) == found


def seeds_so_far(file: Path) -> int:
    """Whole lines of seeds, of a file that may be written at this moment."""
    return file.read_bytes().count(b'"kind": "seed"') if file.exists() else 0


def _kill_group(group: int) -> None:
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        pass


def test_other_amounts_in_one_file_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "runs.jsonl"
    start = {"kind": "start", "first": 1, "operations": OPERATIONS + 1, "commit": "abc"}
    file.write_text(json.dumps(start) + "\n")
    done = run(file)
    assert done.returncode == 2
    assert "has results of abc" in done.stderr
    done = run(file, "--mixed")
    assert done.returncode == 2
    assert f"operations {OPERATIONS + 1}, not {OPERATIONS}" in done.stderr


def test_the_summary_names_every_violation_and_how_to_replay_it() -> None:
    def line(seed: int, violation: str | None) -> dict[str, Any]:
        return {
            "kind": "seed",
            "seed": seed,
            "operations": 2000,
            "violation": violation,
            "virtual_s": 1800.0,
            "cpu_s": 60.0,
            "counts": {"hits": 5},
            "commit": "abc",
        }

    told = summary([line(1, None), line(2, "stale: it was old"), line(3, None)], 500)
    assert "3 seeds, 6000 operations, 1.5 h of virtual time in 3 minutes of CPU" in told
    assert "1 violations; commit abc" in told
    assert "hits 15" in told
    assert "seed 2: stale: it was old\n    replay: make sim SEED=2 OPERATIONS=500" in told
