"""Sources keep the house rules: size, banned calls, and that they speak of the project alone."""

import subprocess
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from tests.tidy import rules

ROOT = Path(__file__).parents[2]
PRODUCT = (
    "cluster/",
    "node/",
    "discovery/",
    "paceline_server/",
    "client/src/paceline/",
    "local/src/paceline_local/",
)
GENERATED = ("client/src/paceline/v1/",)
SERVERS = ("cluster/", "node/", "discovery/", "paceline_server/")
NEVER_FORKED = ("cluster/", "node/", "paceline_server/")
LOCKS = (
    "requirements/",
    "tests/support/js/package-lock.json",
    "LICENSE",
    "client/LICENSE",
    "local/LICENSE",
)

CALLS_ALLOWED = {
    "client/src/paceline/clock.py": "it is the clock",
    "local/src/paceline_local/guard.py": "it runs by its path, without the package",
    "local/src/paceline_local/embedded_main.py": "it runs in another environment",
}


def files() -> list[str]:
    """Every file that is or would be committed."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    ).stdout.splitlines()
    return [name for name in listed if (ROOT / name).is_file()]


def product_files() -> list[str]:
    return [
        name
        for name in files()
        if name.endswith(".py") and name.startswith(PRODUCT) and not name.startswith(GENERATED)
    ]


def broken(names: Iterable[str], check: Callable[[str], Iterable[str]]) -> list[str]:
    return [
        f"{name}: {problem}"
        for name in names
        for problem in check((ROOT / name).read_text(encoding="utf-8"))
    ]


def test_files_and_functions_are_of_readable_size() -> None:
    names = product_files()
    assert len(names) > 30, "the sources were not found"
    assert broken(names, rules.too_long) == []


def test_no_banned_calls() -> None:
    assert broken([n for n in product_files() if n not in CALLS_ALLOWED], rules.banned_calls) == []


def test_no_node_copies_itself() -> None:
    """Two processes of one incarnation would each hold the leases of both."""
    names = [name for name in product_files() if name.startswith(NEVER_FORKED)]
    assert len(names) > 100, "the sources were not found"
    assert broken(names, rules.forks) == []


def test_no_server_reads_bytes_that_run_code() -> None:
    names = [name for name in product_files() if name.startswith(SERVERS)]
    assert len(names) > 100, "the sources were not found"
    assert broken(names, rules.unpickles) == []


@pytest.mark.parametrize(
    "bad", ["import pickle", "def f():\n  from pickle import loads", "import json, marshal as m"]
)
def test_planted_pickle_is_found(bad: str) -> None:
    text = (ROOT / "node/program.py").read_text(encoding="utf-8")
    assert list(rules.unpickles(f"{text}\n{bad}\n"))


@pytest.mark.parametrize(
    "bad",
    [
        "import os\nos.fork()",
        "import os\nspawn = os.forkpty",
        "from os import fork",
        "import pty\ndef late():\n    pty.fork()",
        "from pty import fork as copy",
        "import multiprocessing",
        "import multiprocessing.pool",
        "from multiprocessing import Process",
        "from concurrent.futures import ProcessPoolExecutor",
        "import concurrent.futures\nconcurrent.futures.ProcessPoolExecutor(2)",
        "from concurrent import futures\npool = futures.ProcessPoolExecutor()",
    ],
)
def test_a_planted_fork_is_found(bad: str) -> None:
    for source in ("cluster/data_dir.py", "node/program.py"):
        text = (ROOT / source).read_text(encoding="utf-8")
        assert list(rules.forks(f"{text}\n{bad}\n"))


@pytest.mark.parametrize(
    "good",
    [
        "import os\nos.getpid()",
        "import subprocess\nsubprocess.run(['true'])",
        "from concurrent.futures import ThreadPoolExecutor",
        "settings = dict(useFork=False)",
    ],
)
def test_other_processes_and_threads_are_allowed(good: str) -> None:
    assert not list(rules.forks(good))


def test_the_project_speaks_of_itself() -> None:
    names = [
        name
        for name in files()
        if not name.startswith((*LOCKS, *GENERATED)) and b"\0" not in (ROOT / name).read_bytes()
    ]
    assert "README.md" in names
    assert broken(names, rules.wording) == []


def test_no_index_host_is_committed() -> None:
    names = [name for name in files() if name.startswith(("requirements/", "tests/support/js/"))]
    assert {"requirements/dev.txt", "tests/support/js/package-lock.json"} <= {*names}
    for name in names:
        text = (ROOT / name).read_text(encoding="utf-8")
        for word in ("--index-url", "--extra-index-url", "--find-links", '"resolved"'):
            assert word not in text, f"{name}: {word}"


def test_all_distributions_have_one_licence_and_version() -> None:
    import tomllib

    server, client, local = (
        tomllib.loads((ROOT / place / "pyproject.toml").read_text())["project"]
        for place in (".", "client", "local")
    )
    assert server["version"] == client["version"] == local["version"]
    assert f"paceline-local=={local['version']}" in server["dependencies"]
    assert f"paceline[grpc]=={client['version']}" in local["dependencies"]
    for place in ("client", "local"):
        assert (ROOT / "LICENSE").read_bytes() == (ROOT / place / "LICENSE").read_bytes()


@pytest.mark.parametrize(
    "bad",
    [
        "import time\ntime.time()",
        "import time\nx = time.monotonic()",
        "from time import monotonic",
        "from datetime import UTC, datetime\ndatetime.now(UTC)",
        "from datetime import date\ndate.today()",
        "import random\nrandom.random()",
        "import random\nrandom.SystemRandom()",
        "from random import choice",
        "asyncio.create_task(work())",
        "asyncio.get_running_loop().create_task(work())",
        "asyncio.ensure_future(work())",
    ],
)
def test_banned_calls_are_found(bad: str) -> None:
    assert list(rules.banned_calls(bad))


@pytest.mark.parametrize(
    "good",
    [
        "import time\ntime.sleep(1)",
        "import random\nrng = random.Random(7)\nrng.random()",
        "task = asyncio.create_task(work())",
        "tasks.add(asyncio.create_task(work()))",
        "async def f():\n  async with asyncio.TaskGroup() as group:\n    group.create_task(work())",
    ],
)
def test_calls_with_an_owner_are_allowed(good: str) -> None:
    assert list(rules.banned_calls(good)) == []


def test_size_is_found() -> None:
    assert list(rules.too_long("x = 1\n" * (rules.FILE_LINES_MAX + 1)))
    assert not list(rules.too_long("x = 1\n" * rules.FILE_LINES_MAX))
    long = "def f():\n" + "    x = 1\n" * rules.FUNCTION_LINES_MAX
    assert list(rules.too_long(long))
    assert not list(rules.too_long(long.removesuffix("    x = 1\n")))


@pytest.mark.parametrize(
    "bad", ["see /wo" + "rk/x", "as iss" + "ue 2 says", "DESI" + "GN.md 4", "the wi" + "re sheet"]
)
def test_wording_is_found(bad: str) -> None:
    assert list(rules.wording(f"fine\n# {bad}\n"))
