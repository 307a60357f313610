"""When a new primary may go on from what others remember, and how it does."""

from __future__ import annotations

import pytest

from cluster.coherence.guard import Guard
from cluster.coherence.messages import Fence, Outcome, Position
from cluster.coherence.takeover import (
    ANSWERS_S,
    GRACE_S,
    GoOn,
    StartOver,
    Takeover,
    take_over,
)
from cluster.coherence.takeover_report import (
    NOTHING,
    TAIL_BYTES_MAX,
    UNKNOWN_BYTES_MAX,
    TakeoverReport,
    report_for_takeover,
)
from paceline.types import Key
from tests.unit.cluster.coherence.rig import K, L, Q, Rig, image
from tests.unit.cluster.coherence.toys import ToyCaches

ABC = frozenset("abc")


def at(epoch: int, sequence: int, *, unknown: tuple[Key, ...] = ()) -> TakeoverReport:
    return TakeoverReport(Position(epoch, sequence), (), (), unknown, False)


def takeover(
    own: TakeoverReport, members: dict[int, frozenset[str]] | None = None, epoch: int = 2
) -> Takeover:
    return Takeover("b", epoch, members if members is not None else {1: ABC}, own, 0.0)


# -- enough ---------------------------------------------------------------------------------------


def test_more_than_half_of_all_old_members_must_remember() -> None:
    asked = takeover(at(1, 5))
    assert asked.asked == {"a", "c"}
    assert asked.decide(0.0) is None
    asked.answered("c", at(1, 4))
    assert asked.decide(0.1) is None  # the other one may still answer, for a moment
    assert asked.next_deadline() == pytest.approx(0.1 + GRACE_S)
    decision = asked.decide(0.1 + GRACE_S)
    assert isinstance(decision, GoOn)
    assert decision.source == "b"


def test_of_those_that_are_equally_far_this_node_itself_is_the_source() -> None:
    asked = takeover(at(1, 5))
    asked.answered("a", at(1, 5))
    asked.answered("c", at(1, 5))
    decision = asked.decide(0.0)
    assert isinstance(decision, GoOn)
    assert decision.source == "b"


def test_without_anybodys_memory_the_epoch_starts_over() -> None:
    asked = takeover(NOTHING)
    asked.answered("a", NOTHING)
    asked.failed("c")
    decision = asked.decide(0.0)
    assert isinstance(decision, StartOver)
    assert "no member" in decision.reason


def test_answers_are_waited_for_from_when_they_were_asked_for() -> None:
    asked = Takeover("b", 2, {1: ABC}, at(1, 5), 100.0)
    assert asked.decide(100.0 + ANSWERS_S - 0.01) is None
    assert isinstance(asked.decide(100.0 + ANSWERS_S), StartOver)


def test_nobody_is_waited_for_once_all_have_answered_or_failed() -> None:
    asked = takeover(at(1, 5))
    asked.answered("c", at(1, 7))
    asked.failed("a")
    decision = asked.decide(0.0)
    assert isinstance(decision, GoOn)
    assert decision.source == "c"


def test_a_restarted_member_does_not_count() -> None:
    asked = takeover(at(1, 5))
    asked.answered("c", NOTHING)
    asked.failed("a")
    decision = asked.decide(0.0)
    assert isinstance(decision, StartOver)
    assert "of 3 members of epoch 1 only b have a position" in decision.reason


def test_half_of_the_members_are_not_more_than_half() -> None:
    asked = takeover(at(1, 5), {1: frozenset("abcd")})
    asked.answered("c", at(1, 5))
    asked.failed("a")
    asked.failed("d")
    assert isinstance(asked.decide(0.0), StartOver)


def test_the_grace_for_late_answers_ends_with_the_wait_for_a_majority() -> None:
    asked = takeover(at(1, 5))
    asked.answered("c", at(1, 5))
    late = ANSWERS_S - GRACE_S / 2
    assert asked.decide(late) is None
    assert asked.next_deadline() == ANSWERS_S
    assert isinstance(asked.decide(ANSWERS_S), GoOn)


def test_a_restarted_new_primary_goes_on_from_a_majority_of_others() -> None:
    asked = takeover(NOTHING, {1: frozenset("abcde")})
    for name in "cd":
        asked.answered(name, at(1, 5))
    assert asked.decide(0.0) is None
    asked.answered("e", at(1, 6))
    asked.failed("a")
    decision = asked.decide(0.0)
    assert isinstance(decision, GoOn)
    assert decision.source == "e"


def test_without_enough_answers_in_time_it_starts_over() -> None:
    asked = takeover(at(1, 5))
    assert asked.next_deadline() == ANSWERS_S
    assert asked.decide(ANSWERS_S - 0.01) is None
    assert isinstance(asked.decide(ANSWERS_S), StartOver)


