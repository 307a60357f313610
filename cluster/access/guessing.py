"""Keeps out addresses from which signatures are tried that prove nothing. Pure.

By address, never by key alone: who knows a key's id, which is no secret, could lock its owner out.
And an address may be that of many (NAT): keys that have been good there lately stay welcome.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from cluster.access.recent import Recent

WINDOW_S: Final = 60.0
ADDRESSES_MAX: Final = 8192
"""Those that have failed lately. With more of them, who makes room is let in as if he had not."""
GOOD_MAX: Final = 16_384
"""Pairs of address and key. Only who can sign gets in here, so strangers push nobody out."""
GOOD_S: Final = 3600.0
"""How long a signature speaks for its key at its address."""


@dataclass(slots=True)
class _Tried:
    since: float
    count: int = 0
    until: float = float("-inf")
    """The end of its being kept out."""


class Guesses:
    """``address``: as it is counted, an IPv6 one by its network. ``now``: seconds, on a clock that
    does not step back."""

    def __init__(self, per_minute: int, lockout_s: float) -> None:
        self._most = per_minute
        self._lockout_s = lockout_s
        self._tried: Recent[str, _Tried] = Recent(ADDRESSES_MAX)
        self._good: Recent[tuple[str, str], float] = Recent(GOOD_MAX)

    def is_kept_out(self, address: str, now: float) -> bool:
        """Whether ``kept_out_s`` has to be asked."""
        tried = self._tried.get(address)
        return tried is not None and now < tried.until

    def kept_out_s(self, address: str, key_id: str, now: float) -> float:
        """For how long yet a signature by this key is not looked at; 0.0: it is."""
        tried = self._tried.get(address)
        if tried is None or now >= tried.until:
            return 0.0
        good_until = self._good.get((address, key_id))
        if good_until is not None and now < good_until:
            return 0.0
        return tried.until - now

    def failed(self, address: str, now: float) -> None:
        """A signature proved nothing."""
        tried = self._tried.get(address)
        if tried is None:
            tried = _Tried(now)
            self._tried.put(address, tried)
        if now < tried.until:
            return  # by a key that is welcome there; others have to have an end of it
        if now - tried.since >= WINDOW_S:
            tried.since, tried.count = now, 0
        tried.count += 1
        if tried.count >= self._most:
            tried.until, tried.count = now + self._lockout_s, 0

    def proved(self, address: str, key_id: str, now: float) -> None:
        """A signature by this key was good. It takes back no failure: they may be another's."""
        self._good.put((address, key_id), now + GOOD_S)
