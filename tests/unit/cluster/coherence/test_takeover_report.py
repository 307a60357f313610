"""What a node tells the one that takes over, and what that one's guard holds afterwards."""

from __future__ import annotations

import pytest

from cluster.coherence import takeover_report as report_module
from cluster.coherence.effects import Effect
from cluster.coherence.guard import Guard
from cluster.coherence.log import size_of
from cluster.coherence.messages import Begin, Fence, Outcome, Position, Settle
from cluster.coherence.takeover import GoOn, take_over
from cluster.coherence.takeover_report import (
    KEY_BYTES,
    NOTHING,
    UNKNOWN_BYTES_MAX,
    TakeoverReport,
    bytes_of,
    follows,
    reflect,
    report_for_takeover,
)
from paceline.types import Key
from tests.unit.cluster.coherence.rig import K, L, Q
from tests.unit.cluster.coherence.toys import ToyCaches

# -- what the new primary's guard holds afterwards ------------------------------------------------


def guard_at(position: Position | None) -> Guard:
    """Without a lease, as after a takeover's request."""
    guard = Guard(ToyCaches(), Q)
    guard.position = position
    return guard


def taken_over(
    guard: Guard,
    *,
    fences: tuple[Fence, ...] = (),
    unknown: tuple[Key, ...] = (),
    all_unknown: bool = False,
) -> Guard:
    """Goes on from epoch 1, sequence 5, whose messages nobody has any more; with a lease."""
    report = TakeoverReport(Position(1, 5), None, fences, (), False)
    take_over(guard, GoOn("c", report, unknown, all_unknown), 0.0)
    guard.extend(1000.0, 0.0)
    return guard


LEVEL_OR_BEHIND = pytest.mark.parametrize("position", [Position(1, 5), Position(1, 3), None])


@LEVEL_OR_BEHIND
def test_writes_that_were_under_way_are_fenced_at_the_new_primary(
    position: Position | None,
) -> None:
    fence = Fence(Position(1, 4), (K,))
    guard = taken_over(guard_at(position), fences=(fence,))
    assert guard.open_fences() == (fence,)
    assert not guard.hit_allowed(K, 0.0)
    guard.begin_epoch(0.0)
    assert guard.unknown_keys(0.0) == (K,)


@LEVEL_OR_BEHIND
def test_what_others_hold_for_unknown_is_unknown_at_the_new_primary_for_q(
    position: Position | None,
) -> None:
    guard = taken_over(guard_at(position), unknown=(K,))
    assert not guard.hit_allowed(K, Q - 0.01)
    assert guard.hit_allowed(K, Q)
    assert guard.hit_allowed(L, 0.0)


@LEVEL_OR_BEHIND
def test_that_all_keys_are_unknown_holds_at_the_new_primary_for_q(
    position: Position | None,
) -> None:
    guard = taken_over(guard_at(position), all_unknown=True)
    assert guard.all_unknown(Q - 0.01)
    assert not guard.all_unknown(Q)


@LEVEL_OR_BEHIND
def test_reads_of_the_new_primary_are_consistent_for_q(position: Position | None) -> None:
    guard = taken_over(guard_at(position))
    fill = guard.begin_fill(K, Q - 0.01)
    assert fill is not None
    assert fill.consistent


def test_messages_that_do_not_follow_are_not_taken_for_what_was_missed() -> None:
    """Else what lies between them would be missing from what is cached."""
    for missed in (Position(1, 5), Position(2, 4)):
        guard = guard_at(Position(1, 3))
        tail = (Fence(missed, (K,)),)
        report = TakeoverReport(missed, tail, (), (), False)
        take_over(guard, GoOn("c", report, (), False), 0.0)
        assert guard.position == missed
        assert len(guard.log) == 0  # a reset, under which K is not fenced
        assert guard.unknown_keys(0.0) == ()


def test_a_node_without_memory_is_reset_whatever_it_is_told_that_it_missed() -> None:
    guard = guard_at(None)
    report = TakeoverReport(Position(1, 0), (Begin(Position(1, 0), None, False),), (), (), False)
    take_over(guard, GoOn("c", report, (), False), 0.0)
    assert guard.position == Position(1, 0)
    assert len(guard.log) == 0


