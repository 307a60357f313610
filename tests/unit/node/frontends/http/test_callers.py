"""A port where all have to sign: nothing is done or looked up for who did not, by any way."""

from __future__ import annotations

import asyncio
import gzip
import json
import random
from dataclasses import replace
from typing import Any

import pytest

from cluster.access.audit import AuditEvent
from cluster.access.calling import call
from cluster.access.counting import Refusals
from cluster.access.principals import KnownPrincipals
from cluster.access.signatures.refusals import MISMATCH
from cluster.access.signatures.verification import Verified
from cluster.settings import LimitsSettings
from cluster.transport.large_work import INLINE_BYTES_MAX
from cluster.transport.restraint import Restraint
from node.backend.calls import Success
from node.frontends.http import known_heads
from node.frontends.http.callers import Callers
from node.frontends.http.known_heads import KnownHeads
from node.frontends.http.protocol import SIGNATURES_MAX
from paceline.errors import RequestError
from tests.unit.cluster.access.signatures.signing import (
    ANNA,
    KEY,
    KNOWN,
    NOW,
    RULES,
    TARGET,
    TEMPORARY,
    presigned,
    signed,
)
from tests.unit.node.frontends.http.test_known_heads import BODIES, Counted, Door, Ignorant

BODY = json.dumps(BODIES[0]).encode()
MISSING = b"MissingAuthenticationTokenException"


class Clock:
    """What the node takes for the time, and those whom it knows."""

    def __init__(self) -> None:
        self.now = float(NOW)
        self.known = KNOWN

    def __call__(self) -> float:
        return self.now

    def version(self) -> int:
        return self.known.version()

    def key(self, access_key_id: str, token: str | None = None) -> Any:
        return self.known.key(access_key_id, token)

    def principal(self, name: str) -> Any:
        return self.known.principal(name)


def door_of(clock: Clock, heads: KnownHeads | None = None) -> Door:
    return Door(heads or Counted(), Callers(clock, RULES, clock))


def raw(request: Any, body: bytes) -> bytes:
    """As it goes over the wire."""
    target = request.path + (b"?" + request.query if request.query else b"")
    lines = [b"%b %b HTTP/1.1" % (request.method.encode(), target)]
    lines += [b"%b: %b" % pair for pair in request.headers]
    if not any(name.lower() == b"content-length" for name, _ in request.headers):
        lines.append(b"Content-Length: %d" % len(body))
    return b"\r\n".join([*lines, b"", b""]) + body


def get(body: bytes = BODY, target: str = TARGET, **more: Any) -> bytes:
    """As boto3 sends it, signed."""
    headers = {
        "X-Amz-Target": target,
        "Content-Type": "application/x-amz-json-1.0",
        "User-Agent": "Boto3",
        **more.pop("headers", {}),
    }
    return raw(signed(body=body, headers=headers, **more), body)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    monkeypatch.setattr(known_heads, "LEARN_EVERY", 1)
    return Clock()


@pytest.fixture
async def door(clock: Clock) -> Door:
    """Its next request of this form is answered without the parser."""
    door = door_of(clock)
    for cache in (b"miss", b"hit", b"hit"):
        assert b"x-paceline-cache: " + cache in await door.take(get())
    assert known_of(door) == 1
    return door


def known_of(door: Door) -> int:
    assert isinstance(door.server.known_heads, Counted)
    return door.server.known_heads.known


def counters_of(door: Door) -> Any:
    return replace(door.node.operations.reads.counters)


async def refused(door: Door, request: bytes) -> bytes:
    """What a refusal says. Nothing was done, sent or counted."""
    before, sent = counters_of(door), len(door.node.dynamodb.sent)
    told = await door.take(request)
    head, _, body = told.rpartition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert b"x-paceline-cache: hit" not in head
    assert counters_of(door) == before
    assert len(door.node.dynamodb.sent) == sent
    name = json.loads(body)["__type"]
    assert name.startswith(("com.amazon.coral.service#", "com.amazon.coral.availability#"))
    assert (b"onnection: close" in head) is door.transport.ended
    if door.transport.ended:
        door.renew()
    return body


async def test_a_stranger_gets_one_answer_on_a_connection(clock: Clock) -> None:
    """Others keep theirs: their next request may be signed well again."""
    stranger, known = door_of(clock), door_of(clock)
    wrong = get(key=replace(KEY, secret="wrong"))
    await stranger.take(wrong + get())
    assert stranger.transport.ended
    assert stranger.node.dynamodb.sent == []
    await known.take(get())
    await known.take(wrong)
    assert not known.transport.ended
    assert b"200 OK" in await known.take(get())


