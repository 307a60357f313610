"""Session guarantees and staleness: what is reported, with what, and what is not."""

import math
from collections.abc import Hashable

import pytest

from paceline_local.testing.linearizability import (
    Guarantee,
    KeyValue,
    Operation,
    Register,
    check,
    sequential,
    sessions,
    staleness,
)
from tests.unit.local.testing.long_histories import long_history

Row = tuple[Hashable, str, Hashable, int, float, float | None]
"""(process, kind, key, value, invoked_at, returned_at)"""


def history(*rows: Row) -> list[Operation]:
    return [
        Operation(
            process,
            kind,
            key,
            value if kind == "write" else None,
            None if kind == "write" else (value or None),
            invoked_at,
            returned_at,
        )
        for process, kind, key, value, invoked_at, returned_at in rows
    ]


BROKEN = {
    "a session does not see its own write": (
        [("c", "write", "x", 1, 0, 1), ("c", "read", "x", 0, 2, 3)],
        Guarantee.READ_YOUR_WRITES,
        (0, 1, None),
    ),
    "it sees a value from before its own write": (
        [
            ("d", "write", "x", 1, 0, 1),
            ("c", "write", "x", 2, 2, 3),
            ("c", "read", "x", 1, 4, 5),
        ],
        Guarantee.READ_YOUR_WRITES,
        (1, 2, None),
    ),
    "a second read sees less than the first": (
        [
            ("d", "write", "x", 1, 0, 1),
            ("d", "write", "x", 2, 2, 9),
            ("c", "read", "x", 2, 3, 4),
            ("c", "read", "x", 1, 5, 6),
        ],
        Guarantee.MONOTONIC_READS,
        (2, 3, None),
    ),
    "a write is seen without the one before it in its session": (
        [
            ("d", "write", "x", 1, 0, 1),
            ("d", "write", "y", 2, 2, 3),
            ("c", "read", "y", 2, 4, 5),
            ("c", "read", "x", 0, 6, 7),
        ],
        Guarantee.MONOTONIC_WRITES,
        (0, 3, (1, 2)),
    ),
    "a reply is seen without the question": (
        [
            ("a", "write", "x", 1, 0, 1),
            ("b", "read", "x", 1, 2, 3),
            ("b", "write", "y", 2, 4, 5),
            ("c", "read", "y", 2, 6, 7),
            ("c", "read", "x", 0, 8, 9),
        ],
        Guarantee.WRITES_FOLLOW_READS,
        (1, 4, (2, 3)),
    ),
}


@pytest.mark.parametrize("name", list(BROKEN))
def test_a_broken_guarantee_is_reported_with_its_operations(name: str) -> None:
    rows, guarantee, (earlier, later, via) = BROKEN[name]
    operations = history(*rows)
    found = sessions(operations, Register())
    assert not found
    (violation,) = found.violations
    assert violation.guarantee is guarantee
    assert violation.earlier is operations[earlier]
    assert violation.later is operations[later]
    assert violation.via == (None if via is None else (operations[via[0]], operations[via[1]]))
    assert str(violation).startswith(f"{guarantee.value}: {operations[later]}")
    assert found.counts()[guarantee] == 1
    assert not check(operations, Register())


@pytest.mark.parametrize("name", list(BROKEN))
def test_the_same_seen_by_another_session_breaks_nothing(name: str) -> None:
    rows, _, _ = BROKEN[name]
    last = rows[-1]
    assert sessions(history(*rows[:-1], ("other", *last[1:])), Register())


def test_concurrent_writes_are_in_no_order() -> None:
    rows: list[Row] = [
        ("c", "write", "x", 1, 0, 5),
        ("d", "write", "x", 2, 1, 6),
        ("c", "read", "x", 2, 7, 8),
        ("c", "read", "x", 1, 9, 10),
    ]
    assert sessions(history(*rows), Register())


def test_a_read_under_way_when_the_write_returns_may_miss_it() -> None:
    rows: list[Row] = [("c", "write", "x", 1, 0, 5), ("c", "read", "x", 0, 4, 9)]
    assert sessions(history(*rows), Register())


def test_a_write_of_unknown_outcome_is_not_owed() -> None:
    rows: list[Row] = [("c", "write", "x", 1, 0, None), ("c", "read", "x", 0, 4, 9)]
    assert sessions(history(*rows), Register())


