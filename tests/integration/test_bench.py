"""The benchmarks run and measure; how fast anything is is not asserted here."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.load_program import need_load_program

ROOT = Path(__file__).parents[2]


def suite(results: Path, *words: str) -> dict[str, Any]:
    need_load_program()
    if shutil.which("redis-server") is None:
        pytest.skip("redis-server is not installed, and without it there is no comparison")
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.suite", "--quick", f"--results={results}", *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=550,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    written = {path.suffix: path for path in results.iterdir()}
    assert set(written) == {".md", ".json", ".svg"}
    assert written[".md"].read_text() in done.stdout
    told: dict[str, Any] = json.loads(written[".json"].read_text())
    return told


def test_the_benchmark_measures_both_servers(tmp_path: Path) -> None:
    told = suite(
        tmp_path / "results",
        *("--only=hits", "--rounds=2", "--seconds=0.2"),
        "--cases=^(redis GET|DAX hit|HTTP hit)(, TLS)?$",
    )
    rows = {row["name"]: row for row in told["rows"]}
    assert len(rows) == 6
    for name, row in rows.items():
        assert row["errors"] == 0, row["first_error"]
        assert row["rounds"] == 2
        assert row["rate"]["least"] > 0
        assert 0 < row["cpu"]["least"] <= row["cpu"]["median"] <= row["cpu"]["most"]
        if not name.startswith("redis"):
            # A busy machine keeps a node from its lease now and then: less than 1.
            assert row["hit_share"]["median"] > 0.5
            assert row["of_redis"]["median"] > 0
            assert row["of_hit"]["median"] > 0


def test_writes_alone_are_no_errors(tmp_path: Path) -> None:
    told = suite(
        tmp_path / "results",
        *("--only=hits", "--rounds=1", "--seconds=0.2", "--cases=^DAX put$"),
    )
    (row,) = told["rows"]
    assert row["errors"] == 0, row["first_error"]


@pytest.mark.full(minutes=4)
@pytest.mark.timeout(600)
def test_the_quick_benchmark_as_a_whole(tmp_path: Path) -> None:
    told = suite(tmp_path / "results", "--rounds=1", "--seconds=0.3")
    assert {row["setup"] for row in told["rows"]} == {"1 node", "3 nodes"}
    assert [row["first_error"] for row in told["rows"] if row["errors"]] == []
    three = {row["name"]: row for row in told["rows"] if row["setup"] == "3 nodes"}
    assert three["DAX put"]["primary"]["median"] > 0
    assert three["DAX put"]["replicas"]["median"] > 0
    assert three["DAX miss"]["hit_share"]["most"] == 0
    beside = [row for row in told["rows"] if " beside " in row["name"]]
    assert len(beside) == 2
    assert all(row["p99_of_alone"]["median"] > 0 and row["cpu"] is None for row in beside)
    (memory,) = told["memory"]
    assert 0 < memory["over_dax"] < memory["over_both"]
    alone, three_idle = told["idle"]
    assert alone["primary"] > 0
    assert alone["replica"] is None
    assert three_idle["replica"] > 0


def test_what_one_client_does_to_others_is_measured() -> None:
    load = "raw: 16 MB nested too deeply"
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.beside", "--seconds=0.1", f"--only={load}", "--why"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for row in ("nobody", load):
        told = rf"^{row} +\d+\.\d .*\n    longest turn \d+\.\d, collection \d+\.\d$"
        assert re.search(told, done.stdout, re.MULTILINE), done.stdout
