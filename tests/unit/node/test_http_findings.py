"""Requests that suites of others showed to be answered otherwise than by DynamoDB itself."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.parsers import ResponseParserError

from cluster.transport.large_work import LargeWork
from node.backend.raw import send_raw
from node.frontends.http.preflight import (
    is_addressed,
    is_signed,
    is_unsigned,
    reply_type,
    signature,
)
from node.frontends.json_api.parameters import to_params
from node.reads.projections import leads_into_key, plain_paths
from node.requests.passthrough import raw_params
from node.tables.table_info import IndexInfo, TableInfo
from paceline.types import KeyAttribute, KeySchema


@pytest.mark.parametrize("operation", ["BatchGetItem", "BatchWriteItem"])
def test_a_batch_without_request_items_is_dynamodbs_to_judge(operation: str) -> None:
    assert to_params(operation, {"ReturnConsumedCapacity": "TOTAL"}) is None
    assert to_params(operation, {"RequestItems": {}}) == {"RequestItems": {}}


@pytest.mark.parametrize(
    ("projection", "leads"),
    [
        ("#k", False),
        ("#k.a", True),
        ("#k[0]", True),
        ("#o, #k.a.b", True),
        ("#o.a", False),
        ("#i.a", True),
        ("#i", False),
    ],
)
def test_a_projection_may_not_lead_into_a_key(projection: str, leads: bool) -> None:
    schema = KeySchema(KeyAttribute("id", "S"), KeyAttribute("at", "N"))
    index = IndexInfo("GSI", KeySchema(KeyAttribute("colour", "S")))
    table = TableInfo("table", schema, "1", "ACTIVE", {"by-colour": index})
    names = {"#k": "at", "#o": "other", "#i": "colour"}
    used = {mark: name for mark, name in names.items() if mark in projection}
    params = {"ProjectionExpression": projection, "ExpressionAttributeNames": used}
    assert leads_into_key(plain_paths(params) or (), table) is leads


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


@pytest.mark.parametrize(
    ("method", "content_type", "body", "addressed"),
    [
        ("POST", "application/x-amz-json-1.0", b"{}", True),
        ("POST", "  application/json ; whatever", b"hi", True),
        ("POST", "", b"", True),
        ("POST", "", b"{}", False),
        ("POST", "application/x-amz-json-1.1", b"{}", False),
        ("POST", "application/jsonasdf", b"{}", False),
        ("OPTIONS", "application/json", b"", False),
    ],
)
def test_what_is_addressed_to_dynamodb(
    method: str, content_type: str, body: bytes, addressed: bool
) -> None:
    assert is_addressed(method, content_type, body) is addressed


def test_replies_have_the_type_of_their_requests() -> None:
    assert reply_type("application/x-amz-json-1.0;x") == "application/x-amz-json-1.0"
    assert reply_type("application/json") == reply_type("") == "application/json"


WHOLE = b"AWS4-HMAC-SHA256 Credential=a/b/c/d/e, SignedHeaders=host, Signature=0"


@pytest.mark.parametrize(
    ("path", "headers", "signed"),
    [
        ("/", {b"authorization": WHOLE, b"x-amz-date": b"d"}, True),
        ("/", {b"authorization": WHOLE, b"date": b"d"}, True),
        ("/", {b"authorization": WHOLE}, False),
        ("/", {b"authorization": b"AWS4- Signature=b Credential=a", b"date": b"d"}, False),
        ("/", {b"authorization": WHOLE[1:], b"date": b"d"}, False),
        ("/?X-Amz-Algorithm", {b"authorization": WHOLE, b"date": b"d"}, False),
        ("/?X-Amz-Algorithm", {}, False),
        ("/?X-Amz-Algorithm=a&X-Amz-Credential=b&X-Amz-Signature=c&X-Amz-Date=d", {}, False),
        (
            "/?X-Amz-Algorithm=a&X-Amz-Credential=b&X-Amz-Signature=c&X-Amz-Date=d"
            "&X-Amz-SignedHeaders=e",
            {},
            True,
        ),
        ("/", {}, False),
    ],
)
def test_what_has_all_parts_of_a_signature(
    path: str, headers: dict[bytes, bytes], signed: bool
) -> None:
    assert is_signed(path, headers) is signed
    assert is_unsigned(path, headers) is (path == "/" and not headers)


def test_what_is_shown_of_a_signature() -> None:
    headers = {b"authorization": b"X", b"date": b"d", b"x-amz-target": b"t"}
    assert signature("/?q=1", headers) == ({"authorization": "X", "date": "d"}, "q=1")
