"""BatchGetItem: what is cached is answered, the rest is fetched in one call and kept."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol

import structlog

from cluster.coherence.guard import Fill, Guard
from cluster.transport.charges import admit_read
from cluster.transport.large_work import INLINE_VALUES_MAX
from cluster.transport.memory import decoded_bytes
from node.reads.cacheability import Passed, PlainBatch, PlainPart
from node.reads.items import ReadPath
from node.reads.misses import DEFINE_S
from node.tables.item_keys import canonical, item_key
from node.tables.schemas import Upstream
from node.values.size import holds_more
from paceline.dax.elements import elements_in
from paceline.dax.expressions import apply_projection
from paceline.dax.validity import refuse_invalid
from paceline.types import Item, Key, Params, Result

_log = structlog.get_logger()


class BatchCaller(Protocol):
    """Who asks, where each asks in his own name, and as he asked."""

    def may_hit(self, part: PlainPart, key: Key) -> bool:
        """Whether the cache may answer ``key``."""

    def allowed(self, part: PlainPart, keys: Iterable[Key], asked_at: float) -> None:
        """DynamoDB has allowed them, and was asked then."""


@dataclass(slots=True)
class Wanted:
    """One table's part of the request while it is worked on."""

    plain: PlainPart
    request: Params
    always_consistent: bool
    found: list[Item] = field(default_factory=list)
    missing: dict[Key, Item] = field(default_factory=dict)
    fills: dict[Key, Fill] = field(default_factory=dict)
    as_asked: bool = False
    """True if the projection is DynamoDB's to apply; then there are no whole items to keep."""

    @property
    def consistent(self) -> bool:
        """True if the table's whole part is read consistently. One keepable fill that must be
        consistent makes it so, and so does a key that may not be kept: such reads pass through with
        ConsistentRead."""
        return (
            self.always_consistent
            or len(self.fills) < len(self.missing)
            or any(fill.consistent for fill in self.fills.values())
        )

    @property
    def keeps(self) -> bool:
        return not (self.as_asked and self.plain.paths)

    def project(self, item: Item) -> Item:
        return apply_projection(item, self.plain.paths) if self.plain.paths else item


