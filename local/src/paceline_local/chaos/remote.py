"""The cluster's side of the proxy process: its plan, its ports, and commands to it."""

import json
import secrets
import socket
import threading
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from paceline.errors import Unavailable
from paceline_local.chaos.faults import Faults
from paceline_local.chaos.layout import Detours, LinkSpec, links_of
from paceline_local.chaos.rules import Flow
from paceline_local.plan import ClusterPlan
from paceline_local.ports import LOOPBACK, NODES_MAX

COMMAND_S = 5.0
"""The time for a command. The process answers within milliseconds on a machine that is not
overwhelmed."""
_TLS_OFFSET = 1000
_SPAN = 200 + NODES_MAX


class ProxyProcess:
    """Files and commands of one proxy process; the process itself is the supervisor's."""

    def __init__(self, plan: ClusterPlan, directory: Path) -> None:
        self._links = links_of(plan)
        self._token = secrets.token_urlsafe(16)
        self._plan_file = directory / "chaos-plan.json"
        self._ready_file = directory / "chaos-ready.json"
        self._lock = threading.Lock()
        self._port = 0
        self._connection: socket.socket | None = None
        self.taken = taken_ports(plan)

    def prepare(self) -> list[str]:
        """Writes the plan, and returns the process's arguments."""
        self._ready_file.unlink(missing_ok=True)
        plan = {
            "token": self._token,
            "taken": sorted(self.taken),
            "links": [asdict(link) for link in self._links],
        }
        self._plan_file.touch(mode=0o600)
        self._plan_file.write_text(json.dumps(plan), encoding="utf-8")
        return [str(self._plan_file), str(self._ready_file)]

    def detours(self) -> Detours | None:
        """The proxies' addresses; None until the process has bound its ports."""
        try:
            ready = json.loads(self._ready_file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        self._port = ready["commands"]
        proxies: dict[LinkSpec, str] = {}
        for link, port in zip(self._links, ready["ports"], strict=True):
            proxies[link] = f"{LOOPBACK}:{port}"
        return Detours(proxies)

    def apply(self, faults: Mapping[Flow, Faults]) -> None:
        """Replace all faults; they are in effect on return. Unavailable if the process is not."""
        flows = [
            {"from": sender, "to": receiver, "channel": channel, "faults": one.to_json()}
            for (sender, receiver, channel), one in faults.items()
        ]
        self._command({"do": "apply", "flows": flows})

    def describe(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._command({"do": "describe"})["flows"]
        return found

    def close(self) -> None:
        with self._lock:
            self._disconnect()

    def _command(self, command: dict[str, Any]) -> dict[str, Any]:
        """Sends a command. Any may be repeated: it sets or tells a state."""
        line = json.dumps(command).encode() + b"\n"
        with self._lock:
            for attempt in (1, 2):
                try:
                    return self._exchange(line)
                except (OSError, ValueError) as error:
                    self._disconnect()
                    # It closes connections that were not used for a while.
                    if attempt == 2:
                        raise Unavailable(
                            f"the process that carries the links does not answer ({error}): "
                            "the cluster cannot go on without it, start it again"
                        ) from error
            raise AssertionError("unreachable")

    def _exchange(self, line: bytes) -> dict[str, Any]:
        if self._connection is None:
            connection = socket.create_connection((LOOPBACK, self._port), COMMAND_S)
            connection.settimeout(COMMAND_S)
            self._connection = connection
            line = self._token.encode() + b"\n" + line
        self._connection.sendall(line)
        answer = b""
        while not answer.endswith(b"\n"):
            data = self._connection.recv(64 * 1024)
            if not data:
                raise ConnectionResetError("it closed the connection")
            answer += data
        found: dict[str, Any] = json.loads(answer)
        return found

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def taken_ports(plan: ClusterPlan) -> frozenset[int]:
    """The ports that the plan binds or reserves. Free ones are chosen elsewhere."""
    base = plan.ports.base
    plain = range(base, base + _SPAN + 1)
    tls = range(base + _TLS_OFFSET, base + _TLS_OFFSET + _SPAN + 1)
    return frozenset([*plain, *tls, *(port for _, port in plan.wanted_ports())])
