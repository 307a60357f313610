"""Who is elected, and when a leader is none any more."""

from __future__ import annotations

import pytest

from cluster.consensus.core.configuration import AddLearner, Promote, Remove
from cluster.consensus.core.log import InvariantBroken
from cluster.consensus.core.messages import (
    AppendRequest,
    Entry,
    Kind,
    TimeoutNow,
    VoteReply,
    VoteRequest,
)
from cluster.consensus.core.raft import ProposalDropped
from tests.unit.cluster.consensus.core.by_hand import ByHand, told


class TestElections:
    def test_a_disk_that_hears_nothing_is_elected(self) -> None:
        log = ByHand("abc")
        assert log.elect("a").term == 1
        log.deliver()
        assert [log[name].leader for name in "abc"] == ["a", "a", "a"]

    def test_a_lone_voter_leads_at_once(self) -> None:
        log = ByHand("a")
        assert log["a"].deadline() <= log.now
        log.tick("a")
        assert log["a"].is_leader
        assert log["a"].commit == 1

    def test_asking_beforehand_changes_no_term(self) -> None:
        log = ByHand("abc")
        for _ in range(5):
            log.elapse(1.0)
            log.tick("a")
        assert log["a"].term == 0
        assert all(isinstance(m.body, VoteRequest) and m.body.pre for m in log.messages)

    def test_no_candidate_is_listened_to_while_there_is_a_leader(self) -> None:
        log = ByHand("abc")
        log.elect("a")
        log.deliver()
        log.elapse(0.4)
        wanted = VoteRequest(9, False, 99, 9)
        for name in "ab":
            log.step(told(log[name], "c", wanted, term=9))
            assert log[name].term == 1
        assert not log.messages
        assert log["a"].is_leader

    def test_a_candidate_is_listened_to_when_the_leader_is_silent(self) -> None:
        log = ByHand("abc")
        log.elect("a")
        log.deliver()
        log.elapse(0.6)
        log.step(told(log["b"], "c", VoteRequest(9, False, 99, 9), term=9))
        assert [m.body for m in log.messages] == [VoteReply(9, False, True)]

    def test_the_reset_of_the_leaders_connection_is_silence(self) -> None:
        log = ByHand("abc")
        log.elect("a")
        log.deliver()
        log.take("b", log["b"].unreachable("a", log.now))
        assert log["b"].deadline() <= log.now + 0.1
        log.take("c", log["c"].unreachable("a", log.now))
        log.elapse(0.1)
        log.tick("b")
        log.deliver("bc")
        assert log["b"].is_leader

    def test_who_has_learned_of_a_new_term_listens_to_its_candidates(self) -> None:
        log = ByHand("abc")
        log.elect("a")
        log.deliver()
        log.step(told(log["b"], "c", VoteReply(2, False, False), term=2))
        assert log["b"].leader is None
        log.step(told(log["b"], "c", VoteRequest(2, False, 1, 1)))
        assert [m.body for m in log.messages] == [VoteReply(2, False, True)]

    def test_elections_are_at_different_times(self) -> None:
        log = ByHand("abc", "d")
        for name in "ad":
            assert log[name].deadline() == pytest.approx(100.75)
        log.elapse(0.8)
        for name in "ad":
            log.tick(name)
            assert log[name].deadline() == pytest.approx(log.now + 0.75)

    def test_a_leaders_word_and_its_end_put_elections_off(self) -> None:
        log = ByHand("abc")
        log.elect("a")
        log.deliver()
        log.elapse(0.4)
        log.step(told(log["b"], "a", AppendRequest(1, 1, (), 1)))
        assert log["b"].deadline() == pytest.approx(log.now + 0.75)
        log.elapse(0.2)
        log.tick("a")
        assert not log["a"].is_leader
        assert log["a"].deadline() == pytest.approx(log.now + 0.75)

    def test_who_hears_a_leader_stands_no_longer(self) -> None:
        log = ByHand("abc")
        log.elect("a")
        log.deliver()
        log.elapse(1.0)
        log.tick("b")
        log.step(told(log["b"], "a", AppendRequest(1, 1, (), 1)))
        for voter in "ac":
            log.step(told(log["b"], voter, VoteReply(2, True, True)))
        assert (log["b"].term, log["b"].leader) == (1, "a")

    def test_two_leaders_of_a_term_are_noticed(self) -> None:
        log = ByHand("abc")
        log.elect("a")
        with pytest.raises(InvariantBroken, match="leads term 1"):
            log.step(told(log["a"], "b", AppendRequest(0, 0, (), 0)))

    def test_who_votes_gives_the_candidate_time(self) -> None:
        log = ByHand("abc")
        log.elapse(0.7)
        log.step(told(log["b"], "c", VoteRequest(1, False, 0, 0), term=1))
        assert log["b"].deadline() == pytest.approx(log.now + 0.75)

    def test_an_election_of_another_term_than_its_candidates_gets_no_vote(self) -> None:
        log = ByHand("abc")
        log.step(told(log["b"], "c", VoteRequest(9, False, 0, 0), term=1))
        assert [m.body for m in log.messages] == [VoteReply(9, False, False)]

    def test_a_leader_is_level_with_its_first_entry(self) -> None:
        assert ByHand("abc").elect("a").level_at == 1

    def test_who_stands_follows_nobody(self) -> None:
        log = ByHand("abc")
        log.elect("a")
        log.deliver()
        log.elapse(1.0)
        log.tick("b")
        assert log["b"].leader is None

    def test_nobody_would_vote_in_a_term_that_has_come(self) -> None:
        log = ByHand("abc")
        log.elect("a")
        log.deliver()
        log.elapse(1.0)
        for election, granted in ((1, False), (2, True)):
            log.messages.clear()
            log.step(told(log["b"], "c", VoteRequest(election, True, 1, 1)))
            assert [m.body for m in log.messages] == [VoteReply(election, True, granted)]

    def test_a_reset_puts_no_election_off(self) -> None:
        log = ByHand("abc")
        log.elect("a")
        log.deliver()
        before = log["b"].deadline()
        log.elapse(before - log.now - 0.01)
        log.take("b", log["b"].unreachable("a", log.now))
        assert log["b"].deadline() == before

    def test_the_reset_of_another_ones_connection_says_nothing(self) -> None:
        log = ByHand("abc")
        log.elect("a")
        log.deliver()
        before = log["b"].deadline()
        log.take("b", log["b"].unreachable("c", log.now))
        assert log["b"].deadline() == before

    def test_a_leader_that_hears_no_majority_steps_down(self) -> None:
        log = ByHand("abc")
        log.elect("a")
        log.deliver()
        log.elapse(0.49)
        log.tick("a")
        assert log["a"].is_leader
        log.elapse(0.02)
        log.tick("a")
        assert not log["a"].is_leader
        assert log["a"].leader is None

    def test_a_leader_that_withdraws_says_nothing_and_is_followed_by_another(self) -> None:
        """What it appended last is on its disk later than its successor's first entry is heard."""
        log = ByHand("abc")
        log.elect("a")
        log.deliver()
        log.sync = False
        log.propose("a", b"x")
        mark = log["a"].log.mark
        unsent, log.messages = log.messages, []
        log["a"].withdraw(log.now)
        log.sync = True
        assert not log["a"].is_leader
        assert log["a"].leader is None
        assert log["a"].term == 1
        assert not log.messages
        log.elect("b", "bc")
        log.deliver("bc")
        assert log["b"].commit == 2
        log.take("a", log["a"].synced(mark, log.now))
        log.messages = unsent
        log.deliver()
        assert log["a"].commit == 1
        assert [entry.term for entry in log["b"].log.after(0, 9, 9_999)] == [1, 2]
        for _ in range(2):
            log.elapse(0.1)
            log.tick("b")
            log.deliver()
        assert log["a"].leader == "b"
        assert log["a"].commit == log["b"].commit
        assert log.applied["a"] == log.applied["b"]

    def test_a_leader_that_hears_a_majority_stays(self) -> None:
        log = ByHand("abc")
        log.elect("a")
        for _ in range(30):
            log.elapse(0.1)
            log.tick("a")
            log.deliver("ab")
        assert log["a"].is_leader
        assert log["a"].term == 1

    def test_a_leader_is_woken_for_heartbeats_and_for_stepping_down(self) -> None:
        log = ByHand("abc")
        log.elect("a")
        began = log.now
        assert log["a"].deadline() == pytest.approx(began + 0.1)
        log.elapse(0.45)
        log.tick("a")
        assert log["a"].deadline() == pytest.approx(began + 0.5)
        log.elapse(0.06)
        log.tick("a")
        assert not log["a"].is_leader

    def test_two_answers_of_one_voter_are_one_vote(self) -> None:
        log = ByHand("abcde")
        log.elapse(1.0)
        log.tick("a")
        for _ in range(2):
            log.step(told(log["a"], "b", VoteReply(1, True, True)))
        assert log["a"].term == 0
        log.step(told(log["a"], "c", VoteReply(1, True, True)))
        assert log["a"].term == 1
        for _ in range(2):
            log.step(told(log["a"], "b", VoteReply(1, False, True)))
        assert not log["a"].is_leader

    def test_a_refusal_is_no_vote(self) -> None:
        log = ByHand("abc")
        log.elapse(1.0)
        log.tick("a")
        log.step(told(log["a"], "b", VoteReply(1, True, False)))
        assert log["a"].term == 0
        log.step(told(log["a"], "b", VoteReply(1, True, True)))
        log.step(told(log["a"], "b", VoteReply(1, False, False)))
        assert not log["a"].is_leader

    def test_an_answer_to_another_election_says_nothing(self) -> None:
        log = ByHand("abc")
        log.elapse(1.0)
        log.tick("a")
        log.step(told(log["a"], "b", VoteReply(1, True, True)))
        log.elapse(1.0)
        log.tick("a")
        log.step(told(log["a"], "b", VoteReply(2, True, True)))
        assert log["a"].term == 2
        for election, pre in ((1, False), (2, True), (3, False)):
            log.step(told(log["a"], "b", VoteReply(election, pre, True)))
            assert not log["a"].is_leader
        log.step(told(log["a"], "b", VoteReply(2, False, True)))
        assert log["a"].is_leader

    def test_who_led_an_earlier_term_is_told(self) -> None:
        log = ByHand("abc")
        log.elect("a")
        log.deliver()
        log.elect("b", "bc")
        log.messages.clear()
        log.step(told(log["b"], "a", AppendRequest(1, 1, (), 1), term=1))
        log.deliver()
        assert log["a"].term == log["b"].term == 2
        assert log["b"].is_leader
        assert not log["a"].is_leader

    def test_only_the_leaders_wish_to_hand_over_counts(self) -> None:
        log = ByHand("abc")
        log.elect("a")
        log.deliver()
        log.step(told(log["b"], "c", TimeoutNow()))
        assert log["b"].term == 1
        log.elect("c")
        log.deliver()
        log.elect("a")
        log.deliver()
        assert (log["b"].leader, log["b"].term) == ("a", 3)
        log.step(told(log["b"], "a", TimeoutNow(), term=1))
        assert log["b"].term == 3
        log.step(told(log["b"], "a", TimeoutNow()))
        assert log["b"].term == 4

    @pytest.mark.parametrize("who", ["learner", "removed"])
    def test_only_voters_obey_a_wish_to_lead(self, who: str) -> None:
        log = ByHand("abc", "d")
        log.elect("a")
        log.deliver()
        log.change("a", AddLearner("d"))
        log.deliver()
        if who == "removed":
            log.change("a", Promote("d"))
            log.deliver()
            log.change("a", Remove("d"))
            log.deliver("abc")
            after = log["a"].log.configuration.encode()
            last = log["d"].log.last
            entry = Entry(last + 1, 1, Kind.CONFIGURATION, after)
            log.step(told(log["d"], "a", AppendRequest(last, 1, (entry,), last)))
            log.messages.clear()
        log.step(told(log["d"], "a", TimeoutNow()))
        assert not [m for m in log.messages if isinstance(m.body, VoteRequest)]
        assert log["d"].term == 1


