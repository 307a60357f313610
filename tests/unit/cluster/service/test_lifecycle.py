"""The program skeleton, run as real processes where signals and exit codes matter."""

import asyncio
import inspect
import io
import json
import logging
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from cluster.service.configuration import config_path, load_settings, read_secret
from cluster.service.lifecycle import Lifecycle, run_program
from cluster.service.logs import configure_logs
from cluster.settings import DiscoverySettings, NodeSettings, ProgramSettings
from paceline.errors import ConfigError

DEADLINE_S = 20.0


# -- Lifecycle ------------------------------------------------------------------------------------


async def test_parts_stop_in_reverse_order_and_a_failing_one_does_not_keep_the_others() -> None:
    lifecycle, stopped = Lifecycle(), []

    async def stop(name: str) -> None:
        stopped.append(name)
        if name == "b":
            raise RuntimeError("planned")

    for name in "abc":
        lifecycle.push(name, lambda name=name: stop(name))  # type: ignore[misc]
    await lifecycle.stop(5.0)
    assert stopped == ["c", "b", "a"]


async def test_part_that_hangs_is_left_behind_after_its_deadline() -> None:
    lifecycle, stopped = Lifecycle(), []

    async def hang() -> None:
        await asyncio.Event().wait()

    async def stop() -> None:
        stopped.append("first")

    lifecycle.push("first", stop)
    lifecycle.push("hangs", hang, deadline_s=0.02)
    await lifecycle.stop(5.0)
    assert stopped == ["first"]


async def test_background_work_that_ends_stops_the_program() -> None:
    lifecycle = Lifecycle()

    async def work() -> None:
        raise RuntimeError("planned")

    lifecycle.spawn("work", work())
    async with asyncio.timeout(DEADLINE_S):
        await lifecycle.wait()
    assert lifecycle.exit_code == 1
    await lifecycle.stop(1.0)


async def test_background_work_is_cancelled_at_the_stop() -> None:
    lifecycle, ended = Lifecycle(), []

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(True)

    lifecycle.spawn("work", work())
    await asyncio.sleep(0)
    lifecycle.request_stop("test")
    await lifecycle.stop(1.0)
    assert ended == [True]
    assert lifecycle.exit_code == 0


async def test_background_work_that_never_began_is_not_complained_of() -> None:
    """As where a start is refused in the same turn: its one line is all that an operator needs."""
    lifecycle = Lifecycle()

    async def work() -> None: ...

    waiting = work()
    lifecycle.spawn("work", waiting)
    lifecycle.request_stop("test")
    await lifecycle.stop(1.0)
    assert inspect.getcoroutinestate(waiting) == inspect.CORO_CLOSED


def test_config_error_is_one_line_and_exit_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    stopped = []

    async def body(lifecycle: Lifecycle) -> None:
        async def stop() -> None:
            stopped.append(True)

        lifecycle.push("part", stop)
        raise ConfigError("the zone\nlist does not fit: use --zones a,b")

    assert run_program(body) == 2
    assert capsys.readouterr().err == (
        "paceline: error: the zone list does not fit: use --zones a,b\n"
    )
    assert stopped == [True]


def test_crash_at_start_is_exit_code_1() -> None:
    async def body(lifecycle: Lifecycle) -> None:
        raise RuntimeError("planned")

    assert run_program(body) == 1


# -- processes ------------------------------------------------------------------------------------

PROGRAM = """
    import asyncio, sys
    from cluster.service.lifecycle import run_program

    async def body(lifecycle):
        async def stop():
            print("stopped", flush=True)
            if "hang" in sys.argv:
                await asyncio.Event().wait()
        lifecycle.push("part", stop)
        if "slow" in sys.argv:
            print("ready", flush=True)
            await asyncio.Event().wait()
        print("ready", flush=True)

    fd = int(sys.argv[1]) if sys.argv[1] != "-" else None
    raise SystemExit(run_program(body, parent_fd=fd))
"""


@pytest.fixture
def program(tmp_path: Path) -> Iterator["Run"]:
    run = Run(tmp_path)
    yield run
    run.close()


class Run:
    def __init__(self, directory: Path) -> None:
        self._script = directory / "program.py"
        self._script.write_text(textwrap.dedent(PROGRAM))
        self._processes: list[subprocess.Popen[str]] = []

    def start(self, *args: str, pass_fds: tuple[int, ...] = ()) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, str(self._script), *args],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            pass_fds=pass_fds,
        )
        self._processes.append(process)
        self.expect(process, "ready")
        return process

    @staticmethod
    def expect(process: subprocess.Popen[str], line: str) -> None:
        assert process.stdout is not None
        for text in process.stdout:
            if text.strip() == line:
                return
        pytest.fail(f"the program ended without saying {line!r}")

    def close(self) -> None:
        for process in self._processes:
            process.kill()
            process.communicate()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_stops_gracefully(program: Run, number: signal.Signals) -> None:
    process = program.start("-")
    process.send_signal(number)
    program.expect(process, "stopped")
    assert process.wait(DEADLINE_S) == 0


