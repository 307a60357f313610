"""The form in which calls by gRPC are signed. Pure.

``paceline.auth.grpc_calls`` says what is signed, and signs. A call's metadata are its headers; only
those that belong to a signature are looked at, so that whatever else proxies add changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256

from cluster.access.signatures import refusals
from cluster.access.signatures.requests import SignedRequest
from paceline.auth.grpc_calls import HOST

_OURS = ("authorization", "date")
_METADATA_MAX = 256


def request_of(
    method: str, metadata: Iterable[tuple[str, str | bytes]], message: bytes
) -> SignedRequest:
    """``method``: the full name, ``/package.Service/Method``. ``metadata``: as the server got it,
    names in lower case. ``message``: the request's bytes as they came. Denied: too much of it."""
    headers: list[tuple[bytes, bytes]] = [(b"host", HOST.encode())]
    for count, (name, value) in enumerate(metadata, 1):
        if count > _METADATA_MAX:
            raise refusals.too_large("The number of metadata entries is", count, _METADATA_MAX)
        if name in _OURS or name.startswith("x-amz-"):
            told = value if isinstance(value, bytes) else value.encode("utf-8", "replace")
            headers.append((name.encode("utf-8", "replace"), told))
    path = method.encode("utf-8", "replace")
    return SignedRequest("POST", path, b"", tuple(headers), sha256(message).hexdigest())
