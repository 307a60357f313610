"""Signed POSTs are what botocore signs."""

from dataclasses import dataclass
from datetime import UTC, datetime

import botocore.auth
import botocore.awsrequest
import botocore.credentials
import pytest

from paceline.auth.posts import signed_post


@dataclass(frozen=True)
class Keys:
    access_key: str
    secret_key: str
    token: str | None


@pytest.mark.parametrize("token", [None, "some/token+of=it"])
def test_signatures_are_botocores(token: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    at = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda: at.replace(tzinfo=None))
    body = b'{"Limit": 1}'
    plain = {
        "Host": "127.0.0.1:8141",
        "Content-Type": "application/x-amz-json-1.0",
        "X-Amz-Target": "DynamoDB_20120810.ListTables",
    }
    keys = Keys("AKIA1", "secret", token)
    mine = signed_post("/", plain, body, keys, "eu-central-1", "dynamodb", at)
    added = {"X-Amz-Content-SHA256": mine["x-amz-content-sha256"]}
    request = botocore.awsrequest.AWSRequest(
        "POST", "http://127.0.0.1:8141/", headers={**plain, **added}, data=body
    )
    theirs = botocore.credentials.Credentials("AKIA1", "secret", token)
    botocore.auth.SigV4Auth(theirs, "dynamodb", "eu-central-1").add_auth(request)
    assert mine["authorization"] == request.headers["Authorization"]
    assert mine["x-amz-date"] == request.headers["X-Amz-Date"]
    assert mine.get("x-amz-security-token") == token
