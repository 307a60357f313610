"""The admin port: what it answers to whom, and that nobody wears it down."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
import structlog
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter

from cluster.access.audit import AuditEvent
from cluster.service import http_connections
from cluster.service.admin_http import AdminServer
from cluster.service.admin_token import AdminToken
from cluster.service.commands import Coalesced, Rate, TooManyCommands
from paceline.errors import ConfigError, RequestError, Unavailable
from paceline_local.admin_token import command_headers, read_token
from tests.support.examples import examples
from tests.support.waiting import until

DEADLINE_S = 20.0


class Service:
    """An admin server with a command that tells what it was asked."""

    def __init__(self, directory: Path) -> None:
        self.reason: str | None = None
        self.flushed: list[str | None] = []
        self.told: list[AuditEvent] = []
        self.registry = CollectorRegistry()
        Counter("paceline_hits", "hits", registry=self.registry).inc(7)
        self.token = AdminToken.of("", directory)
        self.admin = AdminServer(
            unready=lambda: self.reason,
            status=lambda: {"role": "replica"},
            registry=self.registry,
            hosts=["node-1:8201"],
            token=self.token,
            tell=self.told.append,
        )
        self.admin.command("/flush", self.flush)
        self.address = ""

    async def flush(self, query: Mapping[str, str]) -> dict[str, Any]:
        if query.get("table") == "bad":
            raise RequestError("ValidationException", "no such table")
        if query.get("table") == "later":
            raise Unavailable("no primary")
        if query.get("table") == "odd":
            raise ZeroDivisionError
        self.flushed.append(query.get("table"))
        return {"flushed": query.get("table")}

    @property
    def port(self) -> int:
        return int(self.address.rpartition(":")[2])


@pytest_asyncio.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    one = Service(tmp_path)
    one.address = await one.admin.start("127.0.0.1:0")
    try:
        yield one
    finally:
        await one.admin.stop()


@pytest_asyncio.fixture
async def http(service: Service) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(f"http://{service.address}") as session:
        yield session


async def test_what_it_tells(service: Service, http: aiohttp.ClientSession) -> None:
    assert (await http.get("/healthz")).status == 200
    service.reason = "no primary yet"
    answer = await http.get("/readyz")
    assert (answer.status, await answer.text()) == (503, "not ready: no primary yet\n")
    service.reason = None
    assert (await http.get("/readyz")).status == 200
    status = await (await http.get("/status")).json()
    assert status == {"role": "replica", "admin_token_file": str(service.token.path)}
    assert "paceline_hits_total 7.0" in await (await http.get("/metrics")).text()
    assert (await http.get("/flush")).status == 405
    with pytest.raises(ConfigError, match=r"PACELINE_ADMIN_BIND.*already in use"):
        await AdminServer(unready=lambda: None, status=dict, registry=CollectorRegistry()).start(
            service.address
        )


async def test_commands_are_for_those_who_can_read_the_token(
    service: Service, http: aiohttp.ClientSession
) -> None:
    headers = command_headers(await (await http.get("/status")).json(), environ={})
    answer = await http.post("/flush", params={"table": "t"}, headers=headers)
    assert (answer.status, await answer.json()) == (200, {"flushed": "t"})
    assert (await http.post("/flush", params={"table": "bad"}, headers=headers)).status == 400
    assert (await http.post("/flush", params={"table": "later"}, headers=headers)).status == 503
    wrong = {"Authorization": f"Bearer {'0' * 64}"}
    basic = {"Authorization": headers["Authorization"].replace("Bearer", "Basic")}
    for refused in ({}, wrong, basic, {"Authorization": "Bearer"}):
        answer = await http.post("/flush", headers=refused)
        assert answer.status == 401
        assert str(service.token.path) in (await answer.json())["error"]
    page = {**headers, "Origin": f"http://{service.address}"}
    assert (await http.post("/flush", headers=page)).status == 403
    assert service.flushed == ["t"]


async def test_commands_are_told_to_the_audit_log_without_what_may_be_secret(
    service: Service, http: aiohttp.ClientSession
) -> None:
    headers = {"Authorization": f"Bearer {service.token.value}"}
    asked = {"table": "t", "name": "ann", "tags": "hush"}
    await http.post("/flush", json=asked, headers=headers)
    await http.post("/flush", params={"table": "bad"}, headers=headers)
    await http.post("/flush", params={"table": "later"}, headers=headers)
    await http.post("/flush", params={"table": "t"})
    await http.post("/flush", headers={**headers, "Origin": f"http://{service.address}"})
    told = [(one.decision, one.operation, one.reason, one.resource) for one in service.told]
    assert told == [
        ("allowed", "/flush", "", "name=ann table=t"),
        ("failed", "/flush", "ValidationException", "table=bad"),
        ("failed", "/flush", "Unavailable", "table=later"),
        ("unauthenticated", "/flush", "status 401", "table=t"),
        ("unauthenticated", "/flush", "status 403", ""),
    ]
    assert {one.address for one in service.told} == {"127.0.0.1"}


async def test_a_command_of_which_nobody_knows_the_outcome_is_told(
    service: Service, http: aiohttp.ClientSession
) -> None:
    headers = {"Authorization": f"Bearer {service.token.value}"}
    answer = await http.post("/flush", params={"table": "odd"}, headers=headers)
    assert answer.status == 500
    assert "may be done or not" in (await answer.json())["error"]
    told = [(one.decision, one.reason, one.resource) for one in service.told]
    assert told == [("failed", "OutcomeUnknown", "table=odd")]


async def test_the_log_has_nothing_of_a_command_that_may_be_secret(
    service: Service, http: aiohttp.ClientSession
) -> None:
    headers = {"Authorization": f"Bearer {service.token.value}"}
    with structlog.testing.capture_logs() as logged:
        for table in ("t", "odd"):
            asked = {"table": table, "upstream": "hush"}
            await http.post("/flush", params=asked, headers=headers)
    assert "hush" not in str(logged)
    assert logged[0]["query"] == {"table": "t"}


async def test_a_command_may_have_a_body(service: Service, http: aiohttp.ClientSession) -> None:
    headers = {"Authorization": f"Bearer {service.token.value}"}
    url = f"http://{service.address}/flush"
    async with http.post(url, json={"table": "t"}, headers=headers) as answer:
        assert await answer.json() == {"flushed": "t"}
    for body in (b"[", b"[]", b'{"table": 7}', b"[" * 30_000):
        async with http.post(url, data=body, headers=headers) as answer:
            assert answer.status == 400
            assert "JSON object" in (await answer.json())["error"]
    assert service.flushed == ["t"]


async def test_neither_foreign_names_nor_foreign_pages_are_answered(
    service: Service, http: aiohttp.ClientSession
) -> None:
    for path in ("/healthz", "/readyz", "/status", "/metrics"):
        for host in ("evil.example", f"evil.example:{service.port}", "[", "10.1.2.3"):
            answer = await http.get(path, headers={"Host": host})
            assert answer.status == 403, (path, host)
            assert "PACELINE_ADMIN_HOSTS" in (await answer.json())["error"]
        assert (await http.get(path, headers={"Origin": "http://evil.example"})).status == 403
        for host in ("localhost", f"node-1:{service.port}", f"[::1]:{service.port}"):
            assert (await http.get(path, headers={"Host": host})).status == 200, (path, host)


async def test_a_request_names_one_host(service: Service) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
    writer.write(b"GET /status HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n")
    async with asyncio.timeout(DEADLINE_S):
        assert (await reader.readline()).split()[1] == b"400"
    writer.close()


async def test_a_name_that_is_none_is_refused_at_start() -> None:
    admin = AdminServer(
        unready=lambda: None, status=dict, registry=CollectorRegistry(), hosts=["http://x"]
    )
    with pytest.raises(ConfigError, match=r"PACELINE_ADMIN_HOSTS.*names no host"):
        await admin.start("127.0.0.1:0")


def test_the_token_is_for_its_owner_and_of_one_cluster(tmp_path: Path) -> None:
    first, second, other = (tmp_path / name for name in ("1", "2", "3"))
    for directory in (first, second, other):
        directory.mkdir()
    token = AdminToken.of("secret", first)
    assert token.path.stat().st_mode & 0o777 == 0o600
    assert read_token(token.path) == token.value
    assert AdminToken.of("secret", second).value == token.value
    assert AdminToken.of("another", other).value != token.value
    assert AdminToken.of("", other).value != AdminToken.of("", other).value
    assert token.value not in repr(token)


@pytest.mark.parametrize("told", ["/etc/passwd", "admin-token", "/tmp/x/admin-token/../y", "\0"])
def test_a_stranger_on_the_port_is_sent_no_other_file(told: str) -> None:
    with pytest.raises(Unavailable):
        command_headers({"admin_token_file": told}, environ={})


def test_a_file_of_that_name_that_holds_something_else_is_not_sent(tmp_path: Path) -> None:
    path = tmp_path / "admin-token"
    for content in ("", "root:x:0:0\n", "g" * 64, "a" * 64 + "\n" + "secret" * 100):
        path.write_text(content)
        with pytest.raises(Unavailable, match="holds no token"):
            command_headers({"admin_token_file": str(path)}, environ={})


# -- bounds ---------------------------------------------------------------------------------------


async def test_connections_are_bounded_and_the_idle_ones_make_room(
    service: Service, http: aiohttp.ClientSession
) -> None:
    silent = []
    try:
        for _ in range(2 * http_connections.CONNECTIONS_MAX):
            silent.append(await asyncio.open_connection("127.0.0.1", service.port))
        # Whoever has something to say gets in among those who say nothing.
        assert (await http.get("/healthz")).status == 200
        ended = [reader.read() for reader, _ in silent[: http_connections.CONNECTIONS_MAX]]
        async with asyncio.timeout(DEADLINE_S):
            assert await asyncio.gather(*ended) == [b""] * len(ended)
    finally:
        for _, writer in silent:
            writer.close()


async def test_who_asks_nothing_is_sent_away(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_connections, "FIRST_REQUEST_S", 0.1)
    for half in (b"", b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n"):
        reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
        writer.write(half)
        async with asyncio.timeout(DEADLINE_S):
            assert await reader.read() == b""
        writer.close()


async def test_one_flush_at_a_time_and_one_for_all_who_wait() -> None:
    release = asyncio.Event()
    runs = []

    async def slow(query: Mapping[str, str]) -> dict[str, Any]:
        runs.append(dict(query))
        await release.wait()
        return {"run": len(runs)}

    command = Coalesced(slow, Rate(), lambda: 0.0, DEADLINE_S)
    first = asyncio.create_task(command({}))
    await until(lambda: runs, "the first runs")
    rest = [asyncio.create_task(command({})) for _ in range(1000)]
    other = asyncio.create_task(command({"table": "t"}))
    await until(lambda: len(runs) == 2, "that of the other table runs")
    rest[0].cancel()  # gives up; the others wait on
    release.set()
    assert (await first)["run"] >= 1
    assert await asyncio.gather(*rest[1:], other)
    # What was asked while one ran is done by another one, which began later.
    assert runs == [{}, {"table": "t"}, {}]


async def test_commands_are_bounded_in_rate() -> None:
    now = [0.0]

    async def quick(query: Mapping[str, str]) -> dict[str, Any]:
        return {}

    command = Coalesced(quick, Rate(per_s=10.0, burst=20.0), lambda: now[0], DEADLINE_S)
    for _ in range(20):
        await command({})
    with pytest.raises(TooManyCommands):
        await command({})
    now[0] += 0.1
    await command({})
    with pytest.raises(TooManyCommands):
        await command({})


# -- whatever comes -------------------------------------------------------------------------------

_PIECES = st.sampled_from(
    [b"GET", b"POST", b" ", b"/", b"/status", b"/flush?table=%ff&x=%zz", b"//", b"*", b"\r\n",
     b" HTTP/1.1\r\n", b" HTTP/1.0\r\n", b" HTTP/9.9\r\n", b"Host: localhost\r\n", b"Host: [\r\n",
     b"Content-Length: \xb2\r\n", b"Content-Length: -1\r\n", b"Content-Length: 10\r\n\r\n",
     b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", b"Expect: 100-continue\r\n", b"\0", b"\xff",
     b"Upgrade: websocket\r\nConnection: upgrade\r\n", b"Authorization: Bearer \xff\r\n",
     b"Content-Type: \r\n", b"Content-Encoding: gzip\r\n", b"Cookie: a=\x01;\r\n",
     b"X: " + b"y" * 9000 + b"\r\n", b"Origin: null\r\n", b"\r\n\r\n", b"Range: bytes=x\r\n",
     b"If-Modified-Since: never\r\n", b"%", b"http://[", b"http://[::1]:99999/"]
)  # fmt: skip


_HEAD = b"GET /status HTTP/1.1\r\nHost: localhost\r\n"


@given(
    st.sampled_from([_HEAD, _HEAD, _HEAD.replace(b"GET", b"POST"), b"GET ", b""]),
    st.lists(st.one_of(_PIECES, st.binary(max_size=12)), max_size=10),
)
@example(_HEAD, [b"X: " + b"y" * 9000 + b"\r\n\r\n"])
@example(b"GET /" + b"a" * 9000, [b" HTTP/1.1\r\n\r\n"])
@example(_HEAD, [b"Content-Length: \xb2\r\n\r\n"])
@settings(
    max_examples=examples(100),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_no_bytes_make_a_traceback(
    tmp_path_factory: pytest.TempPathFactory, head: bytes, sent: list[bytes]
) -> None:
    records: list[logging.LogRecord] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            records.append(record)

    async def run() -> bytes:
        one = Service(tmp_path_factory.mktemp("admin"))
        one.address = await one.admin.start("127.0.0.1:0")
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", one.port)
            writer.write(head + b"".join(sent))
            answer = b""
            # What is no whole request is not answered before there is no more of it.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.02):
                    answer = await reader.read(64 * 1024)
            writer.write_eof()
            async with asyncio.timeout(DEADLINE_S):
                answer += await reader.read()
            writer.close()
            return answer
        except ConnectionError:
            return b""
        finally:
            await one.admin.stop()

    keep, root = Keep(), logging.getLogger()
    root.addHandler(keep)
    try:
        answer = asyncio.run(run())
    finally:
        root.removeHandler(keep)
    assert answer == b"" or answer.startswith(b"HTTP/1.")
    assert b"HTTP/1.1 500" not in answer
    assert not [record.getMessage() for record in records if record.exc_info]


async def test_metrics_are_openmetrics_for_who_asks_for_it(service: Service) -> None:
    async def told(accept: str) -> tuple[str, str]:
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"http://{service.address}/metrics", headers={"Accept": accept}) as answer,
        ):
            return answer.content_type, await answer.text()

    kind, text = await told("application/openmetrics-text;version=1.0.0,text/plain;q=0.5")
    assert kind == "application/openmetrics-text"
    assert text.endswith("# EOF\n")
    assert "paceline_hits_total 7.0" in text
    kind, text = await told("*/*")
    assert kind == "text/plain"
    assert "paceline_hits_total 7.0" in text
    assert "# EOF" not in text
