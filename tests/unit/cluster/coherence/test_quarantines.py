"""What is in doubt: what it drops and revokes, until when, and what is left of it."""

from __future__ import annotations

import pytest

from cluster.coherence import guard as guard_module
from cluster.coherence.guard import Guard
from cluster.coherence.messages import Fence, Outcome, Position
from cluster.coherence.queries import Dependency
from paceline.types import Key
from tests.unit.cluster.coherence.rig import OTHER, K, L, Q, image, serving_guard
from tests.unit.cluster.coherence.toys import query_of

F1, F2, F3 = (Position(1, n) for n in (1, 2, 3))


def is_consistent(guard: Guard, key: Key, now: float) -> bool:
    fill = guard.begin_fill(key, now)
    assert fill is not None
    guard.abandon(fill)
    return fill.consistent


def settled(guard: Guard, key: Key, now: float, outcome: Outcome = Outcome.SUCCESS) -> None:
    """A whole write."""
    guard.fence(F1, (key,), now)
    guard.settle(F1, outcome, (), now)


# -- single keys ----------------------------------------------------------------------------------


def test_what_is_cached_of_a_key_in_doubt_is_dropped() -> None:
    """A hit asks nothing but the time."""
    guard, caches = serving_guard()
    caches.items[K] = caches.items[L] = 1
    guard.quarantine((K,), 1.0)
    assert caches.items == {L: 1}


def test_a_read_that_runs_when_its_key_comes_into_doubt_is_not_kept() -> None:
    guard, _ = serving_guard()
    fill = guard.begin_fill(K, 1.0)
    assert fill is not None
    guard.quarantine((K,), 1.1)
    assert not guard.joinable(fill, 1.2)
    assert not guard.end_fill(fill, 1.2)


def test_no_query_that_a_key_in_doubt_may_change_is_kept_for_q() -> None:
    guard, _ = serving_guard()
    guard.quarantine((K,), 1.0)
    assert guard.begin_query(query_of("t"), 0.99 + Q) is None
    assert guard.begin_query(query_of("u"), 1.0) is not None
    after = guard.begin_query(query_of("t"), 1.0 + Q)
    assert after is not None
    assert after.consistent


def test_doubt_of_a_key_that_nobody_writes_ends() -> None:
    """Nothing is held for a write that is not there."""
    guard, _ = serving_guard()
    guard.quarantine((K,), 1.0)
    guard.tick(1.0 + Q)
    guard.tick(1.0 + 2 * Q)
    after = guard.begin_query(query_of("t"), 1.0 + 2 * Q)
    assert after is not None
    assert not after.consistent
    assert len(guard._queries) == 0


def test_queries_are_in_doubt_again_for_q_once_a_write_of_the_key_has_ended() -> None:
    """The write that is in doubt may have moved the item after this one was sent."""
    guard, _ = serving_guard()
    guard.fence(F1, (K,), 1.0)
    guard.quarantine((K,), 2.0)
    guard.settle(F1, Outcome.REJECTED, (), 5.0 + Q)
    assert guard.begin_query(query_of("t"), 4.99 + 2 * Q) is None
    assert guard.begin_query(query_of("t"), 5.0 + 2 * Q) is not None


def test_an_image_of_a_write_in_doubt_is_not_installed() -> None:
    guard, caches = serving_guard()
    guard.fence(F1, (K,), 1.0)
    guard.settle(F1, Outcome.UNKNOWN, (image(2),), 1.1)
    assert not caches.items


def test_images_that_may_be_installed_are_those_of_open_fences_only() -> None:
    guard, _ = serving_guard()
    assert guard.images_allowed(F1, (image(2),), 1.0) == ()
    guard.fence(F1, (K,), 1.0)
    assert guard.images_allowed(F1, (), 1.0) == ()
    assert guard.images_allowed(F1, (image(2),), 1.0) == (image(2),)


# -- all keys -------------------------------------------------------------------------------------


def test_while_all_keys_are_in_doubt_no_query_is_kept() -> None:
    guard, _ = serving_guard()
    guard.quarantine_all(1.0)
    for query in (query_of("t"), Dependency("t", partition=b"p", detached=True)):
        assert guard.begin_query(query, 0.99 + Q) is None
        assert guard.begin_query(query, 1.0 + Q) is not None


