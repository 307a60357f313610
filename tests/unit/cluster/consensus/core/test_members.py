"""Changes of who takes part."""

from __future__ import annotations

from dataclasses import replace

import msgpack
import pytest

from cluster.consensus.core.configuration import (
    MEMBERS_MAX,
    AddLearner,
    Configuration,
    Promote,
    Remove,
    decode_configuration,
    needed_change,
)
from cluster.consensus.core.leadership import SPOKEN_TICKS
from cluster.consensus.core.messages import (
    AppendReply,
    VoteRequest,
    founded,
)
from cluster.consensus.core.raft import ProposalDropped
from tests.unit.cluster.consensus.core.by_hand import ByHand, told


class TestMembers:
    def test_one_change_at_a_time(self) -> None:
        log = ByHand("abc", "de")
        log.elect("a")
        log.deliver()
        log.change("a", AddLearner("d"))
        with pytest.raises(ProposalDropped, match="another change"):
            log.change("a", AddLearner("e"))
        log.deliver()
        assert log.change("a", AddLearner("d")) is None
        assert log.change("a", AddLearner("e")) is not None

    def test_no_change_before_an_entry_of_the_own_term_is_committed(self) -> None:
        """The fault that Ongaro found in single-server changes (raft-dev, July 2015)."""
        log = ByHand("abc", "d")
        log.elapse(1.0)
        log.tick("a")
        while not log["a"].is_leader:
            log.step(log.messages.pop(0))
        with pytest.raises(ProposalDropped, match="has not committed anything"):
            log.change("a", AddLearner("d"))
        log.deliver()
        assert log.change("a", AddLearner("d")) is not None

    def test_a_configuration_goes_with_its_entry(self) -> None:
        log = ByHand("abc", "d")
        log.elect("a")
        log.deliver()
        log.change("a", Remove("c"))
        assert log["a"].log.configuration == Configuration(("a", "b"))
        log.messages.clear()
        log.elect("b", "bc")
        log.elapse(0.1)
        log.tick("b")
        log.deliver()
        assert log["a"].log.configuration == Configuration(("a", "b", "c"))

    def test_a_learner_does_not_count(self) -> None:
        log = ByHand("abc", "de")
        log.elect("a")
        log.deliver()
        for name in "de":
            log.change("a", AddLearner(name))
            log.deliver()
        log.propose("a", b"x")
        log.messages.clear()
        before = log["a"].commit
        for name in "de":
            log.step(told(log["a"], name, AppendReply(True, log["a"].log.last)))
        assert log["a"].commit == before
        log.step(told(log["a"], "b", AppendReply(True, log["a"].log.last)))
        assert log["a"].commit == before + 1

    def test_a_learner_is_promoted_once_it_is_level(self) -> None:
        log = ByHand("abc", "d")
        log.elect("a")
        log.deliver()
        log.change("a", AddLearner("d"))
        log.deliver("abc")
        with pytest.raises(ProposalDropped, match="not level"):
            log.change("a", Promote("d"))
        log.elapse(0.1)
        log.tick("a")
        log.deliver()
        log.change("a", Promote("d"))
        assert log["a"].log.configuration == Configuration(("a", "b", "c", "d"))

    def test_a_learner_that_is_silent_is_not_promoted(self) -> None:
        log = ByHand("a", "d")
        log.tick("a")
        log.change("a", AddLearner("d"))
        log.deliver()
        log.elapse(1.0)
        with pytest.raises(ProposalDropped, match="not level"):
            log.change("a", Promote("d"))

    def test_one_becomes_two(self) -> None:
        log = ByHand("a", "d")
        log.tick("a")
        log.change("a", AddLearner("d"))
        log.deliver()
        log.change("a", Promote("d"))
        assert log["a"].commit == 2  # of three: it takes both now
        log.deliver()
        assert log["a"].commit == log["d"].commit == 3

    def test_a_leader_does_not_remove_itself(self) -> None:
        log = ByHand("abc")
        log.elect("a")
        log.deliver()
        with pytest.raises(ProposalDropped, match="hand the leadership over first"):
            log.change("a", Remove("a"))

    def test_the_last_voter_stays(self) -> None:
        log = ByHand("ab")
        log.elect("a")
        log.deliver()
        log.change("a", Remove("b"))
        assert log["a"].commit == 2  # one voter is its own majority
        with pytest.raises(ProposalDropped, match="the last voter cannot be removed"):
            log.change("a", Remove("a"))

    def test_there_are_never_more_members_than_a_disk_takes_back(self) -> None:
        log = ByHand("a")
        log.tick("a")
        for n in range(MEMBERS_MAX - 1):
            log.change("a", AddLearner(f"learner {n}"))
        with pytest.raises(ProposalDropped, match="64 members already"):
            log.change("a", AddLearner("one more"))
        log.start("a", log.on_disk("a", founded("a")), boot=2)

    def test_the_last_majority_that_answers_stays(self) -> None:
        """c is down: without b, nothing could be committed before it is back, not even that b
        is taken in again."""
        log = ByHand("abc")
        log.elect("a")
        log.deliver()
        for _ in range(6):
            log.elapse(0.1)
            log.tick("a")
            log.deliver("ab")
        with pytest.raises(ProposalDropped, match="too few voters answer"):
            log.change("a", Remove("b"))
        log.change("a", Remove("c"))
        log.deliver("ab")
        assert log["a"].commit == log["a"].log.last

    def test_one_that_mends_is_none_that_answers(self) -> None:
        log = ByHand("abc")
        a = log.elect("a")
        log.deliver()
        log.step(told(a, "c", AppendReply(True, 0, mending=True), boot=2))
        with pytest.raises(ProposalDropped, match="too few voters answer"):
            log.change("a", Remove("b"))

    def test_who_was_removed_is_sent_nothing_more(self) -> None:
        log = ByHand("abc")
        log.elect("a")
        log.deliver()
        log.change("a", Remove("c"))
        log.deliver("ab")
        log.ticks("a", SPOKEN_TICKS)
        assert {m.target for m in log.messages} == {"b"}

    def test_a_learner_may_go_whoever_answers(self) -> None:
        log = ByHand("abc", "d")
        log.elect("a")
        log.deliver()
        log.change("a", AddLearner("d"))
        log.deliver()
        log.elapse(10)
        assert log.change("a", Remove("d")) is not None

    def test_what_it_said_before_it_was_removed_does_not_count(self) -> None:
        log = ByHand("abc", "d")
        a = log.elect("a")
        log.deliver()
        log.change("a", AddLearner("d"))
        log.deliver()
        log.step(told(a, "d", AppendReply(True, 1, mending=True), boot=2))
        log.change("a", Remove("d"))
        log.deliver("abc")
        log.change("a", AddLearner("d"))
        log.deliver("abc")
        log.step(told(a, "d", AppendReply(True, a.log.last), boot=1))
        with pytest.raises(ProposalDropped, match="not level"):
            log.change("a", Promote("d"))

    def test_whose_message_is_for_the_disk_before_is_not_heard(self) -> None:
        log = ByHand("abc")
        message = told(log["a"], "b", VoteRequest(9, False, 9, 9), term=9)
        log.take("a", log["a"].step(replace(message, target="a, before it was emptied"), log.now))
        assert log["a"].term == 0
        assert not log.messages


@pytest.mark.parametrize(
    ("name", "present", "change"),
    [
        ("v", True, None),
        ("l", True, None),
        ("n", True, AddLearner("n")),
        ("v", False, Remove("v")),
        ("l", False, Remove("l")),
        ("n", False, None),
    ],
)
def test_what_is_left_to_do(name: str, present: bool, change: object) -> None:
    assert needed_change(Configuration(("v",), ("l",)), name, present) == change


@pytest.mark.parametrize(
    "voters",
    [("b", "a"), ("a", "a"), tuple(f"{n:03}" for n in range(MEMBERS_MAX + 1))],
)
def test_what_is_no_configuration_is_refused(voters: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match=r"sorted|members"):
        decode_configuration(msgpack.packb([list(voters), []]))


def test_nobody_is_a_voter_and_a_learner() -> None:
    with pytest.raises(ValueError, match="learner"):
        Configuration(("a", "b"), ("b",))


def test_who_is_no_learner_is_not_promoted() -> None:
    log = ByHand("abc")
    log.elect("a")
    log.deliver()
    with pytest.raises(ProposalDropped, match="no learner"):
        log.change("a", Promote("x"))
