"""What a request says of its signature, in a header or in its query. Pure.

Nothing of it is believed yet. DynamoDB looks at what is missing first, whatever the rest says.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final
from urllib.parse import unquote, unquote_to_bytes

from cluster.access.denied import Denied
from cluster.access.signatures import refusals
from cluster.access.signatures.canonical import Parameters
from cluster.access.signatures.requests import Headers
from cluster.access.signatures.timestamps import seconds_of, seconds_of_http

AUTHORIZATION_BYTES_MAX: Final = 8192
SIGNED_HEADERS_MAX: Final = 128
EXPIRES_MAX_S: Final = 604_800
"""A presigned request is good for a week at most."""

_KEPT = 512
_KEPT_CHARACTERS_MAX = 1024
_HEX = re.compile(r"[0-9a-f]{64}")
_PREFIX = "AWS4-"
_SEPARATORS = re.compile(r"[, ]+")
_HEADER_PARAMETERS = ("Credential", "Signature", "SignedHeaders")
_QUERY_PARAMETERS = (
    "X-Amz-Algorithm",
    "X-Amz-Credential",
    "X-Amz-Signature",
    "X-Amz-SignedHeaders",
    "X-Amz-Date",
)
_TOKEN = "X-Amz-Security-Token"
_EXPIRES = "X-Amz-Expires"
_DIGITS = re.compile(r"[0-9]{1,10}")


@dataclass(frozen=True, slots=True)
class Claim:
    """``credential``: key id and scope, not split yet. ``signed_headers``: as they were listed.
    ``signed_at``: seconds since the epoch. ``parameters``: those of the query that are signed.
    ``expires_s``: how long a presigned request is good for; None: as long as any other."""

    algorithm: str
    credential: str
    signed_headers: tuple[str, ...]
    signature: str
    signed_at: int
    token: bytes | None = field(repr=False)
    parameters: Parameters
    presigned: bool = False
    expires_s: int | None = None


def claim_of(parameters: Parameters, headers: Headers) -> Claim:
    """Denied: there is no signature, there are two, or one that is not complete."""
    given = headers.get(b"authorization")
    authorization = given[0].strip().decode("latin-1") if given else ""
    presigned = any(name == "X-Amz-Algorithm" for name, _ in parameters)
    if authorization and presigned:
        raise refusals.both_forms()
    if presigned:
        return _from_query(parameters)
    if not authorization.startswith(_PREFIX):
        raise refusals.missing_token()
    return _from_header(authorization, parameters, headers)


def _from_header(authorization: str, parameters: Parameters, headers: Headers) -> Claim:
    if len(authorization) > AUTHORIZATION_BYTES_MAX:
        raise refusals.too_large(
            "The bytes of the Authorization header are", len(authorization), AUTHORIZATION_BYTES_MAX
        )
    algorithm, found = _parameters_of(authorization)
    # An empty list of signed headers is complained of later, as one that lacks the host.
    lacking = [
        name
        for name in _HEADER_PARAMETERS
        if not found.get(name) and (name != "SignedHeaders" or name not in found)
    ]
    dates = headers.get(b"x-amz-date") or headers.get(b"date")
    if lacking or not dates:
        raise refusals.header_lacks(lacking, not dates, authorization)
    date = b", ".join(dates).strip().decode("latin-1")
    signed_at = seconds_of(date) if b"x-amz-date" in headers else seconds_of_http(date)
    if signed_at is None:
        raise refusals.not_a_date(date)
    token = headers.get(b"x-amz-security-token")
    return Claim(
        algorithm,
        found["Credential"],
        _listed(found["SignedHeaders"]),
        found["Signature"],
        signed_at,
        token[0].strip() if token else None,
        parameters,
    )


def _parameters_of(authorization: str) -> tuple[str, Mapping[str, str]]:
    """The algorithm and the parameters. Signers put the signature last, and all before it is the
    same in all requests of a client's day."""
    before, mark, signature = authorization.rpartition(" Signature=")
    if not mark or len(before) > _KEPT_CHARACTERS_MAX or not _HEX.fullmatch(signature):
        return _read(authorization)
    algorithm, found = _read_again(before)
    if found is None or "Signature" in found:
        return _read(authorization)
    return algorithm, {**found, "Signature": signature}


@lru_cache(_KEPT)
def _read_again(before: str) -> tuple[str, Mapping[str, str] | None]:
    """None: something is wrong, which is said with the whole header."""
    try:
        return _read(before)
    except Denied:
        return "", None


def _read(authorization: str) -> tuple[str, Mapping[str, str]]:
    algorithm, _, rest = authorization.partition(" ")
    found: dict[str, str] = {}
    for part in _SEPARATORS.split(rest):
        if not part:
            continue
        name, equals, value = part.partition("=")
        if not equals:
            raise refusals.not_a_pair(part, authorization)
        if name in found:
            raise refusals.twice("parameter of the Authorization header", name)
        found[name] = value
    return algorithm, found


def _from_query(parameters: Parameters) -> Claim:
    found: dict[str, str] = {}
    for name, value in parameters:
        if name.startswith("X-Amz-"):
            if name in found:
                raise refusals.twice("query parameter", name)
            found[name] = value
    lacking = [name for name in _QUERY_PARAMETERS if not found.get(name)]
    if lacking:
        raise refusals.query_lacks(lacking)
    told = found.pop(_TOKEN, None)
    token = None if told is None else unquote_to_bytes(told)
    found = {name: unquote(value, errors="replace") for name, value in found.items()}
    date = found["X-Amz-Date"]
    signed_at = seconds_of(date)
    if signed_at is None:
        raise refusals.not_a_date(date)
    return Claim(
        found["X-Amz-Algorithm"],
        found["X-Amz-Credential"],
        _listed(found["X-Amz-SignedHeaders"]),
        found["X-Amz-Signature"],
        signed_at,
        token,
        [pair for pair in parameters if pair[0] != "X-Amz-Signature"],
        presigned=True,
        expires_s=_expires_s(found.get(_EXPIRES)),
    )


def without_token(parameters: Parameters) -> Parameters | None:
    """What was signed if the session's token was added afterwards; None: there is no token."""
    rest = [pair for pair in parameters if pair[0] != _TOKEN]
    return rest if len(rest) < len(parameters) else None


def _expires_s(text: str | None) -> int | None:
    if text is None:
        return None
    if not _DIGITS.fullmatch(text):
        negative = text.startswith("-")
        wrong = "must be non-negative" if negative else "should be a number"
        raise refusals.incomplete(f"X-Amz-Expires {wrong}")
    if int(text) == 0:
        raise refusals.incomplete("X-Amz-Expires must be greater than 0")
    if int(text) > EXPIRES_MAX_S:
        raise refusals.incomplete(
            "X-Amz-Expires must be less than a week (in seconds); that is, the given X-Amz-Expires"
            f" must be less than {EXPIRES_MAX_S} seconds"
        )
    return int(text)


def _listed(signed_headers: str) -> tuple[str, ...]:
    """Each name once, so that making the text takes no longer than the headers are long."""
    count = signed_headers.count(";") + 1
    if count > SIGNED_HEADERS_MAX:
        raise refusals.too_large("The number of signed headers is", count, SIGNED_HEADERS_MAX)
    names = tuple(signed_headers.split(";"))
    if len(set(names)) < count:
        name = next(name for place, name in enumerate(names) if name in names[:place])
        raise refusals.twice("signed header", name)
    return names
