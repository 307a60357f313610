"""Reads in callers' own names: DynamoDB is asked with the caller's credentials and as he asked.

A cache answers what DynamoDB has allowed this very caller shortly before (``seen_rights``). What he
gets from it is what the same request would have got then; who cached it does not matter, since
DynamoDB gives the whole item or nothing to a GetItem without a projection. Nobody's request joins
another one's. What is added to a request is ConsistentRead, where coherence needs it: no right
depends on it.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable

import structlog

from cluster.coherence.guard import Fill, Guard
from node.backend.acting import Who, acting
from node.cache.query_cache import QueryKey
from node.reads.cacheability import Passed, PlainGet, PlainPart, wants_capacity
from node.reads.misses import DEFINE_S
from node.reads.queries import CallerOf, PageCaller
from node.reads.reading import ReadAnswer, ReadOperations, ReadRequest
from node.reads.seen_rights import Right, SeenRights, right_of
from node.reads.single_flight import SingleFlight
from node.requests.table_names import table_of
from node.tables.keys import KnownKeys
from node.tables.schemas import Upstream
from node.tables.table_info import TableInfo
from paceline.dax.validity import SurelyInvalid
from paceline.dynamodb_operations import named_tables
from paceline.errors import DynamoDBError, PacelineError, ProtocolError, RequestError
from paceline.types import Item, Key, Params, Result

_log = structlog.get_logger()

_NO_RIGHT = frozenset(
    {
        *("AccessDeniedException", "ExpiredTokenException", "IncompleteSignatureException"),
        *("InvalidSignatureException", "MissingAuthenticationTokenException"),
        "UnrecognizedClientException",
    }
)
"""DynamoDB's names for what may be no more."""

_ANYWHERE = frozenset(_NO_RIGHT - {"AccessDeniedException"})
"""Of these, what is said of the credentials and not of a table."""

_NO_RIGHT_OF_PART = _NO_RIGHT | {"AccessDenied"}
"""BatchStatementError has shorter names than errors."""

Flights = SingleFlight[Hashable, Fill, Result]


