"""Suites of others run twice: what counts as a difference, and the front that spreads requests."""

import asyncio
import json
import sys
from pathlib import Path

import pytest

from tests.foreign.compare import compared, outcomes
from tests.foreign.runs import main, summary
from tests.foreign.spread import HOST, spread

REPORT = """<testsuites><testsuite>
<testcase classname="a" name="passes"/>
<testcase classname="a" name="fails"><failure/></testcase>
<testcase classname="a" name="skips"><skipped/></testcase>
<testcase classname="a" name="ends badly"/>
<testcase classname="a" name="ends badly"><error/></testcase>
</testsuite></testsuites>"""


def test_outcomes_are_read_from_a_report() -> None:
    assert outcomes(REPORT) == {
        "a::passes": "passed",
        "a::fails": "failed",
        "a::skips": "skipped",
        "a::ends badly": "failed",
    }
    with pytest.raises(ValueError, match="not a report"):
        outcomes("nonsense")


def test_what_passes_straight_only_is_a_difference() -> None:
    both = {"both": "passed", "neither": "failed", "skipped": "skipped"}
    straight = {**both, "straight": "passed", "gone": "passed", "through": "failed"}
    found = compared([straight], [{**both, "straight": "failed", "through": "passed"}])
    assert found.only_straight == ("straight", "gone")
    assert found.unsure == ()
    assert found.passed == (3, 2)
    assert summary(found).splitlines()[0] == "6 tests: 3 pass straight, 2 through"


def test_more_runs_tell_chance_from_difference() -> None:
    good, bad = {"a": "passed", "b": "passed"}, {"a": "failed", "b": "passed"}
    assert compared([good, good], [bad, good]).unsure == ("a",)
    assert compared([good, good], [bad, bad]).only_straight == ("a",)
    assert compared([bad, good], [bad, bad]).only_straight == ()


SUITE = """
import os

def test_of_both(): pass

def test_of_one(): assert os.environ["AWS_ENDPOINT_URL_DYNAMODB"] == "http://127.0.0.1:1"
"""


def test_a_suite_is_run_both_ways(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "test_suite.py").write_text(SUITE)
    ready = {
        "dynamodb": {"endpoint": "http://127.0.0.1:1"},
        "nodes": [{"http": "http://127.0.0.1:2"}],
    }
    (tmp_path / "ready.json").write_text(json.dumps(ready))
    options = ["--ready-file", str(tmp_path / "ready.json"), "--cwd", str(tmp_path)]
    pytest_ = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", "/dev/null"]
    assert main([*options, "--", *pytest_, "--rootdir", str(tmp_path), "test_suite.py"]) == 1
    told = capfd.readouterr().out
    assert "2 tests: 2 pass straight, 1 through" in told
    assert "passes straight only: test_suite::test_of_one" in told
    assert main([*options, "--", sys.executable, "-c", ""]) == 2


async def named(name: bytes) -> asyncio.Server:
    """A server that answers every request with ``name``."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                if b"chunked" in head:
                    await reader.readuntil(b"0\r\n\r\n")
                body = b"" if head.startswith(b"HEAD") else name
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n" + body)
        except EOFError:
            writer.close()

    return await asyncio.start_server(serve, HOST, 0)


async def test_each_request_goes_to_the_next_server() -> None:
    servers = [await named(name) for name in (b"a", b"b")]
    ports = [int(one.sockets[0].getsockname()[1]) for one in servers]
    whole = b" / HTTP/1.1\r\n\r\n"
    chunked = b" / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n"
    requests = [
        (b"GET" + whole, b"a"),
        (b"POST" + chunked, b"b"),
        (b"HEAD" + whole, b""),
        (b"GET" + whole, b"b"),
    ]
    async with asyncio.timeout(20), spread(ports) as port:
        reader, writer = await asyncio.open_connection(HOST, port)
        for request, expected in requests:
            writer.write(request)
            await reader.readuntil(b"\r\n\r\n")
            assert await reader.readexactly(len(expected)) == expected
        writer.close()
        await writer.wait_closed()
    for one in servers:
        one.close()
        await one.wait_closed()
