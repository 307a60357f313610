"""Converts exceptions to DAX error replies and back: docs/dax-protocol.md section 6.

An error reply is a code sequence, a message and details. The codes decide in which class a
client raises it and, with the HTTP status, whether the client repeats the call:

* codes that begin with 4 say that nothing happened. Python still repeats them, twice; JS and Go
  repeat throttling only.
* ``READ_FAILED`` begins with 1: every client repeats a read, JS and Go on another node.
* ``OUTCOME_UNKNOWN`` begins with 3, names an internal error and has no HTTP status: the one form
  that neither Python nor JS nor Go repeats. A repeated write would be made twice.
* Java repeats just that one: it turns an internal error of a write into an error of its own that
  it then takes for a broken connection. It gets ``OUTCOME_UNKNOWN_JAVA``, which it only names.

All other codes go to every client family alike.
"""

from typing import Any, Final

from paceline.dax.attribute_lists import ListId, NamesOf, decode_item, encode_item
from paceline.dax.cbor import (
    Reader,
    write_array,
    write_bytes,
    write_int,
    write_null,
    write_text,
    write_text_or_null,
)
from paceline.dax.family import Family
from paceline.dax.keys import decode_key
from paceline.dax.request_types import Authorize, Request, TransactWriteItems
from paceline.errors import (
    DynamoDBError,
    NotSent,
    OutcomeUnknown,
    PacelineError,
    ProtocolError,
    ServiceError,
    Unavailable,
)
from paceline.types import SchemaOf

Codes = tuple[int, ...]

CODES: Final[dict[str, Codes]] = {
    "ProvisionedThroughputExceededException": (4, 37, 38, 39, 40),
    "ResourceNotFoundException": (4, 37, 38, 39, 41),
    "ConditionalCheckFailedException": (4, 37, 38, 39, 43),
    "ResourceInUseException": (4, 37, 38, 39, 45),
    "ValidationException": (4, 37, 38, 39, 46),
    "ItemCollectionSizeLimitExceededException": (4, 37, 38, 39, 48),
    "LimitExceededException": (4, 37, 38, 39, 49),
    "ThrottlingException": (4, 37, 38, 39, 50),
    "TransactionConflictException": (4, 37, 38, 39, 57),
    "TransactionCanceledException": (4, 37, 38, 39, 58),
    "TransactionInProgressException": (4, 37, 38, 39, 59),
    "IdempotentParameterMismatchException": (4, 37, 38, 39, 60),
    "RequestLimitExceeded": (4, 37, 38, 39, 61),
    "AccessDeniedException": (4, 37, 38, 42),
}
"""Codes of errors that DynamoDB names."""

OTHER: Final[Codes] = (4, 37, 38, 39, 63)
"""The code for any other name. No client knows the number, so each takes the name in the
details."""

AUTHENTICATION: Final[Codes] = (4, 23, 31, 33)
"""The connection's signature was refused: JS and Go sign again before their next request."""

OUTCOME_UNKNOWN: Final[Codes] = (3, 37, 38, 39, 47)
OUTCOME_UNKNOWN_JAVA: Final[Codes] = (3, 37, 38, 39, 63)
READ_FAILED: Final[Codes] = (1, 37, 38, 39, 47)

_NO_STATUS_JAVA: Final = 0
"""Java fails on null; this is what its exceptions have that no HTTP status belongs to."""

_AMBIGUOUS: Final = frozenset(
    {OUTCOME_UNKNOWN, OUTCOME_UNKNOWN_JAVA, (1, 37, 38, 53), (1, 37, 38, 55)}
)
_NAMES: Final = {
    **{codes: name for name, codes in CODES.items()},
    (4, 23, 24): "ResourceNotFoundException",
    (4, 23, 35): "ResourceInUseException",
    (4, 37, 38, 39, 47): "InternalServerError",
    READ_FAILED: "InternalServerError",
    AUTHENTICATION: "MissingAuthenticationTokenException",
}

_CANCELED: Final = "TransactionCanceledException"
_INTERNAL: Final = "InternalServerError"
_INTERNAL_MESSAGE: Final = "Internal server error"
_REASONS_MAX: Final = 10_000


class AuthenticationError(ServiceError):
    """The signature of a connection was refused, or it has none and needs one."""

    def __init__(self, message: str, name: str = "UnrecognizedClientException") -> None:
        super().__init__(name, message, 400)


