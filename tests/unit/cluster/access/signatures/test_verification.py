"""Signatures in the Authorization header: what is accepted, and each refusal by AWS's words."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cluster.access.denied import Denied
from cluster.access.principals import KnownPrincipals
from cluster.access.signatures.refusals import MISMATCH
from cluster.access.signatures.requests import SignedRequest
from cluster.access.signatures.signing_keys import SigningKeys
from cluster.access.signatures.verification import Rules, checked_again, verify
from tests.unit.cluster.access.signatures.signing import (
    ANNA,
    BODY,
    DISABLED,
    KEY,
    KNOWN,
    NOW,
    OF_GONE,
    RULES,
    TEMPORARY,
    refusal,
    signed,
    verified,
    with_header,
)

INVALID = "InvalidSignatureException"
INCOMPLETE = "IncompleteSignatureException"
UNKNOWN = (
    "UnrecognizedClientException",
    "The security token included in the request is invalid.",
)
NO_TOKEN = (
    "UnrecognizedClientException",
    "The security token included in the request is invalid",
)
MISSING = ("MissingAuthenticationTokenException", "Request is missing Authentication Token")
SCOPE = "20260102/eu-west-1/dynamodb/aws4_request"


def headers(**given: str) -> SignedRequest:
    """A request with these headers; ``_`` stands for ``-``."""
    pairs = [(name.replace("_", "-"), value) for name, value in given.items()]
    return SignedRequest.of("POST", "/", [("Host", "h"), *pairs], BODY)


def authorization(request: SignedRequest) -> str:
    [found] = [value for name, value in request.headers if name.lower() == b"authorization"]
    return found.decode()


def test_a_signed_request_has_a_principal() -> None:
    found = verified(signed())
    assert (found.principal, found.key, found.signed_at) == (ANNA, KEY, NOW)
    assert found.signed_headers == ("host", "x-amz-date", "x-amz-target")
    assert (found.valid_until, found.version, found.presigned) == (NOW + 300, 3, False)


def test_a_request_comes_again_until_its_signature_is_too_old() -> None:
    request = signed()
    keys = SigningKeys()
    for now in (NOW - 300, NOW, NOW, NOW + 300.9):
        verify(request, KNOWN, RULES, keys, now)
    assert refusal(request, now=NOW + 301) == (
        INVALID,
        "Signature expired: 20260102T030405Z is now earlier than 20260102T030406Z"
        " (20260102T030906Z - 5 min.)",
    )


def test_a_clock_that_is_ahead() -> None:
    assert refusal(signed(), now=NOW - 301) == (
        INVALID,
        "Signature not yet current: 20260102T030405Z is still later than 20260102T030404Z"
        " (20260102T025904Z + 5 min.)",
    )


def test_another_skew() -> None:
    rules = replace(RULES, skew_s=900)
    assert verified(signed(), now=NOW + 900, rules=rules).valid_until == NOW + 900
    assert refusal(signed(), now=NOW + 901, rules=rules)[1].endswith("(20260102T031906Z - 15 min.)")


@pytest.mark.parametrize(
    ("request_", "name", "message"),
    [
        (
            headers(),
            "MissingAuthenticationTokenException",
            "Request is missing Authentication Token",
        ),
        (
            headers(authorization="Bearer x"),
            "MissingAuthenticationTokenException",
            "Request is missing Authentication Token",
        ),
        (
            headers(authorization="AWS4"),
            "MissingAuthenticationTokenException",
            "Request is missing Authentication Token",
        ),
        (
            headers(authorization="AWS4-"),
            INCOMPLETE,
            "Authorization header requires 'Credential' parameter."
            " Authorization header requires 'Signature' parameter."
            " Authorization header requires 'SignedHeaders' parameter."
            " Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header."
            " Authorization=AWS4-",
        ),
        (
            headers(authorization="AWS4- Signature=b, Credential=a", date="a"),
            INCOMPLETE,
            "Authorization header requires 'SignedHeaders' parameter."
            " Authorization=AWS4- Signature=b, Credential=a",
        ),
        (
            headers(authorization="AWS4-HMAC-SHA256 Credential= AK/x, Signature=b", date="a"),
            INCOMPLETE,
            "'AK/x' not a valid key=value pair (missing equal-sign) in Authorization header:"
            " 'AWS4-HMAC-SHA256 Credential= AK/x, Signature=b'.",
        ),
        (
            headers(
                authorization="AWS4-HMAC-SHA256 Credential=a, Signature=b, Signature=c",
                x_amz_date="20260102T030405Z",
            ),
            INCOMPLETE,
            "The parameter of the Authorization header 'Signature' comes more than once.",
        ),
        (
            headers(
                authorization="AWS4- Credential=a Signature=b SignedHeaders=host", x_amz_date="201"
            ),
            INCOMPLETE,
            "Date must be in ISO-8601 'basic format'. Got '201'."
            " See http://en.wikipedia.org/wiki/ISO_8601",
        ),
        (
            headers(
                authorization="AWS4-HMAC-SHA256 Credential=a/b/c/d, Signature=e, SignedHeaders=",
                x_amz_date="20260102T030405Z",
            ),
            INVALID,
            "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.",
        ),
        (
            headers(
                authorization="AWS4-HMAC-SHA25 Credential=a Signature=b SignedHeaders=host",
                x_amz_date="20260102T030405Z",
            ),
            INCOMPLETE,
            "Unsupported AWS 'algorithm': 'AWS4-HMAC-SHA25' (only AWS4-HMAC-SHA256 for now). ",
        ),
        (
            headers(
                authorization="AWS4-HMAC-SHA256 Credential=a/b/c/d Signature=b SignedHeaders=host",
                x_amz_date="20260102T030405Z",
            ),
            INCOMPLETE,
            "Credential must have exactly 5 slash-delimited elements, e.g."
            " keyid/date/region/service/term, got 'a/b/c/d'",
        ),
        (
            headers(
                authorization="AWS4-HMAC-SHA256 Credential=a/b/c/d/e Signature=b"
                " SignedHeaders=host",
                x_amz_date="20260102T030405Z",
            ),
            INVALID,
            "Credential should be scoped to a valid region, not 'c'."
            " Credential should be scoped to correct service: 'dynamodb'."
            " Credential should be scoped with a valid terminator: 'aws4_request', not 'e'."
            " Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from"
            " HTTP: 'b' != '20260102', from '20260102T030405Z'. ",
        ),
        (
            headers(
                authorization=f"AWS4-HMAC-SHA256 Credential=a/{SCOPE} Signature=b"
                " SignedHeaders=host",
                x_amz_date="20260102T030405Z",
            ),
            *UNKNOWN,
        ),
        (
            headers(
                authorization=f"AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/{SCOPE} Signature=b"
                " SignedHeaders=host",
                x_amz_date="20260102T030405Z",
            ),
            INVALID,
            MISMATCH,
        ),
        (
            headers(
                authorization=f"AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/{SCOPE} Signature=b"
                " SignedHeaders=host",
                x_amz_date="20260102T030405Z",
                X_Amz_Target="DynamoDB_20120810.GetItem",
            ),
            INVALID,
            "'x-amz-target' must be a 'SignedHeader' in the AWS Authorization.",
        ),
    ],
)
def test_what_is_missing_or_wrong_is_said_in_dynamodbs_order(
    request_: SignedRequest, name: str, message: str
) -> None:
    assert refusal(request_) == (name, message)


def test_both_forms_at_once() -> None:
    request = replace(headers(authorization="X"), query=b"X-Amz-Algorithm")
    assert refusal(request) == (
        INVALID,
        "Found both 'X-Amz-Algorithm' as a query-string param and 'Authorization' as HTTP header.",
    )


@pytest.mark.parametrize("date", ["Fri, 02 Jan 2026 03:04:05 GMT", "02 Jan 2026 03:04:05 -0000"])
def test_the_date_may_be_in_the_date_header(date: str) -> None:
    request = signed(headers={"Date": "set by the signer", "X-Amz-Target": "a.b"})
    assert verified(request).signed_at == NOW
    # The text that is signed has the basic form; that of the header need not be signed itself.
    assert "date;" in authorization(request)
    assert refusal(with_header(request, "date", date)) == (INVALID, MISMATCH)
    assert refusal(with_header(request, "date", "yesterday"))[0] == INCOMPLETE
    assert refusal(with_header(request, "date", "02 Foo 2026 03:04:05 GMT"))[0] == INCOMPLETE
    assert refusal(with_header(request, "date", "31 Feb 2026 03:04:05 GMT"))[0] == INCOMPLETE


@pytest.mark.parametrize("key", [DISABLED, OF_GONE, replace(KEY, id="AKIDOTHER")])
def test_a_key_that_is_not_in_use_is_as_unknown_as_one_that_never_was(key: object) -> None:
    assert isinstance(key, type(KEY))
    assert refusal(signed(key)) == UNKNOWN
    assert refusal(signed(replace(key, secret="wrong"))) == UNKNOWN


def test_a_session_token_is_signed() -> None:
    found = verified(signed(TEMPORARY))
    assert (found.key, found.valid_until) == (TEMPORARY, NOW + 300)
    assert "x-amz-security-token" in found.signed_headers


def test_a_session_token_may_be_added_after_signing() -> None:
    bare = signed(replace(TEMPORARY, session_token=None))
    assert refusal(bare) == NO_TOKEN
    assert verified(with_header(bare, "x-amz-security-token", "t0ken/+==")).key == TEMPORARY
    assert refusal(with_header(bare, "x-amz-security-token", "t0ken/+=")) == NO_TOKEN


def test_a_session_token_belongs_to_a_temporary_key() -> None:
    assert refusal(signed(replace(KEY, session_token="t"))) == NO_TOKEN
    assert refusal(signed(replace(TEMPORARY, session_token="t"))) == NO_TOKEN


def test_a_temporary_key_expires() -> None:
    request = signed(TEMPORARY, at=NOW + 800)
    assert verified(request, now=NOW + 899.9).valid_until == NOW + 900
    assert refusal(request, now=NOW + 900) == (
        "ExpiredTokenException",
        "The security token included in the request is expired",
    )


def test_the_hash_that_a_header_tells_has_to_be_the_bodys() -> None:
    good = signed(headers={"X-Amz-Target": "a.b", "X-Amz-Content-SHA256": signed().body_sha256})
    assert verified(good)
    other = SignedRequest.of("POST", "/", good.headers, BODY + b" ")
    assert refusal(other) == (INVALID, MISMATCH)
    for told in ("UNSIGNED-PAYLOAD", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", "0" * 64):
        lying = signed(headers={"X-Amz-Target": "a.b", "X-Amz-Content-SHA256": told})
        assert refusal(lying) == (INVALID, MISMATCH)
        assert refusal(with_header(signed(), "x-amz-content-sha256", told)) == (INVALID, MISMATCH)


@pytest.mark.parametrize(
    "name", ["authorization", "host", "x-amz-date", "x-amz-target", "x-amz-security-token"]
)
def test_a_header_that_is_there_once_is_not_there_twice(name: str) -> None:
    request = signed(TEMPORARY)
    [pair] = [pair for pair in request.headers if pair[0].lower() == name.encode()]
    doubled = replace(request, headers=(*request.headers, pair))
    assert refusal(doubled) == (INCOMPLETE, f"The header '{name}' comes more than once.")


def test_names_in_any_case_and_white_space_in_any_amount() -> None:
    request = signed(headers={"X-Amz-Target": "a.b", "My-Header": "one two"})
    changed = tuple(
        (name.swapcase(), b" \t" + value.replace(b" ", b"  \t ") + b" ")
        if name.lower() in (b"my-header", b"host")
        else (name.upper(), value)
        for name, value in request.headers
    )
    assert verified(replace(request, headers=changed)).principal == ANNA


def test_another_list_of_signed_headers_is_another_text() -> None:
    request = signed()
    told = authorization(request)
    for changed in ("x-amz-date;host;x-amz-target", "host;x-amz-date;x-amz-target;", "HOST;host"):
        other = told.replace("host;x-amz-date;x-amz-target", changed)
        assert other != told
        assert refusal(with_header(request, "authorization", other))[0] == INVALID
    other = told.replace("host;x-amz-date;x-amz-target", "host;x-amz-date;x-amz-target;host")
    assert refusal(with_header(request, "authorization", other)) == (
        INCOMPLETE,
        "The signed header 'host' comes more than once.",
    )


def test_what_outlives_a_request_is_checked_again() -> None:
    found = verified(signed(TEMPORARY))
    later = KnownPrincipals((ANNA,), (TEMPORARY,), version=4)
    again = checked_again(found, later, NOW + 600)
    assert (again.version, again.valid_until, again.key) == (4, found.valid_until, TEMPORARY)
    with pytest.raises(Denied, match="is expired"):
        checked_again(found, later, NOW + 900)
    for key in (
        replace(TEMPORARY, secret="another"),
        replace(TEMPORARY, session_token="another"),
        replace(TEMPORARY, disabled=True),
        replace(TEMPORARY, id="ASIAOTHER"),
    ):
        with pytest.raises(Denied, match="is invalid"):
            checked_again(found, KnownPrincipals((ANNA,), (key,)), NOW)
    with pytest.raises(Denied, match="is invalid"):
        checked_again(found, KnownPrincipals((replace(ANNA, disabled=True),), (TEMPORARY,)), NOW)


def test_rules_are_for_one_region_and_service() -> None:
    assert verified(signed(service="dax"), rules=Rules("eu-west-1", "dax"))
    assert refusal(signed(), rules=Rules("eu-west-1", "dax")) == (
        INVALID,
        "Credential should be scoped to correct service: 'dax'. ",
    )
    assert refusal(signed(region="us-east-1")) == (
        INVALID,
        "Credential should be scoped to a valid region, not 'us-east-1'. ",
    )
