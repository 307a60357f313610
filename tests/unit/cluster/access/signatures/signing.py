"""Requests as AWS's own signers sign them, at a time of the test's choice, and as they go out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256
from unittest import mock
from urllib.parse import urlsplit

import pytest
from botocore.auth import SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from cluster.access.denied import Denied
from cluster.access.principals import AccessKey, KnownPrincipals, Principal
from cluster.access.signatures.requests import SignedRequest
from cluster.access.signatures.signing_keys import SigningKeys
from cluster.access.signatures.verification import Rules, Verified, verify

NOW = 1_767_323_045  # 2026-01-02T03:04:05Z
REGION = "eu-west-1"
RULES = Rules(REGION)

ANNA = Principal("anna", "arn:aws:iam::000000000000:user/anna")
GONE = Principal("gone", "arn:aws:iam::000000000000:user/gone", disabled=True)
KEY = AccessKey("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "anna")
TEMPORARY = AccessKey(
    "ASIAEXAMPLE", "another/secret", "anna", session_token="t0ken/+==", expires_at=NOW + 900.0
)
DISABLED = AccessKey("AKIDDISABLED", "secret", "anna", disabled=True)
OF_GONE = AccessKey("AKIDGONE", "secret", "gone")
KNOWN = KnownPrincipals((ANNA, GONE), (KEY, TEMPORARY, DISABLED, OF_GONE), version=3)

TARGET = "DynamoDB_20120810.GetItem"
BODY = b'{"TableName":"t","Key":{"k":{"S":"1"}}}'


def credentials(key: AccessKey) -> Credentials:
    return Credentials(key.id, key.secret, key.session_token)


@contextmanager
def clock_of_signers(at: int) -> Iterator[None]:
    now = datetime.fromtimestamp(at, UTC)
    with mock.patch("botocore.auth.get_current_datetime", return_value=now):
        yield


def request_as_sent(prepared: AWSRequest) -> SignedRequest:
    """As botocore's HTTP session would write it: it adds the host."""
    url = urlsplit(prepared.url)
    headers = [(name, value) for name, value in prepared.headers.items()]
    if not any(name.lower() == "host" for name, _ in headers):
        headers.append(("Host", url.netloc))
    target = url.path + (f"?{url.query}" if url.query else "")
    body = prepared.prepare().body or b""
    raw = body.encode() if isinstance(body, str) else body
    return SignedRequest.of(prepared.method, target, headers, raw)


def signed(
    key: AccessKey = KEY,
    *,
    at: int = NOW,
    region: str = REGION,
    service: str = "dynamodb",
    method: str = "POST",
    url: str = "http://cache.example:8141/",
    headers: dict[str, str] | None = None,
    body: bytes = BODY,
) -> SignedRequest:
    """By botocore, in the Authorization header."""
    made = AWSRequest(method, url, headers or {"X-Amz-Target": TARGET}, body)
    with clock_of_signers(at):
        SigV4Auth(credentials(key), service, region).add_auth(made)
    return request_as_sent(made)


def presigned(
    key: AccessKey = KEY,
    *,
    at: int = NOW,
    expires_s: int = 900,
    method: str = "POST",
    url: str = "http://cache.example:8141/",
    headers: dict[str, str] | None = None,
    body: bytes = BODY,
) -> SignedRequest:
    """By botocore, in the query. It would move the body into the query, too, which DynamoDB does
    not read there."""
    made = AWSRequest(method, url, headers or {"X-Amz-Target": TARGET})
    signer = SigV4QueryAuth(credentials(key), "dynamodb", REGION, expires_s)
    digest = sha256(body).hexdigest()
    with clock_of_signers(at), mock.patch.object(signer, "payload", return_value=digest):
        signer.add_auth(made)
    return replace(request_as_sent(made), body_sha256=digest)


def verified(
    request: SignedRequest,
    *,
    now: float = NOW,
    known: KnownPrincipals = KNOWN,
    rules: Rules = RULES,
) -> Verified:
    return verify(request, known, rules, SigningKeys(), now)


def refusal(request: SignedRequest, *, now: float = NOW, rules: Rules = RULES) -> tuple[str, str]:
    """Name and message, where there has to be a refusal."""
    with pytest.raises(Denied) as caught:
        verified(request, now=now, rules=rules)
    assert caught.value.http_status == 400
    return caught.value.error_name, caught.value.message


def with_header(request: SignedRequest, name: str, value: str | None) -> SignedRequest:
    """``value`` None: without it."""
    kept = [pair for pair in request.headers if pair[0].lower() != name.encode()]
    if value is not None:
        kept.append((name.encode(), value.encode()))
    return SignedRequest(
        request.method, request.path, request.query, tuple(kept), request.body_sha256
    )
