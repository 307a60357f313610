"""A token bucket: how much a cluster's clients may ask of DynamoDB when the cluster is away."""


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
