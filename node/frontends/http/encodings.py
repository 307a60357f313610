"""Bodies of requests that came compressed, and whether a reply may be. Pure."""

from __future__ import annotations

import zlib
from functools import lru_cache

_WINDOWS = {"gzip": zlib.MAX_WBITS | 16, "deflate": zlib.MAX_WBITS}
"""zlib's codes that accept one format alone. 'deflate' means zlib's format (RFC 9110, 8.4.1.2).
DynamoDB takes these two."""

PLAIN = frozenset({"", "identity"})

MEMBERS_MAX = 100
"""The most members of one body: for each, all bytes behind it are copied."""

HEADERS_MAX = 64
"""The most Accept-Encoding headers that are cached: SDKs have few."""


class Undecodable(Exception):
    """The body is not in the encoding that the request names, or in one that DynamoDB does not
    know."""


class TooLarge(Exception):
    """The decoded body is larger than the bound, however small it came."""


def decoded(body: bytes, encoding: str, bytes_max: int) -> bytes:
    """Returns ``body`` as it was before it was encoded. It never works out more than ``bytes_max``.

    Several members may follow one another (RFC 1952, 2.2), up to a hundred. Anything behind them
    spoils the whole.
    """
    encoding = encoding.strip().lower()
    if encoding in PLAIN:
        return body
    if encoding not in _WINDOWS:
        raise Undecodable(f"the encoding {encoding} is not known")
    parts: list[bytes] = []
    left = bytes_max
    for _ in range(MEMBERS_MAX):
        stream = zlib.decompressobj(_WINDOWS[encoding])
        try:
            part = stream.decompress(body, left + 1)
        except zlib.error as error:
            raise Undecodable(str(error)) from None
        left -= len(part)
        if left < 0:
            raise TooLarge
        parts.append(part)
        if not stream.eof:
            raise Undecodable("the body ends too early")
        body = stream.unused_data
        if not body:
            return b"".join(parts)
    raise Undecodable(f"the body has more than {MEMBERS_MAX} members")


@lru_cache(HEADERS_MAX)
def accepts_gzip(header: bytes) -> bool:
    """True if the value of Accept-Encoding names gzip, and not with the weight 0."""
    for entry in header.lower().split(b","):
        coding, _, weight = entry.partition(b";")
        if coding.strip() == b"gzip":
            name, _, value = weight.partition(b"=")
            return not (name.strip() == b"q" and value.strip(b" \t0.") == b"")
    return False
