"""Which reads a cache may answer, and how the others are passed on: one rule, whichever front end
a read came by. Pure.

A cache may answer what DynamoDB would surely answer, too: an entry in it must not hide that
DynamoDB refuses a request, or that somebody asked for DynamoDB's own answer. Whatever else is asked
is passed on, in the caller's words and with ConsistentRead: it must still see every write that this
cluster has acknowledged, though it costs twice as much. Of a global index there is no such read.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any, Final, Literal, NamedTuple

from cluster.settings import CacheSettings
from node.reads.projections import Projections, leads_into_key
from node.requests.table_names import is_arn
from node.tables.item_keys import readable_key
from node.tables.table_info import TableInfo
from node.values.size import holds_more
from paceline.dax.expressions import Path
from paceline.dynamodb_operations import BATCH_GET_KEYS_MAX
from paceline.types import Item, Key, Params

Cache = Literal["hit", "miss", "bypass"]
"""Where an answer came from: the caches (hit), DynamoDB after they were looked through (miss), or
DynamoDB without them (bypass)."""


class ConsistentTables:
    """Tables whose setting ``consistent_reads`` is ``cache``.

    Every fill of such a table asks DynamoDB with ConsistentRead, so its entries are never older
    than any write that was acknowledged, however far DynamoDB's eventually consistent reads lag.
    Holds for the life of the process: entries filled under another setting could not be told
    apart.
    """

    def __init__(self, settings: CacheSettings) -> None:
        self._reads = settings.per_table(lambda s: s.consistent_reads)
        self._invalidation = settings.per_table(lambda s: s.query_invalidation)

    def __contains__(self, table: str) -> bool:
        return self._reads.of(table) == "cache"

    def queries(self, table: str) -> bool:
        """Results that live until their TTL, whatever is written meanwhile, are not consistent."""
        return table in self and self._invalidation.of(table) != "off"


NO_TABLES = ConsistentTables(CacheSettings())

PAGE_VALUES_MAX: Final = 4096
"""The most values in the parameters of a Query or Scan that is looked up, since they are sorted for
that."""


class Passed(Enum):
    """Why a read is passed on."""

    CONSISTENT = "it asks for consistency, and the table's cache does not answer such reads"
    NAME = "the table is named by an ARN, which may be that of another account's"
    PROJECTION = "DynamoDB may refuse its projection"
    KEY = "DynamoDB may refuse its key"
    BATCH = "DynamoDB refuses a batch of so many keys, or of one of them twice"
    INDEX = "the index is not known here"
    LARGE = "it holds more values than the key of a cached page should"
    UNDESCRIBED = "DynamoDB does not say what the table is"
    UNREAD = "it is not sure what it asks for"
    FORM = "an item has no form in DAX's encoding, or none that is known here yet"
    OPERATION = "it is of an operation that no cache answers"

    @property
    def reason(self) -> str:
        """The same in one word, for metrics, logs and ``x-paceline-cache-reason``."""
        return self.name.lower()


class PlainGet(NamedTuple):
    """A GetItem, or one key of several."""

    table: TableInfo
    key: Key
    paths: tuple[Path, ...]
    """The projection; () is the whole item."""


class PlainPart(NamedTuple):
    """One table's part of a BatchGetItem. ``keys`` are in the caller's order and spelling."""

    table: TableInfo
    keys: dict[Key, Item]
    paths: tuple[Path, ...]


class PlainBatch(NamedTuple):
    """``parts``: by table, those that the cache may answer. ``passed``: the others, as they came:
    they ask for consistency."""

    parts: dict[str, PlainPart]
    passed: dict[str, Params]


class Cacheability:
    """Decides what a cache may answer. One per node: it keeps which projections DynamoDB takes."""

    def __init__(self, consistent: ConsistentTables = NO_TABLES) -> None:
        self.consistent = consistent
        self._projections = Projections()

    def allows(self, table: str, *, consistent_read: bool) -> bool:
        """True if the cached item may answer a read of ``table`` that asks for the whole item."""
        return not is_arn(table) and (not consistent_read or table in self.consistent)

    def of_get(self, params: Params, table: TableInfo | None) -> PlainGet | Passed:
        """``table``: None where nobody has said what it is, or not yet. Then UNDESCRIBED is the
        answer if it matters."""
        name = params["TableName"]
        if params.get("ConsistentRead") and name not in self.consistent:
            return Passed.CONSISTENT
        if is_arn(name):
            return Passed.NAME
        paths = self._projections.paths(params)
        if paths is None:
            return Passed.PROJECTION
        if table is None:
            return Passed.UNDESCRIBED
        if paths and leads_into_key(paths, table):
            return Passed.PROJECTION
        key = readable_key(name, params["Key"], table.schema)
        return Passed.KEY if key is None else PlainGet(table, key, paths)

    def of_batch(
        self, params: Params, tables: Mapping[str, TableInfo | None]
    ) -> PlainBatch | Passed:
        """One part that DynamoDB may refuse makes it refuse all."""
        requests: dict[str, Params] = params["RequestItems"]
        sizes = [len(request.get("Keys") or ()) for request in requests.values()]
        if not sizes or not all(sizes) or sum(sizes) > BATCH_GET_KEYS_MAX:
            return Passed.BATCH
        batch = PlainBatch({}, {})
        for name, request in requests.items():
            part = self._part(name, request, tables.get(name))
            if isinstance(part, PlainPart):
                batch.parts[name] = part
            elif part is Passed.CONSISTENT:
                batch.passed[name] = request
            else:
                return part
        return batch if batch.parts else Passed.CONSISTENT

    def _part(self, name: str, request: Params, table: TableInfo | None) -> PlainPart | Passed:
        if request.get("ConsistentRead") and name not in self.consistent:
            return Passed.CONSISTENT
        if is_arn(name):
            return Passed.NAME
        paths = self._projections.paths(request)
        if paths is None:
            return Passed.PROJECTION
        if table is None:
            return Passed.UNDESCRIBED
        if leads_into_key(paths, table):
            return Passed.PROJECTION
        keys: dict[Key, Item] = {}
        for attributes in request["Keys"]:
            key = readable_key(name, attributes, table.schema)
            if key is None:
                return Passed.KEY
            keys[key] = attributes
        if len(keys) < len(request["Keys"]):
            return Passed.BATCH
        return PlainPart(table, keys, paths)

    def of_page(self, params: Params, table: TableInfo | None) -> TableInfo | Passed:
        """Of a Query or Scan: the table if the cache may answer. A page is in the cache under the
        words by which DynamoDB has taken it, so they are not looked into."""
        name = params["TableName"]
        if is_arn(name):
            return Passed.NAME
        if holds_more(params, PAGE_VALUES_MAX):
            return Passed.LARGE
        if table is None:
            return Passed.UNDESCRIBED
        wanted = params.get("IndexName")
        index = None if wanted is None else table.indexes.get(wanted)
        if wanted is not None and index is None:
            return Passed.INDEX
        if params.get("ConsistentRead") and not (
            self.consistent.queries(name) and (index is None or index.kind == "LSI")
        ):
            return Passed.CONSISTENT
        return table

    def learns_from(self, operation: str, params: Params) -> bool:
        """True if ``learn`` has a use for DynamoDB's answer to this read, which was passed on."""
        return any(
            self._projections.may_be_taken(part) for _, part in _projected(operation, params)
        )

    def learn(self, operation: str, params: Params, result: Params) -> None:
        """Takes the answer of DynamoDB, which has accepted the read."""
        for table, part in _projected(operation, params):
            if table is None:
                found = "Item" in result
            else:
                found = bool((result.get("Responses") or {}).get(table))
            self._projections.taken(part, found=found)


