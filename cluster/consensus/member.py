"""A member's part in the replicated log: a participant, its listener, its links."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import grpc
import grpc.aio

from cluster.consensus.core.raft import Times
from cluster.consensus.environment import Disk
from cluster.consensus.interface import OnApplied, OnRestored, StateMachine
from cluster.consensus.links import ConsensusServicer, GrpcLinks
from cluster.consensus.participant import COMPACT_ENTRIES, TIMES, Participant
from cluster.transport.addresses import split_host_port
from cluster.transport.member_certificates import MemberCertificate, channel_options
from paceline.errors import ConfigError

RECEIVED_BYTES_MAX = 16 * 1024 * 1024
"""Of one message: several times what goes together, and room for the largest command."""


class Member(Participant):
    """``peers``: id to consensus address of every founder, this one included; the log knows
    better once there is one. ``bind``: where to listen. ``dial_map``: configured address to the
    address to dial instead. See ``Consensus``.
    """

    def __init__(
        self,
        *,
        node_id: str,
        peers: Mapping[str, str],
        bind: str,
        secret: str,
        cluster: str,
        disk: Disk,
        machine: StateMachine,
        known: bool,
        jitter: Callable[[], float],
        dial_map: Mapping[str, str] | None = None,
        times: Times = TIMES,
        compact_entries: int = COMPACT_ENTRIES,
    ) -> None:
        """ConfigError for settings that cannot be."""
        _check(node_id, peers, bind, secret)
        self._certificate = MemberCertificate(secret, cluster, node_id)
        self._founders = dict(peers)
        self._bind = bind
        self._dial_map = dict(dial_map or {})
        self._server: grpc.aio.Server | None = None
        self._grpc_links = GrpcLinks(self._open_channel, self.unreachable)
        super().__init__(
            node_id,
            peers,
            machine,
            disk,
            self._grpc_links,
            jitter,
            times,
            known=known,
            compact_entries=compact_entries,
        )

    async def start(self, on_applied: OnApplied, on_restored: OnRestored) -> None:
        await self._listen()
        await super().start(on_applied, on_restored)

    @property
    def trouble(self) -> str | None:
        if super().trouble is not None:
            return super().trouble
        refused = [self._ids.get(name, name) for name in self._grpc_links.refused]
        if not refused:
            return None
        return (
            f"no handshake with {', '.join(refused)}: all nodes of a cluster need the same "
            "PACELINE_SECRET and PACELINE_CLUSTER"
        )

    def know_peers(self, addresses: Mapping[str, str]) -> None:
        known = {**self._founders, **addresses}
        self._ids = {address: peer for peer, address in known.items()}
        self._grpc_links.keep(set(self._ids))

    async def stop(self) -> None:
        await super().stop()
        await self._grpc_links.aclose()
        if self._server is not None:
            server, self._server = self._server, None
            await server.stop(None)

    # The listener, and ways to others

    async def _listen(self) -> None:
        server = grpc.aio.server(options=_SERVER_OPTIONS)
        server.add_generic_rpc_handlers((ConsensusServicer(self.receive, self._names),))
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

    def _names(self) -> Mapping[str, str]:
        return {peer: address for address, peer in self._ids.items()}

    def _open_channel(self, name: str) -> grpc.aio.Channel | None:
        peer = self._ids.get(name)
        if peer is None:
            return None
        return grpc.aio.secure_channel(
            self._dial_map.get(name, name),
            self._certificate.channel_credentials(),
            options=[*_CHANNEL_OPTIONS, *channel_options(peer)],
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
