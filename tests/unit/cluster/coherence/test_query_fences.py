"""What befalls queries: scopes, ranges, overlapping writes, new subscribers."""

from __future__ import annotations

import pytest

from cluster.coherence.effects import Effect, IndexTouch
from cluster.coherence.guard import Guard
from cluster.coherence.messages import WHOLE, Fence, Image, Outcome, Position
from cluster.coherence.queries import (
    BASE,
    GLOBALS,
    RANGES_MAX,
    Change,
    Dependency,
    Dependents,
    global_scopes,
    prefix_end,
    successor,
)
from cluster.coherence.query_fences import HELD_MAX, QueryFences
from paceline.types import Key
from tests.unit.cluster.coherence.rig import Q, image
from tests.unit.cluster.coherence.toys import ToyCaches

SCHEMA = 7
F1, F2, F3 = (Position(1, n) for n in (1, 2, 3))
K: Key = ("t", b"p1")
"""Item 1 of partition p."""
L: Key = ("t", b"p2")
OTHER: Key = ("t", b"q1")


class Places(ToyCaches):
    """Of a table whose partitions are the first byte of a key, with one global index."""

    def change(self, key: Key, effect: Effect | None) -> Change:
        table, partition, sort = key[0], key[1][:1], key[1][1:]
        if key[1] == WHOLE or (effect is not None and effect.schema != SCHEMA):
            return Change.of_table(table)
        scopes = ((table, BASE, partition), (table, BASE, None))
        touches = (IndexTouch(BASE, partition, sort),)
        if effect is None or effect.touches is None:
            everywhere = (table, GLOBALS, None)
            return Change((*scopes, everywhere), (*touches, IndexTouch(GLOBALS)))
        placed = [scope for touch in effect.touches for scope in global_scopes(table, touch)]
        return Change((*scopes, *placed), (*touches, *effect.touches))


@pytest.fixture
def guard() -> Guard:
    guard = Guard(Places(), Q)
    guard.extend(1e6, 0.0)
    return guard


def base(partition: bytes | None, low: bytes = b"", high: bytes | None = None) -> Dependency:
    return Dependency("t", partition=partition, low=low, high=high)


def index(partition: bytes | None, low: bytes = b"", high: bytes | None = None) -> Dependency:
    return Dependency("t", "g", is_global=True, partition=partition, low=low, high=high)


def at(*places: tuple[bytes, bytes]) -> tuple[Effect]:
    return (Effect(SCHEMA, tuple(IndexTouch("g", *place) for place in places)),)


def kept(guard: Guard, dependency: Dependency, now: float) -> bool:
    fill = guard.begin_query(dependency, now)
    return fill is not None and guard.end_fill(fill, now)


def test_a_fence_stops_fills_of_its_partition_and_of_scans_only(guard: Guard) -> None:
    guard.fence(F1, (K,), 1.0, at())
    assert not kept(guard, base(b"p"), 1.1)
    assert not kept(guard, base(b"p", b"5"), 1.1)
    assert not kept(guard, base(None), 1.1)
    assert kept(guard, base(b"q"), 1.1)
    assert kept(guard, index(b"x"), 1.1)
    guard.settle(F1, Outcome.SUCCESS, (), 2.0)
    fill = guard.begin_query(base(b"p"), 2.1)
    assert fill is not None
    assert fill.consistent
    elsewhere = guard.begin_query(base(b"q"), 2.1)
    assert elsewhere is not None
    assert not elsewhere.consistent


def test_a_fence_revokes_the_fills_whose_range_it_lies_in(guard: Guard) -> None:
    ranges = {b"": None, b"0": b"1", b"1": b"2", b"2": None}
    fills = {low: guard.begin_query(base(b"p", low, high), 0.5) for low, high in ranges.items()}
    guard.fence(F1, (K,), 1.0, at())
    ends = {low: guard.end_fill(fill, 1.1) for low, fill in fills.items() if fill is not None}
    assert ends == {b"": False, b"0": True, b"1": False, b"2": True}


