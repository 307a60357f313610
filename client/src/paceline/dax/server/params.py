"""Turns a request frame into the parameters of a DynamoDB operation.

docs/dax-protocol.md sections 4, 5 and 7.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from paceline.dax.attribute_lists import NamesOf, decode_item
from paceline.dax.enums import (
    COLLECTION_METRICS,
    CONSUMED_CAPACITY,
    RETURN_VALUES,
    RETURN_VALUES_ON_FAILURE,
    SELECT,
    text_of,
)
from paceline.dax.expressions import (
    Path,
    Placeholders,
    decode_condition,
    decode_update,
    projection_paths,
)
from paceline.dax.family import Family
from paceline.dax.keys import canonical_key, decode_compound_key, decode_key
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
from paceline.dax.validity import are_sane_paths
from paceline.dynamodb_operations import (
    BATCH_GET_KEYS_MAX,
    BATCH_WRITE_ITEMS_MAX,
    TRANSACTION_ITEMS_MAX,
)
from paceline.errors import ProtocolError, RequestError
from paceline.types import Item, Params, SchemaOf

SEGMENTS_MAX: Final = 1_000_000
_ALL_ATTRIBUTES: Final = 1


def to_params(
    request: DataRequest,
    schema_of: SchemaOf,
    names_of: NamesOf,
    client: Family = Family.UNKNOWN,
) -> tuple[str, Params]:
    """The operation's name, and its parameters as boto3's low-level client takes them.

    ``schema_of`` and ``names_of`` (KeyError for an unknown id) may raise what they like; it is
    passed on. ``RequestError`` in DynamoDB's words for what the frame allows and DynamoDB does
    not, and for nested strings that are malformed: the connection is still in step then.

    Projections are *widened*: a path is cut at its first list index, because DynamoDB closes the
    gaps in projected lists, so that nobody could tell which index an element had. The reply is
    made from the wider item by the request's own paths (``encode_result``). Paths that DynamoDB
    refuses are not, lest it takes them.
    """
    translation = _Translation(schema_of, names_of, client)
    try:
        match request:
            case GetItem():
                return "GetItem", translation.get(request)
            case PutItem():
                return "PutItem", translation.put(request)
            case UpdateItem():
                return "UpdateItem", translation.update(request)
            case DeleteItem():
                return "DeleteItem", translation.delete(request)
            case Query():
                return "Query", translation.query(request)
            case Scan():
                return "Scan", translation.scan(request)
            case BatchGetItem():
                return "BatchGetItem", translation.batch_get(request)
            case BatchWriteItem():
                return "BatchWriteItem", translation.batch_write(request)
            case TransactGetItems():
                return "TransactGetItems", translation.transact_get(request)
            case TransactWriteItems():
                return "TransactWriteItems", translation.transact_write(request)
    except ProtocolError as error:
        raise _invalid(f"Malformed request: {error}") from None


def widened(paths: Sequence[Path]) -> tuple[Path, ...]:
    """Paths cut at their first list index, each once and none within another."""
    cut: dict[Path, None] = {}
    for path in paths:
        index = next((i for i, element in enumerate(path) if isinstance(element, int)), len(path))
        cut[path[:index]] = None
    return tuple(
        path for path in cut if not any(path[:length] in cut for length in range(1, len(path)))
    )


def _invalid(message: str) -> RequestError:
    return RequestError("ValidationException", message)


def _constraint(value: object, field: str, constraint: str) -> RequestError:
    return _invalid(
        f"1 validation error detected: Value '{value}' at '{field}' failed to satisfy constraint: "
        f"Member must have {constraint}"
    )


def _in_range(field: str, value: int, low: int, high: int | None = None) -> int:
    if value < low:
        raise _constraint(value, field, f"value greater than or equal to {low}")
    if high is not None and value > high:
        raise _constraint(value, field, f"value less than or equal to {high}")
    return value


class _Translation:
    """One request's translation; its expressions share placeholders where DynamoDB's do."""

    def __init__(self, schema_of: SchemaOf, names_of: NamesOf, client: Family) -> None:
        self._schema_of = schema_of
        self._names_of = names_of
        self._client = client

    # -- parts ------------------------------------------------------------------------------

    def _key(self, table: str, key: bytes) -> Item:
        try:
            return decode_key(self._schema_of(table), key)
        except ProtocolError:
            raise _invalid("The provided key element does not match the schema") from None

    def _item(self, table: str, key: bytes, values: bytes) -> Item:
        attributes = decode_item(values, self._known_names)
        return {**attributes, **self._key(table, key)}

    def _known_names(self, identifier: int) -> tuple[str, ...]:
        try:
            return self._names_of(identifier)
        except KeyError:
            raise _invalid(
                f"Attribute list {identifier} is unknown to this cluster: the client got it from "
                "another one. Create a new client."
            ) from None

    def _canonical_keys(self, keys: Iterable[tuple[str, bytes]]) -> list[tuple[str, bytes]]:
        canonical = []
        for table, key in keys:
            try:
                canonical.append((table, canonical_key(self._schema_of(table), key)))
            except ProtocolError:
                raise _invalid("The provided key element does not match the schema") from None
        return canonical

    def _require_distinct(self, keys: Iterable[tuple[str, bytes]], message: str) -> None:
        canonical = self._canonical_keys(keys)
        if len(set(canonical)) != len(canonical):
            raise _invalid(message)

    def _project(
        self, params: Params, table: str, projection: bytes | None, placeholders: Placeholders
    ) -> None:
        if projection is None:
            return
        paths = projection_paths(projection)
        keys = self._schema_of(table).names
        if are_sane_paths(paths) and not any(len(p) > 1 and p[0] in keys for p in paths):
            paths = widened(paths)  # else DynamoDB says what is wrong with them
        params["ProjectionExpression"] = ", ".join(map(placeholders.path, paths))

    @staticmethod
    def _finish(params: Params, placeholders: Placeholders) -> Params:
        if placeholders.names:
            params["ExpressionAttributeNames"] = placeholders.names
        if placeholders.values:
            params["ExpressionAttributeValues"] = placeholders.values
        return params

    @staticmethod
    def _returns(params: Params, request: DataRequest) -> None:
        """The options that ask for more in the reply; NONE is left out, as it is the default."""
        options = request.options
        for parameter, names, number in (
            ("ReturnConsumedCapacity", CONSUMED_CAPACITY, options.consumed_capacity),
            ("ReturnItemCollectionMetrics", COLLECTION_METRICS, options.collection_metrics),
            ("ReturnValues", RETURN_VALUES, options.return_values),
        ):
            if number is not None:
                text = text_of(parameter, names, number)
                if text != "NONE":
                    params[parameter] = text

    # -- single items -----------------------------------------------------------------------

    def get(self, request: GetItem) -> Params:
        params: Params = {
            "TableName": request.table,
            "Key": self._key(request.table, request.key),
        }
        if request.options.consistent_read is not None:
            params["ConsistentRead"] = request.options.consistent_read
        placeholders = Placeholders()
        self._project(params, request.table, request.options.projection, placeholders)
        self._returns(params, request)
        return self._finish(params, placeholders)

    def put(self, request: PutItem) -> Params:
        item = self._item(request.table, request.key, request.values)
        return self._write({"TableName": request.table, "Item": item}, request)

    def update(self, request: UpdateItem) -> Params:
        key = self._key(request.table, request.key)
        return self._write({"TableName": request.table, "Key": key}, request)

    def delete(self, request: DeleteItem) -> Params:
        key = self._key(request.table, request.key)
        return self._write({"TableName": request.table, "Key": key}, request)

    def _write(self, params: Params, request: PutItem | UpdateItem | DeleteItem) -> Params:
        placeholders = Placeholders()
        if request.options.update is not None and isinstance(request, UpdateItem):
            params["UpdateExpression"] = decode_update(request.options.update, placeholders)
        if request.options.condition is not None:
            params["ConditionExpression"] = decode_condition(
                request.options.condition, placeholders
            )
        self._returns(params, request)
        return self._finish(params, placeholders)

    # -- many items -------------------------------------------------------------------------

    def query(self, request: Query) -> Params:
        params: Params = {"TableName": request.table}
        placeholders = Placeholders()
        if request.key_condition is not None:
            params["KeyConditionExpression"] = decode_condition(
                request.key_condition, placeholders, "KeyConditionExpression"
            )
        if request.options.scan_index_forward is not None:
            params["ScanIndexForward"] = request.options.scan_index_forward
        return self._page(params, request, placeholders)

    def scan(self, request: Scan) -> Params:
        params: Params = {"TableName": request.table}
        options = request.options
        if options.segment is not None:
            params["Segment"] = _in_range("segment", options.segment, 0, SEGMENTS_MAX - 1)
        if options.total_segments is not None:
            params["TotalSegments"] = _in_range(
                "totalSegments", options.total_segments, 1, SEGMENTS_MAX
            )
        return self._page(params, request, Placeholders())

    def _page(self, params: Params, request: Query | Scan, placeholders: Placeholders) -> Params:
        options = request.options
        if options.index_name is not None:
            params["IndexName"] = options.index_name
        if options.filter is not None:
            params["FilterExpression"] = decode_condition(
                options.filter, placeholders, "FilterExpression"
            )
        if options.consistent_read is not None:
            params["ConsistentRead"] = options.consistent_read
        if options.limit is not None:
            params["Limit"] = _in_range("limit", options.limit, 1)
        if options.select is not None and not self._is_unmeant(options):
            params["Select"] = text_of("Select", SELECT, options.select)
        # Java's client for SDK v1 sends one of no bytes for none.
        if options.exclusive_start_key:
            params["ExclusiveStartKey"] = self._start_key(request, options.exclusive_start_key)
        self._project(params, request.table, options.projection, placeholders)
        self._returns(params, request)
        return self._finish(params, placeholders)

    def _is_unmeant(self, options: Options) -> bool:
        """Go's client for SDK v2 writes ALL_ATTRIBUTES where an application has not set Select,
        and nothing where it has set that. DynamoDB refuses it with a projection and on most
        global indexes, and would fetch more than was asked for by local ones."""
        return (
            self._client is Family.GO_V2
            and options.select == _ALL_ATTRIBUTES
            and (options.projection is not None or options.index_name is not None)
        )

    def _start_key(self, request: Query | Scan, key: bytes) -> Item:
        try:
            if request.options.index_name is not None:
                return decode_compound_key(key)
            return decode_key(self._schema_of(request.table), key)
        except ProtocolError:
            raise _invalid("The provided starting key is invalid") from None

    # -- batches ----------------------------------------------------------------------------

    def batch_get(self, request: BatchGetItem) -> Params:
        keys = [(table, key) for table, get in request.tables.items() for key in get.keys]
        if len(keys) > BATCH_GET_KEYS_MAX:
            raise _invalid("Too many items requested for the BatchGetItem call")
        if not request.tables:
            raise _constraint("{}", "requestItems", "length greater than or equal to 1")
        self._require_distinct(keys, "Provided list of item keys contains duplicates")
        params: Params = {
            "RequestItems": {
                table: self._batch_get_table(table, get) for table, get in request.tables.items()
            }
        }
        self._returns(params, request)
        return params

    def _batch_get_table(self, table: str, get: BatchGet) -> Params:
        if not get.keys:
            raise _constraint(
                "[]", f"requestItems.{table}.member.keys", "length greater than or equal to 1"
            )
        params: Params = {"Keys": [self._key(table, key) for key in get.keys]}
        if get.consistent:
            params["ConsistentRead"] = True
        placeholders = Placeholders()
        self._project(params, table, get.projection, placeholders)
        return self._finish(params, placeholders)

    def batch_write(self, request: BatchWriteItem) -> Params:
        keys = [(table, key) for table, writes in request.tables.items() for key, _ in writes]
        if len(keys) > BATCH_WRITE_ITEMS_MAX:
            raise _invalid("Too many items requested for the BatchWriteItem call")
        if not request.tables:
            raise _constraint("{}", "requestItems", "length greater than or equal to 1")
        tables: dict[str, list[Params]] = {}
        for table, writes in request.tables.items():
            if not writes:
                raise _constraint(
                    "[]", f"requestItems.{table}.member", "length greater than or equal to 1"
                )
            tables[table] = [
                {"DeleteRequest": {"Key": self._key(table, key)}}
                if values is None
                else {"PutRequest": {"Item": self._item(table, key, values)}}
                for key, values in writes
            ]
        self._require_distinct(keys, "Provided list of item keys contains duplicates")
        params: Params = {"RequestItems": tables}
        self._returns(params, request)
        return params

    # -- transactions -----------------------------------------------------------------------

    def _check_transaction(self, items: Sequence[TransactGet | TransactWrite]) -> None:
        if not items:
            raise _constraint("[]", "transactItems", "length greater than or equal to 1")
        if len(items) > TRANSACTION_ITEMS_MAX:
            raise _constraint(
                f"[{len(items)} items]",
                "transactItems",
                f"length less than or equal to {TRANSACTION_ITEMS_MAX}",
            )
        self._require_distinct(
            ((item.table, item.key) for item in items),
            "Transaction request cannot include multiple operations on one item",
        )

    def transact_get(self, request: TransactGetItems) -> Params:
        self._check_transaction(request.items)
        gets = []
        for item in request.items:
            get: Params = {"TableName": item.table, "Key": self._key(item.table, item.key)}
            placeholders = Placeholders()
            self._project(get, item.table, item.projection, placeholders)
            gets.append({"Get": self._finish(get, placeholders)})
        params: Params = {"TransactItems": gets}
        self._returns(params, request)
        return params

    def transact_write(self, request: TransactWriteItems) -> Params:
        self._check_transaction(request.items)
        params: Params = {"TransactItems": [self._transact_item(item) for item in request.items]}
        self._returns(params, request)
        if request.options.client_request_token is not None:
            params["ClientRequestToken"] = request.options.client_request_token
        return params

    def _transact_item(self, item: TransactWrite) -> Params:
        write: Params = {"TableName": item.table}
        placeholders = Placeholders()
        match item.operation:
            case TransactOperation.PUT:
                kind = "Put"
                # Without values: an item of key attributes only.
                write["Item"] = self._item(item.table, item.key, item.values or b"\x01")
            case TransactOperation.UPDATE:
                kind = "Update"
                write["Key"] = self._key(item.table, item.key)
                if item.update is not None:
                    write["UpdateExpression"] = decode_update(item.update, placeholders)
            case TransactOperation.DELETE:
                kind = "Delete"
                write["Key"] = self._key(item.table, item.key)
            case TransactOperation.CONDITION_CHECK:
                kind = "ConditionCheck"
                write["Key"] = self._key(item.table, item.key)
            case _:
                raise _invalid(f"A transaction cannot hold operation {item.operation}")
        if item.condition is not None:
            write["ConditionExpression"] = decode_condition(item.condition, placeholders)
        if item.return_values_on_failure is not None:
            text = text_of(
                "ReturnValuesOnConditionCheckFailure",
                RETURN_VALUES_ON_FAILURE,
                item.return_values_on_failure,
            )
            if text != "NONE":
                write["ReturnValuesOnConditionCheckFailure"] = text
        return {kind: self._finish(write, placeholders)}
