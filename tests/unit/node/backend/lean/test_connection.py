"""One connection: answers however they are cut, and what is none."""

from __future__ import annotations

import asyncio
import random
from itertools import pairwise
from typing import Any

import pytest

from node.backend.lean.connection import HEAD_BYTES_MAX, Answer, BrokenOff, Connection, Foreign

HEAD = b"content-type: application/x-amz-json-1.0\r\nx-amzn-RequestId: R\r\n"
BODY = b'{"Item":{"id":{"S":"1"}}}'
WHOLE = b"HTTP/1.1 200 OK\r\n" + HEAD + b"content-length: %d\r\n\r\n" % len(BODY) + BODY
CHUNKED = (
    b"HTTP/1.1 200 OK\r\n"
    + HEAD
    + b"transfer-encoding: chunked\r\n\r\n5\r\n%b\r\n%x\r\n%b\r\n0\r\n\r\n"
    % (BODY[:5], len(BODY) - 5, BODY[5:])
)
UNTIL_THE_END = b"HTTP/1.1 200 OK\r\n" + HEAD + b"\r\n" + BODY
BYTES_MAX = 1000


class Wire:
    """What a transport is to a connection."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.unsent_bytes = 0
        self.aborted = False

    def write(self, data: bytes) -> None:
        self.sent.append(data)

    def abort(self) -> None:
        self.aborted = True

    def get_write_buffer_size(self) -> int:
        return self.unsent_bytes


class Rig:
    def __init__(self) -> None:
        self.wire: Any = Wire()
        self.connection = Connection()
        self.connection.connection_made(self.wire)

    def ask(self, bytes_max: int = BYTES_MAX) -> asyncio.Future[Answer]:
        return self.connection.exchange(b"request", bytes_max)

    def reaches(self, data: bytes, cuts: list[int] | None = None) -> None:
        """In as many parts as the places say, until the connection was given up."""
        places = [0, *sorted(cuts or []), len(data)]
        for begin, end in pairwise(places):
            if begin < end and not self.wire.aborted:
                self.connection.data_received(data[begin:end])

    def ends(self, error: Exception | None = None) -> None:
        self.connection.connection_lost(error)


def body_of(answer: Answer) -> bytes:
    return b"".join(answer.parts)


@pytest.mark.parametrize("whole", [WHOLE, CHUNKED], ids=["length", "chunks"])
async def test_an_answer_however_it_is_cut(whole: bytes) -> None:
    rng = random.Random(7)
    rig = Rig()
    for _ in range(200):
        asked = rig.ask()
        rig.reaches(whole, [rng.randrange(len(whole)) for _ in range(rng.randrange(6))])
        answer = await asked
        assert (answer.status, body_of(answer)) == (200, BODY)
        assert answer.headers["x-amzn-requestid"] == "R"
        assert not rig.connection.should_close


@pytest.mark.parametrize("whole", [WHOLE, CHUNKED], ids=["length", "chunks"])
async def test_an_answer_that_is_cut_off_is_none(whole: bytes) -> None:
    for end in range(len(whole)):
        rig = Rig()
        asked = rig.ask()
        rig.reaches(whole[:end])
        assert not asked.done(), end
        rig.ends()
        with pytest.raises(BrokenOff):
            await asked


async def test_without_a_length_it_ends_with_the_connection() -> None:
    rig = Rig()
    asked = rig.ask()
    rig.reaches(UNTIL_THE_END)
    assert not asked.done()
    rig.ends()
    assert body_of(await asked) == BODY


async def test_without_a_length_a_reset_is_no_end() -> None:
    rig = Rig()
    asked = rig.ask()
    rig.reaches(UNTIL_THE_END)
    rig.ends(ConnectionResetError("reset"))
    with pytest.raises(BrokenOff, match="reset"):
        await asked


async def test_a_continue_is_no_answer() -> None:
    rig = Rig()
    asked = rig.ask()
    rig.reaches(b"HTTP/1.1 100 Continue\r\nx: y\r\n\r\n" + WHOLE)
    answer = await asked
    assert body_of(answer) == BODY
    assert "x" not in answer.headers


async def test_a_server_that_closes_is_believed() -> None:
    rig = Rig()
    asked = rig.ask()
    rig.reaches(WHOLE.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n"))
    assert body_of(await asked) == BODY
    assert rig.connection.should_close


@pytest.mark.parametrize(
    "more", [WHOLE, WHOLE[:20], b"x", CHUNKED[:90]], ids=["whole", "begun", "junk", "chunks"]
)
@pytest.mark.parametrize("at_once", [True, False])
async def test_what_nobody_asked_for_is_not_the_next_answer(more: bytes, at_once: bool) -> None:
    rig = Rig()
    asked = rig.ask()
    for part in [WHOLE + more] if at_once else [WHOLE, more]:
        rig.connection.data_received(part)
    assert body_of(await asked) == BODY
    assert rig.wire.aborted
    assert rig.connection.should_close


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"SSH-2.0-OpenSSH_9.6\r\n", "no HTTP"),
        (b"\x16\x03\x01\x02\x00", "no HTTP"),
        (WHOLE.replace(b"200 OK", b"302 Found"), "redirect"),
        (WHOLE.replace(b"x-amz-json-1.0", b"json"), "content type"),
        (WHOLE.replace(b"x-amzn-RequestId: R", b"x: y"), "request id"),
        (WHOLE.replace(b"content-length: 25", b"content-length: 1001"), "longer than 1000"),
        (UNTIL_THE_END + b"x" * 1000, "longer than 1000"),
        (
            b"HTTP/1.1 101 Switching\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
            "another protocol",
        ),
        (b"HTTP/1.1 200 OK\r\nx: " + b"y" * (HEAD_BYTES_MAX + BYTES_MAX + 1), "no end"),
        (b"HTTP/1.1 200 OK\r\n" + b"".join(b"x%d: y\r\n" % n for n in range(300)), "head"),
    ],
    ids=lambda value: value[:12] if isinstance(value, bytes) else value,
)
async def test_what_is_not_dynamodbs_ends_the_connection(data: bytes, why: str) -> None:
    rig = Rig()
    asked = rig.ask()
    rig.reaches(data, list(range(0, len(data), 1000)))
    with pytest.raises(Foreign, match=why):
        await asked
    assert rig.wire.aborted
    assert rig.connection.should_close


@pytest.mark.parametrize(
    ("begin", "more"),
    [
        (b"HTTP/1.1 200 OK\r\n", b"x: %b\r\n" % (b"y" * 998)),
        (b"HTTP/1.1 200 OK\r\nx: ", b"y" * 1000),
        (b"HTTP/1.1 200 ", b"y" * 1000),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 40),
        (CHUNKED[:-2], b"x: %b\r\n" % (b"y" * 998)),
        (CHUNKED[:-2] + b"x: ", b"y" * 1000),
        (CHUNKED[:-5] + b"1;", b"y" * 1000),
    ],
    ids=["lines", "line", "reason", "continues", "trailers", "trailer", "chunk's extension"],
)
async def test_what_stands_around_a_body_has_an_end(begin: bytes, more: bytes) -> None:
    """Also where a body may be long: none of it is counted against the memory for answers."""
    rig = Rig()
    asked = rig.ask(bytes_max=160 << 20)
    rig.reaches(begin)
    for _ in range(HEAD_BYTES_MAX // 1000 + 2):
        if not rig.wire.aborted:
            rig.connection.data_received(more)
    assert asked.done()
    with pytest.raises(Foreign, match="no end"):
        await asked
    assert rig.wire.aborted


async def test_a_trailer_is_none_of_the_headers() -> None:
    rig = Rig()
    asked = rig.ask()
    trailers = b"x-amzn-RequestId: other\r\nx-amz-crc32: 1\r\ncontent-encoding: gzip\r\n"
    rig.reaches(CHUNKED[:-2] + trailers + b"\r\n")
    assert asked.done()
    assert sorted((await asked).headers) == [
        "content-type",
        "transfer-encoding",
        "x-amzn-requestid",
    ]
    assert (await asked).headers["x-amzn-requestid"] == "R"


async def test_a_body_in_tiny_chunks_takes_no_more_than_another() -> None:
    rig = Rig()
    asked = rig.ask(bytes_max=1 << 20)
    rig.reaches(CHUNKED[: CHUNKED.index(b"5\r\n{")] + b"2\r\nxx\r\n" * 50_000 + b"0\r\n\r\n")
    answer = await asked
    assert body_of(answer) == b"xx" * 50_000
    assert len(answer.parts) < 100


async def test_what_is_answered_before_it_has_left_does_not_leave_any_more() -> None:
    rig = Rig()
    asked = rig.ask()
    rig.wire.unsent_bytes = 1
    rig.reaches(WHOLE)
    assert body_of(await asked) == BODY
    assert rig.connection.should_close


async def test_nobody_waits_any_more() -> None:
    """A cancelled request: what comes then is nobody's, and the connection is not used again."""
    rig = Rig()
    rig.ask().cancel()
    rig.reaches(WHOLE)
    assert rig.wire.aborted
    rig.ends()
    assert rig.connection.should_close