def test_an_index_is_spared_where_the_item_is_and_will_be_elsewhere(guard: Guard) -> None:
    fills = [guard.begin_query(index(p), 0.5) for p in (b"x", b"y", b"z", None)]
    guard.fence(F1, (K,), 1.0, at((b"x", b""), (b"y", b"")))
    assert [guard.end_fill(fill, 1.1) for fill in fills if fill] == [False, False, True, False]
    assert [kept(guard, index(p), 1.2) for p in (b"x", b"y", b"z", None)] == [
        False,
        False,
        True,
        False,
    ]


def test_a_touched_partition_of_an_index_is_not_kept_for_q_after_the_write(guard: Guard) -> None:
    guard.fence(F1, (K,), 1.0, at((b"x", b"")))
    guard.settle(F1, Outcome.SUCCESS, (), 2.0)
    assert not kept(guard, index(b"x"), 2.0 + Q - 0.1)
    assert not kept(guard, index(None), 2.0 + Q - 0.1)
    assert kept(guard, index(b"y"), 2.1)
    assert kept(guard, index(b"x"), 2.0 + Q)


def test_after_a_write_that_may_have_happened_its_scopes_are_unknown_then_settled(
    guard: Guard,
) -> None:
    guard.fence(F1, (K,), 1.0, at((b"x", b"")))
    guard.settle(F1, Outcome.UNKNOWN, (), 2.0)
    for dependency in (base(b"p"), base(None), index(b"x")):
        assert guard.begin_query(dependency, 2.0 + Q - 0.1) is None
    late = guard.begin_query(base(b"p"), 2.0 + Q)
    assert late is not None
    assert late.consistent
    guard.tick(2.0 + Q)
    assert guard.begin_query(index(b"x"), 2.0 + 2 * Q - 0.1) is None
    assert kept(guard, index(b"x"), 2.0 + 2 * Q)


def test_a_rejected_write_leaves_no_quarantine(guard: Guard) -> None:
    guard.fence(F1, (K,), 1.0, at((b"x", b"")))
    guard.settle(F1, Outcome.REJECTED, (), 2.0)
    fill = guard.begin_query(base(b"p"), 2.0)
    assert fill is not None
    assert not fill.consistent
    assert kept(guard, index(b"x"), 2.0)


@pytest.mark.parametrize(
    "effects", [(), (None,), (Effect(SCHEMA, None),)], ids=["none", "None", "no touches"]
)
def test_an_effect_that_is_not_known_concerns_all_of_all_indexes(
    guard: Guard, effects: tuple[Effect | None, ...]
) -> None:
    fills = [guard.begin_query(index(b"x"), 0.5), guard.begin_query(base(b"q"), 0.5)]
    guard.fence(F1, (K,), 1.0, effects)
    assert [guard.end_fill(fill, 1.1) for fill in fills if fill] == [False, True]
    assert not kept(guard, index(b"y"), 1.2)
    assert kept(guard, base(b"q"), 1.2)


def test_an_effect_of_another_description_of_the_table_concerns_all_of_it(guard: Guard) -> None:
    fill = guard.begin_query(base(b"q"), 0.5)
    guard.fence(F1, (K,), 1.0, (Effect(SCHEMA + 1, ()),))
    assert fill is not None
    assert not guard.end_fill(fill, 1.1)
    assert not kept(guard, base(b"q"), 1.2)


# -- writes that overlap ------------------------------------------------------------------------


def test_an_overtaken_write_takes_the_item_from_where_the_other_one_left_it(
    guard: Guard,
) -> None:
    """Write 1 finds it at x and moves it to y; write 2 overtakes it and leaves it at z."""
    guard.fence(F1, (K,), 1.0, at((b"x", b""), (b"y", b"")))
    guard.fence(F2, (K,), 1.1, (Effect(SCHEMA, None),))
    guard.settle(F2, Outcome.SUCCESS, (), 1.2)
    assert not kept(guard, index(b"z"), 2 * Q), "write 1 has not landed yet"
    guard.settle(F1, Outcome.SUCCESS, (), 2 * Q)
    assert not kept(guard, index(b"z"), 3 * Q - 0.1), "the index lags behind write 1"
    assert kept(guard, index(b"z"), 3 * Q)


