"""Which reads may be kept, and which may be shared."""

from dataclasses import replace

from cluster.coherence.messages import Outcome, Position
from tests.unit.cluster.coherence.rig import OTHER, K, L, Q, image, serving_guard
from tests.unit.cluster.coherence.toys import query_of

F1 = Position(1, 1)
F2 = Position(1, 2)


def test_a_fill_that_nothing_disturbs_is_kept() -> None:
    guard, _ = serving_guard()
    fill = guard.begin_fill(K, 1.0)
    assert fill is not None
    assert not fill.consistent
    assert guard.joinable(fill, 2.0)
    assert guard.end_fill(fill, 3.0)


def test_a_miss_may_be_kept_only_if_begun_under_a_live_read_lease() -> None:
    guard, _ = serving_guard()
    assert guard.begin_fill(K, 999.0) is not None
    assert guard.begin_fill(L, 1000.0) is None


def test_a_fill_begun_before_a_fence_is_not_kept_after_it() -> None:
    guard, _ = serving_guard()
    fill = guard.begin_fill(K, 1.0)
    assert fill is not None
    guard.fence(F1, (K,), 1.1)
    assert not guard.end_fill(fill, 1.2)


def test_a_fill_that_ends_after_the_whole_write_is_not_kept() -> None:
    guard, _ = serving_guard()
    fill = guard.begin_fill(K, 1.0)
    assert fill is not None
    guard.fence(F1, (K,), 1.1)
    guard.settle(F1, Outcome.REJECTED, (), 1.2)
    assert not guard.end_fill(fill, 1.3)


def test_a_late_fill_of_an_evicted_entry_does_not_come_back_after_the_write() -> None:
    guard, caches = serving_guard()
    late = guard.begin_fill(K, 1.0)
    assert late is not None
    guard.fence(F1, (K,), 1.1)
    guard.settle(F1, Outcome.SUCCESS, (image(2),), 1.2)
    assert caches.items[K] == 2
    del caches.items[K]
    assert not guard.end_fill(late, 1.3)


def test_a_fenced_key_is_passed_through_and_not_kept() -> None:
    guard, _ = serving_guard()
    guard.fence(F1, (K,), 1.0)
    assert guard.begin_fill(K, 1.1) is None
    assert not guard.hit_allowed(K, 1.1)
    assert guard.begin_fill(L, 1.1) is not None


def test_a_fence_on_a_key_fences_the_queries_of_its_table() -> None:
    guard, caches = serving_guard()
    caches.queries["t", False] = {K: 1}
    caches.queries["u", False] = {OTHER: 1}
    query = guard.begin_query(query_of("t"), 0.5)
    elsewhere = guard.begin_query(query_of("u"), 0.5)
    assert query is not None
    assert elsewhere is not None
    guard.fence(F1, (K,), 1.0)
    assert ("t", False) not in caches.queries
    assert ("u", False) in caches.queries
    assert guard.begin_query(query_of("t"), 1.1) is None
    assert not guard.end_fill(query, 1.1)
    assert guard.end_fill(elsewhere, 1.1)
    guard.settle(F1, Outcome.SUCCESS, (), 1.2)
    again = guard.begin_query(query_of("t"), 1.3)
    assert again is not None
    assert again.consistent


def test_one_keepable_fill_per_key_at_a_time() -> None:
    guard, _ = serving_guard()
    first = guard.begin_fill(K, 1.0)
    assert first is not None
    assert guard.begin_fill(K, 1.1) is None
    guard.abandon(first)
    assert guard.begin_fill(K, 1.2) is not None


def test_queries_of_one_table_fill_side_by_side() -> None:
    guard, _ = serving_guard()
    fills = [guard.begin_query(query_of("t"), 1.0) for _ in range(3)]
    assert all(fill is not None and guard.end_fill(fill, 1.1) for fill in fills)


def test_an_invalidated_fill_does_not_stand_in_the_way_of_a_new_one() -> None:
    guard, _ = serving_guard()
    old = guard.begin_fill(K, 1.0)
    assert old is not None
    guard.fence(F1, (K,), 1.1)
    guard.settle(F1, Outcome.SUCCESS, (), 1.2)
    new = guard.begin_fill(K, 1.3)
    assert new is not None
    assert not guard.end_fill(old, 1.4)
    assert guard.joinable(new, 1.4)
    assert guard.end_fill(new, 1.5)


def test_a_read_does_not_join_a_fill_after_an_invalidation() -> None:
    guard, _ = serving_guard()
    fill = guard.begin_fill(K, 1.0)
    assert fill is not None
    guard.fence(F1, (K,), 1.1)
    assert not guard.joinable(fill, 1.2)
    guard.settle(F1, Outcome.REJECTED, (), 1.3)
    assert not guard.joinable(fill, 1.4)


def test_a_read_does_not_join_a_fill_once_the_lease_has_run_out() -> None:
    guard, _ = serving_guard()
    fill = guard.begin_fill(K, 999.0)
    assert fill is not None
    assert not guard.joinable(fill, 1000.0)


