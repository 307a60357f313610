"""Signature Version 4 of requests to DynamoDB's JSON API. Pure but for the cache of what was
prepared.

Source: AWS General Reference, "Signing AWS API requests" (canonical request, string to sign,
derived key). A request has one form here, POST to ``/`` with no query, so what is signed of its
head is the same for all that are sent in one second to one operation with one key: that is made
once, and hashed as far as it goes. The rest is a hash of the body, two of a few bytes and an HMAC.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, NamedTuple

from cluster.access.signatures.signing_keys import SigningKey
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

PREPARED_MAX = 256
"""One for each operation and credential that were in use in a second; with long tokens some
kilobytes each."""


class _Prepared(NamedTuple):
    """``head``: the lines up to the signature. ``canonical``: a hash that has taken in the
    canonical request up to the body's; ``text``: what is signed, up to that hash."""

    head: str
    canonical: Any
    text: bytes
    key: SigningKey


class Signer:
    """``host``: as the Host header has it. ``region``: the one to sign for."""

    def __init__(self, host: str, region: str) -> None:
        self._host = host
        self._region = region
        self._derived: dict[tuple[str, str], SigningKey] = {}
        """By secret and day. Large requests are signed in a thread: what it finds is whole, and
        what it loses is derived again. The same holds of what is prepared."""
        self._prepared: dict[tuple[int, str, Keys], _Prepared] = {}

    def head(self, target: str, body: bytes, keys: Keys, now: float) -> str:
        """Returns the lines of the headers that authenticate a request, those that are signed among
        them.

        ``target``: the value of X-Amz-Target. ``now``: seconds since the epoch, by the wall clock.
        """
        what = (int(now), target, keys)
        prepared = self._prepared.get(what)
        if prepared is None:
            if len(self._prepared) >= PREPARED_MAX:
                self._prepared.clear()
            prepared = self._prepared[what] = self._prepare(*what)
        head, canonical, text, key = prepared
        whole = canonical.copy()
        whole.update(sha256(body).hexdigest().encode())
        signature = key.signature(text + whole.hexdigest().encode())
        return f"{head}{signature}\r\n"

    def _prepare(self, second: int, target: str, keys: Keys) -> _Prepared:
        at = datetime.fromtimestamp(second, UTC).strftime("%Y%m%dT%H%M%SZ")
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
        scope = f"{day}/{self._region}/{_SERVICE}/aws4_request"
        sent = "".join(f"{name}: {value}\r\n" for name, value in signed.items())
        return _Prepared(
            f"{sent}authorization: {_ALGORITHM} Credential={keys.access}/{scope}, "
            f"SignedHeaders={names}, Signature=",
            sha256(f"POST\n/\n\n{lines}\n{names}\n".encode()),
            f"{_ALGORITHM}\n{at}\n{scope}\n".encode(),
            self._key(keys.secret, day),
        )

    def _key(self, secret: str, day: str) -> SigningKey:
        derived = self._derived
        key = derived.get((secret, day))
        if key is None:
            if len(derived) >= DERIVED_MAX:
                derived.clear()
            made = SigningKey(signing_key(secret, day, self._region, _SERVICE))
            key = derived[secret, day] = made
        return key
