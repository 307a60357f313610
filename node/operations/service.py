"""The operation layer: DynamoDB's data operations, whichever front end they came in by.

Parameters and results are those of boto3's low-level client. Errors are ``paceline.errors``.
"""

from __future__ import annotations

import json
from collections.abc import Callable

from cluster.coherence.messages import WHOLE
from node.reads.batch_get import BatchGet
from node.reads.items import Found, ReadPath
from node.reads.projections import leads_into_key, plain_paths
from node.reads.queries import Answer, Queries
from node.requests.passthrough import RAW, raw_params
from node.requests.reach import HARMLESS, reach_of
from node.tables.attribute_lists import TableKnowledge
from node.tables.item_keys import canonical, item_key
from node.tables.schemas import Tables
from node.tables.table_info import TableInfo
from node.writes.path import WritePath
from node.writes.plan import WRITES
from paceline.dax.expressions import apply_projection
from paceline.dax.validity import refuse_invalid
from paceline.errors import RequestError, Unavailable
from paceline.types import Key, Params, Result

READS = frozenset({"GetItem", "BatchGetItem", "Query", "Scan", "TransactGetItems"})


def wants_capacity(params: Params) -> bool:
    """Whether the caller wants to know what was consumed, in whatever detail."""
    return bool(params.get("ReturnConsumedCapacity", "NONE") != "NONE")


class Operations:
    """One per node. Counts what is in work and refuses more than ``pending_max``."""

    def __init__(
        self,
        tables: Tables,
        knowledge: TableKnowledge,
        reads: ReadPath,
        writes: WritePath,
        queries: Queries,
        batch_get: BatchGet,
        pending_max: int,
        clock: Callable[[], float],
    ) -> None:
        self.tables = tables
        self.knowledge = knowledge
        self.reads = reads
        self.writes = writes
        self._queries = queries
        self._batch_get = batch_get
        self._pending_max = pending_max
        self._pending = 0
        self._clock = clock

    @property
    def pending(self) -> int:
        return self._pending

    async def execute(self, operation: str, params: Params, deadline: float) -> Result:
        """One data operation; RequestError, DynamoDBError, NotSent, OutcomeUnknown, Unavailable."""
        with self._admitted():
            if operation in WRITES:
                refuse_invalid(operation, params)
                return await self.writes.execute(operation, params, deadline)
            match operation:
                case "GetItem":
                    return (await self._get_item(params, deadline))[0]
                case "BatchGetItem":
                    return await self._batch_get.execute(params, deadline)
                case "Query" | "Scan":
                    return await self._queries.execute(operation, params, deadline)
                case "TransactGetItems":
                    return await self.reads.passed_through(operation, params, deadline)
        raise RequestError("ValidationException", f"{operation} is not a data operation")

    async def item(self, table: TableInfo, key: Key, deadline: float) -> bytes | None:
        """The plain GetItem of front ends that speak DAX items: no projection, no capacity."""
        with self._admitted():
            attributes = self.knowledge.decode_key(table, key[1])
            found = await self.reads.item(table, key, attributes, deadline, capacity="NONE")
            if found.plain is not None:
                return await self.knowledge.encode(found.plain, table)
            return found.item

    async def query(self, operation: str, params: Params, deadline: float) -> Answer:
        """Query and Scan for front ends that keep their own form of the answer."""
        with self._admitted():
            return await self._queries.answer(operation, params, deadline)

    async def passed(self, target: str, body: bytes, deadline: float) -> Result:
        """A request that changes nothing and touches no cache, as it came."""
        with self._admitted():
            self.reads.counters.bypasses += 1
            return await self.reads.backend.raw(target, body, deadline, repeat=True)

    async def raw(self, target: str, body: Params, deadline: float) -> Result:
        """Any request of the HTTP API, as it was understood. Whether it needs a fence, and of which
        tables, is decided here and from what is sent, so that no caller can get it wrong.

        RequestError also when it cannot be told what the request would change.
        """
        operation = target.rpartition(".")[2]
        sent = json.dumps(body).encode()
        if operation in HARMLESS:
            with self._admitted():
                self.reads.counters.bypasses += 1
                return await self.reads.backend.raw(target, sent, deadline, repeat=False)
        reach = reach_of(operation, body)
        if reach is None:
            return await self.passed(target, sent, deadline)
        keys = tuple((table, WHOLE) for table in reach.tables)
        params = raw_params(target, sent, keys, remakes=reach.remakes)
        with self._admitted():
            return await self.writes.execute(RAW, params, deadline)

    async def batch_get(self, params: Params, deadline: float) -> tuple[Result, bool]:
        """BatchGetItem, and whether all of the answer came from the cache."""
        with self._admitted():
            return await self._batch_get.answer(params, deadline)

    def _admitted(self) -> _Admission:
        if self._pending >= self._pending_max:
            raise Unavailable(
                f"this node has {self._pending} requests in work, its limit; "
                "slow down or send them to another node"
            )
        return _Admission(self)

    async def get(self, params: Params, deadline: float) -> tuple[Result, bool]:
        """GetItem, and whether it was answered from the cache."""
        with self._admitted():
            return await self._get_item(params, deadline)

    async def _get_item(self, params: Params, deadline: float) -> tuple[Result, bool]:
        name = params["TableName"]
        bypassed = params.get("ConsistentRead") and name not in self.reads.consistent
        if bypassed or plain_paths(params) is None or "AttributesToGet" in params:
            return await self.reads.passed_through("GetItem", params, deadline), False
        table = await self.tables.schema(name)
        if leads_into_key(params, table):
            return await self.reads.passed_through("GetItem", params, deadline), False
        key = item_key(name, params["Key"], table.schema, "Key")
        found = self.reads.cached(key)
        if found is not None:
            return self.get_result(found, params), True
        found = await self.reads.item(
            table,
            key,
            params["Key"],
            deadline,
            capacity=params.get("ReturnConsumedCapacity", "NONE"),
        )
        return self.get_result(found, params), False

    def get_result(self, found: Found, params: Params) -> Result:
        """What GetItem answers for ``found``, whose projection has plain paths."""
        result: Result = {}
        if found.plain is not None:
            paths = plain_paths(params)
            result["Item"] = apply_projection(found.plain, paths) if paths else found.plain
        elif found.item is not None:
            item = {**canonical(params["Key"]), **self.knowledge.decode(found.item)}
            paths = plain_paths(params)
            result["Item"] = apply_projection(item, paths) if paths else item
        if found.capacity is not None:
            result["ConsumedCapacity"] = found.capacity
        return result


class _Admission:
    def __init__(self, operations: Operations) -> None:
        self._operations = operations

    def __enter__(self) -> None:
        self._operations._pending += 1

    def __exit__(self, *_: object) -> None:
        self._operations._pending -= 1
