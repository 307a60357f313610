"""Tables that are deleted and made anew while clients use them, by way of the cluster."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

from paceline.dax.family import Family
from paceline.errors import DynamoDBError, OutcomeUnknown, PacelineError
from paceline.types import Params
from tests.simulation import doors
from tests.simulation.cluster import Cluster
from tests.simulation.node import SimulatedNode
from tests.simulation.tables import TABLES, SimulatedTable, creation, variants
from tests.simulation.upstream import change_table

PATIENCE_S = 12.0
"""Longer than a node takes for one request."""
POLL_S = 0.05
ATTEMPTS_MAX = 5


class Remaking:
    """One table at a time. Nobody else deletes or makes any."""

    def __init__(self, cluster: Cluster, rng: random.Random) -> None:
        self._cluster = cluster
        self._rng = rng
        self._busy = False
        self._unsure: set[str] = set()
        """Tables that may have been deleted after nobody waited for it any more."""
        complaints = cluster.loop.complaints
        self._visitor = doors.Visitor(
            rng, Family.PACELINE, complaints.append, cluster.store.schemas
        )

    async def remake(self) -> None:
        if self._busy:
            return
        self._busy = True
        try:
            store = self._cluster.store
            late = self._deleted_late()
            table = late[0] if late else self._rng.choice(TABLES)
            if not late:
                await self._delete(table.name)
                await self._until(lambda: not self._deleting(table.name))
            if table.name not in store.made:
                await self._wait(self._rng.choice([0.0, 0.5]) * self._rng.random())
                await self._create(creation(self._rng.choice(variants(table))))
        finally:
            self._busy = False

    def restore(self) -> None:
        """Makes what was deleted after all, when nobody waited for it any more."""
        cluster = self._cluster
        if not self._busy:
            for table in self._deleted_late():
                params = creation(self._rng.choice(variants(table)))
                change_table(
                    cluster.store, cluster.network, cluster.upstream, "CreateTable", params
                )

    def _deleted_late(self) -> list[SimulatedTable]:
        made = self._cluster.store.made
        return [t for t in TABLES if t.name in self._unsure and t.name not in made]

    def _deleting(self, name: str) -> bool:
        made = self._cluster.store.made.get(name)
        return made is not None and made.status != "ACTIVE"

    async def _delete(self, name: str) -> None:
        begun = self._cluster.loop.t
        said = await self._ask("DeleteTable", {"TableName": name})
        if said is None:
            self._cluster.checker.table_deleted(name, begun, self._cluster.loop.t)
        elif not isinstance(said, DynamoDBError):
            self._cluster.checker.table_deleted(name, begun, None)
            self._unsure.add(name)
            # Should it still be on its way, it mostly lands within a quarantine; a node that
            # was paused may send it later, and then the table is missing until somebody looks.
            await self._wait(self._cluster.options.lease.quarantine_s)

    async def _create(self, params: Params) -> None:
        store, cluster = self._cluster.store, self._cluster
        for _ in range(ATTEMPTS_MAX):
            await self._ask("CreateTable", params)
            if params["TableName"] in store.made:
                break
        else:
            change_table(store, cluster.network, cluster.upstream, "CreateTable", params)
        await self._until(lambda: not self._deleting(params["TableName"]))

    async def _ask(self, operation: str, params: Params) -> Exception | None:
        """At some node; the error that came of it."""
        nodes = self._cluster.serving()
        if not nodes:
            await self._wait(POLL_S)
            return DynamoDBError("Nobody", "no node is up")
        node = self._rng.choice(nodes)
        said = await self._answer(node, operation, params)
        self._cluster.count(f"{operation}, {'done' if said is None else 'not done'}")
        self._cluster.note(f"{operation} of {params['TableName']} at {node.name}: {said!r}")
        return said

    async def _answer(
        self, node: SimulatedNode, operation: str, params: Params
    ) -> Exception | None:
        loop = self._cluster.loop
        door = self._rng.choice(["http", "raw"])
        if self._cluster.changes is not None:
            self._visitor.identity = self._cluster.changes.identity(0)
        task = node.owner.spawn(doors.call(door, node, self._visitor, operation, params))
        answer: asyncio.Future[None] = loop.create_future()

        def end(task: asyncio.Task[object] | None) -> None:
            if task is not None and not task.cancelled():
                task.exception()  # seen, also when nobody waits for it any more
            if not answer.done():
                answer.set_result(None)

        node.callers[answer] = None
        task.add_done_callback(end, context=loop.world.context)
        loop.after(PATIENCE_S, end, None)
        await answer
        node.callers.pop(answer, None)
        if not task.done() or task.cancelled():
            return OutcomeUnknown("no answer")
        error = task.exception()
        assert error is None or isinstance(error, PacelineError), repr(error)
        return error

    async def _until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            await self._wait(POLL_S)

    async def _wait(self, duration_s: float) -> None:
        await asyncio.sleep(duration_s)
