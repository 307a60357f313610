"""Who may answer from its cache, until when, and what the primary remembers of it."""

from cluster.coherence.messages import Ack, LeaseReply, LeaseRequest, Outcome, Position
from cluster.coherence.primary import Send
from cluster.coherence.replica import SILENT_LEASES
from tests.unit.cluster.coherence.rig import K, L, LinkedReplica, Rig, Times


def test_a_lease_counts_from_when_the_replica_asked_less_the_margin() -> None:
    rig = Rig("bc", connect=False)
    b = rig["b"]
    b.connect()
    b.deliver_down()
    asked = rig.now
    rig.now = 0.3
    b.deliver_up()
    rig.now = 0.5
    b.deliver_down()
    assert b.guard.serve_until == asked + 0.9


def test_the_primary_counts_it_from_when_it_received_the_request() -> None:
    rig = Rig("bc", connect=False)
    b, c = rig["b"], rig["c"]
    c.connect()
    c.exchange()
    b.connect()
    b.deliver_down()
    rig.now = 0.3
    b.deliver_up()
    b.lost()
    rig.tick(1.05)
    rig.begin(K)
    c.exchange()
    rig.tick(1.29)
    assert rig.ready == []
    rig.tick(1.3)
    assert len(rig.ready) == 1


def test_a_lease_that_comes_too_late_is_none() -> None:
    rig = Rig("bc", connect=False)
    b = rig["b"]
    b.connect()
    b.deliver_down()
    b.deliver_up()
    rig.now = 0.95
    b.deliver_down()
    assert not b.serving


def test_a_read_lease_never_outlives_the_primarys_own() -> None:
    rig = Rig("bc", lease_until=0.5)
    assert rig["b"].guard.serve_until == 0.45
    rig.now = 0.5
    rig["b"].renew()
    assert rig["b"].guard.serve_until == 0.45


def test_no_lease_before_the_welcome_is_acknowledged() -> None:
    rig = Rig("bc", connect=False)
    b = rig["b"]
    b.connect()
    rig.act(rig.primary.received(b.link, LeaseRequest(1), 0.0))
    assert b.down[-1] == LeaseReply(1, Position(1, 0), 0.0)
    b.deliver_down(1)
    rig.act(rig.primary.received(b.link, Ack(Position(1, 0)), 0.0))
    rig.act(rig.primary.received(b.link, LeaseRequest(2), 0.0))
    assert b.down[-1] == LeaseReply(2, Position(1, 0), 1.0)


def test_an_acknowledgement_from_before_the_welcome_does_not_count() -> None:
    rig = Rig("bc")
    b = rig["b"]
    fence = rig.begin(K)
    b.lost()
    late = rig.begin(L)
    b.connect()
    rig.act(rig.primary.received(b.link, Ack(fence), 0.0))
    rig.act(rig.primary.received(b.link, LeaseRequest(9), 0.0))
    reply = b.down[-1]
    assert isinstance(reply, LeaseReply)
    assert reply.duration_s == 0.0
    b.exchange()
    assert b.replica.position == late


def test_a_reply_counts_only_when_its_position_is_applied() -> None:
    rig = Rig("bc")
    b = rig["b"]
    rig.now = 0.8
    rig.begin(K)
    b.down.clear()  # the last message is lost
    b.react(b.replica._ask(rig.now))
    b.deliver_up()
    until = b.guard.serve_until
    b.deliver_down()
    assert b.guard.serve_until == until
    assert b.resubscribe is not None


def test_a_reply_to_a_request_of_an_older_link_does_not_count() -> None:
    rig = Rig("bc")
    b = rig["b"]
    rig.now = 0.5
    b.react(b.replica._ask(rig.now))
    request = b.up[-1]
    assert isinstance(request, LeaseRequest)
    b.connect()
    b.exchange()
    until = b.guard.serve_until
    position = rig.primary.position
    b.react(b.replica.received(LeaseReply(request.id, position, 100.0), rig.now))
    assert b.guard.serve_until == until


def test_a_doubled_reply_counts_once() -> None:
    rig = Rig("bc")
    b = rig["b"]
    rig.now = 0.5
    b.react(b.replica._ask(rig.now))
    b.deliver_up()
    reply = b.down[-1]
    b.exchange()
    b.guard.lapse(rig.now)
    b.react(b.replica.received(reply, rig.now))
    assert not b.serving


def test_a_lease_is_remembered_through_a_stream_break_until_it_has_run_out() -> None:
    rig = Rig("bc")
    rig.now = 0.5
    rig["b"].renew()
    rig["b"].lost()
    rig.begin(K)
    rig["c"].exchange()
    rig.tick(1.499)
    assert rig.ready == []
    assert rig["b"].guard.serve_until <= 1.4
    rig.tick(1.5)
    assert len(rig.ready) == 1


