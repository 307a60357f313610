"""DynamoDB requests on their way through a link: passed on, throttled, failed."""

import asyncio
import json
import random
from collections.abc import Callable
from typing import Any

import pytest

from paceline_local.chaos.faults import Faults
from paceline_local.chaos.layout import LinkSpec
from paceline_local.chaos.pipe import Direction, End, Sink
from paceline_local.chaos.proxies import Proxies
from paceline_local.chaos.requests import RequestFilter
from tests.support.flaky_http import Answer, Close, FlakyDynamoDB
from tests.support.waiting import until

FLOW = ("node-1", "dynamodb", "dynamodb")
BODY = json.dumps({"TableName": "T", "Key": {"id": {"S": "x" * 50}}}).encode()
REQUEST = (
    b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Amz-Target: DynamoDB_20120810.GetItem\r\n"
    b"Content-Length: " + str(len(BODY)).encode() + b"\r\n\r\n" + BODY
)


class Far(Sink):
    def __init__(self) -> None:
        self.received = b""
        self.finished: list[End] = []

    def write(self, data: bytes) -> None:
        self.received += data

    def finish(self, end: End) -> None:
        self.finished.append(end)


class Filtered:
    """A filter with its three ways out."""

    def __init__(self, faults: Faults, seed: int = 1) -> None:
        self.direction = Direction(random.Random(seed))
        self.direction.faults = faults
        self.far = Far()
        self.answers: list[bytes] = []
        self.carried_out: list[bytes] = []
        self.filter = RequestFilter(self.direction, self.far, self.answers.append, self._carry_out)

    def _carry_out(self, request: bytes, done: Callable[[], None]) -> None:
        self.carried_out.append(request)
        done()


def in_pieces(data: bytes, size: int) -> list[bytes]:
    return [data[start : start + size] for start in range(0, len(data), size)]


@pytest.mark.parametrize("size", [1, 7, 100, 10_000])
def test_requests_pass_unchanged_in_any_pieces(size: int) -> None:
    filtered = Filtered(Faults())
    for piece in in_pieces(REQUEST * 3, size):
        filtered.filter.write(piece)
    assert filtered.far.received == REQUEST * 3
    assert filtered.answers == []


@pytest.mark.parametrize("size", [1, 7, 100, 10_000])
def test_a_throttled_request_is_answered_and_goes_nowhere(size: int) -> None:
    filtered = Filtered(Faults(throttle=1.0, throttle_error="ThrottlingException"))
    for piece in in_pieces(REQUEST * 2, size):
        filtered.filter.write(piece)
    assert filtered.far.received == b""
    assert len(filtered.answers) == filtered.direction.requests_answered == 2
    head, _, body = filtered.answers[0].partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ")
    assert f"Content-Length: {len(body)}".encode() in head
    assert json.loads(body)["__type"].endswith("#ThrottlingException")


def test_about_the_asked_share_is_throttled() -> None:
    filtered = Filtered(Faults(throttle=0.3), seed=11)
    for _ in range(1000):
        filtered.filter.write(REQUEST)
    assert 250 <= len(filtered.answers) <= 350
    assert filtered.far.received == REQUEST * (1000 - len(filtered.answers))


def test_a_request_can_fail_before_or_after_it_was_carried_out() -> None:
    before = Filtered(Faults(errors_before=1.0))
    before.filter.write(REQUEST)
    assert before.answers[0].startswith(b"HTTP/1.1 500 ")
    assert (before.far.received, before.carried_out) == (b"", [])
    after = Filtered(Faults(errors_after=1.0))
    after.filter.write(REQUEST)
    assert after.answers == before.answers
    assert after.far.received == b""
    (request,) = after.carried_out
    assert request.endswith(b"\r\n\r\n" + BODY)
    assert b"\r\nConnection: close\r\n" in request


@pytest.mark.parametrize(
    "strange",
    [
        REQUEST.replace(b"Content-Length: ", b"Transfer-Encoding: chunked\r\nX: "),
        REQUEST.replace(b"Content-Length: ", b"Content-Length: many"),
        b"\x16\x03\x01" + b"\xff" * 70_000,
    ],
)
def test_what_is_not_understood_is_passed_on(strange: bytes) -> None:
    filtered = Filtered(Faults(throttle=1.0))
    for piece in in_pieces(strange + REQUEST, 1000):
        filtered.filter.write(piece)
    assert filtered.far.received == strange + REQUEST


def test_an_incomplete_request_is_passed_on_at_the_end() -> None:
    filtered = Filtered(Faults())
    filtered.filter.write(REQUEST[:30])
    filtered.filter.finish(End.DONE)
    assert filtered.far.received == REQUEST[:30]
    assert filtered.far.finished == [End.DONE]


# -- on a real link -------------------------------------------------------------------------


async def ask(port: int, times: int = 1) -> list[tuple[int, dict[str, Any]]]:
    """(status, JSON) of each request of one connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    found = []
    for _ in range(times):
        writer.write(REQUEST)
        head = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)).decode()
        length = int(head.lower().partition("content-length: ")[2].partition("\r\n")[0])
        found.append((int(head.split()[1]), json.loads(await reader.readexactly(length))))
    writer.close()
    await writer.wait_closed()
    return found


async def test_a_link_to_dynamodb_throttles_and_fails_in_the_middle_of_a_connection() -> None:
    answer = {"Item": {"id": {"S": "1"}}}
    # Asked for the end of the connection, it closes it; a connection that only looks is closed.
    async with FlakyDynamoDB(lambda operation, body: Answer(answer)) as server:
        spec = LinkSpec("node-1", "dynamodb", "dynamodb", f"127.0.0.1:{server.port}")
        proxies = Proxies([spec], random.Random(1))
        (port,) = proxies.open(())
        await until(lambda: proxies.links[spec].target.listens, "the server is seen")
        try:
            assert await ask(port, 2) == [(200, answer)] * 2
            proxies.apply({FLOW: Faults(throttle=1.0)})
            ((status, body),) = await ask(port)
            assert (status, len(server.requests)) == (400, 2)
            assert body["__type"].endswith("ProvisionedThroughputExceededException")
            proxies.apply({FLOW: Faults(errors_before=1.0)})
            assert [status for status, _ in await ask(port)] == [500]
            assert len(server.requests) == 2
            proxies.apply({})
            assert await ask(port) == [(200, answer)]
            described = {(flow["from"], flow["to"]): flow for flow in proxies.describe()}
            assert described["node-1", "dynamodb"]["requests_answered"] == 2
        finally:
            await proxies.close()


async def test_a_request_that_fails_afterwards_was_carried_out() -> None:
    async with FlakyDynamoDB([Close()]) as server:
        spec = LinkSpec("node-1", "dynamodb", "dynamodb", f"127.0.0.1:{server.port}")
        proxies = Proxies([spec], random.Random(1))
        (port,) = proxies.open(())
        await until(lambda: proxies.links[spec].target.listens, "the server is seen")
        try:
            proxies.apply({FLOW: Faults(errors_after=1.0)})
            assert [status for status, _ in await ask(port, 3)] == [500] * 3
            assert server.operations == ["GetItem"] * 3
        finally:
            await proxies.close()
