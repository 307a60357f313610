"""Where a member looks for a disk, and whom it hears: what it was told may be older than its log,
or newer."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.consensus.interface import Peer
from cluster.consensus.member import Member
from tests.support.consensus_clusters import MemberCluster, Replica

Ways = list[tuple[str, str]]


class Rig:
    """n1, as if it ran. Its settings name n1, n2 and n3."""

    def __init__(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        cluster = MemberCluster(path, 3)
        self.at = cluster.addresses
        self.replica: Replica = cluster.replica("n1")
        assert isinstance(self.replica.consensus, Member)
        self.it = self.replica.consensus
        self.is_level = False
        self.counted: frozenset[str] = frozenset()
        self.kept: set[str] = set()
        self.calls: Ways = []
        monkeypatch.setattr(Member, "synced", property(lambda _: self.is_level))
        monkeypatch.setattr(Member, "members", property(lambda _: self.counted))
        monkeypatch.setattr(self.it, "_channel_to", self._channel_to)
        monkeypatch.setattr(self.it._grpc_links, "keep", self._keep)

    def _channel_to(self, node: str, address: str) -> str:
        self.calls.append((node, address))
        return "a channel"

    def _keep(self, names: set[str]) -> None:
        self.kept = names

    def ways_to(self, disk: str, count: int = 4) -> Ways:
        """The first calls to a disk, in order."""
        self.calls.clear()
        for _ in range(count):
            self.it._open_channel(disk)
        return self.calls


@pytest.fixture
def rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Rig]:
    made = Rig(tmp_path, monkeypatch)
    yield made
    assert made.replica.data_dir is not None
    made.replica.data_dir.close()


def test_founders_are_where_the_settings_have_them(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert rig.ways_to("d2") == []
    founders = {"n1": rig.it.name, "n2": "d2", "n3": "d3", "n9": "d9"}
    monkeypatch.setattr(Member, "founders", property(lambda _: founders))
    assert rig.ways_to("d2", 2) == [("n2", rig.at["n2"])] * 2
    assert rig.ways_to("d9") == [], "which the settings do not name any more"
    rig.it.know_peers({"n3": Peer("c:3", "d3")})
    assert rig.ways_to("d2") == [], "it is in the log no more"
    assert rig.kept == {"d3"}


def test_the_log_and_the_settings_are_tried_in_turns(rig: Rig) -> None:
    rig.it.know_peers({"n2": Peer("new:2", "d2"), "n4": Peer("there:4", "d4")})
    assert rig.ways_to("d2", 3) == [("n2", "new:2"), ("n2", rig.at["n2"]), ("n2", "new:2")]
    assert rig.ways_to("d4", 2) == [("n4", "there:4")] * 2
    assert rig.kept == {"d2", "d4"}


def test_what_a_node_says_of_itself_comes_first(rig: Rig) -> None:
    rig.it.know_peers({"n2": Peer("old:2", "d2")})
    assert rig.it._meet("n2", Peer("moved:2", "d2"))
    assert rig.ways_to("d2", 3) == [
        ("n2", "moved:2"),
        ("n2", "old:2"),
        ("n2", rig.at["n2"]),
    ]
    assert rig.it._meet("n2", Peer("", "d2")), "of one that does not say where it is"
    assert rig.ways_to("d2", 2) == [("n2", rig.at["n2"]), ("n2", "old:2")]


def test_who_is_not_level_hears_other_disks_and_answers_them(rig: Rig) -> None:
    rig.it.know_peers({"n2": Peer("b:2", "former")})
    assert rig.it._meet("n2", Peer("b:2", "present"))
    assert rig.ways_to("present", 1) == [("n2", "b:2")]
    assert rig.ways_to("former", 1) == [("n2", "b:2")]
    rig.it.know_peers({"n2": Peer("b:2", "former"), "n3": Peer("c:3", "d3")})
    assert rig.kept == {"former", "present", "d3"}
    assert rig.it._ids["present"] == "n2"


def test_who_is_level_goes_by_the_log(rig: Rig) -> None:
    rig.it.know_peers({"n2": Peer("b:2", "d2")})
    assert rig.it._meet("n2", Peer("b:2", "later"))
    assert rig.it._meet("n4", Peer("e:4", "d4"))
    rig.is_level = True
    assert not rig.it._meet("n2", Peer("b:2", "former"))
    assert "former" not in rig.it._ids
    assert rig.it._meet("n2", Peer("b:2", "d2"))
    assert rig.it._meet("n5", Peer("f:5", "d5")), "the log may be about to say it"
    rig.it.know_peers({"n2": Peer("b:2", "d2"), "n5": Peer("f:5", "d5")})
    assert rig.kept == {"d2", "d5"}, "no channel is kept to who is no member"
    assert rig.ways_to("d4") == rig.ways_to("later") == []


@pytest.mark.parametrize("level", [True, False])
@pytest.mark.parametrize("met", [True, False])
@pytest.mark.parametrize("again", [{}, {"n4": Peer("e:4", "d5")}])
def test_who_is_removed_is_reached_until_raft_has_removed_it(
    rig: Rig, level: bool, met: bool, again: dict[str, Peer]
) -> None:
    """It may lead, or its vote be needed: of two, nobody could lead any more."""
    rig.is_level, rig.counted = level, frozenset({"d2", "d4"})
    rest = {"n2": Peer("b:2", "d2"), **again}
    rig.it.know_peers({"n2": Peer("b:2", "d2"), "n4": Peer("e:4", "d4")})
    if met:
        rig.it._meet("n4", Peer("e:4", "d4"))
    rig.it.know_peers(rest)
    assert rig.ways_to("d4", 1) == [("n4", "e:4")]
    assert "d4" in rig.kept
    rig.it.know_peers(rest)
    assert "d4" in rig.kept
    rig.is_level, rig.counted = True, frozenset({"d2"})
    rig.it.know_peers(rest)
    assert rig.ways_to("d4") == []
    assert "d4" not in rig.kept


def test_what_the_log_that_was_found_names_is_tried_until_one_is_level(rig: Rig) -> None:
    rig.counted = frozenset({"d2", "d4"})
    rig.it._found = [("n2", Peer("b:2", "d2")), ("n4", Peer("e:4", "d4")), ("n4", Peer("e:4", "x"))]
    assert rig.ways_to("d2", 2) == [("n2", "b:2"), ("n2", rig.at["n2"])]
    assert rig.ways_to("d4", 1) == rig.ways_to("x", 1) == [("n4", "e:4")]
    rig.it.know_peers({"n2": Peer("b:2", "d2")})
    assert rig.ways_to("x", 1) == [("n4", "e:4")]
    rig.is_level = True
    rig.it.know_peers({"n2": Peer("b:2", "d2")})
    assert rig.ways_to("x") == []
    assert rig.ways_to("d4", 1) == [("n4", "e:4")], "which Raft has not removed yet"


@pytest.mark.parametrize("counts", [True, False])
def test_what_a_member_says_of_itself_is_kept_when_others_change(rig: Rig, counts: bool) -> None:
    rig.is_level, rig.counted = True, frozenset({"d2", "d4"} if counts else {"d2"})
    both = {"n2": Peer("b:2", "d2"), "n4": Peer("e:4", "d4")}
    rig.it.know_peers(both)
    rig.it._meet("n4", Peer("moved:4", "d4"))
    rig.it.know_peers({"n2": both["n2"]} if counts else {**both, "n5": Peer("f:5", "d5")})
    assert rig.ways_to("d4", 1) == [("n4", "moved:4")]
