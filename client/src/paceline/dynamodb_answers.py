"""Tells which HTTP answers are DynamoDB's own, and how long they can be.

Between a client and DynamoDB stand proxies, load balancers and wrong endpoints, and they answer
too: a redirect, a page for a browser, a 200 of a health check. Taken for DynamoDB's, such an
answer makes a write that never happened a success, and one that may have happened a refusal. Pure.

DynamoDB, DynamoDB Local, dynalite, moto, roto-aws and ministack give every answer to a JSON
request the content type below and a request id; most add the CRC-32 of the body. An error is an
object with ``__type``.

DynamoDB limits what an answer holds by its own count of bytes, JSON is longer: ``{"S":""},`` stands
for one byte of a list, ``{"BOOL":false},`` for two, a control character (``\\u0001``) for one,
binary data are a third longer in base64. Ten times is more than any of them.
"""

from __future__ import annotations

import json
from binascii import crc32
from collections.abc import Callable, Mapping
from typing import Any, Final

CONTENT_TYPE = "application/x-amz-json-1.0"
"""The content type of requests and answers. Version 1.1 is that of other AWS services."""

SILENT_OPERATIONS = frozenset({"TagResource", "UntagResource"})
"""They answer with no body; dynalite with an empty string in JSON."""
_NOTHING = (b"", b'""')

_OK = 200
_REDIRECTS = range(300, 400)
_ERRORS = range(400, 600)
_SHOWN_CHARS_MAX = 200


def foreign_head(status: int, headers: Mapping[str, str]) -> str | None:
    """Why an answer with these headers is not DynamoDB's, as the end of a sentence; None: it may
    be. ``headers``: finds names in lower case."""
    if status in _REDIRECTS:
        location = headers.get("location")
        to = f" to {location[:_SHOWN_CHARS_MAX]!r}" if location else ""
        return f"it is a redirect{to} (status {status}), which is not followed"
    if status != _OK and status not in _ERRORS:
        return f"it has status {status}"
    encoding = headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("", "identity"):
        return f"it is compressed ({encoding[:_SHOWN_CHARS_MAX]!r}), which was not asked for"
    content_type = headers.get("content-type", "")
    if content_type.partition(";")[0].strip().lower() != CONTENT_TYPE:
        named = repr(content_type[:_SHOWN_CHARS_MAX]) if content_type else "none"
        return f"its content type is {named} (status {status}) and not {CONTENT_TYPE}"
    if not headers.get("x-amzn-requestid"):
        return f"it has no request id (status {status})"
    return None


def foreign_body(
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    operation: str,
    loads: Callable[[str], Any] = json.loads,
) -> str | None:
    """Checks the body of an answer whose head passed. What ``{`` and ``}`` enclose is left to the
    parser. ``loads``: reads an error."""
    checksum = headers.get("x-amz-crc32")
    if checksum is not None and checksum.strip() != str(crc32(body)):
        return "it does not have the checksum that it names"
    if status != _OK:
        return (
            None
            if _is_error(body, loads)
            else f"its body (status {status}) is no error of DynamoDB's"
        )
    stripped = body.strip()
    if stripped.startswith(b"{") and stripped.endswith(b"}"):
        return None
    if operation in SILENT_OPERATIONS and stripped in _NOTHING:
        return None
    return "its body is not a JSON object"


def _is_error(body: bytes, loads: Callable[[str], Any]) -> bool:
    try:
        details = loads(body.decode())
    except (ValueError, RecursionError):
        return False
    return isinstance(details, dict) and bool(name_of_error(details.get("__type")))


def name_of_error(type_: object) -> str:
    """The name in ``com.amazonaws.dynamodb.v20120810#Name``; empty: none."""
    return type_.rpartition("#")[2].partition(":")[0] if isinstance(type_, str) else ""


MB: Final = 1024 * 1024
INFLATION: Final = 10
MARGIN_BYTES: Final = MB
"""Room for what surrounds the items: names, capacity by index, metrics."""

ITEM_BYTES_MAX: Final = INFLATION * 400 * 1024 + MARGIN_BYTES
"""One item: a read, or what a write returns or its failed condition met."""
PAGE_BYTES_MAX: Final = INFLATION * MB + MARGIN_BYTES
"""A page of Query, Scan, PartiQL or GetRecords holds 1 MB; a description is far shorter."""
BATCH_BYTES_MAX: Final = INFLATION * 16 * MB + MARGIN_BYTES
"""BatchGetItem answers with 16 MB, BatchWriteItem with the requests that it left undone, a
cancelled transaction of a hundred parts with the items that it met."""

_LIMITS: Final[Mapping[str, int]] = {
    "BatchExecuteStatement": BATCH_BYTES_MAX,
    "BatchGetItem": BATCH_BYTES_MAX,
    "BatchWriteItem": BATCH_BYTES_MAX,
    "DeleteItem": ITEM_BYTES_MAX,
    "ExecuteTransaction": BATCH_BYTES_MAX,
    "GetItem": ITEM_BYTES_MAX,
    "PutItem": ITEM_BYTES_MAX,
    "TransactGetItems": BATCH_BYTES_MAX,
    "TransactWriteItems": BATCH_BYTES_MAX,
    "UpdateItem": ITEM_BYTES_MAX,
}


def answer_bytes_max(operation: str) -> int:
    return _LIMITS.get(operation, PAGE_BYTES_MAX)
