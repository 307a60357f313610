"""What a primary knows of its replicas: who holds which fences, and whose lease may be alive."""

from cluster.coherence.replicas import HEARD_LEASES, MARKS_PER_LEASE, ReplicaRecord, Replicas
from tests.unit.cluster.coherence.rig import K, Rig, Times

READ_S = Times().read_s


def replicas(members: str = "abc", former: Replicas | None = None) -> Replicas:
    return Replicas("a", frozenset(members), Times(), former)


def linked(all_of_them: Replicas, name: str, link: int, incarnation: str = "1") -> ReplicaRecord:
    """A replica whose Welcome, at sequence 0, is acknowledged."""
    assert all_of_them.link(link, name, incarnation, 0)
    replica = all_of_them.links[link]
    replica.acked = 0
    return replica


# -- majorities -----------------------------------------------------------------------------------


def test_a_majority_is_one_of_all_members_of_the_epoch_not_of_those_that_have_subscribed() -> None:
    rig = Rig("bcde", connect=False)
    fence = rig.begin(K)
    rig["b"].connect()
    rig["b"].exchange()
    assert not rig.ready  # two of five hold it, if all of those that have subscribed
    rig["c"].connect()
    rig["c"].exchange()
    assert rig.ready == [fence]


def test_nothing_is_held_while_too_few_members_have_subscribed() -> None:
    some = replicas("abcde")
    assert some.held(5, 0.0) == -1
    linked(some, "b", 1).acked = 5
    assert some.held(5, 0.0) == -1
    linked(some, "c", 2).acked = 3
    assert some.held(5, 0.0) == 3


def test_on_a_new_link_nothing_counts_as_held_before_its_welcome_is_acknowledged() -> None:
    some = replicas()
    linked(some, "b", 1).acked = 5
    assert some.held(5, 0.0) == 5
    some.unlink(1, 0.0)
    assert some.held(5, 0.0) == 5  # a member holds its fences without a link, too
    assert some.link(2, "b", "1", 7)
    assert some.held(5, 0.0) == -1


# -- read leases ----------------------------------------------------------------------------------


def test_who_may_serve_must_hold_the_fence_until_the_instant_at_which_its_lease_ends() -> None:
    some = replicas()
    linked(some, "b", 1).acked = 5
    late = linked(some, "x", 2)  # no member
    late.acked, late.lease_until = 4, 1.0
    assert some.held(5, 0.99) == 4
    assert some.leases_live(0.99)
    assert some.held(5, 1.0) == 5
    assert not some.leases_live(1.0)


def test_the_slowest_of_those_who_may_serve_counts() -> None:
    some = replicas()
    linked(some, "b", 1).acked = 5
    for link, (name, acked) in enumerate((("x", 4), ("y", 2), ("z", 3)), 2):
        replica = linked(some, name, link)
        replica.acked, replica.lease_until = acked, 1.0
    assert some.held(5, 0.5) == 2


def test_the_lease_of_a_process_that_was_replaced_is_waited_for() -> None:
    some = replicas()
    linked(some, "b", 1).lease_until = 1.0
    linked(some, "b", 2, incarnation="2").acked = 5
    assert some.held(5, 0.99) == -1
    assert some.leases_live(0.99)
    some.tick(0.99)
    assert some.held(5, 0.99) == -1
    assert some.held(5, 1.0) == 5
    assert not some.leases_live(1.0)
    some.tick(1.0)


def test_the_longest_of_several_such_leases_counts() -> None:
    some = replicas()
    linked(some, "b", 1).lease_until = 3.0
    linked(some, "b", 2, incarnation="2").lease_until = 1.0
    linked(some, "b", 3, incarnation="3").acked = 5
    assert some.held(5, 2.9) == -1
    assert some.held(5, 3.0) == 5


def test_leases_of_the_epoch_before_are_waited_for_each_until_its_end() -> None:
    before = replicas()
    linked(before, "b", 1).lease_until = 1.0
    linked(before, "c", 2).lease_until = 2.0
    some = replicas(former=before)
    for name, link in (("x", 1), ("b", 2), ("c", 3)):
        linked(some, name, link, incarnation="new").acked = 5
    assert some.held(5, 1.5) == -1
    assert some.leases_live(1.5)
    some.tick(1.5)
    assert some.held(5, 1.99) == -1
    assert some.held(5, 2.0) == 5
    assert not some.leases_live(2.0)
    some.tick(2.0)


def test_a_process_that_subscribes_uses_the_lease_of_the_epoch_before_no_more() -> None:
    before = replicas()
    linked(before, "b", 1).lease_until = 1.0
    some = replicas(former=before)
    linked(some, "b", 1).acked = 5
    assert some.held(5, 0.0) == 5
    assert not some.leases_live(0.0)


def test_leases_of_replaced_processes_and_of_earlier_epochs_go_on_through_epochs() -> None:
    first = replicas()
    linked(first, "b", 1).lease_until = 5.0
    linked(first, "b", 2, incarnation="2")  # the former process may serve yet
    linked(first, "c", 3).lease_until = 4.0
    second = replicas(former=first)
    third = replicas(former=second)
    for link, name in enumerate("bcx", 1):
        linked(third, name, link, incarnation="3").acked = 9
    assert third.held(9, 3.99) == -1
    assert third.held(9, 4.99) == -1
    assert third.held(9, 5.0) == 9


