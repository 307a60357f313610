"""The addresses from which a client learns the roster first, as people write them. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from paceline.errors import ConfigError

DAX_PORT: Final = 8111
GRPC_PORT: Final = 8112
TLS_OFFSET: Final = 1000
"""Ports with TLS are higher by this, by custom."""

VARIABLES: Final = ("PACELINE_ENDPOINT", "AWS_ENDPOINT_URL_DAX")
"""Environment variables that name an endpoint, the first that is set counts."""
ZONE_VARIABLES: Final = ("PACELINE_ZONE", "AWS_AVAILABILITY_ZONE")

SCHEMES: Final[dict[str, tuple[Literal["dax", "grpc"], bool]]] = {
    "dax": ("dax", False),
    "daxs": ("dax", True),
    "paceline": ("grpc", False),
    "grpc": ("grpc", False),
    "paceline+tls": ("grpc", True),
    "grpcs": ("grpc", True),
}
"""Scheme to protocol, and whether with TLS."""


@dataclass(frozen=True, slots=True)
class Seed:
    """An address to ask for the roster: the DAX ``endpoints`` or the gRPC discovery service."""

    kind: Literal["dax", "grpc"]
    host: str
    port: int
    tls: bool = False

    @property
    def address(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def __str__(self) -> str:
        scheme = "dax" if self.kind == "dax" else "paceline"
        ending = "" if not self.tls else "s" if self.kind == "dax" else "+tls"
        return f"{scheme}{ending}://{self.address}"


def parse_seeds(endpoint: str | Iterable[str]) -> tuple[Seed, ...]:
    """``dax://host:8111,host2:8111``, ``paceline://host:8112`` (gRPC), or several of both; with
    TLS ``daxs://host:9111`` and ``paceline+tls://host:9112``.

    An address without a scheme has the scheme of the one before it, the first one ``dax``.
    """
    texts = [endpoint] if isinstance(endpoint, str) else list(endpoint)
    seeds: list[Seed] = []
    scheme = "dax"
    for part in (part.strip() for joined in texts for part in joined.split(",")):
        if not part:
            continue
        before, found, address = part.partition("://")
        if found:
            scheme = before.lower()
        else:
            address = part
        if scheme not in SCHEMES:
            raise ConfigError(
                f"{scheme}:// is no scheme of an endpoint: use dax://host:{DAX_PORT} or "
                f"paceline://host:{GRPC_PORT}, with TLS daxs://host:{DAX_PORT + TLS_OFFSET} or "
                f"paceline+tls://host:{GRPC_PORT + TLS_OFFSET}"
            )
        seeds.append(_seed(scheme, address.rstrip("/")))
    if not seeds:
        raise ConfigError(f"an empty endpoint: name one, such as dax://127.0.0.1:{DAX_PORT}")
    if len({seed.tls for seed in seeds}) > 1:
        # Else whoever makes the one fail would get to read what was meant to be hidden.
        raise ConfigError(
            f"{', '.join(map(str, seeds))}: endpoints with TLS and without do not mix"
        )
    return tuple(dict.fromkeys(seeds))


def _seed(scheme: str, address: str) -> Seed:
    kind, tls = SCHEMES[scheme]
    return Seed(kind, *split_address(address, default_port(scheme)), tls)


def default_port(scheme: str) -> int:
    """Returns the port that clients take where an endpoint names none."""
    kind, tls = SCHEMES[scheme]
    return (DAX_PORT if kind == "dax" else GRPC_PORT) + (TLS_OFFSET if tls else 0)


def split_address(address: str, default_port: int = 0) -> tuple[str, int]:
    """Host and port of ``host``, ``host:port``, ``[v6]`` or ``[v6]:port``."""
    host, port_text = address, ""
    if address.startswith("["):
        host, _, rest = address[1:].partition("]")
        port_text = rest.removeprefix(":")
    elif address.count(":") == 1:
        host, _, port_text = address.partition(":")
    try:
        port = int(port_text) if port_text else default_port
    except ValueError:
        port = -1
    if not host or not 0 < port < 65536:
        raise ConfigError(f"{address!r} is no address: write host:port")
    return host, port


def endpoint_from(environment: Mapping[str, str]) -> str:
    """The endpoint that the environment names; ConfigError when there is none."""
    for variable in VARIABLES:
        if text := environment.get(variable):
            return text
    raise ConfigError(
        "no endpoint: pass endpoint_url=, for instance dax://127.0.0.1:8111, or set "
        + " or ".join(VARIABLES)
    )


def zone_from(environment: Mapping[str, str]) -> str | None:
    return next((environment[v] for v in ZONE_VARIABLES if environment.get(v)), None)
