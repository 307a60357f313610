"""The primary lease: renewed, lapsed, over; and what the primary does at each of these."""

from __future__ import annotations

import pytest

from cluster.coherence import primary as primary_module
from cluster.coherence.effects import Effect, IndexTouch, effects_bytes
from cluster.coherence.messages import Ack, Fence, Outcome, Position, Settle, Subscribe
from cluster.coherence.primary import Close, Send
from cluster.coherence.replicas import HEARD_LEASES
from cluster.coherence.takeover_report import bytes_of
from paceline.errors import NotSent
from tests.unit.cluster.coherence.rig import OTHER, K, L, LinkedReplica, Rig, Times, image

READ_S = Times().read_s
EFFECT = Effect(7, (IndexTouch("index", b"p"),))


# -- lapses ---------------------------------------------------------------------------------------


def test_each_lapse_orphans_the_writes_of_its_time() -> None:
    rig = Rig("b", lease_until=1.0)
    for lapse in (1.0, 3.0):
        fence = rig.begin(K)
        rig.exchange()
        assert rig.primary.may_send(fence, rig.now)
        assert not rig.primary.orphaned(fence, lapse - 0.01)
        assert rig.primary.orphaned(fence, lapse)
        rig.now = lapse + 0.5
        rig.primary.renewed(lapse + 2.0, rig.now)
        assert rig.primary.orphaned(fence, rig.now)  # renewed, but it lapsed in between
        rig.settle(fence, Outcome.SUCCESS)


def test_a_lease_that_was_given_up_counts_as_lapsed_at_once() -> None:
    rig = Rig("b")
    fence = rig.begin(K)
    rig.primary.lapsed(0.5)
    assert rig.guard.serve_until <= 0.5
    assert rig.primary.orphaned(fence, 0.5)
    rig.primary.renewed(1000.0, 0.6)
    assert rig.primary.orphaned(fence, 0.6)


def test_a_renewal_that_ends_earlier_shortens_no_lease() -> None:
    rig = Rig("b", lease_until=10.0)
    rig.primary.renewed(5.0, 1.0)
    assert rig.primary.holds(9.99)
    assert not rig.primary.holds(10.0)


def test_an_orphaned_write_that_nobody_sent_settles_unknown_all_the_same_as_a_success() -> None:
    """As what the records of a stream tell has happened, and is never sent from here."""
    rig = Rig("b", lease_until=1.0)
    fence = rig.begin(K)
    rig.now = 1.0
    rig.settle(fence, Outcome.SUCCESS, image(2))
    assert rig.guard.unknown_keys(1.0) == (K,)


def test_a_settle_that_is_no_success_carries_no_image() -> None:
    rig = Rig("b")
    fence = rig.begin(K)
    actions = rig.primary.settle(fence, Outcome.UNKNOWN, (image(2),), 0.0)
    settle = Settle(Position(1, 2), fence, Outcome.UNKNOWN, ())
    assert actions == [Send(rig["b"].link, settle)]


# -- the end --------------------------------------------------------------------------------------


def test_an_epoch_that_is_over_leaves_the_guard_to_what_comes_next() -> None:
    rig = Rig("b")
    former = rig.primary
    fence = rig.begin(K)
    former.close(0.0)
    assert not former.holds(0.0)
    rig.begin_epoch(2)
    position, generation = rig.guard.position, rig.guard.generation
    later = rig.begin(OTHER)
    former.renewed(5000.0, 0.1)
    former.lapsed(0.1)
    assert former.settle(fence, Outcome.SUCCESS, (image(2),), 0.1) == []
    assert former.tick(0.1) == []
    assert former.close(0.1) == []
    assert not former.holds(0.1)
    assert position == Position(2, 0)
    assert rig.guard.position == later
    assert rig.guard.generation == generation
    assert rig.guard.serve_until == 1000.0
    assert [open_fence.position for open_fence in rig.guard.open_fences()] == [later]


def test_what_a_link_still_brings_after_the_end_is_refused() -> None:
    rig = Rig("b")
    fence = rig.begin(K)
    link = rig["b"].link
    assert rig.primary.close(0.0) == [Close(link, "the epoch is over")]
    assert rig.primary.received(link, Ack(fence), 0.0) == [Close(link, "not subscribed")]


def test_no_write_begins_while_the_epoch_is_paused() -> None:
    rig = Rig("b")
    rig.primary.pause(True)
    with pytest.raises(NotSent):
        rig.begin(K)
    rig.primary.pause(False)
    rig.begin(K)


