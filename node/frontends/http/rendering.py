"""Replies as bytes of HTTP/1.1, with the headers that DynamoDB sends. Pure, given a date."""

from __future__ import annotations

import gzip
from binascii import crc32

from node.frontends.http.preflight import JSON_10
from node.frontends.json_api.replies import Reply

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
