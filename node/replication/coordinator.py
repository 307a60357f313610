"""Turns views and lease events of the cluster into the node's role: primary, replica, neither."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from cluster.agent import Agent
from cluster.coherence.guard import Guard
from cluster.coherence.primary import Primary
from cluster.lease import Acquired, Lost, Renewed
from cluster.view import ClusterView
from node.replication.primary_driver import PrimaryDriver
from node.replication.replica_driver import ReplicaDriver, Target
from paceline.errors import Unavailable

_log = structlog.get_logger()

TICK_S = 0.02
"""Resolution of everything that waits for a lease to run out; far below any lease."""


@dataclass(frozen=True, slots=True)
class Here:
    primary: Primary


@dataclass(frozen=True, slots=True)
class There:
    node_id: str
    address: str
    epoch: int


Route = Here | There | None

RELEASE_COMMIT_S = 1.0
"""For the release to get into the log. Without a majority, as when the whole cluster stops, it
never does, and nobody is there to wait for."""

SUCCESSOR_S = 1.0
"""A node that released the lease stays for so long until another one holds it. It mostly leads
the Raft group, too: were it gone before leadership has moved, the others would first have to
notice that, and writes wait for them."""


class Coordinator:
    """Keeps exactly one of the two drivers active, and tells writes where the primary is.

    A node that holds an epoch stays ``Here`` while its lease has lapsed but nobody else was
    granted one: its writes then wait for the renewal or for the next epoch.
    """

    def __init__(
        self,
        node_id: str,
        agent: Agent,
        guard: Guard,
        primary: PrimaryDriver,
        replica: ReplicaDriver,
        clock: Callable[[], float],
    ) -> None:
        self._node_id = node_id
        self._agent = agent
        self._guard = guard
        self._primary = primary
        self._replica = replica
        self._clock = clock
        self._epoch = 0
        self._leaving = False
        self._changed: asyncio.Future[None] | None = None
        agent.on_lease(self._leased)
        agent.subscribe(self._viewed)

    # -- events -----------------------------------------------------------------------------

    def _leased(self, event: Acquired | Renewed | Lost) -> None:
        now = self._clock()
        match event:
            case Acquired():
                if self._primary.primary is None or self._epoch != event.epoch:
                    self._epoch = event.epoch
                    self._replica.follow(None)
                    self._guard.lapse(now)
                    self._primary.begin_epoch(
                        event.epoch,
                        frozenset(event.members),
                        reset=not event.first_epoch,
                        lease_until=self._agent.primary_until,
                    )
                else:
                    self._primary.renewed(self._agent.primary_until)
            case Renewed():
                self._primary.renewed(event.until)
            case Lost():
                self._primary.lapsed()
        self._announce()

    def _viewed(self, view: ClusterView) -> None:
        if view.primary is not None and view.primary != self._node_id:
            if self._primary.primary is not None and view.epoch > self._epoch:
                self._primary.end_epoch("another node holds a later epoch")
                self._guard.lapse(self._clock())
            member = view.member(view.primary)
            address = member.addresses.get("grpc") if member is not None else None
            if self._primary.primary is None and not self._leaving:
                target = Target(view.epoch, view.primary, address) if address else None
                self._replica.follow(target)
        self._announce()

    def _announce(self) -> None:
        if self._changed is not None and not self._changed.done():
            self._changed.set_result(None)
        self._changed = None

    # -- questions --------------------------------------------------------------------------

    def route(self) -> Route:
        """Where a write goes now; None while the cluster has no primary that is known here."""
        primary = self._primary.primary
        if primary is not None:
            return Here(primary)
        view = self._agent.view
        if view.primary is None or view.primary == self._node_id:
            return None
        member = view.member(view.primary)
        address = member.addresses.get("grpc") if member is not None else None
        return There(view.primary, address, view.epoch) if address else None

    @property
    def is_primary(self) -> bool:
        return self._primary.primary is not None and self._agent.primary_until > self._clock()

    async def changed(self, timeout_s: float) -> None:
        """Returns at the next change of role or view, or after ``timeout_s``."""
        if self._changed is None:
            self._changed = asyncio.get_running_loop().create_future()
        await asyncio.wait({self._changed}, timeout=max(timeout_s, 0))

    async def hand_over(self, timeout_s: float) -> None:
        """Gives the primary lease up in order: no more read leases, all writes settled, every
        read lease run out, then the release. Without that in time the lease just runs out.

        Returns once another node holds it, if that is soon. From now on this node follows no new
        primary: a read lease from it would block writes when this node is gone.
        """
        deadline = self._clock() + timeout_s
        self._leaving = True
        primary = self._primary.primary
        if primary is None:
            self._replica.hand_back()
            return
        primary.draining(self._clock())
        while not primary.drained(self._clock()):
            if self._clock() >= deadline:
                _log.warning("could not hand the lease over in time, it runs out by itself")
                return
            await asyncio.sleep(TICK_S)
        self._guard.lapse(self._clock())
        self._primary.end_epoch("this node stops")
        if self._agent.primary_until <= self._clock():
            return  # it ran out already, as without a majority
        try:
            await self._agent.release(RELEASE_COMMIT_S)
        except Unavailable as error:
            # Normal when the whole cluster stops: there is no majority left to tell.
            _log.info("the lease was not handed over, it runs out by itself", reason=str(error))
            return
        until = self._clock() + SUCCESSOR_S
        while self._agent.view.primary is None and len(self._agent.view.members) > 1:
            if self._clock() >= until:
                _log.info("nobody took the lease yet")
                return
            await self.changed(until - self._clock())

    # -- life -------------------------------------------------------------------------------

    async def run(self) -> None:
        """Until cancelled: drives the state machines' time, and the replica's link."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._replica.run())
            group.create_task(self._ticks())

    async def _ticks(self) -> None:
        while True:
            self._guard.tick(self._clock())
            self._primary.tick()
            self._replica.tick()
            await asyncio.sleep(TICK_S)
