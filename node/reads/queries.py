"""Query and Scan: answered from the query cache, or asked and kept under the Guard's rules."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace
from typing import Any

import structlog

from cluster.coherence.fills import Fill
from cluster.coherence.guard import Guard
from cluster.transport.charges import admit_read
from cluster.transport.large_work import INLINE_VALUES_MAX, LargeWork
from cluster.transport.memory import decoded_bytes
from node.backend.client import Backend
from node.cache.caches import Caches
from node.cache.query_cache import QueryKey
from node.cache.query_keys import TableKeys
from node.reads.cacheability import NO_TABLES, ConsistentTables
from node.reads.dependencies import dependency_of, narrowed
from node.reads.items import Counters
from node.reads.single_flight import SingleFlight
from node.tables.keys import KnownKeys
from node.tables.table_info import TableInfo
from node.values import msgpack_slices
from node.values.size import dicts_in, holds_more
from paceline.dax.validity import refuse_invalid
from paceline.types import Params, Result

_log = structlog.get_logger()

IGNORED = frozenset({"ReturnConsumedCapacity", "ConsistentRead"})
"""Parameters that do not change which items are the answer."""

FORM_FACTOR = 2
"""A kept result may be held in two forms, as it came and as a front end encodes it; both are
charged to the budget from the start, since the second form is made later. A third one replaces
the second."""


@dataclass(slots=True)
class KeptResult:
    """One page. ``packed``: msgpack of the result. ``is_large``: to unpack it takes long, and then
    makes so many ``values``."""

    packed: bytes
    is_large: bool = False
    values: int = 0
    _form: bytes | None = None
    _reply: bytes = b""

    def reply(self, form: bytes) -> bytes | None:
        """A front end's own encoding of the page, if the last one kept was of this form."""
        return self._reply if self._form == form else None

    def keep_reply(self, form: bytes, reply: bytes) -> None:
        self._form, self._reply = form, reply

    def result(self) -> Result:
        """Of a large page in the place of large work: see ``kept_result``."""
        unpacked: Result = msgpack_slices.unpackb(self.packed)
        return unpacked

    @property
    def size(self) -> int:
        return FORM_FACTOR * len(self.packed)


@dataclass(frozen=True, slots=True)
class QueryAnswer:
    """``kept`` is set when the answer is in the cache, so that a front end may add its form."""

    result: Result | None
    kept: KeptResult | None


@dataclass(frozen=True, slots=True)
class PageCaller:
    """Who asks, where each asks in his own name. ``flight``: requests of which it is equal may
    share an answer; ``may_hit``: whether the cache may answer; ``allowed``: told that DynamoDB did,
    and when it was asked."""

    flight: Hashable
    may_hit: bool
    allowed: Callable[[float], None]


CallerOf = Callable[[QueryKey], PageCaller]


async def kept_result(kept: KeptResult, work: LargeWork) -> Result:
    """The page, as its caller's own. ReadRefused without room for it."""
    if kept.is_large:
        await work.admitted()
        admit_read(decoded_bytes(len(kept.packed), kept.values))
    return await work.run_if(kept.is_large, kept.result)


