"""What a write touches, how it is asked upstream, and what it leaves behind. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

from cluster.coherence.messages import WHOLE, Image
from node.requests import reach
from node.requests.reach import tables_of
from node.requests.table_names import is_arn
from node.tables.item_keys import item_key
from node.values.size import holds_more
from paceline.dynamodb_operations import named_tables
from paceline.types import AttributeValue, Item, Key, KeySchema, Params, Result

Schemas = Mapping[str, KeySchema]
Encode = Callable[[Item, KeySchema], bytes]
"""An item's DAX form; whatever error if it has none."""

NEW_VALUES_MAX = 4096
"""A new item that DynamoDB tells and that has more is not kept: the next read does that. To encode
it takes long, and its fence is open."""

ANSWER_BYTES_MAX = 64 * 1024
"""Of statements, that is looked into: to read more takes long, and their fence is open. One of
statements that write has more only if it holds items that did not meet a condition."""

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


class ItemWrite(NamedTuple):
    """What a request asks of one item. ``item``: to be this one; ``update``: to be changed by
    these parameters; neither: to be gone."""

    key: Mapping[str, AttributeValue]
    """With the key's attributes, and perhaps others."""
    item: Item | None = None
    update: Params | None = None


class Touched(NamedTuple):
    """One item, or with the key ``WHOLE`` all of a table, that the write changes if it succeeds.
    ``write``: None: what becomes of it is not known."""

    key: Key
    write: ItemWrite | None = None


@dataclass(frozen=True, slots=True)
class WritePlan:
    operation: str
    params: Params
    """The parameters as sent to DynamoDB. They differ from the caller's only where more is asked
    back."""
    touched: tuple[Touched, ...]
    asks_new: bool = False
    """True if the answer's Attributes are the whole new item."""
    may_be_repeated: bool = False
    """True if its success may be that of an earlier request with the same token, which wrote
    nothing now."""
    hides_attributes: bool = False
    """True if Attributes were asked for the cache only and are not the caller's."""
    remade: tuple[str, ...] = ()
    """The tables that may be others afterwards, with other keys."""
    encoded: tuple[Image | None, ...] | None = None
    """What ``images`` gives, if it was encoded before."""

    @property
    def knows_keys(self) -> bool:
        """False if whole tables are fenced."""
        return all(touched.key[1] != WHOLE for touched in self.touched)

    @property
    def keys(self) -> tuple[Key, ...]:
        return tuple([touched.key for touched in self.touched])

    def images(self, result: Result, schemas: Schemas, encode: Encode) -> list[Image | None]:
        """Returns what the success left under each key, in the order of ``keys``; None where that
        is not known."""
        if self.encoded is not None:
            return list(self.encoded)
        if self.asks_new and holds_more(result, NEW_VALUES_MAX):
            return [None] * len(self.touched)
        return [self._image(touched, result, schemas, encode) for touched in self.touched]

    def _image(
        self, touched: Touched, result: Result, schemas: Schemas, encode: Encode
    ) -> Image | None:
        write = touched.write
        if write is None or self.may_be_repeated:
            return None
        if write.update is None and write.item is None:
            return Image(None)
        item = result.get("Attributes") if self.asks_new else write.item
        if not item:
            return None
        try:
            return Image(encode(item, schemas[touched.key[0]]))
        except Exception:
            # A list that is not registered yet, or a value that DynamoDB took and this codec
            # would not: the entry is left out of the cache, the write stands.
            return None

    def with_images(self, schemas: Schemas, encode: Encode) -> WritePlan:
        """Encodes them, unless they depend on DynamoDB's answer."""
        if self.asks_new:
            return self
        return replace(self, encoded=tuple(self.images({}, schemas, encode)))

    def items(self, schemas: Schemas) -> Iterator[tuple[Item, KeySchema]]:
        """Those that the request holds and whose images its success tells."""
        for touched in () if self.may_be_repeated else self.touched:
            if touched.write is not None and touched.write.item is not None:
                yield touched.write.item, schemas[touched.key[0]]

    def may_be_in_doubt(self, result: Result) -> bool:
        """Whether a part of the batch may have happened, although the batch as a whole has an
        answer: statements have errors of their own."""
        if reach.spoken_name(self.operation, self.params) != "BatchExecuteStatement":
            return False
        if len(result["Body"]) > ANSWER_BYTES_MAX:
            return True
        responses = json.loads(result["Body"]).get("Responses") or ()
        errors = [response.get("Error") for response in responses]
        return any(error and error.get("Code") not in _NOTHING_DONE for error in errors)

    def reply(self, result: Result) -> Result:
        if not self.hides_attributes:
            return result
        return {name: value for name, value in result.items() if name != "Attributes"}


