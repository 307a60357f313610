"""A test that hangs ends, whatever event loop it hangs in."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
ENDS_S = 100

HANGS = """
import asyncio
import pytest

@pytest.mark.timeout(1)
async def test_hangs():
    await asyncio.Event().wait()
"""


def run(tests: Path, *options: str) -> tuple[int, str]:
    (tests / "conftest.py").write_text((ROOT / "tests/conftest.py").read_text())
    ended = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-c", str(ROOT / "pyproject.toml")),
            *("--rootdir", str(tests), "-p", "no:cacheprovider", *options, str(tests)),
        ],
        capture_output=True,
        text=True,
        timeout=ENDS_S,
        check=False,
        cwd=tests,
    )
    return ended.returncode, ended.stdout + ended.stderr


def test_a_test_that_hangs_on_uvloop_is_ended(tmp_path: Path) -> None:
    """uvloop leaves the interpreter no time for handlers of signals, so an alarm never rings."""
    (tmp_path / "test_hanging.py").write_text(HANGS)
    code, said = run(tmp_path)
    assert code != 0
    assert "Timeout" in said


def test_a_test_that_hangs_in_a_worker_ends_the_run_and_says_where_it_stood(tmp_path: Path) -> None:
    """pytest-xdist waits for ever for the last test of a file whose worker died."""
    (tmp_path / "test_hanging.py").write_text(HANGS)
    (tmp_path / "test_other.py").write_text("def test_passes():\n    pass\n")
    makefile = (ROOT / "Makefile").read_text()
    (line,) = re.findall(r"^PARALLEL = (.*)$", makefile, re.M)
    parallel = line.replace("$(WORKERS)", "2").split()
    code, said = run(tmp_path, *parallel, "-o", "faulthandler_timeout=0.5")
    assert code != 0
    assert re.search(r"crashed while running '.*test_hangs", said)
    assert "replacing crashed worker" not in said
    assert "most recent call first" in said
