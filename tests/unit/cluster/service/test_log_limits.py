"""Lines of one kind are bounded, and what is left out is told."""

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from cluster.service import log_limits
from cluster.service.log_limits import BURST, KINDS_MAX, PER_S, QUIET_S, LineLimiter
from cluster.service.logs import configure_logs


def test_a_storm_is_cut_and_counted() -> None:
    limiter = LineLimiter()
    admitted = [limiter.admit("bad", n / 12_000) for n in range(120_000)]
    written = [left_out for left_out in admitted if left_out is not None]
    assert len(written) <= BURST + 10 * PER_S + 1
    assert sum(written) + len(written) <= len(admitted)
    assert limiter.admit("good", 10.0) == 0
    left = limiter.owed(10.0 + QUIET_S)
    assert left == [("bad", len(admitted) - len(written) - sum(written))]
    assert limiter.owed(60.0) == []


def test_rare_lines_are_all_written() -> None:
    limiter = LineLimiter()
    assert [limiter.admit("kind", float(t)) for t in range(1000)] == [0] * 1000


def test_kinds_without_end_take_bounded_memory() -> None:
    limiter = LineLimiter()
    written = sum(limiter.admit(f"from 10.0.0.{n}", 0.0) is not None for n in range(100_000))
    assert written <= KINDS_MAX + BURST
    assert len(limiter._kinds) <= KINDS_MAX + 1
    assert limiter.admit("a new one much later", 1e6) == 0


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    one = io.StringIO()
    yield one
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def test_the_log_of_a_program_is_limited(
    stream: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [100.0]
    monkeypatch.setattr("cluster.service.logs.now", lambda: clock[0])
    configure_logs("node-1", "info", stream)
    for n in range(1000):
        structlog.get_logger().warning("refused", peer=n)
        logging.getLogger("library").warning("failed: %s", n)
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [line["event"] for line in lines].count("refused") == BURST
    assert len(lines) == 2 * BURST
    clock[0] += 1.0
    structlog.get_logger().warning("refused", peer="last")
    last = json.loads(stream.getvalue().splitlines()[-1])
    assert (last["peer"], last["left_out"]) == ("last", 1000 - BURST)
    clock[0] += log_limits.QUIET_S
    structlog.get_logger().info("something else")
    told, other = (json.loads(line) for line in stream.getvalue().splitlines()[-2:])
    assert other["event"] == "something else"
    assert told["event"] == "log lines were left out"
    assert (told["lines"], told["left_out"]) == ("library WARNING failed: %s", 1000 - BURST)
