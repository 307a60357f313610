"""Turns a reply into the result of a DynamoDB operation.

docs/dax-protocol.md section 10. A reply says less than a result: the client adds key attributes
and rebuilds projected items from the parameters that it sent.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from paceline.dax import fields
from paceline.dax.attribute_lists import NamesOf, decode_item, list_names
from paceline.dax.cbor import BYTES, Reader
from paceline.dax.expressions import Path, encode_projection, projection_paths, unproject
from paceline.dax.keys import decode_compound_key, decode_key, stored_key
from paceline.dax.values import read_value
from paceline.errors import ProtocolError
from paceline.types import AttributeValue, Item, Params, Result, SchemaOf


def decode_result(
    operation: str, params: Params, body: bytes, schema_of: SchemaOf, names_of: NamesOf
) -> Result:
    """The result as boto3's low-level client returns it, without ResponseMetadata.

    ``body`` is the reply without its leading empty array. What ``schema_of`` and ``names_of``
    raise is passed on; ``ProtocolError`` when the body is not a reply to this operation.
    """
    decoder = _Decoder(params, Reader(body), schema_of, names_of)
    result = _DECODERS[operation](decoder)
    decoder.reader.expect_done("a reply")
    return result


def _paths(params: Mapping[str, Any]) -> tuple[Path, ...] | None:
    text = params.get("ProjectionExpression")
    if text is None:
        return None
    return projection_paths(encode_projection(text, params.get("ExpressionAttributeNames")))


class _Decoder:
    """Reads one reply's body."""

    def __init__(
        self, params: Params, reader: Reader, schema_of: SchemaOf, names_of: NamesOf
    ) -> None:
        self.params = params
        self.reader = reader
        self._schema_of = schema_of
        self._names_of = names_of

    # -- parts ------------------------------------------------------------------------------

    def _body(self, readers: Mapping[int, Callable[[Result], None]]) -> Result:
        result: Result = {}
        if self.reader.is_null():
            self.reader.read_null()
            return result
        count = self.reader.read_map()
        done = 0
        while self.reader.more(done, count):
            done += 1
            key = self.reader.read_int()
            if key not in readers:
                raise ProtocolError(f"unknown key {key} in a reply")
            readers[key](result)
        return result

    def _key(self, table: str) -> Item:
        return decode_key(self._schema_of(table), self.reader.read_bytes())

    def _values(self) -> Item:
        return decode_item(self.reader.read_bytes(), self._names_of)

    def _projected(self, paths: tuple[Path, ...]) -> Item:
        count = self.reader.read_map()
        ordinals: dict[int, AttributeValue] = {}
        done = 0
        while self.reader.more(done, count):
            ordinal = self.reader.read_int()
            ordinals[ordinal] = read_value(self.reader)
            done += 1
        return unproject(ordinals, paths)

    def _list(self, read: Callable[[], Any]) -> list[Any]:
        count = self.reader.read_array()
        elements: list[Any] = []
        while self.reader.more(len(elements), count):
            elements.append(read())
        return elements

    def _pairs(self, read: Callable[[], Any]) -> list[Any]:
        """A flat array in which every element that ``read`` reads takes two places."""
        count = self.reader.read_array()
        if count >= 0 and count % 2:
            raise ProtocolError("a key without values in a reply")
        elements: list[Any] = []
        while self.reader.more(2 * len(elements), count):
            elements.append(read())
        return elements

    def _tables(self, read: Callable[[str], Any]) -> dict[str, Any]:
        count = self.reader.read_map()
        tables: dict[str, Any] = {}
        done = 0
        while self.reader.more(done, count):
            table = self.reader.read_text()
            tables[table] = read(table)
            done += 1
        return tables

    def _capacity(self, result: Result) -> None:
        if self.reader.is_null():
            self.reader.read_null()
        else:
            result["ConsumedCapacity"] = fields.read_capacity(self.reader)

    def _capacities(self, result: Result, read: Callable[[Reader], Result]) -> None:
        """An array; DynamoDB gives none when it was not asked for."""
        consumed = self._list(lambda: read(self.reader))
        if self.params.get("ReturnConsumedCapacity", "NONE") != "NONE":
            result["ConsumedCapacity"] = consumed

    def _metrics_by_table(self, result: Result) -> None:
        tables = self._tables(
            lambda table: self._list(
                lambda: fields.read_metrics(self.reader, self._schema_of(table))
            )
        )
        if tables:
            result["ItemCollectionMetrics"] = tables

    # -- single items -----------------------------------------------------------------------

    def get(self) -> Result:
        return self._body({fields.ITEM: self._get_item, fields.CONSUMED_CAPACITY: self._capacity})

    def _get_item(self, result: Result) -> None:
        paths = _paths(self.params)
        if paths is None:
            key = stored_key(self._schema_of(self.params["TableName"]), self.params["Key"])
            result["Item"] = {**key, **self._values()}
        else:
            result["Item"] = self._projected(paths)

    def write(self) -> Result:
        return self._body(
            {
                fields.CONSUMED_CAPACITY: self._capacity,
                fields.ATTRIBUTES: self._attributes,
                fields.COLLECTION_METRICS: self._metrics,
            }
        )

    def _attributes(self, result: Result) -> None:
        if str(self.params.get("ReturnValues")).startswith("UPDATED"):
            inner = Reader(self.reader.read_bytes())
            names = list_names(inner.read_int(), self._names_of)
            attributes: Item = {}
            count = inner.read_map()
            done = 0
            while inner.more(done, count):
                index = inner.read_int()
                if not 0 <= index < len(names):
                    raise ProtocolError(f"attribute {index} of a list of {len(names)}")
                attributes[names[index]] = read_value(inner)
                done += 1
            inner.expect_done("updated attributes")
            result["Attributes"] = attributes
        else:
            sent = self.params["Key"] if "Key" in self.params else self.params["Item"]
            key = stored_key(self._schema_of(self.params["TableName"]), sent)
            result["Attributes"] = {**key, **self._values()}

    def _metrics(self, result: Result) -> None:
        if self.reader.is_null():
            self.reader.read_null()
        else:
            schema = self._schema_of(self.params["TableName"])
            result["ItemCollectionMetrics"] = fields.read_metrics(self.reader, schema)

    # -- many items -------------------------------------------------------------------------

    def page(self) -> Result:
        return self._body(
            {
                fields.ITEMS: self._items,
                fields.COUNT: lambda result: result.update(Count=self.reader.read_int()),
                fields.SCANNED_COUNT: lambda result: result.update(
                    ScannedCount=self.reader.read_int()
                ),
                fields.LAST_EVALUATED_KEY: self._last_key,
                fields.CONSUMED_CAPACITY: self._capacity,
            }
        )

    def _items(self, result: Result) -> None:
        paths = _paths(self.params)
        if paths is None:
            result["Items"] = self._list(self._item_with_key)
        else:
            result["Items"] = self._list(lambda: self._projected(paths))

    def _item_with_key(self) -> Item:
        if self.reader.read_array() != 2:
            raise ProtocolError("an item is an array of key and values")
        key = self._key(self.params["TableName"])
        return {**key, **self._values()}

    def _last_key(self, result: Result) -> None:
        if self.params.get("IndexName") is None:
            result["LastEvaluatedKey"] = self._key(self.params["TableName"])
        else:
            result["LastEvaluatedKey"] = decode_compound_key(self.reader.read_bytes())

    # -- batches ----------------------------------------------------------------------------

    def batch_get(self) -> Result:
        if self.reader.read_array() != 2:
            raise ProtocolError("a batch's reply begins with an array of two")
        tables: Params = self.params["RequestItems"]
        result: Result = {"Responses": self._tables(self._batch_items)}
        unprocessed = self._tables(lambda table: self._list(lambda: self._key(table)))
        result["UnprocessedKeys"] = {
            table: {**tables.get(table, {}), "Keys": keys} for table, keys in unprocessed.items()
        }
        self._capacities(result, fields.read_capacity)
        return result

    def _batch_items(self, table: str) -> list[Item]:
        paths = _paths(self.params["RequestItems"].get(table, {}))
        if paths is not None:
            return self._list(lambda: self._projected(paths))
        return self._pairs(lambda: {**self._key(table), **self._values()})

    def batch_write(self) -> Result:
        result: Result = {
            "UnprocessedItems": self._tables(
                lambda table: self._pairs(lambda: self._unprocessed(table))
            )
        }
        self._capacities(result, fields.read_capacity)
        self._metrics_by_table(result)
        return result

    def _unprocessed(self, table: str) -> Params:
        key = self._key(table)
        if self.reader.is_null():
            self.reader.read_null()
            return {"DeleteRequest": {"Key": key}}
        return {"PutRequest": {"Item": {**key, **self._values()}}}

    # -- transactions -----------------------------------------------------------------------

    def transact_get(self) -> Result:
        if self.reader.read_array() != 2:
            raise ProtocolError("a transaction's reply is an array of two")
        gets = self.params["TransactItems"]
        if self.reader.read_array() != len(gets):
            raise ProtocolError("a transaction's reply has another number of items")
        result: Result = {"Responses": [self._transact_item(entry["Get"]) for entry in gets]}
        self._capacities(result, fields.read_extended_capacity)
        return result

    def _transact_item(self, get: Params) -> Result:
        if self.reader.is_null():
            self.reader.read_null()
            return {}
        if self.reader.peek_major() == BYTES:
            key = stored_key(self._schema_of(get["TableName"]), get["Key"])
            return {"Item": {**key, **self._values()}}
        return {"Item": self._projected(_paths(get) or ())}

    def transact_write(self) -> Result:
        if self.reader.read_array() != 3:
            raise ProtocolError("a transaction's reply is an array of three")
        self.reader.skip()
        result: Result = {}
        self._capacities(result, fields.read_extended_capacity)
        self._metrics_by_table(result)
        return result


_DECODERS: Final[dict[str, Callable[[_Decoder], Result]]] = {
    "GetItem": _Decoder.get,
    "PutItem": _Decoder.write,
    "UpdateItem": _Decoder.write,
    "DeleteItem": _Decoder.write,
    "Query": _Decoder.page,
    "Scan": _Decoder.page,
    "BatchGetItem": _Decoder.batch_get,
    "BatchWriteItem": _Decoder.batch_write,
    "TransactGetItems": _Decoder.transact_get,
    "TransactWriteItems": _Decoder.transact_write,
}
