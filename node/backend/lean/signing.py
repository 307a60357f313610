"""Signature Version 4 of requests to DynamoDB's JSON API. Pure but for the cache of derived keys.

Source: AWS General Reference, "Signing AWS API requests" (canonical request, string to sign,
derived key). A request has one form here, POST to ``/`` with no query, so that only what changes is
put together for each.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass, field
from datetime import UTC, datetime

from paceline.auth.sigv4 import signing_key
from paceline.dynamodb_answers import CONTENT_TYPE

_ALGORITHM = "AWS4-HMAC-SHA256"
_SERVICE = "dynamodb"


@dataclass(frozen=True, slots=True)
class Keys:
    """An access key with its secret, and the session's token if there is one."""

    access: str
    secret: str = field(repr=False)
    token: str | None = field(default=None, repr=False)


DERIVED_MAX = 1024
"""Keys derived of secrets that are kept, one for each credential in use; some 300 bytes each."""


class Signer:
    """``host``: as the Host header has it. ``region``: the one to sign for."""

    def __init__(self, host: str, region: str) -> None:
        self._host = host
        self._region = region
        self._derived: dict[tuple[str, str], bytes] = {}
        """By secret and day. Large requests are signed in a thread: what it finds is whole, and
        what it loses is derived again."""

    def headers(self, target: str, body: bytes, keys: Keys, now: float) -> dict[str, str]:
        """Returns the headers that authenticate a request, those that are signed among them.

        ``target``: the value of X-Amz-Target. ``now``: seconds since the epoch, by the wall clock.
        """
        at = datetime.fromtimestamp(int(now), UTC).strftime("%Y%m%dT%H%M%SZ")
        day = at[:8]
        signed = {
            "content-type": CONTENT_TYPE,
            "host": self._host,
            "x-amz-date": at,
        }
        if keys.token:
            signed["x-amz-security-token"] = keys.token
        signed["x-amz-target"] = target
        names = ";".join(signed)
        lines = "".join(f"{name}:{value.strip()}\n" for name, value in signed.items())
        canonical = f"POST\n/\n\n{lines}\n{names}\n{hashlib.sha256(body).hexdigest()}"
        scope = f"{day}/{self._region}/{_SERVICE}/aws4_request"
        digest = hashlib.sha256(canonical.encode()).hexdigest()
        text = f"{_ALGORITHM}\n{at}\n{scope}\n{digest}"
        signature = hmac.new(self._key(keys.secret, day), text.encode(), "sha256").hexdigest()
        signed["authorization"] = (
            f"{_ALGORITHM} Credential={keys.access}/{scope}, SignedHeaders={names},"
            f" Signature={signature}"
        )
        return signed

    def _key(self, secret: str, day: str) -> bytes:
        derived = self._derived
        key = derived.get((secret, day))
        if key is None:
            if len(derived) >= DERIVED_MAX:
                derived.clear()
            key = derived[secret, day] = signing_key(secret, day, self._region, _SERVICE)
        return key
