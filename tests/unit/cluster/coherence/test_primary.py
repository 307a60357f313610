"""When a write may go out, and how it ends."""

import pytest

from cluster.coherence import primary as primary_module
from cluster.coherence.effects import Effect, IndexTouch, effects_bytes
from cluster.coherence.messages import Ack, Fence, Outcome, Position, Settle, Subscribe
from cluster.coherence.primary import Close, Send
from cluster.coherence.replicas import REPLICAS_MAX
from cluster.coherence.takeover_report import TAIL_BYTES_MAX, UNKNOWN_BYTES_MAX, bytes_of
from paceline.errors import NotSent
from tests.unit.cluster.coherence.rig import OTHER, K, L, Q, Rig, image


def acknowledge(rig: Rig, names: str) -> None:
    for name in names:
        rig[name].deliver_down()
        rig[name].deliver_up()


def without_leases(rig: Rig) -> Rig:
    """All read leases have run out; nobody has asked again."""
    rig.tick(2.0)
    for node in rig.nodes.values():
        node.up.clear()
        node.down.clear()
    return rig


@pytest.mark.parametrize(
    ("replicas", "acks"), [("", 0), ("b", 0), ("bc", 1), ("bcd", 2), ("bcde", 2), ("bcdefg", 3)]
)
def test_a_write_waits_until_more_than_half_of_the_members_hold_its_fence(
    replicas: str, acks: int
) -> None:
    rig = without_leases(Rig(replicas))
    fence = rig.begin(K)
    for name in replicas[:acks]:
        assert rig.ready == []
        assert not rig.primary.may_send(fence, rig.now)
        acknowledge(rig, name)
    assert rig.ready == [fence]
    assert rig.primary.may_send(fence, rig.now)


def test_with_two_members_nobody_else_need_hold_the_fence() -> None:
    rig = Rig("b", connect=False)
    fence = rig.begin(K)
    assert rig.ready == [fence]


def test_a_replica_that_is_no_member_does_not_count_for_the_majority() -> None:
    rig = without_leases(Rig("bcx", members="abc"))
    fence = rig.begin(K)
    acknowledge(rig, "x")
    assert rig.ready == []
    acknowledge(rig, "b")
    assert rig.ready == [fence]


def test_the_read_lease_of_a_replica_that_is_no_member_must_be_waited_for() -> None:
    rig = Rig("bcx", members="abc")
    rig.begin(K)
    acknowledge(rig, "bc")
    assert rig.ready == []
    acknowledge(rig, "x")
    assert len(rig.ready) == 1


def test_a_primary_that_is_no_member_does_not_count_itself() -> None:
    rig = without_leases(Rig("bcd", members="bcd"))
    rig.begin(K)
    acknowledge(rig, "b")
    assert rig.ready == []
    acknowledge(rig, "c")
    assert len(rig.ready) == 1


def test_every_live_read_lease_has_acknowledged_the_fence_before_the_write_goes_out() -> None:
    rig = Rig("bc")
    fence = rig.begin(K)
    acknowledge(rig, "b")
    assert rig.ready == []
    assert not rig.primary.may_send(fence, rig.now)
    acknowledge(rig, "c")
    assert rig.ready == [fence]


def test_or_that_lease_has_run_out() -> None:
    rig = Rig("bc")
    fence = rig.begin(K)
    acknowledge(rig, "b")
    rig.tick(0.999)
    assert rig.ready == []
    assert rig["c"].guard.serve_until <= 0.9
    rig.tick(1.0)
    assert rig.ready == [fence]


def test_ready_is_told_once() -> None:
    rig = Rig("bc")
    fence = rig.begin(K)
    rig.exchange()
    rig.tick(0.5)
    rig.act(rig.primary.received(rig["b"].link, Ack(fence), rig.now))
    assert rig.ready == [fence]


def test_a_fence_that_was_settled_before_it_was_ready_never_is() -> None:
    rig = Rig("bc")
    first, second = rig.begin(K), rig.begin(L)
    rig.settle(first, Outcome.REJECTED)
    rig.exchange()
    assert rig.ready == [second]
    assert not rig.primary.may_send(first, rig.now)


