"""How long a participant has had the entries that it applies."""

from __future__ import annotations

from cluster.consensus.core.messages import Append, Entry, HardState, Kind
from cluster.consensus.receipts import Receipts


def append(*indexes: int, term: int = 1) -> Append:
    return Append(tuple(Entry(index, term, Kind.COMMAND, b"x") for index in indexes))


def test_each_entry_counts_from_when_it_came() -> None:
    receipts = Receipts()
    receipts.note([HardState(), append(1, 2)], 10.0)
    receipts.note([append(3)], 11.0)
    assert [receipts.age_s(index, 12.0) for index in (1, 2, 3)] == [2.0, 2.0, 1.0]


def test_what_was_there_before_has_no_age() -> None:
    assert Receipts().age_s(1, 12.0) == 0.0


def test_an_entry_in_the_place_of_another_counts_anew() -> None:
    receipts = Receipts()
    receipts.note([append(1, 2)], 10.0)
    receipts.note([append(2, term=2)], 11.5)
    assert receipts.age_s(2, 12.0) == 0.5


def test_what_is_applied_or_behind_a_snapshot_is_forgotten() -> None:
    receipts = Receipts()
    receipts.note([append(1, 2)], 10.0)
    assert receipts.age_s(1, 12.0) == 2.0
    receipts.forget()
    assert [receipts.age_s(index, 12.0) for index in (1, 2)] == [0.0, 0.0]
