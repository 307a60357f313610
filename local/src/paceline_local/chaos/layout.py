"""Which links a one-machine cluster has, and what each program has to dial to go through them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

from paceline_local.plan import ClusterPlan

Channel = Literal["consensus", "replication", "roster", "dax", "dynamodb"]
CHANNELS: tuple[Channel, ...] = ("consensus", "replication", "roster", "dax", "dynamodb")
"""What a link carries. ``replication``: also writes that are forwarded. ``roster``: what discovery
hears of nodes. ``dax``: the connections by which nodes and discovery see who answers."""

AT_MEMBERS_PORT = ("consensus", "replication", "roster")

DISCOVERY = "discovery"
DYNAMODB = "dynamodb"


@dataclass(frozen=True, slots=True)
class LinkSpec:
    """The connections that ``dialler`` opens to ``acceptor``, which listens on ``address``."""

    dialler: str
    acceptor: str
    channel: Channel
    address: str

    @property
    def dialled(self) -> str:
        """The link's name in the dialler's dial map."""
        return f"{self.channel}/{self.address}" if self.channel in AT_MEMBERS_PORT else self.address

    @property
    def target(self) -> tuple[str, int]:
        host, _, port = self.address.rpartition(":")
        return host.removeprefix("[").removesuffix("]"), int(port)


def links_of(plan: ClusterPlan) -> list[LinkSpec]:
    """Every link; none to DynamoDB where it is reached by TLS, which proxies cannot enter."""
    links: list[LinkSpec] = []
    for dialler in (*(node.id for node in plan.nodes), DISCOVERY):
        for node in plan.nodes:
            if node.id == dialler:
                continue
            uses: tuple[Channel, ...] = ("consensus", "replication")
            for use in uses if dialler != DISCOVERY else ("roster",):
                links.append(LinkSpec(dialler, node.id, use, node.consensus))
            links.append(LinkSpec(dialler, node.id, "dax", node.dax.removeprefix("dax://")))
    address = dynamodb_address(plan)
    if address is not None:
        links += [LinkSpec(node.id, DYNAMODB, "dynamodb", address) for node in plan.nodes]
    return links


def dynamodb_address(plan: ClusterPlan) -> str | None:
    """The address of DynamoDB; None for AWS and other endpoints that are reached by TLS."""
    parts = urlsplit(plan.dynamodb.endpoint)
    if parts.scheme != "http" or parts.hostname is None:
        return None
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{host}:{parts.port or 80}"


@dataclass(frozen=True, slots=True)
class Detours:
    """The proxies' addresses, by link."""

    proxies: Mapping[LinkSpec, str]

    def dial_map(self, program: str) -> dict[str, str]:
        """Maps configured addresses to those to dial, for a node or discovery."""
        return {
            link.dialled: proxy
            for link, proxy in self.proxies.items()
            if link.dialler == program and link.acceptor != DYNAMODB
        }

    def dynamodb_endpoint(self, program: str) -> str | None:
        """The proxy's endpoint; None if there is no proxy in between."""
        for link, proxy in self.proxies.items():
            if link.dialler == program and link.acceptor == DYNAMODB:
                return f"http://{proxy}"
        return None


def parties_of(plan: ClusterPlan) -> list[str]:
    """The programs that can be at an end of a link."""
    ends: Sequence[str] = () if dynamodb_address(plan) is None else (DYNAMODB,)
    return [*(node.id for node in plan.nodes), DISCOVERY, *ends]
