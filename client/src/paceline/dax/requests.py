"""Encodes and parses request frames: docs/dax-protocol.md sections 2.1 and 4."""

from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from paceline.dax.cbor import (
    BYTES,
    TAG,
    Buffer,
    Reader,
    Scanner,
    write_array,
    write_bool,
    write_bytes,
    write_bytes_or_null,
    write_int,
    write_map,
    write_null,
    write_text,
    write_text_or_null,
)
from paceline.dax.cbor_types import TAG_STRING_SET
from paceline.dax.methods import SERVICE_ID, Method
from paceline.dax.options import Options, decode_name, read_options, write_options
from paceline.dax.request_types import (
    Authorize,
    BatchGet,
    BatchGetItem,
    BatchWriteItem,
    DataRequest,
    DefineAttributeList,
    DefineAttributeListId,
    DefineKeySchema,
    DeleteItem,
    Endpoints,
    GetItem,
    PutItem,
    Query,
    RawRequest,
    Request,
    Scan,
    TransactGet,
    TransactGetItems,
    TransactWrite,
    TransactWriteItems,
    UpdateItem,
)
from paceline.errors import ProtocolError

__all__ = [
    "Authorize",
    "BatchGet",
    "BatchGetItem",
    "BatchWriteItem",
    "DataRequest",
    "DefineAttributeList",
    "DefineAttributeListId",
    "DefineKeySchema",
    "DeleteItem",
    "Endpoints",
    "GetItem",
    "Options",
    "PutItem",
    "Query",
    "RawRequest",
    "Request",
    "Scan",
    "TransactGet",
    "TransactGetItems",
    "TransactWrite",
    "TransactWriteItems",
    "UpdateItem",
    "encode_request",
    "parse_request",
    "read_method",
]

_T = TypeVar("_T")

BATCH_ENTRIES_MAX = 10_000
"""The most keys or items of one batch or transaction that are parsed. DynamoDB takes 100; more get
its own error message, many more are no honest mistake."""

ATTRIBUTES_MAX = 100_000
"""The most names of one attribute list. An item of 400 KB has no room for more: name and value take
four bytes at least once the one-letter names are used up."""


PLAIN_TAILS: Final = frozenset(
    bytes.fromhex(tail) for tail in ("bf0300ff", "bfff", "f6", "bf02f40300ff", "bf02f4ff")
)
"""The options of an eventually consistent GetItem of a whole item, as the clients encode them."""

CONSISTENT_TAILS: Final = frozenset(
    bytes.fromhex(tail) for tail in ("bf02f50300ff", "bf02f5ff", "bf030002f5ff")
)
"""The options of a consistent GetItem of a whole item."""

GET_ITEM_HEAD: Final = bytes.fromhex("011a0fb0cc6a")
"""The first bytes of every GetItem: service id and method id."""
_BYTES_0: Final = BYTES << 5
"""The head of a string of no bytes."""
_TAIL_BYTES_MAX: Final = max(map(len, PLAIN_TAILS | CONSISTENT_TAILS))


def _of_tail(tail: bytes) -> tuple[Options, int]:
    scanner = Scanner(0, 1)
    scanner.scan(tail)
    return read_options(Reader(tail)), scanner.seen


_OF_TAIL: Final = {tail: _of_tail(tail) for tail in PLAIN_TAILS | CONSISTENT_TAILS}
"""The options, and the number of their elements."""


# -- reading -----------------------------------------------------------------------------------


def read_method(reader: Reader) -> Method:
    """Reads service and method id; ProtocolError when nobody knows where such a request ends."""
    service = reader.read_int()
    if service != SERVICE_ID:
        raise ProtocolError(f"service {service} is unknown; DAX requests name service {SERVICE_ID}")
    number = reader.read_int()
    try:
        return Method(number)
    except ValueError:
        raise ProtocolError(f"method {number} is unknown or not supported") from None


def parse_request(method: Method, reader: Reader) -> Request | Authorize:
    """Reads the arguments of ``method``, in front of which ``reader`` stands."""
    return _PARSERS[method](reader)


def read_plain_get(frame: Buffer) -> tuple[GetItem, int] | None:
    """Returns the GetItem of a whole item that ``frame`` consists of, and the number of elements
    behind its method. None: it is anything else, or not whole.

    Most requests that miss a cache are that, and to look for the end of any request, and to read
    it, takes five times as long.
    """
    if frame[: len(GET_ITEM_HEAD)] != GET_ITEM_HEAD:
        return None
    at = len(GET_ITEM_HEAD)
    parts: list[bytes] = []
    for _ in range(2):
        head = frame[at] if at < len(frame) else 0
        if _BYTES_0 <= head < _BYTES_0 + 24:
            start, size = at + 1, head - _BYTES_0
        elif head == _BYTES_0 + 24 and at + 1 < len(frame):
            start, size = at + 2, frame[at + 1]
        else:
            return None
        at = start + size
        parts.append(bytes(frame[start:at]))
    found = _OF_TAIL.get(bytes(frame[at : at + _TAIL_BYTES_MAX + 1]))
    if found is None:
        return None
    options, elements = found
    return GetItem(decode_name(parts[0]), parts[1], options), 2 + elements


