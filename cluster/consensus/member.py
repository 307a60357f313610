"""A member's part in the replicated log: a participant, its streams from and to others."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import grpc.aio

from cluster.consensus.beginning import Beginning, Keep
from cluster.consensus.core.raft import Times
from cluster.consensus.environment import Disk
from cluster.consensus.founding import Disks
from cluster.consensus.interface import Peer, StateMachine
from cluster.consensus.introductions import Introducer
from cluster.consensus.links import ConsensusServicer, GrpcLinks
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
        self._routes: dict[str, Peer] = {}
        """The members by node id, as the log has them."""
        self._met: dict[str, Peer] = {}
        """Those that sent letters, as they said."""
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
        self._routes = dict(peers)
        self._met = {node: peer for node, peer in self._met.items() if self._may_be(node, peer)}
        self._grpc_links.keep({peer.disk for peer in self._peers().values()})

    async def stop(self) -> None:
        await super().stop()
        await self._grpc_links.aclose()

    # Ways to others

    def _peers(self) -> Mapping[str, Peer]:
        """By node id. Before the log says where a founder is, the settings do."""
        founders = {
            node: Peer(self._configured[node], disk)
            for node, disk in self.founders.items()
            if node in self._configured
        }
        return {**founders, **self._met, **self._routes}

    def _may_be(self, node: str, peer: Peer) -> bool:
        known = self._routes.get(node)
        return known is None or known.disk == peer.disk

    def _meet(self, node: str, peer: Peer) -> bool:
        if not self._may_be(node, peer):
            return False
        self._met[node] = peer
        self._ids[peer.disk] = node
        return True

    def _open_channel(self, name: str) -> grpc.aio.Channel | None:
        for node, peer in self._peers().items():
            if peer.disk == name and peer.address:
                return self._channel_to(node, peer.address)
        return None

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
