"""A member's part in the replicated log: a participant, its listener, its links."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import grpc
import grpc.aio

from cluster.consensus.beginning import Beginning, Keep
from cluster.consensus.core.raft import Times
from cluster.consensus.environment import Disk
from cluster.consensus.founding import Disks
from cluster.consensus.interface import OnApplied, OnIntroduced, OnRestored, Peer, StateMachine
from cluster.consensus.introductions import Introducer
from cluster.consensus.links import ConsensusServicer, GrpcLinks
from cluster.consensus.participant import COMPACT_ENTRIES, TIMES, Participant
from cluster.transport.addresses import split_host_port
from cluster.transport.member_certificates import MemberCertificate, channel_options
from paceline.errors import ConfigError

RECEIVED_BYTES_MAX = 16 * 1024 * 1024
"""Of one message: several times what goes together, and room for the largest command."""


class Member(Participant):
    """``name``: of this disk; ``promised`` is what it promised before, and ``keep`` makes a promise
    durable. ``peers``: id to consensus address of every founder, this one included; the log knows
    better once there is one. ``bind``: where to listen. ``dial_map``: configured address to the
    address to dial instead. See ``Consensus``.
    """

    def __init__(
        self,
        *,
        node_id: str,
        name: str,
        promised: Disks | None,
        keep: Keep,
        peers: Mapping[str, str],
        bind: str,
        secret: str,
        cluster: str,
        disk: Disk,
        machine: StateMachine,
        jitter: Callable[[], float],
        dial_map: Mapping[str, str] | None = None,
        times: Times = TIMES,
        compact_entries: int = COMPACT_ENTRIES,
    ) -> None:
        """ConfigError for settings that cannot be."""
        _check(node_id, peers, bind, secret)
        self._certificate = MemberCertificate(secret, cluster, node_id)
        self._routes: dict[str, Peer] = {}
        """The members by node id, as the log has them."""
        self._met: dict[str, Peer] = {}
        """Those that sent letters, as they said."""
        self._bind = bind
        self._dial_map = dict(dial_map or {})
        self._server: grpc.aio.Server | None = None
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

    async def start(
        self, on_applied: OnApplied, on_restored: OnRestored, on_introduced: OnIntroduced
    ) -> None:
        await self._listen()
        await super().start(on_applied, on_restored, on_introduced)

    @property
    def trouble(self) -> str | None:
        if self.is_failed:
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
        if self._server is not None:
            server, self._server = self._server, None
            await server.stop(None)

    # The listener, and ways to others

    async def _listen(self) -> None:
        server = grpc.aio.server(options=_SERVER_OPTIONS)
        servicer = ConsensusServicer(self.receive, self._meet, self.introduced)
        server.add_generic_rpc_handlers((servicer,))
        try:
            bound = server.add_secure_port(self._bind, self._certificate.server_credentials())
        except RuntimeError:
            bound = 0
        if not bound:
            raise ConfigError(
                f"cannot listen on {self._bind} (PACELINE_CONSENSUS_BIND): the address is in use "
                "or not of this machine; stop the program that uses it or change the setting"
            )
        await server.start()
        self._server = server

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
        return grpc.aio.secure_channel(
            self._dial_map.get(address, address),
            self._certificate.channel_credentials(),
            options=[*_CHANNEL_OPTIONS, *channel_options(node)],
        )


_SERVER_OPTIONS: list[tuple[str, Any]] = [
    ("grpc.max_receive_message_length", RECEIVED_BYTES_MAX),
    ("grpc.so_reuseport", 0),
    ("grpc.server_handshake_timeout_ms", 2_000),
    ("grpc.keepalive_time_ms", 2_000),
    ("grpc.keepalive_timeout_ms", 2_000),
    ("grpc.http2.min_ping_interval_without_data_ms", 500),
    ("grpc.keepalive_permit_without_calls", 1),
]

_CHANNEL_OPTIONS: list[tuple[str, Any]] = [
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.enable_retries", 0),
    ("grpc.keepalive_time_ms", 1_000),
    ("grpc.keepalive_timeout_ms", 1_000),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.max_send_message_length", RECEIVED_BYTES_MAX),
]


def _check(node_id: str, peers: Mapping[str, str], bind: str, secret: str) -> None:
    if node_id not in peers:
        raise ConfigError(f"the peers {sorted(peers)} do not name this node, {node_id!r}")
    if len(set(peers.values())) != len(peers):
        raise ConfigError("two peers have the same consensus address")
    for address in (*peers.values(), bind):
        split_host_port(address)
    if not secret:
        raise ConfigError(
            "nodes of one cluster need a secret in common: set PACELINE_SECRET or "
            "PACELINE_SECRET_FILE"
        )
