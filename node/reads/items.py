"""One item's way: cache, single flight, DynamoDB.

The primitive is ``item``: the whole item in DAX form. Projections are answered from it. Which reads
come this far is ``cacheability``'s rule, and what may be answered or kept is the Guard's; this file
only asks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import structlog

from cluster.coherence.guard import Fill, Guard
from cluster.transport.large_work import INLINE_VALUES_MAX
from node.cache.caches import Caches
from node.cache.entry import Entry
from node.cache.key_table import SHARD_MASK
from node.cache.nodes import HITS_MAX
from node.reads.cacheability import (
    Cache,
    Cacheability,
    Passed,
    PlainGet,
    nothing_consumed,
    wants_capacity,
)
from node.reads.misses import Found, Miss, Misses
from node.reads.single_flight import SingleFlight
from node.requests.counts import Tally
from node.requests.hit_samples import HitSamples
from node.tables.item_keys import HASH_BYTES_MAX, canonical
from node.tables.schemas import Upstream
from node.tables.table_info import TableInfo
from paceline.dax.expressions import apply_projection
from paceline.types import Item, Key, Params, Result

_log = structlog.get_logger()


@dataclass(slots=True)
class Counters:
    """Plain integers, because the hit path cannot afford more."""

    hits: int = 0
    misses: int = 0
    bypasses: int = 0
    query_hits: int = 0
    query_misses: int = 0
    looked_up: int = field(default=0, compare=False)
    """Of the hits: those that were not the whole of a request that a front end answered at once."""
    answered_http: int = field(default=0, compare=False)
    """Of the hits: those that were, by HTTP. The rest were, by DAX, which counts nothing more."""
    at_once_http: dict[bytes, int] = field(default_factory=dict, compare=False)
    """The same, by table."""
    at_once_dax: Tally = field(init=False, compare=False, repr=False)
    samples: HitSamples = field(default_factory=HitSamples, compare=False, repr=False)

    def __post_init__(self) -> None:
        self.at_once_dax = Tally(self.answered_dax)

    looked: dict[tuple[str, str, str], int] = field(default_factory=dict, compare=False)
    """By table, cache (``item``, ``query``, ``scan``) and result (``hit``, ``miss``): all but the
    hits that a front end answered at once."""

    def look(self, table: str, cache: str, result: str, times: int = 1) -> None:
        label = table, cache, result
        self.looked[label] = self.looked.get(label, 0) + times

    passed_by_reason: dict[str, int] = field(default_factory=dict, compare=False)
    """The bypasses."""

    def passed(self, why: Passed, times: int = 1) -> None:
        self.bypasses += times
        reason = why.reason
        self.passed_by_reason[reason] = self.passed_by_reason.get(reason, 0) + times

    def answered_dax(self) -> int:
        return self.hits - self.looked_up - self.answered_http


ItemFlights = SingleFlight[Key, Fill, Found]


class ReadPath:
    def __init__(
        self,
        upstream: Upstream,
        guard: Guard,
        caches: Caches,
        flights: ItemFlights,
        clock: Callable[[], float],
        cacheability: Cacheability | None = None,
    ) -> None:
        self.cacheability = cacheability or Cacheability()
        self.consistent = self.cacheability.consistent
        self._tables = upstream.tables
        self._guard = guard
        self._caches = caches
        self._shards, self._columns = caches.items.tables, caches.items.columns
        self._touch = caches.items.touch
        self.age_of = caches.items.age_s
        self._usual_info: TableInfo | None = None
        self._usual_name = b""
        """Of the table that was read last by one text: that its key has this name."""
        self._lists = upstream.lists
        self._flights = flights
        self._clock = clock
        self.misses = Misses(upstream, guard, self.install, clock, upstream.memory)
        self.counters = Counters()

    async def aclose(self) -> None:
        await self.misses.aclose()
        await self._flights.aclose()

    # -- from the cache ---------------------------------------------------------------------

    def plain_get(self, params: Params) -> PlainGet | Passed:
        """Returns what a GetItem is, as far as this node knows its table at this moment."""
        return self.cacheability.of_get(params, self._tables.peek(params["TableName"]))

    def cached(self, key: Key) -> Found | None:
        """Returns what is cached of ``key`` if it may be served right now."""
        entry = self.entry(key, at_once=False)
        return None if entry is None else Found(entry.item)

    def entry(self, key: Key, *, at_once: bool = True) -> Entry | None:
        """Returns the same, with the replies that are kept of it. ``at_once``: it is answered in
        this turn of the event loop, by HTTP."""
        now = self._clock()
        if now >= self._guard.serve_until:
            return None
        entry = self._caches.items.lookup(key[0], key[1], now)
        if entry is not None:
            counters = self.counters
            counters.hits += 1
            counters.looked_up += 1
            counters.look(key[0], "item", "hit")
            if counters.hits >= counters.samples.due_at:
                place = entry.table, key[1], entry.reply, now
                if at_once:
                    counters.samples.take_at_once(counters.hits, *place, "http")
                else:
                    counters.samples.take(counters.hits, *place)
        return entry

    def replies(self, table: str, keys: Sequence[bytes]) -> list[bytes | None]:
        """Returns of each what is cached of it, as the reply to GetItem, but counts nothing."""
        now = self._clock()
        if now >= self._guard.serve_until:
            return [None] * len(keys)
        return self._caches.items.replies(table, keys, now)

    def form_of_text(self, table: bytes, name: bytes, text: bytes, bytes_max: int) -> bytes | None:
        """Returns the same as ``form`` where the key is one text, in UTF-8; None for other tables.

        A whole item by such a key is what ``cacheability`` lets the cache answer.
        """
        info = self._tables.peek(table.decode())
        if info is None or len(text) > HASH_BYTES_MAX:
            return None
        if info is not self._usual_info or name != self._usual_name:
            attribute = info.schema.hash
            if info.schema.range or attribute.type != "S" or attribute.name.encode() != name:
                return None
            self._usual_info, self._usual_name = info, name
        return self.form(table, text, bytes_max)

    def form(self, table: bytes, key: bytes, bytes_max: int) -> bytes | None:
        """Returns the other front end's reply that is kept of ``key`` if it may be served right
        now, and counts a hit; None, also if it is longer than ``bytes_max``."""
        shards = self._shards.get(table)
        node = None if shards is None else shards[hash(key) & SHARD_MASK].get(key)
        if node is None:
            return None
        columns = self._columns
        form: bytes | None = columns.forms[node]
        if form is None or len(form) > bytes_max:
            return None
        now = self._clock()
        if now >= self._guard.serve_until or now >= columns.expires_at[node]:
            return None
        if columns.hits[node] < HITS_MAX:
            columns.hits[node] += 1
        if self._touch is not None:
            self._touch(node)
        counters = self.counters
        counters.hits += 1
        counters.answered_http += 1
        counters.at_once_http[table] = counters.at_once_http.get(table, 0) + 1
        if counters.hits >= counters.samples.due_at:
            counters.samples.take_at_once(
                counters.hits, table, key, columns.values[node], now, "http"
            )
        return form

    def keep_form(self, entry: Entry, form: bytes) -> None:
        self._caches.items.keep_form(entry, form)

    def hit(self, item: bytes | None, get: PlainGet, params: Params) -> Result:
        """Returns what GetItem answers for a cached ``item``. Raises UnknownAttributeList."""
        return self._hit(Found(item), get, params)

    def is_large_hit(self, entry: Entry) -> bool:
        """True if ``hit`` takes long."""
        item = entry.item
        return item is not None and len(item) > INLINE_VALUES_MAX and self._lists.is_large((item,))

    def _hit(self, found: Found, get: PlainGet, params: Params) -> Result:
        result = self._result(found, get, params["Key"])
        if wants_capacity(params):
            result["ConsumedCapacity"] = nothing_consumed(params["TableName"], params)
        return result

    def _result(self, found: Found, get: PlainGet, key: Item) -> Result:
        """``key``: as it was asked for."""
        whole = found.plain
        if whole is None and found.item is not None:
            whole = {**canonical(key), **self._lists.decode(found.item)}
        if whole is None:
            return {}
        return {"Item": apply_projection(whole, get.paths) if get.paths else whole}

    # -- from either ------------------------------------------------------------------------

    async def answer(self, get: PlainGet, params: Params, deadline: float) -> tuple[Result, Cache]:
        """Returns what GetItem answers, in boto3's low-level form."""
        hit = await self.answer_cached(get, params)
        if hit is not None:
            return hit, "hit"
        capacity = params.get("ReturnConsumedCapacity", "NONE")
        found = await self.item(get.table, get.key, params["Key"], deadline, capacity=capacity)
        result = self._result(found, get, params["Key"])
        if wants_capacity(params):
            consumed = found.capacity or nothing_consumed(params["TableName"], params)
            result["ConsumedCapacity"] = consumed
        return result, "miss"

    async def answer_cached(self, get: PlainGet, params: Params) -> Result | None:
        """The same, from the cache or not at all."""
        cached = self.cached(get.key)
        if cached is None:
            return None
        if cached.item is not None and self._lists.is_large((cached.item,)):
            item = await self._lists.decode_large(cached.item)
            cached = Found(None, None, {**canonical(params["Key"]), **item})
        return self._hit(cached, get, params)

    async def whole(
        self, table: TableInfo, key: Key, attributes: Item, deadline: float
    ) -> bytes | None:
        """Returns a whole item in DAX form, for front ends that speak it: no projection, no
        capacity."""
        found = await self.item(table, key, attributes, deadline, capacity="NONE")
        if found.plain is None:
            return found.item
        return await self._lists.encode(found.plain, table)

    async def item(
        self, table: TableInfo, key: Key, attributes: Item, deadline: float, *, capacity: str
    ) -> Found:
        """The whole item under ``key``; ``attributes`` is the same key as DynamoDB takes it.

        ``capacity``: the caller's ReturnConsumedCapacity.
        """
        found = self.cached(key)
        if found is not None:
            return found
        self.counters.misses += 1
        self.counters.look(key[0], "item", "miss")
        self.counters.samples.missed(key[0].encode(), key[1], self._clock())
        caused: list[Miss] = []

        def load(fill: Fill | None) -> asyncio.Future[Found]:
            miss = Miss(
                table,
                key,
                attributes,
                consistent=fill is None or fill.consistent or key[0] in self.consistent,
                fill=fill,
                deadline=deadline,
                capacity=capacity,
            )
            caused.append(miss)
            return self.misses.ask(miss)

        found = await self._flights.run(
            key,
            begin=lambda: self._guard.begin_fill(key, self._clock()),
            load=load,
            joinable=self._joinable,
        )
        return found if caused else Found(found.item, None, found.plain)

    def _joinable(self, fill: Fill) -> bool:
        return self._guard.joinable(fill, self._clock())

    def install(self, key: Key, item: bytes | None, now: float) -> Entry | None:
        """Of a fill that may be kept. Never raises; None if it is not kept."""
        try:
            return self._caches.items.install(*key, item, now)
        except Exception:
            # What DynamoDB has answered is an answer.
            _log.exception("an item is not kept", table=key[0])
            self._caches.items.discard(*key)
            return None
