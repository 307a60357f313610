"""Requests that are sent to DynamoDB as they came."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.parsers import ResponseParserError

from cluster.transport.large_work import LargeWork
from node.backend.raw import send_raw
from node.requests.reach import raw_params


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
    for body in (b"", b'""'):
        assert (await send_raw(Answering(body), params, LargeWork()))["Body"] == body
    with pytest.raises(ResponseParserError):
        await send_raw(Answering(b'{"half": '), params, LargeWork())
