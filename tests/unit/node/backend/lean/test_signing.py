"""Signatures, held against botocore's own."""

from __future__ import annotations

import datetime
from unittest import mock

import botocore.auth
import pytest
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given
from hypothesis import strategies as st

from node.backend.lean import signing
from node.backend.lean.signing import Keys, Signer
from paceline.dynamodb_answers import CONTENT_TYPE

TARGET = "DynamoDB_20120810.GetItem"


def botocores(host: str, region: str, target: str, body: bytes, keys: Keys, now: float) -> str:
    at = datetime.datetime.fromtimestamp(now, datetime.UTC).replace(tzinfo=None)
    request = AWSRequest(
        method="POST",
        url=f"https://{host}/",
        headers={"X-Amz-Target": target, "Content-Type": CONTENT_TYPE},
        data=body,
    )
    credentials = Credentials(keys.access, keys.secret, keys.token)
    with mock.patch.object(botocore.auth, "get_current_datetime", return_value=at):
        botocore.auth.SigV4Auth(credentials, "dynamodb", region).add_auth(request)
    return str(request.headers["Authorization"])


def headers(signer: Signer, target: str, body: bytes, keys: Keys, now: float) -> dict[str, str]:
    lines = signer.head(target, body, keys, now).split("\r\n")
    assert lines.pop() == ""
    return dict(line.split(": ", 1) for line in lines)


NAMES = st.text(st.characters(codec="ascii", categories=("L", "N")), min_size=1, max_size=40)
SECRETS = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), max_size=60)
MOMENTS = st.integers(0, 4_000_000_000).map(float)


@given(
    st.sampled_from(["dynamodb.eu-west-1.amazonaws.com", "localhost:8000", "127.0.0.1:4566"]),
    st.sampled_from(["us-east-1", "eu-west-1", "cn-north-1"]),
    NAMES,
    st.binary(max_size=300),
    st.builds(Keys, NAMES, SECRETS, st.none() | NAMES),
    st.lists(MOMENTS, min_size=1, max_size=3),
)
def test_it_signs_as_botocore_does(
    host: str, region: str, operation: str, body: bytes, keys: Keys, moments: list[float]
) -> None:
    signer = Signer(host, region)
    target = f"DynamoDB_20120810.{operation}"
    for now in (*moments, *moments):
        found = headers(signer, target, body, keys, now)
        assert found["authorization"] == botocores(host, region, target, body, keys, now)
        assert found["host"] == host
        assert found["x-amz-target"] == target
        assert found.get("x-amz-security-token") == keys.token


def test_a_new_secret_or_day_has_another_key() -> None:
    signer = Signer("localhost", "us-east-1")
    day_s = 86_400.0
    for keys, now in (
        (Keys("a", "one"), 10.0),
        (Keys("a", "two"), 11.0),
        (Keys("a", "one"), 12.0),
        (Keys("a", "one"), 12.0 + day_s),
        (Keys("b", "one", "token"), 13.0 + day_s),
    ):
        signed = headers(signer, TARGET, b"{}", keys, now)["authorization"]
        assert signed == botocores("localhost", "us-east-1", TARGET, b"{}", keys, now)


def test_what_is_wrong_in_one_place_is_another_signature() -> None:
    signer = Signer("localhost", "us-east-1")
    keys = Keys("a", "secret", "token")
    right = headers(signer, TARGET, b"{}", keys, 10.0)["authorization"]
    for other in (
        headers(Signer("localhost:1", "us-east-1"), TARGET, b"{}", keys, 10.0),
        headers(Signer("localhost", "us-east-2"), TARGET, b"{}", keys, 10.0),
        headers(signer, TARGET + "s", b"{}", keys, 10.0),
        headers(signer, TARGET, b"{ }", keys, 10.0),
        headers(signer, TARGET, b"{}", Keys("a", "secret"), 10.0),
        headers(signer, TARGET, b"{}", keys, 11.0),
    ):
        assert other["authorization"].rpartition("=")[2] != right.rpartition("=")[2]


def test_many_secrets_in_turn_are_signed_for_within_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signing, "DERIVED_MAX", 3)
    monkeypatch.setattr(signing, "PREPARED_MAX", 2)
    signer = Signer("localhost", "us-east-1")
    for number in (0, 1, 2, 3, 4, 0, 4, 2):
        keys = Keys("a", f"secret {number}")
        signed = headers(signer, TARGET, b"{}", keys, 10.0)["authorization"]
        assert signed == botocores("localhost", "us-east-1", TARGET, b"{}", keys, 10.0)
        assert len(signer._derived) <= 3
        assert len(signer._prepared) <= 2


def test_keys_are_told_without_their_secrets() -> None:
    assert repr(Keys("a", "hush", "hush")) == "Keys(access='a')"
