"""Clusters of every Consensus implementation, in one process, for the conformance suite."""

from __future__ import annotations

import asyncio
import hashlib
import random
import secrets
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from cluster.consensus.beginning import Beginning
from cluster.consensus.core.raft import Times
from cluster.consensus.disk.directory import OsDirectory
from cluster.consensus.disk.thread import DiskThread
from cluster.consensus.environment import NoLinks
from cluster.consensus.forwarding import Letter
from cluster.consensus.founding import Answer, Disks, Introduction
from cluster.consensus.interface import Consensus, Peer, Welcome
from cluster.consensus.participant import TIMES, Participant
from cluster.data_dir import DataDir
from cluster.log.state import CommandResult, ReplicatedState
from tests.simulation.raft_disk import RaftDisk
from tests.support.served_member import ServedMember
from tests.support.waiting import until

SECRET = secrets.token_hex(32)


def hashed(names: Sequence[str]) -> int:
    digest = hashlib.sha256("\0".join(names).encode()).digest()
    return max(2, int.from_bytes(digest[:6], "big"))


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for s in sockets:
            s.bind(("127.0.0.1", 0))
        return [s.getsockname()[1] for s in sockets]
    finally:
        for s in sockets:
            s.close()


@dataclass
class Replica:
    """One participant: its consensus, and the loop's own copy of the state."""

    consensus: Consensus
    data_dir: DataDir | None = None
    state: ReplicatedState = field(default_factory=lambda: ReplicatedState(hashed))
    applied: list[tuple[bytes, CommandResult, bool]] = field(default_factory=list)
    restored: int = 0
    welcome: set[str] = field(default_factory=set)
    """Disks that the log is said to know, though they are in none."""

    async def start(self) -> None:
        await self.consensus.start(self._applied, self._restored, self._introduced)

    def join(self) -> None:
        """What the agent does once the cluster has registered this disk."""
        if self.data_dir is not None:
            self.data_dir.mark_joined()

    async def stop(self) -> None:
        await self.consensus.stop()
        if self.data_dir is not None:
            self.data_dir.close()

    def _applied(self, command: bytes, result: CommandResult, replayed: bool, age_s: float) -> None:
        assert self.state.apply(command) == result
        self.applied.append((command, result, replayed))

    def _introduced(self, other: Introduction) -> Welcome:
        return Welcome(accepted=other.disk in self.welcome)

    def _restored(self, snapshot: bytes) -> None:
        self.state.restore(snapshot)
        self.restored += 1


class Cluster(Protocol):
    disks: dict[str, str]
    replicas: list[Replica]

    async def start(self) -> None: ...
    async def stop(self) -> None: ...
    async def restart(self, index: int) -> Replica: ...


class MemberCluster:
    """With files, streams and certificates."""

    def __init__(self, path: Path, size: int, compact_entries: int = 2_000) -> None:
        self.path = path
        self.compact_entries = compact_entries
        self.addresses = {
            f"n{i + 1}": f"127.0.0.1:{port}" for i, port in enumerate(free_ports(size))
        }
        self.disks: dict[str, str] = {}
        """By node id, of those that were started."""
        self.replicas: list[Replica] = []
        self.before: dict[str, Peer] = {}
        """As ``peers``, when all were told."""

    def tell_all(self) -> None:
        """What the agents do that follow the log."""
        self.before = self.peers
        for replica in self.replicas:
            replica.consensus.know_peers(self.before)

    @property
    def peers(self) -> dict[str, Peer]:
        return {node: Peer(self.addresses[node], disk) for node, disk in self.disks.items()}

    def replica(
        self,
        node_id: str,
        *,
        secret: str | None = None,
        addresses: Mapping[str, str] | None = None,
        bind: str | None = None,
        dial_map: Mapping[str, str] | None = None,
    ) -> Replica:
        known = dict(addresses or self.addresses)
        data_dir = DataDir.open(self.path / node_id, node_id, "c")
        self.disks[node_id] = data_dir.identity.disk_id
        settings: dict[str, Any] = {
            "node_id": node_id,
            "peers": known,
            "bind": bind or known[node_id],
            "secret": SECRET if secret is None else secret,
            "cluster": "c",
            "machine": ReplicatedState(hashed),
            "dial_map": dial_map,
            "compact_entries": self.compact_entries,
        }
        return Replica(self._consensus(data_dir, settings), data_dir)

    def _consensus(self, data_dir: DataDir, settings: dict[str, Any]) -> Consensus:
        name = data_dir.identity.disk_id

        async def keep(disks: Disks) -> None:
            data_dir.promise(disks)

        return ServedMember(
            name=name,
            promised=data_dir.identity.promised,
            keep=keep,
            disk=DiskThread(OsDirectory(data_dir.path), name),
            jitter=random.Random(settings["node_id"]).random,
            **settings,
        )

    async def start(self) -> None:
        self.replicas = [self.replica(node_id) for node_id in self.addresses]
        for replica in self.replicas:
            await replica.start()

    async def restart(self, index: int) -> Replica:
        await self.replicas[index].stop()
        self.replicas[index] = self.replica(f"n{index + 1}")
        await self.replicas[index].start()
        return self.replicas[index]

    async def stop(self) -> None:
        for replica in self.replicas:
            await replica.stop()

    async def leader(self) -> Replica:
        """The replica that leads and is synced, once all agree who that is."""
        await until(
            lambda: (
                len({r.consensus.leader for r in self.replicas}) == 1
                and all(r.consensus.synced for r in self.replicas)
            ),
            "all agree on a leader and are synced",
        )
        (leader,) = [r for r in self.replicas if r.consensus.is_leader]
        return leader


