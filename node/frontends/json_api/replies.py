"""Replies as DynamoDB writes them: JSON bodies, error bodies, headers. Pure, given a date."""

from __future__ import annotations

import gzip
import json
from binascii import crc32
from dataclasses import dataclass
from typing import Any

import structlog

from node.frontends.http.preflight import JSON_10
from node.reads.cacheability import Cache
from node.values.json_slices import blob
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
    "InvalidSignatureException": _CORAL,
    "RequestEntityTooLargeException": _CORAL,
    "SerializationException": _CORAL,
    "UnknownOperationException": _CORAL,
    "UnrecognizedClientException": _CORAL,
    "OutcomeUnknownException": "paceline#",
}
_CAPITAL_MESSAGE = frozenset({"AccessDeniedException", "SerializationException"})
"""Of these DynamoDB writes ``Message``, of all others ``message``."""

OUTCOME_UNKNOWN_STATUS = 409
"""No AWS SDK repeats a status 4xx whose error name it does not know (408 and 429 apart); 5xx is
repeated by some for any number (Ruby), by all for 500, 502, 503 and 504. 400 would read as
'refused, nothing was done'. See docs/clients.md."""

TOO_LARGE_STATUS = 413

GZIP_BYTES_MIN = 1024
"""Shorter bodies fit a packet or two as they are."""
GZIP_LEVEL = 1
"""The loop waits meanwhile: 1 MB takes some 10 ms."""

REASONS = {
    200: "OK",
    400: "Bad Request",
    403: "Forbidden",
    404: "Not Found",
    408: "Request Timeout",
    409: "Conflict",
    413: "Request Entity Too Large",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
    503: "Service Unavailable",
}


@dataclass(frozen=True, slots=True)
class Reply:
    status: int
    body: bytes
    cache: Cache | None = None
    request_id: str | None = None
    """DynamoDB's own, where the answer is."""
    is_json: bool = True


def to_json(value: Any) -> bytes:
    """Results in boto3's low-level form; bytes become base64."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False, default=blob)
    try:
        return text.encode()
    except UnicodeEncodeError:
        # Halves of surrogate pairs, which only escapes can say.
        return json.dumps(value, separators=(",", ":"), default=blob).encode()


def done_reply(result: Any) -> Reply:
    """Of a write that DynamoDB has done: whatever is wrong with its answer, it is a success."""
    try:
        return Reply(200, to_json(result), "bypass")
    except Exception:
        _log.exception("the answer of a write that was done is left out")
        return Reply(200, b"{}", "bypass")


def error_reply(name: str, message: str | None, status: int = 400, **more: Any) -> Reply:
    """An error of our own in DynamoDB's form; some of its errors have no message at all."""
    body: dict[str, Any] = {"__type": _PREFIXES.get(name, SERVICE) + name}
    if message is not None:
        body["Message" if name in _CAPITAL_MESSAGE else "message"] = message
    return Reply(status, to_json({**body, **more}), "bypass")


def reply_of(error: PacelineError) -> Reply:
    """``error`` as DynamoDB would put it; its own answers as they came."""
    match error:
        case DynamoDBError(body=body) if body:
            return Reply(error.status or 400, body, "bypass", error.request_id)
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


def render(
    reply: Reply,
    *,
    date: str,
    request_id: str,
    keep_alive: bool,
    gzipped: bool,
    content_type: str = JSON_10,
) -> bytes:
    """Head and body in one piece. The checksum is of the body as it is sent."""
    body = reply.body
    encoding = ""
    if gzipped and len(body) >= GZIP_BYTES_MIN:
        body = gzip.compress(body, GZIP_LEVEL, mtime=0)
        encoding = "Content-Encoding: gzip\r\n"
    length = f"Content-Length: {len(body)}"
    sent = body
    if reply.status == TOO_LARGE_STATUS:  # so DynamoDB does
        length = "Transfer-Encoding: chunked"
        sent = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    typed = f"Content-Type: {content_type}\r\n" if reply.is_json else ""
    cache = f"x-paceline-cache: {reply.cache}\r\n" if reply.cache else ""
    head = (
        f"HTTP/1.1 {reply.status} {REASONS.get(reply.status, 'Error')}\r\n"
        f"Server: Server\r\nDate: {date}\r\n"
        f"{typed}{length}\r\n{encoding}"
        f"Connection: {'keep-alive' if keep_alive else 'close'}\r\n"
        f"x-amzn-RequestId: {reply.request_id or request_id}\r\n"
        f"x-amz-crc32: {crc32(body)}\r\n{cache}\r\n"
    )
    return head.encode("latin-1", "replace") + sent