def schemas_wanted(operation: str, params: Params) -> tuple[str, ...]:
    """Returns the tables whose schemas tell ``plan_write`` the keys; none if it fences whole
    tables."""
    tables = named_tables(operation, params)
    return () if any(map(is_arn, tables)) else tables


def plan_write(
    operation: str, params: Params, schemas: Schemas, *, as_asked: bool = False
) -> WritePlan:
    """Raises RequestError where not even the keys can be read from the request. ``as_asked``:
    nothing more is asked back than the caller does, who might not have the right to.

    A table without a schema is fenced whole; so are all tables of a write that names one by its
    ARN. Fences and caches go by names, and that table may be this region's or another one's.
    """
    if any(map(is_arn, named_tables(operation, params))):
        tables = tables_of(operation, params)
        return WritePlan(operation, params, tuple(Touched((table, WHOLE)) for table in tables))
    match operation:
        case "PutItem":
            return WritePlan(operation, params, (_touched("Put", params, schemas),))
        case "DeleteItem":
            return WritePlan(operation, params, (_touched("Delete", params, schemas),))
        case "UpdateItem":
            return _plan_update(params, schemas, as_asked=as_asked)
        case "BatchWriteItem":
            return WritePlan(operation, params, _batch_touched(params, schemas))
        case "TransactWriteItems":
            touched = _transact_touched(params, schemas)
            return WritePlan(operation, params, touched, may_be_repeated=True)
        case reach.RAW:
            keys = reach.keys_of(params)
            remade = tuple(table for table, _ in keys) if params.get("Remakes") else ()
            touched = tuple(Touched(key) for key in keys)
            return WritePlan(operation, params, touched, remade=remade)
    raise AssertionError(f"{operation} is not a write")


def _touched(kind: str, body: Params, schemas: Schemas) -> Touched:
    """``kind``: of the action, as transactions name them: Put, Update or Delete."""
    table = body["TableName"]
    schema = schemas.get(table)
    if schema is None:
        return Touched((table, WHOLE))
    if kind == "Put":
        item = body["Item"]
        return Touched(item_key(table, item, schema, "Item"), ItemWrite(item, item=item))
    key = body["Key"]
    write = ItemWrite(key, update=body if kind == "Update" else None)
    return Touched(item_key(table, key, schema, "Key"), write)


def _plan_update(params: Params, schemas: Schemas, *, as_asked: bool) -> WritePlan:
    touched = _touched("Update", params, schemas)
    asked = params.get("ReturnValues", "NONE")
    if asked == "NONE" and touched.write is not None and not as_asked:
        upstream = {**params, "ReturnValues": "ALL_NEW"}
        return WritePlan("UpdateItem", upstream, (touched,), asks_new=True, hides_attributes=True)
    return WritePlan("UpdateItem", params, (touched,), asks_new=asked == "ALL_NEW")


def _batch_touched(params: Params, schemas: Schemas) -> tuple[Touched, ...]:
    touched: list[Touched] = []
    for table, requests in params["RequestItems"].items():
        schema = schemas.get(table)
        if schema is None:
            touched.append(Touched((table, WHOLE)))
            continue
        for request in requests:
            if "PutRequest" in request:
                item = request["PutRequest"]["Item"]
                # DynamoDB has other words here than for PutItem.
                key = item_key(table, item, schema, "PutRequest")
                touched.append(Touched(key, ItemWrite(item, item=item)))
            else:
                attributes = request["DeleteRequest"]["Key"]
                key = item_key(table, attributes, schema, "Key")
                touched.append(Touched(key, ItemWrite(attributes)))
    return tuple(touched)


def _transact_touched(params: Params, schemas: Schemas) -> tuple[Touched, ...]:
    touched: dict[Key, Touched] = {}
    for action in params["TransactItems"]:
        ((kind, body),) = action.items()
        if kind == "ConditionCheck":
            continue  # it changes nothing
        one = _touched(kind, body, schemas)
        # DynamoDB refuses two actions on one item; if it ever takes them, who knows in what order.
        touched[one.key] = Touched(one.key) if one.key in touched else one
    return tuple(touched.values())
