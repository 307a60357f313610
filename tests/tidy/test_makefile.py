"""The Makefile finds a Python that will do, and says what to do where there is none."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MAKE = shutil.which("make")

OLD = (
    f"#!{sys.executable}\nimport sys\nsys.version_info = (3, 9, 2, 'final', 0)\nexec(sys.argv[2])\n"
)


def make(path: Path, *words: str) -> subprocess.CompletedProcess[str]:
    assert MAKE is not None, "make is not installed"
    return subprocess.run(
        [MAKE, "-C", str(ROOT), *words],
        env={"PATH": str(path)},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


@pytest.fixture
def old_python(tmp_path: Path) -> Path:
    shims = tmp_path / "bin"
    shims.mkdir()
    python = shims / "python3"
    python.write_text(OLD)
    python.chmod(0o755)
    return shims


def test_without_a_new_enough_python_it_says_what_to_do(old_python: Path, tmp_path: Path) -> None:
    venv = tmp_path / "venv"
    done = make(old_python, f"{venv}/.installed", f"VENV={venv}")
    assert done.returncode != 0
    assert "Python 3.11 or newer with its venv module is needed" in done.stderr
    assert "is Python 3.9" in done.stderr
    assert "make PYTHON=/path/to/python3.12" in done.stderr
    assert not venv.exists()


def test_a_named_python_that_is_not_there_is_refused(old_python: Path, tmp_path: Path) -> None:
    venv = tmp_path / "venv"
    done = make(old_python, f"{venv}/.installed", f"VENV={venv}", "PYTHON=/no/such/python3.12")
    assert done.returncode != 0
    assert "looked for: /no/such/python3.12" in done.stderr
    assert not venv.exists()


def test_help_names_every_target() -> None:
    done = subprocess.run(
        [str(MAKE), "-C", str(ROOT)], capture_output=True, text=True, timeout=30, check=True
    )
    targets = ["install", "up", "test", "test-all", "test-rest", "soak", "sim", "mutants", "kills"]
    for target in [*targets, "lint", "types", "proto", "bench", "clean"]:
        assert f"make {target} " in done.stdout