def test_a_lease_is_remembered_through_a_reconnect() -> None:
    rig = Rig("bc")
    b = rig["b"]
    b.lost()
    b.connect()
    rig.begin(K)
    rig["c"].exchange()
    assert rig.ready == []
    b.exchange()
    assert len(rig.ready) == 1


def test_a_lease_is_remembered_when_its_holder_was_restarted() -> None:
    rig = Rig("bc")
    rig["b"].lost()
    rig.nodes["b"] = LinkedReplica(rig, "b", incarnation="2")
    rig["b"].connect()
    rig["b"].exchange()
    rig.begin(K)
    rig.exchange()
    rig.tick(0.999)
    assert rig.ready == []
    rig.tick(1.0)
    assert len(rig.ready) == 1


def test_a_lease_handed_back_is_not_waited_for() -> None:
    rig = Rig("bc")
    b = rig["b"]
    rig.begin(K)
    rig["c"].exchange()
    b.react(b.replica.hand_back(rig.now))
    assert not b.serving
    b.down.clear()
    b.deliver_up()
    assert len(rig.ready) == 1


def test_a_reply_in_flight_while_the_lease_was_handed_back_does_not_count() -> None:
    rig = Rig("bc")
    b = rig["b"]
    rig.now = 0.2
    b.react(b.replica._ask(rig.now))
    b.deliver_up()
    b.react(b.replica.hand_back(rig.now))
    b.exchange()
    assert not b.serving
    b.react(b.replica.tick(0.8))
    assert not b.up


def test_a_lease_that_was_handed_back_is_not_asked_for_on_later_links_either() -> None:
    rig = Rig("bc")
    b = rig["b"]
    b.react(b.replica.hand_back(rig.now))
    b.lost()  # and the message with it
    b.connect()
    b.exchange()
    for now in (0.3, 0.6, 0.9):
        rig.now = now
        b.react(b.replica.tick(now))
        assert not any(isinstance(message, LeaseRequest) for message in b.up)
        b.exchange()
        assert not b.serving
    fence = rig.begin(K)
    rig.exchange()
    assert rig.ready == [fence]  # it holds fences, and its lease is not waited for


def test_a_lease_that_was_lost_with_its_link_is_given_back_on_the_next_one() -> None:
    rig = Rig("bc")
    b = rig["b"]
    b.react(b.replica.hand_back(rig.now))
    b.lost()
    b.connect()
    b.deliver_up()  # its Welcome is not acknowledged yet
    fence = rig.begin(K)
    rig["c"].exchange()
    assert rig.ready == [fence]


def test_a_replica_that_leaves_a_fence_unacknowledged_for_about_a_lease_gets_none() -> None:
    rig = Rig("bc")
    b = rig["b"]
    rig.now = 0.1
    fence = rig.begin(K)
    rig["c"].exchange()
    for now in (0.4, 0.8):
        rig.now = now
        rig.act(rig.primary.received(b.link, LeaseRequest(int(now * 10)), now))
        assert isinstance(b.down[-1], LeaseReply)
        assert b.down[-1].duration_s == 1.0
    rig.now = 1.15
    rig.act(rig.primary.received(b.link, LeaseRequest(50), rig.now))
    assert isinstance(b.down[-1], LeaseReply)
    assert b.down[-1].duration_s == 0.0
    rig.tick(1.8)
    assert rig.ready == [fence]


def test_short_writes_do_not_hide_a_hung_replica() -> None:
    """Each write gives up before it is a lease old; the fences stay unacknowledged all the same."""
    rig = Rig("bc")
    b = rig["b"]
    granted = []
    for step in range(1, 40):
        rig.tick(step * 0.1)
        fence = rig.begin(K)
        rig["c"].exchange()
        rig.act(rig.primary.received(b.link, LeaseRequest(100 + step), rig.now))
        reply = b.down[-1]
        assert isinstance(reply, LeaseReply)
        granted.append(reply.duration_s > 0)
        if fence not in rig.ready:
            rig.settle(fence, Outcome.REJECTED)
    assert granted[0]
    assert not any(granted[12:])
    assert rig.ready


def test_a_replica_that_answers_again_gets_a_lease_again() -> None:
    rig = Rig("bc")
    b = rig["b"]
    rig.begin(K)
    rig.tick(3.0)
    b.exchange()
    b.renew()
    assert b.serving


def test_an_idle_replica_keeps_its_lease_for_ever() -> None:
    rig = Rig("bc")
    rig.write(K, 1)
    for step in range(1, 200):
        rig.tick(step * 0.1)
        for node in rig.nodes.values():
            node.react(node.replica.tick(rig.now))
            node.exchange()
            assert node.serving


