"""A request as it is verified, within bounds. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from cluster.access.signatures import refusals

HEADERS_MAX: Final = 256
HEADER_BYTES_MAX: Final = 32 * 1024
"""Of all names and values together. A session's token has up to some 10 KB."""
QUERY_BYTES_MAX: Final = 16 * 1024
"""A presigned request has its token there, with escapes."""
PATH_BYTES_MAX: Final = 2 * 1024
"""All that is served here has a path of a few dozen bytes."""

Headers = Mapping[bytes, list[bytes]]
"""Values in the order in which they came, by names in lower case."""

_ONCE: Final = (
    b"authorization",
    b"host",
    b"x-amz-date",
    b"x-amz-target",
    b"x-amz-security-token",
    b"x-amz-content-sha256",
)
"""Whoever serves the request takes one of two values; the signature is over both."""


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """A request as it came, before anything in it was decoded.

    ``path`` and ``query`` as in the request line, without the ``?`` between them; ``headers`` in
    their order, a name as often as it came; ``body_sha256`` of the body's bytes as they were sent
    (compressed, if they were), 64 lower-case hex digits.
    """

    method: str
    path: bytes
    query: bytes
    headers: tuple[tuple[bytes, bytes], ...]
    body_sha256: str

    @classmethod
    def of(
        cls,
        method: str,
        target: bytes | str,
        headers: Iterable[tuple[bytes | str, bytes | str]],
        body: bytes,
    ) -> SignedRequest:
        """``target``: path and query, as in the request line. Text becomes UTF-8, as signers take
        it."""
        path, _, query = _bytes(target).partition(b"?")
        pairs = tuple((_bytes(name), _bytes(value)) for name, value in headers)
        return cls(method, path, query, pairs, sha256(body).hexdigest())


def _bytes(text: bytes | str) -> bytes:
    return text if isinstance(text, bytes) else text.encode("utf-8", "surrogateescape")


def headers_of(request: SignedRequest) -> Headers:
    """Denied: there is more of something than a request has, or two of what is there once."""
    if len(request.headers) > HEADERS_MAX:
        raise refusals.too_large("The number of headers is", len(request.headers), HEADERS_MAX)
    if len(request.path) > PATH_BYTES_MAX:
        raise refusals.too_large("The bytes of the path are", len(request.path), PATH_BYTES_MAX)
    if len(request.query) > QUERY_BYTES_MAX:
        raise refusals.too_large("The bytes of the query are", len(request.query), QUERY_BYTES_MAX)
    found: dict[bytes, list[bytes]] = {}
    size = 0
    for name, value in request.headers:
        size += len(name) + len(value)
        if size > HEADER_BYTES_MAX:
            raise refusals.too_large("The bytes of headers are", size, HEADER_BYTES_MAX)
        found.setdefault(name.lower(), []).append(value)
    for name in _ONCE:
        if len(found.get(name, ())) > 1:
            raise refusals.twice("header", name.decode())
    return found
