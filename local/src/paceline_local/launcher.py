"""Starts, stops and restarts nodes for the control plane of a cluster on this machine.

Discovery asks over a unix socket in the cluster's directory, which only this user opens: a line of
JSON there, {"verb": "add", "node": "node-4", "zone": "a"}, and one back once it is done:
{"ok": true}, or {"error": "why not"}.
"""

import contextlib
import http.client
import json
import os
import shutil
import socketserver
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlencode

from paceline import clock
from paceline.errors import ConfigError, PacelineError, Unavailable
from paceline_local.admin_commands import send_command
from paceline_local.plan import ClusterPlan, NodePlan
from paceline_local.ports import NODES_MAX, check_free
from paceline_local.status import Status

SOCKET_NAME = "launcher.sock"
PATH_BYTES_MAX = 100
"""A longer one is no name of a unix socket, whose names end at 104 bytes on macOS."""
LINE_BYTES_MAX = 4096
READY_S = 60.0
COMMAND_S = 35.0
POLL_S = 0.1
DRAIN_S = 6.0
"""Official clients ask every four seconds who is there, and take a second for it."""
_NODE = "node-"


class Launched(Protocol):
    """A cluster whose nodes are started here."""

    plan: ClusterPlan

    @property
    def directory(self) -> Path: ...

    @property
    def can_grow(self) -> bool: ...

    def start_again(self, name: str) -> None: ...

    def stop_node(self, name: str) -> None: ...

    def start_more(self, node: NodePlan) -> None: ...

    def forget(self, name: str) -> None: ...

    def why_not_ready(self, name: str) -> str | None: ...

    def statuses(self) -> Mapping[str, Status | Unavailable]: ...


class Launcher:
    """Serves on a thread of its own until ``close``; one thing is done at a time."""

    def __init__(self, cluster: Launched, path: Path) -> None:
        self._cluster = cluster
        self.path = path
        self._one_at_a_time = threading.Lock()
        handler = type("Handler", (_Handler,), {"act": staticmethod(self._act)})
        with _private():
            self._server = _Server(str(path), handler)
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.05,), name="launcher", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        self.path.unlink(missing_ok=True)

    def _act(self, asked: Mapping[str, str]) -> None:
        verbs: Mapping[str, Callable[[str, str], None]] = {
            "restart": self._restart,
            "add": self._add,
            "remove": self._remove,
        }
        verb = verbs.get(asked.get("verb", ""))
        if verb is None:
            raise ConfigError(f"there is no {asked.get('verb')!r}: {', '.join(verbs)}")
        with self._one_at_a_time:
            verb(asked.get("node", ""), asked.get("zone", ""))

    def _restart(self, node: str, zone: str) -> None:
        if node not in {one.id for one in self._cluster.plan.nodes}:
            raise ConfigError(f"{node} is none of the nodes that were started here")
        self._drain(node)
        self._cluster.start_again(node)
        self._await_ready(node)

    def _add(self, node: str, zone: str) -> None:
        cluster = self._cluster
        self._check_may_grow()
        number = node.removeprefix(_NODE)
        if not number.isdecimal() or not 1 <= int(number) <= NODES_MAX or not zone:
            raise ConfigError(f"nodes are {_NODE}1 to {_NODE}{NODES_MAX}, each in a zone")
        made = NodePlan(node, zone, cluster.plan.ports.node(int(number)))
        if node in {one.id for one in cluster.plan.nodes}:
            raise ConfigError(f"{node} was started already")
        check_free([(f"{node}, {name}", port) for name, port in _ports(made, cluster.plan.tls)])
        # A node that was removed begins with an empty directory when it is added again.
        shutil.rmtree(cluster.directory / node, ignore_errors=True)
        self._command("add", {"id": node, "address": made.consensus})
        cluster.start_more(made)
        self._command("promote", {"id": node})
        self._await_ready(node)

    def _remove(self, node: str, zone: str) -> None:
        self._check_may_grow()
        nodes = {one.id for one in self._cluster.plan.nodes}
        if node not in nodes or len(nodes) == 1:
            raise ConfigError(f"{node} is none of several nodes that were started here")
        # Its clients and its lease go elsewhere first. Of two nodes, both have to be there to
        # decide that one is none any more.
        self._drain(node)
        if len(nodes) > 2:
            self._cluster.stop_node(node)
        self._command("remove", {"id": node})
        self._cluster.stop_node(node)
        self._cluster.forget(node)

    def _drain(self, node: str) -> None:
        """Gives clients the time to leave it. A node that takes no command has none."""
        if len(self._cluster.plan.nodes) == 1:
            return
        with contextlib.suppress(Unavailable):
            self._command("drain", {"id": node}, only=node)
            time.sleep(DRAIN_S)

    def _check_may_grow(self) -> None:
        if not self._cluster.can_grow:
            raise ConfigError(
                "with --data-dir or --chaos the nodes stay those that it was started with"
            )

    def _command(self, verb: str, query: Mapping[str, str], only: str = "") -> None:
        """Asks the other nodes in turn until one was reached, or that one alone."""
        problem: PacelineError = Unavailable("no node answers")
        for admin, status in self._cluster.statuses().items():
            if not isinstance(status, dict):
                continue
            if status.get("id") != only if only else status.get("id") == query["id"]:
                continue
            target = f"members/{verb}?{urlencode(query)}"
            try:
                code, body = send_command(admin, status, target, timeout_s=COMMAND_S)
            except Unavailable as error:
                problem = error
                continue
            if code != http.client.OK:
                raise Unavailable(f"{admin} answered {code}: {body[:200].decode(errors='replace')}")
            return
        raise problem

    def _await_ready(self, node: str) -> None:
        until = clock.now() + READY_S
        while (reason := self._cluster.why_not_ready(node)) is not None:
            if clock.now() >= until:
                raise Unavailable(f"{node} is not ready after {READY_S:g} s: {reason}")
            time.sleep(POLL_S)


