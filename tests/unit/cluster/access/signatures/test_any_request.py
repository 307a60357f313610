"""Whatever AWS's signers sign is accepted, and nothing that differs from it where it is signed."""

from __future__ import annotations

import asyncio
import string
from dataclasses import replace
from typing import Any

import pytest
from aiobotocore.credentials import AioCredentials
from aiobotocore.hooks import AioHierarchicalEmitter
from aiobotocore.signers import AioRequestSigner
from botocore.awsrequest import AWSRequest
from botocore.model import ServiceId
from hypothesis import assume, given
from hypothesis import strategies as st

from cluster.access.denied import Denied
from cluster.access.principals import AccessKey, KnownPrincipals
from cluster.access.signatures.canonical import canonical_path
from cluster.access.signatures.refusals import MISMATCH
from cluster.access.signatures.requests import SignedRequest
from tests.unit.cluster.access.signatures.signing import (
    ANNA,
    KEY,
    NOW,
    REGION,
    TEMPORARY,
    clock_of_signers,
    presigned,
    refusal,
    request_as_sent,
    signed,
    verified,
    with_header,
)

WRONG = ("InvalidSignatureException", MISMATCH)
UNRESERVED = string.ascii_letters + string.digits + "-_.~"
VISIBLE = "".join(map(chr, range(0x21, 0x7F)))


def _bytes(char: str) -> bytes:
    return char.encode("utf-8", "replace")


def _is_encodable(text: str) -> bool:
    return text.encode("utf-8", "ignore").decode() == text


names = st.text(string.ascii_letters + string.digits + "-", min_size=1, max_size=12).map(
    lambda name: f"My-{name}"
)
values = st.text(VISIBLE + " \t", max_size=20).map(str.strip)
headers = st.dictionaries(names, values, max_size=4).map(
    lambda found: {**found, "X-Amz-Target": "DynamoDB_20120810.Query"}
)
escaped = st.text(min_size=0, max_size=6).map(
    lambda text: "".join(
        char if char in UNRESERVED else "".join(f"%{byte:02X}" for byte in _bytes(char))
        for char in text
    )
)
segments = st.one_of(escaped, st.sampled_from(["", ".", "..", "a b", "(x)", "ሴ"]))
paths = st.lists(segments, max_size=4).map(lambda parts: "/" + "/".join(parts))
queries = st.lists(st.tuples(escaped.filter(bool), escaped), max_size=4).map(
    lambda pairs: "&".join(f"{name}={value}" for name, value in pairs)
)
bodies = st.binary(max_size=60)
keys = st.sampled_from([KEY, TEMPORARY])
secrets = st.text(min_size=1, max_size=40).filter(_is_encodable)


@st.composite
def requests(draw: st.DrawFn, by: Any = None) -> SignedRequest:
    sign = by or draw(st.sampled_from([signed, presigned]))
    query = draw(queries)
    if sign is presigned:  # its signer takes them apart, where two of one name are one
        found = [pair.partition("=")[0] for pair in query.split("&")]
        assume(len(found) == len(set(found)))
    url = f"http://cache.example:8141{draw(paths)}" + (f"?{query}" if query else "")
    made: SignedRequest = sign(
        draw(keys),
        at=NOW + draw(st.integers(-300, 300)),
        method=draw(st.sampled_from(["POST", "GET", "PUT"])),
        url=url,
        headers=draw(headers),
        body=draw(bodies),
    )
    return made


def changed_byte(draw: st.DrawFn, data: bytes) -> bytes:
    """One that is not white space becomes another letter, not only in another case."""
    places = [place for place, byte in enumerate(data) if not bytes([byte]).isspace()]
    assume(places)
    place = draw(st.sampled_from(places))
    other = draw(
        st.sampled_from([byte for byte in b"abcxyz01" if byte not in data[place:][:1].lower()])
    )
    return data[:place] + bytes([other]) + data[place + 1 :]


@given(requests())
def test_whatever_botocore_signs_is_accepted(request: SignedRequest) -> None:
    assert verified(request).principal == ANNA


@given(requests(), st.data())
def test_one_changed_byte_is_refused(request: SignedRequest, data: st.DataObject) -> None:
    part = data.draw(st.sampled_from(["method", "path", "body", "header"]))
    draw: Any = data.draw
    if part == "method":
        other = replace(request, method=changed_byte(draw, request.method.encode()).decode())
    elif part == "path":
        other = replace(request, path=changed_byte(draw, request.path))
        # A segment that ".." takes away again is none: of a path its normal form is signed.
        assume(canonical_path(other.path) != canonical_path(request.path))
    elif part == "body":
        other = replace(
            request, body_sha256=changed_byte(draw, request.body_sha256.encode()).decode()
        )
    else:
        signed_headers = [
            pair
            for pair in request.headers
            if pair[1].strip() and pair[0].lower() not in (b"authorization", b"x-amz-date")
        ]
        name, value = data.draw(st.sampled_from(signed_headers))
        other = with_header(request, name.decode().lower(), changed_byte(draw, value).decode())
    assert refusal(other) == WRONG