async def test_many_signatures_at_once_take_turns_with_others(clock: Clock) -> None:
    door = door_of(clock)
    await door.take(get())
    turns = 0

    def turn() -> None:
        nonlocal turns
        turns += 1
        asyncio.get_running_loop().call_soon(turn)

    turn()
    told = await door.take(get(key=replace(KEY, secret="wrong")) * 40)
    assert told.count(MISMATCH.encode()) == 40
    assert turns >= (40 - SIGNATURES_MAX) // SIGNATURES_MAX


async def test_each_of_many_at_once_is_looked_at_for_its_origin(clock: Clock) -> None:
    """Those whose signatures wait for their turn, too: a page's request is no other one there."""
    door = door_of(clock)
    of_page = get(headers={"Origin": "https://example.com"})
    told = await door.take(get() * SIGNATURES_MAX + of_page * 3 + get())
    assert told.count(b"HTTP/1.1 200 OK") == SIGNATURES_MAX + 1
    assert told.count(b"HTTP/1.1 403 Forbidden") == 3


async def test_who_does_not_sign_is_told_so_before_anything_is_done(clock: Clock) -> None:
    door = door_of(clock)
    for target in (TARGET, "DynamoDB_20120810.PutItem", "DynamoDB_20120810.None", "none", ""):
        bare = (
            f"POST / HTTP/1.1\r\nHost: h\r\nX-Amz-Target: {target}\r\n"
            f"Content-Type: application/x-amz-json-1.0\r\nContent-Length: {len(BODY)}\r\n\r\n"
        ).encode() + BODY
        assert MISSING in await refused(door, bare)
    assert door.node.dynamodb.sent == []


async def test_a_complete_signature_that_is_made_up_is_refused(clock: Clock) -> None:
    """It was enough where nobody has to sign."""
    door = door_of(clock)
    assert b"security token included" in await refused(door, get(key=replace(KEY, id="AKIDNOT")))
    assert MISMATCH.encode() in await refused(door, get(key=replace(KEY, secret="wrong")))
    assert b"valid region, not 'us-east-1'" in await refused(door, get(region="us-east-1"))
    assert b"Signature expired: " in await refused(door, get(at=NOW - 301))


async def test_a_refusal_is_told_with_who_claimed_to_be_whom(clock: Clock) -> None:
    told: list[AuditEvent] = []
    door = Door(Counted(), Callers(clock, RULES, clock, refusals=Refusals(told.append)))
    wrong = replace(KEY, secret="wrong")
    await refused(door, get(key=wrong, headers={"amz-sdk-invocation-id": "one-two"}))
    await refused(door, raw(presigned(key=wrong), b""))
    event = AuditEvent(
        *("unauthenticated", "http", "GetItem", "InvalidSignatureException"),
        access_key_id=KEY.id,
        address="192.0.2.1",
        request_id="one-two",
    )
    assert told[0] == event
    assert told[1].access_key_id == KEY.id


def restrained(clock: Clock, **limits: Any) -> tuple[Door, Clock]:
    ticks = Clock()
    restraint = Restraint(LimitsSettings(**limits), ticks)
    door = Door(Counted(), Callers(clock, RULES, clock, restraint=restraint))
    door.server.restraint = restraint if restraint.limits_requests else None
    return door, ticks


async def test_who_guesses_is_kept_out_for_a_while_and_known_keys_are_not(clock: Clock) -> None:
    door, ticks = restrained(clock, wrong_signatures_per_minute=3, lockout_s=10)
    await door.take(get())
    for _ in range(3):
        assert MISMATCH.encode() in await refused(door, get(key=replace(KEY, secret="wrong")))
    temporary = get(key=TEMPORARY)
    assert b"ThrottlingException" in await refused(door, temporary)
    assert b"ThrottlingException" in await refused(door, get(key=replace(KEY, id="AKIDNOT")))
    assert b"200 OK" in await door.take(get())
    ticks.now += 10
    assert b"200 OK" in await door.take(temporary)


