"""The way to the primary, and what happens there around every fence.

A fence is one round: make it, wait until everybody who may serve holds it, do what it is for,
settle it. ``fenced`` runs that round and leaves by no way without settling; ``PrimaryAccess`` finds
the node at which it can be run.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import structlog

from cluster.coherence.effects import Effect
from cluster.coherence.messages import Image, Outcome, Position
from cluster.coherence.primary import Primary
from node.replication.coordinator import Coordinator, Here, There
from node.replication.forwarding import (
    CHECK_S,
    NEW_PRIMARY_GRACE_S,
    PRIMARY_CHANGED,
    Forwarder,
)
from node.replication.primary_driver import EpochOver, PrimaryDriver
from node.replication.wire import By
from paceline.errors import NotSent, OutcomeUnknown, Unavailable
from paceline.types import Key, Params, Result

_log = structlog.get_logger()

RETRY_S = 0.1
"""The pause between two tries to reach a primary. A change of the view ends the wait at once."""

REACH_CHECK_S = 1.0
"""A change of the view ends the wait for a connection at once; this only bounds one look."""


@dataclass(frozen=True, slots=True)
class Purpose:
    """What a fence is made for, and how it is settled where nobody says how that ended."""

    name: str
    unready: Outcome
    """The outcome if the fence was given up before it was ready, so that what it was made for was
    not begun."""
    unsaid: Outcome
    """The outcome if the fence was ready, and then an error of ours or the end of this node cut off
    what it was for."""
    late: str
    """The NotSent that is raised for a fence that was not acknowledged in time."""


WRITE = Purpose(
    "the write",
    # Nothing goes to DynamoDB before the fence is ready, so what was cached is still right.
    unready=Outcome.REJECTED,
    # DynamoDB may have it.
    unsaid=Outcome.UNKNOWN,
    late="the write's fence was not acknowledged by enough nodes in time, so the write was not "
    "sent; it is safe to try again",
)

IN_DOUBT = Purpose(
    "the report of a write in doubt",
    # The write was sent long before: whoever holds the fence is to treat its keys as unknown, even
    # if too few do to call it told.
    unready=Outcome.UNKNOWN,
    unsaid=Outcome.UNKNOWN,
    late="the write in doubt was not told to enough nodes in time",
)

INVALIDATION = Purpose(
    "the invalidation",
    # What it is about has changed already. Never rejected: that would bring back what was cached.
    unready=Outcome.SUCCESS,
    unsaid=Outcome.SUCCESS,
    late="the invalidation was not acknowledged by enough nodes in time",
)


class FenceRefused(NotSent):
    """There is no fence: the lease is not valid now, or too many fences are open."""


class ReadyFence:
    """A fence that everyone who may serve holds. ``held`` says more once it is settled."""

    def __init__(
        self, driver: PrimaryDriver, primary: Primary, position: Position, outcome: Outcome
    ) -> None:
        self.outcome = outcome
        self.held = False
        """True if the lease was valid from the fence's beginning to its end, so that nobody serves
        who does not know of it."""
        self._images: Sequence[Image | None] = ()
        self._driver = driver
        self._primary = primary
        self._position = position

    def may_send(self) -> bool:
        """As ``Primary.may_send``: asked with the connection to DynamoDB in hand."""
        return self._driver.may_send(self._primary, self._position)

    def ended(self, outcome: Outcome, images: Sequence[Image | None] = ()) -> None:
        """Records how what the fence was made for has ended; ``images`` align with its keys."""
        self.outcome, self._images = outcome, images

    def settle(self, remade: Sequence[str]) -> None:
        try:
            if self.outcome is not Outcome.REJECTED and self._primary is self._driver.primary:
                for table in remade:
                    self._driver.flush(table)
            self.held = self._driver.settle(
                self._primary, self._position, self.outcome, self._images
            )
        except Exception:
            # Its keys stay fenced wherever this was not carried out; who asks is told it was not.
            _log.exception("a fence was not settled in order", fence=self._position)


class fenced:
    """Runs its body behind a fence that is ready, and settles that whatever happens."""

    __slots__ = ("_effects", "_fence", "_ready", "_remade", "_told", "_within_s")

    def __init__(
        self,
        driver: PrimaryDriver,
        primary: Primary,
        keys: Sequence[Key],
        within_s: float,
        purpose: Purpose,
        *,
        effects: Sequence[Effect | None] = (),
        remade: Sequence[str] = (),
    ) -> None:
        """``within_s``: for the fence to get ready. ``effects`` must hold when the body is entered.
        ``remade``: tables that may be others afterwards; whoever knows of the end knows of that,
        too, since it goes before."""
        self._told = driver, primary, keys, purpose
        self._within_s = within_s
        self._effects = effects
        self._remade = remade

    async def __aenter__(self) -> ReadyFence:
        """Raises FenceRefused, NotSent (not ready in time, or an error of ours) and EpochOver."""
        driver, primary, keys, purpose = self._told
        try:
            position, ready = driver.begin(primary, keys, self._effects)
        except NotSent as error:
            raise FenceRefused(str(error)) from error
        except EpochOver:
            raise
        except Exception as error:
            _log.exception("a fence could not be made", purpose=purpose.name)
            raise not_sent() from error
        self._fence = fence = ReadyFence(driver, primary, position, purpose.unready)
        self._ready = ready
        try:
            if not ready.done():
                late = asyncio.get_running_loop().call_later(
                    max(self._within_s, 0.0), _give_up, ready, purpose
                )
                try:
                    await ready
                finally:
                    late.cancel()
            ready.result()
        except BaseException:
            self._end(())
            raise
        fence.outcome = purpose.unsaid
        return fence

    async def __aexit__(self, *_: object) -> None:
        self._end(self._remade)

    def _end(self, remade: Sequence[str]) -> None:
        """What is known now is what is settled."""
        self._fence.settle(remade)
        ready = self._ready
        if ready.done() and not ready.cancelled():
            ready.exception()  # retrieved: the epoch may have ended when nobody waited any more


def _give_up(ready: asyncio.Future[None], purpose: Purpose) -> None:
    if not ready.done():
        ready.set_exception(NotSent(purpose.late))


async def announced(
    driver: PrimaryDriver,
    primary: Primary,
    keys: Sequence[Key],
    within_s: float,
    purpose: Purpose,
    *,
    effects: Sequence[Effect | None] = (),
    remade: Sequence[str] = (),
) -> None:
    """A fence for its own sake: returns when everyone who may serve has held it, and nobody can
    have begun to serve meanwhile without. Raises what ``fenced`` does, EpochOver also when the
    lease lapsed under way."""
    async with fenced(
        driver, primary, keys, within_s, purpose, effects=effects, remade=remade
    ) as fence:
        pass
    if not fence.held:
        raise EpochOver(f"the lease lapsed during {purpose.name}")


def not_sent() -> NotSent:
    return NotSent("an internal error kept the write from being sent; the node's log says more")


@dataclass(frozen=True, slots=True)
class PrimaryAccess:
    """This node's way to the primary, which it may be itself."""

    coordinator: Coordinator
    driver: PrimaryDriver
    forwarder: Forwarder
    clock: Callable[[], float]

    def here(self) -> Primary:
        """Raises EpochOver unless this node is the primary."""
        route = self.coordinator.route()
        if not isinstance(route, Here):
            raise EpochOver("not the primary")
        return route.primary

    def left_s(self, deadline: float) -> float:
        return max(deadline - self.clock(), 0.0)

    async def at_primary(
        self,
        operation: str,
        params: Params,
        deadline: float,
        here: Callable[[Primary], Awaitable[Result]],
        *,
        repeatable: bool = False,
        by: By | None = None,
    ) -> Result:
        """Runs ``here`` if this node is the primary, else has the primary run ``operation``.

        EpochOver says that nothing was begun, so that it is tried again, at the next primary
        perhaps. A write is never tried again after anything else: its outcome may be unknown, and
        to do it twice may undo what came between. ``repeatable``: doing it twice does no harm, so
        it is done until that is certain. ``by``: in whose name it is to be done over there.

        Raises what the operation does, and NotSent when there is no primary until ``deadline``;
        of what is repeatable, Unavailable and nothing else.
        """
        logged = False
        while True:
            route = self.coordinator.route()
            try:
                match route:
                    case Here(primary=primary):
                        return await here(primary)
                    case There():
                        return await self._there(route, operation, params, deadline, by)
            except EpochOver:
                if self.coordinator.route() != route:
                    continue
            except Exception as error:
                if not repeatable:
                    raise
                if not logged and not isinstance(error, NotSent | OutcomeUnknown):
                    _log.exception("an error at the primary, it is tried again", what=operation)
                    logged = True
            left_s = deadline - self.clock()
            if left_s <= 0:
                raise _without_primary(repeatable=repeatable)
            await self.coordinator.changed(min(left_s, RETRY_S))

    async def _there(
        self, route: There, operation: str, params: Params, deadline: float, by: By | None
    ) -> Result:
        forwarder = self.forwarder
        if not forwarder.at_hand(route.node_id):
            await self._reach(route, deadline)

        def moved() -> bool:
            current = self.coordinator.route()
            return current != route and current is not None

        if forwarder.at_hand(route.node_id):
            shared = await forwarder.share(route.node_id, operation, params, deadline, moved, by)
            if shared is not None:
                return shared
        call = asyncio.ensure_future(
            forwarder.forward(route.node_id, operation, params, deadline, by)
        )
        try:
            while not call.done():
                await asyncio.wait({call}, timeout=CHECK_S)
                if not call.done() and moved():
                    await asyncio.wait({call}, timeout=NEW_PRIMARY_GRACE_S)
                    break
            if call.done():
                return call.result()
            raise OutcomeUnknown(PRIMARY_CHANGED)
        finally:
            call.cancel()
            await asyncio.gather(call, return_exceptions=True)

    async def _reach(self, route: There, deadline: float) -> None:
        """As ``Forwarder.reach``, but given up (EpochOver) as soon as another route is known: a
        dead primary is waited for no longer than the cluster waits for it."""
        reach = asyncio.ensure_future(self.forwarder.reach(route.node_id, deadline))
        try:
            while not reach.done():
                moved = asyncio.ensure_future(self.coordinator.changed(REACH_CHECK_S))
                try:
                    await asyncio.wait({reach, moved}, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    moved.cancel()
                    await asyncio.gather(moved, return_exceptions=True)
                if self.coordinator.route() != route:
                    raise EpochOver("the primary changed before the write was handed over")
            reach.result()
        finally:
            reach.cancel()
            await asyncio.gather(reach, return_exceptions=True)


def _without_primary(*, repeatable: bool) -> NotSent | Unavailable:
    if repeatable:
        return Unavailable("no primary could do it in time; try again")
    return NotSent(
        "the cluster has no primary at the moment, so the write was not sent; it is safe to try "
        "again"
    )
