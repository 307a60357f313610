"""The fixtures for users' tests, as users have them: pytest in a process and directory of its own.

The entry point is taken from the client's pyproject.toml, so that it is tested as it will be
installed, whatever the environment of these tests has.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.support.cluster import skip_unless_startable

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/testing-your-app.md").read_text()
EXAMPLES = dict(re.findall(r"```python\n# (\S+\.py)\n(.*?)```", PAGE, re.DOTALL))
SLOW = ["-p", "no:hypothesispytest", "-p", "no:xdist"]
"""Plugins that cost seconds a run and are not asked here."""
RUN_S = 280.0
"""Mostly some twenty seconds; these tests share a small machine."""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """An empty project, and a distribution that has nothing but the entry points."""
    points = tomllib.loads((ROOT / "local/pyproject.toml").read_text())["project"]["entry-points"]
    assert set(points) == {"pytest11"}
    lines = [f"{name} = {value}" for name, value in points["pytest11"].items()]
    info = tmp_path / "site" / "paceline_points-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: paceline-points\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("\n".join(["[pytest11]", *lines, ""]))
    project = tmp_path / "project"
    project.mkdir()
    (project / "pytest.ini").write_text("[pytest]\n")
    return project


def pytest_in(project: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    site = str(project.parent / "site")
    return subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-p",
            "no:cacheprovider",
            "-p",
            "no:asyncio",
            *SLOW,
            *arguments,
        ],
        cwd=project,
        env={**kept, "PYTHONPATH": site, "TMPDIR": str(project.parent), **environ},
        capture_output=True,
        text=True,
        timeout=RUN_S,
        check=False,
    )


@pytest.mark.full
@pytest.mark.timeout(300)
def test_the_examples_of_the_page_pass(project: Path) -> None:
    skip_unless_startable()
    assert set(EXAMPLES) == {
        "test_orders.py",
        "test_failures.py",
        "conftest.py",
        "without_pytest.py",
    }
    for name, code in EXAMPLES.items():
        if name.startswith("test_"):
            (project / name).write_text(code)
    (project / "test_more.py").write_text(
        "def test_tables(paceline_cluster, paceline_create_table, paceline_table, tmp_path):\n"
        "    assert paceline_create_table('a', 'b:N') != paceline_table\n"
        "    assert len(paceline_cluster.entry()['nodes']) == 3\n"
        "    assert {node.zone for node in paceline_cluster.plan.nodes} == {'x', 'y'}\n"
    )
    (project / "pytest.ini").write_text("[pytest]\npaceline_zones = x y\n")
    done = pytest_in(project, "-v", "--durations=5")
    assert done.returncode == 0, done.stdout + done.stderr
    print(done.stdout)
    assert "4 passed" in done.stdout


def test_the_example_of_a_conftest_is_taken(project: Path) -> None:
    (project / "conftest.py").write_text(EXAMPLES["conftest.py"])
    (project / "test_it.py").write_text(
        "def test_it(paceline_cluster_options, paceline_table_schema):\n"
        "    assert paceline_cluster_options['nodes'] == 2\n"
        "    assert paceline_table_schema == ('id',)\n"
    )
    done = pytest_in(project)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_cluster_without_pytest() -> None:
    skip_unless_startable()
    done = subprocess.run(
        [sys.executable, "-c", EXAMPLES["without_pytest.py"]],
        capture_output=True,
        text=True,
        timeout=RUN_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(r"dax://127\.0\.0\.1:\d+ Users node-\d\n", done.stdout)


def test_unused_it_imports_nothing(project: Path) -> None:
    (project / "test_it.py").write_text(
        "import sys\n"
        "def test_it(pytestconfig):\n"
        "    assert pytestconfig.pluginmanager.has_plugin('paceline')\n"
        "    found = {name for name in sys.modules if name.startswith('paceline')}\n"
        "    own = {'paceline_local', 'paceline_local.testing', 'paceline_local.testing.plugin'}\n"
        "    assert found == own\n"
        "    assert not {'grpc', 'rich', 'typer'} & set(sys.modules)\n"
    )
    done = pytest_in(project, "-W", "error", "--strict-markers", "--strict-config")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("ini", "environ", "conftest", "advice"),
    [
        (
            "",
            {"PACELINE_EMBEDDED_HOME": "/nonexistent/embedded"},
            "",
            "run 'paceline embedded install'",
        ),
        (
            "",
            {},
            "import sys\nsys.modules['paceline_server'] = None",
            "run 'pip install paceline-server'",
        ),
        ("paceline_nodes = many", {}, "", "'many' in"),
        ("paceline_nodes = 99", {}, "", "choose 1 to 11"),
        ("paceline_chaos = perhaps", {}, "", "neither true, false nor auto"),
        ("paceline_settings = PACELINE_NODE_ID=x", {}, "", "cannot be set for every node"),
    ],
)
def test_what_does_not_work_is_told_in_a_line(
    project: Path,
    ini: str,
    environ: dict[str, str],
    conftest: str,
    advice: str,
) -> None:
    (project / "pytest.ini").write_text(f"[pytest]\n{ini}\n")
    (project / "conftest.py").write_text(conftest)
    (project / "test_it.py").write_text("def test_it(paceline_table): pass\n")
    done = pytest_in(project, **environ)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "1 error" in done.stdout
    assert advice in done.stdout
    assert "Traceback" not in done.stdout
    assert "plugin.py" not in done.stdout
