"""What is answered without the parser is answered as the parser's way would: a node that knows
heads and one that never learns any are given the same bytes, in the same pieces."""

from __future__ import annotations

import json
import random
import re
from typing import Any

import pytest

from cluster.settings import Listener
from node.backend.calls import End, Success
from node.frontends.http import known_heads
from node.frontends.http.callers import Callers
from node.frontends.http.known_heads import Known, KnownHeads, Prove
from node.frontends.http.messages import HttpRequest
from node.frontends.http.protocol import HttpProtocol
from node.frontends.http.server import HttpServer
from node.frontends.http.signatures import Signatures
from node.frontends.json_api.handler import JsonHandler
from node.frontends.json_api.parameters import json_value, to_params
from node.frontends.json_api.plain_bodies import params_of, parts_of
from paceline.clock import now
from paceline.types import Params
from tests.support.waiting import until
from tests.unit.node.frontends.doors import Node, description, refused
from tests.unit.node.frontends.test_fuzz import Transport, cut

LISTENER = Listener(bind="127.0.0.1:0")
OWN = re.compile(rb"(?:Date|x-amzn-RequestId): [^\r]*")
HEX = "0123456789abcdef"

BODIES: list[Any] = [
    {"TableName": "text", "Key": {"id": {"S": "a"}}},
    {"Key": {"id": {"S": "a"}}, "TableName": "text"},
    {"TableName": "text", "Key": {"id": {"S": 'q"q'}}},
    {"TableName": "text", "Key": {"id": {"S": "ü"}}},
    {"TableName": "text", "Key": {"id": {"S": "absent"}}},
    {"TableName": "text", "Key": {"id": {"S": "x" * 2049}}},
    {"TableName": "text", "Key": {"id": {"N": "1"}}},
    {"TableName": "text", "Key": {"other": {"S": "a"}}},
    {"TableName": "text", "Key": {"id": {"S": "a"}}, "ConsistentRead": True},
    {"TableName": "text", "Key": {"id": {"S": "a"}}, "ReturnConsumedCapacity": "TOTAL"},
    {"TableName": "text", "Key": {"id": {"S": "a"}}, "ProjectionExpression": "#v"},
    {"TableName": "number", "Key": {"id": {"N": "10"}}},
    {"TableName": "number", "Key": {"id": {"N": "1e1"}}},
    {"TableName": "number", "Key": {"id": {"N": "ten"}}},
    {"TableName": "pair", "Key": {"id": {"S": "a"}, "n": {"N": "7"}}},
    {"TableName": "pair", "Key": {"n": {"N": "7"}, "id": {"S": "a"}}},
    {"TableName": "pair", "Key": {"id": {"S": "a"}}},
    {"TableName": "gone", "Key": {"id": {"S": "a"}}},
]
RAW_BODIES = [
    b'{"TableName": "text", "Key": {"id": {"S": "q"q"}}}',
    b'{"TableName": "text", "Key": {"id": {"S": "a\xff"}}}',
    b'{"TableName": "text", "Key": {"id": {"S": "a"}, "id": {"S": "absent"}}}',
    b'{"TableName": "text",\r\n\r\n"Key": {"id": {"S": "a"}}}',
    b'{"TableName": "text", "Key": {"id": {"S": "a\n"}}}',
    b"",
]


def body_of(rng: random.Random) -> bytes:
    if rng.random() < 0.1:
        return rng.choice(RAW_BODIES)
    body = rng.choice(BODIES[:4] if rng.random() < 0.6 else BODIES)
    spaces = (", ", ": ") if rng.random() < 0.7 else (",", ":")
    return json.dumps(body, separators=spaces, ensure_ascii=rng.random() < 0.3).encode()


def head_of(rng: random.Random, length: int) -> bytes:
    """As boto3 writes it; now and then with something of its own."""

    def some(count: int, of: str = HEX) -> str:
        return "".join(rng.choices(of, k=count))

    lines = [
        "POST / HTTP/1.1",
        "Host: 127.0.0.1:8141",
        "Accept-Encoding: identity",
        "X-Amz-Target: DynamoDB_20120810.GetItem",
        "Content-Type: application/x-amz-json-1.0",
        "User-Agent: Boto3",
        f"X-Amz-Date: 2026{some(4, '01')}T{some(6, '01')}Z",
        "Authorization: AWS4-HMAC-SHA256 Credential=AKID/20260101/us-east-1/dynamodb/aws4_request, "
        f"SignedHeaders=host;x-amz-date, Signature={some(64)}",
        f"amz-sdk-invocation-id: {some(8)}-{some(4)}",
        "amz-sdk-request: attempt=1",
        f"Content-Length: {length}",
    ]
    if rng.random() < 0.25:
        odd = [
            "Connection: close",
            "Connection: keep-alive",
            "Transfer-Encoding: chunked",
            "Expect: 100-continue",
            "Origin: http://a.example",
            "Content-Encoding: identity",
            "Content-Encoding: gzip",
            "Accept-Encoding: gzip",
            f"Content-Length: {length}",
            f"Content-Length: {length + rng.randrange(-1, 2)}",
            "X-Amz-Target: DynamoDB_20120810.Scan",
            f"X-Amz-Date: {some(6)}",
            f"Authorization: {some(9)}",
            "X-Amzn-Trace-Id: Root=1-" + some(9),
            "amz-sdk-request: attempt=\x7f",
        ]
        lines.insert(rng.randrange(1, len(lines) + 1), rng.choice(odd))
    if rng.random() < 0.1:
        del lines[rng.randrange(1, len(lines))]
    return "\r\n".join([*lines, "", ""]).encode()