def launcher_of(cluster: Launched) -> Launcher | None:
    """None where no socket can be: the control plane then starts and stops nothing."""
    path = cluster.directory / SOCKET_NAME
    if len(os.fsencode(path)) > PATH_BYTES_MAX:
        return None
    path.unlink(missing_ok=True)
    return Launcher(cluster, path)


class _Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True


class _Handler(socketserver.StreamRequestHandler):
    act: Callable[[Mapping[str, str]], None]
    timeout = 10.0
    """For the line; what is done then takes its time."""

    def handle(self) -> None:
        with contextlib.suppress(OSError):  # who has asked is gone
            line = self.rfile.readline(LINE_BYTES_MAX)
            self.wfile.write(json.dumps(self._answer(line)).encode() + b"\n")

    def _answer(self, line: bytes) -> Mapping[str, Any]:
        try:
            asked = json.loads(line)
            if not isinstance(asked, dict):
                raise ConfigError("a line is a JSON object")
            self.act({str(name): str(value) for name, value in asked.items()})
        except (PacelineError, OSError, ValueError, RuntimeError) as error:
            # RuntimeError: the cluster is stopping, or somebody else started the same program.
            return {"error": str(error)}
        return {"ok": True}


def _ports(node: NodePlan, tls: bool) -> list[tuple[str, int]]:
    ports = node.ports
    plain = [
        ("DAX", ports.dax),
        ("HTTP", ports.http),
        ("gRPC", ports.grpc),
        ("members", ports.consensus),
        ("admin", ports.admin),
    ]
    secure = [("DAX, TLS", ports.dax_tls), ("HTTPS", ports.https), ("gRPC, TLS", ports.grpc_tls)]
    return plain + (secure if tls else [])


@contextlib.contextmanager
def _private() -> Any:
    """What is made meanwhile is this user's alone."""
    before = os.umask(0o177)
    try:
        yield
    finally:
        os.umask(before)