def test_a_replaced_process_of_an_epoch_hides_none_of_the_epochs_before() -> None:
    first = replicas()
    linked(first, "b", 1).lease_until = 5.0
    linked(first, "b", 2, incarnation="2")
    second = replicas(former=first)
    linked(second, "c", 1).lease_until = 2.0
    linked(second, "c", 2, incarnation="2")
    third = replicas(former=second)
    for link, name in enumerate("bcx", 1):
        linked(third, name, link, incarnation="3").acked = 9
    assert third.held(9, 4.99) == -1
    assert third.held(9, 5.0) == 9


def test_leases_of_the_epoch_before_that_are_over_take_no_memory() -> None:
    before = replicas()
    linked(before, "b", 1).lease_until = 1.0
    some = replicas(former=before)
    some.tick(0.99)
    assert some._former
    some.tick(1.0)
    assert not some._former


def test_a_link_that_is_not_there_may_end() -> None:
    """As when the epoch has ended before it."""
    replicas().unlink(1, 0.0)


def test_a_lease_that_is_over_is_not_passed_on() -> None:
    before = replicas()
    linked(before, "b", 1).lease_until = 1.0
    before.tick(1.0)
    assert not replicas(former=before).leases_live(0.5)


def test_a_fence_waits_for_each_lease_whose_holder_has_not_acknowledged_it() -> None:
    some = replicas()
    for link, (name, acked, until) in enumerate(
        (("b", 5, 1.0), ("c", 4, 3.0), ("x", 3, 2.0), ("y", 0, float("-inf"))), 1
    ):
        replica = linked(some, name, link)
        replica.acked, replica.lease_until = acked, until
    assert some.held(5, 1.99) == 3
    assert some.held(5, 2.0) == 4
    assert some.held(5, 2.99) == 4
    assert some.held(5, 3.0) == 5


# -- what is remembered ---------------------------------------------------------------------------


def test_a_node_that_is_no_member_is_remembered_while_it_is_linked_or_may_serve() -> None:
    some = replicas()
    linked(some, "x", 1).lease_until = 1.0
    some.tick(1.0)
    assert some.of("x") is not None  # linked
    replica = some.links[1]
    replica.lease_until = 3.0
    some.unlink(1, 2.0)
    assert some.of("x") is not None  # may serve
    some.tick(2.99)
    assert some.of("x") is not None
    some.tick(3.0)
    assert some.of("x") is None


def test_a_node_that_is_no_member_and_has_no_lease_is_forgotten_with_its_link() -> None:
    some = replicas()
    linked(some, "x", 1).lease_until = 1.0
    some.unlink(1, 1.0)
    assert some.of("x") is None


def test_a_member_is_never_forgotten() -> None:
    some = replicas()
    linked(some, "b", 1).acked = 5
    some.unlink(1, 0.0)
    some.tick(10.0)
    assert some.held(5, 10.0) == 5


# -- replicas that hang ---------------------------------------------------------------------------


def test_the_last_of_fences_that_were_sent_together_has_to_be_acknowledged_in_time() -> None:
    some = replicas()
    b = linked(some, "b", 1)
    for sequence in (1, 2, 3):
        some.fenced(sequence, sequence * 0.04)
    b.acked = 2
    assert some.may_lease(b, READ_S + 0.03)
    assert not some.may_lease(b, READ_S + 0.04)
    b.acked = 3
    assert some.may_lease(b, READ_S + 0.04)


def test_fences_that_were_not_sent_together_are_told_apart() -> None:
    some = replicas()
    b = linked(some, "b", 1)
    some.fenced(1, 0.0)
    some.fenced(2, READ_S / MARKS_PER_LEASE)
    b.acked = 1
    assert some.may_lease(b, READ_S)
    assert not some.may_lease(b, READ_S + READ_S / MARKS_PER_LEASE)


def test_how_old_fences_are_is_remembered_no_longer_than_it_matters() -> None:
    some = replicas()
    for sequence in range(1, 5_000):
        some.fenced(sequence, sequence * 0.01)
    assert len(some._marks) <= MARKS_PER_LEASE + 2


def test_no_lease_before_the_welcome_is_acknowledged() -> None:
    some = replicas()
    assert some.link(1, "b", "1", 4)
    b = some.links[1]
    assert not some.may_lease(b, 0.0)
    b.acked = 3
    assert not some.may_lease(b, 0.0)
    b.acked = 4
    assert some.may_lease(b, 0.0)


# -- cut off --------------------------------------------------------------------------------------


def test_enough_members_are_linked_if_they_were_heard_of_lately() -> None:
    some = replicas("abcde")
    now = 100.0
    silent = now - HEARD_LEASES * READ_S
    b, c, x = (linked(some, name, link) for link, name in enumerate("bcx", 1))
    b.heard_at = c.heard_at = x.heard_at = now
    assert some.majority_linked(now)
    c.heard_at = silent
    assert not some.majority_linked(now)  # x is no member
    c.heard_at = silent + 0.01
    assert some.majority_linked(now)
    linked(some, "d", 9).heard_at = now
    assert some.majority_linked(now)  # more than enough


def test_how_long_a_member_may_be_silent_depends_on_the_length_of_read_leases() -> None:
    some = Replicas("a", frozenset("abc"), Times(read_s=4.0))
    linked(some, "b", 1).heard_at = 100.0
    assert some.majority_linked(100.0 + HEARD_LEASES * 4.0 - 0.01)
    assert not some.majority_linked(100.0 + HEARD_LEASES * 4.0)
