"""A frozen picture of the cluster, on which decisions are made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

MEMBERS = "members"
"""The key of ``Member.addresses`` under which members reach each other."""


@dataclass(frozen=True, slots=True)
class Member:
    """A registered node.

    ``addresses``: "dax/NAME" and "dax-tls/NAME" per named listener, "grpc", "grpc-tls", "admin",
    "http", "https", "members" (for other members; none of a node without a secret) to "host:port";
    hosts of DAX listeners are IP literals. ``number`` identifies the node in DAX rosters (1
    upwards, in order of registration, never reused).
    """

    id: str
    zone: str
    incarnation: str
    number: int = 0
    addresses: Mapping[str, str] = field(default_factory=dict)
    draining: bool = False


@dataclass(frozen=True, slots=True)
class ClusterView:
    """``primary`` is the holder named by the last grant, whether or not it still runs."""

    cluster_id: str
    members: tuple[Member, ...]
    epoch: int = 0
    primary: str | None = None
    epoch_members: tuple[str, ...] = ()
    """The ids over which this epoch's majorities count."""

    def member(self, node_id: str) -> Member | None:
        for member in self.members:
            if member.id == node_id:
                return member
        return None

    def address_of(self, node_id: str) -> str | None:
        """Where other members reach the node; None: nowhere."""
        member = self.member(node_id)
        return None if member is None else member.addresses.get(MEMBERS)
