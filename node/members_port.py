"""This node's port for other members, and its ways to theirs."""

from __future__ import annotations

from dataclasses import dataclass

from cluster.roster.control_feed import SERVICE as CONTROL
from cluster.roster.principals_feed import SERVICE as PRINCIPALS
from cluster.roster.servicer import SERVICE as ROSTER
from cluster.service.metrics_feed import SERVICE as METRICS
from cluster.settings import NodeSettings
from cluster.transport.member_certificates import MemberCertificate
from cluster.transport.member_channels import MemberChannels
from cluster.transport.members_server import MembersServer


@dataclass(frozen=True, slots=True)
class MembersPort:
    certificate: MemberCertificate
    server: MembersServer
    channels: MemberChannels


def members_port(settings: NodeSettings, secret: str) -> MembersPort | None:
    """None for a node without a secret: it has nothing to be known by, and stays alone. ConfigError
    for a secret that could be guessed."""
    if not secret:
        return None
    certificate = MemberCertificate(secret, settings.cluster, settings.node_id)
    feeds = [ROSTER, PRINCIPALS, CONTROL, METRICS]
    server = MembersServer(certificate, settings.members_bind, feeds)
    return MembersPort(certificate, server, MemberChannels(certificate, settings.dial_map))
