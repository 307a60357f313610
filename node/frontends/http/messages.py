"""Requests and replies as HTTP has them: what a request says besides its JSON, what DynamoDB looks
at before it reads that (method, type, signature), and replies as bytes. Pure, given a date."""

from __future__ import annotations

import gzip
from binascii import crc32
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import parse_qs

from cluster.transport.origin import is_kept
from node.frontends.json_api.replies import HttpReply
from node.frontends.json_api.request import JsonRequest

JSON = "application/json"
JSON_10 = "application/x-amz-json-1.0"

NO_SUCH_PAGE = b"<UnknownOperationException/>\n"
"""With status 404: for other methods than POST, and for bodies that are not said to be JSON."""

_QUERY_PARTS = ("Algorithm", "Credential", "Signature", "SignedHeaders", "Date")
_SIGNING_HEADERS = ("authorization", "date", "x-amz-date")

TOO_LARGE_STATUS = 413

JOINED_BYTES_MIN = 256 * 1024
"""From here on head and body are put together by the one call that lets other threads go on."""
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


@dataclass(slots=True)
class HttpRequest(JsonRequest):
    method: str = "POST"
    path: str = "/"
    keep_alive: bool = True
    gzip: bool = False
    origin: bool = False
    """It comes from a web page."""
    encoding: str = ""
    """What ``body`` came in, until it is worked on."""
    headers: Mapping[bytes, bytes] = field(default_factory=dict, repr=False)
    """By names in lower case."""
    repeated: Sequence[tuple[bytes, bytes]] = ()
    """The earlier ones of headers that came more than once."""
    certificate: bytes | None = field(default=None, repr=False)
    """What its connection has shown, verified, as DER."""
    size: int = 0
    """Bytes that it holds while it waits."""
    paced: bool = False
    """It was looked at whether it comes too soon."""

    @property
    def is_traced(self) -> bool:
        return is_kept(self.headers)

    @property
    def content_type(self) -> str:
        return self.headers.get(b"content-type", b"").decode("latin-1")


def is_addressed(method: str, content_type: str, body: bytes) -> bool:
    """Whether it is a request to DynamoDB at all."""
    return method == "POST" and (not body or _media_type(content_type) in (JSON, JSON_10))


def reply_type(content_type: str) -> str:
    """The Content-Type of the reply to a request of this one."""
    return JSON_10 if _media_type(content_type) == JSON_10 else JSON


def _media_type(content_type: str) -> str:
    return content_type.partition(";")[0].strip()


def is_unsigned(path: str, headers: Mapping[bytes, bytes]) -> bool:
    return b"authorization" not in headers and "X-Amz-" not in path


def is_signed(path: str, headers: Mapping[bytes, bytes]) -> bool:
    """Whether all parts of a signature are there; nobody looks at what they say."""
    authorization = headers.get(b"authorization", b"")
    if "X-Amz-Algorithm" not in path:
        return (
            authorization.startswith(b"AWS4-")
            and b"Credential=" in authorization
            and b"Signature=" in authorization
            and b"SignedHeaders=" in authorization
            and (b"x-amz-date" in headers or b"date" in headers)
        )
    given = parse_qs(path.partition("?")[2])
    return not authorization and all(f"X-Amz-{part}" in given for part in _QUERY_PARTS)


def signature(path: str, headers: Mapping[bytes, bytes]) -> tuple[dict[str, str], str]:
    """The headers and the query that sign it, or should."""
    found = {name: headers.get(name.encode()) for name in _SIGNING_HEADERS}
    query = path.partition("?")[2]
    return {name: value.decode("latin-1") for name, value in found.items() if value}, query


def render(
    reply: HttpReply,
    *,
    date: str,
    request_id: bytes,
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
    if reply.why:
        cache += f"x-paceline-cache-reason: {reply.why}\r\n"
    head = (
        f"HTTP/1.1 {reply.status} {REASONS.get(reply.status, 'Error')}\r\n"
        f"Server: Server\r\nDate: {date}\r\n"
        f"{typed}Connection: {'keep-alive' if keep_alive else 'close'}\r\n"
        f"x-amzn-RequestId: {reply.request_id or request_id.decode()}\r\n"
        f"{encoding}{length}\r\nx-amz-crc32: {crc32(body)}\r\n{cache}\r\n"
    )
    told = head.encode("latin-1", "replace")
    if len(sent) > JOINED_BYTES_MIN:
        return b"".join((told, sent))
    return told + sent


def hit_head(date: str) -> bytes:
    """The beginning of the reply to a plain GetItem that hits, up to the request's id.
    ``hit_form`` gives what follows that."""
    return (
        f"HTTP/1.1 200 OK\r\nServer: Server\r\nDate: {date}\r\nContent-Type: {JSON_10}\r\n"
        "Connection: keep-alive\r\nx-amzn-RequestId: "
    ).encode()
