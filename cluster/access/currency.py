"""How old what a node knows of who may do what may be. Pure."""

from __future__ import annotations

from cluster.access.signatures import refusals

NEVER = float("-inf")


class Currency:
    """A node that is cut off does not hear of revocations, and DynamoDB may still be there for it:
    it lets principals of the log in for ``stale_s`` seconds more. One that starts has to be level
    with the log first: what its disk says may be of long ago.

    Times are seconds of a clock that never goes back.
    """

    def __init__(self, stale_s: float) -> None:
        self._stale_s = stale_s
        self._level_at = NEVER

    def level(self, at: float) -> None:
        """Whatever the cluster had decided by then, this node knows."""
        self._level_at = max(self._level_at, at)

    def check(self, now: float) -> None:
        """Denied: what this node knows is too old."""
        if now >= self._level_at + self._stale_s:
            raise refusals.outdated(self._stale_s)
