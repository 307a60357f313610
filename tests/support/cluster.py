"""Real clusters for tests: ``paceline up`` as a child process, and hands on each of its programs.

A node is killed, paused and started again by its own process, as an operating system or an
operator would do it; ``up`` itself only sees that a child has gone.
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil
import pytest

from paceline.errors import Unavailable
from paceline_local import embedded
from paceline_local.environment import STOP_GRACE_S
from paceline_local.probes import get_json, http_ok
from paceline_local.programs import find_embedded
from paceline_local.ready_file import ClusterEntry, NodeEntry
from paceline_local.supervisor import PARENT_FD_VARIABLE, log_tail
from tests.support.embedded import require_loopback
from tests.support.local import free_base_port
from tests.support.waiting import wait_until

START_S = 60.0
"""The judged start takes at most 10 s on a quiet machine; tests share theirs with others."""
STOP_S = 4 * STOP_GRACE_S
READY_S = 30.0
PRIMARY_S = 20.0
STARTS_MAX = 3
"""Ports that were free a moment ago may have been taken by another test run."""
POLL_S = 0.02
STATUS_S = 1.0

DISCOVERY = "discovery"
CONFLICT = "is in use"


@dataclass
class Program:
    """A server process of the cluster, and all that it takes to start it once more."""

    name: str
    process: psutil.Process
    argv: list[str]
    environment: dict[str, str]
    directory: str
    log: Path
    owned: subprocess.Popen[bytes] | None = field(default=None, repr=False)
    """Set once this module has started it; before, it is a child of ``up``."""

    @classmethod
    def of(cls, name: str, pid: int, log: Path) -> Self:
        process = psutil.Process(pid)
        return cls(name, process, process.cmdline(), process.environ(), process.cwd(), log)

    @property
    def running(self) -> bool:
        if self.owned is not None:
            return self.owned.poll() is None
        try:
            return self.process.is_running() and self.process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def kill(self) -> None:
        """SIGKILL, and wait until the process is gone."""
        with contextlib.suppress(psutil.NoSuchProcess):
            self.process.kill()
        wait_until(lambda: not self.running, f"{self.name} has gone after SIGKILL")

    def start_again(self, parent_fd: int) -> None:
        """The same command with the same settings; ``parent_fd`` closes when this process dies."""
        assert not self.running, f"{self.name} runs already"
        with self.log.open("ab") as log:
            self.owned = subprocess.Popen(
                self.argv,
                env={**self.environment, PARENT_FD_VARIABLE: str(parent_fd)},
                cwd=self.directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=(parent_fd,),
            )
        self.process = psutil.Process(self.owned.pid)


class Cluster:
    """``with Cluster(tmp_path) as cluster``: three nodes, discovery, embedded DynamoDB, ready.

    ``settings`` are environment variables that ``up`` passes on to its nodes. ``arguments`` are
    more options of ``up``. When the body fails, the ends of all logs are printed.
    """

    def __init__(
        self,
        directory: Path,
        *,
        nodes: int = 3,
        settings: Mapping[str, str] | None = None,
        arguments: Sequence[str] = (),
    ) -> None:
        self.directory = directory
        self._nodes = nodes
        self._settings = dict(settings or {})
        self._arguments = list(arguments)
        self._up: subprocess.Popen[bytes] | None = None
        self._alive: tuple[int, int] | None = None
        self.programs: dict[str, Program] = {}
        self.base_port = 0
        self.started_in_s = 0.0
        self.entry: ClusterEntry

    # -- life -------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None and not isinstance(error, pytest.skip.Exception):
            print(self.logs())
        self.stop()

    def start(self) -> None:
        skip_unless_startable()
        for attempt in range(STARTS_MAX):
            try:
                self._start(self.directory / f"cluster-{attempt}")
            except _PortConflict as error:
                print(f"attempt {attempt + 1}: {error}")
                continue
            except BaseException:
                print(self.logs())
                self.stop()
                raise
            return
        pytest.fail(f"no free ports in {STARTS_MAX} attempts")

    def _start(self, home: Path) -> None:
        home.mkdir(parents=True)
        self.home = home
        self.ready_file = home / "ready.json"
        self.base_port = free_base_port()
        begun = time.monotonic()
        # Closes when this process dies, however it does: then everything stops by itself.
        self._close_alive()
        self._alive = os.pipe()
        with (home / "up.log").open("wb") as log:
            self._up = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "paceline_local.cli.main",
                    "up",
                    f"--nodes={self._nodes}",
                    f"--base-port={self.base_port}",
                    f"--ready-file={self.ready_file}",
                    f"--data-dir={home / 'data'}",
                    "--no-demo",
                    *self._arguments,
                ],
                env={
                    **os.environ,
                    **self._settings,
                    PARENT_FD_VARIABLE: str(self._alive[0]),
                },
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=(self._alive[0],),
            )
        while not self.ready_file.exists():
            if self._up.poll() is not None:
                said = (home / "up.log").read_text(errors="replace")
                if CONFLICT in said:
                    raise _PortConflict(said.strip())
                raise AssertionError(f"paceline up ended with {self._up.returncode}:\n{said}")
            assert time.monotonic() < begun + START_S, f"paceline up: not ready in {START_S:g} s"
            time.sleep(POLL_S)
        self.started_in_s = time.monotonic() - begun
        self.entry = json.loads(self.ready_file.read_text())
        assert self.entry["dynamodb"]["endpoint"], "the cluster has a DynamoDB of its own"
        require_loopback(self.entry["dynamodb"]["endpoint"])
        logs = home / "data" / "logs"
        for node in self.entry["nodes"]:
            assert node["pid"] is not None
            name = node["id"]
            self.programs[name] = Program.of(name, node["pid"], logs / f"{name}.log")
        pid = self.entry["discovery"][0]["pid"]
        assert pid is not None
        self.programs[DISCOVERY] = Program.of(DISCOVERY, pid, logs / f"{DISCOVERY}.log")

    def stop(self) -> None:
        """Stop everything, surely; nothing of this cluster runs afterwards."""
        up, self._up = self._up, None
        programs = list(self.programs.values())
        for program in programs:
            with contextlib.suppress(psutil.NoSuchProcess):
                program.signal(signal.SIGCONT)
                if program.owned is not None:
                    program.signal(signal.SIGTERM)
        if up is not None:
            up.terminate()
            try:
                up.wait(STOP_S)
            except subprocess.TimeoutExpired:
                up.kill()
                up.wait()
        until = time.monotonic() + STOP_GRACE_S
        for program in programs:
            while program.running and time.monotonic() < until:
                time.sleep(POLL_S)
            program.kill()
            if program.owned is not None:
                program.owned.wait()
        self._close_alive()

    def _close_alive(self) -> None:
        if self._alive is not None:
            for descriptor in self._alive:
                os.close(descriptor)
            self._alive = None

    def logs(self) -> str:
        """The ends of all logs, for a person who wants to know why."""
        parts = []
        home: Path | None = getattr(self, "home", None)
        for path in sorted(home.rglob("*.log")) if home is not None else ():
            parts.append(f"--- end of {path.name}:\n{log_tail(path, 40)}")
        return "\n".join(parts)

    # -- where things are -------------------------------------------------------------------

    @property
    def dax(self) -> str:
        """The discovery endpoint."""
        assert self.entry["dax"] is not None
        return self.entry["dax"]

    @property
    def dynamodb(self) -> str:
        assert self.entry["dynamodb"]["endpoint"] is not None
        return self.entry["dynamodb"]["endpoint"]

    @property
    def node_ids(self) -> list[str]:
        return [node["id"] for node in self.entry["nodes"]]

    def node(self, node_id: str) -> NodeEntry:
        return next(node for node in self.entry["nodes"] if node["id"] == node_id)

    def address(self, node_id: str) -> tuple[str, int]:
        """Host and port of a node's DAX listener."""
        url = self.node(node_id)["dax"]
        assert url is not None
        host, _, port = url.removeprefix("dax://").rpartition(":")
        return host, int(port)

    @property
    def addresses(self) -> dict[str, tuple[str, int]]:
        return {node_id: self.address(node_id) for node_id in self.node_ids}

    def data_dir(self, node_id: str) -> Path:
        return Path(self.programs[node_id].environment["PACELINE_DATA_DIR"])

    # -- what it says of itself -------------------------------------------------------------

    def status(self, node_id: str) -> dict[str, Any] | None:
        """A node's ``/status``; None when it does not answer."""
        admin = self.node(node_id)["admin"]
        try:
            return dict(get_json(f"{admin}/status", STATUS_S))
        except Unavailable:
            return None

    def statuses(self) -> dict[str, dict[str, Any]]:
        found = {node_id: self.status(node_id) for node_id in self.node_ids}
        return {node_id: status for node_id, status in found.items() if status is not None}

    def counter(self, name: str) -> int:
        """The sum over all nodes of a counter under ``cache``, such as ``hits``."""
        return sum(int(status["cache"][name]) for status in self.statuses().values())

    def primary(self, timeout_s: float = PRIMARY_S) -> str:
        """The node that holds the lease, waiting for one."""
        found: list[str] = []

        def elected() -> bool:
            answers = self.statuses()
            newest = max((status["epoch"] for status in answers.values()), default=0)
            found[:] = [
                node_id
                for node_id, status in answers.items()
                if status["role"] == "primary" and status["epoch"] == newest
            ]
            return bool(found)

        wait_until(elected, "a node is primary", timeout_s)
        assert len(found) == 1, f"two nodes hold the lease of one epoch: {found}"
        return found[0]

    def replicas(self) -> list[str]:
        primary = self.primary()
        return [node_id for node_id in self.node_ids if node_id != primary]

    def found_anew(self) -> None:
        """Every node is killed and loses its disk: what starts again is another cluster on the
        same tables."""
        for node_id in self.node_ids:
            self.kill(node_id)
        for node_id in self.node_ids:
            shutil.rmtree(self.data_dir(node_id))
            self.data_dir(node_id).mkdir()
        for node_id in self.node_ids:
            self.start_again(node_id)
        for node_id in self.node_ids:
            self.wait_ready(node_id)
        self.wait_serving()

    def wait_ready(self, node_id: str, timeout_s: float = READY_S) -> None:
        admin = self.node(node_id)["admin"]
        wait_until(
            lambda: http_ok(f"{admin}/readyz", STATUS_S) is None, f"{node_id} is ready", timeout_s
        )

    def wait_serving(self, timeout_s: float = READY_S) -> None:
        """Every node may answer from its cache."""

        def all_serving() -> bool:
            answers = self.statuses()
            return len(answers) == len(self.node_ids) and all(
                status["serving"] for status in answers.values()
            )

        wait_until(all_serving, "every node may answer from its cache", timeout_s)

    # -- what is done to it -----------------------------------------------------------------

    def kill(self, name: str) -> None:
        """SIGKILL; returns when the process is gone. ``name``: a node's id or ``discovery``."""
        self.programs[name].kill()

    def pause(self, name: str) -> None:
        self.programs[name].signal(signal.SIGSTOP)

    def resume(self, name: str) -> None:
        self.programs[name].signal(signal.SIGCONT)

    def start_again(self, name: str) -> None:
        """Start a killed program on its old data and addresses, without waiting for it."""
        assert self._alive is not None
        self.programs[name].start_again(self._alive[0])

    def heal(self) -> None:
        """Continue and restart whatever a test left behind, and wait until all is well."""
        for program in self.programs.values():
            if program.running:
                program.signal(signal.SIGCONT)
            else:
                self.start_again(program.name)
        for node_id in self.node_ids:
            self.wait_ready(node_id)
        self.wait_serving()


class _PortConflict(Exception):
    """Another process took a port between the choice and the start."""


def skip_unless_startable() -> None:
    find_embedded()
    if not embedded.installed():
        pytest.skip(embedded.how_to_install())
