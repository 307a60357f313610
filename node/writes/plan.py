"""What a write touches, how it is asked upstream, and what it leaves behind. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from cluster.coherence.messages import WHOLE, Image
from node.requests import passthrough
from node.requests.reach import DATA_WRITES
from paceline.dax.attribute_lists import encode_item
from paceline.dax.keys import encode_key
from paceline.dax.numbers import normalize
from paceline.errors import RequestError
from paceline.types import AttributeValue, Item, Key, KeySchema, Params, Result

WRITES = DATA_WRITES

ListId = Callable[[tuple[str, ...]], int]
"""The registered attribute-list id of a name sequence; LookupError when there is none yet."""

Schemas = Mapping[str, KeySchema]

_NOTHING_DONE = frozenset(
    {
        "AccessDenied",
        "ConditionalCheckFailed",
        "DuplicateItem",
        "ItemCollectionSizeLimitExceeded",
        "ProvisionedThroughputExceeded",
        "RequestLimitExceeded",
        "ResourceNotFound",
        "ThrottlingError",
        "TransactionConflict",
        "ValidationError",
    }
)
"""Codes of statements that changed nothing; InternalServerError says as little as a status 500."""

KEY_BYTES_MAX = 4096
"""Far above DynamoDB's limits for a partition key (2048 bytes) and a sort key (1024) together."""


@dataclass(frozen=True, slots=True)
class Touched:
    """One item that the write changes if it succeeds. ``item``: whole new item where known;
    ``deleted``: the write removes it. Neither: the new state is not known beforehand."""

    key: Key
    item: Item | None = None
    deleted: bool = False


@dataclass(frozen=True, slots=True)
class WritePlan:
    operation: str
    params: Params
    """As sent upstream; differs from the caller's only where more is asked back."""
    touched: tuple[Touched, ...]
    asks_new: bool = False
    """The answer's Attributes are the whole new item."""
    hides_attributes: bool = False
    """Attributes were asked for the cache only and are not the caller's."""
    remade: tuple[str, ...] = ()
    """Tables that may be others afterwards, with other keys."""

    @property
    def knows_keys(self) -> bool:
        """Not so if whole tables are fenced."""
        return all(key != WHOLE for _, key in self.keys)

    @property
    def keys(self) -> tuple[Key, ...]:
        return tuple(touched.key for touched in self.touched)

    def images(self, result: Result, schemas: Schemas, list_id: ListId) -> list[Image | None]:
        """What the success left under each key, in the order of ``keys``; None: not known."""
        return [self._image(touched, result, schemas, list_id) for touched in self.touched]

    def _image(
        self, touched: Touched, result: Result, schemas: Schemas, list_id: ListId
    ) -> Image | None:
        if touched.deleted:
            return Image(None)
        item = touched.item
        if self.asks_new:
            item = result.get("Attributes")
        if not item:
            return None
        try:
            return Image(encode_item(item, schemas[touched.key[0]], list_id))
        except Exception:
            # A list that is not registered yet, or a value that DynamoDB took and this codec
            # would not: the entry is left out of the cache, the write stands.
            return None

    def may_be_in_doubt(self, result: Result) -> bool:
        """Whether a part of the batch may have happened, although the batch as a whole has an
        answer: statements have errors of their own."""
        if self.operation != passthrough.RAW:
            return False
        if passthrough.spoken_name(self.operation, self.params) != "BatchExecuteStatement":
            return False
        responses = json.loads(result["Body"]).get("Responses") or ()
        errors = [response.get("Error") for response in responses]
        return any(error and error.get("Code") not in _NOTHING_DONE for error in errors)

    def reply(self, result: Result) -> Result:
        if not self.hides_attributes:
            return result
        return {name: value for name, value in result.items() if name != "Attributes"}


def attribute_names(item: Item, schema: KeySchema) -> tuple[str, ...]:
    """The attribute list of ``item``: names of its non-key attributes by code point."""
    return tuple(sorted(name for name in item if name not in schema.names))


def plan_write(operation: str, params: Params, schemas: Schemas) -> WritePlan:
    """Raises RequestError where not even the keys can be read from the request.

    A table without a schema is fenced whole.
    """
    match operation:
        case "PutItem":
            table, item = params["TableName"], params["Item"]
            return WritePlan(operation, params, (_put(table, item, schemas),))
        case "DeleteItem":
            table = params["TableName"]
            return WritePlan(operation, params, (_deleted(table, params["Key"], schemas),))
        case "UpdateItem":
            return _plan_update(params, schemas)
        case "BatchWriteItem":
            return WritePlan(operation, params, _batch_touched(params, schemas))
        case "TransactWriteItems":
            return WritePlan(operation, params, _transact_touched(params, schemas))
        case passthrough.RAW:
            keys = passthrough.keys_of(params)
            remade = tuple(table for table, _ in keys) if params.get("Remakes") else ()
            touched = tuple(Touched(key) for key in keys)
            return WritePlan(operation, params, touched, remade=remade)
    raise AssertionError(f"{operation} is not a write")


