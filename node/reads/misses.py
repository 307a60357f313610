"""Asks DynamoDB for items that were not cached: those that meet as one BatchGetItem.

Misses meet within a turn of the event loop, or while the pool of connections is full and one that
was asked for before waits for its connection. Nothing waits for a timer. ``miss_groups`` decides
which go together; here they go. A fill is begun before its miss comes here, so that it began before
anything was sent, and ends here in any case.

What goes wrong with a batch is nobody's error: each of its misses is asked for by a GetItem of its
own, with its own deadline and memory, and ends as that does.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Coroutine
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, Final

import structlog

from cluster.coherence.guard import Fill, Guard
from cluster.transport.charges import charged
from cluster.transport.memory import MemoryBudget
from cluster.transport.traces import forget_trace
from node.reads.miss_groups import DENIED, answers_of, grouped, request_of
from node.tables.schemas import Upstream
from node.tables.table_info import TableInfo
from paceline.errors import DynamoDBError, PacelineError, Unavailable
from paceline.types import Item, Key, Params, Result

_log = structlog.get_logger()

DEFINE_S: Final = 1.0
"""The time that a read waits for its item's attribute list before it is answered without being
kept."""

DENIED_S: Final = 60.0
"""The time for which a table's misses go one by one after DynamoDB has denied a batch: rights
change seldom, and to ask for nothing costs a request."""

TURN_BYTES: Final = 32 * 1024
"""So much of a batch's items is put into the cached form in a turn of the event loop."""

_CLOSE_S = 5.0

Install = Callable[[Key, bytes | None, float], object]
"""Keeps an item in DAX form, or that there is none; never raises."""


@dataclass(frozen=True, slots=True)
class Found:
    """``item`` in DAX form, None when there is no such item."""

    item: bytes | None
    capacity: dict[str, Any] | None = None
    """What this read consumed at DynamoDB, for the caller that caused it; None on a hit."""
    plain: Item | None = None
    """The item as DynamoDB has it, where it could not be put into the cached form."""


class Miss:
    """``fill``: None if nothing may be kept. ``capacity``: its caller's ReturnConsumedCapacity."""

    __slots__ = (
        "attributes",
        "capacity",
        "consistent",
        "context",
        "deadline",
        "fill",
        "found",
        "key",
        "table",
    )

    def __init__(
        self,
        table: TableInfo,
        key: Key,
        attributes: Item,
        *,
        consistent: bool,
        fill: Fill | None,
        deadline: float,
        capacity: str = "NONE",
    ) -> None:
        self.table = table
        self.key = key
        self.attributes = attributes
        self.consistent = consistent
        self.fill = fill
        self.deadline = deadline
        self.capacity = capacity
        self.context = contextvars.copy_context()
        """The caller's: what it reads counts for it."""
        self.found: asyncio.Future[Found] = asyncio.get_running_loop().create_future()

    @property
    def alone(self) -> bool:
        return self.capacity != "NONE"

    @property
    def params(self) -> Params:
        """Of its GetItem."""
        params: Params = {"TableName": self.key[0], "Key": self.attributes}
        if self.alone:
            params["ReturnConsumedCapacity"] = self.capacity
        if self.consistent:
            params["ConsistentRead"] = True
        return params


@dataclass(slots=True)
class BatchCounters:
    batches: int = 0
    """BatchGetItem requests for misses that met."""
    keys: int = 0
    """Misses that they asked for."""
    again: int = 0
    """Those of them that were asked for once more, by a GetItem."""


