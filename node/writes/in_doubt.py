"""Writes that were under way when their primary's lease lapsed: the current primary is told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import structlog

from cluster.coherence.messages import Outcome
from cluster.coherence.primary import Primary
from node.replication.coordinator import Coordinator, Here, There
from node.replication.forwarding import Forwarder
from node.replication.primary_driver import EpochOver, PrimaryDriver
from paceline.errors import NotSent, OutcomeUnknown
from paceline.types import Key, Params

_log = structlog.get_logger()

REPORT_ORPHAN = "ReportOrphan"
"""Forwarded like a write. Doing it twice does no harm, so it is repeated freely."""

RETRY_S = 0.1


class Orphans:
    """After a report every node that may serve has dropped the keys, and treats them as unknown;
    more than half of the members know. So the write's success may be told."""

    def __init__(
        self,
        coordinator: Coordinator,
        driver: PrimaryDriver,
        forwarder: Forwarder,
        clock: Callable[[], float],
    ) -> None:
        self._coordinator = coordinator
        self._driver = driver
        self._forwarder = forwarder
        self._clock = clock

    async def report(
        self, keys: Sequence[Key], deadline: float, remade: Sequence[str] = ()
    ) -> bool:
        """False: no primary could be told until ``deadline``. ``remade``: tables that may be other
        ones. Raises nothing: what is to be told is a success."""
        params: Params = {"Keys": [list(key) for key in keys]}
        if remade:
            params["Remade"] = list(remade)
        while self._clock() < deadline:
            route = self._coordinator.route()
            try:
                match route:
                    case Here(primary=primary):
                        await self.doubt_here(primary, keys, deadline, remade)
                        return True
                    case There(address=address):
                        await self._forwarder.reach(address, deadline)
                        await self._forwarder.forward(address, REPORT_ORPHAN, params, deadline)
                        return True
            except (EpochOver, NotSent, OutcomeUnknown):
                pass  # to be told again, perhaps to another primary
            except Exception:
                _log.exception("telling of a write failed, it is tried again")
            await self._coordinator.changed(min(RETRY_S, deadline - self._clock()))
        return False

    async def doubt_here(
        self, primary: Primary, keys: Sequence[Key], deadline: float, remade: Sequence[str] = ()
    ) -> None:
        """Fences ``keys`` as a write would, and settles them unknown. EpochOver, NotSent."""
        fence, ready = self._driver.begin(primary, keys)
        try:
            done, _ = await asyncio.wait({ready}, timeout=max(deadline - self._clock(), 0))
            if not done:
                raise NotSent("the orphaned write was not told to enough nodes in time")
            ready.result()
            for table in remade:
                self._driver.flush(table)
        finally:
            held = self._driver.settle(primary, fence, Outcome.UNKNOWN, ())
        if not held:
            raise EpochOver("the lease lapsed while the orphaned write was told")


def reported(params: Params) -> tuple[tuple[Key, ...], tuple[str, ...]]:
    """Keys, and tables that may be other ones."""
    keys = tuple((table, key) for table, key in params["Keys"])
    return keys, tuple(params.get("Remade") or ())
