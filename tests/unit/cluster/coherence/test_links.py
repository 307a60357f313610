"""A replica's link, message by message: what it asks for and when, and what it takes for lost."""

from __future__ import annotations

import pytest

from cluster.coherence.guard import Guard
from cluster.coherence.messages import (
    Ack,
    Begin,
    Fence,
    LeaseHandBack,
    LeaseReply,
    LeaseRequest,
    Outcome,
    Position,
    PrimaryMessage,
    Settle,
    Subscribe,
    Welcome,
)
from cluster.coherence.replica import (
    REQUESTS_MAX,
    REQUESTS_PER_LEASE,
    SILENT_LEASES,
    Action,
    Replica,
    Resubscribe,
    ToPrimary,
)
from tests.unit.cluster.coherence.rig import K, L, Q, Times
from tests.unit.cluster.coherence.toys import ToyCaches

TIMES = Times(read_s=4.0, margin=0.25)
ASKS_EVERY_S = 3.0 / REQUESTS_PER_LEASE
SILENT_S = SILENT_LEASES * 4.0
NOW = 100.0


def new() -> tuple[Replica, Guard]:
    guard = Guard(ToyCaches(), Q)
    return Replica("b", "1", guard, TIMES), guard


def welcome(position: Position, *, reset: bool = False) -> Welcome:
    return Welcome(position, reset, (), (), False)


def sent(actions: list[Action]) -> list[object]:
    """The messages to the primary; ``Resubscribe`` for that action, whatever its reason."""
    return [a.message if isinstance(a, ToPrimary) else Resubscribe for a in actions]


def level(epoch: int = 1, sequence: int = 0, now: float = NOW) -> tuple[Replica, Guard]:
    """Welcomed at this position by a reset; its first lease request is under way."""
    replica, guard = new()
    replica.connect(epoch, now)
    replica.received(welcome(Position(epoch, sequence), reset=True), now)
    return replica, guard


# -- before a link --------------------------------------------------------------------------------


def test_a_node_without_a_link_asks_for_nothing_and_takes_nothing() -> None:
    replica, guard = new()
    assert replica.lag is None
    assert replica.tick(NOW) == []
    assert replica.received(welcome(Position(1, 0), reset=True), NOW) == []
    assert guard.position is None


def test_a_node_that_handed_its_lease_back_before_its_first_link_never_asks_for_one() -> None:
    replica, _ = new()
    assert replica.hand_back(NOW) == []
    assert sent(replica.connect(1, NOW)) == [Subscribe("b", "1", 1, None), LeaseHandBack()]
    ack = replica.received(welcome(Position(1, 0), reset=True), NOW)
    assert sent(ack) == [Ack(Position(1, 0))]
    for now in (NOW, NOW + 1.0, NOW + 100.0):
        assert replica.tick(now) == []


# -- asking for leases ----------------------------------------------------------------------------


def test_the_lease_is_asked_for_several_times_in_its_usable_length() -> None:
    replica, _ = level()
    assert replica.tick(NOW + ASKS_EVERY_S - 0.01) == []
    assert sent(replica.tick(NOW + ASKS_EVERY_S)) == [LeaseRequest(2)]
    assert replica.tick(NOW + 2 * ASKS_EVERY_S - 0.01) == []
    assert sent(replica.tick(NOW + 2 * ASKS_EVERY_S)) == [LeaseRequest(3)]


def test_no_lease_is_asked_for_on_a_new_link_before_its_welcome() -> None:
    replica, _ = level()
    replica.disconnected(NOW + 1.0)
    replica.connect(1, NOW + 5.0)
    assert replica.tick(NOW + 6.0) == []


def test_each_reply_counts_from_its_own_request() -> None:
    replica, guard = level()
    replica.tick(NOW + ASKS_EVERY_S)
    replica.received(LeaseReply(1, Position(1, 0), 4.0), NOW + 1.5)
    assert guard.serve_until == NOW + 3.0
    replica.received(LeaseReply(2, Position(1, 0), 4.0), NOW + 1.6)
    assert guard.serve_until == NOW + ASKS_EVERY_S + 3.0


def test_as_many_requests_are_remembered_as_may_be_unanswered() -> None:
    for answered, until in ((1, NOW + 3.0), (0, float("-inf"))):
        replica, guard = level()
        for _ in range(REQUESTS_MAX - answered):
            replica._ask(NOW + 0.5)
        replica.received(LeaseReply(1, Position(1, 0), 4.0), NOW + 1.0)
        assert guard.serve_until == until


def test_a_link_that_breaks_within_an_epoch_leaves_the_lease() -> None:
    """The primary waits for it in any case."""
    replica, guard = level()
    replica.received(LeaseReply(1, Position(1, 0), 4.0), NOW + 0.1)
    replica.disconnected(NOW + 1.0)
    replica.connect(1, NOW + 1.1)
    assert guard.serve_until == NOW + 3.0
    replica.disconnected(NOW + 1.2)
    replica.connect(2, NOW + 1.3)  # another epoch's primary does not know of it
    assert guard.serve_until < NOW


# -- silence --------------------------------------------------------------------------------------


def test_a_link_is_given_up_some_leases_after_the_last_answer() -> None:
    replica, _ = new()
    replica.connect(1, NOW)
    assert replica.tick(NOW + SILENT_S - 0.01) == []
    assert sent(replica.tick(NOW + SILENT_S)) == [Resubscribe]
    assert replica.tick(NOW + SILENT_S) == []  # it is no link any more


