"""What clients read, in old forms and new ones."""

from __future__ import annotations

import asyncio
from typing import Any

from paceline.types import Item, Key, Params
from tests.simulation.calling import GROUPS, Caller
from tests.simulation.check import Violation
from tests.simulation.expressions import literal_of
from tests.simulation.node import SimulatedNode
from tests.simulation.statements import spelled
from tests.simulation.tables import HASHED, NUMBERED, RANGED
from tests.simulation.versions import VALUE


class Reads(Caller):
    def _projected(self, attributes: Item) -> Params:
        """A projection now and then, always with what names the version."""
        if self.rng.random() > self.scene.options.odd:
            return {}
        names = [*attributes, VALUE, "x"]
        match self.rng.randrange(3):
            case 0:
                return {"ProjectionExpression": ", ".join(names)}
            case 1:
                renamed = {f"#n{at}": name for at, name in enumerate(names)}
                return {
                    "ProjectionExpression": ", ".join(renamed),
                    "ExpressionAttributeNames": renamed,
                }
        return {"AttributesToGet": names}

    async def _get(self, node: SimulatedNode, *, consistent: bool = False) -> bool:
        table, attributes, key = self._key()
        begun, floors = self.scene.loop.t, self.scene.checker.floors((key,))
        projection = self._projected(attributes)
        params: Params = {"TableName": table, "Key": attributes, **projection}
        if consistent:
            params["ConsistentRead"] = True
        result = await self._read(node, "GetItem", params)
        if result is None:
            return False
        how = f"GetItem at {node.name}"
        self._saw(key, result.get("Item"), floors, how, begun, projection)
        return True

    async def get_twice(self, node: SimulatedNode) -> None:
        """The same item: if it may be kept, the second time it comes from the cache."""
        table, attributes, key = self._key()
        for _ in range(2):
            begun, floors = self.scene.loop.t, self.scene.checker.floors((key,))
            params: Params = {"TableName": table, "Key": attributes}
            result = await self._read(node, "GetItem", params)
            if result is not None:
                how = f"GetItem at {node.name}"
                self._saw(key, result.get("Item"), floors, how, begun)

    async def get_all(self, node: SimulatedNode) -> None:
        """Every item of the workload, one by one."""
        for table in (HASHED, NUMBERED, RANGED):
            for attributes in self._keys_of(table):
                key = self._key_of(table, attributes)
                begun, floors = self.scene.loop.t, self.scene.checker.floors((key,))
                params: Params = {"TableName": table, "Key": attributes}
                result = await self._read(node, "GetItem", params)
                if result is not None:
                    how = f"GetItem at {node.name}"
                    self._saw(key, result.get("Item"), floors, how, begun)

    async def _consistent_get(self, node: SimulatedNode) -> bool:
        return await self._get(node, consistent=True)

    async def _get_together(self, node: SimulatedNode) -> bool:
        """Several items, or one of them several times, at once: those that are not cached meet."""
        gets = [self._get(node) for _ in range(self.rng.randint(2, 6))]
        return all(await asyncio.gather(*gets))

    async def _batch_get(self, node: SimulatedNode) -> bool:
        keys = self._keys(self.rng.randint(2, 5))
        requests: dict[str, Any] = {}
        for table, attributes in keys.values():
            requests.setdefault(table, {"Keys": []})["Keys"].append(attributes)
        begun, floors = self.scene.loop.t, self.scene.checker.floors(keys)
        result = await self._read(node, "BatchGetItem", {"RequestItems": requests})
        if result is None:
            return False
        found = self._by_key(result["Responses"])
        for table, part in (result.get("UnprocessedKeys") or {}).items():
            for attributes in part["Keys"]:
                keys.pop(self._key_of(table, attributes))
        for key in keys:
            self._saw(key, found.pop(key, None), floors, f"BatchGetItem at {node.name}", begun)
        if found:
            raise Violation(f"BatchGetItem gave {found}, which was not asked for")
        return True

    async def _transact_get(self, node: SimulatedNode) -> bool:
        keys = self._keys(2)
        begun, floors = self.scene.loop.t, self.scene.checker.floors(keys)
        actions = [{"Get": {"TableName": table, "Key": a}} for table, a in keys.values()]
        result = await self._read(node, "TransactGetItems", {"TransactItems": actions})
        if result is None:
            return False
        for key, part in zip(keys, result["Responses"], strict=True):
            self._saw(key, part.get("Item"), floors, f"TransactGetItems at {node.name}", begun)
        return True

    async def _query(self, node: SimulatedNode, *, ranged: bool = False) -> bool:
        partition = {"S": f"p{self.rng.randrange(self.scene.options.partitions)}"}
        low, high = 0, self.scene.options.ranges
        bounds: list[Any] = []
        if ranged:
            low = self.rng.randrange(high)
            high = self.rng.randint(low, high - 1) + 1
            part = self.scene.store.schemas[RANGED].range
            assert part is not None
            bounds = [literal_of(part, low), literal_of(part, high - 1)]
        params: Params = {"TableName": RANGED, **self._key_condition(partition, bounds)}
        if self.rng.random() < 0.2:
            params["Limit"] = 2
        wanted = [a for a in self._keys_of(RANGED) if a["p"] == partition][low:high]
        return await self._page(node, "Query", RANGED, params, wanted)

    def _key_condition(self, partition: Item, bounds: list[Any]) -> Params:
        if self.rng.random() < self.scene.options.odd:
            conditions = {"p": {"ComparisonOperator": "EQ", "AttributeValueList": [partition]}}
            if bounds:
                conditions["s"] = {"ComparisonOperator": "BETWEEN", "AttributeValueList": bounds}
            return {"KeyConditions": conditions}
        values: Item = {":p": partition}
        condition = "p = :p"
        if bounds:
            condition += " AND s BETWEEN :a AND :b"
            values |= {":a": bounds[0], ":b": bounds[1]}
        return {"KeyConditionExpression": condition, "ExpressionAttributeValues": values}

    async def _range_query(self, node: SimulatedNode) -> bool:
        return await self._query(node, ranged=True)

    async def _scan(self, node: SimulatedNode) -> bool:
        table = self.rng.choice([HASHED, NUMBERED, RANGED])
        params: Params = {"TableName": table}
        if self.rng.random() < 0.3:
            params["Limit"] = 3
        return await self._page(node, "Scan", table, params, self._keys_of(table))

    async def _page(
        self, node: SimulatedNode, operation: str, table: str, params: Params, wanted: list[Item]
    ) -> bool:
        """One page: of ``wanted`` those up to where it ends."""
        keys = {self._key_of(table, attributes): attributes for attributes in wanted}
        begun, floors = self.scene.loop.t, self.scene.checker.floors(keys)
        made = self.scene.store.made.get(table)
        result = await self._read(node, operation, params)
        if result is None:
            return False
        found = self._by_key({table: result["Items"]})
        if self.scene.store.made.get(table) is not made:
            # The page may be of either table: what is in it must have been there all the same.
            floors = {**dict.fromkeys(found, 0), **floors}
            for key, item in found.items():
                self._saw(key, item, floors, f"{operation} at {node.name}", begun)
            return True
        order = self.scene.store.order
        last = result.get("LastEvaluatedKey")
        for key, attributes in keys.items():
            if last is None or order(table, attributes) <= order(table, last):
                self._saw(key, found.pop(key, None), floors, f"{operation} at {node.name}", begun)
        self._misread(table, found, operation, node, begun)
        if found:
            raise Violation(f"{operation} {params} gave {found}, which was not asked for")
        return True

    def _misread(
        self, table: str, found: dict[Key, Item], operation: str, node: SimulatedNode, begun: float
    ) -> None:
        """Takes from ``found`` the items whose keys no client means: DAX sends a key without its
        types, so one of the table before is read, and written, as another by the table now."""
        made = self.scene.store.made.get(table)
        if made is None or not made.created_at:
            return
        meant = {self._key_of(table, attributes) for attributes in self._keys_of(table)}
        for key in [key for key in found if key not in meant]:
            self._saw(key, found.pop(key), {key: 0}, f"{operation} at {node.name}", begun)

    async def _index_query(self, node: SimulatedNode) -> bool:
        group = self.rng.choice(GROUPS)
        begun = self.scene.loop.t
        params: Params = {
            "TableName": RANGED,
            "IndexName": "by-g",
            "KeyConditionExpression": "g = :g",
            "ExpressionAttributeValues": {":g": {"S": group}},
        }
        keys = [self._key_of(RANGED, attributes) for attributes in self._keys_of(RANGED)]
        made = self.scene.store.made.get(RANGED)
        since = begun - self.scene.options.upstream.index_lag_s
        since = self.scene.checker.known_since(RANGED, since)
        result = await self._read(node, "Query", params)
        if result is None:
            return False
        found = self._by_key({RANGED: result["Items"]})
        if self.scene.store.made.get(RANGED) is not made:
            keys = list(found)  # of either table
        for key in keys:
            self.scene.checker.seen_by_index(
                key,
                found.pop(key, None),
                lambda item: item.get("g", {}).get("S") == group,
                since,
                f"query of the index at {node.name}",
            )
        self._misread(RANGED, found, "query of the index", node, begun)
        if found:
            raise Violation(f"the index gave {found}, which are no keys")
        return True

    async def _select(self, node: SimulatedNode) -> bool:
        """A statement that reads: passed on as it is, so as old as DynamoDB makes it."""
        table, attributes, key = self._key()
        begun, floors = self.scene.loop.t, self.scene.checker.floors((key,))
        consistent = self.rng.random() < 0.5
        params: Params = {"Statement": f'SELECT * FROM "{table}" WHERE {spelled(attributes)}'}
        if self.rng.random() < 0.5:
            marks = " AND ".join(f"{name} = ?" for name in attributes)
            params["Statement"] = f"select * from {table} where {marks}"
            params["Parameters"] = list(attributes.values())
        if consistent:
            params["ConsistentRead"] = True
        result = await self._read(node, "ExecuteStatement", params)
        if result is None:
            return False
        item = next(iter(result["Items"]), None)
        if consistent:
            self._saw(key, item, floors, f"SELECT at {node.name}", begun)
        else:
            since = begun - self.scene.options.upstream.lag_s
            how = f"SELECT at {node.name}"
            self.scene.checker.seen_by_index(key, item, lambda _: True, since, how)
        return True
