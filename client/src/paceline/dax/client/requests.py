"""Turns the parameters of a DynamoDB operation into a request frame.

docs/dax-protocol.md sections 4, 5 and 7.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from paceline.dax.attribute_lists import ListId, encode_item
from paceline.dax.enums import number_of
from paceline.dax.expressions import (
    encode_condition,
    encode_projection,
    encode_update,
    require_all_used,
)
from paceline.dax.keys import encode_compound_key, encode_key
from paceline.dax.methods import TransactOperation
from paceline.dax.options import Options
from paceline.dax.request_types import (
    BatchGet,
    BatchGetItem,
    BatchWriteItem,
    DataRequest,
    DeleteItem,
    GetItem,
    PutItem,
    Query,
    Scan,
    TransactGet,
    TransactGetItems,
    TransactWrite,
    TransactWriteItems,
    UpdateItem,
)
from paceline.dax.validity import refuse_invalid
from paceline.errors import RequestError
from paceline.types import Item, Params, SchemaOf

LEGACY: Final = frozenset(
    {
        "AttributesToGet",
        "AttributeUpdates",
        "ConditionalOperator",
        "Expected",
        "KeyConditions",
        "QueryFilter",
        "ScanFilter",
    }
)
"""Parameters from before expressions, for which the protocol has no place."""

_TRANSACT: Final = {
    "Put": TransactOperation.PUT,
    "Update": TransactOperation.UPDATE,
    "Delete": TransactOperation.DELETE,
    "ConditionCheck": TransactOperation.CONDITION_CHECK,
}

_EXPRESSIONS: Final = (
    "ConditionExpression",
    "FilterExpression",
    "KeyConditionExpression",
    "ProjectionExpression",
    "UpdateExpression",
)


def to_request(operation: str, params: Params, schema_of: SchemaOf, list_id: ListId) -> DataRequest:
    """The frame of an operation with boto3's low-level parameters.

    TransactWriteItems needs its ``ClientRequestToken`` from the caller, so that repeats carry
    the same. ``RequestError`` for parameters that cannot be encoded. Errors of this project that
    ``schema_of`` and ``list_id`` raise are passed on. ReturnValuesOnConditionCheckFailure of
    single writes has no place on the wire and is ignored, as every DAX client does.
    """
    if operation not in _BUILDERS:
        raise _invalid(f"{operation} is not an operation of the DAX protocol")
    try:
        refuse_invalid(operation, params)
        _refuse_legacy(params)
        return _BUILDERS[operation](_Builder(schema_of, list_id), params)
    except KeyError as error:
        raise _invalid(f"{operation} lacks the parameter {error}") from None
    except (AttributeError, TypeError, ValueError) as error:
        raise _invalid(str(error)) from None


def _invalid(message: str) -> RequestError:
    return RequestError("ValidationException", message)


def _require_used(params: Mapping[str, Any]) -> None:
    texts = [params[name] for name in _EXPRESSIONS if params.get(name)]
    require_all_used(
        texts, params.get("ExpressionAttributeNames"), params.get("ExpressionAttributeValues")
    )


def _projection(params: Mapping[str, Any]) -> bytes | None:
    text = params.get("ProjectionExpression")
    return None if text is None else encode_projection(text, params.get("ExpressionAttributeNames"))


def _condition(params: Mapping[str, Any], parameter: Any = "ConditionExpression") -> bytes | None:
    text = params.get(parameter)
    if text is None:
        return None
    return encode_condition(
        text,
        params.get("ExpressionAttributeNames"),
        params.get("ExpressionAttributeValues"),
        parameter,
    )


def _update(params: Mapping[str, Any]) -> bytes | None:
    text = params.get("UpdateExpression")
    if text is None:
        return None
    return encode_update(
        text, params.get("ExpressionAttributeNames"), params.get("ExpressionAttributeValues")
    )


def _number(params: Mapping[str, Any], parameter: str) -> int | None:
    """An enumeration's number; None for NONE, which is the default."""
    text = params.get(parameter)
    return None if text is None or text == "NONE" else number_of(parameter, text)