def test_fences_of_concurrent_writes_share_acknowledgements() -> None:
    rig = Rig("bc")
    fences = [rig.begin(K), rig.begin(L), rig.begin(OTHER)]
    for name in "bc":
        node = rig[name]
        node.react(node.replica.received_all(list(node.down), rig.now))
        node.down.clear()
        assert list(node.up) == [Ack(fences[-1])]
        node.deliver_up()
    assert rig.ready == fences


def test_the_primary_fences_itself_before_it_sends_the_fence() -> None:
    rig = Rig("bc")
    rig.caches.items[K] = 1
    rig.begin(K)
    assert K not in rig.caches.items
    assert rig.guard.begin_fill(K, rig.now) is None
    assert isinstance(rig["b"].down[-1], Fence)


def test_a_write_goes_out_only_under_a_valid_lease() -> None:
    rig = Rig("", lease_until=5.0)
    fence = rig.begin(K)
    assert rig.primary.may_send(fence, 4.999)
    assert not rig.primary.may_send(fence, 5.0)


def test_a_write_whose_lease_lapsed_meanwhile_goes_out_no_more() -> None:
    rig = Rig("", lease_until=5.0)
    fence = rig.begin(K)
    rig.primary.renewed(20.0, 6.0)
    assert rig.primary.holds(7.0)
    assert not rig.primary.may_send(fence, 7.0)


def test_a_write_goes_out_only_in_the_epoch_of_its_fence() -> None:
    rig = Rig("")
    fence = rig.begin(K)
    rig.primary.close(1.0)
    assert not rig.primary.may_send(fence, 1.0)
    assert rig.primary.settle(fence, Outcome.REJECTED, (), 1.0) == []


def test_no_write_begins_without_a_valid_lease() -> None:
    rig = Rig("", lease_until=5.0)
    with pytest.raises(NotSent, match="lease"):
        rig.primary.begin((K,), 5.0)
    rig.primary.renewed(9.0, 6.0)
    rig.primary.begin((K,), 6.0)
    rig.primary.close(6.0)
    with pytest.raises(NotSent):
        rig.primary.begin((K,), 6.0)


def test_an_orphaned_write_settles_unknown() -> None:
    rig = Rig("bc", lease_until=5.0)
    fence = rig.begin(K)
    rig.exchange()
    assert rig.primary.may_send(fence, 0.5)
    rig.primary.renewed(20.0, 6.0)
    rig.now = 7.0
    assert rig.primary.orphaned(fence, 7.0)
    rig.settle(fence, Outcome.SUCCESS, image(2))
    assert rig.caches.items == {}
    assert rig.guard.unknown_keys(7.0) == (K,)
    rig["b"].deliver_down()
    assert rig["b"].guard.unknown_keys(7.0) == (K,)
    assert rig["b"].caches.items == {}


def test_a_rejected_write_that_was_orphaned_after_it_was_sent_settles_unknown() -> None:
    rig = Rig("", lease_until=5.0)
    fence = rig.begin(K)
    assert rig.primary.may_send(fence, 1.0)
    rig.primary.lapsed(2.0)
    rig.primary.renewed(20.0, 2.0)
    rig.now = 3.0
    rig.settle(fence, Outcome.REJECTED)
    assert rig.guard.unknown_keys(3.0) == (K,)


def test_a_write_that_was_never_sent_settles_rejected_also_when_the_lease_lapsed() -> None:
    rig = Rig("", lease_until=5.0)
    rig.caches.items[K] = 1
    fence = rig.begin(K)
    rig.primary.renewed(20.0, 6.0)
    rig.now = 7.0
    rig.settle(fence, Outcome.REJECTED)
    assert rig.caches.items == {K: 1}
    assert rig.guard.unknown_keys(7.0) == ()


def test_a_write_with_an_unbroken_lease_is_not_orphaned() -> None:
    rig = Rig("", lease_until=5.0)
    fence = rig.begin(K)
    rig.primary.renewed(8.0, 4.9)
    assert not rig.primary.orphaned(fence, 6.0)
    assert rig.primary.orphaned(fence, 8.0)
    assert rig.primary.orphaned(Position(9, 9), 6.0)


