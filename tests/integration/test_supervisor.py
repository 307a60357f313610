"""Children are started, watched and stopped, and none outlives its parent."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from paceline_local.supervisor import ChildFailed, Supervisor, describe_status, log_tail
from tests.support.local import gone
from tests.support.waiting import wait_until

ENVIRONMENT = {"PATH": os.environ["PATH"]}
SLEEPER = "import signal, sys; print('up', flush=True); signal.pause()"
STUBBORN = (
    "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True)\n"
    "while True: signal.pause()"
)
OBEDIENT = (
    "import os, signal, sys\n"
    "print('up', flush=True)\n"
    "os.read(int(os.environ['PACELINE_PARENT_FD']), 1)\n"
    "print('parent gone', flush=True)"
)


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[Supervisor]:
    with Supervisor(tmp_path / "logs") as one:
        yield one


def start(supervisor: Supervisor, name: str, code: str, cwd: Path = Path("/")) -> int:
    child = supervisor.start(name, [sys.executable, "-c", code], ENVIRONMENT, cwd=cwd)
    if "print('up'" in code:
        wait_until(lambda: "up" in log_tail(child.log_path), f"{name} starts")
    return child.pid


def test_stop_ends_children_and_kills_the_stubborn(supervisor: Supervisor) -> None:
    start(supervisor, "gentle", SLEEPER)
    start(supervisor, "stubborn", STUBBORN)
    assert supervisor.stop(["gentle", "stubborn"], grace_s=0.3) == ["stubborn"]
    assert supervisor.children["gentle"].status == -signal.SIGTERM
    assert supervisor.children["stubborn"].status == -signal.SIGKILL
    assert supervisor.take_exits() == []


def test_a_paused_child_is_stopped_gracefully(supervisor: Supervisor) -> None:
    pid = start(supervisor, "paused", SLEEPER)
    os.kill(pid, signal.SIGSTOP)
    assert supervisor.stop(["paused"], grace_s=5) == []
    assert gone(pid)


def test_stop_takes_what_a_child_started_with_it(supervisor: Supervisor) -> None:
    code = (
        "import subprocess, sys, signal\n"
        "p = subprocess.Popen([sys.executable, '-c', 'import signal; signal.pause()'])\n"
        "print('grandchild', p.pid, flush=True); print('up', flush=True); signal.pause()"
    )
    start(supervisor, "family", code)
    log = log_tail(supervisor.children["family"].log_path)
    grandchild = int(log.split("grandchild ")[1].split()[0])
    supervisor.stop(["family"], grace_s=5)
    wait_until(lambda: gone(grandchild), "the grandchild ends")


def test_an_unexpected_end_is_reported_once_with_status_and_log(supervisor: Supervisor) -> None:
    start(supervisor, "other", SLEEPER)
    start(supervisor, "dying", "import sys; print('last words'); sys.exit(3)")
    supervisor.children["dying"].wait(10)
    (exit,) = supervisor.take_exits()
    assert (exit.name, exit.status) == ("dying", 3)
    assert exit.describe().endswith("ended with exit code 3")
    assert log_tail(exit.log_path) == "last words"
    assert supervisor.take_exits() == []
    assert supervisor.children["other"].running


def test_a_child_that_ended_can_be_started_again(supervisor: Supervisor) -> None:
    first = start(supervisor, "one", SLEEPER)
    with pytest.raises(RuntimeError, match="runs already"):
        start(supervisor, "one", SLEEPER)
    supervisor.children["one"].signal(signal.SIGKILL)
    supervisor.children["one"].wait(10)
    assert [exit.status for exit in supervisor.take_exits()] == [-signal.SIGKILL]
    assert start(supervisor, "one", SLEEPER) != first


def test_a_program_that_does_not_exist_is_named(supervisor: Supervisor) -> None:
    with pytest.raises(ChildFailed, match="lost cannot be started: /no/such/program"):
        supervisor.start("lost", ["/no/such/program"], ENVIRONMENT, cwd=Path("/"))


@pytest.mark.parametrize("how", ["exit", "SIGKILL"])
def test_the_parents_death_ends_every_child_and_removes_its_directory(
    how: str, tmp_path: Path
) -> None:
    """Of the two children one watches the parent pipe, the other knows nothing of it and is
    paused besides."""
    doomed = tmp_path / "doomed"
    doomed.mkdir()
    parent = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from paceline_local.supervisor import Supervisor\n"
        f"s = Supervisor(Path({str(tmp_path / 'logs')!r}), orphan_stop_s=1.0)\n"
        f"s.remove_at_death(Path({str(doomed)!r}))\n"
        f"a = s.start('a', [sys.executable, '-c', {OBEDIENT!r}], dict(os.environ), cwd=Path('/'))\n"
        f"b = s.start('b', [sys.executable, '-c', {SLEEPER!r}], dict(os.environ), cwd=Path('/'))\n"
        "print(a.pid, b.pid, flush=True)\n"
        "sys.stdin.readline()\n"
        "os._exit(0)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", parent], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdin is not None
    with process:
        watching, ignorant = map(int, process.stdout.readline().split())
        for name in "ab":
            log = tmp_path / "logs" / f"{name}.log"
            wait_until(lambda log=log: "up" in log_tail(log), f"{name} starts")  # type: ignore[misc]
        os.kill(ignorant, signal.SIGSTOP)
        if how == "exit":
            process.stdin.write("\n")
            process.stdin.flush()
        else:
            process.kill()
        process.wait(10)
    wait_until(lambda: gone(watching) and gone(ignorant), "both children end")
    assert "parent gone" in log_tail(tmp_path / "logs" / "a.log")
    wait_until(lambda: not doomed.exists(), "the directory is removed")


def test_exit_statuses_are_told_in_words() -> None:
    assert describe_status(2) == "ended with exit code 2"
    assert describe_status(-9) == "was killed by SIGKILL"
    assert describe_status(-200) == "was killed by signal 200"


def test_a_log_tail_is_bounded(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("\n".join(f"line {i}" for i in range(10_000)) + "\n")
    assert log_tail(log, lines=2) == "line 9998\nline 9999"
    log.write_bytes(b"\xff" * 100_000)
    assert len(log_tail(log)) <= 8192
    assert log_tail(tmp_path / "none") == ""
