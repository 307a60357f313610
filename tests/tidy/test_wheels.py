"""The built distributions: what they put into an environment, and that they run there.

The wheels are built from the checkout with the locked build tools and installed into an empty
environment; only third-party packages are lent to it from this one.
"""

import os
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DISTRIBUTIONS = {
    "paceline": ROOT / "client",
    "paceline_local": ROOT / "local",
    "paceline_server": ROOT,
}
SOURCES = {
    "paceline": ["client/src/paceline"],
    "paceline_local": ["local/src/paceline_local"],
    "paceline_server": ["cluster", "node", "discovery", "paceline_server"],
}

pytestmark = pytest.mark.timeout(300)


def run(argv: Sequence[str | Path], cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PYTHON", "PACELINE_"))
    }
    return subprocess.run(
        [str(word) for word in argv],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    out = tmp_path_factory.mktemp("wheels")
    found = {}
    for name, source in DISTRIBUTIONS.items():
        done = run(
            [sys.executable, "-m", "build", "--wheel", "--no-isolation", "-o", out, source], ROOT
        )
        assert done.returncode == 0, done.stdout + done.stderr
        (found[name],) = out.glob(f"{name}-[0-9]*.whl")
    return found


@dataclass(frozen=True, slots=True)
class Environment:
    """A virtual environment with nothing but some of the wheels, and an empty directory."""

    root: Path
    empty: Path

    @property
    def site(self) -> Path:
        (found,) = self.root.glob("lib/python*/site-packages")
        return found

    def lend(self, *names: str) -> None:
        """Single packages of this environment's."""
        for name in names:
            (self.site / name).symlink_to(Path(sysconfig.get_path("purelib")) / name)

    def run(self, *argv: str) -> subprocess.CompletedProcess[str]:
        return run([self.root / "bin" / argv[0], *argv[1:]], self.empty)


@pytest.fixture(scope="module")
def environment(wheels: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Environment:
    made = installed(tmp_path_factory, *wheels.values())
    # Lends this environment's packages. Its own .pth files, which would lend the checkout too,
    # are not read: only a site directory's are.
    (made.site / "lent.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return made


def installed(tmp_path_factory: pytest.TempPathFactory, *wheels: Path) -> Environment:
    """Without what they depend on."""
    root = tmp_path_factory.mktemp("environment")
    done = run([sys.executable, "-m", "venv", "--without-pip", root], ROOT)
    assert done.returncode == 0, done.stderr
    done = run(
        [
            *(sys.executable, "-m", "pip", "--python", root / "bin" / "python"),
            *("install", "--quiet", "--no-deps", "--no-index", "--no-compile"),
            *wheels,
        ],
        ROOT,
    )
    assert done.returncode == 0, done.stderr
    return Environment(root, tmp_path_factory.mktemp("empty"))


def contents(wheel: Path) -> list[str]:
    with zipfile.ZipFile(wheel) as archive:
        return archive.namelist()


@pytest.mark.parametrize("name", list(DISTRIBUTIONS))
def test_a_wheel_has_one_top_level_name(name: str, wheels: dict[str, Path]) -> None:
    tops = {entry.partition("/")[0] for entry in contents(wheels[name])}
    metadata = {top for top in tops if top.endswith(".dist-info")}
    assert len(metadata) == 1
    assert tops - metadata == {name}


@pytest.mark.parametrize("name", list(DISTRIBUTIONS))
def test_a_wheel_has_the_licence_and_nothing_that_was_lying_about(
    name: str, wheels: dict[str, Path]
) -> None:
    names = contents(wheels[name])
    assert any(entry.endswith("licenses/LICENSE") for entry in names)
    code = [entry for entry in names if ".dist-info/" not in entry]
    odd = [e for e in code if not e.endswith((".py", ".pyi", "/py.typed")) or "/tests/" in e]
    # By which 'paceline embedded install' checks what an index sends.
    assert odd == (["paceline_local/embedded_requirements.txt"] if name == "paceline_local" else [])
    expected = sum(len(list((ROOT / part).rglob("*.py"))) for part in SOURCES[name])
    assert len([entry for entry in code if entry.endswith(".py")]) == expected


SDK_ALONE = """
import sys
import paceline
import paceline.client.core
from paceline.dax.connection import ClientConnection
assert not {"botocore", "grpc", "google", "rich", "typer"} & set(sys.modules), sys.modules
with paceline.Client("dax://127.0.0.1:9", region_name="local") as client:
    print(type(client).__module__)
assert not {"grpc", "google", "rich", "typer"} & set(sys.modules), sys.modules
"""


def test_the_sdk_needs_botocore_and_nothing_else(
    wheels: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> None:
    alone = installed(tmp_path_factory, wheels["paceline"])
    assert not [file.name for file in (alone.root / "bin").glob("paceline*")]
    done = alone.run("python", "-c", "import paceline.dax.connection, paceline.client.core")
    assert done.returncode == 0, done.stderr
    alone.lend("botocore", "jmespath", "dateutil", "six.py", "urllib3")
    done = alone.run("python", "-c", SDK_ALONE)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("paceline.client")


def test_the_tools_do_not_need_the_servers(
    wheels: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> None:
    tools = installed(tmp_path_factory, wheels["paceline"], wheels["paceline_local"])
    (tools.site / "lent.pth").write_text(sysconfig.get_path("purelib") + "\n")
    done = tools.run("paceline", "--help")
    assert done.returncode == 0, done.stderr
    done = tools.run("python", "-c", "import paceline_local.testing.linearizability")
    assert done.returncode == 0, done.stderr


def test_the_command_line_runs_from_its_wheel(environment: Environment) -> None:
    done = environment.run("paceline", "--help")
    assert done.returncode == 0, done.stderr
    assert "up" in done.stdout
    done = environment.run("python", "-c", "import paceline; print(paceline.__file__)")
    assert done.stdout.startswith(str(environment.root)), done.stdout + done.stderr


@pytest.mark.parametrize("program", ["node", "discovery"])
def test_a_server_runs_from_its_wheel(program: str, environment: Environment) -> None:
    for argv in (["paceline-server", program, "--help"], ["paceline", program, "--help"]):
        done = environment.run(*argv)
        assert done.returncode == 0, done.stderr
        assert "--config" in done.stdout


@pytest.mark.parametrize("name", ["cluster", "node", "discovery", "proto"])
def test_an_application_gets_no_package_of_a_common_name(
    name: str, environment: Environment
) -> None:
    done = environment.run("python", "-c", f"import {name}")
    assert done.returncode != 0
    assert f"No module named '{name}'" in done.stderr


def test_the_working_directory_cannot_replace_a_server(environment: Environment) -> None:
    (environment.empty / "node.py").write_text("raise SystemExit('wrong node')\n")
    try:
        done = environment.run("paceline", "node", "--help")
    finally:
        (environment.empty / "node.py").unlink()
    assert done.returncode == 0, done.stderr


def test_a_source_distribution_builds_the_same_wheel(
    wheels: dict[str, Path], tmp_path: Path
) -> None:
    for name, source in DISTRIBUTIONS.items():
        done = run([sys.executable, "-m", "build", "--no-isolation", "-o", tmp_path, source], ROOT)
        assert done.returncode == 0, done.stdout + done.stderr
        (wheel,) = tmp_path.glob(f"{name}-[0-9]*.whl")
        assert sorted(contents(wheel)) == sorted(contents(wheels[name]))
