"""What our own implementation has to do as a member: peers, links, certificates."""

from __future__ import annotations

import asyncio
import secrets
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from cluster.consensus.interface import Peer, ProposalRefused, ProposalUnknown
from cluster.consensus.member import Member
from cluster.log import commands as c
from cluster.log.view import Member as Log
from paceline.errors import ConfigError
from tests.support.consensus_clusters import (
    MemberCluster,
    Replica,
    free_ports,
)
from tests.support.waiting import until

TIMEOUT_S = 10.0
OTHER = secrets.token_hex(32)


def setting(n: int) -> bytes:
    return c.encode(c.SetSetting(f"k{n % 50}", str(n)))


@pytest_asyncio.fixture
async def three(tmp_path: Path) -> AsyncIterator[MemberCluster]:
    cluster = MemberCluster(tmp_path, 3)
    await cluster.start()
    await cluster.leader()
    for replica in cluster.replicas:
        replica.join()
    try:
        yield cluster
    finally:
        await cluster.stop()


class TestLeadership:
    async def test_moves_on_request(self, three: MemberCluster) -> None:
        leader = await three.leader()
        target = next(r for r in three.replicas if r is not leader)
        name = f"n{three.replicas.index(target) + 1}"
        await until_sent(leader, name)
        await until(lambda: target.consensus.is_leader, "the target leads", 5.0)
        await until(lambda: leader.consensus.leader == name, "the old leader names it", 5.0)

    async def test_only_the_leader_can_move_it(self, three: MemberCluster) -> None:
        leader = await three.leader()
        for replica in three.replicas:
            if replica is not leader:
                assert not await replica.consensus.transfer_leadership("n1")
        assert not await leader.consensus.transfer_leadership("nobody")

    async def test_two_of_three_go_on_and_one_does_not(self, three: MemberCluster) -> None:
        leader = await three.leader()
        await leader.stop()
        rest = [r for r in three.replicas if r is not leader]
        await until(lambda: any(r.consensus.is_leader for r in rest), "another one leads", 10.0)
        await until(lambda: all(r.consensus.synced for r in rest), "both are synced")
        assert (await rest[0].consensus.propose(setting(1), TIMEOUT_S)).ok
        await rest[1].stop()
        await until(lambda: not rest[0].consensus.has_quorum, "no quorum is noticed", 10.0)
        with pytest.raises((ProposalRefused, ProposalUnknown)):
            await rest[0].consensus.propose(setting(2), 0.5)
        await until(lambda: not rest[0].consensus.is_leader, "nobody leads", 10.0)
        with pytest.raises(ProposalRefused):
            await rest[0].consensus.propose(setting(3), 0.5)


async def until_sent(leader: Replica, to: str) -> None:
    """A transfer is denied until the target has acknowledged everything."""
    for _ in range(100):
        if await leader.consensus.transfer_leadership(to):
            return
        await asyncio.sleep(0.02)
    pytest.fail("the leader never sent the request")


class TestMembership:
    async def test_a_node_added_while_running_catches_up_and_counts(
        self, three: MemberCluster
    ) -> None:
        leader = await three.leader()
        for n in range(20):
            await leader.consensus.propose(setting(n), TIMEOUT_S)
        three.addresses["n4"] = f"127.0.0.1:{free_ports(1)[0]}"
        added = three.replica("n4")
        await added.start()
        await until(lambda: "taken in" in str(added.consensus.trouble), "it waits")
        for replica in three.replicas:  # as the agent does, once the command is in the log
            replica.consensus.know_peers(three.peers)
            replica.welcome.add(three.disks["n4"])
        await three.replicas[0].consensus.add_peer(three.disks["n4"], TIMEOUT_S)
        three.replicas.append(added)
        await until(lambda: added.state.settings.get("k19") == "19", "it has the log")
        await until(lambda: added.consensus.synced, "it is synced")
        assert all(replayed for _, _, replayed in added.applied[:19])
        assert (await added.consensus.propose(setting(20), TIMEOUT_S)).ok

    async def test_a_follower_can_be_removed_the_leader_and_oneself_not(
        self, three: MemberCluster
    ) -> None:
        leader = await three.leader()
        name = f"n{three.replicas.index(leader) + 1}"
        follower = next(r for r in three.replicas if r is not leader)
        gone = f"n{three.replicas.index(follower) + 1}"
        with pytest.raises(ProposalRefused, match="transfer leadership first"):
            await follower.consensus.remove_peer(three.disks[name], TIMEOUT_S)
        with pytest.raises(ProposalRefused, match="remove itself"):
            await follower.consensus.remove_peer(three.disks[gone], TIMEOUT_S)
        await leader.consensus.remove_peer(three.disks[gone], TIMEOUT_S)
        await follower.stop()
        assert (await leader.consensus.propose(setting(1), TIMEOUT_S)).ok
        await leader.consensus.remove_peer(three.disks[gone], TIMEOUT_S)

    async def test_an_emptied_disk_is_another_one_and_does_not_vote(
        self, three: MemberCluster
    ) -> None:
        leader = await three.leader()
        followers = [r for r in three.replicas if r is not leader]
        index = three.replicas.index(followers[0])
        await followers[0].stop()
        await leader.stop()
        for file in (three.path / f"n{index + 1}").iterdir():
            file.unlink()
        emptied = three.replica(f"n{index + 1}")
        three.replicas[index] = emptied
        await emptied.start()
        both = [emptied, followers[1]]
        # An election takes 0.5 to 1 s; three of them are enough to see that none succeeds.
        for _ in range(30):
            await asyncio.sleep(0.1)
            assert not any(r.consensus.is_leader for r in both)
        assert emptied.consensus.founders == {}
        assert "taken in" in str(emptied.consensus.trouble)