def test_the_worst_outcome_of_overlapping_writes_counts_for_what_was_held(guard: Guard) -> None:
    guard.fence(F1, (K,), 1.0, at((b"x", b"")))
    guard.fence(F2, (K,), 1.1, (Effect(SCHEMA, None),))
    guard.settle(F2, Outcome.UNKNOWN, (), 1.2)
    guard.settle(F1, Outcome.REJECTED, (), 3 * Q)
    assert guard.begin_query(index(b"z"), 4 * Q - 0.1) is None
    guard.tick(4 * Q)
    assert not kept(guard, index(b"z"), 5 * Q - 0.1)
    assert kept(guard, index(b"z"), 5 * Q)


def test_a_rejected_write_is_not_held_against_the_one_that_it_met(guard: Guard) -> None:
    guard.fence(F1, (K,), 1.0, at((b"x", b"")))
    guard.fence(F2, (K,), 1.1, (Effect(SCHEMA, None),))
    guard.settle(F2, Outcome.REJECTED, (), 1.2)
    assert kept(guard, index(b"z"), 1.3)
    assert not kept(guard, index(b"x"), 1.3)


def test_a_write_after_one_in_doubt_leaves_its_places_in_doubt(guard: Guard) -> None:
    """The first moves the item from x to y when it lands, from wherever the second put it."""
    guard.fence(F1, (K,), 1.0, at((b"x", b""), (b"y", b"")))
    guard.settle(F1, Outcome.UNKNOWN, (), 2.0)
    guard.fence(F2, (K,), 2.1, at((b"z", b"")))
    guard.settle(F2, Outcome.SUCCESS, (), 2.2)
    assert guard.begin_query(index(b"z"), 2.0 + Q + 0.1) is None
    assert not kept(guard, index(b"z"), 2.0 + 2 * Q - 0.1)
    guard.tick(2.2 + Q)
    assert kept(guard, index(b"z"), 2.3 + 2 * Q)


def test_a_new_subscriber_is_told_of_what_is_held(guard: Guard) -> None:
    guard.fence(F1, (K,), 1.0, at((b"x", b"")))
    guard.fence(F2, (K, L), 1.1, (Effect(SCHEMA, None), *at()))
    guard.settle(F2, Outcome.SUCCESS, (), 1.2)
    guard.fence(F3, (OTHER,), 1.3, at((b"y", b"")))
    assert guard.open_fences() == (
        Fence(F1, (K,), (None,)),
        Fence(F3, (OTHER,), at((b"y", b""))),
    )
    subscriber = Guard(Places(), Q)
    subscriber.reset(guard.open_fences(), (), False, 2.0)
    subscriber.extend(1e6, 2.0)
    assert subscriber.begin_query(index(b"z"), 3 * Q) is None
    subscriber.settle(F1, Outcome.SUCCESS, (), 3 * Q)
    assert not kept(subscriber, index(b"z"), 4 * Q - 0.1)
    assert not kept(subscriber, index(b"y"), 5 * Q)
    assert kept(subscriber, index(b"z"), 4 * Q)


def test_a_fence_that_is_told_again_without_effects_concerns_all_indexes(guard: Guard) -> None:
    guard.fence(F1, (K,), 1.0, at((b"x", b"")))
    fill = guard.begin_query(index(b"z"), 1.1)
    guard.join((Fence(F1, (K,), (None,)),), (), False, 1.2)
    assert fill is not None
    assert not guard.end_fill(fill, 1.3)
    assert guard.begin_query(index(b"z"), 3 * Q) is None
    guard.settle(F1, Outcome.REJECTED, (), 3 * Q)
    for place in (index(b"z"), index(b"x"), base(b"p")):
        assert kept(guard, place, 3 * Q)


