"""The signatures in front of a DAX connection's requests. Pure.

Source: docs/dax-protocol.md sections 2.1 and 6. A client signs when its connection begins and again
after 150 s (Python, JavaScript) to 240 s (Paceline's own). Nothing of the connection or of its
requests is signed, only a time. All faults have the codes 4, 23, 31, 33, after which JavaScript and
Go sign again before their next request; Python knows them by the name, which is AWS's.
"""

from __future__ import annotations

from typing import Final

from cluster.access.denied import Denied
from cluster.access.principals import Principals, found
from cluster.access.signatures import refusals
from cluster.access.signatures.verification import (
    NOBODY,
    Rules,
    Verified,
    check_date,
    check_token,
)
from paceline.auth.sigv4 import parse_string_to_sign, verify_dax
from paceline.dax.errors import AuthenticationError
from paceline.dax.request_types import Authorize
from paceline.errors import NotSent

VALID_S: Final = 300
"""From when a signature came; clients renew it before. One that is shown to another node while its
date is good begins anew there: nothing can be proven for longer than its date and this together."""

TOKEN_CHARACTERS_MAX: Final = 16 * 1024


def authorize(signed: Authorize, principals: Principals, rules: Rules, now: float) -> Verified:
    """Who has signed. ``rules``: of them the region counts, and the skew. ``now``: seconds since
    the epoch, by the wall clock. Denied: by AWS's names, see ``as_dax_error``."""
    if len(signed.token or "") > TOKEN_CHARACTERS_MAX:
        raise refusals.too_large(
            "The characters of the session token are", len(signed.token or ""), TOKEN_CHARACTERS_MAX
        )
    try:
        parsed = parse_string_to_sign(signed.string_to_sign)
    except ValueError as error:
        raise refusals.invalid(f"{str(error)[:1].upper()}{str(error)[1:]}.") from None
    signed_at = int(parsed.signed_at.timestamp())
    check_date(signed_at, int(now), rules.skew_s, rules.skew_s)
    if parsed.region != rules.region:
        raise refusals.wrong_region(parsed.region)
    known = found(principals, signed.access_key, signed.token)
    key = NOBODY if known is None else known[0]
    matches = verify_dax(key.secret, signed.string_to_sign, signed.signature)
    if known is None:
        raise refusals.unknown_key()
    if not matches:
        raise refusals.mismatch()
    check_token(key, None if signed.token is None else signed.token.encode(), now)
    ends = now + VALID_S
    until = ends if key.expires_at is None else min(ends, key.expires_at)
    return Verified(known[1], key, signed_at, ("host", "x-amz-date"), until, principals.version())


def check_authorized(shown: Verified | None, now: float) -> None:
    """Denied: the connection has shown no signature, or none that is still valid."""
    if shown is None:
        raise refusals.missing_token()
    if now >= shown.valid_until:
        expires_at = shown.key.expires_at
        if expires_at is not None and now >= expires_at:
            raise refusals.expired_token()
        raise refusals.missing_token()


def as_dax_error(denied: Denied) -> AuthenticationError | NotSent:
    """What ``encode_error`` of the DAX protocol gives the right codes: of a refusal that no new
    signature helps against those after which clients wait."""
    if denied.error_name == refusals.THROTTLING:
        return NotSent(denied.message)
    return AuthenticationError(denied.message, denied.error_name)
