"""The compose file's services as Docker runs them: one project, on host ports of its own.

Everything goes through the ``docker`` command, as it does for users: Compose has no other
interface.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.support.compose_access import Access, fetched
from tests.support.local import free_base_port
from tests.support.waiting import wait_until

ROOT = Path(__file__).parents[2]
IMAGE = "paceline:docker-test"
NODES = ("node-1", "node-2", "node-3")
PROGRAMS = (*NODES, "discovery-1", "discovery-2", "dynamodb")
COMMAND_S = 120.0
BUILD_S = 1200.0
"""A first build downloads every dependency."""
UP_S = 180.0


def missing() -> str | None:
    """Why Docker cannot be used here; None if it can."""
    if shutil.which("docker") is None:
        return "the docker command is not installed"
    for words in (["info"], ["compose", "version"], ["buildx", "version"]):
        try:
            done = subprocess.run(
                ["docker", *words], capture_output=True, text=True, timeout=30, check=False
            )
        except subprocess.TimeoutExpired:
            return f"`docker {' '.join(words)}` did not answer within 30 s"
        if done.returncode:
            return f"`docker {' '.join(words)}` failed: {done.stderr.strip()[-300:]}"
    return None


def docker(*words: str, timeout_s: float = COMMAND_S, environment: Any = None) -> str:
    """Standard output; an AssertionError with standard error if the command fails."""
    done = subprocess.run(
        ["docker", *words],
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, f"docker {' '.join(words)}: {done.stderr[-3000:]}"
    return done.stdout


class Stack:
    """One Compose project."""

    def __init__(self) -> None:
        self.project = f"paceline-test-{os.getpid()}"
        base = free_base_port()
        names = ["DYNAMODB", "DISCOVERY_1", "DISCOVERY_2", "STS_1", "STS_2"]
        names += [f"{kind}_{number}" for kind in ("NODE", "HTTP", "GRPC") for number in (1, 2, 3)]
        self._ports = {name: base + number for number, name in enumerate(names)}
        self._environment = {
            **os.environ,
            "COMPOSE_PROJECT_NAME": self.project,
            "COMPOSE_PROFILES": "embedded",
            "PACELINE_IMAGE": IMAGE,
            **{f"PACELINE_HOST_PORT_{name}": str(port) for name, port in self._ports.items()},
        }

    @property
    def network(self) -> str:
        return f"{self.project}_default"

    @property
    def dynamodb(self) -> str:
        return f"http://127.0.0.1:{self._ports['DYNAMODB']}"

    @property
    def discovery(self) -> tuple[str, ...]:
        """For clients on the host."""
        return tuple(
            f"daxs://127.0.0.1:{self._ports[name]}" for name in ("DISCOVERY_1", "DISCOVERY_2")
        )

    def http(self, node: str) -> str:
        return f"https://127.0.0.1:{self._ports[f'HTTP_{node[-1]}']}"

    @property
    def sts(self) -> str:
        return f"https://127.0.0.1:{self._ports['STS_1']}"

    def access(self, directory: Path) -> Access:
        """As it is now: another one after the volumes went."""
        return fetched(lambda service, command: self.execute(service, *command), directory)

    def compose(self, *words: str, timeout_s: float = COMMAND_S) -> str:
        return docker("compose", *words, timeout_s=timeout_s, environment=self._environment)

    def up(self) -> float:
        """Seconds until every service is healthy."""
        begun = time.monotonic()
        try:
            self.compose("up", "--detach", "--wait", timeout_s=UP_S)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.logs()}") from None
        return time.monotonic() - begun

    def down(self, *, volumes: bool) -> None:
        self.compose("down", "--timeout", "30", *(["--volumes"] if volumes else []))

    def container(self, service: str) -> str:
        return self.compose("ps", "--all", "--quiet", service).strip()

    def inspect(self, service: str) -> Mapping[str, Any]:
        (found,) = json.loads(docker("inspect", self.container(service)))
        return dict(found)

    def execute(self, service: str, *command: str) -> str:
        return self.compose("exec", "--no-TTY", service, *command)

    def logs(self) -> str:
        return self.compose("logs", "--no-color", "--tail", "40")

    def is_healthy(self, service: str) -> bool:
        state = self.inspect(service)["State"]
        return bool(state["Running"] and state.get("Health", {}).get("Status") == "healthy")

    def wait_healthy(self, services: Sequence[str] = PROGRAMS, timeout_s: float = 90.0) -> float:
        return wait_until(
            lambda: all(self.is_healthy(service) for service in services),
            f"{', '.join(services)} healthy",
            timeout_s,
        )

    def status(self, node: str) -> dict[str, Any]:
        """What the cluster says of itself, as ``node`` sees it."""
        words = ("paceline", "status", "--output", "json", "--admin", f"http://{node}:8201")
        return dict(json.loads(self.execute(node, *words)))

    def primary(self, asked: str = "node-1") -> str | None:
        nodes = self.status(asked)["nodes"]
        return next((n["id"] for n in nodes if n["role"] == "primary"), None)

    def python_inside(self, code: str) -> str:
        """Runs ``code`` in a container of its own in the cluster's network, with the volume that is
        for clients."""
        return docker(
            "run",
            "--rm",
            f"--network={self.network}",
            "--entrypoint=/opt/paceline/bin/python",
            "--read-only",
            f"--volume={self.project}_clients:/run/paceline-clients:ro",
            "--env=AWS_SHARED_CREDENTIALS_FILE=/run/paceline-clients/credentials",
            "--env=AWS_CA_BUNDLE=/run/paceline-clients/ca.pem",
            # Any user: an application's image has one of its own.
            "--user=4711:4711",
            IMAGE,
            "-c",
            code,
        )
