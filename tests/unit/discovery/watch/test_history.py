"""What is kept, for how long, and that it is there after a restart."""

from __future__ import annotations

from pathlib import Path

import pytest

from discovery.watch.aggregation import COARSE_S, FINE_S, periods
from discovery.watch.history import (
    COARSE_KEPT_S,
    FINE_KEPT_S,
    NODES_MAX,
    History,
    nodes_within,
)
from paceline.errors import ConfigError

BEGIN = 1_800_000_000 // 3_600 * 3_600


def filled(history: History, spans: int, begin: int = BEGIN) -> int:
    """Five minutes each, of two nodes; returns the time of the last value."""
    at = begin
    for at in range(begin, begin + spans * COARSE_S, FINE_S):
        history.add(at, {"n1": {"ItemCacheHits": 2.0, "CPUUtilization": 10.0}, "n2": {}})
    return at


def test_old_values_become_coarse_and_none_is_counted_twice(tmp_path: Path) -> None:
    history = History(tmp_path / "m.sqlite")
    last = filled(history, FINE_KEPT_S // COARSE_S + 6)
    (fine,) = history.db.execute("SELECT count(*) FROM fine WHERE metric = 1").fetchone()
    assert fine <= (FINE_KEPT_S + COARSE_S) / FINE_S
    (coarse,) = history.db.execute("SELECT count(*) FROM coarse WHERE metric = 1").fetchone()
    assert coarse == 5
    values = history.read("ItemCacheHits", BEGIN, last + 1)
    assert list(values) == ["n1"]
    assert sum(one.total for one in values["n1"]) == 2.0 * ((last - BEGIN) // FINE_S + 1)
    (whole,) = periods("count", values, BEGIN, last + 1, 86_400)
    assert whole.statistic("Average") == 12.0  # a minute's, also of what is coarse
    assert history.read("ItemCacheHits", BEGIN, last, "n2") == {}
    history.close()


def test_it_is_there_after_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "m.sqlite"
    history = History(path)
    last = filled(history, 2)
    history.put_record("alarm", "a", "{}")
    history.close()
    again = History(path)
    assert sum(one.total for one in again.read("ItemCacheHits", BEGIN, last + 1)["n1"]) == 120.0
    assert again.nodes() == ["n1", "n2"]
    assert again.records("alarm") == {"a": "{}"}
    again.delete_record("alarm", "a")
    assert again.records("alarm") == {}
    again.close()


def test_what_is_older_than_two_weeks_is_gone() -> None:
    history = History(None)
    filled(history, 2)
    late = BEGIN + COARSE_KEPT_S + FINE_KEPT_S
    history.add(late, {"n3": {"ItemCacheHits": 1.0}})
    history.add(late + COARSE_S, {"n3": {"ItemCacheHits": 1.0}})
    assert list(history.read("ItemCacheHits", 0, late + 1_000)) == ["n3"]
    assert history.nodes() == ["n3"]
    history.close()


def test_a_file_that_is_no_history_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.sqlite"
    path.write_bytes(b"something else, that is long enough to be looked at" * 40)
    with pytest.raises(ConfigError, match="cannot keep metrics"):
        History(path)
    other = tmp_path / "later.sqlite"
    history = History(other)
    history.db.execute("PRAGMA user_version = 9")
    history.close()
    with pytest.raises(ConfigError, match="form 9"):
        History(other)
    with pytest.raises(ConfigError, match="cannot keep metrics"):
        History(tmp_path / "no" / "such" / "folder")


def test_no_more_nodes_are_kept_than_there_may_be() -> None:
    known = [f"n{place}" for place in range(NODES_MAX - 1)]
    taken = nodes_within({"a": {}, "b": {}, "n1": {}}, known)
    assert taken == {"a", "n1"}
