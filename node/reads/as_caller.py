"""Reads in callers' own names: DynamoDB is asked with the caller's credentials and as he asked.

A cache answers what DynamoDB has allowed this very caller shortly before (``seen_rights``). What he
gets from it is what the same request would have got then; who cached it does not matter, since
DynamoDB gives the whole item or nothing to a GetItem without a projection. Nobody's request joins
another one's. What is added to a request is ConsistentRead, where coherence needs it: no right
depends on it.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable

import structlog

from cluster.coherence.guard import Fill, Guard
from node.backend.acting import Who, acting
from node.reads.cacheability import Passed, PlainGet
from node.reads.misses import DEFINE_S
from node.reads.reading import ReadAnswer, ReadOperations, ReadRequest
from node.reads.seen_rights import Right, SeenRights, right_of
from node.reads.single_flight import SingleFlight
from node.requests.table_names import table_of
from node.tables.keys import KnownKeys
from node.tables.schemas import Upstream
from node.tables.table_info import TableInfo
from paceline.dynamodb_operations import named_tables
from paceline.errors import DynamoDBError, PacelineError, ProtocolError
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
        self._clock = clock
        self._keys = KnownKeys()

    async def aclose(self) -> None:
        await self._flights.aclose()

    def notice(self, operation: str, params: Params, error: DynamoDBError) -> None:
        """Of every error of DynamoDB's: what it denies, it may have denied for good."""
        actor = acting.get()
        if actor is None or error.name not in _NO_RIGHT:
            return
        now = self._clock()
        tables = () if error.name in _ANYWHERE else named_tables(operation, params)
        for name in tables or (None,):
            self.rights.denied(actor.who, table_of(name), now)

    async def answer(self, read: ReadRequest, deadline: float) -> ReadAnswer:
        """As ``ReadOperations.answer``."""
        if read.operation == "GetItem" and read.params is not None:
            get = self._items.plain_get(read.params)
            if get is Passed.UNDESCRIBED:
                described = await self._reads.described(read.params["TableName"])
                get = self._items.cacheability.of_get(read.params, described)
            if isinstance(get, PlainGet):
                result, hit = await self.get(get, read.params, deadline)
                return ReadAnswer("hit" if hit else "miss", result)
        return await self._reads.pass_on(read, deadline)

    # -- one item ---------------------------------------------------------------------------

    async def get(self, get: PlainGet, params: Params, deadline: float) -> tuple[Result, bool]:
        """What GetItem answers, and whether the cache does."""
        who = _who()
        right = self._right("GetItem", who, get, params.get("ReturnConsumedCapacity"))
        if self.rights.holds(right, self._clock()):
            try:
                hit = await self._items.answer_cached(get, params)
            except (PacelineError, ValueError) as error:
                _log.info("a cached item is asked for", table=get.table.name, reason=str(error))
                hit = None
            if hit is not None:
                return hit, True
        self._items.counters.misses += 1
        alone = object() if params.get("ReturnConsumedCapacity", "NONE") != "NONE" else None

        async def load(fill: Fill | None) -> Result:
            return await self._asked(get, params, right, fill, deadline)

        result = await self._flights.run(
            (who, get.key, get.paths, alone),
            begin=lambda: self._guard.begin_fill(get.key, self._clock()),
            load=load,
            joinable=self._joinable,
        )
        return dict(result), False

    async def whole(
        self, table: TableInfo, key: Key, attributes: Item, deadline: float
    ) -> bytes | None:
        """As ``ReadPath.whole``."""
        get = PlainGet(table, key, ())
        right = self._right("GetItem", _who(), get, None)
        if self.rights.holds(right, self._clock()):
            cached = self._items.cached(key)
            if cached is not None:
                return cached.item
        params: Params = {"TableName": table.name, "Key": attributes}
        result, _ = await self.get(get, params, deadline)
        item = result.get("Item")
        return None if item is None else await self._lists.encode(item, table)

    def _right(self, action: str, who: Who, get: PlainGet, capacity: str | None) -> Right:
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
            asked_at = self._clock()
            result = await self._backend.read("GetItem", params, deadline)
            self.rights.saw(right, asked_at, self._clock())
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
        now = self._clock()
        if self._guard.end_fill(fill, now):
            self._items.install(get.key, image, now)

    def _joinable(self, fill: Fill) -> bool:
        return self._guard.joinable(fill, self._clock())


def _who() -> Who:
    actor = acting.get()
    assert actor is not None, "nobody's request has come this far"
    return actor.who
