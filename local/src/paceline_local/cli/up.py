"""``paceline up``: a cluster on this machine until somebody stops it."""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from paceline import clock
from paceline.errors import ConfigError
from paceline_local.certificates import TlsFiles, given
from paceline_local.chaos.layout import DISCOVERY, DYNAMODB
from paceline_local.chaos.running import CHAOS
from paceline_local.cli.output import console, endpoints_table, further_lines
from paceline_local.cluster import PlannedCluster
from paceline_local.environment import asks_who
from paceline_local.plan import REGION_DEFAULT, ClusterPlan, make_plan
from paceline_local.ports import check_free
from paceline_local.programs import Programs, find_embedded
from paceline_local.ready_file import (
    ClusterEntry,
    NodeEntry,
    clear_ready_file,
    registry_path,
    remove_ready_file,
    write_ready_file,
    write_registry,
)
from paceline_local.starting import Cancelled
from paceline_local.stop_request import StopRequest
from paceline_local.supervisor import Exit, log_tail

WATCH_S = 0.2
"""The interval at which children are checked."""
ROLES_S = 1.0
"""How old roles and epoch in the ready file may be; each look costs every node about a
millisecond."""
RESTART_AFTER_S = 1.0
"""A node that dies at once again and again must not take a processor with it."""


@dataclass(frozen=True, slots=True)
class UpOptions:
    nodes: int = 3
    zones: str | None = None
    base_port: int = 8000
    dynamodb: str = "embedded"
    region: str | None = None
    data_dir: Path | None = None
    ready_file: Path | None = None
    primary_lease_s: float | None = None
    demo: bool | None = None
    restart: bool = False
    chaos: bool = False
    tls: bool = False
    tls_cert: Path | None = None
    tls_key: Path | None = None


def plan_of(options: UpOptions, environ: Mapping[str, str]) -> ClusterPlan:
    """Makes the plan; ConfigError says which option does not fit."""
    region = options.region
    if region is None and options.dynamodb != "embedded":
        region = environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION")
    zones = options.zones
    return make_plan(
        nodes=options.nodes,
        zones=None if zones is None else [zone.strip() for zone in zones.split(",")],
        base_port=options.base_port,
        dynamodb=options.dynamodb,
        region=region or REGION_DEFAULT,
        primary_lease_s=options.primary_lease_s,
        aws_credentials_present=any(
            environ.get(name) for name in ("AWS_ACCESS_KEY_ID", "AWS_PROFILE")
        ),
        tls=options.tls or options.tls_cert is not None,
    )


def certificate_of(options: UpOptions) -> TlsFiles | None:
    """The certificate that was given; None to make one. ConfigError."""
    if options.tls_cert is not None:
        return given(options.tls_cert, options.tls_key)
    if options.tls_key is not None:
        raise ConfigError("--tls-key belongs to a certificate: name that with --tls-cert")
    return None


def run(options: UpOptions, programs: Programs | None = None) -> int:
    """Starts, tells where everything is, waits for a stop request, stops. Returns the exit code."""
    stop = StopRequest()
    stop.listen()
    plan = plan_of(options, os.environ)
    if options.ready_file is not None:
        # Before an old file is cleared: it may be that of the cluster that holds the ports.
        check_free(plan.wanted_ports())
        clear_ready_file(options.ready_file)
    if plan.dynamodb.kind == "embedded":
        find_embedded()
    out = console()
    begun = clock.now()
    cluster = PlannedCluster(
        plan,
        data_dir=options.data_dir,
        demo_table=plan.dynamodb.kind == "embedded" if options.demo is None else options.demo,
        chaos=options.chaos,
        tls=certificate_of(options),
        programs=programs,
        progress=lambda step: out.print(f"{step} …"),
        cancelled=lambda: stop.requested,
        hurry=lambda: stop.urgent,
    )
    try:
        cluster.start()
    except Cancelled:
        out.print("stopped during the start; nothing is left running")
        return 0
    try:
        watch = _Watch(cluster, options, out)
        watch.publish()
        out.print(endpoints_table(watch.entry))
        out.print(f"logs: {cluster.directory / 'logs'}")
        if len(plan.nodes) == 2:
            out.print("two nodes cannot fail over: when one is lost, writes wait for its return")
        if asks_who(os.environ):
            out.print("clients have to sign: 'paceline principal add NAME' gives a key")
        _tell_tls(watch.entry, out)
        if options.chaos:
            out.print("chaos: 'paceline chaos --help' tells what can be made to fail")
        took_s = clock.now() - begun
        out.print(f"ready in {took_s:.1f} s: {watch.entry['dax']} (Ctrl-C stops everything)")
        while not stop.wait(WATCH_S):
            watch.look()
        out.print("stopping …")
    finally:
        if options.ready_file is not None:
            remove_ready_file(options.ready_file)
        remove_ready_file(registry_path(plan.ports.base))
        killed = cluster.stop()
    if killed:
        out.print(f"killed, since they did not stop in time: {', '.join(killed)}")
    out.print("stopped")
    return 0