class TestHandingOver:
    def test_the_leadership_moves_at_once(self) -> None:
        log = ByHand("abc")
        log.elect("a")
        log.deliver()
        went, ready = log["a"].transfer("c", log.now)
        assert went
        log.take("a", ready)
        log.deliver()
        assert log["c"].is_leader
        assert log["c"].term == 2

    def test_the_other_one_is_asked_once(self) -> None:
        log = ByHand("abc")
        log.elect("a")
        log.deliver()
        log.take("a", log["a"].transfer("c", log.now)[1])
        log.elapse(0.1)
        log.tick("a")
        assert len([m for m in log.messages if isinstance(m.body, TimeoutNow)]) == 1

    def test_what_is_proposed_meanwhile_is_refused(self) -> None:
        log = ByHand("abc")
        log.elect("a")
        log.deliver()
        log.take("a", log["a"].transfer("c", log.now)[1])
        with pytest.raises(ProposalDropped, match="handed over"):
            log.propose("a", b"x")
        with pytest.raises(ProposalDropped, match="handed over"):
            log.change("a", Remove("b"))
        log.messages.clear()  # c never hears of it
        for _ in range(6):
            log.elapse(0.1)
            log.tick("a")
            log.deliver("ab")
        log.propose("a", b"x")

    def test_it_waits_until_the_other_one_is_level(self) -> None:
        log = ByHand("abc")
        log.elect("a")
        log.deliver()
        log.propose("a", b"x")
        log.take("a", log["a"].transfer("c", log.now)[1])
        assert not [m for m in log.messages if isinstance(m.body, TimeoutNow)]
        log.deliver()
        assert log["c"].is_leader

    def test_by_itself_it_goes_to_one_that_answers(self) -> None:
        log = ByHand("abc")
        log.elect("a")
        log.deliver()
        for _ in range(6):
            log.elapse(0.1)
            log.tick("a")
            log.deliver("ab")
        log.take("a", log["a"].transfer(None, log.now)[1])
        log.deliver("ab")
        assert log["b"].is_leader

    def test_one_that_has_not_answered_is_not_waited_for(self) -> None:
        """The leader before is mostly dead; asking it would hold up all proposals meanwhile."""
        log = ByHand("abc")
        log.elect("a")
        log.deliver("ab")
        log.messages.clear()
        assert not log["a"].transfer("c", log.now)[0]
        log.propose("a", b"x")
        log.deliver("ab")
        for _ in range(6):
            log.elapse(0.1)
            log.tick("a")
            log.deliver("ac")
        assert log["a"].transfer("c", log.now)[0]
        for _ in range(6):
            log.elapse(0.1)
            log.tick("a")
            log.deliver("ab")
        assert not log["a"].transfer("c", log.now)[0]  # it answered once, but does not any more

    def test_only_a_voter_can_lead(self) -> None:
        log = ByHand("abc", "d")
        log.elect("a")
        log.deliver()
        log.change("a", AddLearner("d"))
        log.deliver()
        for target in ("a", "d", "nobody"):
            assert not log["a"].transfer(target, log.now)[0]
        assert log["a"].transfer(None, log.now)[0]