def test_a_late_or_foreign_answer_changes_nothing() -> None:
    asked = takeover(at(1, 5))
    asked.failed("a")
    asked.answered("a", at(1, 9))
    asked.answered("x", at(1, 9))
    asked.answered("c", at(1, 5))
    decision = asked.decide(0.0)
    assert isinstance(decision, GoOn)
    assert decision.report.position == Position(1, 5)


def test_a_member_that_is_an_epoch_behind_counts() -> None:
    asked = takeover(at(2, 5), {1: ABC, 2: ABC}, epoch=3)
    asked.answered("c", at(1, 9))
    asked.failed("a")
    assert isinstance(asked.decide(0.0), GoOn)


def test_every_epoch_that_may_have_left_fences_needs_its_own_majority() -> None:
    """Nobody knows a message of epoch 2: its fences, if any, reached no majority of its members;
    but those of epoch 1 count over other members."""
    members = {1: ABC, 2: frozenset("abcd"), 3: frozenset("abcde")}
    asked = takeover(NOTHING, members, epoch=4)
    asked.answered("c", at(1, 9))
    asked.answered("d", at(1, 9))
    asked.answered("e", at(1, 9))
    asked.failed("a")
    decision = asked.decide(0.0)
    assert isinstance(decision, StartOver)
    assert "epoch 1" in decision.reason
    again = takeover(at(1, 2), members, epoch=4)
    for name in "cde":
        again.answered(name, at(1, 9))
    again.failed("a")
    assert isinstance(again.decide(0.0), GoOn)


def test_an_epoch_of_two_or_one_too_long_ago_leaves_nothing_to_go_on_from() -> None:
    of_two = Takeover("b", 2, {1: frozenset("ab")}, at(1, 5), 0.0)
    of_two.answered("a", at(1, 5))
    assert isinstance(of_two.decide(0.0), StartOver)
    forgotten = takeover(at(1, 5), {2: ABC}, epoch=3)
    for name in "ac":
        forgotten.answered(name, at(1, 5))
    assert isinstance(forgotten.decide(0.0), StartOver)


def test_keys_that_any_of_them_holds_for_unknown_are_unknown() -> None:
    asked = takeover(at(1, 5, unknown=(K,)))
    asked.answered("c", at(1, 4, unknown=(L,)))
    asked.answered("a", at(1, 3))
    decision = asked.decide(0.0)
    assert isinstance(decision, GoOn)
    assert set(decision.unknown) == {K, L}
    assert not decision.all_unknown


