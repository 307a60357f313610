"""Imports follow the layers that pyproject.toml lays down (import-linter's contracts)."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PARTS = (".", "client/src", "local/src")
LINT = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as c; c()"]


def lint(root: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*LINT, "--no-cache"],
        cwd=root,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(str(root / part) for part in PARTS)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_every_contract_is_kept() -> None:
    done = lint(ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 broken" in done.stdout


@pytest.mark.parametrize(
    ("module", "line", "broken"),
    [
        ("cluster/coherence/guard.py", "import asyncio", "Pure folders"),
        ("cluster/log/primary_lease.py", "import paceline.clock", "Pure folders"),
        ("client/src/paceline/types.py", "import cluster.log.view", "Imports point one way"),
        ("discovery/__init__.py", "import node.cache", "Imports point one way"),
        ("node/__init__.py", "import paceline_local.cli.main", "Servers do not import"),
        ("node/reads/items.py", "import botocore", "The AWS SDK stays behind"),
        ("node/tables/keys.py", "import node.writes.plan", "A node is built in storeys"),
        ("node/reads/items.py", "import node.writes.path", "A node is built in storeys"),
        ("node/loose.py", "import asyncio", "A node is built in storeys"),
    ],
)
def test_a_planted_import_breaks_its_contract(
    module: str, line: str, broken: str, tmp_path: Path
) -> None:
    for part in ("cluster", "node", "discovery", "client/src/paceline", "local/src/paceline_local"):
        shutil.copytree(ROOT / part, tmp_path / part, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    with (tmp_path / module).open("a") as file:
        file.write(f"\n{line}\n")
    done = lint(tmp_path)
    assert done.returncode != 0
    assert broken in done.stdout.partition("Broken contracts")[2], done.stdout
