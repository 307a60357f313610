"""Who is made a participant of the log, named in it, refused, and told to others."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import replace
from typing import Any, cast

import pytest

from cluster.consensus.founding import UNTOLD, Disks, Introduction, Welcome
from cluster.consensus.interface import Consensus, Peer, ProposalRefused
from cluster.log import commands as c
from cluster.log.state import CommandResult, ReplicatedState
from cluster.log.view import Member
from cluster.log_members import CHANGE_S, COMPARE_S, LogMembers
from paceline.errors import Unavailable
from tests.support.waiting import until

VOTERS = {"n1": "a:1", "n2": "b:1", "n3": "c:1"}
FIRST = 1
"""The number of the first admission."""

FOUNDERS = {"n1": "d1", "n2": "d2", "n3": "d3"}


def of(node: str, disk: str, promised: Disks | None = None) -> Introduction:
    return Introduction(node, disk, "c", (), promised, admission=FIRST)


class FakeConsensus:
    def __init__(self) -> None:
        self.is_leader = self.synced = True
        self.members = frozenset(FOUNDERS.values())
        self.known: list[dict[str, Peer]] = []
        self.changes: list[tuple[str, str]] = []
        self.refused: set[str] = set()
        self.goes = asyncio.Event()
        self.goes.set()

    def know_peers(self, peers: dict[str, Peer]) -> None:
        self.known.append(dict(peers))

    async def add_peer(self, disk: str, timeout_s: float) -> None:
        await self._change("add", disk, timeout_s)
        self.members |= {disk}

    async def remove_peer(self, disk: str, timeout_s: float) -> None:
        await self._change("remove", disk, timeout_s)
        self.members -= {disk}

    async def _change(self, what: str, disk: str, timeout_s: float) -> None:
        assert timeout_s == CHANGE_S
        self.changes.append((what, disk))
        await self.goes.wait()
        if disk in self.refused:
            raise ProposalRefused("not now")


class Rig:
    def __init__(self) -> None:
        self.consensus = FakeConsensus()
        self.state = ReplicatedState()
        self.state.apply_command(c.Bootstrap("id", VOTERS, FOUNDERS))
        for node, disk in FOUNDERS.items():
            self.state.apply_command(c.RegisterMember(Member(node, "z", "i"), disk))
        self.tasks: list[asyncio.Task[None]] = []
        self.committed: list[c.Command] = []
        self.commit_fails = False
        self.goes = asyncio.Event()
        self.goes.set()
        self.it = self.of("n1", "d1")

    def of(self, node: str, disk: str) -> LogMembers:
        consensus = cast(Consensus, self.consensus)
        return LogMembers(consensus, self.state, node, disk, self.own, self.commit)

    def own(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        self.tasks.append(asyncio.get_running_loop().create_task(work))
        return self.tasks[-1]

    async def commit(self, command: c.Command, timeout_s: float) -> CommandResult:
        assert timeout_s == CHANGE_S
        self.committed.append(command)
        await self.goes.wait()
        if self.commit_fails:
            raise Unavailable("no leader")
        return self.state.apply_command(command)

    def admit(self, node: str) -> None:
        assert self.state.apply_command(c.AdmitMember(node, f"{node}:1")).ok

    async def done(self) -> None:
        async with asyncio.timeout(10):
            await asyncio.gather(*self.tasks)


@pytest.fixture
async def rig() -> Rig:
    return Rig()


class TestIntroductions:
    async def test_the_disk_that_the_log_has_is_accepted_by_anybody(self, rig: Rig) -> None:
        rig.consensus.is_leader = rig.consensus.synced = False
        assert rig.it.introduced(of("n2", "d2")) == Welcome(True, "", FOUNDERS)
        assert not rig.tasks

    async def test_a_members_first_disk_is_named_by_anybody(self, rig: Rig) -> None:
        rig.consensus.is_leader = rig.consensus.synced = False
        rig.admit("n4")
        rig.goes.clear()
        told = Welcome(founders=FOUNDERS, admission=FIRST)
        assert rig.it.introduced(of("n4", "d4")) == told
        assert rig.it.introduced(of("n4", "d4")) == told
        rig.goes.set()
        await rig.done()
        assert rig.committed == [c.NameDisk("n4", "d4", FIRST)]
        assert rig.it.introduced(of("n4", "d4")).accepted

    async def test_naming_is_tried_again(self, rig: Rig) -> None:
        rig.admit("n4")
        rig.commit_fails = True
        rig.it.introduced(of("n4", "d4"))
        await rig.done()
        rig.commit_fails = False
        rig.it.introduced(of("n4", "d4"))
        await rig.done()
        assert rig.state.disks["n4"] == "d4"

    async def test_two_first_disks_of_one_node(self, rig: Rig) -> None:
        """By two of its processes, to two members, at once: one has a name then."""
        rig.admit("n4")
        other = rig.of("n2", "d2")
        rig.it.introduced(of("n4", "d4"))
        other.introduced(of("n4", "x4"))
        await rig.done()
        assert rig.state.disks["n4"] == "d4"
        assert rig.it.introduced(of("n4", "x4")).refusal == "other-disk"
        assert rig.it.introduced(of("n4", "d4")).accepted

    async def test_a_disk_that_promised_to_found_another_log_is_not_named(self, rig: Rig) -> None:
        """Others may found that by its word; and the node will ask for an empty one."""
        rig.admit("n4")
        for promised in ({"n4": "d4"}, {}):
            told = Welcome(founders=FOUNDERS, admission=FIRST)
            assert rig.it.introduced(of("n4", "d4", promised)) == told
        assert not rig.tasks
        rig.it.introduced(of("n4", "d4", FOUNDERS))
        await rig.done()
        assert rig.state.disks["n4"] == "d4"

    @pytest.mark.parametrize("promised", [None, FOUNDERS])
    async def test_a_disk_with_a_log_is_not_named(self, rig: Rig, promised: Disks | None) -> None:
        """The log may have been recovered since: an entry there may be another one than here."""
        rig.admit("n4")
        former = replace(of("n4", "d4", promised), founded={})
        assert rig.it.introduced(former) == Welcome(refusal="former-log", founders=FOUNDERS)
        rig.consensus.is_leader = False
        assert rig.it.introduced(former) == Welcome(founders=FOUNDERS)
        assert rig.it.introduced(replace(of("n2", "d2"), founded={})).accepted
        assert not rig.tasks

    async def test_the_disk_before_is_not_named_again(self, rig: Rig) -> None:
        """What it asked may be heard late, after its node was admitted again."""
        rig.state.apply_command(c.RemoveMember("n3"))
        rig.admit("n3")
        assert rig.it.introduced(of("n3", "d3")) == Welcome(refusal="former-log", founders=FOUNDERS)
        assert not rig.tasks
        rig.it.introduced(of("n3", "new"))
        await rig.done()
        assert rig.state.disks["n3"] == "new"

    @pytest.mark.parametrize("known", [None, "d3"])
    async def test_what_was_said_before_an_admission_names_nothing(
        self, rig: Rig, known: str | None
    ) -> None:
        """A node's disk is emptied, and emptied again when the node is admitted anew. What the disk
        in between said, which was never in the log, comes last."""
        if known is None:
            rig.state.apply_command(c.RemoveMember("n3"))
            rig.admit("n3")
        between = of("n3", "between")
        rig.state.apply_command(c.RemoveMember("n3"))
        rig.admit("n3")
        number = rig.state.admissions["n3"]
        told = Welcome(founders=FOUNDERS, admission=number)
        if known is None:
            assert rig.it.introduced(between) == told
        assert rig.it.introduced(replace(between, admission=UNTOLD)) == told
        assert not rig.tasks
        rig.it.introduced(replace(of("n3", "new"), admission=number))
        await rig.done()
        assert rig.state.disks["n3"] == "new"

    async def test_a_node_that_is_behind_asks_for_what_it_was_told(self, rig: Rig) -> None:
        """It knows the admission of before only; the log knows better when that comes to it."""
        rig.admit("n4")
        rig.goes.clear()
        rig.it.introduced(of("n4", "between"))
        await asyncio.sleep(0)
        rig.state.apply_command(c.RemoveMember("n4"))
        rig.admit("n4")
        rig.goes.set()
        await rig.done()
        assert rig.committed == [c.NameDisk("n4", "between", FIRST)]
        assert "n4" not in rig.state.disks

    async def test_a_release_without_numbers_is_named(self, rig: Rig) -> None:
        rig.admit("n4")
        rig.it.introduced(replace(of("n4", "d4"), admission=None))
        await rig.done()
        assert rig.committed == [c.NameDisk("n4", "d4")]
        assert rig.state.disks["n4"] == "d4"

    @pytest.mark.parametrize("lacks", ["is_leader", "synced", "cluster_id"])
    async def test_only_who_is_certain_refuses(self, rig: Rig, lacks: str) -> None:
        assert rig.it.introduced(of("n9", "d9")) == Welcome(False, "not-a-member", FOUNDERS)
        assert rig.it.introduced(of("n2", "x")) == Welcome(False, "other-disk", FOUNDERS)
        if lacks == "cluster_id":
            rig.state.cluster_id = ""
        else:
            setattr(rig.consensus, lacks, False)
        assert rig.it.introduced(of("n9", "d9")) == Welcome(founders=FOUNDERS)
        assert rig.it.introduced(of("n2", "x")) == Welcome(founders=FOUNDERS)


class TestFollowing:
    async def test_the_log_is_told_to_others_when_it_changes(self, rig: Rig) -> None:
        rig.consensus.is_leader = False
        assert rig.it.follow(0.0)
        assert rig.it.follow(1.0)
        rig.admit("n4")
        assert rig.it.follow(2.0), "without a disk there is nobody to tell of"
        expected = {node: Peer(VOTERS[node], FOUNDERS[node]) for node in VOTERS}
        assert rig.consensus.known == [expected]
        rig.state.apply_command(c.NameDisk("n4", "d4"))
        assert rig.it.follow(3.0)
        assert rig.consensus.known[1:] == [{**expected, "n4": Peer("n4:1", "d4")}]
        rig.consensus.members |= {"d4"}
        for _ in range(2):
            assert rig.it.follow(4.0)
        assert rig.consensus.known[2:] == rig.consensus.known[1:2], "and when Raft has followed"
        assert not rig.tasks

    async def test_participants_become_what_the_log_names(self, rig: Rig) -> None:
        rig.admit("n4")
        rig.state.apply_command(c.NameDisk("n4", "d4"))
        rig.state.apply_command(c.RemoveMember("n3"))
        assert rig.it.follow(0.0)
        await rig.done()
        assert rig.consensus.changes == [("add", "d4"), ("remove", "d3")]
        assert rig.consensus.members == {"d1", "d2", "d4"}
        assert rig.it.follow(COMPARE_S)
        assert len(rig.tasks) == 1, "all is well"

    async def test_one_change_at_a_time_and_not_too_often(self, rig: Rig) -> None:
        rig.consensus.goes.clear()
        rig.state.apply_command(c.RemoveMember("n3"))
        rig.it.follow(0.0)
        await until(lambda: rig.consensus.changes, "it was begun")
        rig.it.follow(COMPARE_S)
        assert len(rig.tasks) == 1
        rig.consensus.refused = {"d3"}
        rig.consensus.goes.set()
        await rig.done()
        rig.it.follow(COMPARE_S * 1.5)
        assert len(rig.tasks) == 1
        rig.it.follow(COMPARE_S * 2)
        assert len(rig.tasks) == 2, "it was refused, and is tried again"
        await rig.done()

    async def test_one_that_cannot_be_now_keeps_no_other_one_up(self, rig: Rig) -> None:
        """Removing one that answers may need the removal of one that does not, and is refused
        until then; which of them comes first is chance."""
        rig.state.apply_command(c.AdmitMember("n4", "n4:1"))
        rig.state.apply_command(c.RegisterMember(Member("n4", "z", "i"), "d4"))
        rig.state.apply_command(c.RemoveMember("n2"))
        rig.state.apply_command(c.RemoveMember("n3"))
        rig.consensus.refused = {"d4", "d2"}
        rig.it.follow(0.0)
        await rig.done()
        assert rig.consensus.changes == [("add", "d4"), ("remove", "d2"), ("remove", "d3")]

    @pytest.mark.parametrize("lacks", ["is_leader", "synced"])
    async def test_only_a_leader_that_is_level_changes_them(self, rig: Rig, lacks: str) -> None:
        setattr(rig.consensus, lacks, False)
        rig.state.apply_command(c.RemoveMember("n3"))
        assert rig.it.follow(0.0)
        assert not rig.tasks

    async def test_nothing_is_changed_before_the_log_names_anybody(self, rig: Rig) -> None:
        rig.state = ReplicatedState()
        assert rig.of("n1", "d1").follow(0.0)
        assert not rig.tasks
        assert rig.consensus.known == [{}]

    async def test_a_leader_that_is_no_member_hands_over(self, rig: Rig) -> None:
        rig.state.apply_command(c.RemoveMember("n1"))
        assert not rig.it.follow(0.0)
        rig.admit("n1")
        rig.state.apply_command(c.NameDisk("n1", "another"))
        assert not rig.it.follow(COMPARE_S), "its node is one, with another disk"
        assert not rig.tasks

    async def test_a_leader_whose_disk_has_no_name_yet_stays(self, rig: Rig) -> None:
        rig.state = ReplicatedState()
        rig.state.apply_command(c.Bootstrap("id", VOTERS, {"n2": "d2", "n3": "d3"}))
        assert rig.of("n1", "d1").follow(0.0)