class Queries:
    def __init__(
        self,
        backend: Backend,
        guard: Guard,
        caches: Caches,
        flights: SingleFlight[Hashable, Fill, QueryAnswer],
        counters: Counters,
        clock: Callable[[], float],
        consistent: ConsistentTables = NO_TABLES,
        large_work: LargeWork | None = None,
    ) -> None:
        self._large_work = large_work or LargeWork()
        self._consistent = consistent
        self._backend = backend
        self._guard = guard
        self._caches = caches
        self._flights = flights
        self._counters = counters
        self._clock = clock
        self._keys = KnownKeys()

    def cached(self, key: QueryKey) -> KeptResult | None:
        now = self._clock()
        if now >= self._guard.serve_until:
            return None
        kept = self._caches.queries.get(key, now)
        if kept is None:
            return None
        assert isinstance(kept, KeptResult)
        self._counters.query_hits += 1
        self._counters.samples.page(key[0].encode(), len(kept.packed))
        return kept

    async def answer(
        self,
        operation: str,
        params: Params,
        table: TableInfo,
        deadline: float,
        caller_of: CallerOf | None = None,
    ) -> QueryAnswer:
        """From the cache (``kept`` only), or from DynamoDB (``result``, and ``kept`` if kept).

        What is in the cache DynamoDB has taken in these very words; all else may be SurelyInvalid.
        The index, if named, is a known one of ``table``.
        """
        key = query_key(operation, params)
        caller = None if caller_of is None else caller_of(key)
        kept = self.cached(key) if caller is None or caller.may_hit else None
        if kept is not None:
            self._counters.look(key[0], operation.lower(), "hit")
            return QueryAnswer(None, kept)
        refuse_invalid(operation, params)
        self._counters.query_misses += 1
        self._counters.look(key[0], operation.lower(), "miss")

        keys = self._keys.of(table)
        caused: list[QueryAnswer] = []

        async def load(fill: Fill | None) -> QueryAnswer:
            asked_at = self._clock()
            answer = await self._load(operation, key, params, keys, fill, deadline)
            if caller is not None:
                caller.allowed(asked_at)
            caused.append(answer)
            return answer

        answer = await self._flights.run(
            key if caller is None else caller.flight,
            begin=lambda: self._begin(operation, params, keys),
            load=load,
            joinable=self._joinable,
        )
        return answer if caused else QueryAnswer(_without_capacity(answer.result), answer.kept)

    def _begin(self, operation: str, params: Params, keys: TableKeys) -> Fill | None:
        dependency = dependency_of(operation, params, keys)
        if self._caches.invalidates(keys.table):
            self._caches.learn(keys)
        else:
            dependency = replace(dependency, detached=True)
        return self._guard.begin_query(dependency, self._clock())

    def _joinable(self, fill: Fill) -> bool:
        return self._guard.joinable(fill, self._clock())

    async def _load(
        self,
        operation: str,
        key: QueryKey,
        params: Params,
        keys: TableKeys,
        fill: Fill | None,
        deadline: float,
    ) -> QueryAnswer:
        index = params.get("IndexName")
        is_global = index is not None and keys.indexes[index].is_global
        if fill is None:
            upstream = params if is_global else {**params, "ConsistentRead": True}
            return QueryAnswer(await self._backend.read(operation, upstream, deadline), None)
        assert fill.dependency is not None
        if (fill.consistent or key[0] in self._consistent) and not is_global:
            params = {**params, "ConsistentRead": True}
        done = False
        try:
            result = await self._backend.read(operation, params, deadline)
            page = await self._packed(key, result)
            now = self._clock()
            # No await from here on: nobody may write before it is among those that writes find.
            done = self._guard.end_fill(fill, now)
            kept = None
            if done and page is not None:
                kept = self._keep(key, params, keys, fill, result, page, now)
            return QueryAnswer(result, kept)
        finally:
            if not done:
                self._guard.abandon(fill)

    async def _packed(self, key: QueryKey, result: Result) -> KeptResult | None:
        """None: it has no such form. What DynamoDB has answered is an answer all the same."""
        try:
            told = _without_capacity(result)
            large = holds_more(told, INLINE_VALUES_MAX)

            def packed() -> KeptResult:
                values = dicts_in(told) if large else 0
                return KeptResult(msgpack_slices.packb(told), large, values)

            return await self._large_work.run_if(large, packed)
        except Exception as error:
            _log.warning("a page is not kept", table=key[0], reason=repr(error))
            return None

    def _keep(
        self,
        key: QueryKey,
        params: Params,
        keys: TableKeys,
        fill: Fill,
        result: Result,
        page: KeptResult,
        now: float,
    ) -> KeptResult | None:
        """None: it cannot be kept."""
        assert fill.dependency is not None
        try:
            dependency = narrowed(fill.dependency, params, result, keys)
            self._caches.queries.put(key, page, page.size, now, dependency)
        except Exception as error:
            _log.warning("a page is not kept", table=key[0], reason=repr(error))
            return None
        return page


def _without_capacity(result: Result | None) -> Result | None:
    if result is None or "ConsumedCapacity" not in result:
        return result
    return {name: value for name, value in result.items() if name != "ConsumedCapacity"}


def query_key(operation: str, params: Params) -> QueryKey:
    """Equal for requests that have the same answer whoever sends them.

    Expressions arrive with placeholders numbered in order of use, so equal trees have equal
    texts; map order does not count, list order does.
    """
    relevant = {name: value for name, value in params.items() if name not in IGNORED}
    return params["TableName"], msgpack_slices.packb([operation, _sorted(relevant)])


def _sorted(value: Any) -> Any:
    if isinstance(value, dict):
        return [[name, _sorted(value[name])] for name in sorted(value)]
    if isinstance(value, (list, tuple)):
        return [_sorted(element) for element in value]
    return value