def test_leases_are_asked_for_in_time() -> None:
    rig = Rig("bc")
    b = rig["b"]
    requests = 0
    for step in range(1, 2001):
        rig.now = step * 0.01
        assert b.serving
        b.react(b.replica.tick(rig.now))
        if b.up:
            requests += 1
            assert rig.now < b.guard.serve_until - 0.25, "no room for a second attempt"
        b.exchange()
    assert requests > 20


def test_a_lapsed_primary_gives_no_lease_and_gives_again_once_renewed() -> None:
    rig = Rig("bc", lease_until=2.0)
    rig.now = 2.5
    rig["b"].renew()
    assert not rig["b"].serving
    rig.primary.renewed(9.0, 2.5)
    rig["b"].renew()
    assert rig["b"].serving


def test_a_lease_of_an_older_epoch_ends_when_the_new_one_is_followed() -> None:
    rig = Rig("bc")
    b = rig["b"]
    assert b.serving
    rig.primary.close(0.1)
    rig.begin_epoch(2, reset=True)
    rig.now = 0.2
    b.connect()
    assert not b.serving


def test_requests_without_an_answer_are_forgotten() -> None:
    rig = Rig("bc")
    b = rig["b"]
    for step in range(1, 100):
        b.react(b.replica._ask(step * 0.01))
    assert len(b.replica._asked) <= 8


def test_a_link_that_stays_silent_is_given_up() -> None:
    rig = Rig("bc")
    b = rig["b"]
    for step in range(500):
        b.up.clear()
        b.react(b.replica.tick(step * 0.01))
        assert b.resubscribe is None
    b.react(b.replica.tick(5.0))
    assert b.resubscribe is not None


def test_a_lost_welcome_is_noticed() -> None:
    rig = Rig("bc", connect=False)
    b = rig["b"]
    b.connect()
    b.down.clear()
    rig.begin(K)
    b.exchange()
    assert b.replica.position is None
    b.react(b.replica.tick(SILENT_LEASES * Times().read_s))
    assert b.resubscribe is not None


def test_a_primary_that_gives_no_lease_says_so_with_a_duration_of_nothing() -> None:
    rig = Rig("bc", lease_until=2.0)
    rig.now = 2.5
    [answer] = rig.primary.received(rig["b"].link, LeaseRequest(99), rig.now)
    assert isinstance(answer, Send)
    assert answer.message == LeaseReply(99, rig.primary.position, 0.0)
    rig.primary.renewed(9.0, 2.5)
    rig.primary.draining(2.5)
    [answer] = rig.primary.received(rig["b"].link, LeaseRequest(100), rig.now)
    assert isinstance(answer, Send)
    assert answer.message == LeaseReply(100, rig.primary.position, 0.0)


def test_a_link_on_which_no_lease_is_asked_for_may_stay_silent() -> None:
    """A node that is about to stop goes on holding fences, and nothing has to be answered."""
    rig = Rig("bc")
    b = rig["b"]
    b.react(b.replica.hand_back(rig.now))
    b.exchange()
    b.react(b.replica.tick(100.0))
    assert b.resubscribe is None


def test_but_its_welcome_has_to_come_also_to_a_node_that_wants_no_lease() -> None:
    rig = Rig("bc", connect=False)
    b = rig["b"]
    b.replica.hand_back(rig.now)
    b.connect()
    b.down.clear()
    deadline = SILENT_LEASES * Times().read_s
    b.react(b.replica.tick(deadline - 0.01))
    assert b.resubscribe is None
    b.react(b.replica.tick(deadline))
    assert b.resubscribe is not None


def test_a_lease_does_not_count_before_the_rights_are_the_primarys() -> None:
    """Else somebody whose rights were taken away would be answered from this node's cache."""
    rig = Rig("bc")
    b = rig["b"]
    rig.guard.rights_revision = lambda: 7
    b.guard.rights_revision = lambda: 6
    before = b.guard.serve_until
    rig.now = 0.5
    b.renew()
    assert (b.guard.serve_until, b.replica.level_at) == (before, 0.0)
    b.guard.rights_revision = lambda: 8  # the primary need not have everything
    rig.now = 0.6
    b.renew()
    assert (b.guard.serve_until, b.replica.level_at) == (0.6 + 0.9, 0.6)


def test_a_refused_lease_says_nothing_of_what_the_cluster_knows() -> None:
    """Whoever gives none may itself not have heard of anything for long."""
    rig = Rig("bc")
    b = rig["b"]
    level_at = b.replica.level_at
    rig.primary.lapsed(rig.now)
    rig.now = 0.5
    b.renew()
    assert b.replica.level_at == level_at
