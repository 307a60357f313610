"""Logs of children are bounded in size while they are written."""

import sys
from pathlib import Path

import pytest

from paceline_local import log_files
from paceline_local.log_files import rotate
from paceline_local.supervisor import Supervisor
from tests.support.waiting import wait_until

WRITER = "import sys\nfor n in range(200_000): print(f'line {n:06}')\nsys.stdin.read()"


def test_old_logs_move_up_and_the_oldest_goes(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    assert not rotate(path, 10, 2)
    for content in ("first" * 5, "second" * 5, "third" * 5):
        path.write_text(content)
        assert rotate(path, 10, 2)
        assert path.read_text() == ""
    assert (tmp_path / "a.log.1").read_text() == "third" * 5
    assert (tmp_path / "a.log.2").read_text() == "second" * 5
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.log", "a.log.1", "a.log.2"]
    path.write_text("short")
    assert not rotate(path, 10, 2)


def test_where_no_copy_can_be_made_the_log_is_cut_all_the_same(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    (tmp_path / "a.log.1").mkdir()
    path.write_text("x" * 100)
    assert rotate(path, 10, 1)
    assert path.read_text() == ""


def test_a_child_that_writes_all_the_time_fills_no_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_files, "CHECK_S", 0.01)
    monkeypatch.setattr(rotate, "__defaults__", (100_000, 2))
    with Supervisor(tmp_path / "logs") as supervisor:
        child = supervisor.start("a", [sys.executable, "-c", WRITER], {}, cwd=tmp_path)
        first = tmp_path / "logs" / "a.log.1"
        second = tmp_path / "logs" / "a.log.2"
        wait_until(lambda: first.exists() and second.exists(), "the log is rotated twice")
        wait_until(lambda: not child.running, "all is written", 60.0)
        wait_until(lambda: child.log_path.stat().st_size <= 100_000, "the last part is small")
    kept = sorted(p.name for p in (tmp_path / "logs").iterdir())
    assert kept == ["a.log", "a.log.1", "a.log.2"]
    for line in first.read_text().splitlines()[1:-1]:
        assert line.startswith("line ")
