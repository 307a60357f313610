"""How often callers may ask, and how often they may show signatures that prove nothing."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from math import ceil

from cluster.access.denied import Denied
from cluster.access.guessing import Guesses
from cluster.access.member_key import NAME as MEMBER
from cluster.access.rates import Rates
from cluster.access.signatures.refusals import THROTTLING
from cluster.access.signatures.verification import Verified
from cluster.settings import LimitsSettings
from cluster.transport.expected import counted_as, networks
from paceline import clock
from paceline.errors import RequestError

REMEMBERED = 4096
"""Addresses."""
TOO_MANY = "Rate of requests exceeds the allowed throughput."
"""DynamoDB's words, with its status 400: SDKs wait and ask again."""


class Restraint:
    """One per program, for all of its ports. ``limits_requests``: whether ``admits`` has to be
    asked at all. The cluster's own programs ask as often as they want."""

    def __init__(
        self, limits: LimitsSettings | None = None, now: Callable[[], float] = clock.now
    ) -> None:
        limits = limits or LimitsSettings()
        self._now = now
        exempt = networks(limits.exempt_addresses)
        # The networks are not hashed each time: that takes longer than all else here.
        self._counted = lru_cache(REMEMBERED)(lambda address: counted_as(address, exempt))
        self._guesses: Guesses | None = None
        if limits.wrong_signatures_per_minute:
            self._guesses = Guesses(limits.wrong_signatures_per_minute, limits.lockout_s)
        self._addresses = _rates(limits.address_requests_per_s, limits.burst_s)
        self._principals = _rates(limits.principal_requests_per_s, limits.burst_s)
        self.refused = 0
        """Requests that came too soon."""
        self.limits_requests = self._addresses is not None or self._principals is not None

    def check_address(self, address: str, key_of: Callable[[], str]) -> None:
        """Before a signature is looked at. ``key_of``: the id of the access key that it is said to
        be by. Denied: too many from there have proved nothing, and no good one by this key has come
        from there lately."""
        if self._guesses is None or not (counted := self._counted(address)):
            return
        now = self._now()
        if not self._guesses.is_kept_out(counted, now):
            return
        left_s = self._guesses.kept_out_s(counted, key_of(), now)
        if left_s:
            raise Denied(
                THROTTLING,
                "Too many signatures from this address were wrong, or by keys that are not known. "
                f"No other key is accepted from there for {ceil(left_s)} seconds.",
            )

    def failed(self, address: str, denied: Denied) -> None:
        if denied.guessed and self._guesses is not None:
            counted = self._counted(address)
            if counted:
                self._guesses.failed(counted, self._now())

    def proved(self, address: str, key_id: str) -> None:
        if self._guesses is not None:
            counted = self._counted(address)
            if counted:
                self._guesses.proved(counted, key_id, self._now())

    def admits(self, address: str, by: Verified | None) -> bool:
        """Whether one more request may be served now. ``by``: None where nobody has to sign."""
        principal = ""
        if by is not None:
            if by.principal.name == MEMBER:
                return True
            # One role is one caller, however many sessions there are.
            principal = by.principal.role_arn or by.principal.arn
        now = self._now()
        if self._addresses is not None:
            counted = self._counted(address)
            if counted and not self._addresses.take(counted, now):
                return False
        if self._principals is None or not principal:
            return True
        return self._principals.take(principal, now)

    def too_many(self) -> RequestError:
        """The refusal of a request that was not admitted, which is counted."""
        self.refused += 1
        return RequestError(THROTTLING, TOO_MANY)


def _rates(per_s: float, burst_s: float) -> Rates[str] | None:
    return Rates(per_s, max(1.0, per_s * burst_s)) if per_s else None
