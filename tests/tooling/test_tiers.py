"""The slower tiers run what fits, the short ones first, and go on where they were."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]

SUITE = """
import pytest
from pathlib import Path

HERE = Path(__file__).parent


@pytest.mark.full(minutes=50)
def test_long():
    pass


@pytest.mark.full(minutes=0.001)
def test_short():
    assert (HERE / "good").exists()


@pytest.mark.full
def test_unsaid():
    pass


def test_fast():
    pass
"""


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    (tmp_path / "test_suite.py").write_text(SUITE)
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers =\n    full: x\n    soak: x\n")
    (tmp_path / "good").touch()
    return tmp_path


def run(suite: Path, *options: str) -> str:
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-v", "-p", "tests.support.tiers"),
            *("-c", str(suite / "pytest.ini"), "--rootdir", str(suite), str(suite), *options),
        ],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    return done.stdout + done.stderr


def test_what_does_not_fit_is_left_out_and_said_so(suite: Path) -> None:
    said = run(suite, "--budget-s=600", "-rs")
    assert "3 passed, 1 skipped" in said
    assert "left out: of 600 s there are" in said
    assert "4 passed" in run(suite)


def test_what_has_passed_is_not_run_again(suite: Path) -> None:
    file = f"--continue-file={suite / 'runs.jsonl'}"
    (suite / "good").unlink()
    assert "1 failed, 3 passed" in run(suite, file, "-n", "2")
    (suite / "good").touch()
    said = run(suite, file, "-n", "2")
    assert "1 passed" in said
    assert "test_fast" not in said
    assert "4 deselected" in run(suite, file)
