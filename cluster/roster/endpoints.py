"""Chooses the nodes that clients are told to connect to, from a view and from probes."""

from __future__ import annotations

import enum
import hashlib
import ipaddress
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from cluster.log.view import ClusterView, Member
from paceline.dax.responses import Endpoint, Role

_SESSION_BYTES = 4
"""Session ids stay below 2^32: every client reads them as a plain CBOR integer."""


class Health(enum.Enum):
    UNKNOWN = "unknown"
    """Not probed yet; counts as alive."""
    ALIVE = "alive"
    UNREACHABLE = "unreachable"


class AddressFamily(enum.IntEnum):
    """Address families, by the number of bytes of an address."""

    IPV4 = 4
    IPV6 = 16


@dataclass(frozen=True, slots=True)
class _Candidate:
    member: Member
    address: bytes
    port: int


@dataclass(frozen=True, slots=True)
class Roster:
    """The endpoints that a cluster's clients get.

    Invariants, for any view with at least one DAX address, whatever the probes say:

    * never empty: if all probes fail, the last view stands;
    * exactly one endpoint has role 1, and it is a live one if any is: the holder of the primary
      lease when it is listed, else the lowest number (it holds writes until there is a primary);
    * a draining node is listed only if otherwise nothing would be, an unreachable one only if
      all are unreachable;
    * addresses belong to one listener name wherever some member has such a listener, so that
      addresses meant for different networks are not mixed.
    """

    view: ClusterView
    health: Mapping[str, Health] = field(default_factory=dict)

    def endpoints(
        self, listener: str, family: AddressFamily, *, tls: bool = False
    ) -> list[Endpoint]:
        """Answer to a query that came in on ``listener``, in order of node numbers.

        When no member has an address for that name and family, any listener of the family is
        taken, then any address at all: clients can still try it.
        """
        listed = self._listed(self._candidates(listener, family, tls))
        if not listed:
            return []
        leader = min(
            listed, key=lambda c: (c.member.id != self.view.primary, c.member.number, c.member.id)
        )
        return [
            Endpoint(
                node_id=candidate.member.number,
                hostname=candidate.member.id,
                address=candidate.address,
                port=candidate.port,
                role=Role.LEADER if candidate is leader else Role.REPLICA,
                zone=candidate.member.zone,
                leader_session_id=session_id(candidate.member),
            )
            for candidate in sorted(listed, key=lambda c: (c.member.number, c.member.id))
        ]

    def _candidates(self, listener: str, family: AddressFamily, tls: bool) -> list[_Candidate]:
        prefix = "dax-tls/" if tls else "dax/"
        exact = prefix + listener
        fits: Sequence[Callable[[str, bytes], bool]] = (
            lambda name, address: name == exact and len(address) == family,
            lambda name, address: name.startswith(prefix) and len(address) == family,
            lambda name, address: name.startswith(prefix),
        )
        for fit in fits:
            found = [c for m in self.view.members if (c := _candidate(m, fit)) is not None]
            if found:
                return found
        return []

    def _listed(self, candidates: list[_Candidate]) -> list[_Candidate]:
        reachable = [
            c for c in candidates if self.health.get(c.member.id) is not Health.UNREACHABLE
        ]
        pool = reachable or candidates
        return [c for c in pool if not c.member.draining] or pool


def session_id(member: Member) -> int:
    """A number that stays for one life of a node and differs in the next one."""
    text = f"{member.id}\n{member.incarnation}".encode()
    return int.from_bytes(hashlib.sha256(text).digest()[:_SESSION_BYTES], "big")


def parse_ip_port(address: str) -> tuple[bytes, int] | None:
    """(packed address, port) of ``1.2.3.4:5`` or ``[::1]:5``; None for anything else."""
    host, _, port = address.rpartition(":")
    try:
        packed = ipaddress.ip_address(host.removeprefix("[").removesuffix("]")).packed
        number = int(port)
    except ValueError:
        return None
    return (packed, number) if 0 < number < 65536 else None


def _candidate(member: Member, fit: Callable[[str, bytes], bool]) -> _Candidate | None:
    for name in sorted(member.addresses):
        parsed = parse_ip_port(member.addresses[name])
        if parsed is not None and fit(name, parsed[0]):
            return _Candidate(member, *parsed)
    return None
