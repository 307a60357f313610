"""The steps in DynamoDB's order, from a claim to a principal. Pure.

The order decides which of several faults a client is told of (dynalite, ``index.js``): what is
missing, the date, the host among the signed headers, the algorithm, the scope, the key, the
signature, the session's token.

A request is accepted as often as it comes, until its signature is too old, as by AWS: nothing is
kept of those that came.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field, replace
from typing import Final

from cluster.access.principals import CERTIFICATE, AccessKey, Principal, Principals, found
from cluster.access.signatures import refusals
from cluster.access.signatures.canonical import (
    ALGORITHM,
    TERMINATOR,
    Parameters,
    canonical_request,
    parameters_of,
    string_to_sign,
)
from cluster.access.signatures.claims import Claim, claim_of, without_token
from cluster.access.signatures.requests import Headers, SignedRequest, headers_of
from cluster.access.signatures.signing_keys import SigningKeys
from cluster.access.signatures.timestamps import text_of

SKEW_S: Final = 300
"""How far a client's clock may be from this one."""

NOBODY: Final = AccessKey("", "-" * 40, "")
"""Stands in for a key that does not exist, so that a request with one costs as much as any."""

_NEED_NOT_BE_SIGNED: Final = frozenset(
    {b"x-amz-date", b"x-amz-content-sha256", b"x-amz-security-token"}
)
"""The date is signed as a part of the text. The hash is compared with the body's, which is, too.
The token is compared with the key's; signers may add it to a request that is signed already."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What signatures have to be for. ``region``: the one that is served here."""

    region: str
    service: str = "dynamodb"
    skew_s: int = SKEW_S


@dataclass(frozen=True, slots=True)
class Verified:
    """Who has signed. ``valid_until``: when the signature, or the key, expires (seconds since the
    epoch). ``version``: that of the principals by which it was found (``checked_again``).

    ``may_get``: names of tables of which whoever decides has found that he may get whatever there
    is. What was decided by these principals is good as long as this is: with another version it is
    another object."""

    principal: Principal
    key: AccessKey
    signed_at: int
    signed_headers: tuple[str, ...]
    valid_until: float
    version: int
    presigned: bool = False
    may_get: set[bytes] = field(default_factory=set, init=False, compare=False, repr=False)


def verify(
    request: SignedRequest, principals: Principals, rules: Rules, keys: SigningKeys, now: float
) -> Verified:
    """``now``: seconds since the epoch, by the wall clock. Denied: as AWS would."""
    headers = headers_of(request)
    claim = claim_of(parameters_of(request.query), headers)
    lifetime_s = _checked_date(claim, rules, int(now))
    _check_signed_headers(claim.signed_headers, headers, claim.presigned)
    if claim.algorithm != ALGORITHM:
        raise refusals.unsupported_algorithm(claim.algorithm)
    signed_at = text_of(claim.signed_at)
    key_id = _checked_scope(claim, rules, signed_at)
    known = found(principals, key_id, text_of_token(claim.token))
    key = NOBODY if known is None else known[0]
    matches = _matches(request, claim, headers, signed_at, key, rules, keys)
    if known is None:
        raise refusals.unknown_key()
    if not matches:
        raise refusals.mismatch()
    check_token(key, claim.token, now)
    return Verified(
        known[1],
        key,
        claim.signed_at,
        claim.signed_headers,
        _earlier(claim.signed_at + lifetime_s, key.expires_at),
        principals.version(),
        claim.presigned,
    )


def checked_again(before: Verified, principals: Principals, now: float) -> Verified:
    """The same by the principals as they are now, for what outlives a request. Denied: the key has
    expired, or is not what it was when the signature was verified."""
    if before.key.id.startswith(CERTIFICATE):
        return _shown_again(before, principals, now)
    known = found(principals, before.key.id, before.key.session_token)
    if known is None:
        raise refusals.unknown_key()
    key, principal = known
    if (
        key.principal != before.key.principal
        or not same(key.secret, before.key.secret)
        or not same(key.session_token or "", before.key.session_token or "")
    ):
        raise refusals.unknown_key()
    if key.expires_at is not None and now >= key.expires_at:
        raise refusals.expired_token()
    return Verified(
        principal,
        key,
        before.signed_at,
        before.signed_headers,
        _earlier(before.valid_until, key.expires_at),
        principals.version(),
        before.presigned,
    )


