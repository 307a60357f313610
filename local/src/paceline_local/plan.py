"""What a one-machine cluster consists of, decided and checked before anything starts."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

from paceline.errors import ConfigError
from paceline_local.ports import (
    BASE_PORT_DEFAULT,
    LOOPBACK,
    NODES_MAX,
    NodePorts,
    Ports,
    make_ports,
)

ZONES_DEFAULT = ("a", "b", "c")
REGION_DEFAULT = "us-east-1"

_ZONE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,31}")
_REGION = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")

PRIMARY_LEASE_MIN_S = 0.3
"""Shorter leases run out during an ordinary pause of a busy machine, again and again."""
PRIMARY_LEASE_MAX_S = 60.0
_PRIMARY_LEASE_DEFAULT_S = 0.9
_RENEW_DEFAULT_S = 0.25
_READ_LEASE_DEFAULT_S = 0.6


@dataclass(frozen=True, slots=True)
class DynamoDBPlan:
    """Which DynamoDB is behind the cluster.

    ``endpoint`` is empty for AWS. ``credentials`` as the node's setting of that name has it.
    """

    kind: Literal["embedded", "aws", "url"]
    endpoint: str
    credentials: Literal["default", "dummy"]


@dataclass(frozen=True, slots=True)
class LeasePlan:
    """Lease durations given to every node; each follows from the primary lease."""

    primary_s: float
    renew_s: float
    read_s: float


@dataclass(frozen=True, slots=True)
class NodePlan:
    id: str
    zone: str
    ports: NodePorts
    host: str = LOOPBACK

    @property
    def consensus(self) -> str:
        return f"{self.host}:{self.ports.consensus}"

    @property
    def grpc(self) -> str:
        return f"{self.host}:{self.ports.grpc}"

    @property
    def admin(self) -> str:
        return f"http://{self.host}:{self.ports.admin}"

    @property
    def dax(self) -> str:
        return f"dax://{self.host}:{self.ports.dax}"

    @property
    def http(self) -> str:
        return f"http://{self.host}:{self.ports.http}"

    @property
    def dax_tls(self) -> str:
        return f"daxs://{self.host}:{self.ports.dax_tls}"

    @property
    def https(self) -> str:
        return f"https://{self.host}:{self.ports.https}"

    @property
    def grpc_tls(self) -> str:
        return f"{self.host}:{self.ports.grpc_tls}"

    def wanted_ports(self, *, tls: bool) -> list[tuple[str, int]]:
        """(purpose, port) of every port that it binds."""
        ports = self.ports
        plain = [
            ("DAX", ports.dax),
            ("HTTP", ports.http),
            ("gRPC", ports.grpc),
            ("consensus", ports.consensus),
            ("admin", ports.admin),
        ]
        secure = [
            ("DAX with TLS", ports.dax_tls),
            ("HTTPS", ports.https),
            ("gRPC with TLS", ports.grpc_tls),
        ]
        return plain + (secure if tls else [])


@dataclass(frozen=True, slots=True)
class ClusterPlan:
    ports: Ports
    nodes: tuple[NodePlan, ...]
    dynamodb: DynamoDBPlan
    region: str
    lease: LeasePlan | None = None
    """None: the nodes' own defaults."""
    tls: bool = False
    """Whether ports with TLS are opened besides the others."""
    host: str = LOOPBACK
    name: str = ""
    """Of a further cluster. Without one it is the home cluster, whose discovery answers AWS's
    services, too."""
    cache_bytes: int | None = None
    """Of each node; None: as its settings say."""

    @property
    def discovery_dax(self) -> str:
        return f"dax://{self.host}:{self.ports.discovery_dax}"

    @property
    def discovery_grpc(self) -> str:
        return f"{self.host}:{self.ports.discovery_grpc}"

    @property
    def discovery_dax_tls(self) -> str:
        return f"daxs://{self.host}:{self.ports.discovery_dax_tls}"

    @property
    def discovery_grpc_tls(self) -> str:
        return f"{self.host}:{self.ports.discovery_grpc_tls}"

    @property
    def discovery_http(self) -> str:
        return f"http://{self.host}:{self.ports.discovery_http}"

    @property
    def discovery_https(self) -> str:
        return f"https://{self.host}:{self.ports.discovery_https}"

    def wanted_ports(self) -> list[tuple[str, int]]:
        """(purpose, port) of every port that this plan binds."""
        wanted = [("embedded DynamoDB", self.ports.dynamodb)]
        if self.dynamodb.kind != "embedded":
            wanted = []
        wanted += [
            ("discovery, DAX", self.ports.discovery_dax),
            ("discovery, gRPC", self.ports.discovery_grpc),
        ]
        if not self.name:
            wanted.append(("discovery, HTTP", self.ports.discovery_http))
        if self.tls:
            wanted += [
                ("discovery, DAX with TLS", self.ports.discovery_dax_tls),
                ("discovery, gRPC with TLS", self.ports.discovery_grpc_tls),
            ]
            if not self.name:
                wanted.append(("discovery, HTTPS", self.ports.discovery_https))
        for node in self.nodes:
            wanted += [(f"{node.id}, {name}", at) for name, at in node.wanted_ports(tls=self.tls)]
        return wanted


