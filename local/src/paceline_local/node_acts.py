"""What the control plane may have done to the nodes of a cluster on this machine: whether it can be
done, and how."""

import contextlib
import http.client
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import urlencode

from paceline import clock
from paceline.errors import ConfigError, PacelineError, Unavailable
from paceline_local.admin_commands import send_command
from paceline_local.plan import ClusterPlan, NodePlan, is_zone
from paceline_local.ports import NODES_MAX, check_free
from paceline_local.status import Status

READY_S = 60.0
COMMAND_S = 35.0
POLL_S = 0.1
DRAIN_S = 6.0
"""Official clients ask every four seconds who is there, and take a second for it."""
NODE = "node-"
_SHOWN_MAX = 64


@dataclass(frozen=True, slots=True)
class NodeAct:
    """``verb``: restart, add or remove. ``zone``: of a node that is added. All as somebody has
    asked for it: ``check`` says whether there is such a thing."""

    verb: str
    node: str
    zone: str = ""


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


class NodeActs:
    def __init__(self, cluster: Launched) -> None:
        self._cluster = cluster

    def check(self, acts: Sequence[NodeAct]) -> None:
        """ConfigError: they cannot be done one after the other, as things are now."""
        nodes = {one.id for one in self._cluster.plan.nodes}
        for act in acts:
            if act.verb == "restart":
                if act.node not in nodes:
                    raise ConfigError(f"{_shown(act.node)} is none of the nodes that run here")
            elif act.verb == "add":
                self._check_add(act, nodes)
                nodes.add(act.node)
            elif act.verb == "remove":
                self._check_may_grow()
                if act.node not in nodes or len(nodes) == 1:
                    raise ConfigError(f"{_shown(act.node)} is none of several nodes that run here")
                nodes.remove(act.node)
            else:
                raise ConfigError(f"there is no {_shown(act.verb)!r}: restart, add, remove")

    def do(self, act: NodeAct) -> None:
        """What ``check`` has admitted. PacelineError, RuntimeError (the cluster is stopping)."""
        if act.verb == "restart":
            self._restart(act.node)
        elif act.verb == "add":
            self._add(self._planned(act))
        else:
            self._remove(act.node)

    def _check_add(self, act: NodeAct, nodes: set[str]) -> None:
        self._check_may_grow()
        if act.node not in {f"{NODE}{number}" for number in range(1, NODES_MAX + 1)}:
            raise ConfigError(f"nodes are {NODE}1 to {NODE}{NODES_MAX}")
        if not is_zone(act.zone):
            raise ConfigError(f"{_shown(act.zone)!r} is no zone's name")
        if act.node in nodes:
            raise ConfigError(f"{act.node} was started already")
        wanted = self._planned(act).wanted_ports(tls=self._cluster.plan.tls)
        check_free(
            [(f"{act.node}, {name}", port) for name, port in wanted], self._cluster.plan.host
        )

    def _planned(self, act: NodeAct) -> NodePlan:
        number = int(act.node.removeprefix(NODE))
        plan = self._cluster.plan
        return NodePlan(act.node, act.zone, plan.ports.node(number), plan.host)

    def _check_may_grow(self) -> None:
        if not self._cluster.can_grow:
            raise ConfigError(
                "with --data-dir or --chaos the nodes stay those that it was started with"
            )

    def _restart(self, node: str) -> None:
        self._drain(node)
        self._cluster.start_again(node)
        self._await_ready(node)

    def _add(self, made: NodePlan) -> None:
        cluster = self._cluster
        # A node that was removed begins with an empty directory when it is added again.
        shutil.rmtree(cluster.directory / made.id, ignore_errors=True)
        self._command("add", {"id": made.id, "address": made.consensus})
        cluster.start_more(made)
        self._command("promote", {"id": made.id})
        self._await_ready(made.id)

    def _remove(self, node: str) -> None:
        # Its clients and its lease go elsewhere first. Of two nodes, both have to be there to
        # decide that one is none any more.
        self._drain(node)
        if len(self._cluster.plan.nodes) > 2:
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


def _shown(text: str) -> str:
    return text[:_SHOWN_MAX]