def _tell_tls(entry: ClusterEntry, out: Console) -> None:
    dax = entry.get("dax_tls")
    if not dax:
        return
    https = ", ".join(str(node.get("https")) for node in entry["nodes"])
    out.print(f"with TLS: {dax}, {https}, gRPC at ports 1000 higher")
    if ca := entry.get("ca"):
        out.print(f"to be trusted by clients: {ca}", soft_wrap=True)


class _Watch:
    """Keeps the ready file true and tells what happens to children."""

    def __init__(self, cluster: PlannedCluster, options: UpOptions, out: Console) -> None:
        self._cluster = cluster
        self._options = options
        self._out = out
        self._restarts: dict[str, float] = {}
        self._next_roles = 0.0
        self.entry: ClusterEntry = cluster.entry()

    def publish(self) -> None:
        if self._options.ready_file is not None:
            write_ready_file(self._options.ready_file, self.entry)
        write_registry(self._cluster.plan.ports.base, self.entry)

    def look(self) -> None:
        """One round: deaths, restarts, and now and then the roles."""
        now = clock.now()
        for event in self._cluster.take_chaos_events():
            self._out.print(f"chaos: {event}")
            self._next_roles = now
        for exit in self._cluster.take_exits():
            self._tell(exit)
            if self._is_restarted(exit.name):
                self._restarts[exit.name] = now + RESTART_AFTER_S
            self._next_roles = now
        for name, due in list(self._restarts.items()):
            if due <= now:
                del self._restarts[name]
                done = self._cluster.start_if_ended(name)
                if done is None:
                    self._restarts[name] = now + RESTART_AFTER_S
                elif done:
                    self._out.print(f"{name} was started again")
        if now >= self._next_roles:
            self._next_roles = now + ROLES_S
            self._update(self._cluster.entry())

    def _is_restarted(self, name: str) -> bool:
        """Nodes, where that is wanted; and the discovery of a further cluster, which nobody who has
        made it by the control plane could start again."""
        cluster, _, program = name.rpartition("/")
        if program in (DISCOVERY, DYNAMODB, CHAOS):
            return bool(cluster)
        return self._options.restart

    def _update(self, seen: ClusterEntry) -> None:
        """A node that runs but did not answer in time keeps the role it had; of two primaries,
        the silent one is not it any more."""
        answered = any(node["role"] == "primary" for node in seen["nodes"])
        before = {node["id"]: node["role"] for node in self.entry["nodes"]}
        nodes: list[NodeEntry] = []
        for node in seen["nodes"]:
            role = node["role"]
            if role is None and self._cluster.running(node["id"]):
                role = before.get(node["id"])
                if role == "primary" and answered:
                    role = "replica"
            nodes.append({**node, "role": role})
        entry: ClusterEntry = {**seen, "nodes": nodes}
        entry["epoch"] = max(entry["epoch"], self.entry["epoch"])
        if entry == self.entry:
            return
        if entry["epoch"] != self.entry["epoch"]:
            primary = next((n["id"] for n in nodes if n["role"] == "primary"), "nobody")
            self._out.print(f"epoch {entry['epoch']}: {primary} is primary")
        before_lines = further_lines(self.entry)
        for line in further_lines(entry):
            if line not in before_lines:
                self._out.print(line)
        self.entry = entry
        self.publish()

    def _tell(self, exit: Exit) -> None:
        tail = log_tail(exit.log_path)
        sys.stderr.write(f"paceline: {exit.describe()}; the others go on. Log: {exit.log_path}\n")
        if tail:
            sys.stderr.write("".join(f"    {line}\n" for line in tail.splitlines()))
        sys.stderr.flush()
