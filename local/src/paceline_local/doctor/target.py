"""What an endpoint's URL names. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from paceline.client.core.seeds import SCHEMES, VARIABLES, default_port
from paceline.errors import ConfigError

DEFAULT: Final = "dax://127.0.0.1:8111"

_SCHEMES: Final = {
    **{name: (kind, tls, default_port(name)) for name, (kind, tls) in SCHEMES.items()},
    "http": ("http", False, 8141),
    "https": ("http", True, 9141),
}
"""Scheme to protocol, whether with TLS, and the port that clients take if none is named."""


@dataclass(frozen=True, slots=True)
class Target:
    """``kind``: dax, http or grpc. ``default_port``: the URL names none."""

    kind: str
    host: str
    port: int
    tls: bool
    default_port: bool = False

    @property
    def address(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def url(self) -> str:
        here = self.kind, self.tls
        scheme = next(name for name, (*known, _) in _SCHEMES.items() if (*known,) == here)
        return f"{scheme}://{self.address}"


def target_of(url: str | None, environment: Mapping[str, str]) -> Target:
    """Without a URL: what the SDK would take from the environment, or ``paceline up``'s own.
    ConfigError for what no client takes."""
    named = url or next((environment[v] for v in VARIABLES if environment.get(v)), DEFAULT)
    named = named.split(",")[0].strip()
    text = named if "://" in named else f"dax://{named}"
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise ConfigError(f"{named!r} is no address: {error}") from error
    known = _SCHEMES.get(parts.scheme)
    if known is None or not host:
        raise ConfigError(
            f"{named!r} is no endpoint: write it as {', '.join(_SCHEMES)}://host:port"
        )
    kind, tls, usual = known
    return Target(kind, host, usual if port is None else port, tls, port is None)
