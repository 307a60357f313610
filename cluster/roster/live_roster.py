"""Holds what this process knows of the cluster now, for everyone in it who asks or waits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from cluster.log.view import ClusterView
from cluster.roster.endpoints import AddressFamily, Health, Roster
from paceline.clock import now as clock_now
from paceline.dax import responses

_REPLIES_MAX = 64
"""The most replies kept per revision, one for each (listener, family, TLS)."""


@dataclass(frozen=True, slots=True)
class RosterSnapshot:
    view: ClusterView
    health: Mapping[str, Health]
    age_s: float
    """Seconds since the view was last confirmed by someone who must know."""
    revision: int


class LiveRoster:
    """The last view and the probed health, with a revision that grows at every change.

    Update it from one event loop only. A view without members is refused: it says nothing about
    whom to connect to, and the one before it still might.
    """

    def __init__(self, *, clock: Callable[[], float] = clock_now) -> None:
        self.revision = 0
        self._clock = clock
        self._view: ClusterView | None = None
        self._health: dict[str, Health] = {}
        self._confirmed_at = clock()
        self._changed = asyncio.Event()
        self._replies: dict[tuple[str, AddressFamily, bool], bytes] = {}

    @property
    def view(self) -> ClusterView | None:
        return self._view

    def update_view(self, view: ClusterView, age_s: float = 0.0) -> None:
        if not view.members:
            return
        self._confirmed_at = self._clock() - age_s
        if view == self._view:
            return
        self._view = view
        ids = {m.id for m in view.members}
        self._health = {n: h for n, h in self._health.items() if n in ids}
        self._change()

    def update_health(self, node_id: str, health: Health) -> None:
        """Takes a probe's result. One about a node that is no member (any more) is dropped."""
        known = self._view is not None and self._view.member(node_id) is not None
        if known and self._health.get(node_id) is not health:
            self._health[node_id] = health
            self._change()

    def confirm(self, age_s: float = 0.0) -> None:
        """Notes that the view still held ``age_s`` seconds ago."""
        self._confirmed_at = max(self._confirmed_at, self._clock() - age_s)

    def snapshot(self) -> RosterSnapshot | None:
        """The view and its health; None until there was a view."""
        if self._view is None:
            return None
        age_s = max(0.0, self._clock() - self._confirmed_at)
        return RosterSnapshot(self._view, dict(self._health), age_s, self.revision)

    async def changed_since(self, revision: int) -> None:
        """Returns once ``revision`` is no longer current; the caller sets the deadline."""
        while self.revision == revision:
            await self._changed.wait()

    def endpoints_reply(
        self, listener: str, family: AddressFamily, *, tls: bool = False
    ) -> bytes | None:
        """The complete DAX reply to ``endpoints``; None until there is a view to tell."""
        if self._view is None:
            return None
        key = (listener, family, tls)
        reply = self._replies.get(key)
        if reply is None:
            endpoints = Roster(self._view, self._health).endpoints(listener, family, tls=tls)
            if not endpoints:
                return None
            reply = responses.endpoints_reply(endpoints)
            if len(self._replies) < _REPLIES_MAX:
                self._replies[key] = reply
        return reply

    def _change(self) -> None:
        self.revision += 1
        self._replies.clear()
        # One event per revision: setting the old one wakes exactly those who waited for it.
        self._changed.set()
        self._changed = asyncio.Event()