class Misses:
    """One per node. ``memory``: what answers to batches count for; None: for nobody."""

    def __init__(
        self,
        upstream: Upstream,
        guard: Guard,
        install: Install,
        clock: Callable[[], float],
        memory: MemoryBudget | None = None,
    ) -> None:
        self._backend = upstream.backend
        self._lists = upstream.lists
        self._guard = guard
        self._install = install
        self._clock = clock
        self._memory = memory
        self.counters = BatchCounters()
        self._gathered: list[Miss] = []
        self._turn: asyncio.Handle | None = None
        self._late: asyncio.TimerHandle | None = None
        self._unsent = 0
        """Requests of ours that have no connection yet."""
        self._denied: dict[str, float] = {}
        """Table to until when its misses go one by one."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._context = contextvars.copy_context()
        """Of no request."""

    def ask(self, miss: Miss) -> asyncio.Future[Found]:
        """Returns what brings the item, or the error that its own GetItem ended with. To cancel it
        says that nobody waits for it."""
        self._gathered.append(miss)
        if self._turn is None:
            self._turn = asyncio.get_running_loop().call_soon(self._end_turn)
        return miss.found

    async def aclose(self) -> None:
        """Ends all that is under way; who waits for it gets ``Unavailable``."""
        for miss in self._gathered:
            _fail(miss, Unavailable("this node is stopping; ask another one"))
            self._abandon(miss)
        self._gathered.clear()
        for handle in (self._turn, self._late):
            if handle is not None:
                handle.cancel()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=_CLOSE_S)

    # -- together -----------------------------------------------------------------------------

    def _end_turn(self) -> None:
        """Behind the requests that the loop has read since the first of these misses: they are
        ready to run now, but have not run yet."""
        self._turn = asyncio.get_running_loop().call_soon(self._send)

    def _send(self) -> None:
        self._turn = None
        if not self._gathered:
            return
        if self._unsent and self._backend.is_full:
            self._wait()
            return
        self._send_all()

    def _wait(self) -> None:
        """Until a request of ours has its connection, or a caller has no more time: the error that
        says so is its own GetItem's."""
        if self._late is None:
            due_s = min(miss.deadline for miss in self._gathered) - self._clock()
            self._late = asyncio.get_running_loop().call_later(due_s, self._send_all)

    def _send_all(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None
        gathered, self._gathered = self._gathered, []
        now = self._clock()
        self._denied = {table: until for table, until in self._denied.items() if now < until}
        wanted = []
        for miss in gathered:
            if miss.found.done():
                self._abandon(miss)  # whoever wanted it is gone
            else:
                wanted.append(miss)
        for group in grouped(wanted, self._denied):
            if len(group) == 1:
                (miss,) = group.values()
                self._ask_alone(miss)
            else:
                self._begin(self._batch(group), self._context.copy())

    def _begin(
        self, work: Coroutine[Any, Any, None], context: contextvars.Context
    ) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work, context=context)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _batch(self, group: dict[Key, Miss]) -> None:
        left = group
        try:
            with nullcontext() if self._memory is None else charged(self._memory):
                answers = await self._answers(group)
                left = {key: miss for key, miss in group.items() if key not in answers}
                await self._take_all(group, answers)
            self.counters.again += len(left)
            for miss in left.values():
                self._ask_alone(miss)
            left = {}
        finally:
            for miss in left.values():  # this node is stopping
                _fail(miss, Unavailable("this node is stopping; ask another one"))
                self._abandon(miss)

    async def _answers(self, group: dict[Key, Miss]) -> dict[Key, Item | None]:
        """Empty if nothing came of it."""
        self.counters.batches += 1
        self.counters.keys += len(group)
        table = next(iter(group.values())).table.name
        deadline = min(miss.deadline for miss in group.values())
        sent = _Sent(self)
        try:
            result = await self._backend.attempt("BatchGetItem", request_of(group), deadline, sent)
            return answers_of(group, result)
        except (PacelineError, ValueError) as error:
            if isinstance(error, DynamoDBError) and error.name in DENIED:
                self._denied[table] = self._clock() + DENIED_S
            _log.info("misses are asked for one by one", table=table, reason=str(error))
            forget_trace(error)
            return {}
        finally:
            sent()

    async def _take_all(self, group: dict[Key, Miss], answers: dict[Key, Item | None]) -> None:
        taken = 0
        for key, item in answers.items():
            taken += self._take(group[key], item)
            if taken > TURN_BYTES:
                await asyncio.sleep(0)
                taken = 0

    def _take(self, miss: Miss, item: Item | None) -> int:
        """Of a batch. What can be kept at once is; the others wait for nobody's attribute list but
        their own. Returns the bytes that were written."""
        if item is None:
            _bring(miss, self._kept(miss, None))
            return 0
        try:
            image = self._lists.encode_known(item, miss.table)
        except Exception as error:
            _bring(miss, self._unkept(miss, item, error))
            return 0
        if image is None:
            self._begin(self._finish(miss, self._keep(miss, {"Item": item})), miss.context)
            return 0
        _bring(miss, self._kept(miss, image))
        return len(image)

    # -- one ----------------------------------------------------------------------------------

    def _ask_alone(self, miss: Miss) -> None:
        task = self._begin(self._finish(miss, self._get(miss)), miss.context)
        miss.found.add_done_callback(lambda found: task.cancel() if found.cancelled() else None)

    async def _finish(self, miss: Miss, work: Coroutine[Any, Any, Found]) -> None:
        try:
            _bring(miss, await work)
        except asyncio.CancelledError:
            _fail(miss, Unavailable("this node is stopping; ask another one"))
            raise
        except Exception as error:
            _fail(miss, error)
        finally:
            self._abandon(miss)

    async def _get(self, miss: Miss) -> Found:
        sent = _Sent(self)
        try:
            result = await self._backend.read("GetItem", miss.params, miss.deadline, sent)
        finally:
            sent()
        return await self._keep(miss, result)

    async def _keep(self, miss: Miss, result: Result) -> Found:
        item, capacity = result.get("Item"), result.get("ConsumedCapacity")
        if item is None:
            return self._kept(miss, None, capacity)
        try:
            # The wait for an attribute list is short: front ends of other forms need none.
            image = await self._lists.encode(item, miss.table, DEFINE_S)
        except Exception as error:
            return self._unkept(miss, item, error, capacity)
        return self._kept(miss, image, capacity)

    # -- what becomes of it -------------------------------------------------------------------

    def _kept(
        self, miss: Miss, image: bytes | None, capacity: dict[str, Any] | None = None
    ) -> Found:
        fill = miss.fill
        if fill is not None:
            now = self._clock()
            if self._guard.end_fill(fill, now):
                self._install(miss.key, image, now)
        return Found(image, capacity)

    def _unkept(
        self, miss: Miss, item: Item, error: Exception, capacity: dict[str, Any] | None = None
    ) -> Found:
        _log.info("an item is not kept", table=miss.table.name, reason=repr(error))
        self._abandon(miss)
        return Found(None, capacity, item)

    def _abandon(self, miss: Miss) -> None:
        """Harmless after the fill's end."""
        if miss.fill is not None:
            self._guard.abandon(miss.fill)

    # -- connections --------------------------------------------------------------------------

    def _one_is_sent(self) -> None:
        self._unsent -= 1
        if self._gathered and self._turn is None:
            self._turn = asyncio.get_running_loop().call_soon(self._send)


class _Sent:
    """Called when a request has its connection, or has ended without; counts once."""

    __slots__ = ("_misses",)

    def __init__(self, misses: Misses) -> None:
        misses._unsent += 1
        self._misses: Misses | None = misses

    def __call__(self) -> None:
        misses, self._misses = self._misses, None
        if misses is not None:
            misses._one_is_sent()


def _bring(miss: Miss, found: Found) -> None:
    if not miss.found.done():
        miss.found.set_result(found)


def _fail(miss: Miss, error: Exception) -> None:
    if not miss.found.done():
        miss.found.set_exception(error)
