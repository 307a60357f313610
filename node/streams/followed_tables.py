"""Which tables' streams are followed, for as long as this node is the primary."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import structlog

from cluster.agent import Agent
from cluster.coherence.primary import Primary
from cluster.log.commands import CheckpointStream, Command, FollowStream
from cluster.log.stream_checkpoints import StreamCheckpoint
from cluster.service.metrics import Series
from cluster.settings import CacheSettings
from node.replication.coordinator import Coordinator, Here
from node.replication.primary_driver import PrimaryDriver
from node.streams import metrics
from node.streams.invalidation import Invalidation
from node.streams.metrics import Now, StreamCounters
from node.streams.own_writes import OwnWrites
from node.streams.plan import NO_TABLE, POLL_S, ReadingPlan
from node.streams.reader import Control, Service, TableReader
from paceline.clock import wall_time
from paceline.errors import PacelineError

log = structlog.get_logger()

FOLLOWED_MAX = 100
"""The most tables followed at a time."""

READS_PER_S_MAX = 40.0
"""The most reads of all shards together: a read costs three milliseconds of CPU, and the primary
has writes to do. With more than ten shards each is read less often."""

TURN_S = 0.5
"""How soon a table that is new here is nominated and followed."""

CHECKPOINT_S = 5.0
"""The time between two checkpoints of a table. The next primary reads that much twice; each
checkpoint is a command in the replicated log."""

COMMIT_S = 1.0
"""The time for a checkpoint or a nomination. Without a majority there is no hurry."""

NOMINATIONS_MAX = 10
"""The most nominations per turn."""

FORGET_S = 600.0
"""A nominated table that has not existed for so long is not followed any more."""

CLOSE_S = 2.0


@dataclass(slots=True)
class _Running:
    reader: TableReader
    task: asyncio.Task[None]
    checkpoint_at: float
    missing_since: float | None = None


class FollowedTables:
    """Follows the streams of tables while this node is the primary.

    A table is followed if its setting asks for it and either the settings name it, or some node
    uses it: nodes nominate such tables in the replicated log, where every primary finds them.
    """

    def __init__(
        self,
        settings: CacheSettings,
        agent: Agent,
        coordinator: Coordinator,
        driver: PrimaryDriver,
        service: Service,
        control: Control,
        invalidation: Invalidation,
        own: OwnWrites,
        used_tables: Callable[[], Iterable[str]],
        clock: Callable[[], float],
        wall: Callable[[], float] = wall_time,
    ) -> None:
        """``used_tables`` gives the tables that this node knows because somebody uses them here."""
        self._wanted = settings.per_table(lambda s: s.follow_streams)
        self._named = sorted(name for name, wanted in self._wanted.tables.items() if wanted)
        self._agent = agent
        self._coordinator = coordinator
        self._driver = driver
        self._service = service
        self._control = control
        self._invalidation = invalidation
        self._own = own
        self._used_tables = used_tables
        self._clock = clock
        self._wall = wall
        self._counters: dict[str, StreamCounters] = {}
        self._running: dict[str, _Running] = {}
        self._closing = False
        self._too_many_told = False
        self._task: asyncio.Task[None] | None = None

    @property
    def configured(self) -> bool:
        """True if some table may be followed."""
        return self._wanted.general or bool(self._named)

    # -- life -------------------------------------------------------------------------------

    def start(self) -> None:
        if self.configured:
            self._task = asyncio.create_task(self._run(), name="streams")

    async def aclose(self) -> None:
        """Stops following and writes last checkpoints. Called before the lease is handed over."""
        self._closing = True
        task, self._task = self._task, None
        if task is not None:
            await asyncio.wait({task}, timeout=CLOSE_S)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _run(self) -> None:
        while not self._closing:
            try:
                route = self._coordinator.route()
                if isinstance(route, Here):
                    await self._lead(route.primary)
                else:
                    await self._nominate()
            except Exception:
                # Writes and reads go on without it; what is cached may become stale.
                log.exception("following streams failed, it begins anew")
            await self._coordinator.changed(TURN_S)

    async def _lead(self, primary: Primary) -> None:
        """Follows until the epoch ends or the node stops."""
        log.info("following streams", epoch=primary.epoch, named=self._named)
        try:
            while self._driver.primary is primary and not self._closing:
                await self._adjust(primary)
                await self._nominate()
                await self._write_checkpoints(primary, self._clock())
                await self._forget_missing()
                await asyncio.sleep(TURN_S / 2)
            if self._driver.primary is primary:
                await self._stop_followers(self._running.values())
                await self._write_checkpoints(primary, float("inf"))
        finally:
            await self._stop_followers(self._running.values())
            self._running.clear()

    # -- readers ---------------------------------------------------------------------------

    def _followed(self) -> list[str]:
        nominated = [table for table in self._agent.state.streams if self._wanted.of(table)]
        tables = list(dict.fromkeys([*self._named, *sorted(nominated)]))
        if len(tables) > FOLLOWED_MAX:
            self._tell_too_many()
        return tables[:FOLLOWED_MAX]

    async def _adjust(self, primary: Primary) -> None:
        followed = self._followed()
        for table, each in list(self._running.items()):
            if table not in followed or each.task.done():
                del self._running[table]
                self._own.unwatch(table)
                await self._stop_followers([each])
        for table in followed:
            if table not in self._running:
                self._running[table] = self._follow(table, primary)
        shards = sum(each.reader.plan.open_shards for each in self._running.values())
        poll_s = max(POLL_S, shards / READS_PER_S_MAX)
        for each in self._running.values():
            each.reader.plan.poll_s = poll_s

    def _follow(self, table: str, primary: Primary) -> _Running:
        known = self._agent.state.streams.get(table, StreamCheckpoint())
        reader = TableReader(
            table,
            primary,
            ReadingPlan(known.stream, known.positions, self._clock()),
            self._service,
            self._control,
            self._invalidation,
            self._counters_of(table),
            self._complete_changed,
            self._clock,
            self._wall,
        )
        task = asyncio.create_task(reader.run(), name=f"stream {table}")
        return _Running(reader, task, self._clock() + CHECKPOINT_S)

    def _complete_changed(self, table: str, complete: bool) -> None:
        if complete and table in self._running:
            self._own.watch(table)
        else:
            self._own.unwatch(table)

    def _counters_of(self, table: str) -> StreamCounters:
        counters = self._counters.get(table)
        if counters is None:
            if len(self._counters) >= 2 * FOLLOWED_MAX:
                del self._counters[next(iter(self._counters))]
            counters = self._counters[table] = StreamCounters()
        return counters

    async def _stop_followers(self, running: Iterable[_Running]) -> None:
        tasks = [each.task for each in running]
        for task in tasks:
            task.cancel()
        for ended in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(ended, Exception):
                log.error("following a table failed", exc_info=ended)

    # -- the replicated log -----------------------------------------------------------------

    async def _write_checkpoints(self, primary: Primary, now: float) -> None:
        for table, each in list(self._running.items()):
            if now < each.checkpoint_at:
                continue
            each.checkpoint_at = now + CHECKPOINT_S
            command = self._checkpoint(table, primary, each.reader.plan)
            if command is not None and not await self._commit(command):
                return

    def _checkpoint(
        self, table: str, primary: Primary, plan: ReadingPlan
    ) -> CheckpointStream | None:
        found = plan.checkpoint()
        if found is None:
            return None
        stream, positions = found
        known = self._agent.state.streams.get(table, StreamCheckpoint())
        before: Mapping[str, str] = known.positions if known.stream == stream else {}
        changed = {shard: at for shard, at in positions.items() if before.get(shard) != at}
        dropped = tuple(sorted(before.keys() - positions.keys()))
        if known.stream == stream and not changed and not dropped:
            return None
        return CheckpointStream(primary.epoch, table, stream, changed, dropped)

    async def _nominate(self) -> None:
        if not self._wanted.general:
            return
        known = self._agent.state.streams
        new = [
            table
            for table in self._used_tables()
            if table not in known and table not in self._named and self._wanted.of(table)
        ]
        for table in sorted(new)[:NOMINATIONS_MAX]:
            if not await self._commit(FollowStream(table, True)):
                return

    async def _forget_missing(self) -> None:
        now = self._clock()
        for table, each in list(self._running.items()):
            if each.reader.plan.missing != NO_TABLE or table in self._named:
                each.missing_since = None
            elif each.missing_since is None:
                each.missing_since = now
            elif now - each.missing_since >= FORGET_S:
                await self._commit(FollowStream(table, False))

    async def _commit(self, command: Command) -> bool:
        try:
            result = await self._agent.commit(command, COMMIT_S)
        except PacelineError as error:
            log.debug("not in the log yet", command=type(command).__name__, reason=str(error))
            return False
        if not result.ok:
            if isinstance(command, FollowStream):
                self._tell_too_many()
            else:
                log.info("a checkpoint was refused", reason=result.reason)
        return result.ok

    def _tell_too_many(self) -> None:
        if not self._too_many_told:
            self._too_many_told = True
            log.warning(
                "more tables ask for follow_streams than can be followed: writers outside the "
                "cluster are not noticed on the others",
                followed_max=FOLLOWED_MAX,
            )

    # -- what it says of itself -------------------------------------------------------------

    def as_dict(self) -> dict[str, Any]:
        """Returns the state by table, of the tables followed here; so there are some only at the
        primary."""
        now = self._clock()
        found = {}
        for table, each in sorted(self._running.items()):
            plan, counters = each.reader.plan, each.reader.counters
            lag_s = plan.lag_s(now)
            found[table] = {
                "stream": plan.stream,
                "following": plan.complete and plan.level_known,
                "shards": plan.open_shards,
                "lag_s": None if lag_s is None else round(lag_s, 3),
                "last_delay_s": counters.last_delay_s,
                "records": counters.records,
                "echoes": counters.echoes,
                "trouble": each.reader.trouble,
            }
        return found

    def series(self) -> list[Series]:
        return metrics.series(self._counters, self._now)

    def _now(self) -> dict[str, Now]:
        now = self._clock()
        return {
            table: Now(plan.complete and plan.level_known, plan.open_shards, plan.lag_s(now))
            for table, plan in ((table, each.reader.plan) for table, each in self._running.items())
        }
