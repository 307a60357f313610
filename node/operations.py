"""The operation layer: DynamoDB's data operations, whichever front end they came in by.

Parameters and results are those of boto3's low-level client. Errors are ``paceline.errors``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from copy import copy
from typing import TYPE_CHECKING, Self

from cluster.access.calling import call
from cluster.access.counting import DENIED
from cluster.coherence.messages import WHOLE
from cluster.transport.large_work import INLINE_BYTES_MAX, INLINE_VALUES_MAX
from cluster.transport.origin import trace_id_of, trace_of
from cluster.transport.turns import Turns
from node.access.need import TablesUnknown
from node.backend.acting import Actor, acting_as, actor_of
from node.reads.batch_forms import Asked, Forms
from node.reads.cacheability import Cache, Passed
from node.reads.reading import ReadAnswer, ReadOperations, ReadRequest
from node.requests.counts import (
    OTHER,
    SEVERAL,
    End,
    Latencies,
    RequestCounts,
    Seen,
    end_of,
    error_name,
    table_of,
)
from node.requests.excess import refuse_excess
from node.requests.hit_samples import EVERY, Later
from node.requests.reach import HARMLESS, RAW, Reach, raw_params, reach_of
from node.tables.schemas import Upstream
from node.tables.table_info import TableInfo
from node.tracing.spans import Span, Spans, span
from node.values import json_slices
from node.values.size import holds_more
from node.writes.path import WritePath
from paceline.clock import now, wall_time
from paceline.dax.validity import refuse_invalid
from paceline.dynamodb_operations import OPERATIONS
from paceline.errors import DynamoDBError, RequestError, Unavailable
from paceline.types import Item, Key, Params, Result

if TYPE_CHECKING:
    from node.access.authorizer import Authorizer
    from node.reads.as_caller import CallersReads
    from node.request_log import RequestLog

REQUEST_TIMEOUT_S = 10.0
"""The most that a request may take, however long its caller would wait: DAX's official clients wait
for minutes, AWS's SDKs for 30 to 60 s. An election takes one to two seconds, so a write that met no
primary for this long is told so."""


WRITE = "write"
"""Why no cache answers it."""


class Operations:
    """Executes operations; one per node. It counts those under way and refuses more than
    ``pending_max``."""

    def __init__(
        self,
        upstream: Upstream,
        reads: ReadOperations,
        writes: WritePath,
        pending_max: int,
        authorizer: Authorizer | None = None,
        as_callers: CallersReads | None = None,
    ) -> None:
        """``authorizer``: None where everybody may do everything. ``as_callers``: not None where
        all goes to DynamoDB in callers' names; no front end may look into a cache itself then."""
        self.work = Work()
        self._protocol = "dax"
        self.authorizer = authorizer
        self.as_callers = as_callers
        self._large_work = upstream.large_work
        self.backend = upstream.backend
        self.tables = upstream.tables
        self.lists = upstream.lists
        self.reads = reads
        self.writes = writes
        self._pending_max = pending_max
        self._turns = Turns()

    def by(self, protocol: str) -> Operations:
        """The same, as requests by that protocol are counted."""
        same = copy(self)
        same._protocol = protocol
        return same

    def sampling_hits(
        self,
        clock: Callable[[], float],
        later: Later,
        log: RequestLog | None = None,
        spans: Spans | None = None,
    ) -> Self:
        """This, which learns from some hits from now on, and tells of requests."""
        self.work.log, self.work.spans = log, spans

        def took(took_s: float, table: bytes, protocol: str) -> None:
            self.work.latencies.add(("GetItem", "hit"), took_s, EVERY)
            if log is None and spans is None:
                return
            label = "GetItem", table.decode("utf-8", "replace"), protocol
            if log is not None:
                log.ended(label, "ok", took_s, cache="hit", times=EVERY)
            if spans is not None:
                spans.hit(label, took_s, EVERY)

        self.reads.counters.samples.begin(clock, later, took, self.reads.items.age_of)
        return self

    @property
    def pending(self) -> int:
        return self.work.pending

    def answered(self, operation: str, params: Params) -> None:
        """Counts a request that a front end has answered by itself."""
        self.work.counts.add(operation, table_of(params), self._protocol, "ok")

    async def read(self, request: ReadRequest, deadline: float) -> ReadAnswer:
        """Executes GetItem, BatchGetItem, Query, Scan or TransactGetItems. Raises RequestError,
        DynamoDBError or Unavailable."""
        asked = (request.body if request.params is None else request.params) or {}
        with self._admitted(request.operation, table_of(asked)) as admission:
            admission.asked = asked
            await self._turns.begin()
            refuse_excess(request.operation, asked)
            await self.allow(request.operation, asked)
            if self.as_callers is None:
                answer = await self.reads.answer(request, deadline)
            else:
                with acting_as(_actor()):
                    answer = await self.as_callers.answer(request, deadline)
            admission.cache, admission.result = answer.cache, answer.result
            admission.why = "" if answer.why is None else answer.why.reason
            return answer

    async def item(
        self, table: TableInfo, key: Key, attributes: Item, deadline: float
    ) -> bytes | None:
        """Executes the plain GetItem of front ends that speak DAX items: no projection, no
        capacity. ``attributes`` is the same key in a form that DynamoDB takes."""
        with self._admitted("GetItem", table.name) as admission:
            asked = admission.asked = {"TableName": table.name, "Key": attributes}
            await self._turns.begin()
            await self.allow("GetItem", asked)
            admission.cache = "miss"
            if self.as_callers is None:
                return await self.reads.items.whole(table, key, attributes, deadline)
            with acting_as(_actor()):
                return await self.as_callers.whole(table, key, attributes, deadline)

    async def items(self, asked: Asked, deadline: float) -> Forms | None:
        """Executes the plain BatchGetItem of such front ends. None: it has to go by ``read``."""
        table = next(iter(asked)) if len(asked) == 1 else SEVERAL
        with self._admitted("BatchGetItem", table) as admission:
            await self._turns.begin()
            forms = None
            if self.as_callers is None and (
                self.authorizer is None or self.authorizer.may_batch_get(asked)
            ):
                forms = await self.reads.forms.answer(asked, deadline)
            admission.counted = forms is not None
            admission.cache = "hit" if forms is not None and not forms.missed else "miss"
            return forms

    async def write(
        self, operation: str, params: Params, deadline: float, *, is_allowed: bool = False
    ) -> Result:
        """Executes a write. Raises RequestError, DynamoDBError, NotSent, OutcomeUnknown or
        Unavailable. ``is_allowed``: ``allow`` has been asked about these parameters."""
        with self._admitted(operation, table_of(params)) as admission:
            admission.asked, admission.why = params, WRITE
            await self._turns.begin()
            refuse_excess(operation, params)
            if not is_allowed:
                await self.allow(operation, params)
            refuse_invalid(operation, params)
            result = admission.result = await self._written(operation, params, deadline)
            return result

    async def passed(self, target: str, body: bytes, deadline: float) -> Result:
        """Passes on a request that changes nothing and touches no cache, as it came; what was
        judged, as it was understood: a name that stands twice may mean another value upstream."""
        operation = target.rpartition(".")[2]
        with self._admitted(operation, SEVERAL) as admission:
            admission.why = Passed.OPERATION.reason
            if self.authorizer is not None:
                large = len(body) > INLINE_BYTES_MAX
                asked = await self._large_work.run_if(large, lambda: json_slices.loads(body))
                await self.allow(operation, asked)
                body = await self._large_work.run_if(large, lambda: json_slices.dumps(asked))
            return await self._passed(target, body, deadline, repeat=True)

    async def _passed(self, target: str, body: bytes, deadline: float, *, repeat: bool) -> Result:
        self.reads.counters.passed(Passed.OPERATION)
        if self.as_callers is None:
            return await self.backend.raw(target, body, deadline, repeat=repeat)
        with acting_as(_actor()):
            return self._noticed(await self.backend.raw(target, body, deadline, repeat=repeat))

    async def raw(self, target: str, body: Params, deadline: float) -> Result:
        """Any request of the HTTP API, as it was understood. Whether it needs a fence, and of which
        tables, is decided here and from what is sent, so that no caller can get it wrong.

        RequestError also when it cannot be told what the request would change.
        """
        operation = target.rpartition(".")[2]
        with self._admitted(operation, table_of(body)) as admission:
            admission.why = Passed.OPERATION.reason
            refuse_excess(operation, body)
            await self.allow(operation, body)
            sent, reach = await self._large_work.run_if(
                holds_more(body, INLINE_VALUES_MAX), lambda: _as_sent(operation, body)
            )
            if operation in HARMLESS:
                return await self._passed(target, sent, deadline, repeat=False)
            if reach is None:
                return await self._passed(target, sent, deadline, repeat=True)
            admission.why = WRITE
            keys = tuple((table, WHOLE) for table in reach.tables)
            params = raw_params(target, sent, keys, remakes=reach.remakes)
            return await self._written(RAW, params, deadline)

    async def _written(self, operation: str, params: Params, deadline: float) -> Result:
        if self.as_callers is None:
            return await self.writes.execute(operation, params, deadline)
        with acting_as(_actor()):
            try:
                return self._noticed(await self.writes.execute(operation, params, deadline))
            except DynamoDBError as error:
                # Of a write that the primary did: only that node's backend has seen the answer.
                self.as_callers.notice(operation, params, error)
                raise

    def _noticed(self, result: Result) -> Result:
        """Of statements that went together each has an answer of its own, a denial too."""
        if self.as_callers is not None:
            self.as_callers.notice_parts(result)
        return result

    async def allow(self, operation: str, params: Params) -> None:
        """RequestError for what who makes the request under way may not do."""
        if self.authorizer is None:
            return
        try:
            self.authorizer.check(operation, params)
            return
        except TablesUnknown as unknown:
            tables = unknown.tables
        # Each is given up after its time. One that is not there has no keys that could be known.
        found = await asyncio.gather(*map(self.tables.schema, tables), return_exceptions=True)
        for error in found:
            if isinstance(error, BaseException) and (
                not isinstance(error, DynamoDBError) or error.name != "ResourceNotFoundException"
            ):
                raise error
        self.authorizer.check(operation, params, asked_for=True)

    def _admitted(self, operation: str, table: str) -> _Admission:
        work = self.work
        if work.pending >= self._pending_max:
            work.counts.add(operation, table, self._protocol, "throttled")
            raise Unavailable(
                f"this node has {work.pending} requests in work, its limit; "
                "slow down or send them to another node"
            )
        return _Admission(work, operation, table, self._protocol)


