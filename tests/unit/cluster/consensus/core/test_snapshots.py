"""Snapshots, made and received."""

from __future__ import annotations

import pytest

from cluster.consensus.core.configuration import AddLearner, Configuration
from cluster.consensus.core.messages import (
    AppendReply,
    AppendRequest,
    Snapshot,
    SnapshotPiece,
)
from tests.unit.cluster.consensus.core.by_hand import ByHand, disk, told


def piece(index: int, term: int, data: bytes, offset: int = 0, size: int = 0) -> SnapshotPiece:
    voters = Configuration(("a", "b", "c"))
    return SnapshotPiece(index, term, voters, size or len(data), offset, data)


class TestSnapshots:
    def follower(self, *terms: int, commit: int = 0) -> ByHand:
        """a, which hears of b."""
        log = ByHand("abc", a=disk("abc", *terms))
        a = log["a"]
        log.step(told(a, "b", AppendRequest(len(terms), terms[-1], (), commit)))
        assert a.leader == "b"
        log.messages.clear()
        return log

    def test_one_does_not_replace_what_is_committed(self) -> None:
        log = self.follower(1, 1, 1, 1, commit=4)
        log.step(told(log["a"], "b", piece(2, 1, b"old")))
        assert log["a"].log.last == 4
        assert [m.body for m in log.messages] == [AppendReply(True, 4)]
        assert not [one for one in log.applied["a"] if isinstance(one, Snapshot)]

    def test_one_does_not_replace_the_entries_that_follow_it(self) -> None:
        log = self.follower(1, 1, 1, 1, commit=1)
        log.step(told(log["a"], "b", piece(2, 1, b"state")))
        assert (log["a"].log.last, log["a"].commit) == (4, 2)

    def test_one_replaces_another_leaders_entries(self) -> None:
        log = self.follower(1, 1, 1, 1, commit=1)
        log.step(told(log["a"], "b", piece(2, 7, b"state"), term=8))
        assert (log["a"].log.last, log["a"].commit, log["a"].log.base) == (2, 2, 2)
        assert log["a"].level_at == 2
        assert log.applied["a"][-1] == Snapshot(2, 7, Configuration(("a", "b", "c")), b"state")

    def test_it_may_come_in_pieces_again_and_out_of_order(self) -> None:
        log = self.follower(1)
        pieces = [piece(9, 1, data, at, 6) for at, data in ((0, b"ab"), (2, b"cd"), (4, b"ef"))]
        for n in (1, 0, 0, 2, 1, 0, 2):
            log.step(told(log["a"], "b", pieces[n]))
        assert log.applied["a"][-1] == Snapshot(9, 1, Configuration(("a", "b", "c")), b"abcdef")
        assert log["a"].commit == 9
        assert log["a"]._incoming.received == 0

    def test_pieces_of_two_are_not_put_together(self) -> None:
        log = self.follower(1)
        log.step(told(log["a"], "b", piece(9, 1, b"ab", 0, 4)))
        log.step(told(log["a"], "b", piece(11, 1, b"yz", 2, 4)))
        log.step(told(log["a"], "b", piece(11, 1, b"wx", 0, 4)))
        log.step(told(log["a"], "b", piece(11, 1, b"yz", 2, 4)))
        snapshot = log.applied["a"][-1]
        assert isinstance(snapshot, Snapshot)
        assert (snapshot.index, snapshot.data) == (11, b"wxyz")

    def test_pieces_of_two_leaders_are_not_put_together(self) -> None:
        """The same state, and other bytes: nothing says that each node packs it the same way."""
        log = self.follower(1)
        log.step(told(log["a"], "b", piece(9, 1, b"ab", 0, 4)))
        log.step(told(log["a"], "c", piece(9, 1, b"ba", 2, 4), term=2))
        log.step(told(log["a"], "c", piece(9, 1, b"dc", 0, 4), term=2))
        log.step(told(log["a"], "c", piece(9, 1, b"ba", 2, 4), term=2))
        snapshot = log.applied["a"][-1]
        assert isinstance(snapshot, Snapshot)
        assert snapshot.data == b"dcba"

    def test_what_came_of_one_goes_once_entries_follow(self) -> None:
        log = self.follower(1)
        log.step(told(log["a"], "b", piece(9, 1, b"ab", 0, 4)))
        assert log["a"]._incoming.received == 2
        log.step(told(log["a"], "b", AppendRequest(1, 1, (), 1)))
        assert log["a"]._incoming.received == 0

    def test_one_has_the_configuration_of_its_place(self) -> None:
        log = ByHand("abc", "d")
        a = log.elect("a")
        log.deliver()
        log.propose("a", b"x")
        log.deliver()
        log.change("a", AddLearner("d"))
        log.messages.clear()
        log.take("a", a.compact(2, b"state"))
        assert a.log.snapshot.configuration == Configuration(("a", "b", "c"))
        assert a.log.configuration == Configuration(("a", "b", "c"), ("d",))

    def test_only_what_is_committed_is_compacted(self) -> None:
        log = ByHand("abc")
        a = log.elect("a")
        log.deliver()
        log.propose("a", b"x")
        with pytest.raises(ValueError, match="is not between"):
            a.compact(2, b"state")
        a.compact(1, b"state")
        with pytest.raises(ValueError, match="is not between"):
            a.compact(1, b"state again")

    @pytest.mark.parametrize(
        "wrong",
        [
            piece(0, 1, b""),
            piece(3, 1, b"xy", 0, 1),
            piece(3, 1, b"", 0, 10**9),
            piece(3, 1, b"x", -1, 9),
        ],
    )
    def test_what_makes_no_sense_is_refused(self, wrong: SnapshotPiece) -> None:
        log = self.follower(1)
        with pytest.raises(ValueError, match="of a snapshot"):
            log.step(told(log["a"], "b", wrong, term=99))
        assert log["a"].term == 1