class _Builder:
    """Builds requests; every method takes the parameters of one operation."""

    def __init__(self, schema_of: SchemaOf, list_id: ListId) -> None:
        self._schema_of = schema_of
        self._list_id = list_id

    def _key(self, table: str, key: Item) -> bytes:
        schema = self._schema_of(table)
        if len(key) != len(schema.names):
            raise _invalid("The provided key element does not match the schema")
        return encode_key(schema, key)

    def _item(self, table: str, item: Item) -> tuple[bytes, bytes]:
        schema = self._schema_of(table)
        return encode_key(schema, item), encode_item(item, schema, self._list_id)

    def get(self, params: Params) -> GetItem:
        _require_used(params)
        table = params["TableName"]
        options = Options(
            projection=_projection(params),
            consistent_read=params.get("ConsistentRead"),
            consumed_capacity=_number(params, "ReturnConsumedCapacity"),
        )
        return GetItem(table, self._key(table, params["Key"]), options)

    def _write_options(self, params: Params) -> Options:
        _require_used(params)
        return Options(
            consumed_capacity=_number(params, "ReturnConsumedCapacity"),
            condition=_condition(params),
            collection_metrics=_number(params, "ReturnItemCollectionMetrics"),
            return_values=_number(params, "ReturnValues"),
            update=_update(params),
        )

    def put(self, params: Params) -> PutItem:
        table = params["TableName"]
        key, values = self._item(table, params["Item"])
        return PutItem(table, key, values, self._write_options(params))

    def update(self, params: Params) -> UpdateItem:
        table = params["TableName"]
        return UpdateItem(table, self._key(table, params["Key"]), self._write_options(params))

    def delete(self, params: Params) -> DeleteItem:
        table = params["TableName"]
        return DeleteItem(table, self._key(table, params["Key"]), self._write_options(params))

    def _page_options(self, params: Params) -> Options:
        _require_used(params)
        start = params.get("ExclusiveStartKey")
        start_key: bytes | None = None
        if start:
            if params.get("IndexName") is None:
                start_key = encode_key(self._schema_of(params["TableName"]), start)
            else:
                start_key = encode_compound_key(start)
        return Options(
            projection=_projection(params),
            consistent_read=params.get("ConsistentRead"),
            consumed_capacity=_number(params, "ReturnConsumedCapacity"),
            exclusive_start_key=start_key,
            filter=_condition(params, "FilterExpression"),
            index_name=params.get("IndexName"),
            limit=params.get("Limit"),
            scan_index_forward=params.get("ScanIndexForward"),
            select=_number(params, "Select"),
            segment=params.get("Segment"),
            total_segments=params.get("TotalSegments"),
        )

    def query(self, params: Params) -> Query:
        condition = _condition(params, "KeyConditionExpression")
        return Query(params["TableName"], condition, self._page_options(params))

    def scan(self, params: Params) -> Scan:
        return Scan(params["TableName"], self._page_options(params))

    def batch_get(self, params: Params) -> BatchGetItem:
        tables: dict[str, BatchGet] = {}
        for table, get in params["RequestItems"].items():
            _refuse_legacy(get)
            _require_used(get)
            keys = tuple(self._key(table, key) for key in get["Keys"])
            tables[table] = BatchGet(bool(get.get("ConsistentRead")), _projection(get), keys)
        return BatchGetItem(tables, _capacity_options(params))

    def batch_write(self, params: Params) -> BatchWriteItem:
        tables: dict[str, tuple[tuple[bytes, bytes | None], ...]] = {}
        for table, writes in params["RequestItems"].items():
            tables[table] = tuple(self._batch_entry(table, write) for write in writes)
        return BatchWriteItem(tables, _capacity_options(params))

    def _batch_entry(self, table: str, write: Params) -> tuple[bytes, bytes | None]:
        if "PutRequest" in write:
            return self._item(table, write["PutRequest"]["Item"])
        return self._key(table, write["DeleteRequest"]["Key"]), None

    def transact_get(self, params: Params) -> TransactGetItems:
        items = []
        for entry in params["TransactItems"]:
            get = entry["Get"]
            _require_used(get)
            table = get["TableName"]
            items.append(TransactGet(table, self._key(table, get["Key"]), _projection(get)))
        return TransactGetItems(tuple(items), _capacity_options(params))

    def transact_write(self, params: Params) -> TransactWriteItems:
        options = _capacity_options(params, params["ClientRequestToken"])
        items = tuple(map(self._transact_entry, params["TransactItems"]))
        return TransactWriteItems(items, options)

    def _transact_entry(self, entry: Params) -> TransactWrite:
        if len(entry) != 1:
            raise _invalid("TransactItems can only contain one of Check, Put, Update or Delete")
        [(kind, write)] = entry.items()
        if kind not in _TRANSACT:
            raise _invalid(f"{kind} is no operation of a transaction")
        _require_used(write)
        table = write["TableName"]
        values: bytes | None = None
        if kind == "Put":
            key, values = self._item(table, write["Item"])
        else:
            key = self._key(table, write["Key"])
        return TransactWrite(
            _TRANSACT[kind],
            table,
            key,
            values,
            _number(write, "ReturnValuesOnConditionCheckFailure") or 1,
            _condition(write),
            _update(write),
        )


def _refuse_legacy(params: Iterable[str]) -> None:
    legacy = sorted(LEGACY.intersection(params))
    if legacy:
        raise _invalid(f"{', '.join(legacy)}: not supported over DAX; use expressions instead")


def _capacity_options(params: Params, token: str | None = None) -> Options:
    return Options(
        consumed_capacity=_number(params, "ReturnConsumedCapacity"),
        collection_metrics=_number(params, "ReturnItemCollectionMetrics"),
        client_request_token=token,
    )


_BUILDERS: Final[dict[str, Callable[[_Builder, Params], DataRequest]]] = {
    "GetItem": _Builder.get,
    "PutItem": _Builder.put,
    "UpdateItem": _Builder.update,
    "DeleteItem": _Builder.delete,
    "Query": _Builder.query,
    "Scan": _Builder.scan,
    "BatchGetItem": _Builder.batch_get,
    "BatchWriteItem": _Builder.batch_write,
    "TransactGetItems": _Builder.transact_get,
    "TransactWriteItems": _Builder.transact_write,
}
