"""``python -m paceline_local.testing.linearizability``."""

import io
import subprocess
import sys
from pathlib import Path

import pytest

from paceline_local.testing.linearizability import History, Operation, save, sequential
from paceline_local.testing.linearizability.__main__ import main

GOOD = [(1, "write", 1, None), (2, "read", None, 1)]
STALE = [(1, "write", 1, None), (1, "write", 2, None), (2, "read", None, 1)]


def run(tmp_path: Path, history: History, *options: str) -> tuple[int, str]:
    path = tmp_path / "history.jsonl"
    save(history, path)
    out = io.StringIO()
    return main([str(path), *options], out), out.getvalue()


def test_ok(tmp_path: Path) -> None:
    history = History([*sequential(GOOD, "x"), *sequential(GOOD, "y")])
    assert run(tmp_path, history) == (
        0,
        "key 'x': ok (2 operations, zones)\nkey 'y': ok (2 operations, zones)\nok\n",
    )


def test_illegal(tmp_path: Path) -> None:
    status, text = run(tmp_path, History([*sequential(GOOD, "x"), *sequential(STALE, "y")]))
    assert status == 1
    lines = text.splitlines()
    assert lines[:3] == [
        "key 'x': ok (2 operations, zones)",
        "key 'y': illegal (3 operations, zones)",
        "1 was current both before and after 2",
    ]
    assert lines[-1] == "illegal"


def test_unknown(tmp_path: Path) -> None:
    history = sequential([(1, "add", 1, None)] * 9, "x")
    status, text = run(tmp_path, history, "--model", "counter", "--steps-max", "3")
    assert status == 2
    assert text.startswith("key 'x': unknown (9 operations, search, ")
    assert text.endswith("\nunknown\n")


def test_staleness_and_sessions(tmp_path: Path) -> None:
    history = sequential([*STALE, (1, "read", None, 1)], "x")
    status, text = run(tmp_path, history, "--staleness", "--sessions")
    assert status == 1
    assert "key 'x': staleness 3; stalest: 1: read -> 1 on 'x' [6, 7], behind 1: write 2" in text
    assert "read your writes: 1 violations" in text
    assert "2 reads judged, 0 not" in text


def test_initial_values_and_models(tmp_path: Path) -> None:
    history = sequential([(1, "read", None, "a")], "x")
    assert run(tmp_path, history, "--initial", '"a"')[0] == 0
    assert run(tmp_path, history, "--model", "register")[0] == 1
    history = sequential([(1, "add_and_get", 1, 8)], "x")
    assert run(tmp_path, history, "--model", "counter", "--initial", "7")[0] == 0


@pytest.mark.parametrize(
    ("lines", "options", "message"),
    [
        ("nonsense", [], "line 1: "),
        ('{"process": 1, "kind": "x", "invoked_at": 1, "returned_at": 2}', [], "no operation 'x'"),
        ("", ["--model", "stack"], "invalid choice"),
        ("", ["--initial", "{"], "Expecting"),
        ("", ["--model", "counter", "--initial", '"x"'], "does not begin with 'x'"),
    ],
)
def test_what_is_wrong_is_said(
    tmp_path: Path,
    lines: str,
    options: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / "history.jsonl"
    path.write_text(lines)
    with pytest.raises(SystemExit) as ended:
        main([str(path), *options])
    assert ended.value.code == 64
    assert message in capsys.readouterr().err


def test_a_missing_file_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([str(tmp_path / "none.jsonl")])
    assert ended.value.code == 64
    assert "No such file" in capsys.readouterr().err


def test_as_a_program(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    save([Operation("a", "read", "x", None, 5, 0, 1)], path)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "paceline_local.testing.linearizability", "-"],
        input=path.read_text(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    assert "5 was read but never written" in done.stdout
    assert done.stderr == ""