class TestFounding:
    async def test_nothing_is_founded_without_one_of_the_founders(self, tmp_path: Path) -> None:
        cluster = MemberCluster(tmp_path, 3)
        cluster.replicas = [cluster.replica("n1"), cluster.replica("n2")]
        try:
            for replica in cluster.replicas:
                await replica.start()
            await until(
                lambda: all("n3" in str(r.consensus.trouble) for r in cluster.replicas),
                "both say for whom they wait",
            )
            assert not any(r.consensus.members for r in cluster.replicas)
            cluster.replicas.append(cluster.replica("n3"))
            await cluster.replicas[2].start()
            await cluster.leader()
            disks = set(cluster.disks.values())
            assert all(r.consensus.members == disks for r in cluster.replicas)
        finally:
            await cluster.stop()

    async def test_founders_that_are_configured_otherwise_say_so(self, tmp_path: Path) -> None:
        cluster = MemberCluster(tmp_path, 3)
        two = {node: at for node, at in cluster.addresses.items() if node != "n3"}
        cluster.replicas = [cluster.replica("n1"), cluster.replica("n2", addresses=two)]
        try:
            for replica in cluster.replicas:
                await replica.start()
            await until(
                lambda: all("PACELINE_PEERS" in str(r.consensus.trouble) for r in cluster.replicas),
                "both name the setting",
            )
        finally:
            await cluster.stop()


