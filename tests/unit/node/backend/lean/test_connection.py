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
        self.aborted = False

    def write(self, data: bytes) -> None:
        self.sent.append(data)

    def abort(self) -> None:
        self.aborted = True


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


async def test_nobody_waits_any_more() -> None:
    """A cancelled request: what comes then is nobody's, and the connection is not used again."""
    rig = Rig()
    rig.ask().cancel()
    rig.reaches(WHOLE)
    assert rig.wire.aborted
    rig.ends()
    assert rig.connection.should_close
