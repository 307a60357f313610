"""What is in the log, and from when on it stays there."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cluster.consensus.core import leadership
from cluster.consensus.core.configuration import Configuration
from cluster.consensus.core.leadership import UNCOMMITTED_BYTES_MAX, UNCOMMITTED_MAX
from cluster.consensus.core.log import Log
from cluster.consensus.core.messages import (
    Append,
    AppendReply,
    AppendRequest,
    Durable,
    Entry,
    HardState,
    Kind,
)
from cluster.consensus.core.raft import ProposalDropped
from tests.unit.cluster.consensus.core.by_hand import ByHand, disk, log_of, told


class TestCommits:
    def test_an_older_terms_entry_is_not_committed_by_counting(self) -> None:
        """Figure 8 of the Raft paper: (c), in which the leader of term 4 has brought an entry of
        term 2 to a majority, and (d), in which another one replaces it."""
        voters = "abcde"
        log = ByHand(
            voters,
            a=disk(voters, 1, 2, term=3),
            b=disk(voters, 1, 2, term=3),
            c=disk(voters, 1, term=3),
            d=disk(voters, 1, term=3),
            e=disk(voters, 1, 3, term=3),
        )
        a = log.elect("a", "abcd")  # of term 4; its own entry is on no other disk yet
        log.messages.clear()
        for follower in "bc":
            log.take("a", a.step(told(a, follower, AppendReply(True, 2)), log.now))
        assert a.commit == 0
        for follower in "bc":
            log.take("a", a.step(told(a, follower, AppendReply(True, 3)), log.now))
        assert a.commit == 3

    def test_an_answer_of_an_earlier_term_says_nothing(self) -> None:
        log = ByHand("abc")
        a = log.elect("a", "ab")
        log.deliver("ab")
        late = told(a, "c", AppendReply(True, 2))
        log.elect("b", "ab")
        log.deliver("ab")
        log.elect("a", "ab")
        log.messages.clear()
        log.propose("a", b"x")
        before = a.commit
        log.step(replace(late, body=AppendReply(True, a.log.last)))
        assert a.commit == before
        log.step(told(a, "c", AppendReply(True, a.log.last)))
        assert a.commit == a.log.last

    def test_what_is_not_synced_is_not_counted(self) -> None:
        log = ByHand("abc")
        a = log.elect("a")
        log.deliver()
        log.sync = False
        _, ready = a.propose([b"x"], log.now)
        log.take("a", a.step(told(a, "b", AppendReply(True, 2)), log.now))
        assert a.commit == 1
        log.take("a", a.synced(ready.mark, log.now))
        assert a.commit == 2

    def test_what_was_cut_off_is_not_on_disk(self) -> None:
        log = Log(disk("abc", 1).snapshot, log_of(1, 1))
        log.append([Entry(3, 1, Kind.COMMAND), Entry(4, 1, Kind.COMMAND)])
        first = log.mark
        log.append([Entry(3, 2, Kind.COMMAND), Entry(4, 2, Kind.COMMAND)])
        assert log.stable == 2
        log.synced(first)
        assert log.stable == 2
        log.synced(log.mark)
        assert log.stable == 4

    def test_what_is_replaced_is_not_on_disk_yet(self) -> None:
        log = Log(disk("abc", 1).snapshot, log_of(1, 1, 1))
        log.append([Entry(2, 2, Kind.COMMAND), Entry(3, 2, Kind.COMMAND)])
        assert log.stable == 1

    def test_nobody_has_more_than_the_leader(self) -> None:
        log = ByHand("abc")
        a = log.elect("a")
        log.deliver()
        log.step(told(a, "b", AppendReply(True, 2)))
        log.propose("a", b"x")
        assert a.commit == 1

    def test_too_much_that_is_not_committed_is_refused(self) -> None:
        log = ByHand("abc")
        log.elect("a")
        log.deliver()
        log.propose("a", *[b"x"] * UNCOMMITTED_MAX)
        with pytest.raises(ProposalDropped, match="not committed yet"):
            log.propose("a", b"x")

    def test_too_many_bytes_that_are_not_committed_are_refused(self) -> None:
        log = ByHand("abc")
        log.elect("a")
        log.deliver()
        half = b"x" * (UNCOMMITTED_BYTES_MAX // 2)
        log.propose("a", half)
        log.propose("a", half)
        with pytest.raises(ProposalDropped, match="bytes of entries are not committed yet"):
            log.propose("a", b"x")
        log.deliver()
        log.propose("a", b"x" * UNCOMMITTED_BYTES_MAX, b"y")  # they are committed by now
        with pytest.raises(ProposalDropped, match="bytes"):
            log.propose("a", b"x")

    def test_one_message_is_under_way_to_each(self) -> None:
        log = ByHand("abc")
        log.elect("a")
        log.deliver()
        for _ in range(10):
            log.propose("a", b"x")
        assert len(log.messages) == 2
        log.deliver()
        assert log["b"].log.last == log["c"].commit == log["a"].commit == 11

    def test_messages_are_bounded(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(leadership, "ENTRIES_BYTES_MAX", 1000)
        log = ByHand("abc")
        log.elect("a")
        log.deliver()
        log.propose("a", *[b"x" * 400] * 20, b"y" * 5000)
        sizes = []
        while log.messages:
            message = log.messages.pop(0)
            if isinstance(message.body, AppendRequest):
                sizes.append(sum(len(entry.data) for entry in message.body.entries))
            log.step(message)
        assert log["a"].commit == 22
        assert max(size for size in sizes if size != 5000) <= 1000


class TestMatching:
    def follower(self, *terms: int) -> ByHand:
        """a, with a log of these terms, whose leader is b."""
        return ByHand("abc", a=disk("abc", *terms, term=9))

    def test_entries_follow_what_the_leader_has_before_them(self) -> None:
        log = self.follower(1, 1, 2)
        entry = Entry(4, 9, Kind.COMMAND)
        log.step(told(log["a"], "b", AppendRequest(3, 3, (entry,), 0)))
        assert log["a"].log.last == 3
        assert [m.body for m in log.messages] == [AppendReply(False, 2, 3)]

    def test_a_leader_is_told_where_to_try(self) -> None:
        log = self.follower(1, 1, 4, 4, 4)
        log.step(told(log["a"], "b", AppendRequest(7, 3, (), 0)))
        assert [m.body for m in log.messages] == [AppendReply(False, 2, 7)]

    def test_another_leaders_entries_go(self) -> None:
        log = self.follower(1, 1, 2, 2)
        entry = Entry(3, 9, Kind.COMMAND, b"new")
        log.step(told(log["a"], "b", AppendRequest(2, 1, (entry,), 0)))
        assert log["a"].log.between(2, log["a"].log.last) == (entry,)
        assert log.writes["a"] == [Append((entry,))]

    def test_entries_that_are_there_stay_with_what_follows_them(self) -> None:
        log = self.follower(1, 1, 2, 2)
        late = log["a"].log.between(1, 3)
        log.step(told(log["a"], "b", AppendRequest(1, 1, late, 0)))
        assert log["a"].log.last == 4
        assert not log.writes["a"]

    def test_only_what_the_leader_has_sent_is_confirmed_and_committed(self) -> None:
        log = self.follower(1, 1, 2, 2)
        log.step(told(log["a"], "b", AppendRequest(1, 1, (), 4)))
        assert [m.body for m in log.messages] == [AppendReply(True, 1)]
        assert log["a"].commit == 1
        assert log["a"].level_at == 4  # the leader has that much, and this disk not yet

    def test_a_refusal_confirms_nothing(self) -> None:
        log = ByHand("abc")
        a = log.elect("a")
        log.messages.clear()
        log.step(told(a, "b", AppendReply(False, 1, 0)))
        assert a.commit == 0

    def test_the_later_term_makes_a_log_newer(self) -> None:
        log = Log(disk("abc", 1).snapshot, log_of(1, 1, 2))
        for index, term, newer in ((3, 2, True), (2, 2, False), (9, 1, False), (1, 3, True)):
            assert log.is_up_to_date(index, term) is newer

    def test_what_half_of_the_disks_have_is_not_committed(self) -> None:
        log = ByHand("abcd")
        a = log.elect("a")
        log.step(told(a, "b", AppendReply(True, 1)))
        assert a.commit == 0
        log.step(told(a, "c", AppendReply(True, 1)))
        assert a.commit == 1


@pytest.mark.parametrize(("voters", "majority"), [("a", 1), ("ab", 2), ("abc", 2), ("abcd", 3)])
def test_what_a_majority_is(voters: str, majority: int) -> None:
    configuration = Configuration(tuple(voters), ("x", "y"))
    for count in range(len(voters) + 1):
        some = [*voters[:count], "x", "y", "z"]
        assert configuration.is_majority(some) is (count >= majority)
        assert configuration.reached_by_majority(dict.fromkeys(some, 1), 0) == (count >= majority)


@pytest.mark.parametrize(
    "entries",
    [
        (Entry(3, 1, Kind.COMMAND),),
        (Entry(2, 1, Kind.COMMAND), Entry(4, 1, Kind.COMMAND)),
        (Entry(2, 9, Kind.COMMAND),),
        (Entry(2, 0, Kind.COMMAND),),
        (Entry(2, 1, Kind.CONFIGURATION, b"\xc0"),),
    ],
)
def test_entries_that_no_leader_sends_change_nothing(entries: tuple[Entry, ...]) -> None:
    log = ByHand("abc", a=Durable(HardState(1), disk("abc").snapshot, log_of(1)))
    with pytest.raises(ValueError, match=r"in place|configuration"):
        log.step(told(log["a"], "b", AppendRequest(1, 1, entries, 1), term=5))
    assert log["a"].term == 1
    assert not log.writes["a"]