def encode_error(
    exc: BaseException,
    *,
    client: Family = Family.UNKNOWN,
    read: bool = False,
    request: Request | None = None,
    schema_of: SchemaOf | None = None,
    list_id: ListId | None = None,
) -> bytes:
    """The whole error reply for ``exc``, of whatever kind it is.

    ``read``: the request changes nothing, so the client may repeat it after an internal error;
    without it, an internal error is reported as an unknown outcome. ``request``, ``schema_of``
    and ``list_id`` are needed only for the items in a cancelled transaction's reasons, which are
    left out without them.
    """
    if isinstance(exc, ServiceError):
        if (exc.status or 400) >= 500:
            if read:
                return _encode(READ_FAILED, exc.message, exc.name, exc.status, _request_id(exc))
            return _encode_unknown(client, exc.message, exc.name, _request_id(exc))
        if isinstance(exc, AuthenticationError):
            return _encode(AUTHENTICATION, exc.message, exc.name, exc.status, None)
        reasons: bytes | None = None
        if isinstance(exc, DynamoDBError) and exc.name == _CANCELED and exc.reasons is not None:
            reasons = _encode_reasons(exc.reasons, request, schema_of, list_id)
        codes = CODES.get(exc.name, OTHER)
        return _encode(codes, exc.message, exc.name, exc.status, _request_id(exc), reasons)
    if isinstance(exc, NotSent | Unavailable):
        name = "ThrottlingException"
        return _encode(CODES[name], str(exc), name, 400, None)
    if isinstance(exc, OutcomeUnknown):
        return _encode_unknown(client, str(exc))
    if isinstance(exc, ProtocolError):
        name = "ValidationException"
        return _encode(CODES[name], str(exc), name, 400, None)
    # Not raised on purpose: its text may hold what is nobody else's business.
    if read:
        return _encode(READ_FAILED, _INTERNAL_MESSAGE, _INTERNAL, 500, None)
    return _encode_unknown(client, _INTERNAL_MESSAGE)


def _encode_unknown(
    client: Family, message: str, name: str = _INTERNAL, request_id: str | None = None
) -> bytes:
    if client is Family.JAVA:
        return _encode(OUTCOME_UNKNOWN_JAVA, message, name, _NO_STATUS_JAVA, request_id)
    return _encode(OUTCOME_UNKNOWN, message, name, None, request_id)


def _request_id(exc: ServiceError) -> str | None:
    return exc.request_id if isinstance(exc, DynamoDBError) else None


def _encode(
    codes: Codes,
    message: str,
    name: str,
    status: int | None,
    request_id: str | None,
    reasons: bytes | None = None,
) -> bytes:
    """``reasons``: their array, encoded."""
    out = bytearray()
    write_array(out, len(codes))
    for code in codes:
        write_int(out, code)
    write_text(out, message or "")
    write_array(out, 3 if reasons is None else 4)
    write_text_or_null(out, request_id)
    write_text(out, name)
    if status is None:
        write_null(out)
    else:
        write_int(out, status)
    if reasons is not None:
        out += reasons
    return bytes(out)


def _encode_reasons(
    reasons: list[dict[str, Any]],
    request: Request | None,
    schema_of: SchemaOf | None,
    list_id: ListId | None,
) -> bytes:
    """A flat array of (code, message, item's values) per item of the transaction."""
    tables: list[str] = []
    if isinstance(request, TransactWriteItems):
        tables = [item.table for item in request.items]
    out = bytearray()
    write_array(out, 3 * len(reasons))
    for position, reason in enumerate(reasons):
        write_text(out, reason.get("Code") or "None")
        write_text_or_null(out, reason.get("Message"))
        item = reason.get("Item")
        if not item or schema_of is None or list_id is None or position >= len(tables):
            write_null(out)
        else:
            write_bytes(out, encode_item(item, schema_of(tables[position]), list_id))
    return bytes(out)


def decode_error(reader: Reader) -> PacelineError:
    """Reads an error reply's three values as the exception that it stands for.

    ``OutcomeUnknown`` for the ambiguous codes, else a ``DynamoDBError``. Items in the reasons of
    a cancelled transaction are still encoded; ``decode_reasons`` finishes them.
    """
    codes = tuple(_read_codes(reader))
    message = reader.read_text()
    request_id = name = status = reasons = None
    if reader.is_null():
        reader.read_null()
    else:
        count = reader.read_array()
        if count not in (3, 4):
            raise ProtocolError(f"an error has {count} details")
        request_id, name = reader.read_text_or_null(), reader.read_text_or_null()
        status = reader.read_int_or_null()
        if count == 4:
            reasons = _read_reasons(reader)
    if codes in _AMBIGUOUS:
        return OutcomeUnknown(message)
    name = name or _NAMES.get(codes, _INTERNAL)
    return DynamoDBError(name, message, status, request_id=request_id, reasons=reasons)


def _read_codes(reader: Reader) -> list[int]:
    count = reader.read_array()
    codes: list[int] = []
    while reader.more(len(codes), count):
        codes.append(reader.read_int())
    return codes


def _read_reasons(reader: Reader) -> list[dict[str, Any]]:
    count = reader.read_array()
    if count < 0 or count % 3 or count > _REASONS_MAX:
        raise ProtocolError(f"{count} elements cannot be cancellation reasons")
    reasons: list[dict[str, Any]] = []
    for _ in range(count // 3):
        reason: dict[str, Any] = {"Code": reader.read_text_or_null() or "None"}
        message = reader.read_text_or_null()
        if message is not None:
            reason["Message"] = message
        item = reader.read_bytes_or_null()
        if item is not None:
            reason["Item"] = item
        reasons.append(reason)
    return reasons


def decode_reasons(
    error: DynamoDBError,
    request: Request | Authorize,
    schema_of: SchemaOf,
    names_of: NamesOf,
) -> None:
    """Turns the items in the reasons of a cancelled transaction into attributes, in place."""
    if not isinstance(request, TransactWriteItems):
        return
    for reason, sent in zip(error.reasons or (), request.items, strict=False):
        if isinstance(reason.get("Item"), bytes):
            key = decode_key(schema_of(sent.table), sent.key)
            reason["Item"] = {**key, **decode_item(reason["Item"], names_of)}
