"""What a connection says of its client: its name, and signatures, which are sent in front of a
request and renewed before they expire."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from paceline.auth.grpc_calls import sign_call
from paceline.auth.sigv4 import sign_dax
from paceline.clock import utc_now
from paceline.dax.request_types import Authorize
from paceline.dax.requests import encode_request

USER_AGENT: Final = "PacelineClient-1"
SESSION: Final = os.urandom(16)
"""Of this process."""

RENEW_S: Final = 240.0
"""A signature is valid for five minutes."""


@dataclass(frozen=True, slots=True)
class Credentials:
    access_key: str
    secret_key: str
    token: str | None = None


class Signable(Protocol):
    """A connection. ``signed_until``: when its next request needs another signature."""

    signed_until: float


def credentials_of(environ: Mapping[str, str]) -> Credentials | None:
    """By the variables of AWS's own tools; None without a key in them."""
    key, secret = environ.get("AWS_ACCESS_KEY_ID"), environ.get("AWS_SECRET_ACCESS_KEY")
    if not key or not secret:
        return None
    return Credentials(key, secret, environ.get("AWS_SESSION_TOKEN") or None)


def region_of(environ: Mapping[str, str]) -> str:
    return environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION") or "us-east-1"


def signer_of(environ: Mapping[str, str]) -> Signer | None:
    """None without credentials there."""
    found = credentials_of(environ)
    return None if found is None else Signer(lambda: found, region_of(environ), USER_AGENT)


class Signer:
    """``credentials`` is asked for every signature, so it may give fresh ones."""

    def __init__(self, credentials: Callable[[], Credentials], region: str, agent: str) -> None:
        self._credentials = credentials
        self._region = region
        self._agent = agent

    def prefix_for(self, connection: Signable, now: float) -> bytes:
        """What goes in front of the connection's next request: a signature, or nothing if the last
        one is still valid."""
        if now < connection.signed_until:
            return b""
        prefix = self.prefix()
        connection.signed_until = now + RENEW_S
        return prefix

    def metadata(self, method: str, message: bytes) -> tuple[tuple[str, str], ...]:
        """What goes with a call by gRPC: ``paceline.auth.grpc_calls``."""
        return sign_call(self._credentials(), self._region, method, message, utc_now())

    def prefix(self) -> bytes:
        found = self._credentials()
        signed = sign_dax(found.secret_key, self._region, utc_now())
        return encode_request(
            Authorize(
                found.access_key, signed.signature, signed.string_to_sign, found.token, self._agent
            )
        )
