"""Reads one table's stream, for as long as its node is the primary of one epoch."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Protocol

import structlog

from cluster.coherence.primary import Primary
from node.backend.retry import ErrorMeaning, meaning_of
from node.replication.primary_driver import EpochOver
from node.streams import answers
from node.streams.invalidation import Invalidation
from node.streams.metrics import StreamCounters
from node.streams.plan import NO_STREAM, ReadingPlan
from node.streams.steps import Apply, Failure, Flush, ListShards, Look, Open, Read, Step
from node.tables.table_info import TableInfo
from paceline.errors import DynamoDBError, PacelineError, Unavailable
from paceline.types import Params, Result

log = structlog.get_logger()

CALL_S = 5.0
"""The time for one call: a connection, and an answer of up to a megabyte."""

WAKE_S = 1.0
"""The longest time after which the reader looks at the clock again."""
WAKE_MIN_S = 0.005

WARN_S = 600.0
"""The time between two warnings of the same kind about one table."""

HOW_TO_ENABLE = (
    "enable it: aws dynamodb update-table --table-name {table} --stream-specification "
    "StreamEnabled=true,StreamViewType=NEW_AND_OLD_IMAGES"
)


class Service(Protocol):
    """``node.streams.client.StreamClient``."""

    async def call(self, operation: str, params: Params, deadline: float) -> Result: ...


class Control(Protocol):
    """The part of ``node.backend.client.Backend`` that is needed here."""

    async def control(
        self, operation: str, params: Params, deadline: float | None = None
    ) -> Result: ...


class TableReader:
    def __init__(
        self,
        table: str,
        primary: Primary,
        plan: ReadingPlan,
        service: Service,
        control: Control,
        invalidation: Invalidation,
        counters: StreamCounters,
        changed: Callable[[str, bool], None],
        clock: Callable[[], float],
        wall: Callable[[], float],
    ) -> None:
        """``changed``: called in the turn in which ``ReadingPlan.complete`` may have changed."""
        self.table = table
        self.plan = plan
        self.counters = counters
        self.trouble: str | None = None
        """Why following does not work right now, for people; None if it does."""
        self._primary = primary
        self._service = service
        self._control = control
        self._invalidation = invalidation
        self._changed = changed
        self._clock = clock
        self._wall = wall
        self._info: TableInfo | None = None
        self._wake = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._warned: dict[str, float] = {}

    async def run(self) -> None:
        """Reads until it is cancelled."""
        try:
            while True:
                self._wake.clear()
                now = self._clock()
                for step in self.plan.due(now):
                    task = asyncio.create_task(self._step(step), name=f"stream {self.table}")
                    self._tasks.add(task)
                    task.add_done_callback(self._tasks.discard)
                pause_s = self.plan.wake_at() - now
                try:
                    async with asyncio.timeout(min(max(pause_s, WAKE_MIN_S), WAKE_S)):
                        await self._wake.wait()
                except TimeoutError:
                    pass
        finally:
            for task in list(self._tasks):
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _step(self, step: Step) -> None:
        try:
            answer = await self._do(step)
        except DynamoDBError as error:
            throttling = meaning_of(error.name, error.status) is ErrorMeaning.THROTTLED
            limited = throttling or error.name == "LimitExceededException"
            self._failed(step, answers.failure(error.name, throttling=limited), str(error))
        except EpochOver:
            # Another session follows, here or elsewhere; until this one is told so, it waits.
            self._failed(step, Failure.FAILED, None)
        except PacelineError as error:
            self._failed(step, Failure.FAILED, str(error))
        except Exception as error:
            log.exception("following a stream failed", table=self.table)
            self._failed(step, Failure.FAILED, repr(error))
        else:
            before = self.plan.flushes
            self.plan.done(step, answer, self._clock())
            self.counters.flushes += self.plan.flushes - before
            if isinstance(step, Read | Look):
                self.trouble = None
        self._changed(self.table, self.plan.complete)
        self._tell_missing()
        self._wake.set()

    async def _do(self, step: Step) -> Any:
        match step:
            case Look():
                return await self._look()
            case Flush(reason=reason):
                log.info("flushing a followed table", table=self.table, reason=reason)
                await self._invalidation.flush(self._primary, self.table)
                return None
            case Apply(page=page):
                await self._apply(page.records)
                return None
            case ListShards() | Open() | Read():
                self.counters.reads += isinstance(step, Read)
                operation, params = answers.request(step)
                result = await self._service.call(operation, params, self._clock() + CALL_S)
                return answers.answer(step, result, self._wall())

    async def _look(self) -> str | None:
        result = await self._control.control(
            "DescribeTable", {"TableName": self.table}, self._clock() + CALL_S
        )
        description = result["Table"]
        self._info = TableInfo.of(description)
        if self._info.status == "DELETING":
            return None
        stream = answers.enabled_stream(description)
        if stream is not None and stream != self.plan.stream:
            view = description["StreamSpecification"].get("StreamViewType")
            log.info("following a stream", table=self.table, stream=stream, view=view)
        return stream

    async def _apply(self, records: tuple[answers.Record, ...]) -> None:
        if self._info is None:
            raise Unavailable("the table's schema is not known")
        echoes = await self._invalidation.apply(self._primary, self._info, records)
        self.counters.records += len(records)
        self.counters.echoes += echoes
        wall = self._wall()
        for record in records:
            if record.created_at is not None:
                self.counters.delayed(max(wall - record.created_at, 0.0))

    def _failed(self, step: Step, failure: Failure, reason: str | None) -> None:
        self.plan.failed(step, failure, self._clock())
        expected = reason is None or failure in (Failure.EXPIRED, Failure.GONE)
        if failure is Failure.TRIMMED or not expected:
            self.counters.errors += 1
            self.trouble = reason
            self._warn(
                f"{type(step).__name__} {failure.value}",
                "a followed stream cannot be read or applied",
                step=type(step).__name__,
                reason=reason,
            )

    def _tell_missing(self) -> None:
        missing = self.plan.missing
        if missing is None or self.plan.stream is not None:
            return
        self.trouble = missing
        if missing != NO_STREAM:
            self._warn(missing, "a table whose stream is to be followed is missing", reason=missing)
            return
        self._warn(
            missing,
            "follow_streams is set for a table without a stream: writers outside the cluster are "
            "not noticed",
            hint=HOW_TO_ENABLE.format(table=self.table),
        )

    def _warn(self, kind: str, text: str, **more: Any) -> None:
        now = self._clock()
        if now - self._warned.get(kind, float("-inf")) >= WARN_S:
            self._warned[kind] = now
            log.warning(text, table=self.table, **more)
