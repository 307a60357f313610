"""A majority is lost for good, and the member that is left goes on alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from cluster.consensus.core.messages import Append, Entry, Kind
from cluster.consensus.disk.directory import OsDirectory
from cluster.consensus.disk.opening import open_disk
from cluster.consensus.interface import ProposalRefused
from cluster.data_dir import DataDir, read_identity
from cluster.log import commands as c
from cluster.log.view import Member
from cluster.recovery import recover
from paceline.errors import ConfigError
from tests.support.consensus_clusters import MemberCluster, Replica
from tests.support.waiting import until

TIMEOUT_S = 10.0


def setting(n: int) -> bytes:
    return c.encode(c.SetSetting(f"k{n % 50}", str(n)))


async def founded(path: Path) -> MemberCluster:
    """Three, whose log says so, and some more; all are stopped."""
    cluster = MemberCluster(path, 3, compact_entries=20)
    await cluster.start()
    leader = await cluster.leader()
    first: list[c.Command] = [c.Bootstrap("c-1", cluster.addresses, cluster.disks)]
    first += [
        c.RegisterMember(Member(node, "a", f"i-{node}"), disk)
        for node, disk in cluster.disks.items()
    ]
    for command in first:
        assert (await leader.consensus.propose(c.encode(command), TIMEOUT_S)).ok
    for n in range(30):
        assert (await leader.consensus.propose(setting(n), TIMEOUT_S)).ok
    await until(
        lambda: len({r.state.snapshot() for r in cluster.replicas}) == 1, "all have the same state"
    )
    for replica in cluster.replicas:
        replica.join()
    await cluster.stop()
    return cluster


async def alone(cluster: MemberCluster) -> Replica:
    survivor = cluster.replica("n1")
    await survivor.start()
    await until(lambda: survivor.consensus.is_leader and survivor.consensus.synced, "it leads")
    return survivor


async def test_the_survivor_goes_on_with_what_it_had(tmp_path: Path) -> None:
    cluster = await founded(tmp_path)
    before = read_identity(tmp_path / "n1")
    done = recover(tmp_path / "n1", ["n3", "n2"])
    assert (done.survivor, done.lost, done.mending) == ("n1", ("n2", "n3"), False)
    after = read_identity(tmp_path / "n1")
    assert after.disk_id != before.disk_id
    assert after.promised is None
    survivor = await alone(cluster)
    try:
        assert (await survivor.consensus.propose(setting(99), TIMEOUT_S)).ok
        state = survivor.state
        assert state.settings["k29"] == "29"
        assert state.voters == {"n1": cluster.addresses["n1"]}
        assert state.disks == {"n1": after.disk_id}
        assert [member.id for member in state.view.members] == ["n1"]
        assert survivor.consensus.voters == {after.disk_id}
    finally:
        await survivor.stop()


async def test_the_lost_ones_are_strangers_if_they_come_back(tmp_path: Path) -> None:
    cluster = await founded(tmp_path)
    recover(tmp_path / "n1", ["n2", "n3"])
    survivor = await alone(cluster)
    others = [cluster.replica(node) for node in ("n2", "n3")]
    try:
        survivor.consensus.know_peers({"n1": cluster.peers["n1"]})
        for other in others:
            await other.start()
        await until(lambda: any(r.consensus.is_leader for r in others), "they have a log of theirs")
        leader = next(r for r in others if r.consensus.is_leader)
        assert (await leader.consensus.propose(setting(7), TIMEOUT_S)).ok
        assert (await survivor.consensus.propose(setting(8), TIMEOUT_S)).ok
        assert survivor.state.settings["k8"] == "8"
        assert survivor.state.settings["k7"] == "7"  # of before
        assert survivor.consensus.is_leader
    finally:
        for replica in (survivor, *others):
            await replica.stop()


async def test_done_twice_it_is_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Interrupted between the log and the name, the node has no vote; then it is done again."""
    cluster = await founded(tmp_path)

    def interrupted(self: DataDir, disk_id: str) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(DataDir, "rename", interrupted)
        with pytest.raises(KeyboardInterrupt):
            recover(tmp_path / "n1", ["n2", "n3"])
    silent = cluster.replica("n1")
    await silent.start()
    with pytest.raises(ProposalRefused):
        await silent.consensus.propose(setting(1), TIMEOUT_S)
    await silent.stop()
    recover(tmp_path / "n1", ["n2", "n3"])
    survivor = await alone(cluster)
    assert (await survivor.consensus.propose(setting(1), TIMEOUT_S)).ok
    await survivor.stop()
    with pytest.raises(ConfigError, match="only member"):
        recover(tmp_path / "n1", [])


@pytest.mark.parametrize("lost", [["n2"], ["n2", "n3", "n4"], ["n1", "n2", "n3"]])
async def test_all_others_are_to_be_named(tmp_path: Path, lost: list[str]) -> None:
    await founded(tmp_path)
    files = {file: file.read_bytes() for file in (tmp_path / "n1").iterdir() if file.name != "lock"}
    with pytest.raises(ConfigError, match="n2, n3 as other members"):
        recover(tmp_path / "n1", lost)
    changed = [file.name for file, data in files.items() if file.read_bytes() != data]
    assert changed in ([], ["consensus.state"])  # the count of openings


@pytest.mark.parametrize("removed", [["n3"], ["n2", "n3"]])
async def test_a_removal_that_was_asked_for_in_vain_changes_nothing(
    tmp_path: Path, removed: list[str]
) -> None:
    """As an operator does first. It is in the log of the last leader, and was never committed."""
    cluster = await founded(tmp_path)
    name = cluster.disks["n1"]
    opened = open_disk(OsDirectory(tmp_path / "n1"), name, None)
    durable = opened.durable
    last = durable.entries[-1].index if durable.entries else durable.snapshot.index
    entries = tuple(
        Entry(last + n, durable.hard.term, Kind.COMMAND, c.encode(c.RemoveMember(node)))
        for n, node in enumerate(removed, start=1)
    )
    opened.disk.write([Append(entries)])
    opened.disk.close()
    for lost in ([], ["n2"], ["n3"]):
        with pytest.raises(ConfigError, match="n2, n3 as other members"):
            recover(tmp_path / "n1", lost)
    recover(tmp_path / "n1", ["n2", "n3"])
    survivor = await alone(cluster)
    assert (await survivor.consensus.propose(setting(1), TIMEOUT_S)).ok
    assert survivor.state.voters == {"n1": cluster.addresses["n1"]}
    await survivor.stop()


async def test_a_node_that_runs_is_left_alone(tmp_path: Path) -> None:
    cluster = await founded(tmp_path)
    running = cluster.replica("n1")
    with pytest.raises(ConfigError, match="in use"):
        recover(tmp_path / "n1", ["n2", "n3"])
    await running.stop()


def test_what_is_no_data_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no data directory"):
        recover(tmp_path, ["n2"])
    assert not list(tmp_path.iterdir())
