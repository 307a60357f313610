"""A circuit breaker per node: a node that failed is not asked for a while, then by one request."""

from typing import Final

OPEN_FIRST_S: Final = 0.25
"""A restarted process listens again after about a second; a lost packet costs less."""
OPEN_MAX_S: Final = 2.0
"""So that a cluster that was away is found within a few seconds of its return."""


class Breaker:
    """Closed (all pass), open (none until ``retry_at``), then half open (one at a time)."""

    __slots__ = ("_probing_until", "failures", "retry_at")

    def __init__(self) -> None:
        self.failures = 0
        self.retry_at = 0.0
        self._probing_until = 0.0

    @property
    def closed(self) -> bool:
        return self.failures == 0

    def allows(self, now: float) -> bool:
        return self.failures == 0 or (now >= self.retry_at and now >= self._probing_until)

    def probing(self, now: float, timeout_s: float) -> None:
        """Records a request to a node whose breaker is not closed; no other goes there
        meanwhile."""
        self._probing_until = now + timeout_s

    def succeeded(self) -> None:
        self.failures = 0
        self.retry_at = self._probing_until = 0.0

    def failed(self, now: float) -> None:
        """Requests that were under way together count once while the breaker is open."""
        if self.failures and now < self.retry_at:
            return
        self.failures += 1
        self.retry_at = now + min(OPEN_FIRST_S * 2 ** (self.failures - 1), OPEN_MAX_S)
        self._probing_until = 0.0