class BatchGet:
    def __init__(
        self,
        upstream: Upstream,
        reads: ReadPath,
        guard: Guard,
        clock: Callable[[], float],
    ) -> None:
        self._backend = upstream.backend
        self._large_work = upstream.large_work
        self.guard = guard
        self.clock = clock
        self.lists = upstream.lists
        self.reads = reads

    async def answer(
        self,
        batch: PlainBatch,
        params: Params,
        deadline: float,
        caller: BatchCaller | None = None,
    ) -> tuple[Result, bool]:
        """Returns the result, and whether all of it came from the cache."""
        refuse_invalid("BatchGetItem", params)
        requests: dict[str, Params] = params["RequestItems"]
        wanted = {
            name: await self._look_up(name, plain, requests[name], caller)
            for name, plain in batch.parts.items()
        }
        if batch.passed:
            self.reads.counters.passed(Passed.CONSISTENT, len(batch.passed))
        upstream = dict(batch.passed)
        try:
            for name, part in wanted.items():
                if part.missing:
                    upstream[name] = self.ask(part)
            asked_at = self.clock()
            result = await self.fetch(params, upstream, deadline) if upstream else {}
            for part in wanted.values():
                if caller is not None and part.missing:
                    caller.allowed(part.plain, part.missing, asked_at)
            try:
                return await self._merge(params, wanted, batch.passed, result), not upstream
            except BaseException:
                self._large_work.let_go([result])
                raise
        finally:
            for part in wanted.values():
                for fill in part.fills.values():
                    self.guard.abandon(fill)

    async def _look_up(
        self, name: str, plain: PlainPart, request: Params, caller: BatchCaller | None
    ) -> Wanted:
        part = Wanted(
            plain,
            request,
            always_consistent=name in self.reads.consistent,
            as_asked=caller is not None,
        )
        images: list[tuple[Item, bytes]] = []
        for key, attributes in plain.keys.items():
            seen = caller is None or caller.may_hit(plain, key)
            found = self.reads.cached(key) if seen else None
            if found is None:
                self.reads.counters.misses += 1
                self.reads.counters.look(name, "item", "miss")
                self.reads.counters.samples.missed(key[0].encode(), key[1], self.clock())
                part.missing[key] = attributes
            elif found.item is not None:
                images.append((attributes, found.item))
        large = self.lists.is_large(image for _, image in images)
        if large:
            await self._large_work.admitted()
            values = await self._large_work.run(
                lambda: sum(elements_in(image, len(image)) for _, image in images)
            )
            admit_read(decoded_bytes(0, values))
        part.found = await self._large_work.run_if(
            large, lambda: [self._decoded(part, *one) for one in images]
        )
        return part

    def _decoded(self, part: Wanted, key: Item, image: bytes) -> Item:
        return part.project({**canonical(key), **self.lists.decode(image)})

    def ask(self, part: Wanted) -> Params:
        now = self.clock()
        for key in part.missing:
            fill = self.guard.begin_fill(key, now)
            if fill is not None:
                part.fills[key] = fill
        request: Params = {"Keys": list(part.missing.values())}
        if part.as_asked:
            request = {**part.request, **request}
        if part.consistent:
            request["ConsistentRead"] = True
        return request

    async def fetch(self, params: Params, upstream: dict[str, Params], deadline: float) -> Result:
        request: Params = {"RequestItems": upstream}
        if "ReturnConsumedCapacity" in params:
            request["ReturnConsumedCapacity"] = params["ReturnConsumedCapacity"]
        return await self._backend.read("BatchGetItem", request, deadline)

    async def _merge(
        self,
        params: Params,
        wanted: dict[str, Wanted],
        passed: dict[str, Params],
        result: Result,
    ) -> Result:
        answers: dict[str, list[Item]] = result.get("Responses", {})
        unprocessed: dict[str, Any] = dict(result.get("UnprocessedKeys") or {})
        responses = {name: answers.get(name, []) for name in passed}
        for name, part in wanted.items():
            leftover = unprocessed.get(name, {}).get("Keys", [])
            await self._keep(name, part, answers.get(name, []), leftover)
            responses[name] = part.found
            if leftover:
                # As the caller asked it, not as it was asked upstream.
                unprocessed[name] = {**part.request, "Keys": leftover}
        merged: Result = {"Responses": responses, "UnprocessedKeys": unprocessed}
        if "ConsumedCapacity" in result:
            merged["ConsumedCapacity"] = result["ConsumedCapacity"]
        return merged

    async def _keep(self, name: str, part: Wanted, items: list[Item], leftover: list[Item]) -> None:
        schema = part.plain.table.schema
        if not part.keeps:
            part.found += items
            return
        images: dict[Key, bytes | None] = dict.fromkeys(part.missing)
        part.found += await self._large_work.run_if(
            bool(part.plain.paths) and holds_more(items, INLINE_VALUES_MAX),
            lambda: [part.project(item) for item in items],
        )
        for attributes in leftover:
            images.pop(item_key(name, attributes, schema, "Key"), None)
        for item in items:
            try:
                key = item_key(name, schema.key_of(item), schema, "Key")
                if key in part.fills:
                    images[key] = await self.lists.encode(item, part.plain.table, DEFINE_S)
            except Exception as error:
                # Which of the keys it belongs to may not be known, so nothing is kept.
                _log.warning("a batch is not kept", table=name, reason=repr(error))
                images.clear()
                break
        now = self.clock()
        for key, image in images.items():
            fill = part.fills.pop(key, None)
            if fill is not None and self.guard.end_fill(fill, now):
                self.reads.install(key, image, now)
