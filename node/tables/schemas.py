"""The descriptions of tables that this node knows; it notices when a table is not the same any
more."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import structlog

from cluster.transport.large_work import LargeWork
from cluster.transport.memory import MemoryBudget
from node.backend.client import Backend
from node.tables.attribute_lists import AttributeLists
from node.tables.table_info import TABLES_MAX, TableInfo
from paceline import clock
from paceline.dynamodb_operations import named_tables
from paceline.errors import DynamoDBError, PacelineError, Unavailable
from paceline.types import KeySchema, Params, Result

log = structlog.get_logger()

DESCRIBE_TIMEOUT_S = 5.0
"""The time for the first question about a table, without whose schema no request can be served."""

VERIFY_TIMEOUT_S = 1.0
"""The time for asking again. When DynamoDB cannot say, the node goes on with what it knew."""

FRESH_INTERVALS = 2.0
"""A table in use is checked once per interval; one that was not checked for longer than this
many intervals was idle, and is checked before it is used again."""

IN_USE_S = 600.0
"""How long after the last question about its schema a table counts as in use. Hits that a front
end answers from prepared bytes ask nothing, for as long as the entry lives: by default 300 s."""

IDLE_INTERVALS = 20.0
"""Tables not in use are checked this many times more rarely, as long as they are known: entries
with a long or no time limit may still be there. A thousand of them cost 17 calls a second."""

RECHECK_GAP_S = 0.1
"""Pause between checks that errors caused: a client that sends wrong keys in a loop must not
turn into a loop of DescribeTable calls, of which AWS allows a limited number per second."""

CONFIRMED_S = 1.0
"""A younger answer proves that the table is still the one that is known. It is not asked for again,
so that a client that sends wrong keys in a loop does not turn into a loop of DescribeTable calls,
of which AWS allows a limited number per second."""

TOLD_S = 60.0
"""After a flush by name, changes of the table follow from what the flush was for: DescribeTable
lags, and indexes come and go long after they were asked for."""

SILENT_S = 1.0
"""Writes of a table that DynamoDB does not describe ask for it no more often: a refusal because of
too many questions must not lead to more of them."""
SILENT_MAX = 1000

Cause = Literal["outside", "under way", "here only"]
"""Why a table is another one: somebody outside the cluster changed it; a change that is known of
went on; or others know already, or need not."""

NEVER = float("-inf")

DELETED = "deleted"

CHECKS_AT_ONCE_MAX = 16
"""The most checks at once, a quarter of the default connections: a round of checks must not hold up
reads."""

MISSING = "Requested resource not found"
"""The message of data operations; that of DescribeTable would add the table's name."""


SCHEMA_HINTS = (
    "does not match the schema",
    "Type mismatch for key",
    "Type mismatch for Index Key",
    "Missing the key",
    "Query condition missed key schema element",
)
"""Phrases of ValidationException for keys that do not fit the table: either the caller's mistake,
or the table was re-created with other keys."""


class Source(Protocol):
    """The part of Backend that is needed here."""

    async def control(
        self, operation: str, params: Params, deadline: float | None = None
    ) -> Result: ...

    def observe_errors(self, observer: Callable[[str, Params, DynamoDBError], None]) -> None: ...


@dataclass(slots=True)
class _Known:
    info: TableInfo
    good_until: float
    """The time until which it may be used without asking."""
    checked_at: float
    used_at: float


