"""What should notice a mutant: the unit tests of what it touches, then the simulation."""

from __future__ import annotations

import ast
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.mutants.mutant import Mutant

UNIT = "tests/unit"
FILE_S_MAX = 40.0
"""A test file that takes longer without any mutant is left to ``make test``."""
BASELINE_S = 300.0
SKIP_MARKS = "not soak and not full"


@dataclass(frozen=True)
class Catch:
    """``by``: a test's id, or the simulation. ``seed``, ``operations``: of the simulation."""

    by: str
    seed: int | None = None
    operations: int | None = None
    seen: str = ""


class Timeout(Exception):
    """It did not end in its time."""


def run(
    command: Sequence[str], tree: Path, timeout_s: float, more: Mapping[str, str] | None = None
) -> tuple[int, str]:
    """Exit code and output, of a process group that is gone afterwards. Timeout."""
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(tree), str(tree / "client" / "src")]),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONHASHSEED": "0",
        **(more or {}),
    }
    environment.pop("PYTEST_XDIST_WORKER", None)
    process = subprocess.Popen(
        command,
        cwd=tree,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        output, _ = process.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        raise Timeout(f"{timeout_s:g} s") from None
    finally:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        process.wait()
        assert process.stdout is not None
        process.stdout.close()
    return process.returncode, output


def module_of(path: str) -> str:
    """``client/src/paceline/x.py`` is paceline.x, ``node/y/__init__.py`` node.y."""
    parts = list(Path(path).with_suffix("").parts)
    if parts[1:2] == ["src"]:
        parts = parts[2:]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_of(source: str) -> set[str]:
    """Modules that it imports, and names of modules that it may import from packages."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found.update(name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            found.add(node.module)
            found.update(f"{node.module}.{name.name}" for name in node.names)
    return found


class UnitTests:
    """Those of one tree, which stays as it is: what runs there is the baseline of the mutants."""

    def __init__(self, tree: Path) -> None:
        self._tree = tree
        self._imports = {
            str(path.relative_to(tree)): imports_of(path.read_text(encoding="utf-8"))
            for path in sorted((tree / "tests").rglob("*.py"))
        }
        self._baseline: dict[str, float | None] = {}
        self._lock = threading.Lock()

    def of(self, touched: Iterable[str]) -> list[str]:
        """Test files that import what was touched, also through helpers of theirs."""
        modules = {module_of(path) for path in touched}
        helpers = {
            module_of(path)
            for path, names in self._imports.items()
            if not Path(path).name.startswith("test_") and names & modules
        }
        return [
            path
            for path, names in self._imports.items()
            if path.startswith(UNIT)
            and Path(path).name.startswith("test_")
            and names & (modules | helpers)
        ]

    def usable(self, files: Iterable[str]) -> list[str]:
        """Those that pass without a mutant, and soon; the quickest first."""
        times = {file: self._time(file) for file in files}
        return sorted((f for f, s in times.items() if s is not None), key=lambda f: times[f] or 0.0)

    def _time(self, file: str) -> float | None:
        with self._lock:
            if file not in self._baseline:
                begun = time.monotonic()
                try:
                    code, _ = run(_pytest([file]), self._tree, FILE_S_MAX)
                except Timeout:
                    code = 1
                self._baseline[file] = time.monotonic() - begun if code == 0 else None
            return self._baseline[file]

    @property
    def left_out(self) -> list[str]:
        """Files that fail, or take too long, without any mutant."""
        return sorted(file for file, seconds in self._baseline.items() if seconds is None)


def _pytest(files: Sequence[str]) -> list[str]:
    options = ["-x", "-q", "-p", "no:cacheprovider", "-m", SKIP_MARKS, "--no-header"]
    return [sys.executable, "-m", "pytest", *options, *files]


def by_unit_tests(tree: Path, files: Sequence[str], limit_s: float) -> Catch | None:
    """A test that does not end has noticed, too."""
    if not files:
        return None
    try:
        code, output = run(_pytest(files), tree, limit_s)
    except Timeout:
        return Catch("unit tests", seen=f"they do not end within {limit_s:g} s")
    if code in (0, 5):
        return None
    for line in output.splitlines():
        if line.startswith(("FAILED ", "ERROR ")):
            name, _, seen = line.partition(" ")[2].partition(" - ")
            return Catch(name.removeprefix("tests/unit/"), seen=seen)
    lines = output.strip().splitlines()
    return Catch("unit tests", seen=lines[-1] if lines else f"exit code {code}")


def by_simulation(mutant: Mutant, tree: Path, seconds: float, limit_s: float) -> Catch | None:
    """``seconds``: to look for a seed; ``limit_s``: for the whole process."""
    options = ["--plant", mutant.plant] if mutant.plant else ["--seconds", f"{seconds:g}"]
    try:
        code, output = run(
            [sys.executable, "-m", "tests.simulation.sweep", *options], tree, limit_s
        )
    except Timeout:
        return Catch("simulation", seen=f"it does not end within {limit_s:g} s")
    lines = output.strip().splitlines()
    if code != 0:
        return Catch("simulation", seen=lines[-1] if lines else f"exit code {code}")
    found = json.loads(lines[-1])
    if found.get("error"):
        raise RuntimeError(found["error"])
    if not found["caught"]:
        return None
    return Catch(
        f"simulation, {found['world']}", found["seed"], found["operations"], str(found["seen"])
    )
