"""Signatures in the query: presigned requests."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cluster.access.signatures.refusals import MISMATCH
from cluster.access.signatures.requests import SignedRequest
from tests.unit.cluster.access.signatures.signing import (
    ANNA,
    BODY,
    KEY,
    NOW,
    TEMPORARY,
    presigned,
    refusal,
    verified,
    with_header,
)

INVALID = "InvalidSignatureException"
INCOMPLETE = "IncompleteSignatureException"


def query(text: str) -> SignedRequest:
    return SignedRequest.of("POST", f"/?{text}", [("Host", "h")], BODY)


def replaced(request: SignedRequest, old: str, new: str) -> SignedRequest:
    assert old.encode() in request.query
    return replace(request, query=request.query.replace(old.encode(), new.encode()))


def test_a_presigned_request_has_a_principal() -> None:
    found = verified(presigned())
    assert (found.principal, found.key, found.presigned) == (ANNA, KEY, True)
    assert (found.signed_at, found.valid_until) == (NOW, NOW + 900)


@pytest.mark.parametrize("expires_s", [1, 900, 604_800])
def test_it_is_good_for_as_long_as_it_says(expires_s: int) -> None:
    request = presigned(expires_s=expires_s)
    assert verified(request, now=NOW + expires_s).valid_until == NOW + expires_s
    name, message = refusal(request, now=NOW + expires_s + 1)
    assert name == INVALID
    assert message.startswith("Signature expired: 20260102T030405Z is now earlier than 20260102T03")


def test_how_long_that_was_is_told() -> None:
    assert refusal(presigned(expires_s=90), now=NOW + 100)[1].endswith(
        "is now earlier than 20260102T030415Z (20260102T030545Z - 90 sec.)"
    )
    assert refusal(presigned(expires_s=120), now=NOW + 200)[1].endswith("- 2 min.)")


def test_it_is_not_good_before_it_was_signed() -> None:
    request = presigned(expires_s=604_800)
    assert verified(request, now=NOW - 300)
    assert refusal(request, now=NOW - 301)[1].startswith("Signature not yet current: ")


@pytest.mark.parametrize(
    ("expires", "message"),
    [
        ("0", "X-Amz-Expires must be greater than 0"),
        ("-1", "X-Amz-Expires must be non-negative"),
        ("1.5", "X-Amz-Expires should be a number"),
        ("", "X-Amz-Expires should be a number"),
        ("%D9%A1", "X-Amz-Expires should be a number"),
        ("9" * 5000, "X-Amz-Expires should be a number"),
        (
            "604801",
            "X-Amz-Expires must be less than a week (in seconds); that is, the given X-Amz-Expires"
            " must be less than 604800 seconds",
        ),
    ],
)
def test_bounds_of_how_long(expires: str, message: str) -> None:
    request = replaced(presigned(), "X-Amz-Expires=900", f"X-Amz-Expires={expires}")
    assert refusal(request) == (INCOMPLETE, message)


def test_without_a_time_it_is_good_for_as_long_as_any_signature() -> None:
    request = replaced(presigned(), "&X-Amz-Expires=900", "")
    assert refusal(request) == (INVALID, MISMATCH)
    assert refusal(request, now=NOW + 301)[1].endswith("- 5 min.)")


@pytest.mark.parametrize(
    ("text", "missing"),
    [
        (
            "X-Amz-Algorithm",
            ["Algorithm", "Credential", "Signature", "SignedHeaders", "Date"],
        ),
        (
            "X-Amz-Algorithm=a&X-Amz-Credential=b&X-Amz-Signature=c&X-Amz-Date=d",
            ["SignedHeaders"],
        ),
    ],
)
def test_what_is_missing_is_listed(text: str, missing: list[str]) -> None:
    said = "".join(f"AWS query-string parameters must include 'X-Amz-{name}'. " for name in missing)
    assert refusal(query(text)) == (INCOMPLETE, said + "Re-examine the query-string parameters.")


def test_without_an_algorithm_there_is_no_signature() -> None:
    request = query("X-Amz-Credential=a&X-Amz-Signature=b&X-Amz-SignedHeaders=c&X-Amz-Date=d")
    assert refusal(request)[0] == "MissingAuthenticationTokenException"


@pytest.mark.parametrize(
    "name", ["Algorithm", "Credential", "Date", "Expires", "SignedHeaders", "Signature"]
)
def test_no_parameter_comes_twice(name: str) -> None:
    request = presigned()
    doubled = replace(request, query=request.query + f"&X-Amz-{name}=1".encode())
    assert refusal(doubled) == (
        INCOMPLETE,
        f"The query parameter 'X-Amz-{name}' comes more than once.",
    )


def test_the_token_is_signed_or_added_afterwards() -> None:
    assert verified(presigned(TEMPORARY)).key == TEMPORARY
    bare = presigned(replace(TEMPORARY, session_token=None))
    assert refusal(bare) == (
        "UnrecognizedClientException",
        "The security token included in the request is invalid",
    )
    added = replace(bare, query=bare.query + b"&X-Amz-Security-Token=t0ken%2F%2B%3D%3D")
    assert verified(added).key == TEMPORARY
    assert refusal(replaced(added, "t0ken", "token"))[0] == "UnrecognizedClientException"
    removed = replaced(presigned(TEMPORARY), "&X-Amz-Security-Token=t0ken%2F%2B%3D%3D", "")
    assert refusal(removed) == (INVALID, MISMATCH)


def test_what_is_decoded_first_comes_to_the_same_text() -> None:
    assert verified(replaced(presigned(), "SHA256", "%53HA256"))
    assert verified(replaced(presigned(), "%2F", "%2f"))


def test_the_body_and_the_operation_are_signed() -> None:
    request = presigned()
    assert refusal(replace(request, body_sha256="0" * 64)) == (INVALID, MISMATCH)
    assert refusal(with_header(request, "x-amz-target", "DynamoDB_20120810.DeleteItem")) == (
        INVALID,
        MISMATCH,
    )
    without = with_header(presigned(headers={"A": "b"}), "x-amz-target", "a.b")
    assert refusal(without) == (
        INVALID,
        "'x-amz-target' must be a 'SignedHeader' in the AWS Authorization.",
    )


def test_bytes_that_are_no_text_are_refused_in_text() -> None:
    for name in ("Credential", "SignedHeaders", "Signature", "Date"):
        request = presigned()
        found = request.query.split(f"X-Amz-{name}=".encode())[1].split(b"&")[0]
        broken = replace(request, query=request.query.replace(found, b"%ff%fe\xff"))
        assert refusal(broken)[1].encode()