def _shown_again(before: Verified, principals: Principals, now: float) -> Verified:
    """Of a certificate: its principal has to be there, and its own time not over."""
    version = principals.version()
    principal = principals.calling(before.key.principal)
    if principal is None or principal.disabled:
        raise refusals.unknown_key()
    if now >= before.valid_until:
        raise refusals.expired_token()
    return replace(before, principal=principal, version=version)


def text_of_token(token: bytes | None) -> str | None:
    """As keys are looked up by it; what is no text is none of theirs."""
    return None if token is None else token.decode("latin-1")


def same(one: str | bytes, other: str | bytes) -> bool:
    """In a time that does not tell where they differ."""
    return hmac.compare_digest(_bytes(one), _bytes(other))


def _bytes(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")


def check_date(signed_at: int, now: int, skew_s: int, lifetime_s: int) -> None:
    """``lifetime_s``: how long the signature is good for. Denied: it is too old, or its date is
    yet to come."""
    if signed_at < now - lifetime_s:
        raise refusals.expired(signed_at, now, lifetime_s)
    if signed_at > now + skew_s:
        raise refusals.not_yet_current(signed_at, now, skew_s)


def check_token(key: AccessKey, token: bytes | None, now: float) -> None:
    """``token``: the one that came. Denied: it is not the key's, or the key has expired."""
    if not same(token or b"", key.session_token or ""):
        raise refusals.invalid_token()
    if key.expires_at is not None and now >= key.expires_at:
        raise refusals.expired_token()


def _checked_date(claim: Claim, rules: Rules, now: int) -> int:
    """Returns how long the signature is good for, in seconds."""
    lifetime_s = rules.skew_s if claim.expires_s is None else claim.expires_s
    check_date(claim.signed_at, now, rules.skew_s, lifetime_s)
    return lifetime_s


def _check_signed_headers(names: tuple[str, ...], headers: Headers, presigned: bool) -> None:
    """What decides what a request does has to be signed; X-Amz-Target names the operation."""
    if "host" not in names:
        raise refusals.host_not_signed()
    for header in headers:
        if not header.startswith(b"x-amz-") or header.decode("latin-1") in names:
            continue
        if presigned or header not in _NEED_NOT_BE_SIGNED:
            raise refusals.not_signed(header.decode("latin-1"))


def _checked_scope(claim: Claim, rules: Rules, signed_at: str) -> str:
    """Returns the key's id."""
    parts = claim.credential.split("/", 5)
    if len(parts) != 5 or not parts[0]:
        raise refusals.not_five_parts(claim.credential)
    key_id, day, region, service, terminator = parts
    wrong = refusals.wrong_scope(
        (day, region, service, terminator), signed_at[:8], rules.region, rules.service, signed_at
    )
    if wrong is not None:
        raise wrong
    return key_id


def _matches(
    request: SignedRequest,
    claim: Claim,
    headers: Headers,
    signed_at: str,
    key: AccessKey,
    rules: Rules,
    keys: SigningKeys,
) -> bool:
    """A token in the query may have been signed with the rest, or added afterwards."""
    day = signed_at[:8]
    scope = f"{day}/{rules.region}/{rules.service}/{TERMINATOR}"
    signing_key = keys.of(key, day, rules.region, rules.service)

    def is_of(parameters: Parameters) -> bool:
        canonical = canonical_request(request, parameters, claim.signed_headers, headers)
        text = string_to_sign(signed_at, scope, canonical)
        return same(signing_key.signature(text), claim.signature)

    matches = is_of(claim.parameters)
    if not matches and claim.presigned:
        rest = without_token(claim.parameters)
        matches = rest is not None and is_of(rest)
    hashes = headers.get(b"x-amz-content-sha256", ())
    return matches and all(same(one.strip(), request.body_sha256) for one in hashes)


def _earlier(until: float, other: float | None) -> float:
    return until if other is None else min(until, other)
