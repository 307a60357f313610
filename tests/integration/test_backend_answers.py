"""Answers that are not DynamoDB's: never success, never a refusal, never more than fits."""

from __future__ import annotations

import gzip
import json
import resource
import zlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from cluster.settings import DynamoDBSettings
from node.backend.client import SAME_ANSWERS_MAX, Backend
from node.streams.client import StreamClient
from paceline import clock
from paceline.dynamodb_answers import PAGE_BYTES_MAX, answer_bytes_max
from paceline.errors import DynamoDBError, OutcomeUnknown, Unavailable
from tests.support.dynamodb_ways import WAYS, either_way
from tests.support.flaky_http import Answer, Behaviour, FlakyDynamoDB, Wire, error

way = either_way(WAYS)


PATIENT_S = 20.0
KEY = {"id": {"S": "1"}}
PUT = {"TableName": "t", "Item": KEY}
BATCH = {"RequestItems": {"t": [{"PutRequest": {"Item": KEY}}]}}
JSON = "content-type: application/x-amz-json-1.0"
ID = "x-amzn-requestid: R"
GOOD_ERROR = b'{"__type":"com.amazonaws.dynamodb.v20120810#ValidationException","message":"m"}'


def wire(status: int, *headers: str, body: bytes = b"{}", close: bool = False) -> Wire:
    lines = (f"HTTP/1.1 {status} X", *headers, f"content-length: {len(body)}", "\r\n")
    return Wire("\r\n".join(lines).encode() + body)


def redirect(status: int) -> Wire:
    return wire(status, "location: https://elsewhere.example/x", JSON, ID, body=b"")


FOREIGN: dict[str, Wire] = {
    **{f"redirect {status}": redirect(status) for status in (300, 301, 302, 303, 304, 307, 308)},
    "redirect to nowhere": wire(302, JSON, ID),
    "page": wire(200, "content-type: text/html", ID, body=b"<html>welcome</html>"),
    "page that claims to be JSON": wire(200, JSON, ID, body=b"<html>welcome</html>"),
    "JSON of something else": wire(200, "content-type: application/json", ID),
    "JSON of another AWS service": wire(200, "content-type: application/x-amz-json-1.1", ID),
    "no content type": wire(200, ID),
    "no request id": wire(200, JSON),
    "nothing": wire(200, JSON, ID, body=b""),
    "empty string": wire(200, JSON, ID, body=b'""'),
    "array": wire(200, JSON, ID, body=b"[{}]"),
    "cut short": wire(200, JSON, ID, body=b'{"Attributes":{'),
    "wrong checksum": wire(200, JSON, ID, "x-amz-crc32: 1"),
    "checksum of another body": wire(200, JSON, ID, f"x-amz-crc32: {zlib.crc32(b'{ }')}"),
    "checksum that is no number": wire(200, JSON, ID, "x-amz-crc32: x"),
    "compressed": wire(200, JSON, ID, "content-encoding: gzip", body=gzip.compress(b"{}")),
    "compressed bomb": wire(
        200, JSON, ID, "content-encoding: gzip", body=gzip.compress(bytes(8 << 20), 1)
    ),
    "created": wire(201, JSON, ID),
    "accepted": wire(202, JSON, ID),
    "no content": Wire(f"HTTP/1.1 204 X\r\n{JSON}\r\n{ID}\r\n\r\n".encode()),
    "upgrade": Wire(f"HTTP/1.1 101 X\r\n{JSON}\r\n{ID}\r\nupgrade: x\r\n\r\n{{}}".encode()),
    "not HTTP": Wire(b"SSH-2.0-OpenSSH_9.6\r\n\r\n"),
    "too long by its own word": Wire(
        f"HTTP/1.1 200 X\r\n{JSON}\r\n{ID}\r\ncontent-length: 99999999999\r\n\r\n{{".encode()
    ),
    "head without end": Wire(b"HTTP/1.1 200 X\r\n", again=b"x-more: " + b"x" * 1000 + b"\r\n"),
    **{
        f"page of a proxy, {status}": wire(
            status, "content-type: text/html", body=b"<html>nginx</html>"
        )
        for status in (400, 403, 404, 405, 408, 413, 429, 431, 499, 500, 502, 503, 504)
    },
    "error without a name": wire(400, JSON, ID, body=b'{"message":"no"}'),
    "error that is empty": wire(413, JSON, ID, body=b""),
    "error whose name is no string": wire(400, JSON, ID, body=b'{"__type":5}'),
    "error without a request id": wire(400, JSON, body=GOOD_ERROR),
    "error of another type": wire(400, "content-type: application/json", ID, body=GOOD_ERROR),
    "error with a wrong checksum": wire(400, JSON, ID, "x-amz-crc32: 1", body=GOOD_ERROR),
}