def test_a_fence_that_comes_twice_is_one(guard: Guard) -> None:
    for now in (1.0, 1.1):
        guard.fence(F1, (K,), now, at((b"x", b"")))
    assert guard.open_fences() == (Fence(F1, (K,), at((b"x", b""))),)
    assert kept(guard, index(b"z"), 1.2)


def test_a_fence_over_two_tables_concerns_the_queries_of_both(guard: Guard) -> None:
    guard.fence(F1, (K, ("u", b"p1")), 1.0)
    assert guard.begin_query(base(b"p"), 1.1) is None
    assert guard.begin_query(Dependency("u"), 1.1) is None


def test_a_write_of_several_keys_of_which_one_is_in_doubt_leaves_all_its_places_in_doubt(
    guard: Guard,
) -> None:
    guard.quarantine([K], 1.0)
    guard.fence(F1, (OTHER, K), 1.1)
    guard.settle(F1, Outcome.SUCCESS, (), 1.2)
    assert guard.begin_query(base(b"q"), 1.1 + Q) is None
    assert kept(guard, base(b"q"), 1.2 + Q)


def test_doubt_of_one_key_is_no_doubt_of_others_nor_of_what_a_rejected_write_did_not_do(
    guard: Guard,
) -> None:
    guard.quarantine([K], 1.0)
    for fence, key, outcome in ((F1, OTHER, Outcome.SUCCESS), (F2, K, Outcome.REJECTED)):
        guard.fence(fence, (key,), 1.1, at((b"x", b"")))
        guard.settle(fence, outcome, (), 1.2)
    assert kept(guard, base(b"q"), 1.3)
    assert ("t", "g", b"x") not in guard._unknown


def test_a_key_that_another_write_holds_keeps_no_other_key_of_a_write_held(guard: Guard) -> None:
    guard.fence(F1, (K, OTHER), 1.0)
    guard.fence(F2, (K,), 1.0)
    guard.flush("t", 1.1)
    guard.settle(F1, Outcome.REJECTED, (), 1.2)
    assert list(guard._queries._holds) == [K]


def test_keys_in_doubt_concern_the_writes_of_them_that_are_under_way(guard: Guard) -> None:
    guard.fence(F1, (K,), 1.0, at((b"x", b"")))
    guard.quarantine([K], 1.1)
    assert guard.begin_query(index(b"z"), 2.0 + 2 * Q) is None, "until write 1 has landed"
    guard.settle(F1, Outcome.SUCCESS, (), 3 * Q)
    assert guard.begin_query(index(b"z"), 4 * Q - 0.1) is None


def test_all_in_doubt_concerns_all_writes_under_way(guard: Guard) -> None:
    guard.fence(F1, (K,), 1.0, at((b"x", b"")))
    guard.quarantine_all(1.1)
    assert guard.begin_query(index(b"z"), 3 * Q) is None
    assert kept(guard, base(b"q"), 3 * Q)


def test_a_flush_makes_writes_under_way_concern_all_of_their_table(guard: Guard) -> None:
    """It may be another table now, with other indexes."""
    guard.fence(F1, (K,), 1.0, at((b"x", b"")))
    guard.flush("t", 1.1)
    assert not kept(guard, base(b"q"), 3 * Q)
    guard.settle(F1, Outcome.REJECTED, (), 3 * Q)
    assert kept(guard, base(b"q"), 3 * Q)


def test_a_write_of_unknown_keys_holds_for_all_writes_that_it_met(guard: Guard) -> None:
    guard.fence(F1, (K,), 1.0, at((b"x", b"")))
    guard.fence(F2, (("t", WHOLE),), 1.1)
    assert not kept(guard, base(b"q"), 1.1)
    guard.settle(F2, Outcome.SUCCESS, (), 1.2)
    assert not kept(guard, index(b"z"), 3 * Q)
    guard.settle(F1, Outcome.SUCCESS, (), 3 * Q)
    assert not kept(guard, index(b"z"), 4 * Q - 0.1)
    assert kept(guard, index(b"z"), 4 * Q)


