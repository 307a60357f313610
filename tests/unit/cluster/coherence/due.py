"""Holds the deadlines that drivers go by against what a tick does."""

from __future__ import annotations

from cluster.coherence.primary import Action, Primary
from cluster.coherence.replica import Action as ReplicaAction
from cluster.coherence.replica import Replica


class Due:
    """Of one node. ``strict``: a tick that does something before its deadline is an error."""

    def __init__(self, strict: bool) -> None:
        self._strict = strict
        self._primary: Primary | None = None
        self._at = 0.0
        """When the primary's ``tick`` has something to do, as its driver knows it."""

    def received(self, primary: Primary, now: float) -> None:
        if self._primary is primary:
            self._at = min(self._at, primary.deadline(now))

    def tick_primary(self, primary: Primary, now: float) -> list[Action]:
        actions = primary.tick(now)
        if self._strict and self._primary is primary:
            assert not actions or self._at <= now, f"due at {self._at}, at {now}: {actions}"
        self._primary, self._at = primary, primary.deadline(now)
        return actions

    def tick_replica(self, replica: Replica, now: float) -> list[ReplicaAction]:
        due = replica.deadline()
        actions = replica.tick(now)
        if self._strict:
            assert not actions or due <= now, f"due at {due}, at {now}: {actions}"
        return actions