def test_a_node_without_memory_reports_nothing_not_even_doubt() -> None:
    guard = guard_at(None)
    guard.quarantine_all(0.0)
    assert report_for_takeover(guard, None, 0.0) == NOTHING


def test_what_a_message_carries_of_effects_is_reflected() -> None:
    guard = guard_at(Position(1, 0))
    fence = Fence(Position(1, 1), (K,), (Effect(7, ()),))
    reflect(guard, fence, 0.0)
    assert guard.open_fences() == (fence,)


def test_a_message_of_another_epoch_does_not_follow_but_for_its_begin() -> None:
    here = Position(1, 3)
    assert follows(here, Fence(Position(1, 4), (K,)))
    assert not follows(here, Fence(Position(2, 4), (K,)))
    assert follows(here, Begin(Position(2, 0), here, False))
    assert not follows(here, Begin(Position(2, 0), here, True))


def test_keys_have_the_size_of_their_names_and_a_part_each() -> None:
    assert bytes_of([("table", b"key"), ("t", b"")]) == 8 + 1 + 2 * KEY_BYTES


def test_a_log_that_does_not_lead_to_the_position_is_told_to_nobody() -> None:
    guard = guard_at(Position(1, 0))
    for sequence in (1, 2):
        reflect(guard, Fence(Position(1, sequence), (K,)), 0.0)
    taken_over(guard)
    assert guard.log.since(Position(1, 1)) is None
    guard.log.append(Begin(Position(2, 0), Position(1, 5), False))
    assert guard.log.since(Position(1, 1)) is None
    assert guard.log.since(Position(1, 5)) is not None


def test_what_was_open_is_unknown_as_soon_as_the_next_epochs_begin_is_applied() -> None:
    guard = guard_at(Position(1, 0))
    reflect(guard, Fence(Position(1, 1), (K,)), 0.0)
    generation = guard.generation
    reflect(guard, Begin(Position(2, 0), Position(1, 1), False), 0.0)
    assert guard.position == Position(2, 0)
    assert guard.open_fences() == ()
    assert guard.unknown_keys(0.0) == (K,)
    assert guard.generation > generation  # no read of the epoch before is kept


# -- what a node tells the one that takes over ----------------------------------------------------


def test_a_report_has_the_open_fences_and_the_unknown_keys() -> None:
    guard = guard_at(Position(1, 0))
    fence = Fence(Position(1, 1), (K,))
    for message in (
        fence,
        Fence(Position(1, 2), (L,)),
        Settle(Position(1, 3), Position(1, 2), Outcome.UNKNOWN, ()),
    ):
        reflect(guard, message, 0.0)
    assert report_for_takeover(guard, None, 0.0) == TakeoverReport(
        Position(1, 3), None, (fence,), (L,), False
    )
    assert report_for_takeover(guard, Position(1, 3), Q) == TakeoverReport(
        Position(1, 3), (), (fence,), (), False
    )


def test_a_report_says_that_all_keys_are_unknown() -> None:
    guard = guard_at(Position(1, 0))
    guard.quarantine_all(0.0)
    assert report_for_takeover(guard, None, Q - 0.01).all_unknown
    assert not report_for_takeover(guard, None, Q).all_unknown


def test_a_report_with_more_unknown_keys_than_one_message_takes_names_none_and_means_all() -> None:
    guard = guard_at(Position(1, 0))
    guard.quarantine([("t", bytes([n]) * (UNKNOWN_BYTES_MAX // 2)) for n in range(2)], 0.0)
    known = report_for_takeover(guard, None, 0.0)
    assert known.unknown == ()
    assert known.all_unknown


def test_a_report_leaves_out_what_the_asker_missed_only_where_it_is_too_much(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    guard = guard_at(Position(1, 0))
    missed = (Fence(Position(1, 1), (K,)), Fence(Position(1, 2), (L,)))
    for message in (Begin(Position(1, 0), None, False), *missed):
        reflect(guard, message, 0.0)
    size = sum(map(size_of, missed))
    monkeypatch.setattr(report_module, "TAIL_BYTES_MAX", size)
    assert report_for_takeover(guard, Position(1, 0), 0.0).tail == missed
    monkeypatch.setattr(report_module, "TAIL_BYTES_MAX", size - 1)
    assert report_for_takeover(guard, Position(1, 0), 0.0).tail is None
