"""What is looked at before a request is handled: whom it is for, and how it is signed."""

import pytest

from node.frontends.http.messages import (
    is_addressed,
    is_signed,
    is_unsigned,
    reply_type,
    signature,
)


@pytest.mark.parametrize(
    ("method", "content_type", "body", "addressed"),
    [
        ("POST", "application/x-amz-json-1.0", b"{}", True),
        ("POST", "  application/json ; whatever", b"hi", True),
        ("POST", "", b"", True),
        ("POST", "", b"{}", False),
        ("POST", "application/x-amz-json-1.1", b"{}", False),
        ("POST", "application/jsonasdf", b"{}", False),
        ("OPTIONS", "application/json", b"", False),
    ],
)
def test_what_is_addressed_to_dynamodb(
    method: str, content_type: str, body: bytes, addressed: bool
) -> None:
    assert is_addressed(method, content_type, body) is addressed


def test_replies_have_the_type_of_their_requests() -> None:
    assert reply_type("application/x-amz-json-1.0;x") == "application/x-amz-json-1.0"
    assert reply_type("application/json") == reply_type("") == "application/json"


WHOLE = b"AWS4-HMAC-SHA256 Credential=a/b/c/d/e, SignedHeaders=host, Signature=0"


@pytest.mark.parametrize(
    ("path", "headers", "signed"),
    [
        ("/", {b"authorization": WHOLE, b"x-amz-date": b"d"}, True),
        ("/", {b"authorization": WHOLE, b"date": b"d"}, True),
        ("/", {b"authorization": WHOLE}, False),
        ("/", {b"authorization": b"AWS4- Signature=b Credential=a", b"date": b"d"}, False),
        ("/", {b"authorization": WHOLE[1:], b"date": b"d"}, False),
        ("/?X-Amz-Algorithm", {b"authorization": WHOLE, b"date": b"d"}, False),
        ("/?X-Amz-Algorithm", {}, False),
        ("/?X-Amz-Algorithm=a&X-Amz-Credential=b&X-Amz-Signature=c&X-Amz-Date=d", {}, False),
        (
            "/?X-Amz-Algorithm=a&X-Amz-Credential=b&X-Amz-Signature=c&X-Amz-Date=d"
            "&X-Amz-SignedHeaders=e",
            {},
            True,
        ),
        ("/", {}, False),
    ],
)
def test_what_has_all_parts_of_a_signature(
    path: str, headers: dict[bytes, bytes], signed: bool
) -> None:
    assert is_signed(path, headers) is signed
    assert is_unsigned(path, headers) is (path == "/" and not headers)


def test_what_is_shown_of_a_signature() -> None:
    headers = {b"authorization": b"X", b"date": b"d", b"x-amz-target": b"t"}
    assert signature("/?q=1", headers) == ({"authorization": "X", "date": "d"}, "q=1")
