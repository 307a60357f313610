"""Ways to other members: channels on which both ends show a certificate."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import grpc
import grpc.aio

from cluster.transport.addresses import dialled
from cluster.transport.member_certificates import ANY_NODE, MemberCertificate, Pair, channel_options
from cluster.transport.members_server import SENT_BYTES_MAX

Use = Literal["consensus", "replication", "roster"]
"""What a channel is for. Each has connections of its own, which a dial map can tell apart."""

_OPTIONS: Mapping[str, int] = {
    # A peer whose machine vanished sends no FIN; streams over it must end within seconds.
    "grpc.keepalive_time_ms": 5_000,
    "grpc.keepalive_timeout_ms": 2_000,
    "grpc.keepalive_permit_without_calls": 1,
    "grpc.http2.max_pings_without_data": 0,
    "grpc.max_receive_message_length": SENT_BYTES_MAX,
    "grpc.max_send_message_length": SENT_BYTES_MAX,
    # gRPC shares connections, and their back-off, between channels to the same address; a new
    # channel here means a new attempt.
    "grpc.use_local_subchannel_pool": 1,
    # Repeats are decided by those who know whether a call may be repeated.
    "grpc.enable_retries": 0,
    "grpc.initial_reconnect_backoff_ms": 100,
    "grpc.max_reconnect_backoff_ms": 1_000,
    # This one is the time for an attempt, TLS included.
    "grpc.min_reconnect_backoff_ms": 1_000,
    # Proxy settings in the environment are meant for the way out, not between nodes.
    "grpc.enable_http_proxy": 0,
}


class MemberChannels:
    """Opens channels to members. ``dial_map``: an address, or ``USE/ADDRESS`` for one use alone, to
    the address to dial instead. Whoever opens a channel closes it.
    """

    def __init__(
        self, certificate: MemberCertificate, dial_map: Mapping[str, str] | None = None
    ) -> None:
        self._certificate = certificate
        self._dial_map = dict(dial_map or {})

    @property
    def pair(self) -> Pair:
        """What a channel that is opened now shows. One that was opened with another pair shows
        that one at each new connection, until it is over."""
        return self._certificate.pair

    def open(
        self,
        address: str,
        node_id: str = ANY_NODE,
        *,
        use: Use,
        options: Mapping[str, int] | None = None,
    ) -> grpc.aio.Channel:
        """``node_id``: the only node that is believed to be there. ``options``: gRPC's, besides
        or in the place of the general ones."""
        return grpc.aio.secure_channel(
            dialled_for(self._dial_map, use, address),
            self._certificate.channel_credentials(),
            options=[*{**_OPTIONS, **(options or {})}.items(), *channel_options(node_id)],
        )


def dialled_for(dial_map: Mapping[str, str], use: Use, address: str) -> str:
    return dial_map.get(f"{use}/{address}") or dialled(dial_map, address)
