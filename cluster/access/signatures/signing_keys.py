"""Keys derived from secrets, of which the latest are kept. Pure.

A secret does not sign by itself: a key is derived from it for a day, a region and a service, by
four HMACs. They take longer than the rest of a small request's verification, and are the same all
day.
"""

from __future__ import annotations

import hmac
from collections import OrderedDict
from hashlib import sha256
from typing import Final

from cluster.access.principals import AccessKey
from paceline.auth.sigv4 import signing_key

KEPT_MAX: Final = 4096
"""A few megabytes. Clients have one or two a day; presigned requests reach a week back."""

_BLOCK_BYTES: Final = 64
_INNER_PAD: Final = bytes(byte ^ 0x36 for byte in range(256))
_OUTER_PAD: Final = bytes(byte ^ 0x5C for byte in range(256))


class SigningKey:
    """A derived key, ready to sign: what an HMAC makes of its key is made once, which is half of
    the work for a short text.

    It is an HMAC (RFC 2104) of two hashes that have taken in the key, and not the ``hmac`` module's
    object, whose copy takes longer than all the hashing.
    """

    __slots__ = ("_inner", "_outer")

    def __init__(self, key: bytes) -> None:
        """``key``: no longer than a block of the hash, 64 bytes."""
        padded = key.ljust(_BLOCK_BYTES, b"\0")
        self._inner = sha256(padded.translate(_INNER_PAD))
        self._outer = sha256(padded.translate(_OUTER_PAD))

    def signature(self, text: bytes) -> str:
        """64 lower-case hex digits."""
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(text)
        outer.update(inner.digest())
        return outer.hexdigest()


class SigningKeys:
    """One per process. Only what belongs to a known key, a region that is served and a day that is
    accepted should be asked for: others would drive these out."""

    def __init__(self, kept_max: int = KEPT_MAX) -> None:
        self._kept_max = kept_max
        self._kept: OrderedDict[tuple[str, str, str, str], tuple[bytes, SigningKey]] = OrderedDict()
        """Key id, day, region, service to the secret and what was derived from it."""

    def __len__(self) -> int:
        return len(self._kept)

    def of(self, key: AccessKey, day: str, region: str, service: str) -> SigningKey:
        """A key whose secret has changed is derived anew, and its old one forgotten."""
        name = (key.id, day, region, service)
        secret = key.secret.encode()
        kept = self._kept.get(name)
        if kept is not None and hmac.compare_digest(kept[0], secret):
            self._kept.move_to_end(name)
            return kept[1]
        made = SigningKey(signing_key(key.secret, day, region, service))
        self._kept[name] = (secret, made)
        self._kept.move_to_end(name)
        if len(self._kept) > self._kept_max:
            self._kept.popitem(last=False)
        return made
