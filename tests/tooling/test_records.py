"""What a long run noted is there whatever ended it, and is not mixed up with something else."""

import json
import multiprocessing
import subprocess
from pathlib import Path

import pytest

from tests.support.records import Refused, commit_of, only, records


def test_what_was_added_is_there_again(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file.jsonl"
    with records(path, commit="abc", mixed=False) as file:
        file.add({"kind": "a", "n": 1})
        file.add({"kind": "b", "text": "zwölf"})
    with records(path, commit="abc", mixed=False) as file:
        assert file.of("a") == [{"kind": "a", "n": 1, "commit": "abc"}]
        assert [line["kind"] for line in file.lines] == ["a", "b"]


def test_a_line_that_was_cut_short_is_dropped(tmp_path: Path) -> None:
    path = tmp_path / "file.jsonl"
    with records(path, commit="abc", mixed=False) as file:
        file.add({"kind": "a", "n": 1})
        file.add({"kind": "a", "n": 2})
    whole = path.read_bytes()
    for cut in range(1, len(whole) // 2):
        path.write_bytes(whole[:-cut])
        with records(path, commit="abc", mixed=False) as file:
            assert [line["n"] for line in file.lines] == [1]
            file.add({"kind": "a", "n": 3})
        numbers = [json.loads(line)["n"] for line in path.read_text().splitlines()]
        assert numbers == [1, 3]


def test_a_line_that_is_no_result_is_not_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "file.jsonl"
    for text in ["what\n", '"text"\n', '{"kind": "a"}\n']:
        path.write_text(text)
        with (
            pytest.raises(Refused, match="line 1 is no result"),
            records(path, commit="abc", mixed=False),
        ):
            pytest.fail("it was taken")


def test_another_commit_is_refused_unless_told(tmp_path: Path) -> None:
    path = tmp_path / "file.jsonl"
    with records(path, commit="abc", mixed=False) as file:
        file.add({"kind": "a"})
    with (
        pytest.raises(Refused, match="has results of abc, and this is def"),
        records(path, commit="def", mixed=False),
    ):
        pytest.fail("it was taken")
    with records(path, commit="def", mixed=True) as file:
        file.add({"kind": "a"})
        assert file.commits == ["abc", "def"]


def _hold(path: Path, held: object, done: object) -> None:
    with records(path, commit="abc", mixed=False):
        held.set()  # type: ignore[attr-defined]
        done.wait(30)  # type: ignore[attr-defined]


def test_two_runs_do_not_share_a_file(tmp_path: Path) -> None:
    path = tmp_path / "file.jsonl"
    context = multiprocessing.get_context("spawn")
    held, done = context.Event(), context.Event()
    other = context.Process(target=_hold, args=(path, held, done))
    other.start()
    try:
        assert held.wait(30)
        with pytest.raises(Refused, match="in use"), records(path, commit="abc", mixed=False):
            pytest.fail("it was taken")
    finally:
        done.set()
        other.join(30)
        assert other.exitcode == 0
    with records(path, commit="abc", mixed=False):
        pass


def test_figures_of_different_runs_are_not_added_up(tmp_path: Path) -> None:
    only([{"operations": 5}], "operations", 5, tmp_path)
    with pytest.raises(Refused, match="operations 5, not 6"):
        only([{"operations": 5}], "operations", 6, tmp_path)


def test_changes_that_are_not_committed_are_another_commit(tmp_path: Path) -> None:
    def git(*words: str) -> None:
        name = ["-c", "user.name=a", "-c", "user.email=a@example.com"]
        subprocess.run(
            ["git", *name, *words], cwd=tmp_path, check=True, capture_output=True, timeout=30
        )

    assert commit_of(tmp_path / "nowhere") == "unknown"
    git("init", "-q")
    (tmp_path / "file").write_text("1\n")
    git("add", "file")
    git("commit", "-qm", "one")
    clean = commit_of(tmp_path)
    assert "+" not in clean
    (tmp_path / "file").write_text("2\n")
    changed = commit_of(tmp_path)
    (tmp_path / "file").write_text("3\n")
    assert len({clean, changed, commit_of(tmp_path)}) == 3
    assert changed.startswith(clean + "+")