def test_more_unknown_keys_than_one_message_takes_are_all_keys() -> None:
    large = ("t", b"x" * (UNKNOWN_BYTES_MAX // 2))
    other = ("t", b"y" * (UNKNOWN_BYTES_MAX // 2))
    asked = takeover(at(1, 5, unknown=(large,)))
    asked.answered("c", at(1, 4, unknown=(other,)))
    asked.failed("a")
    decision = asked.decide(0.0)
    assert isinstance(decision, GoOn)
    assert decision.all_unknown
    assert decision.unknown == ()


def test_all_keys_are_unknown_if_one_who_answered_says_so() -> None:
    asked = takeover(at(1, 5, unknown=(K,)))
    asked.answered("c", at(1, 4, unknown=(L,)))
    asked.answered("a", TakeoverReport(Position(1, 3), None, (), (), True))
    decision = asked.decide(0.0)
    assert isinstance(decision, GoOn)
    assert decision.all_unknown
    assert decision.unknown == ()


# -- going on -------------------------------------------------------------------------------------


def succeed(rig: Rig, name: str, *others: str, epoch: int = 2) -> tuple[Guard, ToyCaches]:
    """``name`` takes over from ``others``, with the old primary gone."""
    rig.now += 2.0
    node = rig[name]
    node.replica.disconnected(rig.now)
    node.guard.lapse(rig.now)
    position = node.guard.position
    asked = Takeover(
        name,
        epoch,
        {epoch - 1: rig.members},
        report_for_takeover(node.guard, position, rig.now),
        rig.now,
    )
    for other in others:
        asked.answered(other, report_for_takeover(rig[other].guard, position, rig.now))
    decision = asked.decide(rig.now + ANSWERS_S)
    assert isinstance(decision, GoOn)
    take_over(node.guard, decision, rig.now)
    rig.guard, rig.caches = node.guard, node.caches
    rig.primary.close(rig.now)
    rig.begin_epoch(epoch)
    return node.guard, node.caches


def test_warm_caches_survive_and_open_fences_become_unknown() -> None:
    rig = Rig("bc")
    rig.write(L, 1)
    fence = rig.begin(K)
    rig.exchange()
    assert rig.primary.may_send(fence, 0.0)
    guard, caches = succeed(rig, "b", "c")
    assert caches.items == {L: 1}
    assert guard.unknown_keys(rig.now) == (K,)
    c = rig["c"]
    c.connect()
    c.exchange()
    assert c.resubscribe is None
    assert c.caches.items == {L: 1}
    assert c.serving
    assert c.guard.begin_fill(K, rig.now) is None
    assert c.guard.begin_fill(K, rig.now + Q + 0.1) is None  # no lease by then
    fill = c.guard.begin_fill(L, rig.now)
    assert fill is not None
    assert fill.consistent  # for Q after a subscription


def test_a_new_primary_that_was_behind_learns_what_it_missed() -> None:
    rig = Rig("bc")
    rig.write(K, 1)
    rig["b"].lost()
    rig.now = 1.5  # its lease has run out
    fence = rig.begin(K)
    rig["c"].exchange()
    rig.tick(1.5)
    rig.settle(fence, Outcome.SUCCESS, image(2))
    rig["c"].exchange()
    _, caches = succeed(rig, "b", "c")
    assert caches.items == {K: 2}
    assert rig["b"].guard.open_fences() == ()


def test_a_new_primary_without_the_link_gives_up_its_own_cache_only() -> None:
    rig = Rig("bc")
    rig.write(K, 1)
    rig["b"].lost()
    rig.now = 1.5
    for version in range(2, 6):
        rig.write(L, version)
    rig["c"].guard.log.messages_max = 2
    rig.write(L, 9)
    _, caches = succeed(rig, "b", "c")
    assert caches.items == {}
    rig["c"].connect()
    rig["c"].exchange()
    assert rig["c"].caches.items == {K: 1, L: 9}


def test_a_replica_behind_the_new_primary_gets_the_old_epochs_tail_first() -> None:
    rig = Rig("bc")
    rig.write(K, 1)
    rig["c"].lost()
    rig.now = 1.5
    rig.write(K, 2)
    succeed(rig, "b", "c")
    assert rig["c"].caches.items == {K: 1}
    rig["c"].connect()
    rig["c"].exchange()
    assert rig["c"].resubscribe is None
    assert rig["c"].caches.items == {K: 2}
    assert rig["c"].guard.position == rig.primary.position


def test_one_who_has_a_message_that_the_takeover_missed_is_reset() -> None:
    rig = Rig("bcde")
    rig.write(K, 1)
    fence = rig.begin(K)
    rig.exchange()
    rig.settle(fence, Outcome.SUCCESS, image(2))
    rig["e"].exchange()  # alone hears of the settle
    succeed(rig, "b", "c", "d")
    e = rig["e"]
    e.connect()
    assert e.up == e.up.__class__()
    e.exchange()
    assert e.caches.items == {}
    assert e.guard.position == rig.primary.position
    assert K in e.guard.unknown_keys(rig.now)


def test_what_is_remembered_fits_one_message() -> None:
    rig = Rig("bc")
    rig["b"].lost()
    rig.now = 1.5
    start = rig["b"].guard.position
    for number in range(3):
        fence = rig.begin(("t", bytes([number]) * (TAIL_BYTES_MAX // 3)))
        rig.exchange()
        rig.tick(1.5)
        rig.settle(fence, Outcome.SUCCESS)
        rig.exchange()
    known = report_for_takeover(rig["c"].guard, start, rig.now)
    assert known.tail is None
    assert known.position == rig.primary.position
    later = report_for_takeover(
        rig["c"].guard, Position(1, rig.primary.position.sequence - 2), rig.now
    )
    assert later.tail is not None
    assert isinstance(later.tail[0], Fence)
    assert report_for_takeover(rig["c"].guard, None, rig.now).tail is None
    assert report_for_takeover(Guard(ToyCaches(), Q), start, 0.0) == NOTHING


# -- the holder's own next epoch ------------------------------------------------------------------


def test_a_holder_that_begins_an_epoch_waits_for_the_leases_of_the_one_before() -> None:
    rig = Rig("bc")
    rig.write(K, 1)
    rig["b"].renew()
    former = rig.primary
    former.close(rig.now)
    rig.begin_epoch(2, former=former.replicas)
    rig["c"].connect()
    rig["c"].exchange()
    fence = rig.begin(K)
    rig.exchange()
    assert fence not in rig.ready  # b may still answer K from its cache
    rig["b"].connect()
    rig["b"].exchange()
    rig.tick(0.0)
    assert fence in rig.ready
    assert rig["b"].caches.items == {}


def test_leases_of_the_epoch_before_also_just_run_out() -> None:
    rig = Rig("bc")
    rig["b"].renew()
    former = rig.primary
    former.close(rig.now)
    rig.begin_epoch(2, former=former.replicas)
    rig["c"].connect()
    rig["c"].exchange()
    fence = rig.begin(K)
    rig.exchange()
    rig.tick(0.99)
    assert fence not in rig.ready
    rig.tick(1.0)
    rig.exchange()
    assert fence in rig.ready