def test_what_is_held_for_one_key_is_bounded() -> None:
    fences = QueryFences()
    for number in range(10 * HELD_MAX):
        fences.hold(K, [("t", "g", b"%d" % number)], Outcome.SUCCESS)
        assert len(fences) <= HELD_MAX
        assert ("t", "g", b"%d" % number) in fences or ("t", None, None) in fences
    hold = fences.release(K, Outcome.REJECTED)
    assert hold is not None
    assert hold.worst is Outcome.SUCCESS
    assert not len(fences)


def test_a_scope_that_is_held_twice_for_a_key_is_held_once() -> None:
    fences = QueryFences()
    scopes = [("t", "g", b"%d" % number) for number in range(HELD_MAX)]
    for _ in range(2):
        fences.hold(K, scopes, Outcome.SUCCESS)
        assert all(scope in fences for scope in scopes)
    assert len(fences) == HELD_MAX
    fences.hold(K, [("t", "g", b"one more")], Outcome.SUCCESS)
    assert ("t", None, None) in fences
    assert len(fences) == 1
    fences.release(K, Outcome.REJECTED)
    assert len(fences) == 0


def test_the_outcome_of_the_last_write_counts_for_what_was_held(guard: Guard) -> None:
    guard.fence(F1, (K,), 1.0, at((b"x", b"")))
    guard.fence(F2, (K,), 1.1, at((b"z", b"")))
    guard.settle(F2, Outcome.SUCCESS, (), 1.2)
    guard.settle(F1, Outcome.UNKNOWN, (), 3 * Q)
    assert guard.begin_query(index(b"z"), 4 * Q - 0.1) is None
    assert guard.begin_query(base(b"p"), 4 * Q - 0.1) is None
    assert not kept(guard, index(b"z"), 4 * Q)  # settled, unless it was never in doubt
    assert kept(guard, base(b"p"), 4 * Q)


def test_a_touch_of_any_partition_concerns_all_of_its_index_only(guard: Guard) -> None:
    guard.fence(F1, (K,), 1.0, (Effect(SCHEMA, (IndexTouch("g"),)),))
    assert not kept(guard, index(b"z"), 1.1)
    assert not kept(guard, index(None), 1.1)
    assert kept(guard, Dependency("t", "other", is_global=True, partition=b"z"), 1.1)


def test_a_write_after_a_reset_is_held_by_none_from_before(guard: Guard) -> None:
    for position in (F1, F2):
        guard.fence(position, (K,), 1.0, at((b"x", b"")))
    guard.settle(F2, Outcome.SUCCESS, (), 1.1)
    guard.reset((), (), False, 1.2)
    guard.fence(F3, (K,), 1.3, at((b"y", b"")))
    assert guard.open_fences() == (Fence(F3, (K,), at((b"y", b""))),)
    guard.settle(F3, Outcome.REJECTED, (), 1.4)
    assert kept(guard, base(b"p"), 1.5)


def test_nothing_is_left_behind_by_writes_that_ended(guard: Guard) -> None:
    guard.fence(F1, (K, L), 1.0, (*at((b"x", b"")), None))
    guard.fence(F2, (K,), 1.0)
    guard.fence(F3, (L, OTHER), 1.0)
    guard.flush("t", 1.1)
    for fence, outcome in zip((F2, F1, F3), Outcome, strict=True):
        guard.settle(fence, outcome, (image(1),), 1.2)
    assert not len(guard._queries)
    assert not guard._queries._holds
    guard.tick(1.3 + Q)
    guard.tick(1.3 + 2 * Q)
    assert not guard._settled
    assert not guard._unknown


# -- results that no write matters to -----------------------------------------------------------


def test_writes_do_not_matter_to_a_detached_read_but_flushes_do(guard: Guard) -> None:
    detached = Dependency("t", detached=True)
    fill = guard.begin_query(detached, 0.5)
    assert fill is not None
    guard.fence(F1, (K,), 1.0)
    assert guard.end_fill(fill, 1.1)
    again = guard.begin_query(detached, 1.1)
    assert again is not None
    guard.settle(F1, Outcome.UNKNOWN, (), 1.2)
    guard.flush("t", 1.3)
    assert not guard.end_fill(again, 1.4)


