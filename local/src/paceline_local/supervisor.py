"""Starts, watches and stops child processes, and never leaves one behind."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from paceline.clock import now
from paceline.errors import ConfigError, PacelineError
from paceline_local import guard
from paceline_local.log_files import LogRotation

LOG_TAIL_LINES = 15
LOG_TAIL_BYTES = 8192
KILL_WAIT_S = 5.0
"""The time after SIGKILL. Only a process in an uninterruptible system call is still there then."""
_POLL_S = 0.02

PARENT_FD_VARIABLE = "PACELINE_PARENT_FD"


class ChildFailed(PacelineError):
    """A child ended, or did not get ready, where it should have run."""


@dataclass(frozen=True, slots=True)
class Exit:
    """A child that ended without having been told to. ``status`` as in ``Popen.returncode``."""

    name: str
    pid: int
    status: int
    log_path: Path

    def describe(self) -> str:
        return f"{self.name} (pid {self.pid}) {describe_status(self.status)}"


class Child:
    """One running or ended process; belongs to its Supervisor."""

    def __init__(self, name: str, process: subprocess.Popen[bytes], log_path: Path) -> None:
        self.name = name
        self.log_path = log_path
        self.stop_requested = False
        self._process = process
        self._exit_reported = False

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    @property
    def status(self) -> int | None:
        """The exit code, -N for signal N, None while it runs."""
        return self._process.poll()

    def signal(self, number: int) -> None:
        """Deliver a signal to the child alone; nothing happens if it has ended."""
        # Popen checks that the pid is still this child's: it is not reaped elsewhere.
        self._process.send_signal(number)

    def signal_group(self, number: int) -> None:
        """Deliver a signal to the child and whatever it started."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)

    def wait(self, timeout_s: float) -> bool:
        """Returns True once the child has ended, False after ``timeout_s``."""
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return False
        return True

    def take_exit(self) -> Exit | None:
        """Returns the unexpected end of this child, once."""
        status = self._process.poll()
        if status is None or self.stop_requested or self._exit_reported:
            return None
        self._exit_reported = True
        # Whatever it had started lost its parent, and the number of its group may be reused soon.
        self.signal_group(signal.SIGKILL)
        return Exit(self.name, self.pid, status, self.log_path)