def _actor() -> Actor:
    """Who makes the request under way. RequestError for nobody, and for who has no credentials."""
    by = call.get()
    if by is None:
        raise RequestError(DENIED, "nobody knows who makes this request")
    return actor_of(by.by.principal, by.by.key.id)


def _as_sent(operation: str, body: Params) -> tuple[bytes, Reach | None]:
    """As it is sent, and what it may change."""
    return json_slices.dumps(body), None if operation in HARMLESS else reach_of(operation, body)


class Work:
    """The requests of all front ends: how many are in work, and what is counted of them."""

    def __init__(self) -> None:
        self.pending = 0
        self.counts = RequestCounts()
        self.latencies = Latencies()
        """By operation and what the cache said of it; of those that went well."""
        self.log: RequestLog | None = None
        self.spans: Spans | None = None

    def traced(self, labels: tuple[str, str], took_s: float) -> None:
        """Of the request under way, if its caller says which trace it is part of."""
        told = trace_of()
        trace = trace_id_of(told) if told else ""
        if trace:
            self.latencies.saw(labels, Seen(trace, took_s, wall_time()))


class _Admission:
    """One request in work. ``cache``: what its answer says, and ``why``. ``counted`` False: it goes
    another way, which counts it. ``asked``, ``result``: for the log, as far as they are known."""

    __slots__ = (
        *("_began_at", "_label", "_span", "_token", "_work"),
        *("asked", "cache", "counted", "result", "why"),
    )

    def __init__(self, work: Work, operation: str, table: str, protocol: str) -> None:
        self._work = work
        self._label = operation, table, protocol
        self.cache: Cache = "bypass"
        self.why = ""
        self.counted = True
        self.asked: Params | None = None
        self.result: Result | None = None

    def __enter__(self) -> Self:
        self._work.pending += 1
        self._began_at = now()
        self._span: Span | None = None
        if self._work.spans is not None:
            self._span = self._work.spans.begun(self._label[0], trace_of())
            self._token = span.set(self._span)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: object
    ) -> None:
        work = self._work
        work.pending -= 1
        if self._span is not None:
            span.reset(self._token)
        if not self.counted and error is None:
            return
        took_s = now() - self._began_at
        end: End = "ok"
        if error is None:
            operation = self._label[0]
            shown = operation if operation in OPERATIONS else OTHER
            work.latencies.add((shown, self.cache), took_s)
            if self.cache != "hit":
                work.traced((shown, self.cache), took_s)
        elif isinstance(error, (asyncio.CancelledError, GeneratorExit)):
            end = "cancelled"
        else:
            end = end_of(error)
        work.counts.add(*self._label, end)
        if work.log is not None or self._span is not None:
            self._tell(end, took_s, error)

    def _tell(self, end: End, took_s: float, error: BaseException | None) -> None:
        cache, why = (self.cache, self.why) if error is None else ("", "")
        label, asked, named = self._label, self.asked, "" if error is None else error_name(error)
        log = self._work.log
        if log is not None:
            log.ended(
                *(label, end, took_s),
                cache=cache,
                why=why,
                error=named,
                params=asked,
                result=self.result,
            )
        if self._span is not None:
            self._span.ended(label, end, cache=cache, why=why, error=named, params=asked)