def changed(rng: random.Random, data: bytes) -> bytes:
    """One place of it; mostly not at all."""
    if rng.random() < 0.6 or not data:
        return data
    at = rng.randrange(len(data))
    other = rng.choice(
        [b"", bytes([data[at]]) * 2, b"\r", b"\n", b"\r\n", b'"', b"\\", b" ", b"\t"]
    )
    return data[:at] + (other if rng.random() < 0.7 else rng.randbytes(1)) + data[at + 1 :]


def pieces_of(rng: random.Random) -> list[bytes]:
    """Some requests, one after the other, in pieces: mostly one piece each."""
    requests = []
    for _ in range(rng.randrange(1, 5)):
        body = body_of(rng)
        head = head_of(rng, len(body))
        requests.append(changed(rng, head) + changed(rng, body))
    if rng.random() < 0.6:
        return requests
    stream = b"".join(requests)
    return [one for one in cut(stream, [rng.randrange(5000) for _ in range(3)]) if one]


class Ignorant(KnownHeads):
    def learn(self, data: bytes, request: HttpRequest, prove: Prove | None = None) -> None:
        """Never."""


def describe(table: str) -> End:
    if table == "gone":
        return refused("ResourceNotFoundException")
    told = description(table, kind="N" if table == "number" else "S")
    if table == "pair":
        told["Table"]["KeySchema"].append({"AttributeName": "n", "KeyType": "RANGE"})
        told["Table"]["AttributeDefinitions"].append({"AttributeName": "n", "AttributeType": "N"})
    return Success(told)


def answer(operation: str, params: Params) -> End:
    key = params.get("Key")
    if operation != "GetItem" or not isinstance(key, dict) or key.get("id") == {"S": "absent"}:
        return Success({})
    return Success({"Item": {**key, "v": {"S": "value"}}})


class Door:
    """One connection after another to a node of its own."""

    def __init__(self, heads: KnownHeads, callers: Callers | None = None) -> None:
        self.node = Node()
        self.node.dynamodb.describe = describe
        self.node.dynamodb.answer = answer
        api = JsonHandler(self.node.operations, now)
        signatures = Signatures(self.node.backend)
        self.server = HttpServer(api, signatures, healthy=b"", connections_max=5, callers=callers)
        self.server.known_heads = heads
        self.connect()

    def connect(self) -> None:
        self.protocol, self.transport = HttpProtocol(self.server, LISTENER), Transport()
        self.protocol.connection_made(self.transport)

    async def take(self, piece: bytes) -> bytes:
        """What is written until nothing is under way any more."""
        self.transport.written.clear()
        self.protocol.data_received(piece)
        await until(lambda: self.protocol._task is None)
        return OWN.sub(b"", bytes(self.transport.written))

    def renew(self) -> None:
        self.protocol.connection_lost(None)
        self.connect()


class Counted(KnownHeads):
    known = 0

    def found(self, data: bytes) -> Known | None:
        found = super().found(data)
        self.known += found is not None
        return found


