"""What clients write: items alone, in batches and transactions, by expressions, by parameters from
before those, and by statements."""

from __future__ import annotations

from typing import Any

from paceline.types import Item, Key, Params, Result
from tests.simulation.calling import GROUPS, Caller, Write
from tests.simulation.check import Given
from tests.simulation.node import SimulatedNode
from tests.simulation.statements import spelled, value_tuple
from tests.simulation.tables import RANGED
from tests.simulation.versions import VALUE

ON_FAILURE = {"ReturnValuesOnConditionCheckFailure": "ALL_OLD"}
OLD = ("NONE", "ALL_OLD")
ALL = ("NONE", "ALL_OLD", "UPDATED_OLD", "ALL_NEW", "UPDATED_NEW")


class Writes(Caller):
    def _odd(self) -> bool:
        return self.rng.random() < self.scene.options.odd

    async def _single(
        self,
        node: SimulatedNode,
        operation: str,
        params: Params,
        write: Write,
        changes: Item | None = None,
    ) -> bool:
        """A write of one item, which may be asked for the item before or after it."""
        returns = "NONE"
        if self.rng.random() < self.scene.options.returning:
            returns = self.rng.choice(OLD if changes is None else ALL)
            params["ReturnValues"] = returns
        if "ConditionExpression" in params and self._odd():
            params |= ON_FAILURE
        begun = self.scene.loop.t
        result = await self._write(node, operation, params, [write])
        if result is None:
            return False
        given = Given(returns, tuple(changes or ()), result.get("Attributes") or {})
        self.scene.checker.returned(write.key, write.value, given, begun, f"at {node.name}")
        return True

    async def _put(self, node: SimulatedNode) -> bool:
        table, attributes, key = self._key()
        value = self._value()
        params: Params = {"TableName": table, "Item": self._item(table, attributes, value)}
        return await self._single(node, "PutItem", params, Write(key, value))

    async def _conditional_put(self, node: SimulatedNode) -> bool:
        table, attributes, key = self._key()
        value = self._value()
        params: Params = {"TableName": table, "Item": self._item(table, attributes, value)}
        last = self._last.get(key)
        first = next(iter(attributes))
        if self._odd():
            expected: Params = {first: {"Exists": False}}
            if last is not None:
                expected = {VALUE: {"Value": {"S": last}}}
            params["Expected"] = expected
        elif last is None:
            params["ConditionExpression"] = f"attribute_not_exists({first})"
        else:
            params["ConditionExpression"] = f"{VALUE} = :old"
            params["ExpressionAttributeValues"] = {":old": {"S": last}}
        return await self._single(node, "PutItem", params, Write(key, value))

    async def _update(self, node: SimulatedNode) -> bool:
        table, attributes, key = self._key()
        value = self._value()
        changes = self._changes(table, value)
        params: Params = {"TableName": table, "Key": attributes}
        if self._odd():
            params["AttributeUpdates"] = {
                name: {"Action": "PUT", "Value": one} for name, one in changes.items()
            }
        else:
            params |= _setting(changes)
            if self.rng.random() < 0.2:
                params["ConditionExpression"] = f"attribute_exists({next(iter(attributes))})"
        return await self._single(node, "UpdateItem", params, Write(key, value), changes)

    def _changes(self, table: str, value: str) -> Item:
        changes: Item = {VALUE: {"S": value}}
        if table == RANGED and self.rng.random() < 0.5:
            changes["g"] = {"S": self.rng.choice(GROUPS)}
        return changes

    async def _delete(self, node: SimulatedNode) -> bool:
        table, attributes, key = self._key()
        params: Params = {"TableName": table, "Key": attributes}
        return await self._single(node, "DeleteItem", params, Write(key, None))

    async def _batch_write(self, node: SimulatedNode) -> bool:
        requests: dict[str, list[Any]] = {}
        writes: list[Write] = []
        for key, (table, attributes) in self._keys(self.rng.randint(2, 4)).items():
            if self.rng.random() < 0.7:
                value = self._value()
                item = self._item(table, attributes, value)
                requests.setdefault(table, []).append({"PutRequest": {"Item": item}})
                writes.append(Write(key, value))
            else:
                requests.setdefault(table, []).append({"DeleteRequest": {"Key": attributes}})
                writes.append(Write(key, None))
        params: Params = {"RequestItems": requests}
        return await self._write(node, "BatchWriteItem", params, writes) is not None

    async def _transact_write(self, node: SimulatedNode) -> bool:
        actions: list[Any] = []
        writes: list[Write] = []
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
                    if self._odd():
                        body |= ON_FAILURE
            elif kind == "Update":
                assert value is not None
                body |= {"Key": attributes, **_setting(self._changes(table, value))}
            else:
                body["Key"] = attributes
            actions.append({kind: body})
            writes.append(Write(key, value))
        params: Params = {"TransactItems": actions}
        return await self._write(node, "TransactWriteItems", params, writes) is not None

    # -- statements -----------------------------------------------------------------------------

    async def _statement(self, node: SimulatedNode) -> bool:
        table, attributes, key = self._key()
        text, value = self._written(table, attributes)
        return await self._say(node, text, Write(key, value), "")

    async def _unreadable_statement(self, node: SimulatedNode) -> bool:
        """By a verb that the node does not know and DynamoDB does."""
        table, attributes, key = self._key()
        value = self._value()
        item = self._item(table, attributes, value)
        text = f'UPSERT INTO "{table}" VALUE {value_tuple(item)}'
        return await self._say(node, text, Write(key, value), "")

    async def _say(self, node: SimulatedNode, text: str, write: Write, returning: str) -> bool:
        if text.startswith(("UPDATE", "DELETE")) and self.rng.random() < 0.3:
            returning = "ALL OLD"
        if self._odd():
            text = f"/* 'a note' */ {text}"
        body: Params = {"Statement": text + (f" RETURNING {returning} *" if returning else "")}
        begun = self.scene.loop.t
        result = await self._write(node, "ExecuteStatement", body, [write])
        if result is None:
            return False
        if returning:
            item = next(iter(result["Items"]), {})
            given = Given(returning.replace(" ", "_"), (), item)
            self.scene.checker.returned(write.key, write.value, given, begun, f"at {node.name}")
        return True

    def _written(self, table: str, attributes: Item) -> tuple[str, str | None]:
        """A statement and the value that it leaves."""
        name = table if self.rng.random() < 0.5 else f'"{table}"'
        where = spelled(attributes)
        match self.rng.randrange(4):
            case 0:
                return f"DELETE FROM {name} WHERE {where}", None
            case 1:
                value = self._value()
                item = self._item(table, attributes, value)
                return f"INSERT INTO {name} VALUE {value_tuple(item)}", value
        value = self._value()
        sets = " ".join(f"SET {spelled({n: v})}" for n, v in self._changes(table, value).items())
        return f"UPDATE {name} {sets} WHERE {where}", value

    async def _statements(self, node: SimulatedNode, operation: str, member: str) -> bool:
        keys: dict[Key, tuple[str, Item]] = self._keys(self.rng.randint(1, 3))
        bodies: list[Params] = []
        writes: list[Write] = []
        for key, (table, attributes) in keys.items():
            text, value = self._written(table, attributes)
            bodies.append({"Statement": text})
            writes.append(Write(key, value))
        result: Result | None = await self._write(node, operation, {member: bodies}, writes)
        return result is not None

    async def _batch_statement(self, node: SimulatedNode) -> bool:
        return await self._statements(node, "BatchExecuteStatement", "Statements")

    async def _transact_statement(self, node: SimulatedNode) -> bool:
        return await self._statements(node, "ExecuteTransaction", "TransactStatements")


def _setting(changes: Item) -> Params:
    values = {f":{name}": value for name, value in changes.items()}
    expression = "SET " + ", ".join(f"{name} = :{name}" for name in changes)
    return {"UpdateExpression": expression, "ExpressionAttributeValues": values}
