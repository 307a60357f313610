"""Flushing: every node drops what it has cached of a table, or of all of them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import structlog

from cluster.coherence.guard import Guard
from cluster.coherence.primary import Primary
from node.replication.primary_driver import EpochOver
from node.tables.schemas import Cause, Tables
from node.writes.fencing import INVALIDATION, PrimaryAccess, announced
from paceline.errors import RequestError, Unavailable
from paceline.types import Params, Result

_log = structlog.get_logger()

FLUSH = "paceline.Flush"
"""Forwarded like a write; the name cannot be DynamoDB's."""

FLUSH_S = 10.0


class Flushes:
    def __init__(self, guard: Guard, tables: Tables, access: PrimaryAccess) -> None:
        self._guard = guard
        self._tables = tables
        self._access = access
        self._tasks: set[asyncio.Task[None]] = set()

    async def run_here(self, params: Params, deadline: float) -> Result:
        """Runs a flush that another node forwarded. Raises EpochOver unless this node is the
        primary."""
        return await self._flush_here(self._access.here(), params, deadline)

    async def _flush_here(self, primary: Primary, params: Params, deadline: float) -> Result:
        """Returns when no node serves what it had cached before. Raises EpochOver or NotSent."""
        driver = self._access.driver
        if primary is not driver.primary:
            raise EpochOver("the epoch ended")
        driver.flush(params.get("Table"))
        # An empty fence travels behind the flush: who holds the one has done the other, and it is
        # held by a majority and by everyone who may serve when it is ready.
        await announced(driver, primary, (), self._access.left_s(deadline), INVALIDATION)
        return {}

    async def flush(self, table: str | None, timeout_s: float = FLUSH_S) -> None:
        """Voids what every node has cached of ``table``, or of all tables.

        It travels in the primary's stream, so it reaches every replica in order with writes.
        Returns when no node answers from what was cached before. Without a primary that can say
        so until the deadline, the caller is told with ``Unavailable``.
        """
        deadline = self._access.clock() + timeout_s
        if table is not None:
            self._tables.doubt(table)
        self._guard.flush(table, self._access.clock())
        params: Params = {"Table": table}

        async def here(primary: Primary) -> Result:
            return await self._flush_here(primary, params, deadline)

        try:
            await self._access.at_primary(FLUSH, params, deadline, here, repeatable=True)
        except Unavailable:
            raise Unavailable(
                "this node's caches were emptied, but no primary could tell all others in time; "
                "run it again"
            ) from None

    async def command(self, query: Mapping[str, str]) -> dict[str, Any]:
        """Carries out ``POST /flush[?table=NAME]``."""
        unknown = sorted(query.keys() - {"table"})
        if unknown:
            raise RequestError("ValidationException", f"unknown parameter: {unknown[0]!r:.80}")
        table = query.get("table") or None
        await self.flush(table)
        return {"flushed": table or "all tables"}

    def table_changed(self, table: str, cause: Cause) -> None:
        """Flushes a table that was found to be deleted, or another one."""
        self._guard.flush(table, self._access.clock())
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
