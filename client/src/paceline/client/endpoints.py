"""Where a client begins: addresses as people write them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from paceline.errors import ConfigError

DAX_PORT: Final = 8111
GRPC_PORT: Final = 8112

VARIABLES: Final = ("PACELINE_ENDPOINT", "AWS_ENDPOINT_URL_DAX")
"""Environment variables that name an endpoint, the first that is set counts."""
ZONE_VARIABLES: Final = ("PACELINE_ZONE", "AWS_AVAILABILITY_ZONE")

_KINDS: Final[dict[str, Literal["dax", "grpc"]]] = {
    "dax": "dax",
    "paceline": "grpc",
    "grpc": "grpc",
}


@dataclass(frozen=True, slots=True)
class Seed:
    """An address to ask for the roster: the DAX ``endpoints`` or the gRPC discovery service."""

    kind: Literal["dax", "grpc"]
    host: str
    port: int

    @property
    def address(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def __str__(self) -> str:
        return f"{'dax' if self.kind == 'dax' else 'paceline'}://{self.address}"


def parse_seeds(endpoint: str | Iterable[str]) -> tuple[Seed, ...]:
    """``dax://host:8111,host2:8111``, ``paceline://host:8112`` (gRPC), or several of both.

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
        if scheme == "daxs":
            raise ConfigError(
                "daxs:// is not there yet: Paceline's nodes do not speak TLS; use dax:// in a "
                "private network"
            )
        if scheme not in _KINDS:
            raise ConfigError(
                f"{scheme}:// is no scheme of an endpoint: use dax://host:{DAX_PORT} or "
                f"paceline://host:{GRPC_PORT}"
            )
        seeds.append(_seed(scheme, address.rstrip("/")))
    if not seeds:
        raise ConfigError(f"an empty endpoint: name one, such as dax://127.0.0.1:{DAX_PORT}")
    return tuple(dict.fromkeys(seeds))


def _seed(scheme: str, address: str) -> Seed:
    kind = _KINDS[scheme]
    host, port = split_address(address, DAX_PORT if kind == "dax" else GRPC_PORT)
    return Seed(kind, host, port)


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
