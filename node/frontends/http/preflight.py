"""What DynamoDB looks at before it reads what is asked: method, type, signature. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import parse_qs

JSON = "application/json"
JSON_10 = "application/x-amz-json-1.0"

NO_SUCH_PAGE = b"<UnknownOperationException/>\n"
"""With status 404: for other methods than POST, and for bodies that are not said to be JSON."""

_QUERY_PARTS = ("Algorithm", "Credential", "Signature", "SignedHeaders", "Date")
_SIGNING_HEADERS = ("authorization", "date", "x-amz-date")


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