def test_reads_of_ambiguous_values_are_counted_and_not_judged() -> None:
    rows: list[Row] = [
        ("c", "write", "x", 1, 0, 1),
        ("c", "write", "x", 1, 2, 3),
        ("c", "read", "x", 1, 4, 5),
        ("c", "read", "y", 0, 4, 5),
    ]
    found = sessions(history(*rows), Register())
    assert found
    assert (found.reads, found.unjudged) == (1, 1)


def test_every_stale_read_of_a_session_is_reported() -> None:
    rows: list[Row] = [("c", "write", "x", 1, 0, 1)]
    rows += [("c", "read", "x", 0, at, at + 0.5) for at in range(2, 12)]
    found = sessions(history(*rows), Register())
    assert found.counts()[Guarantee.READ_YOUR_WRITES] == 10


def test_staleness_names_the_read_and_what_was_newer() -> None:
    rows: list[Row] = [
        ("w", "write", "x", 1, 0, 1),
        ("w", "write", "x", 2, 2, 3),
        ("r", "read", "x", 1, 3.5, 4),
        ("r", "read", "x", 1, 7.25, 8),
        ("w", "write", "y", 1, 0, 1),
        ("r", "read", "y", 0, 1.5, 2),
    ]
    operations = history(*rows)
    found = staleness(operations, Register())
    assert {key: entry.delta for key, entry in found.keys.items()} == {"x": 4.25, "y": 0.5}
    assert (found.delta, found.exact) == (4.25, True)
    assert found.worst is found.keys["x"]
    assert found.worst.read is operations[3]
    assert found.worst.newer is operations[1]


def test_a_value_that_a_reader_saw_makes_the_one_before_stale() -> None:
    rows: list[Row] = [
        ("w", "write", "x", 1, 0, 1),
        ("w", "write", "x", 2, 2, 99),
        ("a", "read", "x", 2, 3, 4),
        ("b", "read", "x", 1, 6, 7),
    ]
    operations = history(*rows)
    (found,) = staleness(operations, Register()).keys.values()
    assert (found.delta, found.read, found.newer) == (2, operations[3], operations[2])


@pytest.mark.parametrize(
    ("rows", "culprit"),
    [
        ([("r", "read", "x", 1, 0, 1)], 0),
        ([("r", "read", "x", 1, 0, 1), ("w", "write", "x", 1, 2, 3)], 0),
    ],
)
def test_no_delay_explains_what_was_not_there(rows: list[Row], culprit: int) -> None:
    operations = history(*rows)
    (found,) = staleness(operations, Register()).keys.values()
    assert found.delta == math.inf
    assert found.exact
    assert found.read is operations[culprit]


def test_staleness_of_ambiguous_values_is_a_lower_bound() -> None:
    rows = [(1, "write", 1, None), (1, "write", 1, None), (1, "write", 2, None)]
    found = staleness(sequential([*rows, (2, "read", None, 1)]), Register())
    assert (found.delta, found.exact) == (0, False)
    found = staleness(sequential([(1, "add", 1, None)]), KeyValue())
    assert (found.delta, found.exact) == (0, False)


def test_nothing_is_not_stale() -> None:
    found = staleness([], Register())
    assert (found.delta, found.exact, found.worst) == (0, True, None)


def test_long_legal_histories_are_neither_stale_nor_broken() -> None:
    operations = long_history(5, operations=5_000, keys=10, processes=20, kinds=["write"])
    assert staleness(operations, KeyValue()).delta == 0
    found = sessions(operations, KeyValue())
    assert found
    assert found.reads > 3_000
    assert found.unjudged == 0


def test_a_read_put_back_by_a_second_is_that_stale() -> None:
    """Shifting all reads makes as much staleness as that, or less if the value was still there."""
    operations = list(
        long_history(6, operations=3_000, keys=3, processes=10, kinds=["write"], unknown=0)
    )
    late = [
        Operation(o.process, o.kind, o.key, o.argument, o.result, o.invoked_at + 3, r + 3)
        if o.kind == "read" and (r := o.returned_at) is not None
        else o
        for o in operations
    ]
    assert 2 < staleness(late, KeyValue()).delta <= 3 + 1e-9
    assert not check(late, KeyValue(), explanations_max=0)