@pytest.mark.parametrize("seed", range(6))
async def test_both_ways_say_the_same(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    print(f"seed {seed}")
    monkeypatch.setattr(known_heads, "LEARN_EVERY", 1 + seed % 2 * 3)
    monkeypatch.setattr(known_heads, "LENGTHS_MAX", 4 + 60 * (seed % 3))
    rng = random.Random(seed)
    heads = Counted()
    knowing, ignorant = Door(heads), Door(Ignorant())
    for _ in range(250):
        for piece in pieces_of(rng):
            told = await knowing.take(piece)
            assert told == await ignorant.take(piece), piece
            assert knowing.transport.ended == ignorant.transport.ended
            if knowing.transport.ended:
                break
        counts = [door.node.operations.reads.counters for door in (knowing, ignorant)]
        assert counts[0] == counts[1]
        if knowing.transport.ended or rng.random() < 0.1:
            knowing.renew()
            ignorant.renew()
    assert heads.known > 30
    assert len(heads._heads) <= known_heads.LENGTHS_MAX


BODY = json.dumps(BODIES[0]).encode()
USUAL = head_of(random.Random(4), len(BODY))


@pytest.fixture
async def door(monkeypatch: pytest.MonkeyPatch) -> Door:
    """Its next request of this form is answered without the parser."""
    monkeypatch.setattr(known_heads, "LEARN_EVERY", 1)
    door = Door(Counted())
    for cache in (b"miss", b"hit", b"hit"):
        assert b"x-paceline-cache: " + cache in await door.take(USUAL + BODY)
    assert known_of(door) == 1
    return door


def known_of(door: Door) -> int:
    assert isinstance(door.server.known_heads, Counted)
    return door.server.known_heads.known


OTHERS = (b"", b"\r", b"\n", b"\x80", b"x", b": ")


@pytest.mark.parametrize("tries", [2, pytest.param(len(OTHERS), marks=pytest.mark.full)])
async def test_every_other_byte_in_a_known_head(
    tries: int, door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``tries``: of ``OTHERS`` at each byte, by turns from a fresh one on."""
    first = random.randrange(len(OTHERS))
    print(f"from {OTHERS[first]!r} on")
    monkeypatch.setattr(known_heads, "LEARN_EVERY", 10**9)
    ignorant = Door(Ignorant())
    for _ in range(2):
        await ignorant.take(USUAL + BODY)
    known = 0
    for at in range(len(USUAL)):
        turn = first + at * tries
        for other in (OTHERS[(turn + one) % len(OTHERS)] for one in range(tries)):
            before = known_of(door)
            piece = USUAL[:at] + other + USUAL[at + 1 :] + BODY
            told = await door.take(piece)
            assert told == await ignorant.take(piece), piece
            if known_of(door) > before:
                assert other == USUAL[at : at + 1] or other in (b"x", b": ")
                known += 1
            door.renew()
            ignorant.renew()
            for one in (door, ignorant):  # a newcomer's first request is the parser's
                await one.take(USUAL + BODY)
    assert known > 8 * tries


async def test_a_known_request_inside_of_another_is_its_body(door: Door) -> None:
    inner = USUAL + BODY
    outer = USUAL.replace(b"Content-Length: %d" % len(BODY), b"Content-Length: %d" % len(inner))
    assert await door.take(outer) == b""
    assert b"SerializationException" in await door.take(inner)
    assert known_of(door) == 1
    assert b"value" in await door.take(inner)
    assert known_of(door) == 2


async def test_the_same_where_the_outer_head_came_behind_a_whole_request(door: Door) -> None:
    """So that no byte is left over when the whole one is answered, and a request is half read."""
    inner = USUAL + BODY
    outer = USUAL.replace(b"Content-Length: %d" % len(BODY), b"Content-Length: %d" % len(inner))
    assert (await door.take(USUAL + BODY + outer)).count(b"value") == 1
    before = known_of(door)
    told = await door.take(inner)
    assert b"SerializationException" in told
    assert b"value" not in told
    assert known_of(door) == before


async def test_two_requests_in_one_piece_teach_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known_heads, "LEARN_EVERY", 1)
    door = Door(Counted())
    for _ in range(3):
        assert (await door.take(2 * (USUAL + BODY))).count(b"value") == 2
    assert door.server.known_heads._heads == {}


async def test_a_peer_that_takes_no_replies_is_read_no_further(door: Door) -> None:
    door.protocol.pause_writing()
    assert await door.take(USUAL + BODY) == b""
    door.protocol.resume_writing()
    assert door.transport.written.count(b"value") == 1
    assert known_of(door) == 1


@pytest.mark.parametrize("why", ["fenced", "lease", "expired", "cleared"])
async def test_what_may_not_be_served_is_no_hit(door: Door, why: str) -> None:
    node = door.node
    key = ("text", b"a")
    columns = node.caches.items.columns
    if why == "fenced":
        node.caches.park(key)
    elif why == "lease":
        node.guard.serve_until = now()
    elif why == "expired":
        columns.expires_at[columns.keys.index(key[1])] = now()
    else:
        node.caches.clear("text")
    hits = node.operations.reads.counters.hits
    assert b"x-paceline-cache: hit" not in await door.take(USUAL + BODY)
    assert node.operations.reads.counters.hits == hits


@pytest.mark.parametrize("seed", range(4))
def test_a_body_told_by_its_shape_means_what_its_json_means(seed: int) -> None:
    print(f"seed {seed}")
    rng = random.Random(seed)
    told = 0
    for _ in range(4000):
        body = changed(rng, changed(rng, body_of(rng)))
        parts = parts_of(body)
        if parts is not None:
            params = params_of(parts)
            told += params is not None
            assert params == to_params("GetItem", json_value(body)), body
    assert told > 1000
