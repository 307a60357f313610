"""Bodies of requests that came compressed. Pure."""

from __future__ import annotations

import zlib

_GZIP = zlib.MAX_WBITS | 16
"""zlib's sign for the gzip format alone."""

PLAIN = frozenset({"", "identity"})


class Undecodable(Exception):
    """Not in the encoding that the request names, or in one that DynamoDB does not know."""


class TooLarge(Exception):
    """More than the bound, however small it came."""


def decoded(body: bytes, encoding: str, bytes_max: int) -> bytes:
    """``body`` as it was before it was encoded; never works out more than ``bytes_max``.

    gzip is the one encoding that DynamoDB takes, also in several members one after the other
    (RFC 1952, 2.2). Anything behind them spoils the whole.
    """
    encoding = encoding.strip().lower()
    if encoding in PLAIN:
        return body
    if encoding != "gzip":
        raise Undecodable(f"the encoding {encoding} is not known")
    parts: list[bytes] = []
    left = bytes_max
    while True:
        stream = zlib.decompressobj(_GZIP)
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