Call = Callable[[Backend], Any]


def raw(operation: str, body: bytes = b"{}", *, repeat: bool = False) -> Call:
    target = f"DynamoDB_20120810.{operation}"
    return lambda backend: backend.raw(target, body, clock.now() + PATIENT_S, repeat=repeat)


def write(operation: str, params: dict[str, Any]) -> Call:
    async def call(backend: Backend) -> Any:
        ended = await backend.write(operation, params, clock.now() + PATIENT_S, lambda: True)
        assert ended.ambiguous or ended.error is None
        return ended.reply()

    return call


def read(operation: str, params: dict[str, Any]) -> Call:
    return lambda backend: backend.read(operation, params, clock.now() + PATIENT_S)


WRITES: dict[str, Call] = {
    "write": write("PutItem", PUT),
    "batch": write("BatchWriteItem", BATCH),
    "control": lambda backend: backend.control("DeleteTable", {"TableName": "t"}),
    "raw": raw("UpdateContinuousBackups"),
}
READS: dict[str, Call] = {
    "item": read("GetItem", {"TableName": "t", "Key": KEY}),
    "batch": read("BatchGetItem", {"RequestItems": {"t": {"Keys": [KEY]}}}),
    "describe": lambda backend: backend.control("DescribeTable", {"TableName": "t"}),
    "raw": raw("DescribeLimits", repeat=True),
}


@asynccontextmanager
async def backend_for(endpoint: str) -> AsyncIterator[Backend]:
    backend = Backend(
        DynamoDBSettings(
            endpoint=endpoint,
            credentials="dummy",
            connect_timeout_s=PATIENT_S,
            read_timeout_s=PATIENT_S,
        )
    )
    await backend.start()
    try:
        yield backend
    finally:
        await backend.stop()


@pytest.mark.parametrize("call", WRITES.values(), ids=WRITES)
async def test_a_write_that_something_else_answers_has_an_unknown_outcome(call: Call) -> None:
    """Also one that is redirected by something that surely did not do it: that cannot be seen."""
    answers: list[Behaviour] = []
    async with (
        FlakyDynamoDB(lambda *_: answers[0]) as server,
        backend_for(server.endpoint) as backend,
    ):
        for name, answer in FOREIGN.items():
            answers[:] = [answer]
            server.requests.clear()
            with pytest.raises(OutcomeUnknown):
                print(name, await call(backend))
            assert len(server.requests) == 1, name


