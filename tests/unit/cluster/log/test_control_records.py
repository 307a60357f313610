"""Records of the control plane in the log: all or nothing, by who has seen the latest, bounded."""

import msgpack
import pytest

from cluster.log import commands as c
from cluster.log import control_records
from cluster.log.control_records import (
    CHANGED,
    EVENT_BYTES_MAX,
    EVENTS_MAX,
    RECORD_BYTES_MAX,
    TOKENS_MAX,
)
from cluster.log.state import CommandResult, ReplicatedState


def change(
    state: ReplicatedState,
    token: str,
    changes: dict[str, bytes | None],
    *events: bytes,
    expected: int | None = None,
) -> CommandResult:
    seen = state.control.revision if expected is None else expected
    return state.apply_command(c.ChangeControl(token, seen, changes, events))


def test_a_change_is_made_once_however_often_it_comes() -> None:
    state = ReplicatedState()
    first = change(state, "a", {"x": b"1", "y": b"2"}, b"made", expected=0)
    assert first == CommandResult(True, 1)
    assert change(state, "b", {"x": None}, expected=1).ok
    again = change(state, "a", {"x": b"1", "y": b"2"}, b"made", expected=0)
    assert again.ok
    assert state.control.by_name == {"y": b"2"}
    assert state.control.events == (b"made",)


def test_who_has_not_seen_the_latest_changes_nothing() -> None:
    state = ReplicatedState()
    assert change(state, "a", {"x": b"1"}).ok
    before = state.snapshot()
    refused = change(state, "b", {"x": b"2", "z": b"3"}, b"event", expected=0)
    assert refused == CommandResult(False, 0, CHANGED)
    assert state.snapshot() == before


@pytest.mark.parametrize(
    ("changes", "events"),
    [
        ({"small": b"", "large": bytes(RECORD_BYTES_MAX)}, ()),
        ({"n" * RECORD_BYTES_MAX: b"1"}, ()),
        ({"small": b""}, (bytes(EVENT_BYTES_MAX + 1),)),
    ],
)
def test_what_is_too_large_changes_nothing(
    changes: dict[str, bytes | None], events: tuple[bytes, ...]
) -> None:
    state = ReplicatedState()
    before = state.snapshot()
    refused = change(state, "a", changes, *events)
    assert not refused.ok
    assert "more than" in refused.reason
    assert state.snapshot() == before
    assert not change(state, "t" * 65, {}).ok


def test_number_and_sum_are_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control_records, "RECORDS_MAX", 2)
    monkeypatch.setattr(control_records, "RECORDS_BYTES_MAX", 20)
    state = ReplicatedState()
    assert change(state, "a", {"x": b"1", "y": b"2"}).ok
    assert "records" in change(state, "b", {"z": b"3"}).reason
    assert change(state, "c", {"z": b"3", "x": None}).ok, "one goes for another"
    assert "together" in change(state, "d", {"z": bytes(19)}).reason


def test_the_latest_events_and_tokens_are_kept() -> None:
    state = ReplicatedState()
    for number in range(TOKENS_MAX + 1):
        events = [b"%d.%d" % (number, each) for each in range(7)]
        assert change(state, f"t{number}", {}, *events).ok
    assert len(state.control.events) == EVENTS_MAX
    assert state.control.events[-1] == b"%d.6" % TOKENS_MAX
    assert len(state.control.tokens) == TOKENS_MAX
    assert "t0" not in state.control.tokens


def test_a_snapshot_has_them_and_one_of_an_earlier_release_has_none() -> None:
    state = ReplicatedState()
    assert change(state, "a", {"x": b"1"}, b"event").ok
    again = ReplicatedState()
    again.restore(state.snapshot())
    assert again.control == state.control
    assert again.snapshot() == state.snapshot()
    fields = msgpack.unpackb(state.snapshot())
    del fields["control"]
    again.restore(msgpack.packb(fields))
    assert again.control.by_name == {}
    assert change(again, "b", {"x": b"2"}).ok
    for wrong in ([1, [], [["x", "text"]], []], [1, [2], [], []], {"a": 1}, ["1", [], [], []]):
        with pytest.raises(ValueError, match="not a snapshot"):
            again.restore(msgpack.packb({**fields, "control": wrong}))
