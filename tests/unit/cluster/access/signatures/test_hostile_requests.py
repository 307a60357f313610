"""Whatever a stranger sends is refused: by a ``Denied``, soon, in a message of bounded length."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from urllib.parse import quote, unquote_to_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.access.denied import Denied
from cluster.access.signatures import claims
from cluster.access.signatures.canonical import (
    ESCAPES_MAX,
    RESPELLED_BYTES_MAX,
    canonical_query,
    parameters_of,
)
from cluster.access.signatures.claims import AUTHORIZATION_BYTES_MAX, SIGNED_HEADERS_MAX
from cluster.access.signatures.grpc_calls import request_of
from cluster.access.signatures.requests import PATH_BYTES_MAX, QUERY_BYTES_MAX, SignedRequest
from tests.unit.cluster.access.signatures.signing import verified

MESSAGE_MAX = AUTHORIZATION_BYTES_MAX * 2 + 1024
ENDS_WITHIN_S = 0.5
"""Some hundred times what it takes."""
USUAL_REQUESTS = 60
"""That a refusal may take as long as. It takes 20 at most; before work was bounded it was 1 000 and
more."""

words = st.sampled_from(
    [
        b"AWS4-HMAC-SHA256",
        b"AWS4-",
        b"Credential=",
        b"Signature=",
        b"SignedHeaders=",
        b"AKIDEXAMPLE/20260102/eu-west-1/dynamodb/aws4_request",
        b"host;x-amz-date",
        b"20260102T030405Z",
        b"X-Amz-Algorithm=AWS4-HMAC-SHA256",
        b"X-Amz-Credential=",
        b"X-Amz-Date=",
        b"X-Amz-Expires=",
        b"X-Amz-Signature=",
        b"X-Amz-SignedHeaders=",
        b"X-Amz-Security-Token=",
        b"&",
        b"%",
        b"%ff",
        b" ",
        b", ",
        b"/",
        b";",
        b"=",
        b"..",
        b"\x00",
        b"\n",
        b"\xff",
    ]
)
pieces = st.lists(words | st.binary(max_size=8), max_size=12).map(b"".join)
header_names = st.one_of(
    st.sampled_from([b"Authorization", b"X-Amz-Date", b"Date", b"Host", b"X-Amz-Security-Token"]),
    st.sampled_from([b"X-Amz-Target", b"X-Amz-Content-Sha256"]),
    st.binary(max_size=10),
)
requests = st.builds(
    SignedRequest,
    st.sampled_from(["POST", "GET", "", "\x00é"]),
    pieces,
    pieces,
    st.lists(st.tuples(header_names, pieces), max_size=8).map(tuple),
    st.just("0" * 64),
)


def denied(request: SignedRequest) -> Denied:
    with pytest.raises(Denied) as caught:
        verified(request)
    found = caught.value
    assert json.dumps(found.message).encode("ascii")
    assert found.message.encode("utf-8")
    assert len(found.message) <= MESSAGE_MAX
    assert found.http_status == 400
    return found


@given(requests)
def test_whatever_comes_is_denied(request: SignedRequest) -> None:
    denied(request)


@given(pieces.map(lambda data: "AWS4-" + data.decode("latin-1").strip()), st.booleans())
def test_what_was_kept_of_a_header_reads_it_as_it_was_read_first(text: str, whole: bool) -> None:
    text += ", Signature=" + "0" * 64 if whole else ""

    def outcome(read: Callable[[str], object]) -> object:
        try:
            return read(text)
        except Denied as denied:
            return denied.args

    first = outcome(claims._read)
    assert outcome(claims._parameters_of) == first
    assert outcome(claims._parameters_of) == first


@given(
    st.text(max_size=20),
    st.lists(st.tuples(st.text(max_size=8), st.text(max_size=8) | st.binary(max_size=8))),
    st.binary(max_size=8),
)
def test_whatever_metadata_comes_is_denied(
    method: str, metadata: list[tuple[str, str | bytes]], message: bytes
) -> None:
    denied(request_of(method, metadata, message))


AUTHORIZATION = (
    b"AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20260102/eu-west-1/dynamodb/aws4_request,"
    b" SignedHeaders=%b, Signature=" + b"0" * 64
)


def with_names(names: bytes, *more: tuple[bytes, bytes]) -> SignedRequest:
    headers = [(b"Host", b"h"), (b"X-Amz-Date", b"20260102T030405Z"), *more]
    headers.append((b"Authorization", AUTHORIZATION % names))
    return SignedRequest("POST", b"/", b"", tuple(headers), "0" * 64)


def with_authorization(value: bytes, *more: tuple[bytes, bytes]) -> SignedRequest:
    return SignedRequest("POST", b"/", b"", ((b"authorization", value), *more), "0" * 64)


SPELLINGS = (b"%", b"(", b"%2F", b"%2f", b"a%2F", b"%41", b"a=%2F&", b"=", b"a" * 20 + b"(")
"""Of queries that are as they are signed, or have to be spelled anew."""


def presigned(text: bytes, size: int = QUERY_BYTES_MAX) -> SignedRequest:
    """``size``: of its query, in bytes. Its key is known, so that nothing of the work is saved."""
    query = (
        b"X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Date=20260102T030405Z&X-Amz-SignedHeaders=host"
        b"&X-Amz-Credential=AKIDEXAMPLE%2F20260102%2Feu-west-1%2Fdynamodb%2Faws4_request"
        b"&X-Amz-Signature=0&a="
    )
    query += (text * QUERY_BYTES_MAX)[: size - len(query)]
    return SignedRequest("GET", b"/", query, ((b"Host", b"h"),), "0" * 64)


@pytest.mark.parametrize("size", [RESPELLED_BYTES_MAX, 3 * ESCAPES_MAX, QUERY_BYTES_MAX])
@pytest.mark.parametrize("text", SPELLINGS)
def test_a_strangers_query_takes_no_longer_than_some_requests(text: bytes, size: int) -> None:
    request = presigned(text, size)
    usual = with_names(b"host;x-amz-date")
    assert least_s(request) < USUAL_REQUESTS * least_s(usual)


def least_s(request: SignedRequest) -> float:
    """Of some tries, since other processes are there, too."""

    def once() -> float:
        began = time.perf_counter()
        denied(request)
        return time.perf_counter() - began

    return min(once() for _ in range(20))


@pytest.mark.parametrize(
    ("query", "canonical"),
    [
        (b"a=%", "a=%25"),
        (b"a=%2", "a=%252"),
        (b"a=%4g", "a=%254g"),
        (b"a=%%41", "a=%25A"),
        (b"a=%2f", "a=%2F"),
        (b"a=%2F~-_.9", "a=%2F~-_.9"),
        (b"a=%7e%5F", "a=~_"),
        (b"a= +\xff", "a=%20%2B%FF"),
        (b"a=b=c", "a=b%3Dc"),
    ],
)
def test_a_query_has_one_spelling(query: bytes, canonical: str) -> None:
    assert canonical_query(parameters_of(query)) == canonical


@given(st.binary(max_size=60))
def test_it_is_spelled_as_aws_says(query: bytes) -> None:
    """Whether or not it is seen that it is spelled so already."""
    expected = [
        (quote(unquote_to_bytes(name), safe="-_.~"), quote(unquote_to_bytes(value), safe="-_.~"))
        for name, _, value in (part.partition(b"=") for part in query.split(b"&") if part)
    ]
    assert parameters_of(query) == expected
    again = canonical_query(expected).encode()
    assert canonical_query(parameters_of(again)).encode() == again


@pytest.mark.parametrize(
    "make",
    [
        lambda: with_names(b"host;" * 4_000_000),
        lambda: with_names(b"host;" * (SIGNED_HEADERS_MAX + 1)),
        lambda: with_names(b";".join([b"host"] * SIGNED_HEADERS_MAX), (b"a", b"b " * 30_000)),
        lambda: with_names(b";".join([b"a"] * 120 + [b"host"]), (b"a", b"b " * 30_000)),
        lambda: with_names(b"host", *[(b"a", b"b")] * 1_000_000),
        lambda: with_names(b"host", (b"a" * 10_000_000, b"")),
        lambda: with_names(b"host", (b"authorization", b"=" * 1_000_000)),
        lambda: SignedRequest("POST", b"/" * 10_000_000, b"", (), ""),
        lambda: SignedRequest("POST", b"/.." * 10_000, b"", (), ""),
        lambda: SignedRequest("POST", b"/", b"&" * 30_000, (), ""),
        lambda: SignedRequest("POST", b"/", b"%" * 30_000, (), ""),
        *(lambda text=text: presigned(text) for text in SPELLINGS),
        lambda: SignedRequest("POST", b"/(" * (PATH_BYTES_MAX // 2), b"", (), ""),
        lambda: SignedRequest("POST", b"/", b"X-Amz-Algorithm&" * 2_000_000, (), ""),
        lambda: SignedRequest(
            "POST", b"/", b"", ((b"authorization", b"AWS4-" + b" a=" * 9999),), ""
        ),
        lambda: SignedRequest(
            "POST", b"/", b"", ((b"authorization", b"AWS4- " + b"," * 60_000),), ""
        ),
    ],
)
def test_work_and_messages_are_bounded(make: Callable[[], SignedRequest]) -> None:
    request = make()
    began = time.process_time()
    denied(request)
    assert time.process_time() - began < ENDS_WITHIN_S


@pytest.mark.parametrize(
    "date", ["20260230T000000Z", "00000000T000000Z", "20260102T240000Z", "٢0260102T030405Z"]
)
def test_what_is_no_date(date: str) -> None:
    found = denied(with_authorization(AUTHORIZATION % b"host", (b"x-amz-date", date.encode())))
    assert found.message.startswith("Date must be in ISO-8601 'basic format'. Got '")


@pytest.mark.parametrize("date", [b"00010101T000000Z", b"99991231T235959Z"])
def test_a_date_may_be_far_away(date: bytes) -> None:
    found = denied(with_authorization(AUTHORIZATION % b"host", (b"x-amz-date", date)))
    assert found.message.startswith("Signature ")
