"""Errors as gRPC has them: a status code, and what it was in the trailing metadata."""

from __future__ import annotations

from dataclasses import dataclass

import grpc
import structlog

from cluster.transport.grpc_errors import ERROR_KEY, STATUS_KEY, cut, rich_status
from node.frontends.grpc.values import fill_item
from paceline.errors import (
    DynamoDBError,
    NotSent,
    OutcomeUnknown,
    PacelineError,
    ServiceError,
    Unavailable,
)
from paceline.types import Item
from paceline.v1 import data_pb2 as pb

METADATA_BYTES_MAX = 4096
"""The most bytes of an Error in the metadata. gRPC's implementations take 8 KB of metadata in all
by default, some no more."""
OUTCOME_UNKNOWN = "OutcomeUnknownException"
NOT_SENT = "NotSentException"
UNAVAILABLE = "UnavailableException"
"""The names of errors that DynamoDB has no name for."""

_log = structlog.get_logger()

_CODES = {
    "ConditionalCheckFailedException": grpc.StatusCode.FAILED_PRECONDITION,
    "ItemCollectionSizeLimitExceededException": grpc.StatusCode.FAILED_PRECONDITION,
    "ResourceInUseException": grpc.StatusCode.FAILED_PRECONDITION,
    "TransactionCanceledException": grpc.StatusCode.ABORTED,
    "TransactionConflictException": grpc.StatusCode.ABORTED,
    "TransactionInProgressException": grpc.StatusCode.ABORTED,
    "ReplicatedWriteConflictException": grpc.StatusCode.ABORTED,
    "ResourceNotFoundException": grpc.StatusCode.NOT_FOUND,
    "ThrottlingException": grpc.StatusCode.RESOURCE_EXHAUSTED,
    "ProvisionedThroughputExceededException": grpc.StatusCode.RESOURCE_EXHAUSTED,
    "RequestLimitExceeded": grpc.StatusCode.RESOURCE_EXHAUSTED,
    "LimitExceededException": grpc.StatusCode.RESOURCE_EXHAUSTED,
    "AccessDeniedException": grpc.StatusCode.PERMISSION_DENIED,
    "UnrecognizedClientException": grpc.StatusCode.PERMISSION_DENIED,
    "InvalidSignatureException": grpc.StatusCode.PERMISSION_DENIED,
    "ExpiredTokenException": grpc.StatusCode.PERMISSION_DENIED,
    "MissingAuthenticationTokenException": grpc.StatusCode.PERMISSION_DENIED,
    "InternalServerError": grpc.StatusCode.UNAVAILABLE,
    "ServiceUnavailable": grpc.StatusCode.UNAVAILABLE,
}
"""A name that is not listed is the request's fault if its HTTP status is 4xx."""


@dataclass(frozen=True, slots=True)
class GrpcStatus:
    code: grpc.StatusCode
    message: str
    trailing_metadata: tuple[tuple[str, bytes], ...]


def status_of(error: PacelineError, code: grpc.StatusCode | None = None) -> GrpcStatus:
    """Returns the status that tells ``error``, with ``code`` where it is another than usual. Only
    UNKNOWN leaves open whether a write has happened: unlike UNAVAILABLE and ABORTED, no client
    repeats it by default."""
    told = pb.Error(outcome=pb.REQUEST_OUTCOME_NOTHING_DONE)
    item: Item | None = None
    reasons = None
    match error:
        case ServiceError():
            server = error.status is None or error.status >= 500
            code = code or _CODES.get(
                error.name,
                grpc.StatusCode.UNAVAILABLE if server else grpc.StatusCode.INVALID_ARGUMENT,
            )
            told.code, told.message = error.name, error.message
            if isinstance(error, DynamoDBError):
                item, reasons = error.item, error.reasons
        case OutcomeUnknown():
            code = grpc.StatusCode.UNKNOWN
            told.outcome = pb.REQUEST_OUTCOME_UNKNOWN
            told.code, told.message = OUTCOME_UNKNOWN, str(error)
        case NotSent():
            code = grpc.StatusCode.UNAVAILABLE
            told.code, told.message = NOT_SENT, str(error)
        case Unavailable():
            code = grpc.StatusCode.UNAVAILABLE
            told.code, told.message = UNAVAILABLE, str(error)
        case _:
            code = grpc.StatusCode.INTERNAL
            told.code, told.message = "InternalServerError", str(error)
    message = cut(told.message)
    if message != told.message:
        told.message, told.truncated = message, True
    plain = pb.Error.FromString(told.SerializeToString())
    try:
        _add_details(told, item, reasons)
    except Exception:
        _log.exception("the details of an error are left out", error=told.code)
        told = plain
        told.truncated = True
    return GrpcStatus(
        code,
        message,
        (
            (ERROR_KEY, told.SerializeToString()),
            (STATUS_KEY, rich_status(code, message, told.code)),
        ),
    )


def _add_details(
    told: pb.Error, item: Item | None, reasons: list[dict[str, object]] | None
) -> None:
    """Adds items and reasons as far as there is room: whole, without items, or without messages."""
    plain = pb.Error.FromString(told.SerializeToString())
    for items, messages in ((True, True), (False, True), (False, False)):
        told.CopyFrom(plain)
        told.truncated = plain.truncated or not (items and messages)
        if item is not None and items:
            told.item.SetInParent()
            fill_item(told.item.attributes, item)
        for reason in reasons or ():
            one = told.cancellation_reasons.add(code=str(reason.get("Code") or "None"))
            if messages:
                one.message = str(reason.get("Message") or "")
            found = reason.get("Item")
            if items and isinstance(found, dict):
                one.item.SetInParent()
                fill_item(one.item.attributes, found)
        if told.ByteSize() <= METADATA_BYTES_MAX:
            return