def test_writes_open_when_the_epoch_ends_are_unknown_here() -> None:
    rig = Rig("bc")
    rig.caches.items[L] = 1
    fence = rig.begin(K)
    rig.act(rig.primary.close(1.0))
    assert rig.guard.unknown_keys(1.0) == (K,)
    assert rig.guard.serve_until < 1.0
    assert set(rig.closed) == {1, 2}
    assert rig.primary.orphaned(fence, 1.0)
    assert rig.primary.close(1.0) == []


def test_a_settle_carries_the_image_to_every_replica() -> None:
    rig = Rig("bc")
    rig.write(K, 2)
    for caches in (rig.caches, rig["b"].caches, rig["c"].caches):
        assert caches.items == {K: 2}


def test_images_of_overlapping_writes_are_not_even_sent() -> None:
    rig = Rig("bc")
    first, second = rig.begin(K), rig.begin(K)
    rig.exchange()
    for fence in (first, second):
        rig.settle(fence, Outcome.SUCCESS, image(2))
        settle = rig["b"].down[-1]
        assert isinstance(settle, Settle)
        assert settle.images == (None,)
    rig.exchange()
    assert rig.caches.items == rig["b"].caches.items == {}


def test_a_write_after_an_unknown_one_installs_nothing_anywhere() -> None:
    rig = Rig("bc")
    fence = rig.begin(K)
    rig.exchange()
    rig.settle(fence, Outcome.UNKNOWN)
    rig.exchange()
    rig.write(K, 3)
    assert rig.caches.items == rig["b"].caches.items == {}
    assert rig["b"].guard.begin_fill(K, rig.now) is None


def test_an_epoch_that_begins_with_reset_holds_every_key_for_unknown() -> None:
    rig = Rig("", epoch=2, reset=True)
    assert rig.guard.begin_fill(K, Q - 0.01) is None
    rig.write(K, 2)
    assert rig.caches.items == {}
    fill = rig.guard.begin_fill(K, Q)
    assert fill is not None
    assert fill.consistent


def test_an_epoch_that_begins_without_reset_on_a_new_node_holds_no_key_for_unknown() -> None:
    rig = Rig("")
    fill = rig.guard.begin_fill(K, 0.0)
    assert fill is not None


def test_a_change_of_role_raises_the_generation() -> None:
    rig = Rig("")
    fill = rig.guard.begin_fill(K, 0.0)
    assert fill is not None
    rig.begin_epoch(2)
    assert not rig.guard.end_fill(fill, 0.1)


def test_the_primarys_own_cache_is_under_its_primary_lease() -> None:
    rig = Rig("", lease_until=5.0)
    assert rig.guard.serve_until == 5.0
    rig.primary.renewed(7.0, 4.0)
    assert rig.guard.serve_until == 7.0
    rig.primary.lapsed(5.0)
    assert not rig.guard.hit_allowed(K, 5.0)


def test_an_epoch_begun_twice_gives_no_position_to_two_messages() -> None:
    rig = Rig("bc")
    rig.write(K, 2)
    b = rig["b"]
    old = b.replica.position
    b.lost()
    rig.primary.close(rig.now)
    rig.begin_epoch(1)
    assert old is not None
    assert rig.primary.position > old
    b.connect()
    b.exchange()
    assert b.replica.position == rig.primary.position
    assert b.caches.items == {}
    assert b.guard.all_unknown(rig.now)


def test_a_planned_release_waits_for_leases_and_writes() -> None:
    rig = Rig("bc")
    assert not rig.primary.drained(0.0)
    fence = rig.begin(K)
    rig.primary.draining(0.1)
    rig["b"].renew()
    rig.exchange()
    assert rig["b"].guard.serve_until == 0.9
    another = rig.begin(L)  # still possible while replicas serve: they could not be idle either
    rig.exchange()
    for each in (fence, another):
        rig.settle(each, Outcome.SUCCESS)
    assert not rig.primary.drained(0.999)
    assert rig.primary.drained(1.0)
    with pytest.raises(NotSent, match="ending its epoch"):
        rig.primary.begin((K,), 1.0)