def test_after_all_keys_were_in_doubt_reads_are_consistent_for_q_and_no_longer() -> None:
    guard, _ = serving_guard()
    guard.quarantine_all(1.0)
    assert is_consistent(guard, K, 0.99 + 2 * Q)
    assert not is_consistent(guard, K, 1.0 + 2 * Q)
    query = guard.begin_query(query_of("t"), 1.0 + 2 * Q)
    assert query is not None
    assert not query.consistent


def test_a_flush_does_not_shorten_that() -> None:
    guard, _ = serving_guard()
    guard.quarantine_all(1.0)
    guard.flush("u", 2.0)
    assert is_consistent(guard, K, 0.99 + 2 * Q)


def test_a_write_under_way_when_all_keys_came_into_doubt_installs_no_image() -> None:
    guard, caches = serving_guard()
    guard.fence(F1, (K,), 1.0)
    guard.quarantine_all(2.0)
    guard.settle(F1, Outcome.SUCCESS, (image(2),), 3.0 + Q)
    assert not caches.items


def test_what_such_a_write_may_change_in_queries_is_in_doubt_for_q_after_it() -> None:
    guard, _ = serving_guard()
    guard.fence(F1, (K,), 1.0)
    guard.quarantine_all(2.0)
    end = 3.0 + 2 * Q
    guard.settle(F1, Outcome.REJECTED, (), end)
    assert guard.begin_query(query_of("t"), end + Q - 0.01) is None


# -- flushes --------------------------------------------------------------------------------------


def test_a_write_under_way_during_a_flush_of_all_tables_installs_no_image() -> None:
    guard, caches = serving_guard()
    guard.fence(F1, (K,), 1.0)
    guard.flush(None, 1.1)
    guard.settle(F1, Outcome.SUCCESS, (image(2),), 1.2)
    assert not caches.items


def test_a_write_under_way_during_the_flush_of_another_table_installs_its_image() -> None:
    guard, caches = serving_guard()
    guard.fence(F1, (K,), 1.0)
    guard.flush(OTHER[0], 1.1)
    guard.settle(F1, Outcome.SUCCESS, (image(2),), 1.2)
    assert caches.items == {K: 2}


def test_a_flush_of_one_table_revokes_no_detached_query_of_another() -> None:
    guard, _ = serving_guard()
    here = guard.begin_query(Dependency("t", detached=True), 1.0)
    there = guard.begin_query(Dependency("u", detached=True), 1.0)
    assert here is not None
    assert there is not None
    guard.flush("t", 1.1)
    assert not guard.end_fill(here, 1.2)
    assert guard.end_fill(there, 1.2)


def test_a_write_that_was_rejected_after_a_flush_has_no_quarantine_of_its_own() -> None:
    guard, _ = serving_guard()
    guard.fence(F1, (K,), 1.0)
    guard.flush("t", 1.1)
    guard.settle(F1, Outcome.REJECTED, (), 5.0)
    query = guard.begin_query(query_of("t"), 1.1 + Q)
    assert query is not None
    assert not query.consistent


def test_writes_do_not_matter_to_a_detached_read_of_an_index_after_a_flush() -> None:
    guard, _ = serving_guard()
    guard.flush(None, 1.0)
    assert guard.begin_query(Dependency("t", "g", is_global=True), 1.1) is None
    assert guard.begin_query(Dependency("t", "g", is_global=True, detached=True), 1.1) is not None


# -- leases ---------------------------------------------------------------------------------------


def test_a_lease_that_comes_when_the_former_one_ends_is_another_one() -> None:
    """At that instant nothing is served any more, and writes need not wait for this node."""
    guard, _ = serving_guard()
    fill = guard.begin_fill(K, 999.0)
    assert fill is not None
    guard.extend(2000.0, 1000.0)
    assert not guard.end_fill(fill, 1000.1)


def test_a_read_from_before_a_lapse_does_not_stand_in_the_way_of_a_new_one() -> None:
    guard, _ = serving_guard()
    old = guard.begin_fill(K, 1.0)
    assert old is not None
    guard.lapse(2.0)
    guard.extend(3000.0, 2.1)
    assert guard.begin_fill(K, 2.2) is not None


# -- resets ---------------------------------------------------------------------------------------


def test_after_a_reset_a_write_that_had_met_another_one_is_one_alone() -> None:
    guard, caches = serving_guard()
    guard.fence(F1, (K,), 1.0)
    guard.fence(F2, (K,), 1.1)
    guard.reset((Fence(F3, (K,)),), (), False, 2.0)
    guard.settle(F3, Outcome.SUCCESS, (image(3),), 2.1)
    assert caches.items == {K: 3}