class TestLinks:
    async def test_the_dial_map_leads_a_link_through_a_proxy(self, tmp_path: Path) -> None:
        cluster = MemberCluster(tmp_path, 2)
        low, high = sorted(cluster.addresses, key=lambda n: cluster.addresses[n])
        target = cluster.addresses[low]
        links: list[asyncio.StreamWriter] = []

        async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                while data := await reader.read(65536):
                    writer.write(data)
                    await writer.drain()
            except OSError:
                pass
            finally:
                writer.close()

        async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            host, port = target.split(":")
            up_reader, up_writer = await asyncio.open_connection(host, int(port))
            links.extend([writer, up_writer])
            await asyncio.gather(pump(reader, up_writer), pump(up_reader, writer))

        proxy = await asyncio.start_server(accept, "127.0.0.1", 0)
        through = f"127.0.0.1:{proxy.sockets[0].getsockname()[1]}"
        cluster.replicas = [
            cluster.replica(low),
            cluster.replica(high, dial_map={target: through}),
        ]
        try:
            for replica in cluster.replicas:
                await replica.start()
            await cluster.leader()
            assert links
            proxy.close()
            for writer in links:
                writer.transport.abort()
            await until(
                lambda: not any(r.consensus.has_quorum for r in cluster.replicas), "cut off"
            )
        finally:
            await cluster.stop()
            proxy.close()

    async def test_a_wrong_secret_is_told_on_both_sides_and_stays_outside(
        self, tmp_path: Path
    ) -> None:
        cluster = MemberCluster(tmp_path, 3)
        try:
            await cluster.start()
            await cluster.leader()
            for index, stranger in ((0, "n1"), (2, "n3")):
                await cluster.replicas[index].stop()
                wrong = cluster.replicas[index] = cluster.replica(stranger, secret=OTHER)
                await wrong.start()
                right = [r for r in cluster.replicas if r is not wrong]
                await until(lambda: any(r.consensus.is_leader for r in right), "the others elect")  # noqa: B023
                await until(lambda: wrong.consensus.trouble, "the odd one says why")  # noqa: B023
                assert "PACELINE_SECRET" in str(wrong.consensus.trouble)
                assert not wrong.consensus.has_quorum
                await until(
                    lambda: any(r.consensus.trouble for r in right),  # noqa: B023
                    "another one says why",
                )
                await wrong.stop()
                cluster.replicas[index] = cluster.replica(stranger)
                await cluster.replicas[index].start()
                await cluster.leader()
        finally:
            await cluster.stop()

    async def test_a_wrong_secret_is_told_before_there_is_a_log(self, tmp_path: Path) -> None:
        cluster = MemberCluster(tmp_path, 2)
        cluster.replicas = [cluster.replica("n1"), cluster.replica("n2", secret=OTHER)]
        try:
            for replica in cluster.replicas:
                await replica.start()
            for replica in cluster.replicas:
                await until(
                    lambda: "PACELINE_SECRET" in str(replica.consensus.trouble),  # noqa: B023
                    "it names the setting",
                )
        finally:
            await cluster.stop()

    async def test_a_port_in_use_is_named(self, tmp_path: Path) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            cluster = MemberCluster(tmp_path, 2)
            replica = cluster.replica("n1", bind=f"127.0.0.1:{port}")
            with pytest.raises(ConfigError, match=f"{port} .*in use"):
                await replica.start()
            await replica.stop()

    async def test_strangers_get_nowhere(self, three: MemberCluster) -> None:
        host, port = three.addresses["n1"].split(":")
        streams = [await asyncio.open_connection(host, int(port)) for _ in range(40)]
        for n, (_, writer) in enumerate(streams):
            if n % 2:
                writer.write(b"\xff\xff\xff\x7f" + b"x" * 100_000)
        leader = await three.leader()
        for n in range(20):
            assert (await leader.consensus.propose(setting(n), TIMEOUT_S)).ok
        for reader, writer in streams:  # also those that say nothing
            try:
                await asyncio.wait_for(reader.read(), TIMEOUT_S)
            except ConnectionError:
                pass
            writer.close()
        assert (await leader.consensus.propose(setting(1), TIMEOUT_S)).ok

    @pytest.mark.parametrize(
        ("change", "why"),
        [
            ({"secret": ""}, "32 random bytes"),
            ({"secret": "too short"}, "32 random bytes"),
            ({"addresses": {"n1": "h:1", "n2": "h:1"}}, "same consensus address"),
            ({"addresses": {"n1": "h:1", "n2": "nowhere"}}, "HOST:PORT"),
            ({"bind": "h"}, "HOST:PORT"),
        ],
    )
    async def test_settings_that_cannot_be(
        self, tmp_path: Path, change: dict[str, object], why: str
    ) -> None:
        cluster = MemberCluster(tmp_path, 2)
        with pytest.raises(ConfigError, match=why):
            cluster.replica("n1", **change)  # type: ignore[arg-type]