def make_plan(
    *,
    nodes: int = 3,
    zones: Sequence[str] | None = None,
    base_port: int = BASE_PORT_DEFAULT,
    dynamodb: str = "embedded",
    region: str = REGION_DEFAULT,
    primary_lease_s: float | None = None,
    aws_credentials_present: bool = False,
    tls: bool = False,
) -> ClusterPlan:
    """Check what was asked for and lay it out; ConfigError says what does not fit.

    Nodes are spread over the zones in turn. ``dynamodb`` is ``embedded``, ``aws`` or the URL of
    an endpoint; an endpoint that is not Amazon's is signed for with placeholders unless the
    environment has AWS credentials (``aws_credentials_present``).
    """
    if not 1 <= nodes <= NODES_MAX:
        raise ConfigError(f"{nodes} nodes are not possible: choose 1 to {NODES_MAX} with --nodes")
    placed = _check_zones(zones, nodes)
    if not _REGION.fullmatch(region):
        raise ConfigError(f"{region!r} is no AWS region name, such as us-east-1")
    ports = make_ports(base_port)
    return ClusterPlan(
        ports=ports,
        nodes=tuple(
            NodePlan(f"node-{i}", placed[(i - 1) % len(placed)], ports.node(i))
            for i in range(1, nodes + 1)
        ),
        dynamodb=_plan_dynamodb(dynamodb, ports, aws_credentials_present),
        region=region,
        lease=None if primary_lease_s is None else _plan_lease(primary_lease_s),
        tls=tls,
    )


def is_zone(text: str) -> bool:
    return _ZONE.fullmatch(text) is not None


def _check_zones(zones: Sequence[str] | None, nodes: int) -> tuple[str, ...]:
    if zones is None:
        return ZONES_DEFAULT[:nodes]
    if not zones:
        raise ConfigError("no zone is named: give at least one, as in --zones a,b,c")
    for zone in zones:
        if not is_zone(zone):
            raise ConfigError(
                f"{zone!r} is no zone name: use up to 32 letters, digits, '.', '_' and '-', "
                "as in --zones a,b,c"
            )
    twice = next((zone for zone in zones if list(zones).count(zone) > 1), None)
    if twice is not None:
        raise ConfigError(
            f"zone {twice!r} is named twice: name each zone once, nodes take them in turn"
        )
    if len(zones) > nodes:
        raise ConfigError(
            f"{len(zones)} zones do not fit {nodes} node{'s' if nodes > 1 else ''}: name at most "
            f"{nodes} with --zones, or raise --nodes to {len(zones)}"
        )
    return tuple(zones)


def _plan_dynamodb(choice: str, ports: Ports, aws_credentials_present: bool) -> DynamoDBPlan:
    if choice == "embedded":
        return DynamoDBPlan("embedded", f"http://{LOOPBACK}:{ports.dynamodb}", "dummy")
    if choice == "aws":
        return DynamoDBPlan("aws", "", "default")
    wrong = ConfigError(
        f"--dynamodb {choice!r} is neither 'embedded', 'aws' nor a URL like http://127.0.0.1:8000"
    )
    try:
        url = urlsplit(choice)
        _ = url.port
    except ValueError as error:
        raise wrong from error
    if url.scheme not in ("http", "https") or not url.hostname or url.path not in ("", "/"):
        raise wrong
    amazon = url.hostname.endswith((".amazonaws.com", ".amazonaws.com.cn", ".api.aws"))
    real = amazon or aws_credentials_present
    return DynamoDBPlan("url", choice.rstrip("/"), "default" if real else "dummy")


def _plan_lease(primary_s: float) -> LeasePlan:
    if not math.isfinite(primary_s) or not PRIMARY_LEASE_MIN_S <= primary_s <= PRIMARY_LEASE_MAX_S:
        raise ConfigError(
            f"a primary lease of {primary_s} s is not possible: choose "
            f"{PRIMARY_LEASE_MIN_S} to {PRIMARY_LEASE_MAX_S:g} with --primary-lease"
        )
    # The defaults' proportions: more than four renewals fit a lease, and a read lease, which never
    # outlives the primary's, is two thirds of it.
    shorter = min(1.0, primary_s / _PRIMARY_LEASE_DEFAULT_S)
    return LeasePlan(
        primary_s=primary_s,
        renew_s=round(_RENEW_DEFAULT_S * shorter, 4),
        read_s=round(_READ_LEASE_DEFAULT_S * shorter, 4),
    )
