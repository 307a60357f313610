"""Reads of typed requests: which may be answered from the caches, and what came of it."""

from __future__ import annotations

from typing import Literal

from node.operations.service import Operations, wants_capacity
from node.reads.projections import Projections, leads_into_key
from node.tables.attribute_lists import UnknownAttributeList
from node.tables.item_keys import item_key
from paceline.errors import RequestError
from paceline.types import Params, Result

Cache = Literal["hit", "miss", "bypass"]


class Reads:
    def __init__(self, operations: Operations) -> None:
        self._operations = operations
        self._projections = Projections()

    async def execute(
        self, operation: str, params: Params, deadline: float
    ) -> tuple[Result, Cache]:
        while True:
            try:
                return await self._executed(operation, params, deadline)
            except UnknownAttributeList as error:
                # Of a cached item: the primary's stream may be ahead of this node's log.
                await self._operations.knowledge.learn(error.list_id)

    async def _executed(
        self, operation: str, params: Params, deadline: float
    ) -> tuple[Result, Cache]:
        match operation:
            case "GetItem":
                return await self._get(params, deadline)
            case "BatchGetItem":
                return await self._batch_get(params, deadline)
            case "Query" | "Scan":
                return await self._page(operation, params, deadline)
        return await self._operations.execute(operation, params, deadline), "bypass"

    async def _get(self, params: Params, deadline: float) -> tuple[Result, Cache]:
        table = params["TableName"]
        reads = self._operations.reads
        if params.get("ConsistentRead") and table not in reads.consistent:
            return (await self._operations.get(params, deadline))[0], "bypass"
        if not self._projections.surely_valid(params) or not await self._fits_the_table(
            table, params, [params["Key"]]
        ):
            result = await reads.passed_through("GetItem", _consistent(params), deadline)
            self._projections.taken(params, found="Item" in result)
            return result, "bypass"
        result, hit = await self._operations.get(params, deadline)
        _add_capacity(result, params)
        return result, "hit" if hit else "miss"

    async def _batch_get(self, params: Params, deadline: float) -> tuple[Result, Cache]:
        for table, part in params["RequestItems"].items():
            if not self._projections.surely_valid(part) or not await self._fits_the_table(
                table, part, part["Keys"]
            ):
                asked = _consistent_batch(params)
                result = await self._operations.reads.passed_through(
                    "BatchGetItem", asked, deadline
                )
                found = result.get("Responses", {})
                for name, one in params["RequestItems"].items():
                    self._projections.taken(one, found=bool(found.get(name)))
                return result, "bypass"
        result, hit = await self._operations.batch_get(params, deadline)
        return result, "hit" if hit else "miss"

    async def _page(self, operation: str, params: Params, deadline: float) -> tuple[Result, Cache]:
        answer = await self._operations.query(operation, params, deadline)
        if answer.result is not None:
            bypassed = params.get("ConsistentRead") and answer.kept is None
            return answer.result, "bypass" if bypassed else "miss"
        assert answer.kept is not None
        result = answer.kept.result()
        _add_capacity(result, params)
        return result, "hit"

    async def _fits_the_table(self, table: str, params: Params, keys: list[Params]) -> bool:
        """If not, DynamoDB refuses it, in its own words."""
        info = await self._operations.tables.schema(table)
        if leads_into_key(params, info):
            return False
        try:
            for key in keys:
                item_key(table, key, info.schema, "Key")
        except (RequestError, ValueError):
            return False
        return True


def _consistent(params: Params) -> Params:
    """What is passed on must still see what this cluster has acknowledged, though it costs twice
    as much."""
    return {**params, "ConsistentRead": True}


def _consistent_batch(params: Params) -> Params:
    parts = {table: _consistent(part) for table, part in params["RequestItems"].items()}
    return {**params, "RequestItems": parts}


def _add_capacity(result: Result, params: Params) -> None:
    """An answer from the cache, or one shared with another reader, has consumed nothing."""
    if wants_capacity(params):
        result.setdefault(
            "ConsumedCapacity", {"TableName": params["TableName"], "CapacityUnits": 0.0}
        )
