"""What a node's caches hold after writes, and for how long they hold nothing."""

import pytest

from cluster.coherence import guard as guard_module
from cluster.coherence.guard import Guard
from cluster.coherence.messages import Fence, Outcome, Position
from tests.unit.cluster.coherence.rig import OTHER, K, L, Q, image, serving_guard
from tests.unit.cluster.coherence.toys import ToyCaches, query_of

F1 = Position(1, 1)
F2 = Position(1, 2)
F3 = Position(1, 3)


def test_a_fenced_entry_cannot_be_hit() -> None:
    guard, caches = serving_guard()
    caches.items[K] = 1
    guard.fence(F1, (K,), 1.0)
    assert K not in caches.items


def test_a_success_installs_the_image() -> None:
    guard, caches = serving_guard()
    caches.items[K] = 1
    guard.fence(F1, (K, L), 1.0)
    guard.settle(F1, Outcome.SUCCESS, (image(2), None), 1.1)
    assert caches.items == {K: 2}
    assert not caches.parked


def test_a_success_without_an_image_drops_the_entry() -> None:
    guard, caches = serving_guard()
    caches.items[K] = 1
    guard.fence(F1, (K,), 1.0)
    guard.settle(F1, Outcome.SUCCESS, (), 1.1)
    assert K not in caches.items
    assert not caches.parked


def test_rejected_the_old_entry_may_stay() -> None:
    guard, caches = serving_guard()
    caches.items[K] = 1
    guard.fence(F1, (K,), 1.0)
    guard.settle(F1, Outcome.REJECTED, (), 1.1)
    assert caches.items == {K: 1}


def test_an_image_of_a_rejected_write_is_never_installed() -> None:
    guard, caches = serving_guard()
    guard.fence(F1, (K,), 1.0)
    guard.settle(F1, Outcome.REJECTED, (image(2),), 1.1)
    assert not caches.items


@pytest.mark.parametrize("first", [F1, F2])
def test_a_rejected_write_restores_nothing_that_another_write_changed(first: Position) -> None:
    guard, caches = serving_guard()
    caches.items[K] = 1
    guard.fence(F1, (K,), 1.0)
    guard.fence(F2, (K,), 1.0)
    outcomes = {F1: Outcome.SUCCESS, F2: Outcome.REJECTED}
    second = F2 if first is F1 else F1
    guard.settle(first, outcomes[first], (), 1.1)
    assert not caches.items
    guard.settle(second, outcomes[second], (), 1.2)
    assert not caches.items


def test_two_rejected_writes_restore_the_entry_only_after_both() -> None:
    guard, caches = serving_guard()
    caches.items[K] = 1
    guard.fence(F1, (K,), 1.0)
    guard.fence(F2, (K,), 1.0)
    guard.settle(F2, Outcome.REJECTED, (), 1.1)
    assert not caches.items
    guard.settle(F1, Outcome.REJECTED, (), 1.2)
    assert caches.items == {K: 1}


@pytest.mark.parametrize("order", [(F1, F2), (F2, F1)])
def test_overlapping_writes_install_no_image(order: tuple[Position, Position]) -> None:
    guard, caches = serving_guard()
    guard.fence(F1, (K,), 1.0)
    guard.fence(F2, (K,), 1.0)
    for fence in order:
        assert guard.images_allowed(fence, (image(2),), 1.1) == (None,)
        guard.settle(fence, Outcome.SUCCESS, (image(2),), 1.1)
        assert not caches.items
    guard.fence(F3, (K,), 1.2)
    assert guard.images_allowed(F3, (image(3),), 1.3) == (image(3),)
    guard.settle(F3, Outcome.SUCCESS, (image(3),), 1.3)
    assert caches.items == {K: 3}


