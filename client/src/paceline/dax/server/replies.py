"""Turns the result of a DynamoDB operation into a reply.

docs/dax-protocol.md section 10. Go reads nothing but definite lengths and known keys, so that is
what is sent to everyone but Java, which reads some maps only if they are indefinite.
"""

from collections.abc import Callable
from typing import Final

from paceline.dax import fields
from paceline.dax.attribute_lists import (
    EMPTY_LIST_ID,
    ListId,
    attribute_names,
    encode_item,
)
from paceline.dax.cbor import (
    write_array,
    write_bytes,
    write_int,
    write_map,
    write_null,
    write_text,
)
from paceline.dax.cbor_writers import close_map, open_map
from paceline.dax.enums import RETURN_VALUES
from paceline.dax.expressions import Path, project, projection_paths
from paceline.dax.family import Family
from paceline.dax.keys import encode_compound_key, encode_spelled_key
from paceline.dax.options import Options
from paceline.dax.request_types import (
    BatchGetItem,
    BatchWriteItem,
    DataRequest,
    DeleteItem,
    GetItem,
    PutItem,
    Query,
    Scan,
    TransactGetItems,
    TransactWriteItems,
    UpdateItem,
)
from paceline.dax.responses import MISS_REPLY, OK
from paceline.dax.values import write_value
from paceline.types import Item, Params, Result, SchemaOf

_COUNT_ONLY: Final = 3
_UPDATED: Final = frozenset(
    number for number, name in RETURN_VALUES.items() if name.startswith("UPDATED")
)


def encode_result(
    request: DataRequest,
    params: Params,
    result: Result,
    schema_of: SchemaOf,
    list_id: ListId,
    client: Family = Family.UNKNOWN,
) -> bytes:
    """The whole reply to ``request``, in the form that ``client`` reads.

    ``result`` is what DynamoDB answered to ``params``. Items under a projection must hold at
    least what the *widened* projection in ``params`` names (whole items will do), with lists
    unabridged; the request's own paths pick from them.

    ``list_id`` gives the recorded id of an attribute list. If ids must be obtained by waiting,
    let it note the lists that are missing and give any id, then encode again.
    """
    del params  # everything that shapes a reply is in the request
    replier = _Replier(schema_of, list_id, indefinite=client is Family.JAVA)
    match request:
        case GetItem():
            return replier.get(request, result)
        case PutItem() | UpdateItem() | DeleteItem():
            return replier.write(request, result)
        case Query() | Scan():
            return replier.page(request, result)
        case BatchGetItem():
            return replier.batch_get(request, result)
        case BatchWriteItem():
            return replier.batch_write(request, result)
        case TransactGetItems():
            return replier.transact_get(request, result)
        case TransactWriteItems():
            return replier.transact_write(request, result)


def _paths(projection: bytes | None) -> tuple[Path, ...] | None:
    return None if projection is None else projection_paths(projection)


def _wants_capacity(options: Options) -> bool:
    return bool(options.consumed_capacity)


class _Body:
    """A reply's body: null while it has no fields, else a map."""

    def __init__(self, *, indefinite: bool = False) -> None:
        self.fields = 0
        self.out = bytearray()
        self._indefinite = indefinite

    def key(self, number: int) -> bytearray:
        self.fields += 1
        write_int(self.out, number)
        return self.out

    def reply(self) -> bytes:
        if not self.fields:
            return MISS_REPLY
        head = bytearray(OK)
        open_map(head, self.fields, indefinite=self._indefinite)
        head += self.out
        close_map(head, indefinite=self._indefinite)
        return bytes(head)