class Tables:
    """Schemas by table name. Invariant: ``on_changed(table, cause)`` is called before anybody gets
    a TableInfo that differs in substance from the last one given out, and when a table is gone.

    Start it, or nothing is checked unless asked for. One event loop.
    """

    def __init__(
        self,
        source: Source,
        *,
        check_s: float,
        on_changed: Callable[[str, Cause], None],
        now: Callable[[], float] = clock.now,
        tables_max: int = TABLES_MAX,
    ) -> None:
        self._source = source
        self._check_s = check_s
        self._on_changed = on_changed
        self._now = now
        self._tables_max = tables_max
        self._known: dict[str, _Known] = {}
        self._lookups: dict[str, asyncio.Task[TableInfo]] = {}
        self._overtaken: set[str] = set()
        """Tables whose description, asked for just now, may be that of the one before."""
        self._told_at: dict[str, float] = {}
        """The time at which each table was last flushed by name."""
        self._silent_until: dict[str, float] = {}
        """By table that writes asked for in vain: the time at which they ask again."""
        self._doubts: set[str] = set()
        self._doubted = asyncio.Event()
        self._watcher: asyncio.Task[None] | None = None
        source.observe_errors(self.notice)

    async def start(self) -> None:
        self._watcher = asyncio.create_task(self._watch(), name="tables")

    async def stop(self) -> None:
        tasks: list[asyncio.Task[Any]] = list(self._lookups.values())
        if self._watcher is not None:
            tasks.append(self._watcher)
            self._watcher = None
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def peek(self, table: str) -> TableInfo | None:
        """Returns what ``schema`` would answer at once, None when it would have to ask. Counts as a
        use."""
        known = self._known.get(table)
        if known is None:
            return None
        now = self._now()
        known.used_at = now
        return known.info if now < known.good_until else None

    def names(self) -> tuple[str, ...]:
        """Returns the tables that somebody uses here, or did a while ago."""
        return tuple(self._known)

    async def schema(self, table: str) -> TableInfo:
        """Raises DynamoDBError ResourceNotFoundException for a missing table, and Unavailable when
        it is not known yet and DynamoDB cannot be asked."""
        if (info := self.peek(table)) is not None:
            return info
        return await asyncio.shield(self._lookup(table))

    async def confirmed(self, table: str) -> TableInfo:
        """As ``schema``, of an answer not older than ``CONFIRMED_S``; Unavailable without one."""
        since = self._now() - CONFIRMED_S
        known = self._known.get(table)
        if known is None or known.good_until == NEVER or known.checked_at < since:
            await asyncio.shield(self._lookup(table))
            known = self._known.get(table)
            if known is None or known.checked_at < since:
                raise Unavailable(f"DynamoDB does not say now what {table} is; try again")
        return known.info

    async def schemas(self, tables: Iterable[str]) -> dict[str, KeySchema]:
        """Returns the schemas of all ``tables``; raises as ``schema`` does."""
        names = tuple(tables)
        if len(names) == 1:
            return {names[0]: (await self.schema(names[0])).schema}
        infos = await asyncio.gather(*map(self.schema, names))
        return {table: info.schema for table, info in zip(names, infos, strict=True)}

    async def schemas_told(
        self, tables: Iterable[str], within_s: float, *, anew: bool = False
    ) -> dict[str, KeySchema]:
        """Of those that DynamoDB tells in time; the others are left out, whatever the reason is.
        ``anew``: it must have told them just now."""
        told: dict[str, KeySchema] = {}
        asking: dict[str, asyncio.Future[TableInfo]] = {}
        for table in tables:
            info = None if anew else self.peek(table)
            if info is not None:
                told[table] = info.schema
            elif self._now() >= self._silent_until.get(table, NEVER):
                asked = self.confirmed(table) if anew else self.schema(table)
                asking[table] = asyncio.ensure_future(asked)
        try:
            if asking:
                await asyncio.wait(asking.values(), timeout=within_s)
            for table, asked_for in asking.items():
                if asked_for.done() and _succeeded(asked_for):
                    told[table] = asked_for.result().schema
                    self._silent_until.pop(table, None)
                else:
                    self._be_silent(table)
            return told
        finally:
            for asked_for in asking.values():
                asked_for.cancel()

    def _be_silent(self, table: str) -> None:
        if len(self._silent_until) >= SILENT_MAX:
            self._silent_until.clear()
        self._silent_until[table] = self._now() + SILENT_S

    def doubt(self, table: str) -> None:
        """Has the table checked now, in the background."""
        if table in self._known:
            self._doubts.add(table)
            self._doubted.set()

    def forget(self, table: str | None) -> None:
        """The table (None: any) may be another one from now on: DynamoDB is asked before its
        schema is given out again. Keys of the old one's would name nothing that others know.

        When DynamoDB cannot say, what was known counts on only where nobody named the table."""
        self._overtaken.update(self._lookups if table is None else {table} & self._lookups.keys())
        if table is None:
            for known in self._known.values():
                known.good_until = min(known.good_until, self._now())
            return
        self._told_at.pop(table, None)
        self._told_at[table] = self._now()
        if len(self._told_at) > self._tables_max:
            del self._told_at[next(iter(self._told_at))]
        if table in self._known:
            self._known[table].good_until = NEVER

    def notice(self, operation: str, params: Params, error: DynamoDBError) -> None:
        """For ``Backend.observe_errors``: doubts the tables of a request whose error may mean
        that they are gone or others."""
        if doubts_table(error.name, error.message) or any(
            doubts_table("ValidationException", reason.get("Message") or "")
            for reason in error.reasons or ()
        ):
            for table in named_tables(operation, params):
                self.doubt(table)

    # -- asking -----------------------------------------------------------------------------

    def _lookup(self, table: str) -> asyncio.Task[TableInfo]:
        """The question under way about ``table``, or a new one: one at a time per table."""
        task = self._lookups.get(table)
        if task is None:
            task = asyncio.create_task(self._ask(table), name=f"describe {table}")
            self._lookups[table] = task
            task.add_done_callback(lambda done: self._asked(table, done))
        return task

    def _asked(self, table: str, task: asyncio.Task[TableInfo]) -> None:
        del self._lookups[table]
        if not task.cancelled():
            task.exception()  # retrieved: those who asked may all have gone away

    async def _ask(self, table: str) -> TableInfo:
        try:
            asked_at, info = await self._describe(table)
        except DynamoDBError as error:
            if error.name == "ResourceNotFoundException":
                self._gone(table, DELETED)
                raise DynamoDBError(
                    error.name, MISSING, error.status, request_id=error.request_id
                ) from error
            return self._unverified(table, error)
        except Unavailable as error:
            return self._unverified(table, error)
        known = self._known.get(table)
        if known is not None and not known.info.same_content(info):
            self._changed(table, "changed", self._cause(table, known))
        good_until = asked_at + FRESH_INTERVALS * self._check_s
        if known is not None:
            known.info, known.good_until, known.checked_at = info, good_until, asked_at
        else:
            self._make_room()
            self._known[table] = _Known(info, good_until, asked_at, asked_at)
        return info

    async def _describe(self, table: str) -> tuple[float, TableInfo]:
        """When it was asked for, and the answer. Asked again if the table, this one and no other,
        was flushed meanwhile: it may be that of the table before."""
        known = self._known.get(table)
        must = known is None or known.good_until == NEVER
        deadline = self._now() + (DESCRIBE_TIMEOUT_S if must else VERIFY_TIMEOUT_S)
        while True:
            self._overtaken.discard(table)
            asked_at = self._now()
            result = await self._source.control("DescribeTable", {"TableName": table}, deadline)
            if table not in self._overtaken:
                break
            if self._now() >= deadline:
                raise Unavailable(f"{table} is being changed; try again")
        try:
            return asked_at, TableInfo.of(result["Table"])
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise Unavailable(
                f"DescribeTable of {table} was answered with what is no description ({error!r})"
            ) from error

    def _cause(self, table: str, known: _Known) -> Cause:
        if known.good_until == NEVER:
            return "here only"  # everybody was told to ask again
        told = self._now() - self._told_at.get(table, NEVER) < TOLD_S
        return "under way" if told or known.info.status != "ACTIVE" else "outside"

    def _unverified(self, table: str, error: PacelineError) -> TableInfo:
        known = self._known.get(table)
        if known is None or known.good_until == NEVER:
            raise error
        log.warning("table not checked", table=table, error=str(error))
        known.good_until = self._now() + FRESH_INTERVALS * self._check_s
        return known.info

    def _gone(self, table: str, why: str) -> None:
        self._doubts.discard(table)
        known = self._known.pop(table, None)
        if known is not None:
            cause: Cause = self._cause(table, known) if why == DELETED else "here only"
            self._changed(table, why, cause)

    def _changed(self, table: str, why: str, cause: Cause) -> None:
        log.info("table flushed", table=table, reason=why, cause=cause)
        self._on_changed(table, cause)

    def _make_room(self) -> None:
        while len(self._known) >= self._tables_max:
            oldest = min(self._known, key=lambda table: self._known[table].used_at)
            # Unwatched entries could outlive their table.
            self._gone(oldest, "too many tables")

    # -- watching ---------------------------------------------------------------------------

    async def _watch(self) -> None:
        """Checks tables in use every ``check_s``, idle ones now and then, and doubted ones at
        once."""
        tick_s = self._check_s / 4
        while True:
            try:
                # No deadline but the next tick.
                async with asyncio.timeout(tick_s):
                    await self._doubted.wait()
            except TimeoutError:
                pass
            self._doubted.clear()
            doubted, self._doubts = self._doubts, set()
            await self._check_all(doubted | self._due())
            if doubted:
                await asyncio.sleep(RECHECK_GAP_S)

    def _due(self) -> set[str]:
        now = self._now()
        return {
            table
            for table, known in self._known.items()
            if now - known.checked_at
            >= self._check_s * (1.0 if now - known.used_at <= IN_USE_S else IDLE_INTERVALS)
        }

    async def _check_all(self, tables: set[str]) -> None:
        names = sorted(tables)
        for first in range(0, len(names), CHECKS_AT_ONCE_MAX):
            part = names[first : first + CHECKS_AT_ONCE_MAX]
            await asyncio.gather(*(self._check(table) for table in part))

    async def _check(self, table: str) -> None:
        if (earlier := self._lookups.get(table)) is not None:
            # It was asked before the doubt arose, so that its answer may be too old.
            await asyncio.wait({earlier})
        try:
            await self._lookup(table)
        except PacelineError:
            pass  # gone, or not reachable: both are dealt with in _ask
        except Exception:
            log.exception("checking a table failed", table=table)


def doubts_table(name: str, message: str) -> bool:
    """True if the error may mean that the table is not the one whose schema is cached."""
    if name == "ResourceNotFoundException":
        return True
    return name == "ValidationException" and any(hint in message for hint in SCHEMA_HINTS)


@dataclass(frozen=True, slots=True)
class Upstream:
    """DynamoDB, and what is known of the tables there: what whoever asks it needs."""

    backend: Backend
    tables: Tables
    lists: AttributeLists
    large_work: LargeWork = field(default_factory=LargeWork)
    memory: MemoryBudget | None = None
    """What answers count for that belong to no single request; None: they do not count."""


def _succeeded(task: asyncio.Future[TableInfo]) -> bool:
    return not task.cancelled() and task.exception() is None
