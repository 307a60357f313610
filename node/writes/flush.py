"""Commands that are not data operations: flushing caches everywhere."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import structlog

from cluster.coherence.guard import Guard
from cluster.coherence.messages import Outcome
from cluster.coherence.primary import Primary
from node.replication.coordinator import Coordinator, Here, There
from node.replication.forwarding import Forwarder
from node.replication.primary_driver import EpochOver, PrimaryDriver
from node.tables.schemas import Cause, Tables
from paceline.errors import NotSent, OutcomeUnknown, RequestError, Unavailable
from paceline.types import Params, Result

_log = structlog.get_logger()

FLUSH = "paceline.Flush"
CONTROL_OPERATIONS = frozenset({FLUSH})
"""Travel as forwarded operations; the names cannot be DynamoDB's."""

FLUSH_S = 10.0
RETRY_S = 0.1


class Control:
    def __init__(
        self,
        guard: Guard,
        tables: Tables,
        coordinator: Coordinator,
        primary: PrimaryDriver,
        forwarder: Forwarder,
        clock: Callable[[], float],
    ) -> None:
        self._guard = guard
        self._tables = tables
        self._coordinator = coordinator
        self._primary = primary
        self._forwarder = forwarder
        self._clock = clock
        self._tasks: set[asyncio.Task[None]] = set()

    async def run_here(self, operation: str, params: Params, deadline: float) -> Result:
        """A command another node forwarded; EpochOver unless this node is the primary."""
        assert operation == FLUSH
        route = self._coordinator.route()
        if not isinstance(route, Here):
            raise EpochOver("not the primary")
        await self._flush_here(route.primary, params.get("Table"), deadline)
        return {}

    async def _flush_here(self, primary: Primary, table: str | None, deadline: float) -> None:
        """Returns when no node serves what it had cached before. EpochOver, NotSent."""
        if primary is not self._primary.primary:
            raise EpochOver("the epoch ended")
        self._primary.flush(table)
        # An empty fence travels behind the flush: who holds the one has done the other, and it is
        # held by a majority and by everyone who may serve when it is ready.
        fence, ready = self._primary.begin(primary, ())
        try:
            done, _ = await asyncio.wait({ready}, timeout=max(deadline - self._clock(), 0))
            if not done:
                raise NotSent("the flush was not acknowledged by enough nodes in time")
            ready.result()
        finally:
            held = self._primary.settle(primary, fence, Outcome.SUCCESS, ())
        if not held:
            raise EpochOver("the lease lapsed during the flush")

    async def flush(self, table: str | None, timeout_s: float = FLUSH_S) -> None:
        """Voids what every node has cached of ``table``, or of all tables.

        It travels in the primary's stream, so it reaches every replica in order with writes.
        Returns when no node answers from what was cached before. Without a primary that can say
        so until the deadline, the caller is told with ``Unavailable``.
        """
        deadline = self._clock() + timeout_s
        if table is not None:
            self._tables.doubt(table)
        self._guard.flush(table, self._clock())
        while True:
            route = self._coordinator.route()
            try:
                match route:
                    case Here(primary=primary):
                        await self._flush_here(primary, table, deadline)
                        return
                    case There(address=address):
                        params = {"Table": table}
                        await self._forwarder.reach(address, deadline)
                        await self._forwarder.forward(address, FLUSH, params, deadline)
                        return
            except (EpochOver, NotSent, OutcomeUnknown):
                pass  # done twice it does no harm
            left = deadline - self._clock()
            if left <= 0:
                raise Unavailable(
                    "this node's caches were emptied, but no primary could tell all others in "
                    "time; run it again"
                )
            await self._coordinator.changed(min(left, RETRY_S))

    async def flush_command(self, query: Mapping[str, str]) -> dict[str, Any]:
        """``POST /flush[?table=NAME]``."""
        unknown = sorted(query.keys() - {"table"})
        if unknown:
            raise RequestError("ValidationException", f"unknown parameter: {unknown[0]!r:.80}")
        table = query.get("table") or None
        await self.flush(table)
        return {"flushed": table or "all tables"}

    def table_changed(self, table: str, cause: Cause) -> None:
        """A table was found to be deleted, or another one."""
        self._guard.flush(table, self._clock())
        if cause == "here only":
            return
        if cause == "outside":
            _log.warning("table changed outside the cluster, flushing it", table=table)
        task = asyncio.get_running_loop().create_task(self._flush_quietly(table))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _flush_quietly(self, table: str) -> None:
        try:
            await self.flush(table)
        except Unavailable as error:
            # Every node finds the change by itself within one check of its schemas.
            _log.warning("could not tell the other nodes", table=table, reason=str(error))

    async def aclose(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