# -- links ----------------------------------------------------------------------------------------


def test_a_link_that_subscribes_twice_is_closed() -> None:
    rig = Rig("b")
    link = rig["b"].link
    again = Subscribe("b", "1", 1, None)
    assert rig.primary.subscribed(link, again, 0.0) == [Close(link, "subscribed twice")]
    assert link not in rig.primary.replicas.links


def test_a_node_that_comes_back_has_no_former_link_to_close() -> None:
    rig = Rig("b")
    rig["b"].lost()
    rig["b"].connect()
    assert rig.closed == {}


def test_an_acknowledgement_of_another_epoch_closes_the_link() -> None:
    rig = Rig("b", epoch=2)
    rig.begin(K)
    rig.act(rig.primary.received(rig["b"].link, Ack(Position(1, 1)), 0.0))
    assert "never sent" in rig.closed[rig["b"].link]


def test_an_older_acknowledgement_takes_nothing_back() -> None:
    rig = Rig("b")
    first, second = rig.begin(K), rig.begin(L)
    replica = rig.primary.replicas.of("b")
    assert replica is not None
    for ack in (second, first):
        rig.act(rig.primary.received(rig["b"].link, Ack(ack), 0.0))
        assert replica.acked == second.sequence


def test_on_a_new_link_nothing_from_before_its_welcome_is_acknowledged() -> None:
    rig = Rig("b")
    first = rig.begin(K)
    rig["b"].lost()
    rig.begin(L)
    rig["b"].connect()
    rig.act(rig.primary.received(rig["b"].link, Ack(first), 0.0))
    replica = rig.primary.replicas.of("b")
    assert replica is not None
    assert replica.acked == -1


def test_a_read_lease_is_what_is_left_of_the_primarys_own() -> None:
    rig = Rig("b", lease_until=10.0)
    rig.now = 9.5
    rig["b"].renew()
    replica = rig.primary.replicas.of("b")
    assert replica is not None
    assert replica.lease_until == 10.0
    assert rig["b"].guard.serve_until == 9.5 + 0.5 * 0.9


def test_a_shorter_read_lease_does_not_make_a_longer_one_forgotten() -> None:
    rig = Rig("b", lease_until=10.0)
    rig.now = 9.5
    rig["b"].renew()
    rig.primary.lapsed(9.6)
    rig.primary.renewed(9.8, 9.6)
    rig.now = 9.7
    rig["b"].renew()
    replica = rig.primary.replicas.of("b")
    assert replica is not None
    assert replica.lease_until == 10.0


def test_a_primary_whose_members_are_silent_is_cut_off() -> None:
    rig = Rig("bc")
    rig.now = 50.0
    rig["b"].renew()
    assert not rig.primary.cut_off(50.0 + HEARD_LEASES * READ_S - 0.01)
    assert rig.primary.cut_off(50.0 + HEARD_LEASES * READ_S)


def test_nodes_that_are_gone_for_good_are_forgotten_with_time() -> None:
    rig = Rig("b", connect=False)
    stranger = LinkedReplica(rig, "x")
    stranger.connect()
    stranger.exchange()
    stranger.lost()
    rig.tick(READ_S - 0.01)
    assert rig.primary.replicas.of("x") is not None
    rig.tick(READ_S)
    assert rig.primary.replicas.of("x") is None


# -- effects --------------------------------------------------------------------------------------


def test_a_fence_has_its_keys_and_effects_here_and_on_its_way() -> None:
    rig = Rig("b")
    keys = [K]
    fence, actions = rig.primary.begin(keys, 0.0, [EFFECT])
    message = Fence(fence, (K,), (EFFECT,))
    assert actions == [Send(rig["b"].link, message)]
    assert rig.guard.open_fences() == (message,)


def test_effects_of_open_writes_count_until_they_are_settled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    size = bytes_of([K]) + effects_bytes([EFFECT])
    monkeypatch.setattr(primary_module, "OPEN_BYTES_MAX", size + bytes_of([K]))
    rig = Rig("b")
    for _ in range(2):  # the second time after all is settled
        first, _ = rig.primary.begin((K,), 0.0, (EFFECT,))
        second, _ = rig.primary.begin((L,), 0.0, (EFFECT,))
        told = {fence.position: fence.effects for fence in rig.guard.open_fences()}
        assert told == {first: (EFFECT,), second: ()}
        with pytest.raises(NotSent):
            rig.primary.begin((OTHER,), 0.0)
        rig.settle(first, Outcome.REJECTED)
        rig.settle(second, Outcome.REJECTED)
