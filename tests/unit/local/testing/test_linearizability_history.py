"""Histories: outcomes, ties, recording, splitting by key, files."""

from pathlib import Path

import pytest

from paceline_local.testing.linearizability import (
    History,
    KeyValue,
    Operation,
    Recorder,
    Register,
    check,
    dumps,
    load,
    loads,
    save,
    sequential,
)


def test_an_operation_returns_after_it_is_invoked() -> None:
    with pytest.raises(ValueError, match="returns before it is invoked"):
        Operation(1, "read", "k", None, None, 2.0, 1.0)
    with pytest.raises(ValueError, match="returns before it is invoked"):
        Operation(1, "read", "k", None, None, 1.0, 1.0, invoked_order=2, returned_order=1)


def test_an_operation_that_failed_for_sure_has_returned() -> None:
    with pytest.raises(ValueError, match="set returned_at"):
        Operation(1, "read", "k", None, None, 2.0, None, failed=True)


def test_equal_times_are_concurrent_unless_an_order_is_given() -> None:
    first = Operation(1, "write", "k", 1, None, 0.0, 1.0)
    second = Operation(2, "read", "k", None, None, 1.0, 2.0)
    assert not first.precedes(second)
    assert check([first, second], Register())

    first = Operation(1, "write", "k", 1, None, 0.0, 1.0, returned_order=2)
    second = Operation(2, "read", "k", None, None, 1.0, 2.0, invoked_order=3)
    assert first.precedes(second)
    assert not check([first, second], Register())


def test_an_operation_of_unknown_outcome_precedes_nothing() -> None:
    unknown = Operation(1, "write", "k", 1, None, 0.0, None)
    assert not unknown.precedes(Operation(2, "read", "k", None, None, 9.0, 10.0))


def test_the_recorder_tells_events_at_one_time_apart() -> None:
    recorder = Recorder()
    write = recorder.invoke("a", "write", "k", 1, at=5.0)
    recorder.returned(write, at=5.0)
    read = recorder.invoke("b", "read", "k", at=5.0)
    recorder.returned(read, result=None, at=5.0)
    assert not check(recorder.history(), Register())


def test_the_recorder_knows_all_outcomes() -> None:
    recorder = Recorder()
    lost, refused, told, running = (
        recorder.invoke(f"client-{value}", "write", "k", value, at=float(value))
        for value in range(4)
    )
    recorder.unknown(lost)
    recorder.failed(refused, at=4.0)
    recorder.returned(told, result="x", at=4.0)
    history = recorder.history()
    assert [(o.argument, o.unknown, o.failed, o.result) for o in history] == [
        (0, True, False, None),
        (1, False, True, None),
        (2, False, False, "x"),
        (3, True, False, None),
    ]
    recorder.returned(running, at=9.0)
    assert [o.unknown for o in recorder.history()] == [True, False, False, False]
    assert len(history) == 4


def test_the_end_of_an_operation_is_told_once() -> None:
    recorder = Recorder()
    ticket = recorder.invoke("a", "read", "k", at=0.0)
    recorder.returned(ticket, at=1.0)
    with pytest.raises(KeyError):
        recorder.failed(ticket, at=2.0)


def test_every_key_is_an_object_of_its_own() -> None:
    history = History(
        [
            Operation(1, "write", "x", 1, None, 0, 1),
            Operation(1, "write", "y", 2, None, 2, 3),
            Operation(2, "read", "x", None, 1, 4, 5),
            Operation(2, "read", "y", None, None, 4, 5),
        ]
    )
    assert {key: len(operations) for key, operations in history.by_key().items()} == {
        "x": 2,
        "y": 2,
    }
    verdict = check(history, KeyValue())
    assert {key: v.answer.value for key, v in verdict.keys.items()} == {"x": "ok", "y": "illegal"}


def test_files_keep_everything(tmp_path: Path) -> None:
    history = History(
        [
            Operation("a", "write", ("table", b"\x00\xff"), "ü", None, 0.25, 1.5),
            Operation(7, "write_if", "k", (None, (1, 2.5)), True, 3, 4, False, 1, 2),
            Operation(7, "read", "k", None, False, 3, 4),
            Operation(7, "add", "k", 0, None, 5, None),
            Operation(7, "write", "k", b"x", None, 6, 7, failed=True),
        ]
    )
    path = tmp_path / "history.jsonl"
    save(history, path)
    loaded = load(path)
    assert loaded == history
    assert [type(o.result) for o in loaded] == [type(o.result) for o in history]


def test_what_json_cannot_hold_is_refused() -> None:
    with pytest.raises(TypeError, match="has no place in JSON"):
        list(dumps(sequential([(1, "write", frozenset(), None)])))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("nonsense", "line 2: "),
        ("[1]", "line 2: not an object"),
        ('{"process": 1, "kind": "read"}', "line 2: no invoked_at"),
        ('{"process": 1, "kind": "read", "invoked_at": "1"}', "line 2: invoked_at is to be a num"),
        ('{"process": 1, "kind": "read", "invoked_at": true}', "line 2: invoked_at is to be"),
        ('{"process": 1, "kind": "read", "invoked_at": NaN}', "line 2: invoked_at is to be"),
        ('{"process": 1, "kind": 2, "invoked_at": 1}', "line 2: kind is to be str, not 2"),
        ('{"process": 1, "kind": "r", "invoked_at": 1, "typo": 1}', r"unknown members \['typo'\]"),
        ('{"process": 1, "kind": "r", "invoked_at": 2, "returned_at": 1}', "returns before"),
        ('{"process": 1, "kind": "r", "invoked_at": 1, "result": {"x": 1}}', "is no value"),
        ('{"process": 1, "kind": "r", "invoked_at": 1, "result": {"base64": "?"}}', "line 2: "),
    ],
)
def test_a_wrong_line_is_named(line: str, message: str) -> None:
    good = '{"process": 1, "kind": "read", "invoked_at": 1}'
    with pytest.raises(ValueError, match=message):
        loads([good, line])


def test_empty_lines_are_skipped() -> None:
    assert len(loads(["", '{"process": 1, "kind": "read", "invoked_at": 1}\n', "\n"])) == 1