def _put(table: str, item: Item, schemas: Schemas) -> Touched:
    schema = schemas.get(table)
    if schema is None:
        return Touched((table, WHOLE))
    return Touched(item_key(table, item, schema, "Item"), item=item)


def _deleted(table: str, key: Item, schemas: Schemas) -> Touched:
    schema = schemas.get(table)
    if schema is None:
        return Touched((table, WHOLE))
    return Touched(item_key(table, key, schema, "Key"), deleted=True)


def _plan_update(params: Params, schemas: Schemas) -> WritePlan:
    table = params["TableName"]
    schema = schemas.get(table)
    if schema is None:
        return WritePlan("UpdateItem", params, (Touched((table, WHOLE)),))
    key = item_key(table, params["Key"], schema, "Key")
    asked = params.get("ReturnValues", "NONE")
    if asked == "NONE":
        upstream = {**params, "ReturnValues": "ALL_NEW"}
        return WritePlan(
            "UpdateItem", upstream, (Touched(key),), asks_new=True, hides_attributes=True
        )
    return WritePlan("UpdateItem", params, (Touched(key),), asks_new=asked == "ALL_NEW")


def _batch_touched(params: Params, schemas: Schemas) -> tuple[Touched, ...]:
    touched: list[Touched] = []
    for table, requests in params["RequestItems"].items():
        if table not in schemas:
            touched.append(Touched((table, WHOLE)))
            continue
        for request in requests:
            if "PutRequest" in request:
                item = request["PutRequest"]["Item"]
                # DynamoDB has other words here than for PutItem.
                key = item_key(table, item, schemas[table], "PutRequest")
                touched.append(Touched(key, item=item))
            else:
                touched.append(_deleted(table, request["DeleteRequest"]["Key"], schemas))
    return tuple(touched)


def _transact_touched(params: Params, schemas: Schemas) -> tuple[Touched, ...]:
    """Keys only: a transaction that repeats a ClientRequestToken succeeds without writing, so its
    success does not say what is under the keys now."""
    touched: dict[Key, Touched] = {}
    for action in params["TransactItems"]:
        ((kind, body),) = action.items()
        table = body["TableName"]
        schema = schemas.get(table)
        if kind == "ConditionCheck":
            continue  # it changes nothing
        if schema is None:
            key = (table, WHOLE)
        elif kind == "Put":
            key = item_key(table, body["Item"], schema, "Item")
        else:
            key = item_key(table, body["Key"], schema, "Key")
        touched[key] = Touched(key)
    return tuple(touched.values())


def item_key(table: str, item: Mapping[str, Any], schema: KeySchema, what: str) -> Key:
    """The key of ``item`` (a whole item or just its key), in canonical bytes.

    RequestError with DynamoDB's words when an attribute is missing or of another type, is empty
    where that stands for all keys of the table, or is far too long to be sent to every node.
    """
    attributes: dict[str, AttributeValue] = {}
    for part in (schema.hash, schema.range):
        if part is None:
            continue
        value = item.get(part.name)
        if value is None:
            if what == "Item":
                raise RequestError(
                    "ValidationException",
                    "One or more parameter values were invalid: "
                    f"Missing the key {part.name} in the item",
                )
            raise _schema_mismatch()
        if part.type not in value:
            if what == "Item":
                raise RequestError(
                    "ValidationException",
                    "One or more parameter values were invalid: Type mismatch for key "
                    f"{part.name} expected: {part.type} actual: {next(iter(value), '')}",
                )
            raise _schema_mismatch()
        attributes[part.name] = value
    if what == "Key" and len(item) != len(attributes):
        raise _schema_mismatch()
    key = encode_key(schema, attributes)
    if key == WHOLE:
        kind = "binary" if schema.hash.type == "B" else "string"
        raise RequestError(
            "ValidationException",
            "One or more parameter values are not valid. The AttributeValue for a key attribute "
            f"cannot contain an empty {kind} value. Key: {schema.hash.name}",
        )
    if len(key) > KEY_BYTES_MAX:
        raise RequestError(
            "ValidationException",
            "One or more parameter values were invalid: Size of hashkey has exceeded the maximum "
            "size limit of 2048 bytes",
        )
    return table, key


def canonical(key: Item) -> Item:
    """A valid key as DynamoDB gives it back: numbers in its own spelling."""
    return {
        name: {"N": normalize(value["N"])} if "N" in value else value for name, value in key.items()
    }


def _schema_mismatch() -> RequestError:
    return RequestError("ValidationException", "The provided key element does not match the schema")


def tables_of(operation: str, params: Params) -> tuple[str, ...]:
    """The tables that a data operation names, each once, in order."""
    match operation:
        case "BatchGetItem" | "BatchWriteItem":
            return tuple(params["RequestItems"])
        case "TransactGetItems" | "TransactWriteItems":
            names = [
                body["TableName"] for action in params["TransactItems"] for body in action.values()
            ]
            return tuple(dict.fromkeys(names))
        case passthrough.RAW:
            return ()
        case _:
            return (params["TableName"],)