def _table(reader: Reader) -> str:
    return decode_name(reader.read_bytes())


def _past_set_tag(reader: Reader) -> Reader:
    """Java sends the names of an attribute list as a string set."""
    if reader.peek_major() == TAG and reader.read_tag() != TAG_STRING_SET:
        raise ProtocolError("an attribute list is an array or a string set")
    return reader


def _sequence(
    reader: Reader, read: Callable[[Reader], _T], count_max: int = BATCH_ENTRIES_MAX
) -> list[_T]:
    count = reader.read_array()
    elements: list[_T] = []
    while reader.more(len(elements), count):
        if len(elements) >= count_max:
            raise ProtocolError(f"an array of more than {count_max} elements")
        elements.append(read(reader))
    return elements


def _sequence_or_nulls(
    reader: Reader, read: Callable[[Reader], _T | None], count: int
) -> list[_T | None]:
    """An array of ``count`` elements; null in its place stands for as many nulls."""
    if reader.is_null():
        reader.read_null()
        return [None] * count
    elements = _sequence(reader, read)
    if len(elements) != count:
        raise ProtocolError(f"an array of {len(elements)} elements for {count} items")
    return elements


def _read_authorize(reader: Reader) -> Authorize:
    return Authorize(
        reader.read_text(),
        reader.read_text(),
        reader.read_bytes(),
        reader.read_text_or_null(),
        reader.read_text_or_null(),
    )


def _read_query(reader: Reader) -> Query:
    return Query(_table(reader), reader.read_bytes_or_null(), read_options(reader))


def _read_tables(reader: Reader, read: Callable[[Reader], _T]) -> dict[str, _T]:
    count = reader.read_map()
    tables: dict[str, _T] = {}
    while reader.more(len(tables), count):
        table = reader.read_text()
        if table in tables or len(tables) >= BATCH_ENTRIES_MAX:
            raise ProtocolError(f"a batch names table {table!r} twice, or far too many tables")
        tables[table] = read(reader)
    return tables


def _read_batch_get(reader: Reader) -> BatchGet:
    count = reader.read_array()
    consistent = not reader.is_null() and reader.read_bool()
    projection = reader.read_bytes_or_null()
    keys = tuple(_sequence(reader, Reader.read_bytes))
    if count != 3 and not (count == -1 and reader.at_break()):
        raise ProtocolError("a table of a batch is consistency, projection and keys")
    return BatchGet(consistent, projection, keys)


def _read_batch_writes(reader: Reader) -> tuple[tuple[bytes, bytes | None], ...]:
    flat = _sequence(reader, Reader.read_bytes_or_null)
    if len(flat) % 2:
        raise ProtocolError("a key without values in a batch")
    writes: list[tuple[bytes, bytes | None]] = []
    for key, values in zip(flat[::2], flat[1::2], strict=True):
        if key is None:
            raise ProtocolError("a key is null in a batch")
        writes.append((key, values))
    return tuple(writes)


def _read_transact_gets(reader: Reader) -> TransactGetItems:
    tables = _sequence(reader, _table)
    keys = _sequence(reader, Reader.read_bytes)
    projections = _sequence_or_nulls(reader, Reader.read_bytes_or_null, len(tables))
    if len(keys) != len(tables):
        raise ProtocolError("a transaction's arrays differ in length")
    items = map(TransactGet, tables, keys, projections)
    return TransactGetItems(tuple(items), read_options(reader))


def _read_transact_writes(reader: Reader) -> TransactWriteItems:
    operations = _sequence(reader, Reader.read_int)
    tables = _sequence(reader, _table)
    keys = _sequence(reader, Reader.read_bytes)
    count = len(operations)
    if len(tables) != count or len(keys) != count:
        raise ProtocolError("a transaction's arrays differ in length")
    values = _sequence_or_nulls(reader, Reader.read_bytes_or_null, count)
    _sequence_or_nulls(reader, Reader.read_int_or_null, count)  # return values: there are none
    on_failure = _sequence_or_nulls(reader, Reader.read_int_or_null, count)
    conditions = _sequence_or_nulls(reader, Reader.read_bytes_or_null, count)
    updates = _sequence_or_nulls(reader, Reader.read_bytes_or_null, count)
    items = map(TransactWrite, operations, tables, keys, values, on_failure, conditions, updates)
    return TransactWriteItems(tuple(items), read_options(reader))


