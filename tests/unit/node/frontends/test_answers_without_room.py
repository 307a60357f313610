"""A read whose answer has no room is told as throttling by every front end; nothing was done."""

from __future__ import annotations

import json

import pytest

from cluster.transport.charges import NO_ROOM, ReadRefused, charged
from cluster.transport.large_work import INLINE_VALUES_MAX, LargeWork
from cluster.transport.memory import OBJECT_BYTES, MemoryBudget
from node.frontends.grpc.errors import status_of
from node.frontends.json_api.replies import reply_of
from node.reads.queries import KeptResult, kept_result
from node.values import msgpack_slices
from paceline.dax.cbor import Reader
from paceline.dax.errors import decode_error, encode_error
from paceline.errors import ServiceError
from paceline.types import Result

VALUES = 10 * INLINE_VALUES_MAX
PAGE: Result = {"Items": [{"id": {"S": "a"}, "v": {"L": [{"N": "7"}] * VALUES}}], "Count": 1}


def test_by_http() -> None:
    reply = reply_of(ReadRefused())
    assert reply.status == 400
    told = json.loads(reply.body)
    assert told["__type"].endswith("#ThrottlingException")
    assert told["message"] == NO_ROOM


def test_by_grpc() -> None:
    status = status_of(ReadRefused())
    assert "ThrottlingException" in str(status)
    assert NO_ROOM in status.message


def test_by_dax() -> None:
    told = decode_error(Reader(encode_error(ReadRefused())))
    assert isinstance(told, ServiceError)
    assert told.name == "ThrottlingException"
    assert told.message == NO_ROOM


async def test_a_cached_page_counts_while_its_objects_are_held() -> None:
    work, memory = LargeWork(), MemoryBudget(3 * OBJECT_BYTES * VALUES)
    kept = KeptResult(msgpack_slices.packb(PAGE), True, VALUES)
    with charged(memory):
        assert await kept_result(kept, work) == PAGE
        assert memory.held_bytes > OBJECT_BYTES * VALUES
        assert await kept_result(kept, work) == PAGE
        held = memory.held_bytes
        with charged(memory), pytest.raises(ReadRefused):
            await kept_result(kept, work)
        assert memory.held_bytes == held
    assert memory.held_bytes == 0
    await work.aclose()
