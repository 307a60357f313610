"""Signature Version 4 of calls by gRPC, as metadata. Pure: ``signed_at`` is a parameter.

A call is signed as the HTTP request that it nearly is: ``POST``, the method's full name as the
path (``/paceline.v1.Data/GetItem``), no query, and the request message's bytes as the body. What is
signed as the host is the same name for every server: servers are not told by which name they were
called. A signature is good for five minutes, by whichever node of the cluster.
"""

import hmac
from collections.abc import Callable
from datetime import UTC, datetime
from hashlib import sha256
from typing import Final, Protocol

from paceline.auth.sigv4 import signing_key

ALGORITHM: Final = "AWS4-HMAC-SHA256"
SERVICE: Final = "dynamodb"
HOST: Final = "grpc.paceline"
"""No host of AWS: what is signed for a cluster is worth nothing there."""


class Keys(Protocol):
    """What botocore's credentials have, too, frozen or not."""

    @property
    def access_key(self) -> str: ...

    @property
    def secret_key(self) -> str: ...

    @property
    def token(self) -> str | None: ...


class CallSigner:
    """``keys`` is asked for each call, so it may give fresh ones: ``lambda:
    session.get_credentials().get_frozen_credentials()`` with botocore, which renews them."""

    def __init__(self, keys: Callable[[], Keys], region: str) -> None:
        self._keys = keys
        self._region = region

    def metadata(
        self, method: str, message: bytes, signed_at: datetime
    ) -> tuple[tuple[str, str], ...]:
        """What to send with a call of ``method``, ``/package.Service/Method``. ``message``: the
        request's bytes; what is sent has to be these, since a message has more than one form.
        ``signed_at`` has a time zone."""
        return sign_call(self._keys(), self._region, method, message, signed_at)


def sign_call(
    keys: Keys, region: str, method: str, message: bytes, signed_at: datetime
) -> tuple[tuple[str, str], ...]:
    """As ``CallSigner.metadata``."""
    at = signed_at.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
    body_hash = sha256(message).hexdigest()
    signed = {"host": HOST, "x-amz-content-sha256": body_hash, "x-amz-date": at}
    if keys.token:
        signed["x-amz-security-token"] = keys.token
    names = ";".join(signed)
    lines = "".join(f"{name}:{value}\n" for name, value in signed.items())
    canonical = f"POST\n{method}\n\n{lines}\n{names}\n{body_hash}".encode()
    scope = f"{at[:8]}/{region}/{SERVICE}/aws4_request"
    text = f"{ALGORITHM}\n{at}\n{scope}\n{sha256(canonical).hexdigest()}"
    key = signing_key(keys.secret_key, at[:8], region, SERVICE)
    signature = hmac.digest(key, text.encode(), "sha256").hex()
    del signed["host"]
    authorization = (
        f"{ALGORITHM} Credential={keys.access_key}/{scope}, SignedHeaders={names},"
        f" Signature={signature}"
    )
    return (("authorization", authorization), *signed.items())
