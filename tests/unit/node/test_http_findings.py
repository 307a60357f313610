"""Requests that suites of others showed to be answered otherwise than by DynamoDB itself."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.parsers import ResponseParserError

from node.backend.raw import send_raw
from node.frontends.dynamodb_http.parameters import low_level
from node.operations.projections import leads_into_key
from node.raw_requests import raw_params
from paceline.types import KeyAttribute, KeySchema


@pytest.mark.parametrize("operation", ["BatchGetItem", "BatchWriteItem"])
def test_a_batch_without_request_items_is_dynamodbs_to_judge(operation: str) -> None:
    assert low_level(operation, {"ReturnConsumedCapacity": "TOTAL"}) is None
    assert low_level(operation, {"RequestItems": {}}) == {"RequestItems": {}}


@pytest.mark.parametrize(
    ("projection", "leads"),
    [("#k", False), ("#k.a", True), ("#k[0]", True), ("#o, #k.a.b", True), ("#o.a", False)],
)
def test_a_projection_may_not_lead_into_a_key(projection: str, leads: bool) -> None:
    schema = KeySchema(KeyAttribute("id", "S"), KeyAttribute("at", "N"))
    names = {"#k": "at", "#o": "other"}
    used = {mark: name for mark, name in names.items() if mark in projection}
    params = {"ProjectionExpression": projection, "ExpressionAttributeNames": used}
    assert leads_into_key(params, schema) is leads


class Answering:
    """As much of an aiobotocore client as a raw request touches."""

    def __init__(self, body: bytes) -> None:
        self.meta = SimpleNamespace(endpoint_url="http://127.0.0.1:1")
        self._request_signer = self
        self._endpoint = SimpleNamespace(http_session=self)
        self._body = body

    async def sign(self, operation: str, request: Any) -> None:
        pass

    async def send(self, request: Any) -> Any:
        content: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        content.set_result(self._body)
        return SimpleNamespace(content=content, headers={}, status_code=200)


async def test_an_empty_answer_is_one() -> None:
    """TagResource and UntagResource have no other."""
    params = raw_params("DynamoDB_20120810.TagResource", b"{}")
    assert (await send_raw(Answering(b""), params))["Body"] == b""
    with pytest.raises(ResponseParserError):
        await send_raw(Answering(b'{"half": '), params)
