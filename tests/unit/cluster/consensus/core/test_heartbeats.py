"""When a leader speaks to disks that lack nothing: heartbeats, and news of what is committed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from cluster.consensus.core.leadership import BEAT_TICKS, SPOKEN_TICKS
from cluster.consensus.core.messages import AppendReply, AppendRequest, Entry, Kind
from tests.unit.cluster.consensus.core.by_hand import TIMES, ByHand, told


def bodies(log: ByHand, target: str = "b") -> list[object]:
    """What waits for this disk."""
    return [message.body for message in log.messages if message.target == target]


class TestHeartbeats:
    def settled(self) -> ByHand:
        """a leads b and c, and has said and heard everything."""
        log = ByHand("abc")
        log.elect("a")
        log.deliver()
        return log

    def test_none_for_some_ticks_after_anything_else(self) -> None:
        log = self.settled()
        log.ticks("a", SPOKEN_TICKS - 1)
        assert log.messages == []
        log.ticks("a", 1)
        assert [m.target for m in log.messages] == ["b", "c"]

    def test_some_ticks_apart(self) -> None:
        log = self.settled()
        log.ticks("a", SPOKEN_TICKS)
        log.deliver()
        log.ticks("a", BEAT_TICKS - 1)
        assert log.messages == []
        log.ticks("a", 1)
        assert [m.target for m in log.messages] == ["b", "c"]

    def test_at_each_tick_to_who_owes_an_answer(self) -> None:
        log = self.settled()
        log.propose("a", b"x")
        log.deliver("ac")
        log.messages.clear()
        for _ in range(3):
            log.ticks("a", 1)
            assert len(bodies(log)) == 1
            log.messages.clear()

    def test_a_log_that_is_written_to_needs_none(self) -> None:
        log = self.settled()
        for _ in range(10):
            log.propose("a", b"x")
            log.deliver()
            log.ticks("a", SPOKEN_TICKS - 1)
        assert log.messages == []
        assert log["a"].is_leader

    def test_they_are_often_enough_to_lead(self) -> None:
        assert SPOKEN_TICKS * TIMES.tick_s < TIMES.election_s * 0.7


class TestNews:
    def settled(self) -> ByHand:
        """b and c have confirmed x; that it is committed waits for them."""
        log = ByHand("abc")
        log.elect("a")
        log.deliver()
        log.propose("a", b"x")
        log.deliver(rounds=4)
        return log

    def news(self, log: ByHand, target: str = "b") -> list[AppendRequest]:
        found = [body for body in bodies(log, target) if isinstance(body, AppendRequest)]
        return [body for body in found if body.news]

    def test_who_has_everything_learns_at_once_what_is_committed(self) -> None:
        log = self.settled()
        assert self.news(log) == [AppendRequest(2, 1, (), 2, news=True)]
        log.deliver()
        assert log["b"].commit == log["a"].log.last

    def test_it_is_not_answered(self) -> None:
        log = self.settled()
        (message,) = [m for m in log.messages if m.target == "b"]
        log.messages.clear()
        log.step(message)
        assert log.messages == []

    def test_nothing_waits_for_it(self) -> None:
        log = self.settled()
        log.messages.clear()
        log.propose("a", b"y")
        (body,) = bodies(log)
        assert isinstance(body, AppendRequest)
        assert [entry.data for entry in body.entries] == [b"y"]

    def test_lost_news_is_told_by_the_next_heartbeat(self) -> None:
        log = self.settled()
        log.messages.clear()
        log.ticks("a", SPOKEN_TICKS)
        log.deliver()
        assert log["b"].commit == log["a"].log.last

    def test_who_lacks_the_entry_refuses_it_all_the_same(self) -> None:
        log = self.settled()
        log.messages.clear()
        told_of = AppendRequest(7, 1, (), 7, news=True)
        log.step(told(log["b"], "a", told_of))
        assert bodies(log, "a") == [AppendReply(False, 2, 7)]
        assert log["b"].commit < 7

    def test_who_has_not_confirmed_everything_is_to_answer(self) -> None:
        log = ByHand("abc")
        a = log.elect("a")
        log.messages.clear()
        log.step(told(a, "b", AppendReply(True, a.log.last, mending=True), boot=2))
        log.messages.clear()
        log.step(told(a, "b", AppendReply(True, a.log.last, mending=True), boot=2))
        log.step(told(a, "c", AppendReply(True, a.log.last)))
        (body,) = bodies(log)
        assert isinstance(body, AppendRequest)
        assert (body.news, body.commit, body.mend_to) == (False, a.log.last, a.log.last)

    @pytest.mark.parametrize(
        "more", [{"entries": (Entry(3, 1, Kind.NOOP),)}, {"mend_to": 2}], ids=["entries", "mend"]
    )
    def test_more_than_news_is_not_taken(self, more: dict[str, Any]) -> None:
        log = self.settled()
        body = replace(AppendRequest(2, 1, (), 2, news=True), **more)
        with pytest.raises(ValueError, match="not answered"):
            log.step(told(log["b"], "a", body))


class TestNewsThatCanWait:
    def settled(self) -> ByHand:
        """b and c have confirmed x, which is not urgent; a knows that it is committed."""
        log = ByHand("abc")
        log.elect("a")
        log.deliver()
        log.propose("a", b"x", urgent=False)
        log.deliver()
        assert self.commits(log) == [2, 1, 1]
        return log

    def commits(self, log: ByHand) -> list[int]:
        return [log[name].commit for name in "abc"]

    def test_comes_with_the_next_entry(self) -> None:
        log = self.settled()
        log.propose("a", b"y", urgent=False)
        log.deliver()
        assert self.commits(log) == [3, 2, 2]

    def test_comes_with_the_next_heartbeat(self) -> None:
        log = self.settled()
        log.ticks("a", SPOKEN_TICKS)
        log.deliver()
        assert self.commits(log) == [2, 2, 2]

    def test_comes_with_that_of_an_urgent_entry(self) -> None:
        log = self.settled()
        log.propose("a", b"y")
        log.deliver()
        assert self.commits(log) == [3, 3, 3]

    def test_a_new_leader_finds_it_committed(self) -> None:
        log = self.settled()
        log.elect("b", "bc")
        log.deliver("bc")
        assert self.commits(log)[1:] == [3, 3]
