"""Clients: random operations at random nodes, each checked when it returns."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterable
from itertools import accumulate
from typing import Any, Protocol

from node.backend.classify import THROTTLING
from paceline.errors import (
    DynamoDBError,
    NotSent,
    OutcomeUnknown,
    PacelineError,
    RequestError,
    Unavailable,
)
from paceline.types import Item, Key, Params, Result
from tests.simulation.check import Checker, Violation
from tests.simulation.dynamodb import VALUE, Store
from tests.simulation.loop import Owner, VirtualLoop
from tests.simulation.node import SimulatedNode
from tests.simulation.options import WRITES, Options

GROUPS = ("g0", "g1")


class NoAnswer(Exception):
    """The node died, or the client's patience ended."""


class Scene(Protocol):
    """What clients need of the simulation."""

    loop: VirtualLoop
    store: Store
    checker: Checker
    options: Options

    def serving(self) -> list[SimulatedNode]: ...
    def quiet(self) -> bool: ...
    def take_turn(self) -> bool:
        """False: no more operations are wanted."""

    def count(self, what: str) -> None: ...
    def note(self, text: str) -> None: ...


class Client:
    """One caller with one operation at a time."""

    def __init__(self, scene: Scene, number: int, seed: int) -> None:
        self.scene = scene
        self.number = number
        self.rng = random.Random(seed)
        self.owner = Owner(scene.loop, f"client-{number}")
        self._writes = 0
        self._last: dict[Key, str | None] = {}
        options = scene.options
        self._hash_keys: list[Item] = [{"id": {"S": f"k{n}"}} for n in range(options.hash_keys)]
        self._range_keys: list[Item] = [
            {"p": {"S": f"p{p}"}, "s": {"N": str(s)}}
            for p in range(options.partitions)
            for s in range(options.ranges)
        ]
        self._kinds = list(options.mix)
        self._weights = list(accumulate(options.mix[kind] for kind in self._kinds))
        self._acts: dict[str, Callable[[SimulatedNode], Any]] = {
            "get": self._get,
            "consistent get": lambda node: self._get(node, consistent=True),
            "batch get": self._batch_get,
            "transact get": self._transact_get,
            "put": self._put,
            "update": self._update,
            "delete": self._delete,
            "conditional put": self._conditional_put,
            "batch write": self._batch_write,
            "transact write": self._transact_write,
            "query": self._query,
            "range query": lambda node: self._query(node, ranged=True),
            "index query": self._index_query,
            "scan": self._scan,
        }

    async def run(self) -> None:
        try:
            while self.scene.take_turn():
                nodes = self.scene.serving()
                if nodes:
                    kind = self.rng.choices(self._kinds, cum_weights=self._weights)[0]
                    if self.scene.quiet() and kind in WRITES:
                        kind = "get"
                    await self.act(kind, self.rng.choice(nodes))
                await asyncio.sleep(self.rng.expovariate(1 / self.scene.options.think_s))
        except Violation as violation:
            self.scene.loop.fail(violation)

    async def act(self, kind: str, node: SimulatedNode) -> bool:
        """One operation; whether it succeeded."""
        good = await self._acts[kind](node)
        self.scene.count(f"{kind}, {'done' if good else 'not done'}")
        return bool(good)

    # -- calling ------------------------------------------------------------------------------

    async def _call(self, node: SimulatedNode, operation: str, params: Params) -> Result:
        """PacelineError, or NoAnswer."""
        loop, options = self.scene.loop, self.scene.options
        deadline = node.owner.clock() + self.rng.choice(options.deadline_s)
        future: asyncio.Future[asyncio.Task[Result] | None] = loop.create_future()
        node.callers[future] = None
        task = node.owner.spawn(node.operations.execute(operation, params, deadline))
        task.add_done_callback(lambda done: _resolve(future, done))
        patience_s = options.patience_s if self.rng.random() > 0.01 else self.rng.random() * 0.05
        timer = loop.call_later(patience_s, _resolve, future, None)
        try:
            answer = await future
        finally:
            timer.cancel()
            node.callers.pop(future, None)
        if answer is None or answer.cancelled():
            if self.rng.random() < 0.5:
                task.cancel()
            raise NoAnswer
        return answer.result()

    async def _read(self, node: SimulatedNode, operation: str, params: Params) -> Result | None:
        try:
            return await self._call(node, operation, params)
        except (PacelineError, NoAnswer) as error:
            self.scene.note(f"client-{self.number}: {operation} at {node.name}: {error!r}")
            return None

    async def _write(
        self,
        node: SimulatedNode,
        operation: str,
        params: Params,
        written: Iterable[tuple[Key, str | None]],
    ) -> bool:
        written = tuple(written)
        begun = self.scene.loop.t
        ended: float | None = None
        checker = self.scene.checker
        said = "done"
        try:
            await self._call(node, operation, params)
        except (PacelineError, NoAnswer) as error:
            said = repr(error)
            self.scene.count(type(error).__name__)
            if _surely_failed(operation, error):
                for _, value in written:
                    if value is not None:
                        checker.failed(value, said)
                written = ()
        else:
            ended = self.scene.loop.t
            for key, value in written:
                checker.acknowledged(key, value, begun)
        self.scene.note(
            f"client-{self.number}: {operation} of {[v for _, v in written]} at {node.name}"
            f" since {begun:.3f}: {said}"
        )
        for key, value in written:
            checker.recorded(key, self.number, write=True, value=value, begun=begun, ended=ended)
        return ended is not None

    # -- parts of requests ----------------------------------------------------------------------

    def _key(self) -> tuple[str, Item, Key]:
        """Table, key attributes, and the key."""
        if self.rng.random() < 0.5:
            table, attributes = "t", self.rng.choice(self._hash_keys)
        else:
            table, attributes = "r", self.rng.choice(self._range_keys)
        return table, attributes, self._key_of(table, attributes)

    def _key_of(self, table: str, attributes: Item) -> Key:
        return self.scene.store.key(table, attributes)

    def _keys(self, count: int) -> dict[Key, tuple[str, Item]]:
        chosen = {}
        for _ in range(count):
            table, attributes, key = self._key()
            chosen[key] = (table, attributes)
        return chosen

    def _value(self) -> str:
        self._writes += 1
        return f"{self.number}.{self._writes}"

    def _item(self, table: str, attributes: Item, value: str) -> Item:
        item = {**attributes, VALUE: {"S": value}}
        if table == "r":
            item["g"] = {"S": self.rng.choice(GROUPS)}
        if self.rng.random() < 0.2:
            item["x"] = {"N": "7"}
        return item

    # -- reads ------------------------------------------------------------------------------------

    def _saw(
        self, key: Key, item: Item | None, floors: dict[Key, int], how: str, begun: float
    ) -> None:
        self.scene.checker.seen(key, item, floors[key], how)
        value = None if item is None else item[VALUE]["S"]
        self._last[key] = value
        self.scene.checker.recorded(
            key, self.number, write=False, value=value, begun=begun, ended=self.scene.loop.t
        )

    async def _get(self, node: SimulatedNode, *, consistent: bool = False) -> bool:
        table, attributes, key = self._key()
        begun, floors = self.scene.loop.t, self.scene.checker.floors((key,))
        params: Params = {"TableName": table, "Key": attributes}
        if consistent:
            params["ConsistentRead"] = True
        result = await self._read(node, "GetItem", params)
        if result is None:
            return False
        self._saw(key, result.get("Item"), floors, f"GetItem at {node.name}", begun)
        return True

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

    def _by_key(self, responses: dict[str, list[Item]]) -> dict[Key, Item]:
        return {
            self._key_of(table, item): item for table, items in responses.items() for item in items
        }

    async def _query(self, node: SimulatedNode, *, ranged: bool = False) -> bool:
        partition = self.rng.randrange(self.scene.options.partitions)
        low, high = 0, self.scene.options.ranges
        values: Item = {":p": {"S": f"p{partition}"}}
        condition = "p = :p"
        if ranged:
            low = self.rng.randrange(high)
            high = self.rng.randint(low, high - 1) + 1
            condition += " AND s BETWEEN :a AND :b"
            values |= {":a": {"N": str(low)}, ":b": {"N": str(high - 1)}}
        params: Params = {
            "TableName": "r",
            "KeyConditionExpression": condition,
            "ExpressionAttributeValues": values,
        }
        if self.rng.random() < 0.2:
            params["Limit"] = 2
        wanted = [a for a in self._range_keys if a["p"] == values[":p"]][low:high]
        return await self._page(node, "Query", "r", params, wanted)

    async def _scan(self, node: SimulatedNode) -> bool:
        table, wanted = self.rng.choice([("t", self._hash_keys), ("r", self._range_keys)])
        params: Params = {"TableName": table}
        if self.rng.random() < 0.3:
            params["Limit"] = 3
        return await self._page(node, "Scan", table, params, wanted)

    async def _page(
        self, node: SimulatedNode, operation: str, table: str, params: Params, wanted: list[Item]
    ) -> bool:
        """One page: of ``wanted`` those up to where it ends."""
        keys = {self._key_of(table, attributes): attributes for attributes in wanted}
        begun, floors = self.scene.loop.t, self.scene.checker.floors(keys)
        result = await self._read(node, operation, params)
        if result is None:
            return False
        found = self._by_key({table: result["Items"]})
        order = self.scene.store.order
        last = result.get("LastEvaluatedKey")
        for key, attributes in keys.items():
            if last is None or order(table, attributes) <= order(table, last):
                self._saw(key, found.pop(key, None), floors, f"{operation} at {node.name}", begun)
        if found:
            raise Violation(f"{operation} {params} gave {found}, which was not asked for")
        return True

    async def _index_query(self, node: SimulatedNode) -> bool:
        group = self.rng.choice(GROUPS)
        begun = self.scene.loop.t
        params: Params = {
            "TableName": "r",
            "IndexName": "by-g",
            "KeyConditionExpression": "g = :g",
            "ExpressionAttributeValues": {":g": {"S": group}},
        }
        result = await self._read(node, "Query", params)
        if result is None:
            return False
        found = self._by_key({"r": result["Items"]})
        since = begun - self.scene.options.upstream.index_lag_s
        for attributes in self._range_keys:
            key = self._key_of("r", attributes)
            self.scene.checker.seen_by_index(
                key,
                found.pop(key, None),
                lambda item: item.get("g", {}).get("S") == group,
                since,
                f"query of the index at {node.name}",
            )
        if found:
            raise Violation(f"the index gave {found}, which are no keys")
        return True

    # -- writes -----------------------------------------------------------------------------------

    async def _put(self, node: SimulatedNode, condition: Params | None = None) -> bool:
        table, attributes, key = self._key()
        value = self._value()
        params = {"TableName": table, "Item": self._item(table, attributes, value)}
        return await self._write(node, "PutItem", {**params, **(condition or {})}, [(key, value)])

    async def _conditional_put(self, node: SimulatedNode) -> bool:
        table, attributes, key = self._key()
        value = self._value()
        params: Params = {"TableName": table, "Item": self._item(table, attributes, value)}
        last = self._last.get(key)
        if last is None:
            params["ConditionExpression"] = f"attribute_not_exists({next(iter(attributes))})"
        else:
            params["ConditionExpression"] = f"{VALUE} = :old"
            params["ExpressionAttributeValues"] = {":old": {"S": last}}
        return await self._write(node, "PutItem", params, [(key, value)])

    async def _update(self, node: SimulatedNode) -> bool:
        table, attributes, key = self._key()
        value = self._value()
        params: Params = {"TableName": table, "Key": attributes, **self._setting(table, value)}
        if self.rng.random() < 0.3:
            params["ReturnValues"] = self.rng.choice(["ALL_NEW", "UPDATED_NEW", "ALL_OLD"])
        if self.rng.random() < 0.2:
            params["ConditionExpression"] = f"attribute_exists({next(iter(attributes))})"
        return await self._write(node, "UpdateItem", params, [(key, value)])

    def _setting(self, table: str, value: str) -> Params:
        values: Item = {":v": {"S": value}}
        expression = f"SET {VALUE} = :v"
        if table == "r" and self.rng.random() < 0.5:
            values[":g"] = {"S": self.rng.choice(GROUPS)}
            expression += ", g = :g"
        return {"UpdateExpression": expression, "ExpressionAttributeValues": values}

    async def _delete(self, node: SimulatedNode) -> bool:
        table, attributes, key = self._key()
        return await self._write(
            node, "DeleteItem", {"TableName": table, "Key": attributes}, [(key, None)]
        )

    async def _batch_write(self, node: SimulatedNode) -> bool:
        requests: dict[str, list[Any]] = {}
        written: list[tuple[Key, str | None]] = []
        for key, (table, attributes) in self._keys(self.rng.randint(2, 4)).items():
            if self.rng.random() < 0.7:
                value = self._value()
                item = self._item(table, attributes, value)
                requests.setdefault(table, []).append({"PutRequest": {"Item": item}})
                written.append((key, value))
            else:
                requests.setdefault(table, []).append({"DeleteRequest": {"Key": attributes}})
                written.append((key, None))
        return await self._write(node, "BatchWriteItem", {"RequestItems": requests}, written)

    async def _transact_write(self, node: SimulatedNode) -> bool:
        actions: list[Any] = []
        written: list[tuple[Key, str | None]] = []
        for key, (table, attributes) in self._keys(self.rng.randint(1, 3)).items():
            kind = self.rng.choice(["Put", "Put", "Update", "Delete"])
            value = None if kind == "Delete" else self._value()
            body: Params = {"TableName": table}
            if kind == "Put":
                assert value is not None
                body["Item"] = self._item(table, attributes, value)
                if self.rng.random() < 0.2:
                    hash_name = next(iter(attributes))
                    body["ConditionExpression"] = f"attribute_not_exists({hash_name})"
            elif kind == "Update":
                assert value is not None
                body |= {"Key": attributes, **self._setting(table, value)}
            else:
                body["Key"] = attributes
            actions.append({kind: body})
            written.append((key, value))
        return await self._write(node, "TransactWriteItems", {"TransactItems": actions}, written)


def _resolve(
    future: asyncio.Future[asyncio.Task[Result] | None], done: asyncio.Task[Result] | None
) -> None:
    if done is not None and not done.cancelled():
        done.exception()
    if not future.done():
        future.set_result(done)


def _surely_failed(operation: str, error: Exception) -> bool:
    """What the error promises: nothing happened, and nothing will."""
    if isinstance(error, NotSent | RequestError | Unavailable):
        return True
    if isinstance(error, DynamoDBError):
        # A batch may have been done in part; its error then says so.
        return operation != "BatchWriteItem" or error.name not in THROTTLING
    assert isinstance(error, OutcomeUnknown | NoAnswer), repr(error)
    return False