# -- the index of results -------------------------------------------------------------------------


class Page:
    def __init__(self, dependency: Dependency) -> None:
        self.dependency = dependency


def test_in_a_crowded_partition_all_results_count_as_touched() -> None:
    pages: Dependents[Page] = Dependents()
    for number in range(RANGES_MAX + 1):
        pages.add(Page(base(b"p", b"%06d" % number, b"%06d" % (number + 1))))
    assert len(pages.touched("t", [IndexTouch(BASE, b"p", b"000003")])) == RANGES_MAX + 1
    assert pages.touched("t", [IndexTouch(BASE, b"q", b"000003")]) == []
    found = pages.pop_touched("t", [IndexTouch(BASE, b"p", b"")] * 2)
    assert len(found) == RANGES_MAX + 1
    assert not pages


@pytest.mark.parametrize(
    ("prefix", "end"),
    [
        (b"a", b"b"),
        (b"a\xff", b"b"),
        (b"\xff\xff", None),
        (b"", None),
        (b"a\x00", b"a\x01"),
        (b"ax", b"ay"),
    ],
)
def test_a_prefix_ends_before_the_next_string_that_does_not_have_it(
    prefix: bytes, end: bytes | None
) -> None:
    assert prefix_end(prefix) == end
    for value in (prefix, prefix + b"\x00", prefix + b"\xff\xff"):
        assert prefix <= value
        assert end is None or value < end


def test_nothing_lies_between_a_value_and_its_successor() -> None:
    assert b"a" < successor(b"a") <= b"a\x00"


def test_an_image_is_no_concern_of_queries(guard: Guard) -> None:
    guard.fence(F1, (K,), 1.0, at())
    guard.settle(F1, Outcome.SUCCESS, (Image(b"2"),), 1.1)
    assert kept(guard, base(b"p"), 1.2)


def test_keys_in_doubt_drop_the_results_and_revoke_the_fills_that_they_can_change(
    guard: Guard,
) -> None:
    caches = guard._caches
    assert isinstance(caches, Places)
    caches.queries["t", False] = {K: 1}
    caches.queries["u", False] = {K: 1}
    concerned, other = guard.begin_query(base(b"p"), 0.5), guard.begin_query(base(b"q"), 0.5)
    assert concerned is not None
    assert other is not None
    guard.quarantine([K], 1.0)
    assert list(caches.queries) == [("u", False)]
    assert not guard.end_fill(concerned, 1.0)
    assert guard.end_fill(other, 1.0)


def test_nothing_is_kept_without_a_lease(guard: Guard) -> None:
    guard.lapse(1.0)
    assert guard.begin_query(base(b"p"), 1.0) is None
    guard.extend(2.0, 1.0)
    assert guard.begin_query(base(b"p"), 1.99) is not None
    assert guard.begin_query(base(b"p"), 2.0) is None


def test_a_write_of_unknown_keys_holds_nothing_for_writes_of_other_tables(guard: Guard) -> None:
    guard.fence(F1, (("u", b"p1"),), 1.0, at((b"x", b"")))
    guard.fence(F2, (("t", WHOLE),), 1.1)
    guard.settle(F2, Outcome.SUCCESS, (), 1.2)
    assert kept(guard, base(b"p"), 1.3 + Q)  # the write of the other table is under way yet


def test_a_reset_takes_away_what_was_fenced_and_held(guard: Guard) -> None:
    guard.fence(F1, (K,), 1.0, at((b"x", b"")))
    guard.fence(F2, (K,), 1.0, at((b"y", b"")))
    guard.settle(F2, Outcome.SUCCESS, (), 1.1)
    guard.reset((), (), False, 1.2)
    assert kept(guard, base(b"p"), 1.3)
    assert kept(guard, index(b"y"), 1.3 + Q)
