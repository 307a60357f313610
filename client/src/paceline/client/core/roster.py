"""Who is in the cluster, as a client sees it; from either source. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any, Final

from paceline.client.core.seeds import split_address
from paceline.dax.responses import Endpoint, Role
from paceline.errors import ConfigError

_LISTENER: Final = "dax/"
_TLS_LISTENER: Final = "dax-tls/"
_UNREACHABLE: Final = 2
"""``HEALTH_UNREACHABLE`` of discovery.proto."""


@dataclass(frozen=True, slots=True)
class Node:
    """``number``: the node's identity in rosters of both kinds. ``usable``: reachable and not
    about to leave, as far as the sender knows."""

    number: int
    name: str
    zone: str
    host: str
    port: int
    primary: bool
    usable: bool = True
    grpc: str | None = None
    incarnation: str = ""


@dataclass(frozen=True, slots=True)
class Roster:
    nodes: tuple[Node, ...]
    epoch: int = 0
    """0 where the source does not tell: DAX ``endpoints``."""
    cluster_id: str = ""

    def replaces(self, current: "Roster | None") -> bool:
        """Whether to follow this one: never back to an older epoch of the same cluster.

        Two discovery processes may differ in how much they know.
        """
        if current is None or not self.epoch or not current.epoch:
            return True
        return self.cluster_id != current.cluster_id or self.epoch >= current.epoch


def of_endpoints(endpoints: Sequence[Endpoint]) -> Roster:
    return Roster(
        tuple(
            Node(
                found.node_id,
                found.hostname,
                found.zone,
                str(ip_address(found.address)),
                found.port,
                found.role == Role.LEADER,
            )
            for found in endpoints
        )
    )


def of_message(message: Any, listener: str | None = None, *, tls: bool = False) -> Roster:
    """From a ``discovery_pb2.Roster``.

    ``listener``: the name of the DAX listeners to connect to. Without it, the one that every
    node has; ConfigError when there are several, or none with (or without) TLS.
    """
    kind = _TLS_LISTENER if tls else _LISTENER
    listener = listener or _only_listener(message, kind)
    nodes = []
    for node in message.nodes:
        address = node.addresses.get(kind + listener)
        if not address:
            continue
        host, port = split_address(address)
        nodes.append(
            Node(
                node.number,
                node.id,
                node.zone,
                host,
                port,
                node.id == message.primary_id,
                not node.draining and node.health != _UNREACHABLE,
                node.addresses.get("grpc-tls" if tls else "grpc") or None,
                node.incarnation,
            )
        )
    return Roster(tuple(nodes), message.epoch, message.cluster_id)


def _only_listener(message: Any, kind: str) -> str:
    names = {
        name.removeprefix(kind)
        for node in message.nodes
        for name in node.addresses
        if name.startswith(kind)
    }
    if not names and message.nodes:
        with_or_without = "with" if kind == _TLS_LISTENER else "without"
        raise ConfigError(f"the nodes have no DAX listener {with_or_without} TLS")
    if "default" in names or not names:
        return "default"
    if len(names) > 1:
        raise ConfigError(
            f"the nodes have several DAX listeners ({', '.join(sorted(names))}): pass listener="
        )
    return str(names.pop())