class Supervisor:
    """Starts children and keeps the promise that none of them outlives this process.

    Each child is the leader of a session of its own, so a Ctrl-C in the terminal reaches only
    this process, which then decides the order. Children that understand ``PACELINE_PARENT_FD``
    get the end of a pipe that closes with this process; the guard (see ``guard``) covers the
    others. Children may be started, killed and looked at by several threads; the others of its
    methods are for one of them.
    """

    def __init__(self, logs_dir: Path, *, orphan_stop_s: float = guard.OWN_STOP_S) -> None:
        """``orphan_stop_s``: after this process's death, how long children may take to end
        before they are told to."""
        self._logs_dir = logs_dir
        self._orphan_stop_s = orphan_stop_s
        self._children: dict[str, Child] = {}
        self._exits: list[Exit] = []
        self._lock = threading.RLock()
        self._parent_read, self._parent_write = os.pipe()
        self._guard: subprocess.Popen[bytes] | None = None
        self._rotation = LogRotation(self._log_paths)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def children(self) -> Mapping[str, Child]:
        return self._children

    def start(
        self, name: str, argv: Sequence[str], environment: Mapping[str, str], *, cwd: Path
    ) -> Child:
        """Start ``argv`` with exactly ``environment`` and the parent pipe; output goes to a log.

        A child of the same name that has ended is replaced; its log is continued.
        """
        with self._lock:
            previous = self._children.get(name)
            if previous is not None and previous.running:
                raise RuntimeError(f"{name} runs already")
            if previous is not None:
                self._note_exit(previous)
            child = self._spawn(name, argv, environment, cwd)
            self._children[name] = child
        return child

    def _spawn(
        self, name: str, argv: Sequence[str], environment: Mapping[str, str], cwd: Path
    ) -> Child:
        self._ensure_guard()
        self._rotation.start()
        log_path = self._logs_dir / f"{name}.log"
        with _open_log(log_path) as log:
            try:
                process = subprocess.Popen(
                    list(argv),
                    env={**environment, PARENT_FD_VARIABLE: str(self._parent_read)},
                    cwd=cwd,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    pass_fds=(self._parent_read,),
                )
            except OSError as error:
                raise ChildFailed(
                    f"{name} cannot be started: {argv[0]}: {error.strerror}"
                ) from error
        self._tell_guard(f"+{process.pid}")
        return Child(name, process, log_path)

    def remove_at_death(self, directory: Path) -> None:
        """Have ``directory`` removed if this process dies without cleaning up."""
        self._ensure_guard()
        self._tell_guard(f"!{directory}")

    def take_exits(self) -> list[Exit]:
        """Returns the children that ended unexpectedly since the last call."""
        with self._lock:
            for child in self._children.values():
                self._note_exit(child)
            found, self._exits = self._exits, []
        return found

    def kill(self, name: str) -> None:
        """Sends SIGKILL, without any warning. On return the child is gone, and not reported as an
        exit."""
        with self._lock:
            child = self._children[name]
            if not child.running:
                return
            child.stop_requested = True
            child.signal_group(signal.SIGKILL)
            child.wait(KILL_WAIT_S)
            self._tell_guard(f"-{child.pid}")

    def _log_paths(self) -> list[Path]:
        with self._lock:
            return [child.log_path for child in self._children.values()]

    def _note_exit(self, child: Child) -> None:
        found = child.take_exit()
        if found is not None:
            self._tell_guard(f"-{found.pid}")
            self._exits.append(found)

    def stop(
        self, names: Iterable[str], grace_s: float, hurry: Callable[[], bool] = lambda: False
    ) -> list[str]:
        """Stop these children together; the names of those that had to be killed.

        They are killed after ``grace_s``, or as soon as ``hurry`` says so.
        """
        known = [self._children[name] for name in names if name in self._children]
        running = [child for child in known if child.running]
        for child in running:
            child.stop_requested = True
            child.signal(signal.SIGTERM)
            # One that is paused handles SIGTERM only once it runs again.
            child.signal(signal.SIGCONT)
        until = now() + grace_s
        while any(child.running for child in running) and now() < until and not hurry():
            time.sleep(_POLL_S)
        killed = [child for child in running if child.running]
        for child in running:
            # Also where the child itself has just ended: it may have left processes of its own.
            child.signal_group(signal.SIGKILL)
        for child in killed:
            child.wait(KILL_WAIT_S)
        for child in running:
            self._tell_guard(f"-{child.pid}")
        return [child.name for child in killed]

    def close(self) -> None:
        """Kill what still runs and release the pipes; may be called twice."""
        self.stop(list(self._children), grace_s=0.0)
        self._rotation.close()
        for descriptor in (self._parent_read, self._parent_write):
            with contextlib.suppress(OSError):
                os.close(descriptor)
        self._parent_read = self._parent_write = -1
        process, self._guard = self._guard, None
        if process is not None:
            assert process.stdin is not None
            with contextlib.suppress(OSError):
                process.stdin.close()
            process.wait(self._orphan_stop_s + guard.TERM_S + KILL_WAIT_S)

    def _ensure_guard(self) -> None:
        if self._guard is None:
            # -I -S: it needs nothing but the standard library and must start fast.
            self._guard = subprocess.Popen(
                [sys.executable, "-I", "-S", guard.__file__, str(self._orphan_stop_s)],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
                cwd="/",
                bufsize=0,
            )

    def _tell_guard(self, line: str) -> None:
        if self._guard is None or self._guard.stdin is None:
            return
        # A guard that was killed is a lost precaution, not a reason to fail.
        with contextlib.suppress(OSError):
            self._guard.stdin.write(line.encode() + b"\n")


def describe_status(status: int) -> str:
    if status >= 0:
        return f"ended with exit code {status}"
    try:
        return f"was killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"was killed by signal {-status}"


def log_tail(path: Path, lines: int = LOG_TAIL_LINES) -> str:
    """The last lines of a log, for a person; empty if there is none."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - LOG_TAIL_BYTES))
            data = file.read(LOG_TAIL_BYTES)
    except OSError:
        return ""
    return "\n".join(data.decode("utf-8", "replace").splitlines()[-lines:])


def _open_log(path: Path) -> IO[bytes]:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open("ab")
    except OSError as error:
        raise ConfigError(
            f"the log {path} cannot be written: {error.strerror}. Choose a directory that this "
            "user may write to with --data-dir"
        ) from error