def test_a_write_that_met_another_which_has_settled_since_installs_no_image() -> None:
    guard, caches = serving_guard()
    guard.fence(F1, (K,), 1.0)
    guard.fence(F2, (K,), 1.0)
    guard.settle(F1, Outcome.REJECTED, (), 1.1)
    guard.settle(F2, Outcome.SUCCESS, (image(2),), 1.2)
    assert not caches.items


def test_an_overlap_on_one_key_does_not_touch_the_other_keys_of_a_write() -> None:
    guard, caches = serving_guard()
    guard.fence(F1, (K, L), 1.0)
    guard.fence(F2, (K,), 1.0)
    guard.settle(F2, Outcome.SUCCESS, (), 1.1)
    guard.settle(F1, Outcome.SUCCESS, (image(2), image(3)), 1.2)
    assert caches.items == {L: 3}


def test_a_key_named_twice_by_one_write_overlaps_itself() -> None:
    guard, caches = serving_guard()
    guard.fence(F1, (K, K), 1.0)
    guard.settle(F1, Outcome.SUCCESS, (image(2), image(3)), 1.1)
    assert not caches.items
    assert guard.hit_allowed(K, 1.2)


def test_a_settle_for_a_fence_that_is_not_held_installs_nothing() -> None:
    guard, caches = serving_guard()
    guard.settle(F1, Outcome.SUCCESS, (image(2),), 1.0)
    assert not caches.items


def test_a_doubled_fence_and_a_doubled_settle_change_nothing() -> None:
    guard, caches = serving_guard()
    guard.fence(F1, (K,), 1.0)
    guard.fence(F1, (K,), 1.0)
    guard.settle(F1, Outcome.SUCCESS, (image(2),), 1.1)
    guard.settle(F1, Outcome.SUCCESS, (image(1),), 1.2)
    assert caches.items == {K: 2}
    assert guard.hit_allowed(K, 1.3)


def test_after_an_unknown_write_nothing_is_kept_for_q_then_fills_are_consistent_for_q() -> None:
    guard, caches = serving_guard()
    caches.items[K] = 1
    guard.fence(F1, (K,), 1.0)
    guard.settle(F1, Outcome.UNKNOWN, (), 2.0)
    assert not caches.items
    assert not caches.parked
    assert guard.begin_fill(K, 2.0 + Q - 0.01) is None
    assert guard.begin_query(query_of("t"), 2.0 + Q - 0.01) is None
    assert guard.begin_query(query_of("t", index=True), 2.0 + Q) is None
    for now in (2.0 + Q, 2.0 + 2 * Q - 0.01):
        fill = guard.begin_fill(K, now)
        assert fill is not None
        assert fill.consistent
        guard.abandon(fill)
        guard.tick(now)
    guard.tick(2.0 + 3 * Q)
    after = guard.begin_fill(K, 2.0 + 3 * Q)
    assert after is not None
    assert not after.consistent


def test_unknown_outranks_every_later_settle_until_its_quarantine_ends() -> None:
    guard, caches = serving_guard()
    guard.fence(F1, (K,), 1.0)
    guard.settle(F1, Outcome.UNKNOWN, (), 2.0)
    guard.fence(F2, (K,), 3.0)
    assert guard.images_allowed(F2, (image(2),), 3.5) == (None,)
    guard.settle(F2, Outcome.SUCCESS, (image(2),), 4.0)
    assert not caches.items
    assert guard.begin_fill(K, 2.0 + Q - 0.01) is None
    assert guard.begin_fill(K, 2.0 + Q) is not None


def test_rejected_never_shortens_unknown() -> None:
    guard, caches = serving_guard()
    caches.items[K] = 1
    guard.fence(F1, (K,), 1.0)
    guard.fence(F2, (K,), 1.0)
    guard.settle(F1, Outcome.UNKNOWN, (), 2.0)
    guard.settle(F2, Outcome.REJECTED, (), 3.0)
    assert not caches.items
    assert guard.begin_fill(K, 2.0 + Q - 0.01) is None


