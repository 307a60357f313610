"""Budgets: what a client may ask of DynamoDB when the cluster is away, and how often it may ask
for the same thing again. Pure."""

from typing import Final


class TokenBucket:
    """Gains ``rate_per_s`` tokens a second up to ``burst``; begins full."""

    __slots__ = ("_at", "_tokens", "burst", "rate_per_s")

    def __init__(self, rate_per_s: float, burst: float, now: float) -> None:
        if rate_per_s <= 0 or burst < 1:
            raise ValueError("a budget needs a rate above 0 and a burst of at least 1")
        self.rate_per_s = rate_per_s
        self.burst = burst
        self._tokens = burst
        self._at = now

    def take(self, tokens: float, now: float) -> float:
        """0 when the tokens were taken, else the seconds until they may be there.

        What costs more than a full bucket has to wait for a full one and leaves debts.
        """
        self._tokens = min(self.burst, self._tokens + max(0.0, now - self._at) * self.rate_per_s)
        self._at = now
        needed = min(tokens, self.burst)
        # The tolerance is for sums of fractions of a second.
        if self._tokens + 1e-9 < needed:
            return (needed - self._tokens) / self.rate_per_s
        self._tokens -= tokens
        return 0.0

    def reserve(self, tokens: float, now: float, wait_max_s: float) -> float | None:
        """As ``take``, but takes its place in a queue: the seconds after which the tokens, which
        are taken now, may be used. None, and nothing is taken, if those are too many."""
        wait_s = self.take(tokens, now)
        if wait_s > wait_max_s:
            return None
        if wait_s > 0:
            self._tokens -= tokens
        return wait_s

    def refund(self, tokens: float) -> None:
        """Gives back tokens that were reserved and not used."""
        self._tokens = min(self.burst, self._tokens + tokens)


RETRIES_MAX: Final = 100.0
"""More reads than a client can have under way at one node (64), which may hang."""
RETRIES_SHARE: Final = 0.1
"""As a share of the answered requests."""


class RetryBudget:
    """Whether reads may be asked again soon of a second node, while the first may yet answer.

    It is right when a node hangs, and wrong when all are slow: repeats would be what keeps them
    slow. A tenth of the answered requests is allowed, besides a reserve.
    """

    __slots__ = ("_left",)

    def __init__(self) -> None:
        self._left = RETRIES_MAX

    @property
    def spent(self) -> bool:
        return self._left < 1.0

    def answered(self) -> None:
        if self._left < RETRIES_MAX:
            self._left += RETRIES_SHARE

    def timed_out(self) -> None:
        """Takes from the budget, which may become negative: requests that began while there was
        something left may all time out."""
        self._left = max(self._left - 1.0, -RETRIES_MAX)
