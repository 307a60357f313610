"""Who owes a whole request, by when, and how many of one address may."""

from hypothesis import given
from hypothesis import strategies as st

from cluster.transport.expected import Expected, ExpectedLimits, networks
from cluster.transport.memory import FAIR_BYTES, MemoryBudget

LIMITS = ExpectedLimits(10.0, 30.0, 60.0, per_address_max=2)
STRANGER = "203.0.113.7"


def test_the_first_byte_and_the_first_request_have_their_own_deadlines() -> None:
    expected: Expected[str] = Expected(LIMITS)
    expected.came("silent", STRANGER, 0.0)
    expected.came("slow", "203.0.113.8", 0.0)
    expected.spoke("slow")
    assert expected.overdue(9.9) == []
    assert expected.overdue(10.0) == ["silent"]
    expected.settled("silent")
    assert expected.overdue(29.9) == []
    expected.spoke("slow")  # more bytes are no more time
    assert expected.overdue(30.0) == ["slow"]


def test_whoever_has_completed_a_request_owes_nothing_until_it_begins_another() -> None:
    expected: Expected[str] = Expected(LIMITS)
    expected.came("client", STRANGER, 0.0)
    expected.settled("client")
    assert expected.overdue(1e9) == []
    expected.began("client", 100.0)
    expected.began("client", 150.0)  # the deadline is the request's, not its last byte's
    assert expected.overdue(159.9) == []
    assert expected.overdue(160.0) == ["client"]
    assert expected.oldest_newcomer() is None


def test_newcomers_of_one_address_are_bounded() -> None:
    expected: Expected[int] = Expected(LIMITS)
    expected.came(1, STRANGER, 0.0)
    expected.came(2, STRANGER, 0.0)
    assert not expected.has_room(STRANGER)
    assert expected.has_room("203.0.113.8")
    expected.settled(1)
    assert expected.has_room(STRANGER)
    expected.began(1, 0.0)  # no newcomer any more
    assert expected.has_room(STRANGER)


def test_addresses_that_one_peer_has_count_as_one_and_exempt_ones_not_at_all() -> None:
    exempt = networks(["127.0.0.0/8", "::1", "192.0.2.5"])
    expected: Expected[int] = Expected(ExpectedLimits(per_address_max=1, exempt=exempt))
    expected.came(1, "2001:db8::1", 0.0)
    assert not expected.has_room("2001:db8::ffff:1")
    assert expected.has_room("2001:db8:0:1::1")
    expected.came(2, "::ffff:203.0.113.7", 0.0)
    assert not expected.has_room(STRANGER)
    for number, address in enumerate(("127.0.0.1", "::ffff:127.0.0.1", "::1", "192.0.2.5"), 10):
        expected.came(number, address, 0.0)
        assert expected.has_room(address)


def test_the_oldest_newcomer_makes_room() -> None:
    expected: Expected[str] = Expected(LIMITS)
    for name in ("first", "second", "third"):
        expected.came(name, STRANGER, 0.0)
    expected.settled("first")
    expected.began("first", 0.0)
    assert expected.oldest_newcomer() == "second"


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["came", "spoke", "began", "settled", "excused"]), st.integers(0, 5)
        )
    )
)
def test_nothing_is_left_of_those_who_are_gone(steps: list[tuple[str, int]]) -> None:
    expected: Expected[int] = Expected(LIMITS)
    present: set[int] = set()
    for now, (step, who) in enumerate(steps):
        match step:
            case "came" if who not in present:
                present.add(who)
                expected.came(who, STRANGER, float(now))
            case "spoke":
                expected.spoke(who)
            case "began" if who in present:
                expected.began(who, float(now))
            case "settled":
                present.discard(who)
                expected.settled(who)
            case "excused":
                expected.excused(who, float(now))
    for who in range(6):
        expected.settled(who)
    assert len(expected) == 0
    assert expected._of_address == {}


def test_the_budget_refuses_who_wants_more_than_a_fair_share_beyond_it() -> None:
    memory = MemoryBudget(1_000_000)
    assert memory.change(0, 900_000)
    assert memory.change(0, 100_000)
    assert memory.change(0, FAIR_BYTES)
    assert not memory.change(0, FAIR_BYTES + 1)
    memory.change(FAIR_BYTES + 1, 0)
    assert memory.has_room(FAIR_BYTES)
    assert not memory.has_room(FAIR_BYTES + 1)
    memory.change(900_000, 0)
    assert memory.has_room(100_000)
    assert memory.held_bytes == 100_000 + FAIR_BYTES
