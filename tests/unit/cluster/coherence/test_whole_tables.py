"""Writes whose keys are not known fence every item of their table."""

import pytest

from cluster.coherence.messages import WHOLE, Outcome, Position
from tests.unit.cluster.coherence.rig import OTHER, K, L, Q, image, serving_guard

TABLE = (K[0], WHOLE)
F1 = Position(1, 1)
F2 = Position(1, 2)


def test_while_it_is_fenced_no_item_of_the_table_is_answered_or_kept() -> None:
    guard, _ = serving_guard()
    early = guard.begin_fill(K, 1.0)
    elsewhere = guard.begin_fill(OTHER, 1.0)
    assert early is not None
    assert elsewhere is not None
    guard.fence(F1, (TABLE,), 1.1)
    assert not guard.hit_allowed(K, 1.2)
    assert guard.begin_fill(L, 1.2) is None
    assert not guard.joinable(early, 1.2)
    guard.settle(F1, Outcome.SUCCESS, (), 1.3)
    assert not guard.end_fill(early, 1.4)
    assert guard.end_fill(elsewhere, 1.4)


def test_afterwards_reads_are_consistent_for_q() -> None:
    guard, _ = serving_guard()
    guard.fence(F1, (TABLE,), 1.0)
    guard.settle(F1, Outcome.SUCCESS, (), 1.1)
    fill = guard.begin_fill(K, 1.2)
    assert fill is not None
    assert fill.consistent
    guard.abandon(fill)
    late = guard.begin_fill(K, 1.1 + Q)
    assert late is not None
    assert not late.consistent


def test_in_doubt_nothing_of_the_table_is_kept_for_q() -> None:
    guard, _ = serving_guard()
    guard.fence(F1, (TABLE,), 1.0)
    guard.settle(F1, Outcome.UNKNOWN, (), 1.1)
    assert guard.begin_fill(K, 1.0 + Q) is None
    assert guard.begin_fill(OTHER, 1.0 + Q) is not None
    fill = guard.begin_fill(K, 1.1 + Q)
    assert fill is not None
    assert fill.consistent
    assert guard.unknown_keys(1.2) == (TABLE,)


@pytest.mark.parametrize("whole_first", [True, False])
def test_a_write_that_met_it_installs_no_image(whole_first: bool) -> None:
    """Which of the two DynamoDB did last is not known."""
    guard, caches = serving_guard()
    fences = [(F1, (TABLE,)), (F2, (K,))]
    for position, keys in fences if whole_first else reversed(fences):
        guard.fence(position, keys, 1.0)
    guard.settle(F1, Outcome.SUCCESS, (), 1.1)
    assert guard.images_allowed(F2, (image(2),), 1.2) == (None,)
    guard.settle(F2, Outcome.SUCCESS, (image(2),), 1.2)
    assert K not in caches.items


def test_a_later_write_is_kept_again() -> None:
    guard, caches = serving_guard()
    guard.fence(F1, (TABLE,), 1.0)
    guard.settle(F1, Outcome.REJECTED, (), 1.1)
    guard.fence(F2, (K,), 1.2)
    guard.settle(F2, Outcome.SUCCESS, (image(2),), 1.3)
    assert caches.items[K] == 2


def test_two_stamps_differ_across_it() -> None:
    """What an auditor compares must not count as undisturbed."""
    guard, _ = serving_guard()
    before = guard.stamp(K, 1.0)
    guard.fence(F1, (TABLE,), 1.1)
    assert guard.stamp(K, 1.2) is None
    guard.settle(F1, Outcome.SUCCESS, (), 1.3)
    assert guard.stamp(K, 1.4) != before


@pytest.mark.parametrize("whole_first", [True, False])
def test_a_write_of_another_table_that_met_it_installs_its_image(whole_first: bool) -> None:
    guard, caches = serving_guard()
    fences = [(F1, (TABLE,)), (F2, (OTHER,))]
    for position, keys in fences if whole_first else reversed(fences):
        guard.fence(position, keys, 1.0)
    guard.settle(F1, Outcome.UNKNOWN, (), 1.1)
    guard.settle(F2, Outcome.SUCCESS, (image(2),), 1.2)
    assert caches.items[OTHER] == 2
