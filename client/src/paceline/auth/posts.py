"""Signature Version 4 of a POST without a query, as headers. Pure: ``signed_at`` is a parameter.

Source: AWS General Reference, "Create a signed AWS API request".
"""

import hmac
from collections.abc import Mapping
from datetime import UTC, datetime
from hashlib import sha256
from typing import Protocol

from paceline.auth.sigv4 import ALGORITHM, signing_key


class Keys(Protocol):
    """What botocore's credentials have, too, frozen or not."""

    @property
    def access_key(self) -> str: ...

    @property
    def secret_key(self) -> str: ...

    @property
    def token(self) -> str | None: ...


def signed_post(
    path: str,
    headers: Mapping[str, str],
    body: bytes,
    keys: Keys,
    region: str,
    service: str,
    signed_at: datetime,
) -> dict[str, str]:
    """Returns the headers to send: ``headers``, all of which are signed, and those of the
    signature. All names are in small letters. ``signed_at`` has a time zone."""
    at = signed_at.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
    body_hash = sha256(body).hexdigest()
    signed = {name.lower(): value for name, value in headers.items()}
    signed |= {"x-amz-content-sha256": body_hash, "x-amz-date": at}
    if keys.token:
        signed["x-amz-security-token"] = keys.token
    signed = dict(sorted(signed.items()))
    names = ";".join(signed)
    lines = "".join(f"{name}:{value}\n" for name, value in signed.items())
    canonical = f"POST\n{path}\n\n{lines}\n{names}\n{body_hash}".encode()
    scope = f"{at[:8]}/{region}/{service}/aws4_request"
    text = f"{ALGORITHM}\n{at}\n{scope}\n{sha256(canonical).hexdigest()}"
    key = signing_key(keys.secret_key, at[:8], region, service)
    signature = hmac.digest(key, text.encode(), "sha256").hex()
    signed["authorization"] = (
        f"{ALGORITHM} Credential={keys.access_key}/{scope}, SignedHeaders={names},"
        f" Signature={signature}"
    )
    return signed