class TestWays:
    """Whom a node reaches whose log is old, or that has moved."""

    async def test_one_that_was_away_comes_back_when_others_have_other_disks(
        self, tmp_path: Path
    ) -> None:
        """They were removed and added again under their ids, as after the loss of a disk: its log
        knows none of them."""
        cluster = MemberCluster(tmp_path, 5)
        try:
            await cluster.start()
            await cluster.leader()
            cluster.tell_all()
            away = cluster.replicas[4]
            await away.consensus.propose(setting(1), TIMEOUT_S)
            await away.stop()
            for index in range(4):
                await replaced(cluster, index)
            leader = next(r for r in cluster.replicas[:4] if r.consensus.is_leader)
            assert (await leader.consensus.propose(setting(2), TIMEOUT_S)).ok
            again = cluster.replicas[4] = cluster.replica("n5")
            await again.start()
            again.consensus.know_peers(cluster.before)
            await until(lambda: again.consensus.synced, "it has heard of the leader")
            assert again.state.settings["k2"] == "2"
            assert (await again.consensus.propose(setting(3), TIMEOUT_S)).ok
        finally:
            await cluster.stop()

    async def test_one_that_moved_comes_back(self, three: MemberCluster) -> None:
        """The log has its former address, and so have the settings of the others."""
        leader = await three.leader()
        three.tell_all()
        index = 0 if leader is not three.replicas[0] else 1
        node = f"n{index + 1}"
        await three.replicas[index].stop()
        moved = {**three.addresses, node: f"127.0.0.1:{free_ports(1)[0]}"}
        again = three.replicas[index] = three.replica(node, addresses=moved)
        await again.start()
        again.consensus.know_peers(three.peers)
        await until(lambda: again.consensus.synced, "it has heard of the leader")
        assert (await again.consensus.propose(setting(1), TIMEOUT_S)).ok

    async def test_all_have_moved(self, three: MemberCluster) -> None:
        """Settings know it, the log does not."""
        await three.leader()
        before = three.peers
        for replica in three.replicas:
            await replica.stop()
        three.addresses = {n: f"127.0.0.1:{free_ports(1)[0]}" for n in three.addresses}
        three.replicas = [three.replica(node) for node in three.addresses]
        for replica in three.replicas:
            await replica.start()
            replica.consensus.know_peers(before)
        leader = await three.leader()
        assert (await leader.consensus.propose(setting(1), TIMEOUT_S)).ok

    async def test_a_cluster_that_has_grown_comes_back_when_all_start_again(
        self, tmp_path: Path
    ) -> None:
        """The settings know no disks, and nothing is applied before there is a leader."""
        cluster = MemberCluster(tmp_path, 1)
        try:
            await cluster.start()
            (first,) = cluster.replicas
            await until(lambda: first.consensus.synced, "it leads")
            bootstrap = c.Bootstrap("c", dict(cluster.addresses), dict(cluster.disks))
            registered = c.RegisterMember(Log("n1", "a", "i"), cluster.disks["n1"])
            for command in (bootstrap, registered):
                assert (await first.consensus.propose(c.encode(command), TIMEOUT_S)).ok
            cluster.addresses["n2"] = f"127.0.0.1:{free_ports(1)[0]}"
            added = cluster.replica("n2")
            named = c.NameDisk("n2", cluster.disks["n2"])
            for command in (c.AdmitMember("n2", cluster.addresses["n2"]), named):
                assert (await first.consensus.propose(c.encode(command), TIMEOUT_S)).ok
            first.welcome.add(cluster.disks["n2"])
            cluster.replicas.append(added)
            cluster.tell_all()
            await added.start()
            await first.consensus.add_peer(cluster.disks["n2"], TIMEOUT_S)
            await until(lambda: len(first.consensus.voters) == 2, "it votes")
            await until(lambda: added.consensus.voters == first.consensus.voters, "it knows that")
            for replica in cluster.replicas:
                await replica.stop()
            cluster.replicas = [cluster.replica(node) for node in ("n1", "n2")]
            for replica in cluster.replicas:
                await replica.start()
            await cluster.leader()
        finally:
            await cluster.stop()

    async def test_who_is_level_does_not_hear_a_former_disk(self, three: MemberCluster) -> None:
        leader = await three.leader()
        former = next(r for r in three.replicas if r is not leader)
        node = f"n{three.replicas.index(former) + 1}"
        known = {**three.peers, node: Peer(three.addresses[node], "another")}
        assert isinstance(leader.consensus, Member)
        assert leader.consensus._meet(node, three.peers[node])
        assert three.disks[node] in {peer.disk for _, peer in leader.consensus._peers()}
        leader.consensus.know_peers(known)
        assert not leader.consensus._meet(node, three.peers[node])
        assert leader.consensus._meet("n9", Peer("here:1", "new")), "the log may not say it yet"
        leader.consensus.know_peers(known)
        met = {peer.disk for _, peer in leader.consensus._peers()}
        assert "new" not in met, "whom the log does not know, the level forget"


async def replaced(cluster: MemberCluster, index: int) -> None:
    """Its disk is lost; removed, and added again with an empty one."""
    node = f"n{index + 1}"
    rest = [r for n, r in enumerate(cluster.replicas) if n not in (index, 4)]
    lost, former = cluster.disks[node], cluster.replicas[index]
    await former.stop()
    await until(lambda: any(r.consensus.is_leader for r in rest), "another one leads")
    leader = next(r for r in rest if r.consensus.is_leader)
    await leader.consensus.remove_peer(lost, TIMEOUT_S)
    for file in (cluster.path / node).iterdir():
        file.unlink()
    again = cluster.replicas[index] = cluster.replica(node)
    for replica in rest:
        replica.consensus.know_peers(cluster.peers)
        replica.welcome.add(cluster.disks[node])
    await again.start()
    await leader.consensus.add_peer(cluster.disks[node], TIMEOUT_S)
    await until(lambda: again.consensus.synced, "it is level")
    again.consensus.know_peers(cluster.peers)
    await until(lambda: cluster.disks[node] in leader.consensus.voters, "it votes")
