"""``paceline up`` as a process, on stand-ins: what it tells, and how it ends."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from paceline_local.plan import make_plan
from tests.support.local import free_base_port, gone, ports_free
from tests.support.waiting import wait_until

RUN = (
    # A test run under nohup would pass its ignored SIGHUP on, which `up` respects.
    "import signal, sys\n"
    "signal.signal(signal.SIGHUP, signal.SIG_DFL)\n"
    "from paceline_local.cli import main, up\n"
    "from tests.support.local import fake_programs\n"
    "run = up.run\n"
    "up.run = lambda options: run(options, fake_programs())\n"
    "sys.exit(main.run(['up', '--base-port', *sys.argv[1:]]))\n"
)
ROOT = Path(__file__).parents[2]


class Up:
    """A running command and its ready file."""

    def __init__(self, directory: Path, *options: str, **environment: str) -> None:
        self.base = free_base_port()
        self.plan = make_plan(base_port=self.base)
        self.ready_file = directory / "ready.json"
        self.output = directory / "output"
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                [
                    sys.executable,
                    "-c",
                    RUN,
                    str(self.base),
                    "--ready-file",
                    self.ready_file,
                    *options,
                ],
                env={**os.environ, "TMPDIR": str(directory), **environment},
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def ready(self) -> dict[str, Any]:
        wait_until(lambda: self.ready_file.exists() or not self._alive(), "ready", 20)
        assert self._alive(), self.text()
        return self.entry()

    def entry(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.ready_file.read_text())
        return found

    def text(self) -> str:
        return self.output.read_text()

    def pids(self) -> list[int]:
        entry = self.entry()
        servers = [*entry["nodes"], *entry["discovery"], entry["dynamodb"]]
        return [server["pid"] for server in servers]

    def _alive(self) -> bool:
        return self.process.poll() is None


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Up]]:
    started: list[Up] = []

    def start(*options: str, **environment: str) -> Up:
        one = Up(tmp_path, *options, **environment)
        started.append(one)
        return one

    yield start
    for one in started:
        one.process.kill()
        one.process.wait(10)
        wait_until(lambda one=one: ports_free(one.plan), "every port is free again")  # type: ignore[misc]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_stops_everything_with_exit_code_0(
    number: signal.Signals, start: Callable[..., Up], tmp_path: Path
) -> None:
    up = start()
    up.ready()
    pids = up.pids()
    wait_until(lambda: "ready in" in up.text(), "the ready line")
    for shown in (f"dax://127.0.0.1:{up.base + 111}", f"dax://127.0.0.1:{up.base + 123}"):
        assert shown in up.text()
    up.process.send_signal(number)
    assert up.process.wait(15) == 0
    assert all(gone(pid) for pid in pids)
    assert not up.ready_file.exists()
    assert up.text().rstrip().endswith("stopped")
    assert not list(tmp_path.glob("paceline-*/up-*.json"))
    left = [path for path in tmp_path.glob("paceline-*") if path.name != f"paceline-{os.getuid()}"]
    assert left == []


def test_the_death_of_up_itself_ends_every_child(start: Callable[..., Up]) -> None:
    up = start()
    up.ready()
    pids = up.pids()
    up.process.kill()
    wait_until(lambda: all(gone(pid) for pid in pids), "every child ends", 15)


def test_the_end_of_its_parents_pipe_stops_it(tmp_path: Path) -> None:
    read, write = os.pipe()
    base = free_base_port()
    ready = tmp_path / "ready.json"
    with subprocess.Popen(
        [sys.executable, "-c", RUN, str(base), "--ready-file", ready],
        env={**os.environ, "TMPDIR": str(tmp_path), "PACELINE_PARENT_FD": str(read)},
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        pass_fds=(read,),
    ) as process:
        os.close(read)
        wait_until(ready.exists, "ready", 20)
        os.close(write)
        assert process.wait(15) == 0


def test_a_second_signal_does_not_wait_for_the_stubborn(start: Callable[..., Up]) -> None:
    up = start(FAKE_STUBBORN_NODE_2="1")
    up.ready()
    up.process.send_signal(signal.SIGINT)
    wait_until(lambda: "stopping" in up.text(), "it stops")
    up.process.send_signal(signal.SIGINT)
    assert up.process.wait(3) == 0
    killed = up.text().partition("killed, since they did not stop in time: ")[2]
    assert "node-2" in killed


def test_a_failed_start_says_why_and_exits_1(start: Callable[..., Up]) -> None:
    up = start(FAKE_FAIL_NODE_1="the journal is corrupt")
    assert up.process.wait(20) == 1
    assert up.text().endswith("paceline: error: node-1: the journal is corrupt\n")
    assert not up.ready_file.exists()


def test_a_second_cluster_on_the_same_ports_harms_nothing(start: Callable[..., Up]) -> None:
    up = start()
    entry = up.ready()
    argv = [sys.executable, "-c", RUN, str(up.base), "--ready-file", str(up.ready_file)]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 2
    assert f"port {up.base} (embedded DynamoDB) is in use by" in done.stderr
    assert "--base-port" in done.stderr
    assert done.stderr.count("\n") == 1
    assert up.entry() == entry


def test_a_dead_node_is_told_and_leaves_the_ready_file(start: Callable[..., Up]) -> None:
    up = start()
    pid = up.ready()["nodes"][1]["pid"]
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: up.entry()["nodes"][1]["role"] is None, "the ready file says so")
    assert f"node-2 (pid {pid}) was killed by SIGKILL; the others go on" in up.text()
    assert [node["role"] for node in up.entry()["nodes"]] == ["primary", None, "replica"]


def test_a_dead_node_is_started_again_if_asked(start: Callable[..., Up]) -> None:
    up = start("--restart")
    pid = up.ready()["nodes"][1]["pid"]
    os.kill(pid, signal.SIGKILL)

    def back() -> bool:
        node = up.entry()["nodes"][1]
        return bool(node["pid"] != pid and node["role"] == "replica")

    wait_until(back, "node-2 is back")
    assert "node-2 was started again" in up.text()


def test_a_paused_node_keeps_its_role(start: Callable[..., Up]) -> None:
    up = start()
    entry = up.ready()
    os.kill(entry["nodes"][2]["pid"], signal.SIGSTOP)
    os.kill(entry["nodes"][1]["pid"], signal.SIGKILL)
    wait_until(lambda: up.entry()["nodes"][1]["role"] is None, "a round of looks is over")
    assert [node["role"] for node in up.entry()["nodes"]] == ["primary", None, "replica"]
    up.process.send_signal(signal.SIGTERM)
    assert up.process.wait(15) == 0
