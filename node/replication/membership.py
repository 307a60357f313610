"""When the primary begins another epoch by itself, or gives the lease away: other members, and
too few of them linked."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Protocol

import structlog

from cluster.agent import Agent
from cluster.coherence.primary import Primary
from node.replication.primary_driver import PrimaryDriver
from paceline.errors import Unavailable

_log = structlog.get_logger()

RELEASE_COMMIT_S = 1.0
"""The time for the release to get into the log. Without a majority, as when the whole cluster
stops, it never does, and nobody is there to wait for."""

MEMBERS_PAUSE_S = 5.0
"""The time for writes under way when the members change: the longest attempt takes as long as a
connect and a read (4 s). What is still open then ends as at any end of an epoch."""

MEMBERS_GRANT_S = 2.0
"""The time for the grant of the new epoch. Without a majority it is asked for again later."""

CUT_OFF_S = 4.0
"""A holder that too few members are linked to for so long hands the lease on: Raft, which renews
it, may reach members that the links do not. Longer than a failover or a start, after which every
replica has to link anew."""

GIVE_WAY_S = 5.0
"""The time for another node to take the lease. Perhaps no other can do better."""


class RoleKeeper(Protocol):
    """The part of ``Coordinator`` that is needed here."""

    leaving: bool
    """True while this node stops; it changes nothing any more."""

    def announce(self) -> None:
        """The role has changed."""

    async def changed(self, timeout_s: float) -> None: ...


class Membership:
    """Changes the members, or who holds the lease; one change is under way at most."""

    def __init__(
        self,
        node_id: str,
        agent: Agent,
        primary: PrimaryDriver,
        role: RoleKeeper,
        clock: Callable[[], float],
    ) -> None:
        self._node_id = node_id
        self._agent = agent
        self._primary = primary
        self._role = role
        self._clock = clock
        self._changing: asyncio.Task[None] | None = None
        self._cut_off_since: float | None = None

    def tick(self) -> None:
        self._follow()
        self._notice_cut_off()

    async def aclose(self) -> None:
        if self._changing is not None:
            self._changing.cancel()
            await asyncio.gather(self._changing, return_exceptions=True)

    def _follow(self) -> None:
        """Begins the change to another set of members, which takes effect with an epoch of its
        own."""
        primary = self._primary.primary
        if primary is None or self._role.leaving or self._changing is not None:
            return
        voters = self._agent.state.voters
        if voters.keys() == primary.members or self._node_id not in voters:
            return
        if primary.holds(self._clock()):
            self._start(self._change_members(primary))

    async def _change_members(self, primary: Primary) -> None:
        """Lets the writes under way end, then begins the next epoch. Reads go on; writes wait."""
        primary.pause(True)
        try:
            until = self._clock() + MEMBERS_PAUSE_S
            while primary.open_writes and self._clock() < until:
                await self._role.changed(until - self._clock())
            if self._primary.primary is not primary:
                return
            self._agent.begin_epoch()
            until = self._clock() + MEMBERS_GRANT_S
            while self._primary.primary is primary and self._clock() < until:
                await self._role.changed(until - self._clock())
        finally:
            primary.pause(False)

    def _notice_cut_off(self) -> None:
        primary, now = self._primary.primary, self._clock()
        if primary is None or not primary.holds(now) or not primary.cut_off(now):
            self._cut_off_since = None
        elif self._cut_off_since is None:
            self._cut_off_since = now
        elif now >= self._cut_off_since + CUT_OFF_S and not (self._role.leaving or self._changing):
            _log.warning("too few members are linked here, handing the primary lease on")
            self._start(self._give_way(primary))

    async def _give_way(self, primary: Primary) -> None:
        """Releases the lease as soon as no read lease is out, and claims it again only later.
        Writes that wait here are unsent; they find the next primary."""
        primary.draining(self._clock())
        while primary.replicas.leases_live(now := self._clock()):
            await self._role.changed(primary.replicas.leases_until() - now)
        if self._primary.primary is not primary:
            return
        self._primary.end_epoch("too few members are linked")
        self._role.announce()
        try:
            await self._agent.release(RELEASE_COMMIT_S)
        except Unavailable as error:
            _log.info("the lease was not handed over, it runs out by itself", reason=str(error))
        until = self._clock() + GIVE_WAY_S
        while self._agent.view.primary in (None, self._node_id) and self._clock() < until:
            await self._role.changed(until - self._clock())
        if not self._role.leaving:
            self._agent.resume()

    def _start(self, work: Coroutine[None, None, None]) -> None:
        self._changing = asyncio.get_running_loop().create_task(work)
        self._changing.add_done_callback(self._changed_epoch)

    def _changed_epoch(self, task: asyncio.Task[None]) -> None:
        self._changing = None
        if not task.cancelled() and task.exception() is not None:
            _log.error("the end of an epoch failed", error=repr(task.exception()))