@pytest.mark.parametrize("limit", ["address_requests_per_s", "principal_requests_per_s"])
@pytest.mark.parametrize("body", [BODY, BODY + b" " * INLINE_BYTES_MAX], ids=["hit", "large"])
async def test_too_many_requests_are_throttled_hits_too(
    clock: Clock, limit: str, body: bytes
) -> None:
    door, ticks = restrained(clock, **{limit: 4})
    for _ in range(4):
        assert b"200 OK" in await door.take(get(body))
    assert door.server.known_heads.found(get(body)) is not None or body != BODY
    for _ in range(2):
        told = await door.take(get(body))
        assert told.startswith(b"HTTP/1.1 400 Bad Request\r\n")
        assert b"Rate of requests exceeds the allowed throughput." in told
    assert not door.transport.ended
    ticks.now += 0.26
    assert b"200 OK" in await door.take(get(body))
    assert door.server.restraint is not None
    assert door.server.restraint.refused == 2


async def test_requests_are_throttled_where_nobody_signs() -> None:
    door = Door(Counted())
    door.server.restraint = Restraint(LimitsSettings(address_requests_per_s=2), Clock())
    told = [b"200 OK" in await door.take(get()) for _ in range(3)]
    assert told == [True, True, False]


async def test_the_health_of_a_node_is_everybodys(clock: Clock) -> None:
    told = await door_of(clock).take(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
    assert told.startswith(b"HTTP/1.1 200 OK\r\n")


async def test_a_known_head_is_verified_too(door: Door) -> None:
    assert b"x-paceline-cache: hit" in await door.take(get(at=NOW + 100))
    assert known_of(door) == 2
    good = get()
    place = good.index(b"Signature=") + 10
    other = good[:place] + (b"0" if good[place : place + 1] != b"0" else b"1") + good[place + 1 :]
    assert MISMATCH.encode() in await refused(door, other)
    body = BODY.replace(b'"a"', b'"b"')
    assert MISMATCH.encode() in await refused(door, good.replace(BODY, body))
    assert b"Signature expired: " in await refused(door, get(at=NOW - 301))
    assert b"not yet current: " in await refused(door, get(at=NOW + 301))
    assert b"x-paceline-cache: miss" in await door.take(get(body))
    assert known_of(door) == 7


async def test_a_signature_grows_too_old_under_a_known_head(door: Door, clock: Clock) -> None:
    request = get(at=NOW + 300)
    clock.now = NOW + 600
    assert b"x-paceline-cache: hit" in await door.take(request)
    clock.now = NOW + 601
    assert b"Signature expired: " in await refused(door, request)


@pytest.mark.parametrize(
    "known",
    [
        KnownPrincipals((ANNA,), (), version=4),
        KnownPrincipals((ANNA,), (replace(KEY, disabled=True),), version=4),
        KnownPrincipals((replace(ANNA, disabled=True),), (KEY,), version=4),
    ],
)
async def test_a_revoked_key_ends_at_once(door: Door, clock: Clock, known: KnownPrincipals) -> None:
    clock.known = known
    assert b"UnrecognizedClientException" in await refused(door, get())
    clock.known = KnownPrincipals((ANNA,), (KEY,), version=5)
    for _ in range(2):
        assert b"x-paceline-cache: hit" in await door.take(get())


async def test_a_rotated_secret(door: Door, clock: Clock) -> None:
    other = replace(KEY, secret="rotated")
    clock.known = KnownPrincipals((ANNA,), (other,), version=4)
    assert MISMATCH.encode() in await refused(door, get())
    for _ in range(3):
        assert b"x-paceline-cache: hit" in await door.take(get(key=other))
    assert MISMATCH.encode() in await refused(door, get())


async def test_presigned_requests(clock: Clock) -> None:
    door = door_of(clock)
    headers = {"X-Amz-Target": TARGET, "Content-Type": "application/x-amz-json-1.0"}
    request = presigned(headers=headers, body=BODY)
    for _ in range(4):
        assert b"HTTP/1.1 200 OK" in await door.take(raw(request, BODY))
    assert known_of(door) == 0
    assert MISMATCH.encode() in await refused(door, raw(request, BODY + b" "))
    clock.now = NOW + 901
    assert b"Signature expired: " in await refused(door, raw(request, BODY))


async def test_headers_that_come_twice(clock: Clock) -> None:
    """A parser that keeps the last one must not act on what was not signed."""
    door = door_of(clock)
    request = get()
    for line in (
        b"X-Amz-Target: DynamoDB_20120810.DeleteItem",
        b"Authorization: AWS4-HMAC-SHA256 Credential=a",
        b"X-Amz-Date: 20260102T030405Z",
        b"Host: other",
    ):
        for at in (b"\r\n", b"\r\nUser-Agent:"):
            twice = request.replace(at, b"\r\n" + line + at, 1)
            assert b"comes more than once." in await refused(door, twice)
    twice = request.replace(b"\r\n", b"\r\nContent-Type: application/json\r\n", 1)
    assert MISMATCH.encode() in await refused(door, twice)


async def test_a_body_of_any_size_is_hashed_as_it_came(clock: Clock) -> None:
    door = door_of(clock)
    large = json.dumps({**BODIES[0], "Padding": "x" * INLINE_BYTES_MAX}).encode()
    packed = gzip.compress(BODY)
    encoding = {"Content-Encoding": "gzip"}
    assert b"200 OK" in await door.take(get(packed, headers=encoding))
    assert MISMATCH.encode() in await refused(
        door,
        raw(
            signed(
                body=BODY,
                headers={
                    "X-Amz-Target": TARGET,
                    **encoding,
                    "Content-Type": "application/x-amz-json-1.0",
                },
            ),
            packed,
        ),
    )
    changed = get(large).replace(b"xxxx", b"xxxy", 1)
    assert MISMATCH.encode() in await refused(door, changed)
    assert MISMATCH.encode() not in await door.take(get(large))


async def test_a_session_token(clock: Clock) -> None:
    door = door_of(clock)
    for cache in (b"miss", b"hit", b"hit"):
        assert b"x-paceline-cache: " + cache in await door.take(get(key=TEMPORARY))
    assert known_of(door) == 1
    clock.now = NOW + 900
    assert b"ExpiredTokenException" in await refused(door, get(key=TEMPORARY, at=NOW + 890))


class Rights:
    """In the place of ``Authorizer``: all may do everything, or nothing."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.open = True

    def may_get(self, by: Verified, table: bytes) -> bool:
        self.asked.append(f"{by.principal.name} {table.decode()}")
        return self.open

    def check(self, operation: str, params: Any) -> None:
        who = call.get()
        assert who is not None
        self.asked.append(f"{who.by.principal.name} {operation}")
        if not self.open:
            raise RequestError("AccessDeniedException", "no")


async def test_what_the_caller_may_not_do_is_refused_by_both_ways(clock: Clock) -> None:
    door = door_of(clock)
    rights: Any = Rights()
    door.node.operations.authorizer = rights
    for _ in range(3):
        assert b"200 OK" in await door.take(get())
    assert known_of(door) == 1
    assert rights.asked == ["anna text", "anna GetItem", "anna text", "anna text"]
    rights.asked.clear()
    rights.open = False
    assert b'"Message":"no"' in await refused(door, get())
    assert rights.asked[-1] == "anna GetItem"
    assert known_of(door) == 2


async def test_the_task_that_serves_a_request_knows_whose_it_is(clock: Clock) -> None:
    door = door_of(clock)
    seen = []

    def answer(operation: str, params: Any) -> Success:
        seen.append(call.get())
        return Success({})

    door.node.dynamodb.answer = answer
    await door.take(get(target="DynamoDB_20120810.Scan", body=b'{"TableName": "text"}'))
    [one] = seen
    assert one is not None
    assert (one.by.principal, one.address, one.secure) == (ANNA, "192.0.2.1", False)
    assert one.agent == "Boto3"
    assert call.get() is None


@pytest.mark.parametrize("seed", range(4))
async def test_both_ways_say_the_same(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    print(f"seed {seed}")
    monkeypatch.setattr(known_heads, "LEARN_EVERY", 1 + seed % 2 * 3)
    rng = random.Random(seed)
    clock = Clock()
    heads = Counted()
    knowing, ignorant = door_of(clock, heads), door_of(clock, Ignorant())
    for _ in range(200):
        body = json.dumps(rng.choice(BODIES[:4])).encode()
        headers = {"Amz-Sdk-Invocation-Id": f"{rng.randrange(99):02}", "More": rng.choice("ab")}
        at = NOW + rng.randrange(-302, 303) if rng.random() < 0.3 else NOW
        request = get(body, key=rng.choice([KEY, TEMPORARY]), at=at, headers=headers)
        if rng.random() < 0.4:
            place = rng.randrange(len(request))
            byte = rng.choice([rng.randbytes(1), b"0", b"a", b" ", b""])
            request = request[:place] + byte + request[place + 1 :]
        told = await knowing.take(request)
        assert told == await ignorant.take(request), request
        assert counters_of(knowing) == counters_of(ignorant)
        assert knowing.transport.ended == ignorant.transport.ended
        if knowing.transport.ended or knowing.protocol._received:
            knowing.renew()
            ignorant.renew()
        if rng.random() < 0.05:
            clock.known = KnownPrincipals((ANNA,), (KEY, TEMPORARY), clock.version() + 1)
    assert heads.known > 30
