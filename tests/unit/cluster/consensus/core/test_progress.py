"""What a leader sends to each of the others: how much at a time, how often, and from where on."""

from __future__ import annotations

import pytest

from cluster.consensus.core import leadership
from cluster.consensus.core import log as core_log
from cluster.consensus.core.log import InvariantBroken, Log
from cluster.consensus.core.messages import (
    AppendReply,
    AppendRequest,
    Durable,
    Entry,
    HardState,
    Kind,
    Message,
    Snapshot,
    SnapshotPiece,
    SnapshotReply,
    founded,
)
from tests.unit.cluster.consensus.core.by_hand import ByHand, disk, log_of, told


@pytest.fixture
def nothing_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(core_log, "KEPT_ENTRIES", 0, raising=False)


def bodies(log: ByHand, target: str = "b") -> list[object]:
    """What waits for this disk."""
    return [message.body for message in log.messages if message.target == target]


def has_data(body: object) -> bool:
    if isinstance(body, AppendRequest):
        return bool(body.entries)
    return isinstance(body, SnapshotPiece) and bool(body.data)


class TestPace:
    def most_under_way(self, log: ByHand, rounds: int) -> int:
        """What a has under way to b at most, where each way takes longer than a heartbeat."""
        to_b: list[Message] = []
        most = 0
        for _ in range(rounds):
            log.elapse(0.1)
            log.tick("a")
            to_a = [m for m in log.messages if m.source == "b"]
            log.messages = [m for m in log.messages if m.source == "a"]
            for message in to_a:
                log.step(message)
            for message in [m for m in log.messages if m.target == "c"]:
                log.messages.remove(message)
                log.step(message)
            on_the_way = [m for m in log.messages if m.target == "b"]
            most = max(most, sum(has_data(m.body) for m in to_b + on_the_way))
            log.messages = [m for m in log.messages if m.target != "b"]
            for message in to_b:
                log.step(message)
            to_b = on_the_way
        return most

    def test_heartbeats_do_not_add_to_what_is_under_way(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Else each of them makes one more message that goes round with the same entries, for as
        long as there is something to send."""
        monkeypatch.setattr(leadership, "ENTRIES_MAX", 5)
        log = ByHand("abc")
        log.elect("a")
        log.deliver()
        log.propose("a", *[b"x"] * 150)
        assert self.most_under_way(log, 110) <= 2
        assert log["b"].log.last == 151

    @pytest.mark.usefixtures("nothing_kept")
    def test_nor_while_a_snapshot_is_sent(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(leadership, "PIECE_BYTES", 5)
        log = ByHand("abc")
        log.elect("a", "ac")
        log.deliver("ac")
        log.take("a", log["a"].compact(1, b"s" * 150))
        assert self.most_under_way(log, 110) <= 2
        assert log.applied["b"][-1] == log["a"].log.snapshot

    def test_the_answer_to_a_heartbeat_before_it_says_nothing_of_what_was_sent(self) -> None:
        log = ByHand("abc")
        a = log.elect("a")
        log.deliver()
        log.propose("a", b"x")
        log.messages.clear()
        log.step(told(a, "b", AppendReply(True, 1)))
        assert not bodies(log)

    def test_what_was_lost_is_sent_again_after_a_heartbeat(self) -> None:
        log = ByHand("abc")
        log.elect("a")
        log.deliver()
        log.propose("a", b"x")
        log.messages.clear()
        log.elapse(0.1)
        log.tick("a")
        log.deliver()
        assert log["b"].log.last == 2

    @pytest.mark.usefixtures("nothing_kept")
    def test_a_piece_that_was_lost_is_sent_again_after_a_heartbeat(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(leadership, "PIECE_BYTES", 2)
        log = ByHand("abc")
        log.elect("a", "ac")
        log.deliver("ac")
        log.take("a", log["a"].compact(1, b"abcdef"))
        log.elapse(0.1)
        log.tick("a")
        while not (bodies(log) and isinstance(bodies(log)[0], SnapshotPiece)):
            log.step(log.messages.pop(0))
        while len(log.messages) > 1 or log["b"]._incoming.received < 4:
            log.step(log.messages.pop(0))
        log.messages.clear()
        log.elapse(0.1)
        log.tick("a")
        log.deliver()
        assert log.applied["b"][-1] == log["a"].log.snapshot

    def test_who_refuses_what_it_had_confirmed_is_not_sent_it_over_and_over(self) -> None:
        """A disk that lies: nothing will come of it, so at least not at full speed."""
        log = ByHand("abc")
        a = log.elect("a")
        log.deliver()
        log.propose("a", b"x")
        log.messages.clear()
        for _ in range(3):
            log.step(told(a, "b", AppendReply(False, 0, 1)))
            assert not bodies(log)

    def test_what_a_heartbeat_could_not_say_is_said_with_the_answer(self) -> None:
        """That an entry is committed, which was not there yet when the heartbeat said so."""
        log = ByHand("abc")
        log.elect("a")
        log.deliver()
        log.propose("a", b"x")
        to_c = [m for m in log.messages if m.target == "c"]
        log.deliver("ab")
        assert log["a"].commit == 2
        log.elapse(0.1)
        log.tick("a")
        log.messages = to_c + log.messages
        log.deliver()
        assert log["c"].commit == 2


class TestGoingBack:
    def count_refusals(self, log: ByHand) -> int:
        count = 0
        while log.messages:
            message = log.messages.pop(0)
            if {message.source, message.target} == {"a", "b"}:
                count += isinstance(message.body, AppendReply) and not message.body.accepted
                log.step(message)
        return count

    @pytest.mark.parametrize("other", [2, 4])
    def test_long_logs_of_two_leaders_meet_soon(self, other: int) -> None:
        log = ByHand(
            "abc",
            a=disk("abc", *[1] * 10, *[3] * 1000, term=5),
            b=disk("abc", *[1] * 10, *[other] * 900, term=5),
            c=disk("abc", 1, term=5),
        )
        log.elect("a", "ac")
        log.elapse(0.1)
        log.tick("a")
        assert self.count_refusals(log) <= 12
        assert log["b"].log.last == log["a"].log.last == 1011

    def test_who_is_only_behind_is_sent_what_it_lacks(self) -> None:
        log = ByHand("abc", a=disk("abc", *[1] * 500), b=disk("abc", *[1] * 490))
        a = log.elect("a", "ac")
        log.messages.clear()
        log.step(told(a, "b", AppendReply(False, 490, 500)))
        (body,) = bodies(log)
        assert isinstance(body, AppendRequest)
        assert body.before_index == 490

    def test_a_refusal_of_what_was_sent_before_says_nothing(self) -> None:
        log = ByHand("abc", a=disk("abc", *[1] * 500))
        a = log.elect("a", "ac")
        log.messages.clear()
        log.step(told(a, "b", AppendReply(False, 3, 400)))
        log.elapse(0.1)
        log.tick("a")
        (beat,) = bodies(log)
        assert isinstance(beat, AppendRequest)
        assert beat.before_index == 500

    def test_who_has_only_a_part_is_sent_the_rest_at_once(self) -> None:
        """It has answered that more is committed there than the entry before those sent."""
        log = ByHand("abc")
        a = log.elect("a")
        log.deliver("ac")
        log.propose("a", b"x", b"y", b"z")
        log.deliver("ac")
        log.step(told(a, "b", AppendReply(False, 0, 0)))
        log.step(told(a, "b", AppendReply(True, 1)))
        log.messages.clear()
        log.step(told(a, "b", AppendReply(True, 2)))
        (body,) = bodies(log)
        assert isinstance(body, AppendRequest)
        assert body.before_index == 2

    def test_far_steps_are_of_one_search(self) -> None:
        log = ByHand("abc", a=disk("abc", *[1] * 500))
        a = log.elect("a", "ac")
        log.deliver("ac")
        for hint, before in ((499, 500), (498, 499), (495, 497)):
            log.step(told(a, "b", AppendReply(False, hint, before)))
        log.step(told(a, "b", AppendReply(True, a.log.last)))
        log.messages.clear()
        log.step(told(a, "b", AppendReply(False, 500, 501, mending=True), boot=2))
        (body,) = bodies(log)
        assert isinstance(body, AppendRequest)
        assert body.before_index == 500

    def test_not_to_where_a_snapshot_is_needed(self) -> None:
        begin = Snapshot(10, 1, founded("abc").snapshot.configuration, b"state")
        entries = tuple(Entry(n, 1 + (n > 15), Kind.COMMAND, b"x") for n in range(11, 31))
        log = ByHand("abc", a=Durable(HardState(2), begin, entries))
        a = log.elect("a", "ac")
        log.messages.clear()
        for hint, before in ((29, 30), (27, 29), (25, 27), (20, 23), (14, 15)):
            log.step(told(a, "b", AppendReply(False, hint, before)))
            assert all(isinstance(body, AppendRequest) for body in bodies(log)), before
        log.step(told(a, "b", AppendReply(False, 3, 10)))
        assert isinstance(bodies(log)[-1], SnapshotPiece)

    def test_a_follower_that_has_another_committed_entry_ends(self) -> None:
        log = ByHand("abc", a=disk("abc", 1, 1))
        log.step(told(log["a"], "b", AppendRequest(2, 1, (), 2)))
        with pytest.raises(InvariantBroken, match="another entry at 2"):
            log.step(told(log["a"], "b", AppendRequest(2, 3, (), 2), term=3))


class TestKept:
    """Entries that the snapshot stands for, and that followers may lack."""

    def test_who_is_a_little_behind_needs_no_snapshot(self) -> None:
        log = ByHand("abc")
        a = log.elect("a")
        log.deliver()
        log.propose("a", b"x", b"y")
        log.deliver("ab")
        log.take("a", a.compact(3, b"state"))
        log.elapse(0.1)
        log.tick("a")
        log.deliver()
        assert [one.index for one in log.applied["c"]] == [1, 2, 3]
        assert not [one for one in log.applied["c"] if isinstance(one, Snapshot)]

    def test_so_many(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(core_log, "KEPT_ENTRIES", 3)
        log = Log(disk("abc").snapshot, log_of(*[1] * 9, 2, 2))
        rewrite = log.compact(9, b"state")
        assert (log.start, log.base, log.last, log.last_term) == (6, 9, 11, 2)
        assert (rewrite.snapshot.index, [e.index for e in rewrite.entries]) == (9, [10, 11])
        assert [log.term_at(n) for n in (5, 6, 9, 10)] == [None, 1, 1, 2]
        assert [e.index for e in log.between(6, 11)] == [7, 8, 9, 10, 11]
        assert [e.index for e in log.after(7, 2, 99)] == [8, 9]
        assert log.last_at_most(11, 1) == 9
        log.append([Entry(11, 3, Kind.COMMAND)])
        assert [e.term for e in log.between(9, 11)] == [2, 3]
        log.compact(11, b"later")
        assert (log.start, log.base, log.last) == (8, 11, 11)
        assert log.is_up_to_date(11, 3)
        log.restart(Snapshot(40, 4))
        assert (log.start, log.base, log.last, log.last_term) == (40, 40, 40, 4)

    def test_so_many_bytes(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(core_log, "KEPT_BYTES", 1000)
        entries = [Entry(n, 1, Kind.COMMAND, b"x" * 400) for n in range(1, 10)]
        log = Log(disk("abc").snapshot, entries)
        log.compact(8, b"state")
        assert log.start == 6

    @pytest.mark.usefixtures("nothing_kept")
    def test_a_snapshot_is_sent_to_its_end_though_there_is_a_newer_one(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Else, where the log grows faster than one is sent, none would ever arrive."""
        monkeypatch.setattr(leadership, "PIECE_BYTES", 2)
        log = ByHand("abc")
        a = log.elect("a", "ac")
        log.deliver("ac")
        log.take("a", a.compact(1, b"abcdef"))
        log.elapse(0.1)
        log.tick("a")
        while log["b"]._incoming.received < 2:
            log.step(log.messages.pop(0))
        log.propose("a", b"x")
        while a.commit < 2:
            log.deliver(rounds=1)
        log.take("a", a.compact(2, b"newer one"))
        log.deliver()
        first, *later = log.applied["b"]
        assert first == Snapshot(1, 1, a.log.configuration, b"abcdef")
        assert [one.index for one in later] == [2]

    def sending(self, monkeypatch: pytest.MonkeyPatch) -> ByHand:
        """a sends b a snapshot; its first piece was lost, after some heartbeats."""
        monkeypatch.setattr(leadership, "PIECE_BYTES", 2)
        log = ByHand("abc")
        a = log.elect("a", "ac")
        log.deliver("ac")
        log.take("a", a.compact(1, b"abcdef"))
        for _ in range(100):
            log.elapse(0.1)
            log.tick("a")
            log.deliver("ac")
        log.step(told(a, "b", SnapshotReply(1, 0)))
        (piece,) = bodies(log)
        assert isinstance(piece, SnapshotPiece)
        assert piece.data == b"ab"
        log.messages.clear()
        return log

    @pytest.mark.usefixtures("nothing_kept")
    def test_a_piece_after_many_heartbeats_is_sent_again(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        log = self.sending(monkeypatch)
        for beat in range(20):
            log.elapse(0.1)
            log.tick("a")
            log.deliver("ac")
            log.messages.clear()
            log.step(told(log["a"], "b", SnapshotReply(1, 0)))
            if any(has_data(body) for body in bodies(log)):
                assert beat == leadership.BEATS_MAX
                return
        raise AssertionError("it is not sent again")

    @pytest.mark.usefixtures("nothing_kept")
    def test_only_answers_to_what_was_sent_bring_the_next_piece(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        log = self.sending(monkeypatch)
        a = log["a"]
        log.step(told(a, "b", SnapshotReply(7, 2)))
        assert not bodies(log)
        log.step(told(a, "b", SnapshotReply(1, 2)))
        (piece,) = bodies(log)
        assert isinstance(piece, SnapshotPiece)
        assert (piece.offset, piece.data) == (2, b"cd")
        log.messages.clear()
        log.step(told(a, "b", SnapshotReply(1, 2)))  # it came twice
        assert not bodies(log)

    @pytest.mark.usefixtures("nothing_kept")
    def test_an_answer_to_an_earlier_term_moves_nothing(self) -> None:
        log = ByHand("abc")
        a = log.elect("a", "ac")
        log.deliver("ac")
        log.take("a", a.compact(1, b"state"))
        log.elect("c", "ac")
        log.deliver("ac")
        log.elect("a", "ac")
        log.deliver("ac")
        log.take("a", a.compact(3, b"newer"))
        for term, offset in ((1, 4), (3, 2)):
            log.elapse(0.1)
            log.tick("a")
            log.messages.clear()
            log.step(told(a, "b", SnapshotReply(3, offset), term=term))
            log.tick("a")
            log.messages.clear()
            log.elapse(0.1)
            log.tick("a")
            (piece,) = [one for one in bodies(log) if isinstance(one, SnapshotPiece)]
            assert piece.offset == (offset if term == a.term else 0)

    @pytest.mark.usefixtures("nothing_kept")
    def test_a_newer_one_takes_the_place_of_one_that_nobody_has_begun_with(self) -> None:
        log = ByHand("abc")
        a = log.elect("a", "ac")
        log.deliver("ac")
        log.take("a", a.compact(1, b"old"))
        log.elapse(0.1)
        log.tick("a")
        pieces = [body for body in bodies(log) if isinstance(body, SnapshotPiece)]
        assert pieces[-1].index == 1
        log.propose("a", b"x")
        log.deliver("ac")
        log.take("a", a.compact(2, b"new"))
        log.elapse(0.1)
        log.tick("a")
        pieces = [body for body in bodies(log) if isinstance(body, SnapshotPiece)]
        assert pieces[-1].index == 2

    @pytest.mark.usefixtures("nothing_kept")
    @pytest.mark.parametrize("offset", [-1, 99])
    def test_an_answer_that_makes_no_sense_moves_nothing(self, offset: int) -> None:
        log = ByHand("abc")
        a = log.elect("a", "ac")
        log.deliver("ac")
        log.take("a", a.compact(1, b"state"))
        log.elapse(0.1)
        log.tick("a")
        log.messages.clear()
        log.step(told(a, "b", SnapshotReply(1, offset)))
        log.tick("a")
        log.elapse(0.1)
        log.tick("a")
        assert [b.offset for b in bodies(log) if isinstance(b, SnapshotPiece)] == [0]

    def test_a_snapshot_takes_the_place_of_members_that_were_not_committed(self) -> None:
        members = founded("ab").snapshot.configuration
        log = Log(disk("abc").snapshot, [Entry(1, 1, Kind.CONFIGURATION, members.encode())])
        assert log.configuration == members
        log.restart(Snapshot(4, 2, founded("bc").snapshot.configuration))
        assert log.configuration == founded("bc").snapshot.configuration
        with pytest.raises(InvariantBroken, match="does not follow"):
            log.append([Entry(6, 2, Kind.COMMAND)])

    def test_members_are_of_their_place(self) -> None:
        first, second = (founded(names).snapshot.configuration for names in ("ab", "a"))
        begin = disk("abc").snapshot
        entries = [
            Entry(n, 1, Kind.CONFIGURATION, members.encode())
            for n, members in enumerate((first, second), 1)
        ]
        log = Log(begin, entries)
        found = [log.configuration_at(n) for n in range(3)]
        assert found == [begin.configuration, first, second]
        log.append([Entry(2, 2, Kind.COMMAND)])
        assert (log.configuration, log.configuration_index) == (first, 1)
        log.append([Entry(3, 2, Kind.CONFIGURATION, second.encode())])
        log.compact(2, b"state")
        assert log.snapshot.configuration == first
        assert (log.configuration, log.configuration_index) == (second, 3)

    def test_what_does_not_follow_is_no_log(self) -> None:
        for entry in (Entry(3, 1, Kind.COMMAND), Entry(2, 0, Kind.COMMAND)):
            with pytest.raises(InvariantBroken):
                Log(disk("abc").snapshot, [*log_of(1), entry])