_PARSERS: Final[dict[Method, Callable[[Reader], Request | Authorize]]] = {
    Method.AUTHORIZE_CONNECTION: _read_authorize,
    Method.ENDPOINTS: lambda _: Endpoints(),
    Method.DEFINE_KEY_SCHEMA: lambda r: DefineKeySchema(_table(r)),
    Method.DEFINE_ATTRIBUTE_LIST_ID: lambda r: DefineAttributeListId(
        tuple(_sequence(_past_set_tag(r), Reader.read_text, ATTRIBUTES_MAX))
    ),
    Method.DEFINE_ATTRIBUTE_LIST: lambda r: DefineAttributeList(r.read_int()),
    Method.GET_ITEM: lambda r: GetItem(_table(r), r.read_bytes(), read_options(r)),
    Method.PUT_ITEM: lambda r: PutItem(_table(r), r.read_bytes(), r.read_bytes(), read_options(r)),
    Method.UPDATE_ITEM: lambda r: UpdateItem(_table(r), r.read_bytes(), read_options(r)),
    Method.DELETE_ITEM: lambda r: DeleteItem(_table(r), r.read_bytes(), read_options(r)),
    Method.QUERY: _read_query,
    Method.SCAN: lambda r: Scan(_table(r), read_options(r)),
    Method.BATCH_GET_ITEM: lambda r: BatchGetItem(
        _read_tables(r, _read_batch_get), read_options(r)
    ),
    Method.BATCH_WRITE_ITEM: lambda r: BatchWriteItem(
        _read_tables(r, _read_batch_writes), read_options(r)
    ),
    Method.TRANSACT_GET_ITEMS: _read_transact_gets,
    Method.TRANSACT_WRITE_ITEMS: _read_transact_writes,
    Method.RAW_REQUEST: lambda r: RawRequest(r.read_text(), r.read_bytes()),
}


# -- writing -----------------------------------------------------------------------------------


def encode_request(request: Request | Authorize) -> bytes:
    """The whole frame: service id, method id, arguments."""
    out = bytearray()
    write_int(out, SERVICE_ID)
    write_int(out, request.method)
    match request:
        case Endpoints():
            pass
        case Authorize():
            write_text(out, request.access_key)
            write_text(out, request.signature)
            write_bytes(out, request.string_to_sign)
            write_text_or_null(out, request.token)
            write_text_or_null(out, request.user_agent)
        case DefineKeySchema():
            _write_table(out, request.table)
        case DefineAttributeListId():
            _write_all(out, request.names, write_text)
        case DefineAttributeList():
            write_int(out, request.id)
        case GetItem():
            _write_table(out, request.table)
            write_bytes(out, request.key)
            write_options(out, request.options, boolean_flags=True)
        case PutItem():
            _write_table(out, request.table)
            write_bytes(out, request.key)
            write_bytes(out, request.values)
            write_options(out, request.options)
        case UpdateItem() | DeleteItem():
            _write_table(out, request.table)
            write_bytes(out, request.key)
            write_options(out, request.options)
        case Query():
            _write_table(out, request.table)
            write_bytes_or_null(out, request.key_condition)
            write_options(out, request.options)
        case Scan():
            _write_table(out, request.table)
            write_options(out, request.options)
        case BatchGetItem() | BatchWriteItem():
            _write_batch(out, request)
        case TransactGetItems():
            _write_transact_gets(out, request)
        case TransactWriteItems():
            _write_transact_writes(out, request)
        case RawRequest():
            write_text(out, request.target)
            write_bytes(out, request.body)
    return bytes(out)


def _write_table(out: bytearray, table: str) -> None:
    write_bytes(out, table.encode())


def _write_all(
    out: bytearray, elements: Sequence[_T], write: Callable[[bytearray, _T], None]
) -> None:
    write_array(out, len(elements))
    for element in elements:
        write(out, element)


def _write_batch(out: bytearray, request: BatchGetItem | BatchWriteItem) -> None:
    write_map(out, len(request.tables))
    if isinstance(request, BatchGetItem):
        for table, get in request.tables.items():
            write_text(out, table)
            write_array(out, 3)
            write_bool(out, get.consistent)
            write_bytes_or_null(out, get.projection)
            _write_all(out, get.keys, write_bytes)
    else:
        for table, writes in request.tables.items():
            write_text(out, table)
            write_array(out, 2 * len(writes))
            for key, values in writes:
                write_bytes(out, key)
                write_bytes_or_null(out, values)
    write_options(out, request.options)


def _write_transact_gets(out: bytearray, request: TransactGetItems) -> None:
    items = request.items
    _write_all(out, [item.table for item in items], _write_table)
    _write_all(out, [item.key for item in items], write_bytes)
    _write_all(out, [item.projection for item in items], write_bytes_or_null)
    write_options(out, request.options)


def _write_transact_writes(out: bytearray, request: TransactWriteItems) -> None:
    items = request.items
    _write_all(out, [item.operation for item in items], write_int)
    _write_all(out, [item.table for item in items], _write_table)
    _write_all(out, [item.key for item in items], write_bytes)
    _write_all(out, [item.values for item in items], write_bytes_or_null)
    write_null(out)  # return values: there are none
    _write_all(out, [item.return_values_on_failure or 1 for item in items], write_int)
    _write_all(out, [item.condition for item in items], write_bytes_or_null)
    _write_all(out, [item.update for item in items], write_bytes_or_null)
    write_options(out, request.options)