def test_a_welcome_and_each_reply_count_as_answers() -> None:
    replica, _ = new()
    replica.connect(1, NOW)
    replica.received(welcome(Position(1, 0), reset=True), NOW + 10.0)
    assert Resubscribe not in sent(replica.tick(NOW + 10.0 + SILENT_S - 0.01))
    request = sent(replica._ask(NOW + 20.0))[-1]
    assert isinstance(request, LeaseRequest)
    replica.received(LeaseReply(request.id, Position(1, 0), 0.0), NOW + 25.0)
    assert Resubscribe not in sent(replica.tick(NOW + 25.0 + SILENT_S - 0.01))
    assert sent(replica.tick(NOW + 25.0 + SILENT_S)) == [Resubscribe]


# -- acknowledgements -----------------------------------------------------------------------------


def test_a_welcome_among_others_is_acknowledged_and_the_lease_asked_for() -> None:
    replica, _ = new()
    replica.connect(1, NOW)
    both = [welcome(Position(1, 0), reset=True), Fence(Position(1, 1), (K,))]
    assert sent(replica.received_all(both, NOW)) == [Ack(Position(1, 1)), LeaseRequest(1)]


def test_only_fences_are_acknowledged_at_once() -> None:
    replica, _ = level()
    fence = Fence(Position(1, 1), (K,))
    settle = Settle(Position(1, 2), Position(1, 1), Outcome.REJECTED, ())
    assert sent(replica.received(fence, NOW)) == [Ack(Position(1, 1))]
    assert replica.received(settle, NOW) == []
    assert replica.received_all([], NOW) == []


def test_on_a_link_that_is_lost_nothing_is_acknowledged_any_more() -> None:
    replica, _ = level()
    messages: list[PrimaryMessage] = [Fence(Position(1, 1), (K,)), Fence(Position(1, 3), (L,))]
    assert sent(replica.received_all(messages, NOW)) == [Resubscribe]


# -- messages of other epochs, and out of order ---------------------------------------------------

OF_A_LATER_EPOCH: list[PrimaryMessage] = [
    welcome(Position(3, 0), reset=True),
    LeaseReply(1, Position(3, 0), 4.0),
    Begin(Position(3, 0), Position(2, 5), False),
    Fence(Position(3, 1), (K,)),
]


@pytest.mark.parametrize("message", OF_A_LATER_EPOCH)
@pytest.mark.parametrize("welcomed", [False, True])
def test_a_message_of_a_later_epoch_than_the_links_own_ends_it(
    message: PrimaryMessage, welcomed: bool
) -> None:
    replica, guard = level(2, 5)
    if not welcomed:
        replica.connect(2, NOW)
    assert sent(replica.received(message, NOW)) == [Resubscribe]
    assert guard.position == Position(2, 5)


def test_a_welcome_or_reply_of_an_earlier_epoch_is_none() -> None:
    replica, guard = level(1, 5)
    replica.connect(2, NOW)
    assert replica.received(welcome(Position(1, 5)), NOW) == []
    assert replica.received(welcome(Position(1, 9), reset=True), NOW) == []
    assert replica.received(LeaseReply(1, Position(1, 5), 4.0), NOW) == []
    assert replica.lag is None
    assert guard.position == Position(1, 5)


def test_what_overtakes_the_welcome_of_a_new_epoch_is_left_to_it() -> None:
    replica, guard = level(1, 5)
    replica.connect(2, NOW)
    assert replica.received(Fence(Position(2, 3), (K,)), NOW) == []
    assert guard.position == Position(1, 5)
    assert guard.open_fences() == ()
    assert sent(replica.received(welcome(Position(2, 3), reset=True), NOW))[0] == Ack(
        Position(2, 3)
    )


@pytest.mark.parametrize("gap", [Position(1, 7), Position(2, 3)])
def test_a_gap_before_the_welcome_is_noticed_within_an_epoch(gap: Position) -> None:
    replica, _ = level(1, 5)
    replica.connect(2, NOW)
    if gap.epoch == 2:
        assert replica.received(Begin(Position(2, 0), Position(1, 5), False), NOW) == []
    assert sent(replica.received(Fence(gap, (K,)), NOW)) == [Resubscribe]


def test_a_gap_after_the_welcome_is_noticed_also_where_epochs_meet() -> None:
    replica, _ = level(1, 5)
    assert sent(replica.received(Fence(Position(1, 7), (K,)), NOW)) == [Resubscribe]


# -- chains that lead nowhere ---------------------------------------------------------------------


def test_a_node_without_memory_follows_no_beginning() -> None:
    """Not even that of the first epoch: what it missed since is not in its caches."""
    replica, guard = new()
    replica.connect(1, NOW)
    assert sent(replica.received(Begin(Position(1, 0), None, False), NOW)) == [Resubscribe]
    assert guard.position is None


def test_a_node_that_was_reset_tells_again_where_it_is() -> None:
    replica, _ = level(1, 5)
    replica.connect(2, NOW)
    replica.received(Begin(Position(2, 0), Position(1, 9), False), NOW)  # it was at 5
    assert sent(replica.connect(2, NOW)) == [Subscribe("b", "1", 2, None)]
    replica.received(welcome(Position(2, 1), reset=True), NOW)
    replica.disconnected(NOW)
    assert sent(replica.connect(2, NOW)) == [Subscribe("b", "1", 2, Position(2, 1))]


def test_a_reset_cuts_the_log_off_from_what_was_before() -> None:
    replica, guard = level(1, 0)
    for sequence in (1, 2):
        replica.received(Fence(Position(1, sequence), (K,)), NOW)
    assert guard.log.since(Position(1, 1)) is not None
    replica.connect(1, NOW)
    replica.received(welcome(Position(1, 8), reset=True), NOW)
    replica.received(Fence(Position(1, 9), (K,)), NOW)
    assert guard.log.since(Position(1, 1)) is None
    assert guard.log.since(Position(1, 8)) == (Fence(Position(1, 9), (K,)),)
