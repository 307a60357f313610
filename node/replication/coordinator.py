"""Turns views and lease events of the cluster into the node's role: primary, replica, neither."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog

from cluster.agent import Agent
from cluster.coherence.guard import Guard
from cluster.coherence.messages import Position
from cluster.coherence.primary import Primary
from cluster.coherence.takeover import Decision, GoOn, Takeover, take_over
from cluster.coherence.takeover_report import TakeoverReport, report_for_takeover
from cluster.log.primary_lease import Acquired, Lost, Renewed
from cluster.log.view import ClusterView
from node.replication.membership import RELEASE_COMMIT_S, Membership
from node.replication.primary_driver import PrimaryDriver
from node.replication.replica_driver import ReplicaDriver, Target
from paceline.errors import PacelineError, Unavailable

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Here:
    primary: Primary


@dataclass(frozen=True, slots=True)
class There:
    node_id: str
    epoch: int


Route = Here | There | None

Recall = Callable[[str, int, Position | None], Awaitable[TakeoverReport]]
"""(node, new epoch, own position) -> the takeover report of that node; PacelineError."""

LOOK_S = 0.2
"""The coordinator looks at its parts so often, also when none has said that something is due: for
members that changed, and memory that can be freed."""

LOOK_MIN_S = 0.002
"""What has been due for a while is looked at no more often. The ends of leases are noticed this
late; uses ask the clock themselves."""

SUCCESSOR_S = 1.0
"""A node that released the lease stays for so long until another one holds it. It mostly leads
the Raft group, too: were it gone before leadership has moved, the others would first have to
notice that, and writes wait for them."""


class Coordinator:
    """Keeps at most one of the two drivers active, and tells writes where the primary is.

    A node that holds an epoch stays ``Here`` while its lease has lapsed but nobody else was
    granted one: its writes then wait for the renewal or for the next epoch. A node that was
    granted an epoch and collects the members' reports is neither: it has no primary to write
    through yet, and follows none.
    """

    def __init__(
        self,
        node_id: str,
        agent: Agent,
        guard: Guard,
        primary: PrimaryDriver,
        replica: ReplicaDriver,
        recall: Recall,
        clock: Callable[[], float],
        untouched: Callable[[], bool] = lambda: False,
    ) -> None:
        """``untouched``: whether no cluster has ever written to this DynamoDB; asked when the
        first epoch of an empty log begins. Without that, the log may be empty because the disks
        of an earlier cluster were lost, whose writes may still be on their way."""
        self._node_id = node_id
        self._agent = agent
        self._guard = guard
        self._primary = primary
        self._replica = replica
        self._recall = recall
        self._clock = clock
        self._untouched = untouched
        self._epoch = 0
        """The last epoch that was granted to this node."""
        self._recalled = 0
        """The last epoch whose primary has this node's takeover report: earlier ones are over."""
        self._takeover: asyncio.Task[None] | None = None
        self.leaving = False
        self._membership = Membership(node_id, agent, primary, self, clock)
        self._changed: asyncio.Future[None] | None = None
        self._wakes_at = 0.0
        """The time at which the state machines are looked at next."""
        self._sooner = asyncio.Event()
        primary.on_eased = self.announce
        primary.on_deadline = replica.on_deadline = self._due
        agent.on_lease(self._leased)
        agent.subscribe(self._viewed)

    # -- events -----------------------------------------------------------------------------

    def _leased(self, event: Acquired | Renewed | Lost) -> None:
        match event:
            case Acquired():
                self._acquired(event)
            case Renewed():
                self._primary.renewed(event.until)
            case Lost():
                self._stop_takeover()
                self._primary.lapsed()
        self.announce()

    def _acquired(self, event: Acquired) -> None:
        former = self._primary.primary
        if former is not None and self._epoch == event.epoch:
            self._primary.renewed(self._agent.primary_until)
            return
        self._stop_takeover()
        self._epoch = event.epoch
        self._replica.follow(None)
        self._guard.lapse(self._clock())
        members = frozenset(event.members)
        # The primary of the epoch right before has everything, and asks nobody.
        continues = former is not None and former.epoch == event.epoch - 1
        if self.leaving and not continues:
            self._primary.end_epoch("this node stops")
            self._agent.decline()  # no read lease was given in this epoch, and no write was sent
            return
        if event.first_epoch or continues:
            self._begin(event.epoch, members, reset=not (continues or self._untouched()))
            if self.leaving and self._primary.primary is not None:
                self._primary.primary.draining(self._clock())
            return
        self._primary.end_epoch("another epoch has begun")
        self._takeover = asyncio.get_running_loop().create_task(
            self._take_over(event.epoch, members)
        )

    def _begin(self, epoch: int, members: frozenset[str], *, reset: bool) -> None:
        self._primary.begin_epoch(
            epoch, members, reset=reset, lease_until=self._agent.primary_until
        )

    async def _take_over(self, epoch: int, members: frozenset[str]) -> None:
        """Before this node writes or gives leases: goes on from what a majority reports."""
        state = self._agent.state
        earlier = {e: frozenset(m) for e, m in state.epoch_members.items() if e < epoch}
        began = self._clock()
        position = self._guard.position
        own = report_for_takeover(self._guard, position, began)
        takeover = Takeover(self._node_id, epoch, earlier, own, began)

        async def ask(node_id: str) -> TakeoverReport:
            if self._agent.view.address_of(node_id) is None:
                raise Unavailable(f"{node_id} is no member any more")
            return await self._recall(node_id, epoch, position)

        reset = True
        try:
            decision = await _collect(takeover, ask, self._clock)
            if isinstance(decision, GoOn):
                take_over(self._guard, decision, self._clock())
                reset = False
                _log.info("took over", epoch=epoch, since=decision.report.position)
            else:
                _log.info("starting over", epoch=epoch, reason=decision.reason)
        except Exception:
            # Nobody else can be the primary now: without an epoch there would be no writes.
            _log.exception("the takeover failed, starting over", epoch=epoch)
        self._begin(epoch, members, reset=reset)
        self.announce()

    def _stop_takeover(self) -> None:
        if self._takeover is not None:
            self._takeover.cancel()
            self._takeover = None

    def report_for_takeover(self, epoch: int, asked_from: Position | None) -> TakeoverReport | None:
        """This node's report to the primary of ``epoch``, which takes over. From now on the node
        takes no part in older epochs. None: it knows of a later epoch."""
        if epoch <= self._epoch or epoch < max(self._recalled, self._agent.view.epoch):
            return None
        self._recalled = epoch
        self._stop_takeover()
        self._primary.end_epoch("a new epoch has begun elsewhere")
        self._replica.leave(epoch)
        self._guard.lapse(self._clock())
        self.announce()
        return report_for_takeover(self._guard, asked_from, self._clock())

    def _viewed(self, view: ClusterView) -> None:
        if view.primary is not None and view.primary != self._node_id:
            if view.epoch > self._epoch:
                self._stop_takeover()
                self._primary.end_epoch("another node holds a later epoch")
            idle = self._primary.primary is None and self._takeover is None
            if idle and not self.leaving and view.epoch >= self._recalled:
                known = view.address_of(view.primary) is not None
                self._replica.follow(Target(view.epoch, view.primary) if known else None)
        self.announce()

    def announce(self) -> None:
        if self._changed is not None:
            self._changed.set_result(None)
        self._changed = None

    # -- questions --------------------------------------------------------------------------

    def route(self) -> Route:
        """Returns where a write goes now; None while the cluster has no primary that is known
        here."""
        primary = self._primary.primary
        if primary is not None:
            return Here(primary)
        view = self._agent.view
        if view.primary is None or view.primary == self._node_id:
            return None
        if view.address_of(view.primary) is None:
            return None
        return There(view.primary, view.epoch)

    @property
    def is_primary(self) -> bool:
        return self._primary.primary is not None and self._agent.primary_until > self._clock()

    async def changed(self, timeout_s: float) -> None:
        """Returns at the next change of role or view, or after ``timeout_s``."""
        if self._changed is None:
            self._changed = asyncio.get_running_loop().create_future()
        await asyncio.wait({self._changed}, timeout=timeout_s)

    async def hand_over(self, timeout_s: float) -> None:
        """Gives the primary lease up in order: no more read leases, all writes settled, every
        read lease run out, then the release. Writes that are not settled within ``timeout_s`` are
        orphaned, as at any end of an epoch; read leases are waited for in any case, and none is
        longer than the settings say.

        Returns once another node holds it, if that is soon. From now on this node follows no new
        primary, since a read lease from it would block writes when this node is gone, and
        declines the lease if it is granted it.
        """
        self.leaving = True
        self._stop_takeover()
        if self._primary.primary is None:
            self._replica.hand_back()
        else:
            await self._drained(self._clock() + timeout_s)
        self._primary.end_epoch("this node stops")
        if self._agent.primary_until <= self._clock():
            # It ran out already, as without a majority, or was never held; it may be on its way.
            self._agent.decline()
            return
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

    async def _drained(self, deadline: float) -> None:
        """Nobody serves under this node's epoch, and all writes are settled if they are so by
        ``deadline``. The epoch may change meanwhile, by a grant that was wanted before."""
        while (primary := self._primary.primary) is not None:
            now = self._clock()
            primary.draining(now)
            if primary.drained(now):
                return
            if now >= deadline and not primary.replicas.leases_live(now):
                _log.warning("writes are under way for too long, the lease is handed over")
                return
            lives = primary.replicas.leases_live(now)
            until = [deadline] if now < deadline else []
            until += [primary.replicas.leases_until()] if lives else []
            await self.changed(min(until) - now)

    # -- life -------------------------------------------------------------------------------

    async def run(self) -> None:
        """Drives the state machines' time and the replica's link, until it is cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._replica.run())
                group.create_task(self._ticks())
        finally:
            left = [] if self._takeover is None else [self._takeover]
            self._stop_takeover()
            await self._membership.aclose()
            await asyncio.gather(*left, return_exceptions=True)

    async def _ticks(self) -> None:
        """Looks at everything that waits for a time when that has come, and every ``LOOK_S``."""
        while True:
            self._guard.tick(self._clock())
            self._primary.tick()
            self._replica.tick()
            self._membership.tick()
            self._sooner.clear()
            now = self._clock()
            due = min(self._primary.deadline(), self._replica.deadline(), now + LOOK_S)
            self._wakes_at = max(due, now + LOOK_MIN_S)
            try:
                async with asyncio.timeout(self._wakes_at - now):
                    await self._sooner.wait()
            except TimeoutError:
                pass

    def _due(self, when: float) -> None:
        if when < self._wakes_at:
            self._sooner.set()


async def _collect(
    takeover: Takeover, ask: Callable[[str], Awaitable[TakeoverReport]], clock: Callable[[], float]
) -> Decision:
    """Asks the members of the old epochs for their reports, all at once, until ``takeover``'s
    own deadline. ``ask`` raises PacelineError for a node that does not answer."""
    asking = {asyncio.ensure_future(ask(node_id)): node_id for node_id in sorted(takeover.asked)}
    waiting = dict(asking)
    try:
        while (decision := takeover.decide(clock())) is None:
            left_s = max(takeover.next_deadline() - clock(), 0.0)
            done, _ = await asyncio.wait(
                waiting, timeout=left_s, return_when=asyncio.FIRST_COMPLETED
            )
            for answer in [each for each in waiting if each in done]:
                node_id = waiting.pop(answer)
                try:
                    takeover.answered(node_id, answer.result())
                except PacelineError:
                    takeover.failed(node_id)
        return decision
    finally:
        for answer in waiting:
            answer.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