class CallersReads:
    """One per node. ``acting`` says whose request is under way."""

    def __init__(
        self,
        upstream: Upstream,
        reads: ReadOperations,
        guard: Guard,
        flights: Flights,
        rights: SeenRights,
        clock: Callable[[], float],
    ) -> None:
        self.rights = rights
        self._reads = reads
        self._items = reads.items
        self._backend = upstream.backend
        self._tables = upstream.tables
        self._lists = upstream.lists
        self._guard = guard
        self._flights = flights
        self.clock = clock
        self._keys = KnownKeys()

    async def aclose(self) -> None:
        await self._flights.aclose()

    def notice(self, operation: str, params: Params, error: DynamoDBError) -> None:
        """Of every error of DynamoDB's: what it denies, it may have denied for good."""
        actor = acting.get()
        if actor is None or error.name not in _NO_RIGHT:
            return
        now = self.clock()
        tables = () if error.name in _ANYWHERE else named_tables(operation, params)
        for name in tables or (None,):
            self.rights.denied(actor.who, table_of(name), now)

    def notice_parts(self, result: Result) -> None:
        """Of the answer to statements that went together: which table one was about is not told, so
        what was seen of the caller is forgotten anywhere."""
        actor, parts = acting.get(), result.get("Responses")
        if actor is None or not isinstance(parts, list):
            return
        errors = [part.get("Error") for part in parts if isinstance(part, dict)]
        codes = {error.get("Code") for error in errors if isinstance(error, dict)}
        if codes & _NO_RIGHT_OF_PART:
            self.rights.denied(actor.who, None, self.clock())

    async def answer(self, read: ReadRequest, deadline: float) -> ReadAnswer:
        """As ``ReadOperations.answer``."""
        params = read.params
        try:
            match read.operation:
                case "GetItem" if params is not None:
                    return await self._get(read, params, deadline)
                case "BatchGetItem" if params is not None:
                    capacity = params.get("ReturnConsumedCapacity")
                    by = _Batch(self, _who(), capacity)
                    return await self._reads.batch(read, params, deadline, by)
                case "Query" | "Scan" if params is not None:
                    return await self._reads.page(read, params, deadline, self._of_page(params))
        except SurelyInvalid:
            raise
        except (RequestError, ValueError) as error:
            # What is cached has no form here; and what DynamoDB has, maybe none in the cache.
            _log.info("passing a read on", operation=read.operation, reason=str(error))
            return await self._reads.pass_on(read, deadline, Passed.FORM)
        why = Passed.UNREAD if params is None else Passed.OPERATION
        return await self._reads.pass_on(read, deadline, why)

    async def _get(self, read: ReadRequest, params: Params, deadline: float) -> ReadAnswer:
        get = self._items.plain_get(params)
        if get is Passed.UNDESCRIBED:
            described = await self._reads.described(params["TableName"])
            get = self._items.cacheability.of_get(params, described)
        if isinstance(get, Passed):
            return await self._reads.pass_on(read, deadline, get)
        result, hit = await self.get(get, params, deadline)
        return ReadAnswer("hit" if hit else "miss", result)

    # -- pages ------------------------------------------------------------------------------

    def _of_page(self, params: Params) -> CallerOf:
        """A page is asked for by the same words or not at all."""
        who, capacity = _who(), params.get("ReturnConsumedCapacity")

        def of(key: QueryKey) -> PageCaller:
            right = right_of(who, key[0], "page", key[1], capacity)

            def allowed(asked_at: float) -> None:
                self.rights.saw(right, asked_at, self.clock())

            return PageCaller(right, self.rights.holds(right, self.clock()), allowed)

        return of

    # -- one item ---------------------------------------------------------------------------

    async def get(self, get: PlainGet, params: Params, deadline: float) -> tuple[Result, bool]:
        """What GetItem answers, and whether the cache does."""
        who = _who()
        capacity = params.get("ReturnConsumedCapacity")
        right = self.right("GetItem", who, get, capacity)
        if self.rights.holds(right, self.clock()):
            try:
                hit = await self._items.answer_cached(get, params)
            except (PacelineError, ValueError) as error:
                _log.info("a cached item is asked for", table=get.table.name, reason=str(error))
                hit = None
            if hit is not None:
                return hit, True
        self._items.counters.misses += 1
        self._items.counters.look(get.key[0], "item", "miss")
        self._items.counters.samples.missed(get.key[0].encode(), get.key[1], self.clock())
        alone = object() if wants_capacity(params) else None

        async def load(fill: Fill | None) -> Result:
            return await self._asked(get, params, right, fill, deadline)

        result = await self._flights.run(
            (who, get.key, get.paths, alone),
            begin=lambda: self._guard.begin_fill(get.key, self.clock()),
            load=load,
            joinable=self._joinable,
        )
        return dict(result), False

    async def whole(
        self, table: TableInfo, key: Key, attributes: Item, deadline: float
    ) -> bytes | None:
        """As ``ReadPath.whole``."""
        get = PlainGet(table, key, ())
        right = self.right("GetItem", _who(), get, None)
        if self.rights.holds(right, self.clock()):
            cached = self._items.cached(key)
            if cached is not None:
                return cached.item
        params: Params = {"TableName": table.name, "Key": attributes}
        result, _ = await self.get(get, params, deadline)
        item = result.get("Item")
        return None if item is None else await self._lists.encode(item, table)

    def right(self, action: str, who: Who, get: PlainGet, capacity: str | None) -> Right:
        """All that IAM can tell such requests apart by: the partition, the attributes, whether
        they are named, and whether the capacity is asked for."""
        try:
            partition, _ = self._keys.of(get.table).split(get.key[1])
        except ProtocolError:
            partition = get.key[1]
        return right_of(who, get.table.name, action, partition, get.paths, capacity)

    async def _asked(
        self, get: PlainGet, params: Params, right: Right, fill: Fill | None, deadline: float
    ) -> Result:
        try:
            if fill is None or fill.consistent or get.key[0] in self._items.consistent:
                params = {**params, "ConsistentRead": True}
            asked_at = self.clock()
            result = await self._backend.read("GetItem", params, deadline)
            self.rights.saw(right, asked_at, self.clock())
            if fill is not None and not get.paths:
                await self._keep(get, fill, result.get("Item"))
            return result
        finally:
            if fill is not None:
                self._guard.abandon(fill)

    async def _keep(self, get: PlainGet, fill: Fill, item: Item | None) -> None:
        image = None
        try:
            if item is not None:
                image = await self._lists.encode(item, get.table, DEFINE_S)
        except Exception as error:
            _log.info("an item is not kept", table=get.table.name, reason=repr(error))
            return
        now = self.clock()
        if self._guard.end_fill(fill, now):
            self._items.install(get.key, image, now)

    def _joinable(self, fill: Fill) -> bool:
        return self._guard.joinable(fill, self.clock())


class _Batch:
    """Rights are remembered for each item. So who was given an item in one batch is given it in
    another one, too, as he would be by DynamoDB in the first."""

    def __init__(self, reads: CallersReads, who: Who, capacity: str | None) -> None:
        self._reads, self._who, self._capacity = reads, who, capacity

    def may_hit(self, part: PlainPart, key: Key) -> bool:
        reads = self._reads
        return reads.rights.holds(self._right(part, key), reads.clock())

    def allowed(self, part: PlainPart, keys: Iterable[Key], asked_at: float) -> None:
        rights, now = self._reads.rights, self._reads.clock()
        for key in keys:
            rights.saw(self._right(part, key), asked_at, now)

    def _right(self, part: PlainPart, key: Key) -> Right:
        get = PlainGet(part.table, key, part.paths)
        return self._reads.right("BatchGetItem", self._who, get, self._capacity)


def _who() -> Who:
    actor = acting.get()
    assert actor is not None, "nobody's request has come this far"
    return actor.who