def test_a_planned_release_is_quick_when_leases_are_handed_back() -> None:
    rig = Rig("bc")
    rig.primary.draining(0.1)
    for node in rig.nodes.values():
        assert not rig.primary.drained(0.1)
        node.react(node.replica.hand_back(0.1))
        node.exchange()
        assert not node.serving
    assert rig.primary.drained(0.1)


def test_a_planned_release_waits_for_an_open_write() -> None:
    rig = Rig("")
    fence = rig.begin(K)
    rig.primary.draining(0.1)
    assert not rig.primary.drained(0.1)
    rig.settle(fence, Outcome.SUCCESS)
    assert rig.primary.drained(0.1)


def test_keys_of_open_fences_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    rig = Rig("")
    fence = rig.begin(K)
    monkeypatch.setattr(primary_module, "OPEN_BYTES_MAX", 2 * bytes_of([K]))
    rig.begin(K)
    with pytest.raises(NotSent, match="too many"):
        rig.begin(K)
    assert rig.primary.open_writes == 2
    rig.settle(fence, Outcome.REJECTED)
    rig.begin(K)


def test_effects_that_do_not_fit_are_left_out_and_the_write_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    effects = (Effect(7, (IndexTouch("index", b"p", b"s"),)),)
    size = bytes_of([K]) + effects_bytes(effects)
    for limit, told in ((size, effects), (size - 1, ())):
        monkeypatch.setattr(primary_module, "OPEN_BYTES_MAX", limit)
        rig = Rig("bc")
        _, actions = rig.primary.begin((K,), rig.now, effects)
        fences = [
            action.message
            for action in actions
            if isinstance(action, Send) and isinstance(action.message, Fence)
        ]
        assert [fence.effects for fence in fences] == [told, told]


def test_nodes_are_bounded() -> None:
    rig = Rig("")
    closed = []
    for link in range(100):
        actions = rig.primary.subscribed(link, Subscribe(f"x{link}", "1", 1, None), 0.0)
        closed += [action.link for action in actions if isinstance(action, Close)]
    assert closed == list(range(REPLICAS_MAX, 100))
    rig.act(rig.primary.drop(0, "too far behind", 0.0))
    assert rig.closed == {0: "too far behind"}
    actions = rig.primary.subscribed(200, Subscribe("y", "1", 1, None), 0.0)
    assert not any(isinstance(action, Close) for action in actions)


def test_a_flush_of_an_epoch_that_is_over_is_told_to_nobody() -> None:
    rig = Rig("bc")
    rig.primary.close(rig.now)
    end = rig.guard.position
    assert rig.primary.flush(None, rig.now) == []
    assert rig.guard.position == end


def test_a_fence_that_is_not_open_is_settled_without_effect() -> None:
    rig = Rig("bc")
    fence = rig.write(K, 1)
    end = rig.primary.position
    assert rig.primary.settle(fence, Outcome.UNKNOWN, (), rig.now) == []
    assert rig.primary.position == end
    assert rig.caches.items == {K: 1}


@pytest.mark.parametrize("reset", [False, True])
def test_an_epoch_serves_no_longer_than_its_own_lease_whatever_lease_was_there(
    reset: bool,
) -> None:
    rig = Rig("", lease_until=50.0)
    rig.begin_epoch(2, reset=reset, lease_until=10.0)
    assert rig.guard.serve_until == 10.0
    rig.now = 20.0
    rig.begin_epoch(3, reset=reset, lease_until=15.0)  # granted too late to count
    assert rig.guard.serve_until < 20.0


def test_what_a_new_subscriber_is_told_fits_one_message() -> None:
    grpc_bytes_max = 4 * 1024 * 1024
    most = primary_module.OPEN_BYTES_MAX + UNKNOWN_BYTES_MAX + TAIL_BYTES_MAX
    assert most <= grpc_bytes_max - 256 * 1024


def test_a_primary_that_nobody_told_to_end_is_not_drained_however_idle_it_is() -> None:
    rig = Rig("")
    assert not rig.primary.drained(rig.now)
    rig.primary.draining(rig.now)
    assert rig.primary.drained(rig.now)
