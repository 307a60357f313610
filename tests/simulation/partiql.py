"""What the simulated DynamoDB does with statements."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from paceline.errors import DynamoDBError
from paceline.types import Item, Params, Result
from tests.simulation.statements import BATCHES, Statement, parsed, statements_of
from tests.simulation.tables import invalid

if TYPE_CHECKING:
    from tests.simulation.dynamodb import Store
    from tests.simulation.versions import Record


class Partiql:
    def __init__(self, store: Store) -> None:
        self._store = store

    def read(self, operation: str, params: Params, then: float) -> Result:
        results = []
        for body in statements_of(operation, params):
            statement = parsed(body)
            at = None if body.get("ConsistentRead") else then
            item = self._store.get(statement.table, self._key(statement), at)
            results.append(None if item is None else dict(item))
        if operation == "ExecuteStatement":
            return {"Items": [item for item in results if item is not None]}
        return {"Responses": [{} if item is None else {"Item": item} for item in results]}

    def write(self, operation: str, params: Params) -> Result:
        statements = [parsed(body) for body in statements_of(operation, params)]
        if any(s.verb == "SELECT" for s in statements):
            raise invalid("Reads and writes cannot stand in one request")
        if operation == "ExecuteStatement":
            before, after = self._done(statements[0])
            given = {"ALL OLD": before, "ALL NEW": after}.get(statements[0].returning)
            return {"Items": [dict(given)] if given else []}
        if operation == "BatchExecuteStatement":
            return {"Responses": [self._told(statement) for statement in statements]}
        return self._store.once(params, lambda: self._transaction(statements))

    def _told(self, statement: Statement) -> dict[str, Any]:
        try:
            self._done(statement)
        except DynamoDBError as error:
            code = error.name.removesuffix("Exception")
            return {"Error": {"Code": code, "Message": error.message}}
        return {"TableName": statement.table}

    def _transaction(self, statements: list[Statement]) -> Result:
        from tests.simulation.dynamodb import cancel

        reasons: list[dict[str, Any]] = []
        changes = []
        for statement in statements:
            try:
                changes.append(self._change(statement))
                reasons.append({"Code": "None"})
            except DynamoDBError as error:
                if error.name == "ResourceNotFoundException":
                    raise
                code = error.name.removesuffix("Exception")
                reasons.append({"Code": code, "Message": error.message})
        cancel(reasons)
        for record, after in changes:
            self._store.put(record, after)
        return {"Responses": [{} for _ in statements]}

    def _done(self, statement: Statement) -> tuple[Item | None, Item | None]:
        """The item before and after."""
        record, after = self._change(statement)
        before = record.now.item
        self._store.put(record, after)
        return before, after

    def _change(self, statement: Statement) -> tuple[Record, Item | None]:
        """What is to be put where. Nothing has happened yet."""
        store = self._store
        if statement.verb in ("INSERT", "UPSERT"):
            record = store.record(statement.table, statement.item)
            if statement.verb == "INSERT" and record.now.item is not None:
                raise DynamoDBError(
                    "DuplicateItemException", "Duplicate primary key exists in table", 400
                )
            return record, statement.item
        record = store.record(statement.table, self._key(statement), whole=False)
        item = record.now.item
        fits = item is not None and all(item.get(n) == v for n, v in statement.where.items())
        absent = item is None and statement.verb == "DELETE"
        if not fits and not absent:
            raise DynamoDBError(
                "ConditionalCheckFailedException", "The conditional request failed", 400
            )
        if statement.verb == "DELETE":
            return record, None
        return record, {**(item or {}), **statement.item}

    def _key(self, statement: Statement) -> Item:
        names = self._store.table(statement.table).table.schema.names
        try:
            return {name: statement.where[name] for name in names}
        except KeyError as error:
            raise invalid(
                f"Where clause does not contain a mandatory equality on all key attributes: {error}"
            ) from None


__all__ = ["BATCHES", "Partiql"]
