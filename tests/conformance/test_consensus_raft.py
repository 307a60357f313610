"""What only the implementation on pysyncobj has to do: peers, links, secrets, its files."""

import asyncio
import os
import pickle
import shutil
import socket
import struct
import threading
import zlib
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import pytest_asyncio

from cluster.consensus import raft, raft_transport
from cluster.consensus.interface import ProposalRefused, ProposalUnknown
from cluster.consensus.raft import RaftConsensus
from cluster.consensus.raft_files import check_raft_files
from cluster.consensus.raft_transport import Resolver
from cluster.data_dir import DataDir
from cluster.log import commands as c
from cluster.log.state import ReplicatedState
from paceline.errors import ConfigError
from tests.support.consensus_clusters import RaftCluster, Replica, free_ports, hashed
from tests.support.waiting import until

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning:pysyncobj.*")

TIMEOUT_S = 10.0


def setting(n: int) -> bytes:
    return c.encode(c.SetSetting(f"k{n % 50}", str(n)))


@pytest_asyncio.fixture
async def three(tmp_path: Path) -> AsyncIterator[RaftCluster]:
    cluster = RaftCluster(tmp_path, 3)
    await cluster.start()
    await cluster.leader()
    for replica in cluster.replicas:
        replica.join()
    try:
        yield cluster
    finally:
        await cluster.stop()


class TestLeadership:
    async def test_moves_on_request(self, three: RaftCluster) -> None:
        leader = await three.leader()
        target = next(r for r in three.replicas if r is not leader)
        name = f"n{three.replicas.index(target) + 1}"
        await until_sent(leader, name)
        await until(lambda: target.consensus.is_leader, "the target leads", 5.0)
        await until(lambda: leader.consensus.leader == name, "the old leader names it", 5.0)

    async def test_only_the_leader_can_move_it(self, three: RaftCluster) -> None:
        leader = await three.leader()
        for replica in three.replicas:
            if replica is not leader:
                assert not await replica.consensus.transfer_leadership("n1")
        assert not await leader.consensus.transfer_leadership("nobody")

    async def test_two_of_three_go_on_and_one_does_not(self, three: RaftCluster) -> None:
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


