"""Calls by gRPC: our own signer's metadata, and what becomes of changes to it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from hypothesis import given
from hypothesis import strategies as st

from cluster.access.denied import Denied
from cluster.access.principals import AccessKey
from cluster.access.signatures.grpc_calls import request_of
from cluster.access.signatures.refusals import MISMATCH
from paceline.auth.grpc_calls import HOST, CallSigner, sign_call
from tests.unit.cluster.access.signatures.signing import (
    KEY,
    NOW,
    REGION,
    TEMPORARY,
    clock_of_signers,
    credentials,
    refusal,
    verified,
)

METHOD = "/paceline.v1.Data/GetItem"
AT = datetime.fromtimestamp(NOW, UTC)
Metadata = tuple[tuple[str, str], ...]


def metadata(key: AccessKey = KEY, message: bytes = b"m", at: datetime = AT) -> Metadata:
    return CallSigner(lambda: credentials(key), REGION).metadata(METHOD, message, at)


def changed(found: Metadata, name: str, value: str | None) -> Metadata:
    kept = tuple(pair for pair in found if pair[0] != name)
    return kept if value is None else (*kept, (name, value))


@given(st.sampled_from([KEY, TEMPORARY]), st.binary(max_size=40), st.text(max_size=9))
def test_what_is_signed_is_accepted(key: AccessKey, message: bytes, other: str) -> None:
    found = (("user-agent", "grpc"), ("x-paceline-trace", other), *metadata(key, message))
    assert verified(request_of(METHOD, found, message)).key == key


def test_botocore_signs_the_same() -> None:
    """The form is plain Signature Version 4, for which every language has a signer."""
    made = AWSRequest(
        "POST", f"https://{HOST}{METHOD}", {"x-amz-content-sha256": _digest(b"m")}, b"m"
    )
    with clock_of_signers(NOW):
        SigV4Auth(credentials(TEMPORARY), "dynamodb", REGION).add_auth(made)
    theirs = {name.lower(): value for name, value in made.headers.items()}
    assert theirs == dict(metadata(TEMPORARY))


def _digest(message: bytes) -> str:
    return request_of(METHOD, (), message).body_sha256


def test_another_method_message_or_host_is_refused() -> None:
    wrong = ("InvalidSignatureException", MISMATCH)
    found = metadata()
    assert refusal(request_of("/paceline.v1.Data/DeleteItem", found, b"m")) == wrong
    assert refusal(request_of(METHOD, found, b"n")) == wrong
    told = changed(found, "x-amz-content-sha256", _digest(b"n"))
    assert refusal(request_of(METHOD, told, b"n")) == wrong
    assert refusal(request_of(METHOD, changed(found, "x-amz-content-sha256", None), b"m")) == wrong
    request = request_of(METHOD, found, b"m")
    other = tuple(
        (name, b"dynamodb.eu-west-1.amazonaws.com" if name == b"host" else value)
        for name, value in request.headers
    )
    assert refusal(replace(request, headers=other)) == wrong


def test_what_is_missing() -> None:
    assert refusal(request_of(METHOD, (), b"m"))[0] == "MissingAuthenticationTokenException"
    name, message = refusal(request_of(METHOD, changed(metadata(), "x-amz-date", None), b"m"))
    assert name == "IncompleteSignatureException"
    assert "either a 'X-Amz-Date' or a 'Date'" in message
    bare = changed(metadata(TEMPORARY), "x-amz-security-token", None)
    assert refusal(request_of(METHOD, bare, b"m"))[1] == MISMATCH


def test_nothing_comes_twice() -> None:
    found = metadata(TEMPORARY)
    for name in ("authorization", "x-amz-date", "x-amz-security-token", "x-amz-content-sha256"):
        twice = (*found, (name, dict(found)[name]))
        assert refusal(request_of(METHOD, twice, b"m"))[1].endswith("comes more than once.")


def test_a_signature_for_dynamodb_itself_is_none_for_a_call() -> None:
    made = AWSRequest("POST", "https://dynamodb.eu-west-1.amazonaws.com" + METHOD, {}, b"m")
    with clock_of_signers(NOW):
        SigV4Auth(credentials(KEY), "dynamodb", REGION).add_auth(made)
    theirs = [(name.lower(), value) for name, value in made.headers.items()]
    assert refusal(request_of(METHOD, theirs, b"m"))[1] == MISMATCH


def test_too_much_metadata_is_refused() -> None:
    with pytest.raises(Denied, match="metadata entries"):
        request_of(METHOD, ((f"n{number}", "") for number in range(1000)), b"")


def test_keys_without_a_token() -> None:
    assert "x-amz-security-token" not in dict(sign_call(credentials(KEY), REGION, METHOD, b"m", AT))
