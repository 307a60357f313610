"""A web page that somebody looks at on this machine reads and changes no table through its port."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cluster.settings import Listener, NodeSettings
from node.frontends.http import known_heads, strangers
from node.frontends.http.messages import HttpRequest
from node.frontends.http.protocol import HttpProtocol
from node.frontends.http.server import _hosts
from paceline.errors import ConfigError
from paceline.http_hosts import HttpHosts
from tests.unit.cluster.access.signatures.signing import RULES
from tests.unit.node.frontends.doors import SIGNED
from tests.unit.node.frontends.http.test_callers import Clock
from tests.unit.node.frontends.http.test_known_heads import (
    BODIES,
    Callers,
    Counted,
    Door,
    Transport,
)

BODY = json.dumps(BODIES[0]).encode()
HERE = [
    "127.0.0.1:8141",
    "localhost:8141",
    "LOCALHOST.",
    "[::1]:8141",
    "host.docker.internal:8141",
    "host.containers.internal:8141",
    "cache.test",
]
ELSEWHERE = [
    "evil.example",
    "evil.example:8141",
    "localhost.evil.example",
    "10.0.0.7:8141",
    "",
    "a b",
]


def hosts_of(**settings: Any) -> HttpHosts:
    return _hosts(NodeSettings(**{"http_hosts": ["cache.test"], **settings}))


def get(host: str | None = None, *more: str) -> bytes:
    lines = ["POST / HTTP/1.1", *([] if host is None else [f"Host: {host}"])]
    lines += ["X-Amz-Target: DynamoDB_20120810.GetItem", "Content-Type: application/x-amz-json-1.0"]
    lines += [f"{name.decode()}: {value.decode()}" for name, value in SIGNED.items()]
    lines += [*more, f"Content-Length: {len(BODY)}"]
    return "\r\n".join([*lines, "", ""]).encode() + BODY


class Guarded(Door):
    """As ``start_http`` makes it, where nobody has to sign."""

    def __init__(self, bind: str = "127.0.0.1:8141", callers: Callers | None = None) -> None:
        self.bind = bind
        super().__init__(Counted(), callers)

    def connect(self) -> None:
        self.server._hosts = hosts_of()
        self.protocol = HttpProtocol(self.server, Listener(bind=self.bind))
        self.transport = Transport()
        self.protocol.connection_made(self.transport)


@pytest.mark.parametrize("host", HERE)
async def test_clients_by_names_of_this_machine_are_answered(host: str) -> None:
    assert b"200 OK" in await Guarded().take(get(host))


@pytest.mark.parametrize("host", ELSEWHERE)
async def test_another_name_is_a_page_that_was_rebound(host: str) -> None:
    door = Guarded()
    told = await door.take(get(host))
    assert told.startswith(b"HTTP/1.1 403 Forbidden\r\n")
    assert b"AccessDeniedException" in told
    assert b"PACELINE_HTTP_HOSTS lists further names" in told
    assert door.node.dynamodb.sent == []


async def test_a_head_that_is_known_has_been_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known_heads, "LEARN_EVERY", 1)
    door = Guarded()
    for cache in (b"miss", b"hit", b"hit"):
        assert b"x-paceline-cache: " + cache in await door.take(get("localhost"))
    # Of as many characters, so that it is compared with what is known.
    assert b"403 Forbidden" in await door.take(get("evil.test"))
    elsewhere = Guarded("10.0.0.7:8141")
    elsewhere.server, elsewhere.node = door.server, door.node
    elsewhere.connect()
    for _ in range(3):
        assert b"hit" in await elsewhere.take(get("evil.test"))
    assert b"403 Forbidden" in await door.take(get("evil.test")), "learned by another listener"


async def test_a_second_host_is_no_way_around_it() -> None:
    for first, second in (("localhost", "evil.example"), ("evil.example", "localhost")):
        told = await Guarded().take(get(first, f"Host: {second}"))
        assert b"403 Forbidden" in told


async def test_a_request_without_a_host_is_no_browsers() -> None:
    assert b"200 OK" in await Guarded().take(get())


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://localhost:8141"])
async def test_a_page_is_refused_whatever_its_host(origin: str) -> None:
    for door in (Guarded(), Guarded("0.0.0.0:8141")):
        assert b"403 Forbidden" in await door.take(get("localhost", f"Origin: {origin}"))


@pytest.mark.parametrize("bind", ["0.0.0.0:8141", "10.0.0.7:8141", "[::]:8141"])
async def test_what_others_reach_is_asked_by_names_that_a_node_does_not_know(bind: str) -> None:
    assert b"200 OK" in await Guarded(bind).take(get("node-1:8141"))


async def test_where_all_have_to_sign_the_signature_tells() -> None:
    clock = Clock()
    door = Guarded(callers=Callers(clock, RULES, clock))
    told = await door.take(get("cache.example"))
    assert b"400 Bad Request" in told
    assert b"Forbidden" not in told


async def test_the_health_of_a_node_is_everybodys() -> None:
    assert b"200 OK" in await Guarded().take(b"GET / HTTP/1.1\r\nHost: lb.example\r\n\r\n")


def test_names_that_are_none_are_told_at_the_start() -> None:
    with pytest.raises(ConfigError, match=r"PACELINE_HTTP_HOSTS: 'a b' names no host"):
        hosts_of(http_hosts=["a b"])
    anything = hosts_of(http_hosts=["*"])
    assert (
        strangers.refused(HttpRequest("t", b"", headers={b"host": b"any.example"}), anything)
        is None
    )
    advertised = hosts_of(http_advertise="cache.example:8141")
    assert advertised.refusal("cache.example") is None
