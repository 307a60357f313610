"""Requests that differ from one that was verified only where two requests of a client always do:
the date, a few other headers' values, the body, and the signature. Pure.

All else of the text that is signed stands ready, and so does the key: what is left of the work is
what no verification can do without, two hashes and an HMAC.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from operator import itemgetter
from typing import Final

from cluster.access.principals import Principals
from cluster.access.signatures.canonical import ALGORITHM, TERMINATOR, canonical_path
from cluster.access.signatures.requests import SignedRequest
from cluster.access.signatures.signing_keys import SigningKey, SigningKeys
from cluster.access.signatures.timestamps import seconds_of, text_of
from cluster.access.signatures.verification import Rules, Verified, same

_AUTHORIZATION: Final = b"authorization"
_DATE: Final = b"x-amz-date"


@dataclass(frozen=True, slots=True)
class Alike:
    """``values``, below: those of the headers that may differ, in the order of the names that
    ``alike`` was given; of the Authorization header, the signature alone."""

    verified: Verified
    _form: bytes
    """The text that is signed, with a place for each signed value that may differ, but the hash of
    the body."""
    _signed: Callable[[Sequence[bytes]], tuple[bytes, ...]]
    _date: int
    _signature: int
    _day: str
    _scope: str
    _key: SigningKey
    _skew_s: int

    def is_signed(
        self, values: Sequence[bytes], body: bytes, principals: Principals, now: float
    ) -> bool:
        """Whether the same key has signed it. False if that is not sure, too: then ``verify`` says
        whether it is refused, and why. ``now``: as there."""
        verified = self.verified
        if principals.version() != verified.version:
            return False
        date = values[self._date].decode("latin-1")
        signed_at = seconds_of(date)
        if signed_at is None or not date.startswith(self._day):
            return False
        if not -self._skew_s <= signed_at - int(now) <= self._skew_s:
            return False
        expires_at = verified.key.expires_at
        if expires_at is not None and now >= expires_at:
            return False
        signed = self._signed(values)
        if not all(map(_is_folded, signed)):
            return False
        canonical = self._form % signed + sha256(body).hexdigest().encode()
        text = f"{ALGORITHM}\n{date}\n{self._scope}\n{sha256(canonical).hexdigest()}"
        return same(self._key.signature(text.encode()), values[self._signature])


def _is_folded(value: bytes) -> bool:
    return b" ".join(value.split()) == value


def alike(
    request: SignedRequest,
    names: Sequence[bytes],
    verified: Verified,
    rules: Rules,
    keys: SigningKeys,
) -> Alike | None:
    """``request`` has been verified by ``rules``. ``names``: the headers that may differ, in lower
    case. None: not all that is needed for this stands where it usually does."""
    headers = dict(request.headers)
    if len(headers) < len(request.headers) or any(name != name.lower() for name in headers):
        return None
    if verified.presigned or request.query or len(set(names)) < len(names):
        return None
    if not {_AUTHORIZATION, _DATE} <= set(names) <= set(headers):
        return None
    told = b"x-amz-content-sha256"
    if told in headers:
        return None
    listed = [name.encode() for name in verified.signed_headers]
    if _AUTHORIZATION in listed or not set(listed) <= set(headers):
        return None
    lines = []
    for name in listed:
        folded = b" ".join(headers[name].split())
        value = b"%b" if name in names else folded.replace(b"%", b"%%")
        lines.append(b"%b:%b\n" % (name.replace(b"%", b"%%"), value))
    form = b"\n".join(
        (
            request.method.encode().replace(b"%", b"%%"),
            canonical_path(request.path).encode().replace(b"%", b"%%"),
            b"",
            b"".join(lines),
            b";".join(listed).replace(b"%", b"%%"),
            b"",
        )
    )
    day = text_of(verified.signed_at)[:8]
    return Alike(
        verified,
        form,
        _picker([names.index(name) for name in listed if name in names]),
        names.index(_DATE),
        names.index(_AUTHORIZATION),
        day,
        f"{day}/{rules.region}/{rules.service}/{TERMINATOR}",
        keys.of(verified.key, day, rules.region, rules.service),
        rules.skew_s,
    )


def _picker(places: list[int]) -> Callable[[Sequence[bytes]], tuple[bytes, ...]]:
    if len(places) > 1:
        return itemgetter(*places)
    if places:
        return lambda values: (values[places[0]],)
    return lambda values: ()
