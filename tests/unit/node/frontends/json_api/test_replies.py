"""Replies of the HTTP API's front end, by HTTP and by the DAX protocol."""

from __future__ import annotations

import json

from cluster.transport.large_work import LargeWork
from node.frontends.dax.json_requests import raw_requests
from node.frontends.json_api.request import BODY_BYTES_MAX
from paceline.dax.request_types import RawRequest
from paceline.dax.responses import RawReply, read_raw_reply
from tests.unit.node.frontends.doors import Node

GET = {"TableName": "t-1", "Key": {"id": {"S": "a"}}}


async def test_every_hit_is_answered_alike() -> None:
    """Of the second one on, the reply is kept with its entry."""
    node = Node()
    node.keep("t-1", b"a")
    for _ in range(3):
        reply = await node.post("GetItem", GET)
        assert (reply.status, reply.body, reply.cache) == (200, b"{}", "hit")


async def raw(node: Node, body: bytes) -> RawReply:
    work = LargeWork()
    try:
        answer = await raw_requests(node.operations, work)(
            RawRequest("DynamoDB_20120810.GetItem", body)
        )
    finally:
        await work.aclose()
    assert answer[:1] == b"\x80"  # no error of the protocol itself
    return read_raw_reply(answer[1:])


async def test_by_the_dax_protocol_the_reply_is_the_same() -> None:
    node = Node()
    node.keep("t-1", b"a")
    reply = await raw(node, json.dumps(GET).encode())
    assert (reply.status, reply.body, reply.cache) == (200, b"{}", "hit")


async def test_by_the_dax_protocol_a_request_may_be_as_large_as_by_http() -> None:
    node = Node()
    node.keep("t-1", b"a")
    body = json.dumps(GET).encode()
    fits = await raw(node, body.ljust(BODY_BYTES_MAX))
    assert (fits.status, fits.body) == (200, b"{}")
    too_large = await raw(node, body.ljust(BODY_BYTES_MAX + 1))
    assert too_large.status == 413
