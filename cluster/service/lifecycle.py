"""The skeleton of every server program: start in order, wait, stop in reverse."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass

import structlog

from paceline.clock import now
from paceline.errors import ConfigError

if sys.platform != "win32":
    import uvloop

EXIT_OK = 0
EXIT_FAILED = 1
"""The exit code when a part failed without which the program cannot run."""
EXIT_CONFIG = 2

STOP_STEP_S = 5.0
"""The time that one part may take to stop, unless it says otherwise."""
CANCEL_S = 2.0
"""How long a cancelled task may take to end; then it is left behind with a log line."""

_log = structlog.get_logger()

Stop = Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class _Step:
    name: str
    stop: Stop
    deadline_s: float


class Lifecycle:
    """What a program has started, and why it is to stop.

    Steps stop in reverse order of ``push``, each within its deadline; one that fails or hangs
    does not keep the others from stopping.
    """

    def __init__(self) -> None:
        self.exit_code = EXIT_OK
        self._steps: list[_Step] = []
        self._stopping = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def stopping(self) -> bool:
        return self._stopping.is_set()

    def push(self, name: str, stop: Stop, *, deadline_s: float = STOP_STEP_S) -> None:
        """Registers how to stop a part; call it as soon as the part has started."""
        self._steps.append(_Step(name, stop, deadline_s))

    def spawn(self, name: str, work: Awaitable[None]) -> None:
        """Runs ``work`` until the program stops; if it ends earlier, the program fails."""

        async def run() -> None:
            try:
                await work
            except asyncio.CancelledError:
                raise
            except Exception:
                _log.exception("a part of the program failed", part=name)
            if not self.stopping:
                self.fail(f"{name} ended")

        task = asyncio.get_running_loop().create_task(run(), name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self.push(name, lambda: _cancel(task, work), deadline_s=CANCEL_S)

    def request_stop(self, reason: str) -> None:
        if not self.stopping:
            _log.info("stopping", reason=reason)
            self._stopping.set()

    def fail(self, reason: str) -> None:
        """Stops the program with exit code 1."""
        if not self.stopping:
            _log.error("stopping after a failure", reason=reason)
            self.exit_code = EXIT_FAILED
            self._stopping.set()

    async def wait(self) -> None:
        """Returns when the program is to stop, which may be never."""
        await self._stopping.wait()

    async def stop(self, grace_s: float) -> None:
        """Stops everything, in all within ``grace_s`` and a moment for cancellations."""
        until = now() + grace_s
        while self._steps:
            step = self._steps.pop()
            timeout_s = max(0.05, min(step.deadline_s, until - now()))
            try:
                async with asyncio.timeout(timeout_s):
                    await step.stop()
            except TimeoutError:
                _log.warning("did not stop in time", part=step.name, timeout_s=timeout_s)
            except Exception:
                _log.exception("failed while stopping", part=step.name)


async def _cancel(task: asyncio.Task[None], work: Awaitable[None]) -> None:
    task.cancel()
    await asyncio.wait([task])
    if isinstance(work, Coroutine):
        work.close()  # it may never have begun, of which Python would complain on stderr


Body = Callable[[Lifecycle], Awaitable[None]]
"""Starts a program: pushes what it has started, and returns when it is up."""


def run_program(body: Body, *, parent_fd: int | None = None, stop_grace_s: float = 10.0) -> int:
    """Runs ``body`` on uvloop until a signal, the parent's death or a failure; the exit code.

    SIGTERM or SIGINT stops gracefully, also during start-up; a second one ends the process at
    once with 128 + its number. A ConfigError from ``body`` is printed as one line to stderr.
    """
    try:
        if sys.platform == "win32":
            return asyncio.run(_run(body, parent_fd, stop_grace_s))
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(_run(body, parent_fd, stop_grace_s))
    except ConfigError as error:
        return report_config_error(error)


def report_config_error(error: ConfigError) -> int:
    """Prints what is wrong and what to do, on one line; returns the exit code."""
    text = " ".join(str(error).split())
    sys.stderr.write(f"paceline: error: {text}\n")
    return EXIT_CONFIG


async def _run(body: Body, parent_fd: int | None, stop_grace_s: float) -> int:
    lifecycle = Lifecycle()
    _handle_signals(lifecycle)
    if parent_fd is not None:
        _watch_parent(lifecycle, parent_fd)
    loop = asyncio.get_running_loop()
    start = loop.create_task(_start(body, lifecycle), name="start")
    stop = loop.create_task(lifecycle.wait(), name="wait-for-stop")
    try:
        # A start ends by its own deadlines or by a stop; running has no deadline.
        await asyncio.wait([start, stop], return_when=asyncio.FIRST_COMPLETED)
        if start.done():
            start.result()
            await stop
    finally:
        stop.cancel()
        if not start.done():
            start.cancel()
            await asyncio.wait([start], timeout=CANCEL_S)
        await lifecycle.stop(stop_grace_s)
    _log.info("stopped", exit_code=lifecycle.exit_code)
    return lifecycle.exit_code


async def _start(body: Body, lifecycle: Lifecycle) -> None:
    try:
        await body(lifecycle)
    except (ConfigError, asyncio.CancelledError):
        raise
    except Exception:
        _log.exception("failed to start")
        lifecycle.fail("start failed")


def _handle_signals(lifecycle: Lifecycle) -> None:
    loop = asyncio.get_running_loop()

    def on_signal(number: signal.Signals) -> None:
        if lifecycle.stopping:
            # The operator is out of patience; sockets and files are the kernel's to close.
            sys.stdout.flush()
            os._exit(128 + number)
        lifecycle.request_stop(number.name)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal, number)


def _watch_parent(lifecycle: Lifecycle, fd: int) -> None:
    """Stops the program when the pipe's other end closes: the parent died or let go."""
    loop = asyncio.get_running_loop()
    try:
        os.set_blocking(fd, False)
    except OSError as error:
        raise ConfigError(
            f"PACELINE_PARENT_FD = {fd} is not an open file descriptor: unset it, it is meant for "
            "programs that start this one"
        ) from error

    def on_readable() -> None:
        try:
            data = os.read(fd, 4096)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            loop.remove_reader(fd)
            lifecycle.request_stop("the parent process ended")

    loop.add_reader(fd, on_readable)
