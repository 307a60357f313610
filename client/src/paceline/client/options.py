"""The arguments of both clients, and how a client is put together from them."""

import os
import random
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from paceline.client.boto import errors, passthrough
from paceline.client.core.call_flow import Core
from paceline.client.core.routing import Router
from paceline.client.core.seeds import Seed, endpoint_from, parse_seeds, zone_from
from paceline.client.driver_parts import DriverParts
from paceline.client.fallback import Fallback, OnReturn, dynamodb_client
from paceline.client.roster import zones
from paceline.client.settings import Settings
from paceline.client.signing import USER_AGENT, Credentials, Signer
from paceline.client.tls import Tls, make_tls
from paceline.clock import now as clock_now
from paceline.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Options:
    """What ``Client`` and ``AsyncClient`` take; see docs/clients.md."""

    endpoint_url: str | Iterable[str] | None = None
    zone: str | None = None
    listener: str | None = None
    region_name: str | None = None
    aws_access_key_id: str | None = None
    aws_secret_access_key: str | None = None
    aws_session_token: str | None = None
    credentials: Callable[[], Credentials] | None = None
    fallback: Any = None
    fallback_writes: bool = False
    fallback_rate_per_s: float = 100.0
    fallback_burst: float | None = None
    on_return: OnReturn | None = None
    verify: bool | str | os.PathLike[str] | None = None
    ca_bundle: str | os.PathLike[str] | None = None
    skip_hostname_verification: bool | None = None

    def seeds(self) -> tuple[Seed, ...]:
        return parse_seeds(self.endpoint_url or endpoint_from(os.environ))

    def tls(self, seeds: Sequence[Seed]) -> Tls | None:
        return make_tls(seeds, self.verify, self.ca_bundle, self.skip_hostname_verification)

    def fixed_zone(self) -> str | None:
        """None where it is not known, or is looked up later (``zone="metadata"``)."""
        if self.zone == zones.METADATA:
            return None
        return self.zone or zone_from(os.environ)

    def core(self, seeds: Sequence[Seed], settings: Settings) -> Core:
        if self.fallback_writes and not self.fallback:
            raise ConfigError("fallback_writes=True needs fallback=")
        rng = random.Random()
        # A third of randrange's time; its bias is of no matter among a few nodes.
        router = Router(lambda n: int(rng.random() * n), self.fixed_zone())
        return Core(
            ",".join(map(str, seeds)),
            router,
            settings,
            clock_now,
            errors=errors,
            passthrough=passthrough,
            has_fallback=bool(self.fallback),
            fallback_writes=self.fallback_writes,
            # Also for the client of an event loop: it is cheaper than one that does nothing.
            lock=threading.Lock(),
        )

    def driver_parts(self, settings: Settings) -> DriverParts:
        seeds = self.seeds()
        return DriverParts(
            self.core(seeds, settings),
            seeds,
            self.listener,
            self.tls(seeds),
            self.signer(),
            zones.zone_of_instance if self.zone == zones.METADATA else None,
        )

    def signer(self) -> Signer | None:
        credentials = self.credentials
        if credentials is None and self.aws_access_key_id is not None:
            if self.aws_secret_access_key is None:
                raise ConfigError("aws_access_key_id needs aws_secret_access_key")
            fixed = Credentials(
                self.aws_access_key_id, self.aws_secret_access_key, self.aws_session_token
            )
            credentials = lambda: fixed  # noqa: E731
        if credentials is None:
            return None
        region = self.region_name or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1"
        return Signer(credentials, region, USER_AGENT)

    def make_fallback(self, core: Core) -> Fallback | None:
        if not self.fallback:
            return None
        client = self.fallback
        if client is True or isinstance(client, str):
            arguments = {
                name: value
                for name in (
                    "region_name",
                    "aws_access_key_id",
                    "aws_secret_access_key",
                    "aws_session_token",
                )
                if (value := getattr(self, name)) is not None
            }
            client = dynamodb_client(
                None if client is True else client, arguments, writes=self.fallback_writes
            )
        return Fallback(
            client,
            core,
            rate_per_s=self.fallback_rate_per_s,
            burst=self.fallback_burst,
            on_return=self.on_return,
        )
