"""A disk that has lost entries which it had confirmed."""

from __future__ import annotations

from dataclasses import replace

from cluster.consensus.core.messages import (
    AppendReply,
    AppendRequest,
    Durable,
    HardState,
    Snapshot,
    VoteReply,
    VoteRequest,
)
from tests.unit.cluster.consensus.core.by_hand import ByHand, disk, told


class TestMending:
    """b has lost what it confirmed: of 1 to 5, entries 4 and 5."""

    def leader(self) -> ByHand:
        log = ByHand("abc")
        log.elect("a", "ab")
        log.messages.clear()
        log.propose("a", *[b"x"] * 4)
        a = log["a"]
        # The word of b that it has all five comes after b has lost two of them.
        log.step(told(a, "b", AppendReply(True, 3)))
        hard = HardState(1, "a", mending=True)
        begin = disk("abc", 1).snapshot
        entries = tuple(a.log.between(0, 3))
        log.start("b", Durable(hard, begin, entries), boot=2)
        log.messages.clear()
        return log

    def test_it_does_not_vote(self) -> None:
        log = self.leader()
        log.elapse(5)
        for pre in (True, False):
            log.step(told(log["b"], "c", VoteRequest(2, pre, 99, 1), term=2))
        assert [m.body for m in log.messages] == [VoteReply(2, pre, False) for pre in (True, False)]

    def test_it_does_not_stand(self) -> None:
        log = self.leader()
        log.elapse(5)
        log.tick("b")
        assert not log.messages

    def test_it_remembers_over_terms(self) -> None:
        log = self.leader()
        log.elapse(5)
        log.step(told(log["b"], "c", VoteRequest(7, False, 99, 6), term=7))
        assert log["b"].term == 7
        assert log["b"].is_mending
        assert log.writes["b"][-1] == HardState(7, None, mending=True)

    def test_it_counts_once_it_has_everything(self) -> None:
        log = self.leader()
        a = log["a"]
        before = a.commit
        log.elapse(0.1)
        log.tick("a")
        seen = []
        while log.messages:
            message = log.messages.pop(0)
            if {message.source, message.target} == {"a", "b"}:
                log.step(message)
                seen.append((log["b"].is_mending, a.commit > before))
        assert not log["b"].is_mending
        assert log["b"].log.last == a.log.last == a.commit
        assert (True, True) not in seen
        assert HardState(1, "a", mending=False) in log.writes["b"]

    def test_what_it_said_before_does_not_count(self) -> None:
        log = self.leader()
        a = log["a"]
        before = a.commit
        log.step(told(a, "b", AppendReply(True, 3, mending=True), boot=2))
        log.step(told(a, "b", AppendReply(True, 5), boot=1))
        log.messages.clear()
        log.propose("a", b"y")
        log.step(told(a, "c", AppendReply(True, 2)))
        assert a.commit == before

    def test_its_earlier_word_is_taken_back(self) -> None:
        """Of two entries that only the leader and it have, none is committed by that word."""
        log = ByHand("abcde")
        a = log.elect("a", "abc")
        log.messages.clear()
        log.propose("a", b"x", b"y")
        log.step(told(a, "b", AppendReply(True, 3)))
        log.step(told(a, "b", AppendReply(True, 1, mending=True), boot=2))
        log.step(told(a, "c", AppendReply(True, 3)))
        assert a.commit == 0 or a.commit < 3

    def test_the_leader_says_how_much_it_needs(self) -> None:
        log = self.leader()
        a = log["a"]
        log.step(told(a, "b", AppendReply(True, 3, mending=True), boot=2))
        requests = [m.body for m in log.messages if m.target == "b"]
        assert isinstance(requests[-1], AppendRequest)
        assert requests[-1].mend_to == a.log.last == 5
        log.step(told(log["b"], "a", replace(requests[-1], entries=requests[-1].entries[:1])))
        assert log["b"].is_mending
        log.step(told(log["b"], "a", requests[-1]))
        assert not log["b"].is_mending

    def test_once_whole_it_is_as_any_other(self) -> None:
        log = self.leader()
        a = log["a"]
        log.elapse(0.1)
        log.tick("a")
        log.step(told(a, "b", AppendReply(True, 3, mending=True), boot=2))
        assert not a.transfer("b", log.now)[0]
        log.deliver("ab")
        assert not log["b"].is_mending
        assert a.transfer("b", log.now)[0]

    def test_each_start_needs_all_of_its_time(self) -> None:
        log = self.leader()
        a = log["a"]
        log.step(told(a, "b", AppendReply(True, 3, mending=True), boot=2))
        log.propose("a", b"y", b"z")
        log.messages.clear()
        log.step(told(a, "b", AppendReply(True, 3, mending=True), boot=3))
        (request,) = [m.body for m in log.messages if m.target == "b"]
        assert isinstance(request, AppendRequest)
        assert request.mend_to == a.log.last == 7

    def test_what_it_knows_to_be_committed_is_there(self) -> None:
        begin = Snapshot(5, 1, disk("abc").snapshot.configuration, b"state")
        log = ByHand("abc", b=Durable(HardState(1, mending=True), begin))
        b = log["b"]
        log.step(told(b, "a", AppendRequest(3, 1, (), 5, mend_to=6)))
        assert [m.body for m in log.messages] == [AppendReply(True, 5, mending=True)]
        log.step(told(b, "a", AppendRequest(3, 1, (), 5, mend_to=5)))
        assert log.messages[-1].body == AppendReply(True, 5)
        assert not b.is_mending

    def test_a_leader_that_does_not_know_it_makes_nobody_whole(self) -> None:
        """Nor is anybody whole before that is on the disk."""
        log = self.leader()
        b = log["b"]
        log.writes["b"].clear()
        log.step(told(b, "a", AppendRequest(3, 1, (), 0)))
        log.step(told(b, "a", AppendRequest(9, 1, (), 0)))
        assert [m.body for m in log.messages] == [
            AppendReply(True, 3, mending=True),
            AppendReply(False, 3, 9, mending=True),
        ]
        log.step(told(b, "a", AppendRequest(3, 1, (), 0, mend_to=3)))
        assert log.writes["b"] == [HardState(1, "a", mending=False)]