@pytest.mark.parametrize("call", READS.values(), ids=READS)
async def test_a_read_that_something_else_answers_is_repeated_a_few_times(
    call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("node.backend.retry.BASE_S", 0.0)
    answers: list[Behaviour] = []
    async with (
        FlakyDynamoDB(lambda *_: answers[0]) as server,
        backend_for(server.endpoint) as backend,
    ):
        for name in ("redirect 302", "page", "page of a proxy, 403", "cut short", "wrong checksum"):
            answers[:] = [FOREIGN[name]]
            server.requests.clear()
            with pytest.raises(Unavailable):
                print(name, await call(backend))
            assert len(server.requests) == SAME_ANSWERS_MAX, name


async def test_no_redirect_is_followed_and_the_setting_is_named() -> None:
    async with FlakyDynamoDB([Answer()]) as other:
        for status in (301, 302, 303, 307, 308):
            answer = wire(status, f"location: {other.endpoint}/x?y", body=b"")
            async with (
                FlakyDynamoDB([answer]) as server,
                backend_for(server.endpoint) as backend,
            ):
                with pytest.raises(OutcomeUnknown) as told:
                    await WRITES["write"](backend)
                assert other.endpoint in str(told.value)
                assert "PACELINE_DYNAMODB__ENDPOINT" in str(told.value)
        assert other.connections == 0


async def test_what_says_nothing_may_say_nothing() -> None:
    tag = {"ResourceArn": "a", "Tags": []}
    for body in (b"", b'""', b"{}"):
        async with (
            FlakyDynamoDB([wire(200, JSON, ID, body=body)]) as server,
            backend_for(server.endpoint) as backend,
        ):
            assert await backend.control("TagResource", tag) == {}
            assert (await raw("UntagResource")(backend))["Body"] == body


async def test_dynamodbs_own_answers_pass() -> None:
    checksum = f"x-amz-crc32: {zlib.crc32(b'{}')}"
    chunked = f"HTTP/1.1 200 X\r\n{JSON}\r\n{ID}\r\ntransfer-encoding: chunked\r\n\r\n"
    script: list[Behaviour] = [
        wire(200, JSON, ID),
        wire(200, f"{JSON}; charset=utf-8", "X-Amzn-RequestId: R", checksum),
        wire(200, JSON, ID, "content-encoding: identity"),
        Wire(chunked.encode() + b"1\r\n{\r\n1\r\n}\r\n0\r\n\r\n"),
        wire(400, JSON, ID, body=GOOD_ERROR),
        wire(400, JSON, ID, body=GOOD_ERROR),
    ]
    async with FlakyDynamoDB(script) as server, backend_for(server.endpoint) as backend:
        for _ in range(4):
            assert await WRITES["write"](backend) == {}
        for call in (raw("UpdateContinuousBackups"), WRITES["control"]):
            with pytest.raises(DynamoDBError) as told:
                await call(backend)
            assert (told.value.name, told.value.message) == ("ValidationException", "m")
            assert told.value.request_id == "R"
            assert told.value.body == GOOD_ERROR


@pytest.mark.parametrize("call", [WRITES["write"], WRITES["raw"]], ids=["write", "raw"])
@pytest.mark.parametrize("framing", ["chunked", "until the end"])
async def test_a_body_without_end_is_given_up(call: Call, framing: str) -> None:
    block = b" " * 65536
    head = f"HTTP/1.1 200 X\r\n{JSON}\r\n{ID}\r\n"
    if framing == "chunked":
        head, block = head + "transfer-encoding: chunked\r\n", b"10000\r\n" + block + b"\r\n"
    endless = Wire(head.encode() + b"\r\n", again=block)
    async with FlakyDynamoDB([endless]) as server, backend_for(server.endpoint) as backend:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        with pytest.raises(OutcomeUnknown, match="longer than"):
            await call(backend)
        grown_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        assert grown_kib < 4 * PAGE_BYTES_MAX / 1024


def test_answers_that_dynamodb_can_give_are_not_too_long() -> None:
    """What is densest in JSON, by DynamoDB's count of bytes: one for a list's element."""
    element = json.dumps({"S": ""}, separators=(",", ":")) + ","
    assert answer_bytes_max("GetItem") > len(element) * 400 * 1024
    assert answer_bytes_max("Query") > len(element) * 1024 * 1024
    assert answer_bytes_max("BatchGetItem") > len(element) * 16 * 1024 * 1024
    assert (
        answer_bytes_max("GetItem") < answer_bytes_max("Query") < answer_bytes_max("BatchGetItem")
    )


async def test_an_answer_that_nobody_asked_for_is_not_the_next_ones() -> None:
    """A second answer on the connection, read or not yet, would answer the next request."""
    twice = wire(200, JSON, ID, body=b'{"Item":{"id":{"S":"of another"}}}')
    script: list[Behaviour] = [Wire(twice.data * 2), Answer({"Item": KEY}), Answer()]
    async with FlakyDynamoDB(script) as server, backend_for(server.endpoint) as backend:
        first = await READS["item"](backend)
        assert first["Item"]["id"]["S"] == "of another"
        assert await READS["item"](backend) == {"Item": KEY}
        assert await WRITES["write"](backend) == {}
        assert len(server.requests) == 3


async def test_streams_are_no_exception() -> None:
    for name in ("redirect 302", "page", "wrong checksum", "page of a proxy, 403"):
        async with FlakyDynamoDB([FOREIGN[name]]) as server:
            streams = StreamClient(DynamoDBSettings(endpoint=server.endpoint, credentials="dummy"))
            await streams.start()
            try:
                with pytest.raises(Unavailable):
                    await streams.call("ListStreams", {}, clock.now() + PATIENT_S)
            finally:
                await streams.stop()


@pytest.mark.parametrize("status", [500, 503])
async def test_the_same_error_every_time_ends_a_read(status: int) -> None:
    answer = error("InternalServerError", status)
    async with FlakyDynamoDB([answer]) as server, backend_for(server.endpoint) as backend:
        with pytest.raises(DynamoDBError) as told:
            await READS["item"](backend)
        assert told.value.status == status
        assert len(server.requests) == SAME_ANSWERS_MAX
