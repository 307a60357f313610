"""Requests as records: what a frame says, without a table's schema or attribute lists.

docs/dax-protocol.md sections 2.1 and 4. Keys, values and expressions stay the byte strings that
they are on the wire; ``server.params`` gives them meaning.
"""

from dataclasses import dataclass, field
from typing import ClassVar, TypeAlias

from paceline.dax.methods import Method
from paceline.dax.options import NO_OPTIONS, Options


@dataclass(frozen=True, slots=True)
class Endpoints:
    method: ClassVar[Method] = Method.ENDPOINTS


@dataclass(frozen=True, slots=True)
class Authorize:
    """A signature for the connection. It has no reply; it stands in front of a request."""

    method: ClassVar[Method] = Method.AUTHORIZE_CONNECTION
    access_key: str
    signature: str
    string_to_sign: bytes
    token: str | None = None
    user_agent: str | None = None


@dataclass(frozen=True, slots=True)
class DefineKeySchema:
    method: ClassVar[Method] = Method.DEFINE_KEY_SCHEMA
    table: str


@dataclass(frozen=True, slots=True)
class DefineAttributeListId:
    """Asks for the id of a sequence of names."""

    method: ClassVar[Method] = Method.DEFINE_ATTRIBUTE_LIST_ID
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DefineAttributeList:
    """Asks for the names behind an id."""

    method: ClassVar[Method] = Method.DEFINE_ATTRIBUTE_LIST
    id: int


@dataclass(frozen=True, slots=True)
class GetItem:
    method: ClassVar[Method] = Method.GET_ITEM
    table: str
    key: bytes
    options: Options = NO_OPTIONS


@dataclass(frozen=True, slots=True)
class PutItem:
    method: ClassVar[Method] = Method.PUT_ITEM
    table: str
    key: bytes
    values: bytes
    options: Options = NO_OPTIONS


@dataclass(frozen=True, slots=True)
class UpdateItem:
    method: ClassVar[Method] = Method.UPDATE_ITEM
    table: str
    key: bytes
    options: Options = NO_OPTIONS


@dataclass(frozen=True, slots=True)
class DeleteItem:
    method: ClassVar[Method] = Method.DELETE_ITEM
    table: str
    key: bytes
    options: Options = NO_OPTIONS


@dataclass(frozen=True, slots=True)
class Query:
    method: ClassVar[Method] = Method.QUERY
    table: str
    key_condition: bytes | None
    options: Options = NO_OPTIONS


@dataclass(frozen=True, slots=True)
class Scan:
    method: ClassVar[Method] = Method.SCAN
    table: str
    options: Options = NO_OPTIONS


@dataclass(frozen=True, slots=True)
class BatchGet:
    """What a BatchGetItem asks of one table."""

    consistent: bool
    projection: bytes | None
    keys: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class BatchGetItem:
    method: ClassVar[Method] = Method.BATCH_GET_ITEM
    tables: dict[str, BatchGet] = field(hash=False)
    options: Options = NO_OPTIONS


@dataclass(frozen=True, slots=True)
class BatchWriteItem:
    """``tables``: (key, values) of each put, (key, None) of each delete, in order."""

    method: ClassVar[Method] = Method.BATCH_WRITE_ITEM
    tables: dict[str, tuple[tuple[bytes, bytes | None], ...]] = field(hash=False)
    options: Options = NO_OPTIONS


@dataclass(frozen=True, slots=True)
class TransactGet:
    table: str
    key: bytes
    projection: bytes | None = None


@dataclass(frozen=True, slots=True)
class TransactGetItems:
    method: ClassVar[Method] = Method.TRANSACT_GET_ITEMS
    items: tuple[TransactGet, ...]
    options: Options = NO_OPTIONS


@dataclass(frozen=True, slots=True)
class TransactWrite:
    """One item of a transaction; ``operation`` as on the wire (``TransactOperation``)."""

    operation: int
    table: str
    key: bytes
    values: bytes | None = None
    return_values_on_failure: int | None = None
    condition: bytes | None = None
    update: bytes | None = None


@dataclass(frozen=True, slots=True)
class TransactWriteItems:
    method: ClassVar[Method] = Method.TRANSACT_WRITE_ITEMS
    items: tuple[TransactWrite, ...]
    options: Options = NO_OPTIONS


@dataclass(frozen=True, slots=True)
class RawRequest:
    """A request of DynamoDB's HTTP API, for what the other methods have no place for.

    ``target``: the value of X-Amz-Target. ``body``: JSON.
    """

    method: ClassVar[Method] = Method.RAW_REQUEST
    target: str
    body: bytes


DataRequest: TypeAlias = (
    GetItem
    | PutItem
    | UpdateItem
    | DeleteItem
    | Query
    | Scan
    | BatchGetItem
    | BatchWriteItem
    | TransactGetItems
    | TransactWriteItems
)
"""Requests that are DynamoDB operations."""

Request: TypeAlias = (
    DataRequest
    | Endpoints
    | DefineKeySchema
    | DefineAttributeListId
    | DefineAttributeList
    | RawRequest
)
"""Requests that get a reply."""