def test_a_second_unknown_write_starts_the_quarantine_again() -> None:
    guard, _ = serving_guard()
    for fence, now in ((F1, 1.0), (F2, 6.0)):
        guard.fence(fence, (K,), now)
        guard.settle(fence, Outcome.UNKNOWN, (), now)
    guard.tick(1.0 + Q)
    assert guard.begin_fill(K, 6.0 + Q - 0.01) is None
    assert guard.begin_fill(K, 6.0 + Q) is not None


def test_a_write_that_outlives_an_unknown_quarantine_still_installs_no_image() -> None:
    guard, caches = serving_guard()
    guard.fence(F1, (K,), 1.0)
    guard.settle(F1, Outcome.UNKNOWN, (), 2.0)
    guard.fence(F2, (K,), 3.0)
    guard.settle(F2, Outcome.SUCCESS, (image(2),), 2.0 + Q + 1)
    assert not caches.items


def test_an_unknown_quarantine_that_begins_and_ends_during_a_write_keeps_its_image_out() -> None:
    guard, caches = serving_guard()
    guard.fence(F1, (K,), 1.0)
    guard.quarantine((K,), 2.0)
    guard.tick(2.0 + Q)
    guard.settle(F1, Outcome.SUCCESS, (image(2),), 2.0 + 3 * Q)
    assert not caches.items


def test_a_replicas_longer_quarantine_keeps_out_an_image_that_the_primary_allowed() -> None:
    primary, _ = serving_guard()
    replica, caches = serving_guard()
    for guard, later in ((primary, 0.0), (replica, 1.0)):
        guard.fence(F1, (K,), 1.0)
        guard.settle(F1, Outcome.UNKNOWN, (), 2.0 + later)
        guard.fence(F2, (K,), 2.0 + Q + 0.5)
    allowed = primary.images_allowed(F2, (image(2),), 2.0 + Q + 0.7)
    assert allowed == (image(2),)
    replica.settle(F2, Outcome.SUCCESS, allowed, 2.0 + Q + 0.7)
    assert not caches.items


def test_with_every_key_unknown_nothing_is_kept_or_installed() -> None:
    guard, caches = serving_guard()
    caches.items[K] = 1
    fill = guard.begin_fill(L, 0.5)
    assert fill is not None
    guard.quarantine_all(1.0)
    assert not caches.items
    assert not guard.end_fill(fill, 1.1)
    assert guard.begin_fill(OTHER, 1.0 + Q - 0.01) is None
    guard.fence(F1, (K,), 1.5)
    guard.settle(F1, Outcome.SUCCESS, (image(2),), 1.6)
    assert not caches.items
    later = guard.begin_fill(OTHER, 1.0 + 2 * Q - 0.01)
    assert later is not None
    assert later.consistent
    assert guard.all_unknown(1.0 + Q - 0.01)
    assert not guard.all_unknown(1.0 + Q)


def test_reset_empties_the_caches_and_replaces_fences_and_quarantines() -> None:
    guard, caches = serving_guard()
    caches.items[K] = 1
    guard.fence(F1, (L,), 1.0)
    guard.quarantine((OTHER,), 1.0)
    donor = Guard(ToyCaches(), Q)
    donor.fence(F2, (K,), 1.0)
    donor.quarantine((("u", b"2"),), 1.0)
    generation = guard.generation
    guard.reset(donor.open_fences(), donor.unknown_keys(5.0), donor.all_unknown(5.0), 5.0)
    assert not caches.items
    assert guard.generation > generation
    assert guard.open_fences() == donor.open_fences()
    assert guard.unknown_keys(5.0 + Q - 0.01) == (("u", b"2"),)
    assert not guard.hit_allowed(K, 6.0)
    assert guard.hit_allowed(L, 6.0)
    assert guard.hit_allowed(OTHER, 6.0)