class _Replier:
    def __init__(self, schema_of: SchemaOf, list_id: ListId, *, indefinite: bool) -> None:
        self._schema_of = schema_of
        self._list_id = list_id
        self._indefinite = indefinite

    # -- parts ------------------------------------------------------------------------------

    def _write_values(self, out: bytearray, table: str, item: Item) -> None:
        write_bytes(out, encode_item(item, self._schema_of(table), self._list_id))

    def _write_key(self, out: bytearray, table: str, item: Item) -> None:
        write_bytes(out, encode_spelled_key(self._schema_of(table), item))

    @staticmethod
    def _write_projected(out: bytearray, item: Item, paths: tuple[Path, ...]) -> None:
        ordinals = project(item, paths)
        write_map(out, len(ordinals))
        for ordinal, value in ordinals.items():
            write_int(out, ordinal)
            write_value(out, value)

    def _write_updated(self, out: bytearray, table: str, attributes: Item) -> None:
        """The changed attributes only: a list's id, and values by index in that list."""
        names = attribute_names(attributes, self._schema_of(table))
        inner = bytearray()
        write_int(inner, self._list_id(names) if names else EMPTY_LIST_ID)
        open_map(inner, len(names), indefinite=self._indefinite)
        for index, name in enumerate(names):
            write_int(inner, index)
            write_value(inner, attributes[name])
        close_map(inner, indefinite=self._indefinite)
        write_bytes(out, inner)

    @staticmethod
    def _capacity(body: _Body, options: Options, result: Result) -> None:
        if _wants_capacity(options) and result.get("ConsumedCapacity"):
            fields.write_capacity(body.key(fields.CONSUMED_CAPACITY), result["ConsumedCapacity"])

    @staticmethod
    def _capacities(
        out: bytearray,
        options: Options,
        result: Result,
        write: Callable[[bytearray, Result], None],
    ) -> None:
        consumed = result.get("ConsumedCapacity") if _wants_capacity(options) else None
        write_array(out, len(consumed or ()))
        for capacity in consumed or ():
            write(out, capacity)

    def _write_extended(self, out: bytearray, capacity: Result) -> None:
        fields.write_extended_capacity(out, capacity, indefinite=self._indefinite)

    def _metrics_by_table(self, out: bytearray, options: Options, result: Result) -> None:
        tables = result.get("ItemCollectionMetrics") if options.collection_metrics else None
        write_map(out, len(tables or {}))
        for table, entries in (tables or {}).items():
            write_text(out, table)
            write_array(out, len(entries))
            for metrics in entries:
                fields.write_metrics(out, metrics, self._schema_of(table))

    # -- single items -----------------------------------------------------------------------

    def get(self, request: GetItem, result: Result) -> bytes:
        body = _Body(indefinite=self._indefinite)
        item = result.get("Item")
        if item is not None:
            paths = _paths(request.options.projection)
            if paths is None:
                self._write_values(body.key(fields.ITEM), request.table, item)
            else:
                self._write_projected(body.key(fields.ITEM), item, paths)
        self._capacity(body, request.options, result)
        return body.reply()

    def write(self, request: PutItem | UpdateItem | DeleteItem, result: Result) -> bytes:
        body = _Body(indefinite=self._indefinite)
        attributes = result.get("Attributes")
        if attributes is not None and request.options.return_values in _UPDATED:
            # May be empty: an UPDATED_OLD of attributes that were not there.
            self._write_updated(body.key(fields.ATTRIBUTES), request.table, attributes)
        elif attributes:
            self._write_values(body.key(fields.ATTRIBUTES), request.table, attributes)
        self._capacity(body, request.options, result)
        metrics = result.get("ItemCollectionMetrics")
        if metrics and request.options.collection_metrics:
            schema = self._schema_of(request.table)
            fields.write_metrics(body.key(fields.COLLECTION_METRICS), metrics, schema)
        return body.reply()

    # -- many items -------------------------------------------------------------------------

    def page(self, request: Query | Scan, result: Result) -> bytes:
        body = _Body(indefinite=self._indefinite)
        options = request.options
        if options.select != _COUNT_ONLY and "Items" in result:
            self._write_items(
                body.key(fields.ITEMS), request.table, result["Items"], _paths(options.projection)
            )
        write_int(body.key(fields.COUNT), result["Count"])
        write_int(body.key(fields.SCANNED_COUNT), result["ScannedCount"])
        last = result.get("LastEvaluatedKey")
        if last:
            out = body.key(fields.LAST_EVALUATED_KEY)
            if options.index_name is None:
                self._write_key(out, request.table, last)
            else:
                write_bytes(out, encode_compound_key(last))
        self._capacity(body, options, result)
        return body.reply()

    def _write_items(
        self, out: bytearray, table: str, items: list[Item], paths: tuple[Path, ...] | None
    ) -> None:
        write_array(out, len(items))
        for item in items:
            if paths is None:
                write_array(out, 2)
                self._write_key(out, table, item)
                self._write_values(out, table, item)
            else:
                self._write_projected(out, item, paths)

    # -- batches ----------------------------------------------------------------------------

    def batch_get(self, request: BatchGetItem, result: Result) -> bytes:
        out = bytearray(OK)
        write_array(out, 2)  # and yet three values follow: the third stands outside
        responses = result.get("Responses") or {}
        write_map(out, len(responses))
        for table, items in responses.items():
            write_text(out, table)
            paths = _paths(request.tables[table].projection)
            if paths is None:
                write_array(out, 2 * len(items))
                for item in items:
                    self._write_key(out, table, item)
                    self._write_values(out, table, item)
            else:
                write_array(out, len(items))
                for item in items:
                    self._write_projected(out, item, paths)
        unprocessed = result.get("UnprocessedKeys") or {}
        if self._indefinite and not unprocessed:
            # Java's client for SDK v1 takes an empty map for none, and then fails on that.
            unprocessed = {next(iter(request.tables)): {"Keys": []}}
        write_map(out, len(unprocessed))
        for table, rest in unprocessed.items():
            write_text(out, table)
            write_array(out, len(rest["Keys"]))
            for key in rest["Keys"]:
                self._write_key(out, table, key)
        self._capacities(out, request.options, result, fields.write_capacity)
        return bytes(out)

    def batch_write(self, request: BatchWriteItem, result: Result) -> bytes:
        out = bytearray(OK)
        unprocessed = result.get("UnprocessedItems") or {}
        write_map(out, len(unprocessed))
        for table, writes in unprocessed.items():
            write_text(out, table)
            write_array(out, 2 * len(writes))
            for write in writes:
                if "PutRequest" in write:
                    item = write["PutRequest"]["Item"]
                    self._write_key(out, table, item)
                    self._write_values(out, table, item)
                else:
                    self._write_key(out, table, write["DeleteRequest"]["Key"])
                    write_null(out)
        self._capacities(out, request.options, result, fields.write_capacity)
        self._metrics_by_table(out, request.options, result)
        return bytes(out)

    # -- transactions -----------------------------------------------------------------------

    def transact_get(self, request: TransactGetItems, result: Result) -> bytes:
        out = bytearray(OK)
        write_array(out, 2)
        write_array(out, len(request.items))
        for get, response in zip(request.items, result["Responses"], strict=True):
            item = response.get("Item")
            paths = _paths(get.projection)
            if item is None:
                write_null(out)
            elif paths is None:
                self._write_values(out, get.table, item)
            else:
                self._write_projected(out, item, paths)
        self._capacities(out, request.options, result, self._write_extended)
        return bytes(out)

    def transact_write(self, request: TransactWriteItems, result: Result) -> bytes:
        out = bytearray(OK)
        write_array(out, 3)
        write_array(out, 0)
        self._capacities(out, request.options, result, self._write_extended)
        self._metrics_by_table(out, request.options, result)
        return bytes(out)
