"""What upstream has allowed is remembered for its time, against a model that keeps everything."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from node.reads.seen_rights import ENTRY_BYTES, Right, SeenRights, right_of

KEEP_S = 10.0
WHO = ("ann", "bob")
TABLES = ("t", "u")
RIGHTS = [Right(who, table, bytes([n])) for who in WHO for table in TABLES for n in range(3)]


@dataclass
class Model:
    """Every yes and every no, for ever."""

    allowed: list[tuple[Right, float]] = field(default_factory=list)
    denied: list[tuple[str, str | None, float]] = field(default_factory=list)

    def holds(self, right: Right, now: float) -> bool:
        last_no = max(
            (
                at
                for who, table, at in self.denied
                if who == right.who and table in (None, right.table)
            ),
            default=float("-inf"),
        )
        return any(
            one == right and now - asked_at < KEEP_S and asked_at > last_no
            for one, asked_at in self.allowed
        )


class Remembered(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.now = 100.0
        self.model = Model()
        self.held = 0
        self.seen = SeenRights(KEEP_S, entries_max=100, count=self.count)
        self.small = SeenRights(KEEP_S, entries_max=2)

    def count(self, before: int, after: int) -> bool:
        self.held += after - before
        return True

    @rule(seconds=st.floats(0, 7))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule(right=st.sampled_from(RIGHTS), took_s=st.floats(0, 12))
    def upstream_says_yes(self, right: Right, took_s: float) -> None:
        """To what was asked a while before."""
        asked_at = self.now - took_s
        self.model.allowed.append((right, asked_at))
        self.seen.saw(right, asked_at, self.now)
        self.small.saw(right, asked_at, self.now)

    @rule(who=st.sampled_from(WHO), table=st.sampled_from((*TABLES, None)))
    def upstream_says_no(self, who: str, table: str | None) -> None:
        self.model.denied.append((who, table, self.now))
        self.seen.denied(who, table, self.now)
        self.small.denied(who, table, self.now)

    @invariant()
    def it_says_what_the_model_says(self) -> None:
        for right in RIGHTS:
            expected = self.model.holds(right, self.now)
            assert self.seen.holds(right, self.now) == expected
            # What is small forgets, and makes nothing up.
            assert not self.small.holds(right, self.now) or expected

    @invariant()
    def it_is_bounded_and_counted(self) -> None:
        assert len(self.small) <= 2
        assert self.held == len(self.seen) * ENTRY_BYTES


TestRemembered = Remembered.TestCase


def test_without_time_nothing_is_remembered() -> None:
    seen = SeenRights(0.0)
    seen.saw(RIGHTS[0], 1.0, 1.0)
    assert not seen.holds(RIGHTS[0], 1.0)


def test_without_room_nothing_is_remembered() -> None:
    held = 0

    def count(before: int, after: int) -> bool:
        nonlocal held
        held += after - before
        return after <= ENTRY_BYTES

    seen = SeenRights(KEEP_S, count=count)
    for right in RIGHTS[:2]:
        seen.saw(right, 1.0, 1.0)
    assert seen.holds(RIGHTS[0], 1.0)
    assert not seen.holds(RIGHTS[1], 1.0)
    assert held == ENTRY_BYTES


def test_all_can_be_forgotten_and_what_is_under_way() -> None:
    seen = SeenRights(KEEP_S)
    seen.saw(RIGHTS[0], 1.0, 1.0)
    seen.clear(2.0)
    seen.saw(RIGHTS[1], 1.5, 3.0)
    assert len(seen) == 0
    assert not any(seen.holds(right, 3.0) for right in RIGHTS)


def test_denials_that_are_too_many_are_never_forgotten_for_a_yes_from_before() -> None:
    seen = SeenRights(KEEP_S, entries_max=2)
    for n in range(10):
        seen.denied(f"caller {n}", "t", 5.0)
    late = Right("caller 0", "t", b"")
    seen.saw(late, 4.0, 6.0)
    assert not seen.holds(late, 6.0)


@pytest.mark.parametrize(
    "other",
    [
        right_of("bob", "t", "GetItem", b"k", (), None),
        right_of("ann", "u", "GetItem", b"k", (), None),
        right_of("ann", "t", "BatchGetItem", b"k", (), None),
        right_of("ann", "t", "GetItem", b"l", (), None),
        right_of("ann", "t", "GetItem", b"k", (("v",),), None),
        right_of("ann", "t", "GetItem", b"k", (), "TOTAL"),
        right_of("ann", "t", "GetItem", b"k", ((),), None),
    ],
)
def test_rights_differ_by_all_that_they_depend_on(other: Right) -> None:
    one = right_of("ann", "t", "GetItem", b"k", (), None)
    assert one == right_of("ann", "t", "GetItem", b"k", (), None)
    assert one != other