def test_after_a_subscription_every_fill_is_consistent_for_q() -> None:
    guard, _ = serving_guard()
    running = guard.begin_fill(K, 4.0)
    assert running is not None
    guard.join((), (), False, 5.0)
    assert not guard.end_fill(running, 5.1)
    early = guard.begin_fill(K, 5.0 + Q - 0.01)
    assert early is not None
    assert early.consistent
    assert guard.begin_query(query_of("t", index=True), 5.0 + Q - 0.01) is None
    late = guard.begin_fill(L, 5.0 + Q)
    assert late is not None
    assert not late.consistent


def test_unknown_keys_told_to_a_subscriber_start_again_at_full_length() -> None:
    donor, _ = serving_guard()
    donor.quarantine((K,), 0.0)
    guard, _ = serving_guard()
    guard.join((), donor.unknown_keys(Q - 1), False, Q - 1)
    assert guard.begin_fill(K, 2 * Q - 1.01) is None
    assert guard.begin_fill(K, 2 * Q - 1) is not None


def test_a_fence_that_the_primary_does_not_hold_any_more_ends_unknown() -> None:
    guard, caches = serving_guard()
    caches.items[K] = 1
    guard.fence(F1, (K,), 1.0)
    guard.join((), (), False, 2.0)
    assert not caches.items
    assert guard.unknown_keys(3.0) == (K,)


def test_fences_open_at_the_end_of_an_epoch_become_unknown_in_the_next() -> None:
    guard, caches = serving_guard()
    caches.items[K] = caches.items[L] = 1
    guard.fence(F1, (K,), 1.0)
    guard.begin_epoch(2.0)
    assert guard.unknown_keys(2.0) == (K,)
    assert not guard.open_fences()
    assert caches.items == {L: 1}
    guard.settle(F1, Outcome.SUCCESS, (image(2),), 2.5)
    assert caches.items == {L: 1}


def test_quarantines_that_are_over_free_their_memory() -> None:
    guard, _ = serving_guard()
    for index in range(100):
        fence = Position(1, index)
        guard.fence(fence, (("t", b"%d" % index),), 1.0)
        outcome = Outcome.UNKNOWN if index % 2 else Outcome.SUCCESS
        guard.settle(fence, outcome, (), 1.0)
    guard.tick(1.0 + Q)
    guard.tick(1.0 + 2 * Q)
    assert not guard._unknown
    assert not guard._settled
    assert not guard._fenced
    assert not guard._overlapped


def test_too_many_unknown_keys_make_every_key_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard_module, "UNKNOWN_MAX", 10)
    guard, caches = serving_guard()
    caches.items[OTHER] = 1
    guard.quarantine([("t", b"%d" % index) for index in range(9)], 1.0)
    assert caches.items
    guard.quarantine([("t", b"a"), ("t", b"b")], 2.0)
    assert guard.all_unknown(2.0 + Q - 0.01)
    assert not caches.items
    assert len(guard._unknown) <= 10
    assert guard.begin_fill(OTHER, 2.0 + Q - 0.01) is None


def test_too_many_settled_keys_make_every_fill_consistent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(guard_module, "SETTLED_MAX", 10)
    guard, _ = serving_guard()
    for index in range(20):
        guard.fence(Position(1, index), (("t", b"%d" % index),), 1.0)
        guard.settle(Position(1, index), Outcome.SUCCESS, (), 2.0)
    assert len(guard._settled) <= 10
    for key in (("t", b"0"), OTHER):
        fill = guard.begin_fill(key, 2.0 + Q - 0.01)
        assert fill is not None
        assert fill.consistent


def test_a_fence_that_the_primary_holds_goes_on_through_a_subscription() -> None:
    guard, caches = serving_guard()
    guard.fence(F1, (K,), 1.0)
    guard.join((Fence(F1, (K,)),), (), False, 2.0)
    assert guard.unknown_keys(2.0) == ()
    guard.settle(F1, Outcome.SUCCESS, (image(2),), 3.0)
    assert caches.items == {K: 2}
