"""Starts, stops and restarts nodes, and further clusters, for the control plane of a cluster on
this machine.

Discovery asks over a unix socket in the cluster's directory, which only this user opens: a line of
JSON there, {"verb": "add", "node": "node-4", "zone": "a"}, and one back once it is done:
{"ok": true}, or {"error": "why not"}. {"verb": "check", "acts": [...]}, with several of such lines,
does nothing, and is answered by whether they could be done now, one after the other.

With "cluster" it is about a further cluster; without, about the home cluster. Further clusters are
started by {"verb": "start", "cluster": "second", "id": "0123456789abcdef", "nodes": [["node-1",
"a"]], "cache_bytes": 268435456, "secret": "..."}, stopped for good by "end", and told by "list".
"""

import contextlib
import json
import os
import socketserver
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from paceline.errors import ConfigError, PacelineError
from paceline_local.further import FurtherClusters
from paceline_local.further_plan import name_of, spec_of
from paceline_local.node_acts import Launched, NodeAct, NodeActs

SOCKET_NAME = "launcher.sock"
PATH_BYTES_MAX = 100
"""A longer one is no name of a unix socket, whose names end at 104 bytes on macOS."""
LINE_BYTES_MAX = 64 * 1024
ACTS_MAX = 32

Line = Mapping[str, Any]


class Launcher:
    """Serves on a thread of its own until ``close``; one thing is done to a cluster at a time."""

    def __init__(self, cluster: Launched, path: Path, further: FurtherClusters) -> None:
        self._nodes = NodeActs(cluster)
        self._further = further
        self.path = path
        self._one_at_a_time = threading.Lock()
        """Of the home cluster."""
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

    def _act(self, asked: Line) -> Mapping[str, Any]:
        """What there is to tell besides that it was done."""
        verb = asked.get("verb")
        if verb == "check":
            # Whoever asks is not kept waiting by what is being done.
            self._check(_lines(asked))
        elif verb == "list":
            return {"clusters": self._further.told()}
        elif verb == "start":
            return {"cluster": self._further.start(spec_of(asked))}
        elif verb == "end":
            self._further.end(name_of(asked))
        else:
            self._act_on_node(asked)
        return {}

    def _act_on_node(self, asked: Line) -> None:
        act = _node_act(asked)
        if asked.get("cluster"):
            with self._further.nodes(name_of(asked)) as nodes:
                nodes.check([act])
                nodes.do(act)
            return
        with self._one_at_a_time:
            self._nodes.check([act])
            self._nodes.do(act)

    def _check(self, lines: list[Line]) -> None:
        on_nodes: dict[str, list[NodeAct]] = {}
        for line in lines:
            if line.get("verb") == "start":
                self._further.check(spec_of(line))
            elif line.get("verb") == "end":
                name_of(line)
            else:
                name = name_of(line) if line.get("cluster") else ""
                on_nodes.setdefault(name, []).append(_node_act(line))
        for name, acts in on_nodes.items():
            nodes = self._further.unlocked_nodes(name) if name else self._nodes
            nodes.check(acts)


def _lines(asked: Line) -> list[Line]:
    acts = asked.get("acts")
    if not isinstance(acts, list) or not 1 <= len(acts) <= ACTS_MAX:
        raise ConfigError(f"acts are a list of 1 to {ACTS_MAX} objects")
    if not all(isinstance(one, dict) for one in acts):
        raise ConfigError("an act is a JSON object")
    return acts


def _node_act(asked: Line) -> NodeAct:
    verb, node, zone = (asked.get(name, "") for name in ("verb", "node", "zone"))
    if not all(isinstance(one, str) for one in (verb, node, zone)):
        raise ConfigError("verb, node and zone are texts")
    return NodeAct(verb, node, zone)


def launcher_of(cluster: Launched, further: FurtherClusters) -> Launcher | None:
    """None where no socket can be: the control plane then starts and stops nothing."""
    path = cluster.directory / SOCKET_NAME
    if len(os.fsencode(path)) > PATH_BYTES_MAX:
        return None
    path.unlink(missing_ok=True)
    return Launcher(cluster, path, further)


class _Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True


class _Handler(socketserver.StreamRequestHandler):
    act: Callable[[Line], Mapping[str, Any]]
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
            told = self.act(asked)
        except (PacelineError, OSError, ValueError, RecursionError, RuntimeError) as error:
            # RuntimeError: the cluster is stopping, or somebody else started the same program.
            return {"error": str(error)}
        return {"ok": True, **told}


@contextlib.contextmanager
def _private() -> Any:
    """What is made meanwhile is this user's alone."""
    before = os.umask(0o177)
    try:
        yield
    finally:
        os.umask(before)
