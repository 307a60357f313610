"""Requests that differ from one that was verified only where two requests of a client always do:
the date, a few other headers' values, the body, and the signature. Pure.

All else of the text that is signed stands ready, and so does the key: what is left of the work is
what no verification can do without, two hashes and an HMAC.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import sha256
from hmac import compare_digest
from operator import itemgetter
from typing import Final

from cluster.access.principals import Principals
from cluster.access.signatures.canonical import ALGORITHM, TERMINATOR, canonical_path
from cluster.access.signatures.requests import SignedRequest
from cluster.access.signatures.signing_keys import SigningKey, SigningKeys
from cluster.access.signatures.timestamps import seconds_of, text_of
from cluster.access.signatures.verification import Rules, Verified

_AUTHORIZATION: Final = b"authorization"
_DATE: Final = b"x-amz-date"


class Alike:
    """``values``, below: those of the headers that may differ, in the order of the names that
    ``alike`` was given; of the Authorization header, the signature alone.

    What depends on the date alone, and on the signed values but the body's hash, is kept from the
    last request: it is the same for most of a second, or of all requests.
    """

    __slots__ = (
        "_date",
        "_day",
        "_ends_at",
        "_form",
        "_hash",
        "_hashed",
        "_head",
        "_key",
        "_seen_date",
        "_signature",
        "_signed",
        "_signed_at",
        "_skew_s",
        "verified",
    )

    def __init__(
        self,
        verified: Verified,
        form: bytes,
        signed: Callable[[Sequence[bytes]], tuple[bytes, ...]],
        date: int,
        signature: int,
        region: str,
        service: str,
        key: SigningKey,
        skew_s: int,
    ) -> None:
        """``form``: the text that is signed, with a place for each signed value that may differ,
        but the hash of the body, which comes last. ``signed``: gives these of ``values``. ``date``,
        ``signature``: their places among them."""
        self.verified = verified
        self._form = form
        self._signed = signed
        self._date = date
        self._signature = signature
        day = self._day = text_of(verified.signed_at)[:8].encode()
        self._head = b"%b\n%%b\n%b/%b/%b/%b\n" % (
            *(ALGORITHM.encode(), day),
            *(part.encode().replace(b"%", b"%%") for part in (region, service, TERMINATOR)),
        )
        self._key = key
        self._skew_s = skew_s
        expires_at = verified.key.expires_at
        self._ends_at = float("inf") if expires_at is None else expires_at
        self._seen_date, self._signed_at = (b"", b""), 0
        """The date of the last request, with the text that is signed by it up to the hash; and in
        seconds."""
        self._hashed: tuple[bytes, ...] | None = None
        """The signed values of the last request."""
        self._hash = sha256()
        """Of the form, with these in it."""

    def is_signed(
        self, values: Sequence[bytes], body: bytes, principals: Principals, now: float
    ) -> bool:
        """Whether the same key has signed it. False if that is not sure, too: then ``verify`` says
        whether it is refused, and why. ``now``: as there."""
        if principals.version() != self.verified.version:
            return False
        if values[self._date] != self._seen_date[0] and not self._reads(values[self._date]):
            return False
        if not -self._skew_s <= self._signed_at - int(now) <= self._skew_s or now >= self._ends_at:
            return False
        signed = self._signed(values)
        if signed != self._hashed and not self._takes(signed):
            return False
        canonical = self._hash.copy()
        canonical.update(sha256(body).hexdigest().encode())
        text = self._seen_date[1] + canonical.hexdigest().encode()
        return compare_digest(self._key.signature(text).encode(), values[self._signature])

    def _reads(self, date: bytes) -> bool:
        signed_at = seconds_of(date.decode("latin-1"))
        if signed_at is None or not date.startswith(self._day):
            return False
        self._seen_date, self._signed_at = (date, self._head % date), signed_at
        return True

    def _takes(self, signed: tuple[bytes, ...]) -> bool:
        if not all(map(_is_folded, signed)):
            return False
        self._hashed, self._hash = signed, sha256(self._form % signed)
        return True


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
        rules.region,
        rules.service,
        keys.of(verified.key, day, rules.region, rules.service),
        rules.skew_s,
    )


def _picker(places: list[int]) -> Callable[[Sequence[bytes]], tuple[bytes, ...]]:
    if len(places) > 1:
        return itemgetter(*places)
    if places:
        return lambda values: (values[places[0]],)
    return lambda values: ()