def test_after_a_reset_only_those_keys_are_in_doubt_that_it_names() -> None:
    guard, _ = serving_guard()
    guard.quarantine_all(1.0)
    guard.quarantine((K,), 1.0)
    guard.reset((), (L,), False, 2.0)
    assert guard.hit_allowed(K, 2.0)
    assert not guard.hit_allowed(L, 2.0)


def test_after_a_reset_reads_are_consistent_for_q() -> None:
    guard, _ = serving_guard()
    settled(guard, K, 1.0)
    guard.reset((), (), False, 2.0)
    assert is_consistent(guard, K, 1.99 + Q)
    assert not is_consistent(guard, K, 2.0 + Q)


# -- memory ---------------------------------------------------------------------------------------


def test_a_quarantine_that_begins_anew_keeps_no_other_from_being_freed() -> None:
    for outcome in (Outcome.SUCCESS, Outcome.UNKNOWN):
        guard, _ = serving_guard()
        for key, now in ((K, 1.0), (OTHER, 2.0), (K, 3.0)):
            settled(guard, key, now, outcome)
        guard.tick(2.0 + Q)
        quarantined = guard._unknown if outcome is Outcome.UNKNOWN else guard._settled
        assert OTHER not in quarantined
        assert K in quarantined


def test_a_key_that_was_settled_and_then_in_doubt_keeps_no_other_from_being_freed() -> None:
    guard, _ = serving_guard()
    settled(guard, K, 1.0, Outcome.UNKNOWN)
    settled(guard, K, 2.0)
    settled(guard, OTHER, 3.0)
    guard.tick(1.0 + Q)  # K is settled until 1 + 2 Q
    guard.tick(3.0 + Q)
    assert OTHER not in guard._settled
    assert K in guard._settled


@pytest.mark.parametrize("outcome", [Outcome.SUCCESS, Outcome.UNKNOWN])
def test_quarantines_that_are_over_do_not_count_as_too_many(
    monkeypatch: pytest.MonkeyPatch, outcome: Outcome
) -> None:
    monkeypatch.setattr(guard_module, "SETTLED_MAX", 4)
    monkeypatch.setattr(guard_module, "UNKNOWN_MAX", 4)
    guard, caches = serving_guard()
    caches.items[OTHER] = 1
    times = [1.0, 2.0, 1.0 + Q]  # each has two scopes: its key, and its table
    for table, now in zip("xyz", times, strict=True):
        settled(guard, (table, b"1"), now, outcome)
        assert not guard.all_unknown(now)
        assert not is_consistent(guard, OTHER, now)
    assert caches.items == {OTHER: 1}


@pytest.mark.parametrize("outcome", [Outcome.SUCCESS, Outcome.UNKNOWN])
def test_as_many_as_their_bound_are_remembered_one_by_one(
    monkeypatch: pytest.MonkeyPatch, outcome: Outcome
) -> None:
    monkeypatch.setattr(guard_module, "SETTLED_MAX", 5)
    monkeypatch.setattr(guard_module, "UNKNOWN_MAX", 5)
    guard, _ = serving_guard()
    writes = [(("x", b"1"), 1.0), (("x", b"2"), 2.0), (("y", b"1"), 3.0), (("y", b"2"), 1.0 + Q)]
    for key, now in writes:  # five scopes, and a sixth when the first one is over
        settled(guard, key, now, outcome)
    quarantined = guard._unknown if outcome is Outcome.UNKNOWN else guard._settled
    assert len(quarantined) == 5
    assert not guard.all_unknown(1.0 + Q)


def test_one_too_many_makes_all_of_them_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard_module, "SETTLED_MAX", 4)
    monkeypatch.setattr(guard_module, "UNKNOWN_MAX", 4)
    for outcome in (Outcome.SUCCESS, Outcome.UNKNOWN):
        guard, _ = serving_guard()
        for table in "xyz":
            settled(guard, (table, b"1"), 1.0, outcome)
        assert len(guard._settled) + len(guard._unknown) <= 2  # the last one, after the rest
        assert guard.all_unknown(1.0) is (outcome is Outcome.UNKNOWN)
        assert is_consistent(guard, OTHER, 0.99 + (2 * Q if guard.all_unknown(1.0) else Q))
