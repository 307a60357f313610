"""Positions, catching up, resets, epochs."""

import pytest

from cluster.coherence import takeover_report as report_module
from cluster.coherence.messages import (
    Ack,
    Begin,
    Fence,
    Flush,
    LeaseHandBack,
    LeaseReply,
    LeaseRequest,
    Outcome,
    Position,
    Settle,
    Subscribe,
    Welcome,
)
from cluster.coherence.replica import ToPrimary
from tests.unit.cluster.coherence.rig import OTHER, K, L, Q, Rig, image


def test_a_lost_message_is_noticed_with_the_next_one() -> None:
    rig = Rig("bc")
    b = rig["b"]
    b.caches.items[K] = 1
    rig.begin(K)
    b.down.clear()
    rig.begin(L)
    position = b.replica.position
    b.deliver_down()
    assert b.resubscribe is not None
    assert b.replica.position == position
    assert not b.up


def test_a_doubled_message_is_ignored() -> None:
    rig = Rig("bc")
    b = rig["b"]
    fence = rig.begin(K)
    rig.exchange()
    rig.settle(fence, Outcome.SUCCESS, image(1))
    settle = b.down[-1]
    rig.exchange()
    second = rig.write(K, 2)
    for message in (Fence(fence, (K,)), settle, Fence(second, (K,))):
        b.react(b.replica.received(message, rig.now))
    assert b.caches.items == {K: 2}
    assert b.resubscribe is None
    assert b.guard.open_fences() == ()


def test_a_reordered_message_is_noticed() -> None:
    rig = Rig("bc")
    b = rig["b"]
    fence = rig.begin(K)
    rig.settle(fence, Outcome.REJECTED)
    b.down.reverse()
    b.deliver_down()
    assert b.resubscribe is not None


def test_what_was_missed_is_made_good_from_the_log_and_warm_entries_stay() -> None:
    rig = Rig("bc")
    b = rig["b"]
    rig.write(L, 1)
    rig.write(K, 1)
    b.lost()
    rig.now = 2.0
    rig.write(K, 2)
    assert b.caches.items == {K: 1, L: 1}
    b.connect()
    b.exchange()
    assert b.caches.items == {K: 2, L: 1}
    assert b.replica.position == rig.primary.position
    assert b.serving


def test_nothing_is_acknowledged_before_the_welcome() -> None:
    rig = Rig("bc")
    b = rig["b"]
    b.lost()
    rig.begin(K)
    rig.begin(L)
    b.connect()
    assert isinstance(b.down[-1], Welcome)
    b.deliver_down(len(b.down) - 1)
    assert b.replica.position == rig.primary.position
    assert not b.up
    b.deliver_down(1)
    assert b.up[0] == Ack(rig.primary.position)
    assert isinstance(b.up[1], LeaseRequest)


def test_a_subscriber_gets_all_open_fences_and_unknown_keys() -> None:
    rig = Rig("b")
    fence = rig.begin(K)
    unknown = rig.begin(OTHER)
    rig.exchange()
    rig.settle(unknown, Outcome.UNKNOWN)
    rig.now = 4.0
    from tests.unit.cluster.coherence.rig import LinkedReplica

    c = rig.nodes["c"] = LinkedReplica(rig, "c")
    c.connect()
    welcome = c.down[-1]
    assert welcome == Welcome(rig.primary.position, True, (Fence(fence, (K,)),), (OTHER,), False)
    c.exchange()
    assert c.serving
    assert c.guard.begin_fill(K, rig.now) is None
    assert c.guard.begin_fill(OTHER, 4.0) is None
    assert c.guard.unknown_keys(4.0 + Q - 0.01) == (OTHER,)
    other = c.guard.begin_fill(L, rig.now)
    assert other is not None
    assert other.consistent


