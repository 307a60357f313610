"""A member's part in the replicated log: a participant, its streams from and to others."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import grpc.aio

from cluster.consensus.beginning import Beginning, Keep
from cluster.consensus.core.messages import Durable
from cluster.consensus.core.raft import Times
from cluster.consensus.environment import Disk
from cluster.consensus.founding import Disks
from cluster.consensus.interface import Peer, StateMachine
from cluster.consensus.introductions import Introducer
from cluster.consensus.links import ConsensusServicer, GrpcLinks
from cluster.consensus.named_peers import named_peers
from cluster.consensus.participant import COMPACT_ENTRIES, TIMES, Participant
from cluster.transport.addresses import split_host_port
from cluster.transport.member_channels import MemberChannels
from cluster.transport.members_server import MembersServer
from paceline.errors import ConfigError


class Member(Participant):
    """``name``: of this disk; ``promised`` is what it promised before, and ``keep`` makes a promise
    durable. ``peers``: id to consensus address of every founder, this one included; the log knows
    better once there is one. ``server`` listens before this starts. See ``Consensus``.
    """

    def __init__(
        self,
        *,
        node_id: str,
        name: str,
        promised: Disks | None,
        keep: Keep,
        peers: Mapping[str, str],
        cluster: str,
        server: MembersServer,
        channels: MemberChannels,
        disk: Disk,
        machine: StateMachine,
        jitter: Callable[[], float],
        times: Times = TIMES,
        compact_entries: int = COMPACT_ENTRIES,
    ) -> None:
        """ConfigError for settings that cannot be."""
        _check(node_id, peers)
        self._found: list[tuple[str, Peer]] = []
        """What the log that was found names, committed or not, until this node is level."""
        self._routes: dict[str, Peer] = {}
        """The members by node id, as the log has them."""
        self._met: dict[str, Peer] = {}
        """Those that sent letters, as they said."""
        self._tried: dict[str, int] = {}
        """How often each disk was called, from 0."""
        self._channels = channels
        self._grpc_links = GrpcLinks(self._open_channel, self.unreachable, name, peers[node_id])
        self._introducer = Introducer(self._channel_to)
        ask = self._introducer.ask
        beginning = Beginning(node_id, name, cluster, peers, promised, ask, keep)
        self._configured = dict(peers)
        super().__init__(
            node_id,
            name,
            machine,
            disk,
            self._grpc_links,
            jitter,
            times,
            beginning=beginning,
            compact_entries=compact_entries,
        )
        server.add_handler(ConsensusServicer(self.receive, self._meet, self.introduced))

    @property
    def trouble(self) -> str | None:
        if self._failed is not None:
            return super().trouble
        unheard = {self._ids.get(name, name) for name in self._grpc_links.refused}
        refused = sorted(unheard | self._introducer.refused)
        if not refused:
            return super().trouble
        return (
            f"no handshake with {', '.join(refused)}: all nodes of a cluster need the same "
            "PACELINE_SECRET and PACELINE_CLUSTER"
        )

    def know_peers(self, peers: Mapping[str, Peer]) -> None:
        super().know_peers(peers)
        named, counted = {peer.disk for peer in peers.values()}, self.members
        # Whom the log names no more takes part until Raft has removed it.
        before = [*reversed(self._found), *self._routes.items()]
        leaving = {n: p for n, p in before if p.disk in counted - named}
        self._met = {**leaving, **self._met}
        self._routes = dict(peers)
        if self.synced:
            self._found = []
            self._met = {n: peer for n, peer in self._met.items() if peer.disk in named | counted}
        self._grpc_links.keep({peer.disk for _, peer in self._peers()})

    async def stop(self) -> None:
        await super().stop()
        await self._grpc_links.aclose()

    async def _open(self, begin: Durable | None) -> None:
        await super()._open(begin)
        log = self._raft.log
        self._found = named_peers(log.snapshot.data, log.between(log.base, log.last))
        if self._beginning is not None:
            self._beginning.know_peers(dict(reversed(self._found)))

    # Ways to others

    def _peers(self) -> list[tuple[str, Peer]]:
        """Nodes, where they may be reached, and their disks. What they say of themselves comes
        first, then the log, then the settings: either of those may be old, and a node may have
        another disk in each. Whoever is reached shows a certificate, and takes nothing that is for
        another disk."""
        known = [*self._met.items(), *self._routes.items(), *self._found]
        founders = () if self._routes else self.founders.items()
        disks = [*founders, *((node, peer.disk) for node, peer in known)]
        at = self._configured
        return [*known, *((node, Peer(at[node], disk)) for node, disk in disks if node in at)]

    def _may_be(self, node: str, peer: Peer) -> bool:
        """Who is not level does not know whether the log or the sender is older."""
        known = self._routes.get(node)
        return known is None or known.disk == peer.disk or not self.synced

    def _meet(self, node: str, peer: Peer) -> bool:
        if not self._may_be(node, peer):
            return False
        self._met[node] = peer
        self._ids[peer.disk] = node
        return True

    def _open_channel(self, name: str) -> grpc.aio.Channel | None:
        """To the addresses of the disk in turns."""
        found = [(node, p.address) for node, p in self._peers() if p.disk == name and p.address]
        ways = list(dict.fromkeys(found))
        if not ways:
            return None
        tried = self._tried[name] = self._tried.get(name, -1) + 1
        return self._channel_to(*ways[tried % len(ways)])

    def _channel_to(self, node: str, address: str) -> grpc.aio.Channel:
        return self._channels.open(address, node, use="consensus", options=_CHANNEL_OPTIONS)


_CHANNEL_OPTIONS = {
    "grpc.keepalive_time_ms": 1_000,
    "grpc.keepalive_timeout_ms": 1_000,
}


def _check(node_id: str, peers: Mapping[str, str]) -> None:
    if node_id not in peers:
        raise ConfigError(f"the peers {sorted(peers)} do not name this node, {node_id!r}")
    if len(set(peers.values())) != len(peers):
        raise ConfigError("two peers have the same consensus address")
    for address in peers.values():
        split_host_port(address)
