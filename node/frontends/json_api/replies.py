"""Replies as DynamoDB writes them: JSON bodies, error bodies. Pure."""

from __future__ import annotations

from binascii import crc32
from dataclasses import dataclass
from typing import Any

import structlog

from node.reads.cacheability import Cache
from node.values import json_slices
from paceline.errors import (
    DynamoDBError,
    NotSent,
    OutcomeUnknown,
    PacelineError,
    ServiceError,
    Unavailable,
)

_log = structlog.get_logger()

SERVICE = "com.amazonaws.dynamodb.v20120810#"
_CORAL = "com.amazon.coral.service#"
_PREFIXES = {
    "ValidationException": "com.amazon.coral.validate#",
    "ThrottlingException": "com.amazon.coral.availability#",
    "AccessDeniedException": _CORAL,
    "ExpiredTokenException": _CORAL,
    "IncompleteSignatureException": _CORAL,
    "MissingAuthenticationTokenException": _CORAL,
    "InvalidSignatureException": _CORAL,
    "RequestEntityTooLargeException": _CORAL,
    "SerializationException": _CORAL,
    "UnknownOperationException": _CORAL,
    "UnrecognizedClientException": _CORAL,
    "OutcomeUnknownException": "paceline#",
}
_CAPITAL_MESSAGE = frozenset({"AccessDeniedException", "SerializationException"})
"""For these errors DynamoDB writes ``Message``, for all others ``message``."""

OUTCOME_UNKNOWN_STATUS = 409
"""No AWS SDK repeats a status 4xx whose error name it does not know (408 and 429 apart); 5xx is
repeated by some for any number (Ruby), by all for 500, 502, 503 and 504. 400 would read as
'refused, nothing was done'. See docs/clients.md."""


@dataclass(frozen=True, slots=True)
class HttpReply:
    status: int
    body: bytes
    cache: Cache | None = None
    request_id: str | None = None
    """DynamoDB's own id, if the answer is DynamoDB's."""
    is_json: bool = True
    why: str = ""
    """Of a read that no cache may answer, in one word."""


def to_json(value: Any) -> bytes:
    """Encodes results in boto3's low-level form. Bytes become base64."""
    return json_slices.dumps(value)


def hit_form(body: bytes) -> bytes:
    """The part of an HTTP reply that is the same for all who get it: what follows its id."""
    return b"\r\nContent-Length: %d\r\nx-amz-crc32: %d\r\nx-paceline-cache: hit\r\n\r\n%b" % (
        len(body),
        crc32(body),
        body,
    )


def body_of(form: bytes) -> bytes:
    """The JSON in what ``hit_form`` gave."""
    return form[form.index(b"\r\n\r\n") + 4 :]


def done_reply(result: Any) -> HttpReply:
    """Of a write that DynamoDB has done: whatever is wrong with its answer, it is a success."""
    try:
        return HttpReply(200, to_json(result), "bypass")
    except Exception:
        _log.exception("the answer of a write that was done is left out")
        return HttpReply(200, b"{}", "bypass")


def error_reply(name: str, message: str | None, status: int = 400, **more: Any) -> HttpReply:
    """Makes an error of our own in DynamoDB's form. Some of its errors have no message at all."""
    body: dict[str, Any] = {"__type": _PREFIXES.get(name, SERVICE) + name}
    if message is not None:
        body["Message" if name in _CAPITAL_MESSAGE else "message"] = message
    return HttpReply(status, to_json({**body, **more}), "bypass")


def reply_of(error: PacelineError) -> HttpReply:
    """Tells ``error`` as DynamoDB would; DynamoDB's own answers are passed on as they came."""
    match error:
        case DynamoDBError(body=body) if body:
            return HttpReply(error.status or 400, body, "bypass", error.request_id)
        case DynamoDBError():
            more: dict[str, Any] = {}
            if error.reasons is not None:
                more["CancellationReasons"] = error.reasons
            if error.item is not None:
                more["Item"] = error.item
            return error_reply(error.name, error.message, error.status or 400, **more)
        case ServiceError():
            return error_reply(error.name, error.message, error.status or 400)
        case OutcomeUnknown():
            return error_reply("OutcomeUnknownException", str(error), OUTCOME_UNKNOWN_STATUS)
        case NotSent() | Unavailable():
            return error_reply("ThrottlingException", str(error))
    return error_reply("InternalServerError", str(error), 500)
