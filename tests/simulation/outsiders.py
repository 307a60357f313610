"""Writers outside the cluster at work, and what the cluster says that it knows of them."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable

from paceline.errors import DynamoDBError
from paceline.types import Key, Params
from tests.simulation.calling import Caller
from tests.simulation.cluster import Cluster
from tests.simulation.node import SimulatedNode
from tests.simulation.outside import Outside
from tests.simulation.tables import TABLES, creation, variants
from tests.simulation.upstream import change_table

NUMBER = -1
"""Of the writers among the clients."""
LOOK_S = 0.1
"""Between two looks at what the primary says."""
ROUNDED_S = 0.001
"""What the primary tells of its lag is rounded."""
POLL_S = 0.05
ATTEMPTS_MAX = 20
BEHIND_S = 1.5
"""For the questions and answers of a schema check, and what follows from them on all nodes."""


class Outsiders:
    """A write is known from when the primary says so of its time: a read that begins then must not
    be older. Deletions of tables behind the cluster's back are known after a schema check."""

    def __init__(self, cluster: Cluster, weather: Outside, rng: random.Random) -> None:
        self._cluster = cluster
        self._weather = weather
        self._rng = rng
        self._caller = Caller(cluster, NUMBER, rng.randrange(1 << 60))
        self._unknown: dict[str, deque[tuple[float, Key, int]]] = {
            table.name: deque() for table in TABLES
        }
        """Of each table, in the order of their times."""
        self.over = False

    @property
    def unknown(self) -> int:
        """Writes of which some node may still not know."""
        return sum(map(len, self._unknown.values()))

    async def run(self) -> None:
        """Until cancelled."""
        weather = self._weather
        async with asyncio.TaskGroup() as tasks:
            if weather.write_every_s:
                tasks.create_task(self._often(weather.write_every_s, self._write))
            if weather.remake_every_s:
                tasks.create_task(self._remake())
            if weather.followed:
                tasks.create_task(self._often(weather.split_every_s, self._split))
                tasks.create_task(self._watch())

    async def _often(self, every_s: float, act: Callable[[], None]) -> None:
        while True:
            await asyncio.sleep(self._rng.expovariate(1 / every_s))
            if not self.over:
                act()

    def _split(self) -> None:
        assert self._cluster.streams is not None
        self._cluster.streams.split()

    # -- writing --------------------------------------------------------------------------------

    def _write(self) -> None:
        store, checker, rng = self._cluster.store, self._cluster.checker, self._rng
        for _ in range(ATTEMPTS_MAX):
            table, attributes, key = self._caller._key()
            if checker.shared_with_outsiders(key):
                break
        else:
            return
        item = self._caller._item(table, attributes, self._caller._value())
        try:
            record = store.record(table, attributes, whole=False)
        except DynamoDBError:
            return  # it is being made anew
        before = store.sequence
        store.put(record, None if rng.random() < 0.25 else item)
        if store.sequence > before:
            self._put_down([record.key], table)
            self._cluster.count("written outside")
            self._cluster.note(f"outside: {record.key} becomes {record.now.value}")

    def _put_down(self, keys: list[Key], table: str) -> None:
        store, checker = self._cluster.store, self._cluster.checker
        for key in keys:
            version = store.records[key].now
            checker.foreign.add(version.sequence)
            self._unknown[table].append((version.t, key, version.sequence))

    # -- what is known --------------------------------------------------------------------------

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            primary = self._cluster.primary()
            if primary is not None:
                primary.owner.call_soon(self._listen, primary)

    def _listen(self, primary: SimulatedNode) -> None:
        """In its turn: by its clock."""
        if primary.followed is None:
            return
        t = self._cluster.loop.t
        for table, said in primary.followed.as_dict().items():
            if said["following"] and said["lag_s"] is not None:
                lag_s = (said["lag_s"] + ROUNDED_S) / primary.owner.rate
                self._know(table, t - lag_s - self._weather.appear_s)

    def _know(self, table: str, level: float) -> None:
        """Everything of ``table`` that was written by ``level`` is known to all nodes."""
        checker, waiting = self._cluster.checker, self._unknown[table]
        checker.levels[table] = max(level, checker.levels.get(table, 0.0))
        while waiting and waiting[0][0] <= level:
            _, key, sequence = waiting.popleft()
            checker.known(key, sequence)
            self._cluster.count("known from outside")

    # -- tables ---------------------------------------------------------------------------------

    async def _remake(self) -> None:
        """Deletes some table and makes it anew, and nobody tells the cluster."""
        cluster, rng = self._cluster, self._rng
        while True:
            await asyncio.sleep(rng.expovariate(1 / self._weather.remake_every_s))
            if self.over:
                continue
            table = rng.choice(TABLES)
            self._change("DeleteTable", {"TableName": table.name})
            cluster.note(f"outside: {table.name} is deleted")
            await self._until(lambda name=table.name: name not in cluster.store.made)
            await asyncio.sleep(rng.choice([0.0, 1.0]) * rng.random())
            self._change("CreateTable", creation(rng.choice(variants(table))))
            cluster.note(f"outside: {table.name} is made anew")
            cluster.count("made anew outside")
            await self._until(lambda name=table.name: cluster.store.made[name].status == "ACTIVE")

    def _change(self, operation: str, params: Params) -> None:
        cluster, table = self._cluster, params["TableName"]
        store, before = cluster.store, cluster.store.sequence
        change_table(store, cluster.network, cluster.upstream, operation, params)
        gone = [r.key for r in store.by_table[table] if r.now.sequence > before]
        self._put_down(gone, table)
        if not self._weather.followed:
            options = cluster.options
            within_s = options.schema_check_s * (1 + 2 * options.clock_drift) + BEHIND_S
            cluster.loop.after(within_s, self._know, table, cluster.loop.t)

    async def _until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            await self._wait(POLL_S)

    async def _wait(self, duration_s: float) -> None:
        await asyncio.sleep(duration_s)