def test_signal_during_start_stops_what_was_started(program: Run) -> None:
    process = program.start("-", "slow")
    process.send_signal(signal.SIGTERM)
    program.expect(process, "stopped")
    assert process.wait(DEADLINE_S) == 0


def test_second_signal_ends_at_once(program: Run) -> None:
    process = program.start("-", "hang")
    process.send_signal(signal.SIGTERM)
    program.expect(process, "stopped")
    process.send_signal(signal.SIGINT)
    assert process.wait(DEADLINE_S) == 128 + signal.SIGINT


def test_parents_death_stops_the_program(program: Run) -> None:
    reader, writer = os.pipe()
    process = program.start(str(reader), pass_fds=(reader,))
    os.close(reader)
    os.write(writer, b"still here")
    assert process.poll() is None
    os.close(writer)
    program.expect(process, "stopped")
    assert process.wait(DEADLINE_S) == 0


# -- settings -------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [n for n in os.environ if n.startswith("PACELINE_")]:
        monkeypatch.delenv(name)


def test_environment_wins_over_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "node.toml"
    path.write_text('node_id = "from-file"\nzone = "b"\n[lease]\nprimary_s = 3.0\n')
    monkeypatch.setenv("PACELINE_NODE_ID", "from-environment")
    settings = load_settings(NodeSettings, path)
    assert isinstance(settings, NodeSettings)
    assert (settings.node_id, settings.zone) == ("from-environment", "b")
    assert settings.lease.primary_s == 3.0


def test_settings_without_a_file_come_from_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PACELINE_SEEDS", '["127.0.0.1:1"]')
    assert load_settings(DiscoverySettings).seeds == ["127.0.0.1:1"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("colour = 1", "PACELINE_COLOUR"),
        ("[lease]\nmargin = 3", "PACELINE_LEASE__MARGIN"),
        ("= nonsense", "not valid TOML"),
    ],
)
def test_wrong_file_is_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "node.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        load_settings(NodeSettings, path)


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        load_settings(NodeSettings, tmp_path / "absent.toml")


def test_malformed_environment_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PACELINE_SEEDS", "127.0.0.1:1")
    with pytest.raises(ConfigError, match=r"seeds.*JSON"):
        load_settings(DiscoverySettings)


def test_command_line_knows_only_the_config_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert config_path("p", []) is None
    assert config_path("p", ["--config", "f.toml"]) == Path("f.toml")
    with pytest.raises(SystemExit) as ended:
        config_path("p", ["--port", "1"])
    assert ended.value.code == 2
    assert "--port" in capsys.readouterr().err


def test_secret_comes_from_setting_or_file_but_not_both(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text("abc\n")
    assert read_secret(ProgramSettings(secret="x")) == "x"
    assert read_secret(ProgramSettings(secret_file=path)) == "abc"
    with pytest.raises(ConfigError, match="not both"):
        read_secret(ProgramSettings(secret="x", secret_file=path))
    with pytest.raises(ConfigError, match="no such file"):
        read_secret(ProgramSettings(secret_file=tmp_path / "absent"))
    path.write_text("\n")
    with pytest.raises(ConfigError, match="must hold one secret"):
        read_secret(ProgramSettings(secret_file=path))


# -- logs -----------------------------------------------------------------------------------------


@pytest.fixture
def _logging_restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(False)
    structlog.reset_defaults()


@pytest.mark.usefixtures("_logging_restored")
def test_logs_are_json_lines_from_structlog_and_libraries() -> None:
    stream = io.StringIO()
    configure_logs("node-1", "info", stream)
    structlog.get_logger().debug("hidden")
    structlog.get_logger().info("seen", count=3)
    logging.getLogger("grpc").warning("from a %s", "library")
    try:
        raise ValueError("planned")
    except ValueError:
        structlog.get_logger().exception("failed")
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [(e["event"], e["level"]) for e in lines] == [
        ("seen", "info"),
        ("from a library", "warning"),
        ("failed", "error"),
    ]
    assert lines[0]["count"] == 3
    assert {e["program"] for e in lines} == {"node-1"}
    assert "ValueError: planned" in lines[2]["exception"]