class SimulatedCluster:
    """Our own Raft, with links that lose nothing, on files in memory."""

    def __init__(self, size: int, compact_entries: int = 2_000) -> None:
        self.compact_entries = compact_entries
        self.disks = {f"n{i + 1}": f"disk-{i + 1}" for i in range(size)}
        self._objects = {node_id: RaftDisk() for node_id in self.disks}
        self._promised: dict[str, Disks] = {}
        self.rafts: dict[str, Participant] = {}
        self.replicas: list[Replica] = []

    def send(self, letter: Letter) -> None:
        """As ``cluster.consensus.environment.Links``."""
        asyncio.get_running_loop().call_soon(self._arrive, letter)

    def _arrive(self, letter: Letter) -> None:
        raft = self.rafts.get(letter.target)
        if raft is not None and raft.is_running:
            raft.receive(letter)

    def _replica(self, node_id: str) -> Replica:
        name = self.disks[node_id]

        async def keep(disks: Disks) -> None:
            self._promised[node_id] = disks

        promised = self._promised.get(node_id)
        beginning = Beginning(node_id, name, "c", self.disks, promised, self._ask, keep)
        raft = Participant(
            node_id,
            name,
            ReplicatedState(hashed),
            self._objects[node_id],
            self,
            random.Random(node_id).random,
            Times(tick_s=0.05, election_s=0.5),
            beginning=beginning,
            compact_entries=self.compact_entries,
        )
        self.rafts[name] = raft
        return Replica(raft)

    async def _ask(self, node_id: str, address: str, mine: Introduction) -> Answer | None:
        raft = self.rafts.get(self.disks[node_id])
        return None if raft is None else raft.introduced(mine)

    async def start(self) -> None:
        self.replicas = [self._replica(node_id) for node_id in self.disks]
        for replica in self.replicas:
            await replica.start()

    async def restart(self, index: int) -> Replica:
        await self.replicas[index].stop()
        self.replicas[index] = self._replica(f"n{index + 1}")
        await self.replicas[index].start()
        return self.replicas[index]

    async def stop(self) -> None:
        for replica in self.replicas:
            await replica.stop()


class LoneCluster:
    """One that nobody can reach. ``path`` None: its disk is an object."""

    def __init__(self, path: Path | None, compact_entries: int = 2_000) -> None:
        self.path = path
        self.compact_entries = compact_entries
        self.disks = {"n1": "disk-1"}
        self.replicas: list[Replica] = []
        self._object = RaftDisk()

    async def start(self) -> None:
        self.replicas = [
            Replica(
                Participant(
                    "n1",
                    self.disks["n1"],
                    ReplicatedState(hashed),
                    self._object if self.path is None else self._files(self.path),
                    NoLinks(),
                    random.Random("n1").random,
                    TIMES,
                    compact_entries=self.compact_entries,
                )
            )
        ]
        await self.replicas[0].start()

    def _files(self, path: Path) -> DiskThread:
        path.mkdir(exist_ok=True)
        return DiskThread(OsDirectory(path), self.disks["n1"])

    async def restart(self, index: int) -> Replica:
        await self.stop()
        await self.start()
        return self.replicas[index]

    async def stop(self) -> None:
        for replica in self.replicas:
            await replica.stop()