@given(requests(by=signed), st.data())
def test_a_changed_date_is_refused(request: SignedRequest, data: st.DataObject) -> None:
    [date] = [value for name, value in request.headers if name.lower() == b"x-amz-date"]
    draw: Any = data.draw
    other = with_header(request, "x-amz-date", changed_byte(draw, date).decode())
    assert refusal(other)[0] in ("InvalidSignatureException", "IncompleteSignatureException")


@given(requests(), st.data())
def test_a_changed_byte_of_the_query_is_refused(
    request: SignedRequest, data: st.DataObject
) -> None:
    assume(request.query)
    draw: Any = data.draw
    name, message = refusal(replace(request, query=changed_byte(draw, request.query)))
    assert name in (
        "InvalidSignatureException",
        "IncompleteSignatureException",
        "UnrecognizedClientException",
        "MissingAuthenticationTokenException",
    )
    assert message


@given(requests(), st.data())
def test_a_header_less_or_once_more_is_refused(request: SignedRequest, data: st.DataObject) -> None:
    lists = [name for name in verified(request).signed_headers if name != "x-amz-date"]
    name = data.draw(st.sampled_from(lists))
    [pair] = [pair for pair in request.headers if pair[0].lower() == name.encode()]
    doubled = replace(request, headers=(*request.headers, pair))
    once = ("host", "x-amz-target", "x-amz-security-token")
    if name in once:
        assert refusal(doubled)[1] == f"The header '{name}' comes more than once."
    else:
        assert refusal(doubled) == WRONG
    if pair[1].strip():  # a header without a value says as little as none
        assert refusal(with_header(request, name, None)) == WRONG


@given(requests(), secrets)
def test_another_secret_is_refused(request: SignedRequest, secret: str) -> None:
    assume(secret not in (KEY.secret, TEMPORARY.secret))
    known = KnownPrincipals(
        (ANNA,), (replace(KEY, secret=secret), replace(TEMPORARY, secret=secret))
    )
    with pytest.raises(Denied) as caught:
        verified(request, known=known)
    assert str(caught.value) == f"InvalidSignatureException: {MISMATCH}"


@given(st.sampled_from(["region", "service", "day"]), st.text(UNRESERVED, min_size=1, max_size=12))
def test_another_scope_is_refused(part: str, other: str) -> None:
    if part == "region":
        assume(other != REGION)
        message = f"Credential should be scoped to a valid region, not '{other}'. "
        assert refusal(signed(region=other)) == ("InvalidSignatureException", message)
    elif part == "service":
        assume(other != "dynamodb")
        message = "Credential should be scoped to correct service: 'dynamodb'. "
        assert refusal(signed(service=other)) == ("InvalidSignatureException", message)
    else:
        assume(other != "20260102")
        request = signed()
        [told] = [value for name, value in request.headers if name.lower() == b"authorization"]
        changed = told.decode().replace("/20260102/", f"/{other}/")
        assert refusal(with_header(request, "authorization", changed))[1].startswith(
            f"Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from"
            f" HTTP: '{other}' != '20260102', from '20260102T030405Z'. "
        )


@given(st.integers(-(10**6), 10**6))
def test_a_clock_may_be_five_minutes_off(skew_s: int) -> None:
    request = signed(at=NOW + skew_s)
    if -300 <= skew_s <= 300:
        assert verified(request).signed_at == NOW + skew_s
    else:
        ahead = skew_s > 0
        said = "Signature not yet current: " if ahead else "Signature expired: "
        assert refusal(request)[1].startswith(said)


@given(secrets, st.text(VISIBLE, min_size=1, max_size=30))
def test_any_secret_and_token(secret: str, token: str) -> None:
    key = AccessKey("AKIDEXAMPLE", secret, "anna", session_token=token)
    assert verified(signed(key), known=KnownPrincipals((ANNA,), (key,))).key == key
    assert verified(presigned(key), known=KnownPrincipals((ANNA,), (key,))).key == key


@given(keys, headers, bodies)
def test_what_aiobotocore_signs_is_accepted(
    key: AccessKey, given_: dict[str, str], body: bytes
) -> None:
    async def sign() -> SignedRequest:
        emitter = AioHierarchicalEmitter()
        signer = AioRequestSigner(
            ServiceId("DynamoDB"),
            REGION,
            "dynamodb",
            "v4",
            AioCredentials(key.id, key.secret, key.session_token),
            emitter,
        )
        request = AWSRequest("POST", "http://cache.example:8141/", given_, body)
        with clock_of_signers(NOW):
            await signer.sign("GetItem", request)
        return request_as_sent(request)

    assert verified(asyncio.run(sign())).key == key
