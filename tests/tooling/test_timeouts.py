"""A test that hangs ends, whatever event loop it hangs in."""

from __future__ import annotations

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


def test_a_test_that_hangs_on_uvloop_is_ended(tmp_path: Path) -> None:
    """uvloop leaves the interpreter no time for handlers of signals, so an alarm never rings."""
    (tmp_path / "conftest.py").write_text((ROOT / "tests/conftest.py").read_text())
    hanging = tmp_path / "test_hanging.py"
    hanging.write_text(HANGS)
    options = [
        "-c",
        str(ROOT / "pyproject.toml"),
        "--rootdir",
        str(tmp_path),
        "-p",
        "no:cacheprovider",
    ]
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", *options, str(hanging)],
        capture_output=True,
        text=True,
        timeout=ENDS_S,
        check=False,
        cwd=tmp_path,
    )
    assert ended.returncode != 0
    assert "Timeout" in ended.stdout + ended.stderr
