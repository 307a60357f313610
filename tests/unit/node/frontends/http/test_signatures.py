"""What becomes of requests that are not signed as AWS wants it."""

from __future__ import annotations

from typing import Any

import pytest

from node.frontends.http.messages import HttpRequest
from node.frontends.http.signatures import Signatures
from paceline.errors import DynamoDBError
from tests.unit.node.frontends.doors import type_of

SIGNED = {
    b"authorization": b"AWS4-HMAC-SHA256 Credential=a/b, SignedHeaders=host, Signature=c",
    b"x-amz-date": b"20260101T000000Z",
}
HALF = {b"authorization": SIGNED[b"authorization"]}


class DynamoDB:
    """Knows GetItem, and answers a signature with ``error``."""

    def __init__(self) -> None:
        self.error: DynamoDBError | None = DynamoDBError("MissingAuthenticationToken", "sign it")
        self.shown: list[tuple[dict[str, str], str]] = []

    def knows(self, operation: str) -> bool:
        return operation == "GetItem"

    async def show_signature(self, headers: dict[str, str], query: str, deadline: float) -> None:
        self.shown.append((headers, query))
        if self.error is not None:
            raise self.error


@pytest.fixture
def dynamodb() -> DynamoDB:
    return DynamoDB()


@pytest.fixture
def signatures(dynamodb: DynamoDB) -> Signatures:
    backend: Any = dynamodb
    return Signatures(backend)


def request(headers: dict[bytes, bytes], operation: str = "GetItem") -> HttpRequest:
    return HttpRequest(f"DynamoDB_20120810.{operation}", b"{}", path="/?a=b", headers=headers)


def test_whole_signatures_are_not_looked_into(signatures: Signatures) -> None:
    assert signatures.accepts(request(SIGNED))
    assert not signatures.accepts(request(HALF))
    assert not signatures.accepts(request({}))


async def test_others_are_shown_to_dynamodb_whose_refusal_counts(
    signatures: Signatures, dynamodb: DynamoDB
) -> None:
    reply = await signatures.refused(request(HALF), 1.0)
    assert reply is not None
    assert type_of(reply) == "MissingAuthenticationToken"
    header = HALF[b"authorization"].decode()
    assert dynamodb.shown == [({"authorization": header}, "a=b")]


async def test_an_operation_that_does_not_exist_is_refused_as_such_first(
    signatures: Signatures,
) -> None:
    reply = await signatures.refused(request({}, "NoSuchThing"), 1.0)
    assert reply is not None
    assert type_of(reply) == "UnknownOperationException"


async def test_one_that_takes_requests_of_nobody_is_asked_once(
    signatures: Signatures, dynamodb: DynamoDB
) -> None:
    dynamodb.error = None
    assert await signatures.refused(request(HALF), 1.0) is None
    assert not signatures.accepts(request({}))  # that one was signed, if badly
    assert await signatures.refused(request({}), 1.0) is None
    assert signatures.accepts(request({}))
    assert not signatures.accepts(request(HALF))