def test_the_lapse_of_a_lease_counts_as_an_invalidation_of_every_key() -> None:
    guard, _ = serving_guard()
    fill = guard.begin_fill(K, 1.0)
    query = guard.begin_query(query_of("t"), 1.0)
    assert fill is not None
    assert query is not None
    guard.lapse(2.0)
    guard.extend(2000.0, 2.1)
    assert not guard.end_fill(fill, 2.2)
    assert not guard.end_fill(query, 2.2)


def test_a_lapse_that_nobody_noticed_counts_when_the_lease_is_extended() -> None:
    guard, _ = serving_guard()
    fill = guard.begin_fill(K, 999.0)
    assert fill is not None
    before = guard.generation
    guard.extend(2000.0, 1001.0)
    assert guard.generation > before
    assert not guard.end_fill(fill, 1001.1)


def test_a_renewal_in_time_disturbs_no_fill() -> None:
    guard, _ = serving_guard()
    fill = guard.begin_fill(K, 999.0)
    assert fill is not None
    guard.extend(2000.0, 999.5)
    assert guard.end_fill(fill, 1500.0)


def test_a_lease_that_is_over_on_arrival_counts_for_nothing() -> None:
    guard, _ = serving_guard()
    guard.lapse(1.0)
    guard.extend(2.0, 2.0)
    assert guard.serve_until < 2.0


def test_a_shorter_extension_does_not_shorten_the_lease() -> None:
    guard, _ = serving_guard()
    guard.extend(500.0, 1.0)
    assert guard.serve_until == 1000.0


def test_a_node_that_lost_its_lease_keeps_its_entries() -> None:
    guard, caches = serving_guard()
    caches.items[K] = 1
    guard.lapse(1.0)
    assert caches.items[K] == 1
    assert not guard.hit_allowed(K, 1.0)
    guard.extend(10.0, 2.0)
    assert guard.hit_allowed(K, 2.0)


def test_fills_are_consistent_for_q_after_a_write() -> None:
    guard, _ = serving_guard()
    guard.fence(F1, (K,), 1.0)
    guard.settle(F1, Outcome.SUCCESS, (), 2.0)
    early = guard.begin_fill(K, 2.0 + Q - 0.1)
    assert early is not None
    assert early.consistent
    assert guard.end_fill(early, 2.0 + Q - 0.05)
    late = guard.begin_fill(K, 2.0 + Q)
    assert late is not None
    assert not late.consistent


def test_an_index_is_not_kept_for_q_after_a_write() -> None:
    guard, _ = serving_guard()
    scope = query_of("t", index=True)
    assert guard.begin_query(scope, 0.5) is not None
    guard.fence(F1, (K,), 1.0)
    assert guard.begin_query(scope, 1.5) is None
    guard.settle(F1, Outcome.SUCCESS, (), 2.0)
    assert guard.begin_query(scope, 2.0 + Q - 0.1) is None
    assert guard.begin_query(scope, 2.0 + Q) is not None


def test_a_flush_voids_entries_and_running_fills_of_its_table() -> None:
    guard, caches = serving_guard()
    caches.items[K] = 1
    caches.items[OTHER] = 1
    fill = guard.begin_fill(L, 1.0)
    query = guard.begin_query(query_of("t"), 1.0)
    elsewhere = guard.begin_fill(OTHER, 1.0)
    assert fill is not None
    assert query is not None
    assert elsewhere is not None
    guard.flush("t", 1.1)
    assert caches.items == {OTHER: 1}
    assert not guard.end_fill(fill, 1.2)
    assert not guard.end_fill(query, 1.2)
    assert guard.end_fill(elsewhere, 1.2)
    after = guard.begin_fill(K, 1.3)
    assert after is not None
    assert after.consistent


def test_a_flush_of_everything_voids_everything() -> None:
    guard, caches = serving_guard()
    caches.items[OTHER] = 1
    fill = guard.begin_fill(K, 1.0)
    assert fill is not None
    guard.flush(None, 1.1)
    assert not caches.items
    assert not guard.end_fill(fill, 1.2)


def test_a_write_under_way_during_a_flush_installs_no_image() -> None:
    guard, caches = serving_guard()
    guard.fence(F1, (K,), 1.0)
    guard.flush("t", 1.1)
    guard.settle(F1, Outcome.SUCCESS, (image(2),), 1.2)
    assert K not in caches.items


def test_a_fence_revokes_no_fill_of_another_key_of_its_table() -> None:
    guard, _ = serving_guard()
    fill = guard.begin_fill(L, 1.0)
    assert fill is not None
    guard.fence(F1, (K,), 1.1)
    assert guard.end_fill(fill, 1.2)


def test_a_finished_fill_leaves_nothing_behind() -> None:
    guard, _ = serving_guard()
    fill = guard.begin_fill(K, 1.0)
    query = guard.begin_query(query_of("t"), 1.0)
    assert fill is not None
    assert query is not None
    assert guard.end_fill(fill, 1.1)
    assert not guard.end_fill(fill, 1.2)
    guard.abandon(query)
    guard.abandon(query)
    detached = guard.begin_query(replace(query_of("t"), detached=True), 1.0)
    assert detached is not None
    assert guard.end_fill(detached, 1.2)
    assert not guard._fills._detached
    assert not guard._fills.has_item(K)
    assert not guard._fills._queries
