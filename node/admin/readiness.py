"""Whether clients should be sent to this node: what it says on ``/readyz`` and to gRPC's health
checks. Pure."""

from __future__ import annotations

GRACE_S = 3.0
"""A failover takes one to two seconds, in which nobody has to look elsewhere: all nodes have it."""


class Readiness:
    """A node becomes ready once nothing is in the way; after that, what is in the way for longer
    than a failover takes makes it unready. Such a node still passes reads through."""

    def __init__(self, grace_s: float = GRACE_S) -> None:
        self._grace_s = grace_s
        self._was_ready = False
        self._since: float | None = None

    def unready(self, obstacle: str | None, now: float) -> str | None:
        """``obstacle``: what keeps the node from its work now. To be asked at least every second,
        or how long it has been there is not known."""
        if obstacle is None:
            self._was_ready = True
            self._since = None
            return None
        if not self._was_ready:
            return obstacle
        if self._since is None:
            self._since = now
        standing_s = now - self._since
        return None if standing_s < self._grace_s else f"{obstacle} (for {standing_s:.0f} s)"