async def test_a_thread_that_stands_still_is_told_of(
    three: RaftCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(raft, "STALLED_S", 0.3)
    consensus = three.replicas[0].consensus
    await until(lambda: consensus.has_quorum and consensus.trouble is None, "all is well")
    go_on = threading.Event()
    consensus._calls.put(lambda _: go_on.wait(TIMEOUT_S))  # type: ignore[attr-defined]
    try:
        await until(lambda: not consensus.has_quorum, "it knows nothing any more")
        assert consensus.leader is None
        assert not consensus.is_leader
        assert not consensus.synced
        assert "has not turned" in str(consensus.trouble)
    finally:
        go_on.set()
    await until(lambda: consensus.has_quorum and consensus.trouble is None, "all is well again")


class TestMembership:
    async def test_a_node_added_while_running_catches_up_and_counts(
        self, three: RaftCluster
    ) -> None:
        leader = await three.leader()
        for n in range(20):
            await leader.consensus.propose(setting(n), TIMEOUT_S)
        three.addresses["n4"] = f"127.0.0.1:{free_ports(1)[0]}"
        await three.replicas[0].consensus.add_peer(three.addresses["n4"], TIMEOUT_S)
        added = three.replica("n4")
        three.replicas.append(added)
        await added.start()
        await until(lambda: added.state.settings.get("k19") == "19", "it has the log")
        await until(lambda: added.consensus.synced, "it is synced")
        assert all(replayed for _, _, replayed in added.applied[:19])
        assert (await added.consensus.propose(setting(20), TIMEOUT_S)).ok

    async def test_a_follower_can_be_removed_the_leader_and_oneself_not(
        self, three: RaftCluster
    ) -> None:
        leader = await three.leader()
        name = f"n{three.replicas.index(leader) + 1}"
        follower = next(r for r in three.replicas if r is not leader)
        gone = f"n{three.replicas.index(follower) + 1}"
        with pytest.raises(ProposalRefused, match="transfer leadership first"):
            await follower.consensus.remove_peer(three.addresses[name], TIMEOUT_S)
        with pytest.raises(ProposalRefused, match="remove itself"):
            await follower.consensus.remove_peer(three.addresses[gone], TIMEOUT_S)
        await leader.consensus.remove_peer(three.addresses[gone], TIMEOUT_S)
        await follower.stop()
        assert (await leader.consensus.propose(setting(1), TIMEOUT_S)).ok
        await leader.consensus.remove_peer(three.addresses[gone], TIMEOUT_S)

    async def test_an_emptied_disk_does_not_vote_for_a_cluster_with_a_history(
        self, three: RaftCluster
    ) -> None:
        leader = await three.leader()
        for n in range(120):
            await leader.consensus.propose(setting(n), TIMEOUT_S)
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
        await until(lambda: all(r.consensus.has_quorum for r in both), "they are connected")
        # An election takes 0.5 to 1 s; three of them are enough to see that none succeeds.
        for _ in range(30):
            await asyncio.sleep(0.1)
            assert not any(r.consensus.is_leader for r in both)
        emptied.consensus.allow_votes()
        await until(lambda: followers[1].consensus.is_leader, "with the vote it leads", 10.0)


class TestLinks:
    async def test_the_dial_map_leads_a_link_through_a_proxy(self, tmp_path: Path) -> None:
        cluster = RaftCluster(tmp_path, 2)
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
        for stranger in ("n1", "n3"):
            cluster = RaftCluster(tmp_path / stranger, 3)
            ports = sorted(cluster.addresses.values())
            cluster.addresses = dict(zip(("n1", "n2", "n3"), ports, strict=True))
            cluster.replicas = [
                cluster.replica(n, secret="another" if n == stranger else "right")
                for n in cluster.addresses
            ]
            try:
                for replica in cluster.replicas:
                    await replica.start()
                right = [
                    r
                    for n, r in zip(cluster.addresses, cluster.replicas, strict=True)
                    if n != stranger
                ]
                (wrong,) = [r for r in cluster.replicas if r not in right]
                await until(lambda: any(r.consensus.is_leader for r in right), "the others elect")  # noqa: B023
                await until(lambda: wrong.consensus.trouble, "the odd one says why")  # noqa: B023
                assert "PACELINE_SECRET" in str(wrong.consensus.trouble)
                assert not wrong.consensus.has_quorum
                await until(
                    lambda: any(r.consensus.trouble for r in right),  # noqa: B023
                    "another one says why",
                )
            finally:
                await cluster.stop()

    async def test_strangers_get_nowhere(
        self, three: RaftCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(raft_transport, "STRANGERS_MAX", 4)
        marker = tmp_path / "executed"

        class Payload:
            def __reduce__(self) -> tuple[object, tuple[str]]:
                return os.system, (f"touch {marker}",)

        host, port = three.addresses["n1"].split(":")
        data = zlib.compress(pickle.dumps(Payload()))
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(struct.pack("i", len(data)) + data)
        assert await asyncio.wait_for(reader.read(), TIMEOUT_S) == b""
        writer.close()
        assert not marker.exists()
        silent = [await asyncio.open_connection(host, int(port)) for _ in range(8)]
        ends = [asyncio.wait_for(r.read(), TIMEOUT_S) for r, _ in silent]
        assert await asyncio.gather(*ends) == [b""] * 8
        for _, w in silent:
            w.close()
        leader = await three.leader()
        assert (await leader.consensus.propose(setting(1), TIMEOUT_S)).ok

    async def test_a_port_in_use_is_named(self, tmp_path: Path) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            cluster = RaftCluster(tmp_path, 2)
            replica = cluster.replica("n1", bind=f"127.0.0.1:{port}")
            with pytest.raises(ConfigError, match=f"port {port} .*in use"):
                await replica.start()
            await replica.stop()

    async def test_a_start_that_is_given_up_leaves_no_port_taken(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        go = threading.Event()
        cluster = RaftCluster(tmp_path, 1)
        replica = cluster.replica("n1")
        build = replica.consensus._build  # type: ignore[attr-defined]

        def late() -> object:
            assert go.wait(TIMEOUT_S)
            return build()

        monkeypatch.setattr(replica.consensus, "_build", late)
        starting = asyncio.create_task(replica.start())
        await asyncio.sleep(0)
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting
        go.set()
        await replica.stop()
        host, port = cluster.addresses["n1"].split(":")
        with socket.socket() as other:
            other.bind((host, int(port)))

    async def test_a_name_that_resolves_late_delays_nobody(self) -> None:
        go = threading.Event()

        def lookup(host: str) -> str:
            assert go.wait(TIMEOUT_S)
            return "127.0.0.9"

        resolver = Resolver(lookup)
        assert resolver.address("127.0.0.1") == "127.0.0.1"
        assert resolver.address("::1") == "::1"
        assert resolver.address("name") is None
        go.set()
        await until(lambda: resolver.address("name") == "127.0.0.9", "the name is known")


class TestSettings:
    @pytest.mark.parametrize(
        ("change", "says"),
        [
            ({"peers": {"n2": "h:1"}}, "do not name this node"),
            ({"peers": {"n1": "h:1", "n2": "h:1"}}, "same consensus address"),
            ({"peers": {"n1": "h"}}, "host:port"),
            ({"peers": {"n1": "h:99999"}}, "host:port"),
            ({"bind": "h:"}, "host:port"),
            ({"secret": ""}, "PACELINE_SECRET"),
        ],
    )
    def test_bad_ones(self, tmp_path: Path, change: dict[str, object], says: str) -> None:
        data_dir = DataDir.open(tmp_path, "n1", "c")
        settings: dict[str, object] = {
            "node_id": "n1",
            "peers": {"n1": "127.0.0.1:1"},
            "bind": "127.0.0.1:1",
            "secret": "s",
            "cluster": "c",
            "data_dir": data_dir,
            "machine": ReplicatedState(hashed),
        }
        with pytest.raises(ConfigError, match=says):
            RaftConsensus(**{**settings, **change})  # type: ignore[arg-type]
        data_dir.close()

    async def test_a_bind_name_that_nobody_knows(self, tmp_path: Path) -> None:
        cluster = RaftCluster(tmp_path, 1)
        replica = cluster.replica("n1", bind="no-such-host.invalid:1234")
        with pytest.raises(ConfigError, match="cannot be resolved"):
            await replica.start()
        await replica.stop()


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a stopped node with a journal, a dump and a term file."""
    path = tmp_path_factory.mktemp("stopped")

    async def fill() -> None:
        cluster = RaftCluster(path, 1, compact_entries=10)
        await cluster.start()
        (replica,) = cluster.replicas
        await until(lambda: replica.consensus.synced, "synced")
        for n in range(35):
            await replica.consensus.propose(setting(n), TIMEOUT_S)
        await cluster.stop()

    with ThreadPoolExecutor(1) as executor:  # this thread's loops are pytest-asyncio's
        executor.submit(asyncio.run, fill()).result(30)
    return path / "n1"


class TestFiles:
    @pytest.fixture
    def directory(self, stopped: Path, tmp_path: Path) -> Path:
        copy = tmp_path / "n1"
        shutil.copytree(stopped, copy)
        assert check_raft_files(copy / "raft.journal", copy / "raft.dump") > 30
        return copy

    @pytest.mark.parametrize("name", ["raft.journal", "raft.dump", "raft.journal.meta"])
    @pytest.mark.parametrize("damage", ["missing", "empty", "half", "garbled"])
    def test_damage_is_refused_with_the_files_name(
        self, directory: Path, name: str, damage: str
    ) -> None:
        file = directory / name
        data = file.read_bytes()
        match damage:
            case "missing":
                file.unlink()
            case "empty":
                file.write_bytes(b"")
            case "half":
                used = len(data)
                if name == "raft.journal":
                    (used,) = struct.unpack_from("<I", data, 36)
                file.write_bytes(data[: used // 2])
            case "garbled":
                file.write_bytes(data[:40] + b"\xff" * 8 + data[48:])
        with pytest.raises(ConfigError, match="is damaged") as caught:
            check_raft_files(directory / "raft.journal", directory / "raft.dump")
        assert name in str(caught.value)

    async def test_a_damaged_directory_stops_the_start(self, directory: Path) -> None:
        (directory / "raft.dump").write_bytes(b"junk")
        cluster = RaftCluster(directory.parent, 1)
        replica = cluster.replica("n1")
        with pytest.raises(ConfigError, match=r"raft\.dump is damaged"):
            await replica.start()
        await replica.stop()

    def test_a_journal_that_was_just_being_made(self, tmp_path: Path) -> None:
        (tmp_path / "raft.journal").write_bytes(b"PYSY")
        assert check_raft_files(tmp_path / "raft.journal", tmp_path / "raft.dump") == 0
        assert not (tmp_path / "raft.journal").exists()
