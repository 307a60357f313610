"""The text that is signed, made from a request. Pure.

Sources: AWS General Reference, "Create a signed AWS API request"; RFC 3986 sections 2.1, 2.3 and
5.2.4; AWS's test suite for Signature Version 4. This is the form of all services but S3: the path
is normalised, and what is escaped in it is escaped once more.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from hashlib import sha256
from typing import Final
from urllib.parse import quote, unquote_to_bytes

from cluster.access.signatures import refusals
from cluster.access.signatures.requests import Headers, SignedRequest

ALGORITHM: Final = "AWS4-HMAC-SHA256"
TERMINATOR: Final = "aws4_request"
QUERY_PARAMETERS_MAX: Final = 256
ESCAPES_MAX: Final = 2048
"""In a query. The longest policy of a session has some 1 000, a token 200."""
RESPELLED_BYTES_MAX: Final = 1024
"""Of the names and values of a query that are not spelled as they are signed. Signers send them as
they sign them; to spell them anew takes a hundred times as long as to see that they are."""

# Possessive, or a run before a sign that is not signed so is taken apart in every way: 2 ** n.
_AS_SIGNED: Final = re.compile(
    rb"(?:[A-Za-z0-9_.~-]++"
    rb"|%(?!2[DE]|3[0-9]|4[1-9A-F]|5[0-9AF]|6[1-9A-F]|7[0-9AE])[0-9A-F]{2})*+"
).fullmatch
_NO_ESCAPE: Final = re.compile(rb"%(?![0-9A-Fa-f]{2})")

Parameters = list[tuple[str, str]]
"""Names and values of a query, each escaped in the one form that is signed."""


def canonical_path(path: bytes) -> str:
    """Without ``.``, ``..`` and empty segments, escaped byte by byte. An empty path is ``/``."""
    if path in (b"/", b""):
        return "/"
    kept: list[bytes] = []
    for segment in path.split(b"/"):
        if segment == b"..":
            del kept[-1:]
        elif segment not in (b"", b"."):
            kept.append(segment)
    first = "/" if path.startswith(b"/") else ""
    last = "/" if kept and path.endswith(b"/") else ""
    return first + quote(b"/".join(kept), safe="/~") + last


def parameters_of(query: bytes) -> Parameters:
    """In the order in which they came. Denied: there are too many, or too much to spell anew."""
    if not query:
        return []
    escapes = query.count(b"%")
    if escapes > ESCAPES_MAX:
        raise refusals.too_large("The number of escapes in the query is", escapes, ESCAPES_MAX)
    parts = query.split(b"&", QUERY_PARAMETERS_MAX)
    if len(parts) > QUERY_PARAMETERS_MAX:
        raise refusals.too_large(
            "The number of query parameters is", query.count(b"&") + 1, QUERY_PARAMETERS_MAX
        )
    pairs = [part.partition(b"=")[::2] for part in parts if part]
    others = sum(len(text) for pair in pairs for text in pair if not _AS_SIGNED(text))
    if others > RESPELLED_BYTES_MAX:
        raise refusals.too_large(
            "The bytes of the query that are not spelled as they are signed are",
            others,
            RESPELLED_BYTES_MAX,
        )
    return [(_escaped(name), _escaped(value)) for name, value in pairs]


def _escaped(text: bytes) -> str:
    if _AS_SIGNED(text):
        return text.decode("ascii")
    # A sign that begins no escape stands for itself; to find that out one by one takes long.
    return quote(unquote_to_bytes(_NO_ESCAPE.sub(b"%25", text)), safe="-_.~")


def canonical_query(parameters: Parameters) -> str:
    """By name, then by value."""
    return "&".join(f"{name}={value}" for name, value in sorted(parameters))


def canonical_headers(names: Sequence[str], headers: Headers) -> bytes:
    """A line for each of ``names``, in their order. Runs of white space are one blank, those at
    the ends nothing; values that share a name are joined by commas; a header that is not there
    is as one without a value."""
    lines = []
    for name in names:
        key = name.encode()
        folded = b",".join([b" ".join(value.split()) for value in headers.get(key, ())])
        lines.append(b"%b:%b\n" % (key, folded))
    return b"".join(lines)


def canonical_request(
    request: SignedRequest, parameters: Parameters, signed_headers: Sequence[str], headers: Headers
) -> bytes:
    """``signed_headers``: as the client has listed them. The hash of the body is that of what
    came, whatever a header says of it."""
    return b"\n".join(
        (
            request.method.encode(),
            canonical_path(request.path).encode(),
            canonical_query(parameters).encode(),
            canonical_headers(signed_headers, headers),
            ";".join(signed_headers).encode(),
            request.body_sha256.encode(),
        )
    )


def string_to_sign(signed_at: str, scope: str, canonical: bytes) -> bytes:
    """``signed_at``: YYYYMMDDTHHMMSSZ. ``scope``: day/region/service/aws4_request."""
    digest = sha256(canonical).hexdigest()
    return f"{ALGORITHM}\n{signed_at}\n{scope}\n{digest}".encode()