def test_a_replica_installs_the_image_of_a_fence_that_it_got_by_its_welcome() -> None:
    rig = Rig("bc", connect=False, members="a")
    fence = rig.begin(K)
    rig["b"].connect()
    rig["b"].exchange()
    rig.settle(fence, Outcome.SUCCESS, image(2))
    rig["b"].exchange()
    assert rig["b"].caches.items == {K: 2}


def test_a_node_that_subscribes_while_every_key_is_unknown_inherits_that() -> None:
    rig = Rig("bc", epoch=2, reset=True, connect=False)
    rig.now = Q - 1
    b = rig["b"]
    b.connect()
    b.exchange()
    assert b.serving
    assert b.guard.begin_fill(K, rig.now) is None
    assert b.guard.all_unknown(2 * Q - 1.01)
    assert not b.guard.all_unknown(2 * Q - 1)


def test_too_many_unknown_keys_for_one_message_become_all_keys(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(report_module, "UNKNOWN_BYTES_MAX", 100)
    rig = Rig("b", connect=False, members="a")
    for number in range(20):
        rig.settle(rig.begin(("t", b"%d" % number)), Outcome.UNKNOWN)
    rig["b"].connect()
    welcome = rig["b"].down[-1]
    assert isinstance(welcome, Welcome)
    assert welcome.all_unknown
    assert welcome.unknown == ()


def test_a_position_older_than_the_log_is_reset(monkeypatch: pytest.MonkeyPatch) -> None:
    rig = Rig("bc")
    rig.guard.log.messages_max = 3
    b = rig["b"]
    rig.write(L, 1)
    b.lost()
    rig.now = 2.0
    for version in range(2, 5):
        rig.write(K, version)
    b.connect()
    assert isinstance(b.down[0], Welcome)
    assert b.down[0].reset
    b.exchange()
    assert b.caches.items == {}
    assert b.serving


def test_a_position_that_is_not_in_the_primarys_chain_is_reset() -> None:
    rig = Rig("")
    rig.primary.close(0.0)
    rig.guard.position = Position(2, 7)
    rig.begin_epoch(3)
    for position in (None, Position(1, 4), Position(2, 6), Position(3, 99), Position(2, 7)):
        actions = rig.primary.subscribed(1, Subscribe("x", "1", 3, position), 0.0)
        rig.primary.unlinked(1, 0.0)
        messages = [getattr(action, "message", None) for action in actions]
        welcome = messages[-1]
        assert isinstance(welcome, Welcome)
        assert welcome.reset is (position != Position(2, 7))
        if position == Position(2, 7):
            assert messages[0] == Begin(Position(3, 0), Position(2, 7), False)


def test_a_node_takes_part_in_a_new_epoch_only_if_its_predecessor_is_where_it_is() -> None:
    rig = Rig("bc")
    b = rig["b"]
    rig.write(L, 1)
    open_fence = rig.begin(K)
    b.exchange()
    rig.primary.close(1.0)
    rig.now = 1.0
    assert b.replica.position == open_fence
    rig.begin_epoch(2)
    b.connect()
    assert isinstance(b.down[0], Begin)
    b.exchange()
    assert b.replica.position == Position(2, 0)
    assert b.caches.items == {L: 1}
    assert b.guard.unknown_keys(1.0) == (K,)
    late = Settle(Position(1, 3), open_fence, Outcome.SUCCESS, (image(2),))
    b.react(b.replica.received(late, 1.0))
    assert b.caches.items == {L: 1}
    assert b.resubscribe is None


@pytest.mark.parametrize("reset", [False, True])
def test_a_begin_that_does_not_follow_makes_the_node_start_from_nothing(reset: bool) -> None:
    rig = Rig("bc")
    b = rig["b"]
    rig.write(K, 1)
    b.react(b.replica.connect(2, 1.0))
    predecessor = b.replica.position if reset else Position(1, 99)
    b.react(b.replica.received(Begin(Position(2, 0), predecessor, reset), 1.0))
    assert b.resubscribe is not None
    b.up.clear()
    b.react(b.replica.connect(2, 1.1))
    assert b.up[-1] == Subscribe("b", "1", 2, None)


def test_a_new_epoch_with_reset_empties_every_cache() -> None:
    rig = Rig("bc")
    b = rig["b"]
    rig.write(K, 1)
    rig.primary.close(1.0)
    rig.now = 1.0
    rig.begin_epoch(2, reset=True)
    assert rig.caches.items == {}
    b.connect()
    b.exchange()
    assert b.caches.items == {}
    assert b.guard.all_unknown(1.0 + Q - 0.01)


def test_a_node_that_was_primary_subscribes_from_what_it_published_itself() -> None:
    rig = Rig("bc")
    rig.write(K, 1)
    last = rig.primary.position
    rig.primary.close(1.0)
    from cluster.coherence.replica import Replica
    from tests.unit.cluster.coherence.rig import Times

    replica = Replica("a", "1", rig.guard, Times())
    actions = replica.connect(2, 1.0)
    assert actions[0].message == Subscribe("a", "1", 2, last)  # type: ignore[union-attr]


def test_an_epoch_that_is_over_is_not_followed() -> None:
    rig = Rig("bc", epoch=3)
    b = rig["b"]
    b.react(b.replica.connect(2, 1.0))
    assert b.resubscribe is not None
    assert b.replica.received(LeaseReply(1, Position(2, 0), 1.0), 1.0) == []


def test_a_primary_answers_only_subscribers_of_its_own_epoch() -> None:
    rig = Rig("", epoch=3)
    rig.act(rig.primary.subscribed(1, Subscribe("b", "1", 2, None), 0.0))
    assert "epoch 2" in rig.closed[1]
    rig.act(rig.primary.received(1, LeaseRequest(1), 0.0))
    rig.primary.close(0.0)
    rig.act(rig.primary.subscribed(2, Subscribe("b", "1", 3, None), 0.0))
    assert 2 in rig.closed


def test_a_new_link_of_a_node_takes_the_place_of_its_old_one() -> None:
    rig = Rig("bc")
    b = rig["b"]
    old = b.link
    b.connect()
    assert old in rig.closed
    b.exchange()
    rig.begin(K)
    assert len(b.down) == 1
    rig.act(rig.primary.received(old, Ack(rig.primary.position), 0.0))
    rig["c"].exchange()
    assert rig.ready == []


def test_an_acknowledgement_of_what_was_never_sent_closes_the_link() -> None:
    rig = Rig("bc")
    rig.act(rig.primary.received(rig["b"].link, Ack(Position(1, 99)), 0.0))
    assert "never sent" in rig.closed[rig["b"].link]
    rig.act(rig.primary.received(rig["c"].link, Subscribe("c", "1", 1, None), 0.0))
    assert "twice" in rig.closed[rig["c"].link]


def test_a_doubled_welcome_does_not_take_the_fences_back() -> None:
    rig = Rig("bc", connect=False, members="a")
    b = rig["b"]
    b.connect()
    welcome = b.down[-1]
    b.exchange()
    fence = rig.begin(K)
    b.exchange()
    b.react(b.replica.received(welcome, rig.now))
    assert [each.position for each in b.guard.open_fences()] == [fence]
    assert b.replica.position == fence


def test_a_message_that_overtakes_the_welcome_is_not_applied() -> None:
    rig = Rig("bc", connect=False)
    b = rig["b"]
    b.connect()
    rig.begin(K)
    b.down.reverse()
    b.deliver_down(1)
    assert b.guard.open_fences() == ()
    b.deliver_down(1)
    rig.begin(L)
    b.deliver_down()
    assert b.resubscribe is not None


def test_after_a_resubscription_was_asked_for_nothing_of_the_old_link_is_applied() -> None:
    rig = Rig("bc")
    b = rig["b"]
    b.react(b.replica._lost("for the test"))
    rig.begin(K)
    b.deliver_down()
    assert b.guard.open_fences() == ()
    assert b.replica.tick(100.0) == []


def test_messages_that_arrive_together_stop_at_a_gap() -> None:
    rig = Rig("bc")
    b = rig["b"]
    first = rig.begin(K)
    messages = [b.down[-1], Fence(Position(1, 9), (L,)), Fence(Position(1, 10), (L,))]
    b.react(b.replica.received_all(messages, 0.0))
    assert b.replica.position == first
    assert b.resubscribe is not None


def test_a_flush_reaches_every_replica_in_order() -> None:
    rig = Rig("bc")
    rig.write(K, 1)
    rig.write(OTHER, 1)
    rig.act(rig.primary.flush("t", rig.now))
    assert rig["b"].down[-1] == Flush(rig.primary.position, "t")
    rig.exchange()
    for caches in (rig.caches, rig["b"].caches, rig["c"].caches):
        assert caches.items == {OTHER: 1}
    rig.act(rig.primary.flush(None, rig.now))
    rig.exchange()
    assert rig["b"].caches.items == {}


def test_lag_is_none_while_the_replica_is_not_level() -> None:
    rig = Rig("bc")
    b = rig["b"]
    assert b.replica.lag == 0
    b.lost()
    assert b.replica.lag is None


def test_handing_back_without_a_link_tells_nobody() -> None:
    rig = Rig("bc")
    b = rig["b"]
    b.lost()
    assert b.replica.hand_back(0.0) == []
    assert rig["c"].replica.hand_back(0.0) == [ToPrimary(LeaseHandBack())]


def test_a_doubled_begin_is_ignored_before_and_after_the_welcome() -> None:
    rig = Rig("bc", connect=False)
    b = rig["b"]
    b.connect()
    b.exchange()
    b.lost()
    begin = Begin(Position(1, 0), None, False)
    b.connect()
    assert b.replica.received(begin, rig.now) == []
    b.exchange()
    assert b.replica.received(begin, rig.now) == []
    assert b.replica.lag == 0
    assert b.resubscribe is None


def test_what_an_epoch_that_is_over_still_sends_is_ignored() -> None:
    rig = Rig("bc")
    b = rig["b"]
    assert b.replica.received(Welcome(Position(0, 9), True, (), (), True), rig.now) == []
    assert b.replica.received(LeaseReply(1, Position(0, 9), 1.0), rig.now) == []
    assert b.replica.position == Position(1, 0)
    b.lost()
    assert b.replica.received(Fence(Position(1, 1), (K,)), rig.now) == []
    assert b.replica.position == Position(1, 0)
    rig.primary.close(rig.now)
    assert rig.primary.tick(rig.now) == []
    assert rig.primary.close(rig.now) == []


def test_the_last_message_may_come_twice() -> None:
    rig = Rig("bc")
    b = rig["b"]
    fence = rig.begin(K)
    rig.exchange()
    assert b.replica.received(Fence(fence, (K,)), rig.now) == []
    assert b.replica.lag == 0


def test_a_welcome_at_another_position_than_the_one_reached_starts_again() -> None:
    rig = Rig("bc")
    b = rig["b"]
    b.lost()
    rig.begin(K)
    b.connect()
    assert isinstance(b.down.popleft(), Fence)  # lost on the way
    b.exchange()
    assert b.resubscribe is not None
    assert "welcomed at" in b.resubscribe
    assert b.replica.lag is None


def test_a_node_that_missed_nothing_still_takes_what_its_welcome_says() -> None:
    rig = Rig("bc")
    b = rig["b"]
    b.lost()
    b.connect()
    [welcome] = [message for message in b.down if isinstance(message, Welcome)]
    assert not welcome.reset
    told = Welcome(welcome.position, False, welcome.fences, (L,), False)
    b.down.clear()
    b.react(b.replica.received(told, rig.now))
    b.exchange()
    assert b.guard.begin_fill(L, rig.now) is None
    fill = b.guard.begin_fill(K, rig.now)
    assert fill is not None
    assert fill.consistent