def _projected(operation: str, params: Params) -> list[tuple[str | None, Params]]:
    if operation == "GetItem":
        return [(None, params)]
    return list(params["RequestItems"].items()) if operation == "BatchGetItem" else []


def passed_on(operation: str, params: Params, table: TableInfo | None) -> tuple[Params, ...]:
    """What DynamoDB is asked when a read is passed on: the first of these that it does not call
    invalid. ``params``: also the JSON of a request that was not understood."""
    if operation == "BatchGetItem":
        parts = params.get("RequestItems")
        if not isinstance(parts, dict) or not all(isinstance(one, dict) for one in parts.values()):
            return (params,)
        return ({**params, "RequestItems": {name: _consistent(parts[name]) for name in parts}},)
    if operation not in ("GetItem", "Query", "Scan"):
        return (params,)
    name: Any = params.get("IndexName")
    if name is None:
        return (_consistent(params),)
    index = table.indexes.get(name) if table is not None and isinstance(name, str) else None
    if index is not None and index.kind == "GSI":
        return (params,)
    # It may be a global one, of which nobody has told this node yet.
    return (_consistent(params), params)


def _consistent(params: Params) -> Params:
    return {**params, "ConsistentRead": True}


def wants_capacity(params: Params) -> bool:
    """True if the caller wants to know what was consumed, in whatever detail."""
    return bool(params.get("ReturnConsumedCapacity", "NONE") != "NONE")


def nothing_consumed(table: str, params: Params) -> dict[str, Any]:
    """Returns the ConsumedCapacity of an answer from the cache, or of one shared with another
    reader."""
    capacity: dict[str, Any] = {"TableName": table, "CapacityUnits": 0.0}
    if params["ReturnConsumedCapacity"] == "INDEXES":
        capacity["Table"] = {"CapacityUnits": 0.0}
    return capacity
