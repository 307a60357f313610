"""Keys derived from secrets, of which the latest are kept. Pure.

A secret does not sign by itself: a key is derived from it for a day, a region and a service, by
four HMACs. They take longer than the rest of a small request's verification, and are the same all
day.
"""

from __future__ import annotations

import hmac
from collections import OrderedDict
from typing import Final

from cluster.access.principals import AccessKey

KEPT_MAX: Final = 4096
"""About a megabyte. Clients have one or two a day; presigned requests reach a week back."""


def derived(secret: str, day: str, region: str, service: str) -> bytes:
    """``day``: YYYYMMDD."""
    key = f"AWS4{secret}".encode()
    for name in (day, region, service, "aws4_request"):
        key = hmac.digest(key, name.encode(), "sha256")
    return key


class SigningKeys:
    """One per process. Only what belongs to a known key, a region that is served and a day that is
    accepted should be asked for: others would drive these out."""

    def __init__(self, kept_max: int = KEPT_MAX) -> None:
        self._kept_max = kept_max
        self._kept: OrderedDict[tuple[str, str, str, str], tuple[bytes, bytes]] = OrderedDict()
        """Key id, day, region, service to the secret and what was derived from it."""

    def __len__(self) -> int:
        return len(self._kept)

    def of(self, key: AccessKey, day: str, region: str, service: str) -> bytes:
        """A key whose secret has changed is derived anew, and its old one forgotten."""
        name = (key.id, day, region, service)
        secret = key.secret.encode()
        kept = self._kept.get(name)
        if kept is not None and hmac.compare_digest(kept[0], secret):
            self._kept.move_to_end(name)
            return kept[1]
        made = derived(key.secret, day, region, service)
        self._kept[name] = (secret, made)
        self._kept.move_to_end(name)
        if len(self._kept) > self._kept_max:
            self._kept.popitem(last=False)
        return made
