"""Whatever the chaos server is sent, it answers in words, and its threads are bounded."""

import contextlib
import http.client
import json
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from paceline_local.chaos.server import CONNECTIONS_MAX
from paceline_local.chaos.verbs import VERBS
from tests.support.chaos import Bench
from tests.support.examples import examples
from tests.support.waiting import wait_until


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.close()


def address(bench: Bench) -> tuple[str, int]:
    host, _, port = bench.server.url.removeprefix("http://").rpartition(":")
    return host, int(port)


def post(bench: Bench, verb: str, body: str) -> tuple[int, dict[str, Any]]:
    connection = http.client.HTTPConnection(*address(bench), timeout=10)
    with contextlib.closing(connection):
        headers = {
            "Content-Type": "application/json",
            "Authorization": f"Bearer {bench.token.value}",
        }
        connection.request("POST", f"/v1/{verb}", body.encode(), headers)
        response = connection.getresponse()
        return response.status, json.loads(response.read())


@pytest.mark.parametrize(
    ("verb", "body"),
    [
        ("heal", '{"fault": 1e999}'),
        ("heal", '{"fault": NaN}'),
        ("heal", '{"fault": 1.5}'),
        ("heal", f'{{"fault": {"9" * 400}}}'),
        ("heal", f'{{"fault": {"9" * 5000}}}'),
        ("latency", '{"latency_s": -1e999}'),
        ("pause", '{"targets": ["node-1"], "for_s": 1e308}'),
        ("kill", '{"targets": ' + "[" * 30_000),
        ("kill", '{"targets": ["\\ud800"]}'),
    ],
)
def test_what_cannot_be_meant_is_the_callers_mistake(bench: Bench, verb: str, body: str) -> None:
    status, answer = post(bench, verb, body)
    assert status == 400, answer
    assert answer["error"]


@pytest.mark.parametrize("length", ["\u00b2", "-1", "1" * 5000, "0x10", "1, 1"])
def test_a_length_that_is_none(bench: Bench, length: str) -> None:
    with socket.create_connection(address(bench), 10) as sock:
        sock.sendall(
            b"POST /v1/heal HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
            b"Authorization: Bearer " + bench.token.value.encode() + b"\r\n"
            b"Content-Length: " + length.encode("latin-1") + b"\r\n\r\n"
        )
        assert sock.recv(12).startswith(b"HTTP/1.0 400")


_LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
_NAMES = st.sampled_from(
    ["targets", "zone", "primary", "to", "for_s", "fault", "groups", "channels", "latency_s",
     "share", "probability", "bytes_per_s", "jitter_s", "error", "hang", "after", "x"]
)  # fmt: skip
_VALUES = st.recursive(_LEAVES, lambda inner: st.lists(inner, max_size=3), max_leaves=5)


@given(st.sampled_from(sorted(VERBS)), st.dictionaries(_NAMES, _VALUES, max_size=4))
@settings(
    max_examples=examples(150),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_any_command_is_answered(bench: Bench, verb: str, arguments: dict[str, Any]) -> None:
    status, answer = post(bench, verb, json.dumps(arguments))
    assert status in {200, 400, 503}
    assert ("error" in answer) is (status != 200)


def test_silent_connections_take_bounded_threads(bench: Bench) -> None:
    with contextlib.ExitStack() as stack:
        silent = [
            stack.enter_context(socket.create_connection(address(bench), 10))
            for _ in range(CONNECTIONS_MAX + 8)
        ]
        for sock in silent[CONNECTIONS_MAX:]:
            with contextlib.suppress(ConnectionResetError):
                assert sock.recv(1) == b""
    wait_until(lambda: _answers(bench), "it answers once they have gone")


def _answers(bench: Bench) -> bool:
    try:
        return post(bench, "heal", '{"fault": 99}')[0] == 400
    except (OSError, http.client.HTTPException):
        return False
