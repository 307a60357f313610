"""Every read of items: answered from a cache, asked and kept, or passed on.

Which of them is ``cacheability``'s to say; front ends translate requests and answers.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import structlog

from cluster.transport.large_work import INLINE_BYTES_MAX, INLINE_VALUES_MAX, LargeWork
from node.reads.batch_forms import BatchForms
from node.reads.batch_get import BatchCaller, BatchGet
from node.reads.cacheability import (
    Cache,
    Passed,
    PlainBatch,
    PlainGet,
    nothing_consumed,
    passed_on,
    wants_capacity,
)
from node.reads.items import Counters, ReadPath
from node.reads.queries import CallerOf, KeptResult, Queries, kept_result
from node.requests.reach import DYNAMODB
from node.tables.attribute_lists import UnknownAttributeList
from node.tables.schemas import Upstream
from node.tables.table_info import TableInfo
from node.values import json_slices
from node.values.size import holds_more
from paceline.dax.validity import SurelyInvalid, refuse_invalid
from paceline.errors import DynamoDBError, RequestError, Unavailable
from paceline.types import Params, Result

_log = structlog.get_logger()

DESCRIBED_S = 1.0
"""The time that a read waits for the description of its table before it is passed on."""


@dataclass(frozen=True, slots=True)
class ReadRequest:
    """``params``: in boto3's low-level form; None where it is not sure what was asked for.
    ``body``: the JSON of a request of the HTTP API; such a one is passed on as JSON.
    ``plain``: what ``ReadPath.plain_get`` has said of it."""

    operation: str
    params: Params | None
    body: Params | None = None
    plain: PlainGet | Passed | None = None


@dataclass(frozen=True, slots=True)
class ReadAnswer:
    """One of ``result``, in boto3's low-level form; ``kept``, a page of the cache, to which a front
    end may add its own form; and ``raw``, DynamoDB's answer to JSON that was passed on (its result
    has ``Body`` and ``RequestId``). ``why``: of one that was passed on."""

    cache: Cache
    result: Result | None = None
    kept: KeptResult | None = None
    raw: Result | None = None
    why: Passed | None = None

    async def results(self, work: LargeWork) -> Result:
        """For front ends that keep no form of a page and pass no JSON on."""
        assert self.raw is None
        if self.kept is not None:
            return await kept_result(self.kept, work)
        assert self.result is not None
        return self.result


class ReadOperations:
    """Executes reads; one per node."""

    def __init__(
        self,
        upstream: Upstream,
        items: ReadPath,
        batches: BatchGet,
        queries: Queries,
    ) -> None:
        self._large_work = upstream.large_work
        self.cacheability = items.cacheability
        self.items = items
        self._backend = upstream.backend
        self._tables = upstream.tables
        self._lists = upstream.lists
        self._batches = batches
        self.forms = BatchForms(batches)
        self._queries = queries

    @property
    def counters(self) -> Counters:
        return self.items.counters

    # -- any read ---------------------------------------------------------------------------

    async def answer(self, read: ReadRequest, deadline: float) -> ReadAnswer:
        """Raises SurelyInvalid, DynamoDBError or Unavailable, and RequestError for a read that
        DynamoDB cannot be asked."""
        if read.params is None:
            return await self.pass_on(read, deadline, Passed.UNREAD)
        while True:
            try:
                return await self._answered(read, read.params, deadline)
            except SurelyInvalid:
                raise
            except UnknownAttributeList as error:
                # Of a cached item: the primary's stream may be ahead of this node's log.
                if not await self._learned(error.list_id):
                    return await self.pass_on(read, deadline, Passed.FORM)
            except (RequestError, ValueError) as error:
                # DynamoDB has stored what this node's encoding has no form for: a type of its
                # future.
                _log.warning("passing a read on", operation=read.operation, reason=str(error))
                return await self.pass_on(read, deadline, Passed.FORM)

    async def _learned(self, list_id: int) -> bool:
        try:
            await self._lists.learn(list_id)
        except UnknownAttributeList:
            return False
        return True

    async def _answered(self, read: ReadRequest, params: Params, deadline: float) -> ReadAnswer:
        match read.operation:
            case "GetItem":
                return await self._get(read, params, deadline)
            case "BatchGetItem":
                return await self.batch(read, params, deadline)
            case "Query" | "Scan":
                return await self.page(read, params, deadline)
        return await self.pass_on(read, deadline, Passed.OPERATION)

    async def _get(self, read: ReadRequest, params: Params, deadline: float) -> ReadAnswer:
        name = params["TableName"]
        get = read.plain
        if not isinstance(get, PlainGet) or get.table is not self._tables.peek(name):
            get = self.items.plain_get(params)
        if get is Passed.UNDESCRIBED:
            get = self.cacheability.of_get(params, await self.described(name))
        if isinstance(get, Passed):
            return await self.pass_on(read, deadline, get)
        result, cache = await self.items.answer(get, params, deadline)
        return ReadAnswer(cache, result)

    # -- many -------------------------------------------------------------------------------

    async def batch(
        self,
        read: ReadRequest,
        params: Params,
        deadline: float,
        caller: BatchCaller | None = None,
    ) -> ReadAnswer:
        names = list(params["RequestItems"])
        tables = {name: self._tables.peek(name) for name in names}
        batch = self.cacheability.of_batch(params, tables)
        if batch is Passed.UNDESCRIBED:
            told = await asyncio.gather(*(self.described(name) for name in names))
            batch = self.cacheability.of_batch(params, dict(zip(names, told, strict=True)))
        if not isinstance(batch, PlainBatch):
            return await self.pass_on(read, deadline, batch)
        result, hit = await self._batches.answer(batch, params, deadline, caller)
        if wants_capacity(params):
            told_of = result.setdefault("ConsumedCapacity", [])
            known = {entry.get("TableName") for entry in told_of}
            told_of += [nothing_consumed(name, params) for name in names if name not in known]
        return ReadAnswer("hit" if hit else "miss", result)

    async def page(
        self,
        read: ReadRequest,
        params: Params,
        deadline: float,
        caller_of: CallerOf | None = None,
    ) -> ReadAnswer:
        name = params["TableName"]
        table = self.cacheability.of_page(params, self._tables.peek(name))
        if table is Passed.UNDESCRIBED:
            table = self.cacheability.of_page(params, await self.described(name))
        if isinstance(table, Passed):
            return await self.pass_on(read, deadline, table)
        answer = await self._queries.answer(read.operation, params, table, deadline, caller_of)
        cache: Cache = "miss" if answer.result is not None else "hit"
        if answer.result is None and not wants_capacity(params):
            return ReadAnswer(cache, kept=answer.kept)
        result = answer.result
        if result is None:
            assert answer.kept is not None
            result = await kept_result(answer.kept, self._large_work)
        if wants_capacity(params):
            result.setdefault("ConsumedCapacity", nothing_consumed(name, params))
        return ReadAnswer(cache, result)

    # -- passing on -------------------------------------------------------------------------

    async def pass_on(self, read: ReadRequest, deadline: float, why: Passed) -> ReadAnswer:
        """To DynamoDB, which has to judge it or alone knows the answer. Nothing is kept."""
        asked = read.params if read.body is None else read.body
        assert asked is not None
        refuse_invalid(read.operation, asked)
        self.counters.passed(why)
        name = asked.get("TableName")
        table = self._tables.peek(name) if isinstance(name, str) else None
        *preferred, last = passed_on(read.operation, asked, table)
        for form in preferred:
            try:
                return await self._asked(read, form, deadline, why)
            except DynamoDBError as error:
                if error.name != "ValidationException":
                    raise
        return await self._asked(read, last, deadline, why)

    async def _asked(
        self, read: ReadRequest, form: Params, deadline: float, why: Passed
    ) -> ReadAnswer:
        operation, params = read.operation, read.params
        raw = result = None
        if read.body is None:
            result = await self._backend.read(operation, form, deadline)
        else:
            target = f"{DYNAMODB}.{operation}"
            large = holds_more(form, INLINE_VALUES_MAX)
            body = await self._large_work.run_if(large, lambda: json_slices.dumps(form))
            raw = await self._backend.raw(target, body, deadline, repeat=True)
        if params is not None and self.cacheability.learns_from(operation, params):
            told = result if raw is None else await self._read_again(raw["Body"])
            self.cacheability.learn(operation, params, told or {})
        return ReadAnswer("bypass", result, raw=raw, why=why)

    async def _read_again(self, body: bytes) -> Result:
        large = len(body) > INLINE_BYTES_MAX
        told: Result = await self._large_work.run_if(large, lambda: json_slices.loads(body))
        if large:
            self._large_work.let_go([told])
        return told

    async def described(self, table: str) -> TableInfo | None:
        """None: DynamoDB does not say what the table is, or not soon enough for a read to wait."""
        try:
            async with asyncio.timeout(DESCRIBED_S):
                return await self._tables.schema(table)
        except (DynamoDBError, Unavailable, TimeoutError):
            return None
