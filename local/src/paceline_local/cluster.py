"""A whole cluster on this machine: nodes, discovery and an embedded DynamoDB as child processes."""

import signal
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

from paceline import clock
from paceline.errors import ConfigError, Unavailable
from paceline_local import certificates, demo
from paceline_local.chaos.client import Chaos
from paceline_local.chaos.layout import DISCOVERY, DYNAMODB, Detours
from paceline_local.chaos.running import CHAOS, RunningChaos
from paceline_local.data_dir import ClusterDir
from paceline_local.embedded import HOST as DYNAMODB_HOST
from paceline_local.environment import (
    STOP_GRACE_S,
    base_environment,
    discovery_environment,
    node_environment,
)
from paceline_local.further import FurtherClusters
from paceline_local.launcher import Launcher, launcher_of
from paceline_local.plan import ClusterPlan, NodePlan
from paceline_local.ports import check_free
from paceline_local.probes import AsksWho, dax_roster_size, grpc_problem, http_ok
from paceline_local.programs import Programs, installed_programs
from paceline_local.ready_file import ClusterEntry, entry_of, further_entries
from paceline_local.starting import START_S, Probe, await_ready
from paceline_local.status import Status, fetch_statuses, with_roles
from paceline_local.supervisor import Child, Exit, Supervisor

STOP_S = STOP_GRACE_S + 2.0
"""The time to stop: a program's own grace and a moment more; then SIGKILL."""
PROBE_S = 0.5


class PlannedCluster:
    """The processes of one plan, started and stopped together.

    Used by ``paceline up`` and by tests: ``with PlannedCluster(make_plan()) as cluster``. Nothing
    is started unless every port is free; a start that fails leaves nothing running. Once it runs,
    a child that dies does not take the others with it: ``take_exits`` tells.
    """

    def __init__(
        self,
        plan: ClusterPlan,
        *,
        data_dir: Path | None = None,
        demo_table: bool = False,
        chaos: bool = False,
        tls: certificates.TlsFiles | None = None,
        environ: Mapping[str, str] | None = None,
        programs: Programs | None = None,
        progress: Callable[[str], None] = lambda step: None,
        cancelled: Callable[[], bool] = lambda: False,
        hurry: Callable[[], bool] = lambda: False,
        within: Path | None = None,
    ) -> None:
        """``chaos``: links go through proxies, and ``PlannedCluster.chaos`` commands faults.

        ``tls``: the certificate to show where the plan has TLS; by default one is made.

        ``environ``: what children inherit, the process's own environment by default.

        ``cancelled`` makes a start give up (Cancelled), ``hurry`` makes a stop kill at once.

        ``within``: its directory, of a further cluster, which has its secret there already and is
        removed by who made it; nodes of such a one are started by the home cluster's launcher.
        """
        self.plan = plan
        self._wanted_dir = data_dir
        self._demo_table = demo_table
        self._chaos_wanted = chaos
        self._given_tls = tls
        self._tls: certificates.TlsFiles | None = None
        self._environ = environ
        self._programs = programs
        self._progress = progress
        self._cancelled = cancelled
        self._hurry = hurry
        self._within = within
        self._directory: ClusterDir | None = None
        self._untouched_file: Path | None = None
        """Only with an embedded DynamoDB, which was started here for this cluster alone."""
        self._supervisor: Supervisor | None = None
        self._chaos: RunningChaos | None = None
        self._launcher: Launcher | None = None
        self._further: FurtherClusters | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def directory(self) -> Path:
        """The directory of data and logs while the cluster runs."""
        return self._running_directory().path

    def child(self, name: str) -> Child:
        """The process of a node, of ``dynamodb`` or of ``discovery``."""
        return self._running_supervisor().children[name]

    @property
    def chaos(self) -> Chaos:
        """Commands faults: kill, pause, part, slow down. ConfigError unless ``chaos`` was asked
        for."""
        if not self._chaos_wanted:
            raise ConfigError("this cluster was made without chaos: LocalCluster(plan, chaos=True)")
        if self._chaos is None:
            raise RuntimeError("the cluster is not running")
        return self._chaos.client

    def take_chaos_events(self) -> list[str]:
        """What was done by chaos commands since the last call, for a person."""
        return [] if self._chaos is None else self._chaos.take_events()

    def start(self) -> None:
        """Start everything and return when it is ready for clients.

        ConfigError (ports, directories, settings) or ChildFailed; then nothing is left running.
        """
        programs = self._programs or installed_programs()
        if self.plan.dynamodb.kind == "url":
            demo.check_endpoint(self.plan.dynamodb.endpoint, self.plan.region)
        check_free(self.plan.wanted_ports(), self.plan.host)
        try:
            self._open()
            if self.plan.dynamodb.kind == "embedded":
                self._start_dynamodb(programs)
            if self._chaos_wanted:
                self._start_proxies(programs)
            self._open_launcher(programs)
            self._start_servers(programs)
            if self._chaos is not None:
                self._chaos.serve()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> list[str]:
        """Stop every child, the DynamoDB last; the names of those that had to be killed."""
        chaos, self._chaos = self._chaos, None
        if chaos is not None:
            chaos.close()
        if self._launcher is not None:
            self._launcher.close()
            self._launcher = None
        further, self._further = self._further, None
        killed: list[str] = [] if further is None else further.close()
        supervisor, self._supervisor = self._supervisor, None
        directory, self._directory = self._directory, None
        if supervisor is not None:
            with supervisor:
                last = (CHAOS, DYNAMODB)
                servers = [name for name in supervisor.children if name not in last]
                killed += supervisor.stop(servers, STOP_S, self._hurry)
                # Last: writes that the nodes have on the way still land, and are saved.
                for name in last:
                    killed += supervisor.stop([name], STOP_S, self._hurry)
        if directory is not None:
            directory.close()
        return killed

    def take_exits(self) -> list[Exit]:
        """Children that ended by themselves or by another's hand since the last call; none of a
        cluster that another thread has begun to stop."""
        further = [] if self._further is None else self._further.take_exits()
        supervisor = self._supervisor
        return [*([] if supervisor is None else supervisor.take_exits()), *further]

    def restart(self, name: str, *, wait: bool = True) -> None:
        """Start a node, or discovery, that has ended once more, on its data and ports; wait until
        it is ready."""
        programs = self._programs or installed_programs()
        if name == DISCOVERY:
            self._start_discovery(programs)
            probe: Probe = self._discovery_probe
        else:
            node = self._node(name)
            self._start_node(node, programs)
            probe = self._node_probe(node)
        if wait:
            self._await_ready({name: probe}, clock.now() + START_S)

    def start_if_ended(self, name: str) -> bool | None:
        """Starts a program that has ended once more, ``CLUSTER/PROGRAM`` of a further cluster.
        False: it runs, or there is no such program any more. None: its cluster is being changed."""
        cluster, _, program = name.rpartition("/")
        if cluster:
            return self._further is not None and self._further.start_if_ended(cluster, program)
        known = {DISCOVERY, *(node.id for node in self.plan.nodes)}
        if name not in known or self.running(name):
            return False
        self.restart(name, wait=False)
        return True

    # What chaos does to single programs, on threads of its own.

    def running(self, name: str) -> bool:
        child = self._running_supervisor().children.get(name)
        return child is not None and child.running

    def pid(self, name: str) -> int:
        return self.child(name).pid

    def kill(self, name: str) -> None:
        """Sends SIGKILL. On return the program is gone, and ``take_exits`` does not tell of it."""
        self._running_supervisor().kill(name)

    def pause(self, name: str) -> None:
        self.child(name).signal(signal.SIGSTOP)

    def resume(self, name: str) -> None:
        self.child(name).signal(signal.SIGCONT)

    def start_again(self, name: str) -> None:
        """Stops the program if it runs, and starts it; does not wait for readiness."""
        self._running_supervisor().stop([name], STOP_S)
        self.restart(name, wait=False)

    # What the control plane has done to nodes, on threads of the launcher's.
    @property
    def can_grow(self) -> bool:
        """A directory that is kept has the nodes it was made with, and proxies have theirs. The
        nodes of a further cluster are in the control plane's records."""
        if self._within is not None:
            return True
        return self._running_directory().temporary and self._chaos is None

    def stop_node(self, name: str) -> None:
        self._running_supervisor().stop([name], STOP_S)

    def start_more(self, node: NodePlan) -> None:
        nodes = (*self.plan.nodes, node)
        self._start_node(node, self._programs or installed_programs(), peers=nodes)
        self.plan = replace(self.plan, nodes=nodes)

    def forget(self, name: str) -> None:
        left = tuple(node for node in self.plan.nodes if node.id != name)
        self.plan = replace(self.plan, nodes=left)

    def why_not_ready(self, name: str) -> str | None:
        """Why the program is not ready; None when it is."""
        if name == DISCOVERY:
            return self._discovery_probe(whole=False)
        return self._node_probe(self._node(name))()

    def roles(self) -> dict[str, tuple[str, int]]:
        """(role, epoch) by node, as each that answers says of itself."""
        statuses = self.statuses()
        found = {}
        for node in self.plan.nodes:
            status = statuses[node.admin]
            if isinstance(status, dict):
                found[node.id] = (str(status.get("role")), int(status.get("epoch") or 0))
        return found

    def statuses(self) -> dict[str, Status | Unavailable]:
        """``/status`` of every node, by admin URL."""
        return fetch_statuses([node.admin for node in self.plan.nodes], PROBE_S)

    def entry(self) -> ClusterEntry:
        """Every endpoint and pid, with roles and epoch as they are now."""
        children = self._running_supervisor().children
        base = entry_of(self.plan, {name: child.pid for name, child in children.items()}, self._tls)
        if self._chaos is not None:
            base["chaos"] = {"url": self._chaos.client.url, "pid": children[CHAOS].pid}
        base["further"] = further_entries({} if self._further is None else self._further.told())
        return with_roles(base, self.statuses())

    def _open(self) -> None:
        self._untouched_file = None
        if self._within is not None:
            self._directory = ClusterDir(self._within, temporary=False, new=False, lock=None)
        elif self._wanted_dir is None:
            self._directory = ClusterDir.open_temporary()
        else:
            self._directory = ClusterDir.open(self._wanted_dir, self.plan)
        self._supervisor = Supervisor(self._directory.logs)
        if self._directory.temporary:
            self._supervisor.remove_at_death(self._directory.path)
        if self.plan.tls:
            self._tls = self._given_tls or certificates.development_files(self._directory.tls)

    def _open_launcher(self, programs: Programs) -> None:
        if self._within is not None:
            return

        def further(
            plan: ClusterPlan,
            directory: Path,
            tls: certificates.TlsFiles | None,
            cancelled: Callable[[], bool],
        ) -> PlannedCluster:
            return PlannedCluster(
                plan,
                tls=tls,
                environ=self._environ,
                programs=programs,
                cancelled=cancelled,
                hurry=self._hurry,
                within=directory,
            )

        self._further = FurtherClusters(self.plan, self.directory, self._tls, further)
        self._launcher = launcher_of(self, self._further)

    def _start_dynamodb(self, programs: Programs) -> None:
        self._progress("starting the embedded DynamoDB")
        directory = self._running_directory()
        port = self.plan.ports.dynamodb
        argv, environment = programs.dynamodb(port, directory.dynamodb)
        self._running_supervisor().start(DYNAMODB, argv, environment, cwd=directory.path)

        def probe() -> str | None:
            if programs.dynamodb_ready(port):
                return None
            return f"http://{DYNAMODB_HOST}:{port} does not answer"

        self._await_ready({DYNAMODB: probe}, clock.now() + START_S)
        self._untouched_file = directory.untouched_file()
        if self._demo_table:
            demo.make_demo_table(self.plan.dynamodb.endpoint, self.plan.region)

    def _start_proxies(self, programs: Programs) -> None:
        self._progress("starting the proxies for chaos")
        directory = self._running_directory().path
        chaos = RunningChaos(self, directory)
        argv = [*programs.chaos, *chaos.arguments()]
        self._running_supervisor().start(CHAOS, argv, self._base_environment(), cwd=directory)
        self._await_ready({CHAOS: chaos.why_not_ready}, clock.now() + START_S)
        self._chaos = chaos

    def _start_servers(self, programs: Programs) -> None:
        count = len(self.plan.nodes)
        self._progress(f"starting {count} node{'s' if count > 1 else ''} and discovery")
        for node in self.plan.nodes:
            self._start_node(node, programs)
        self._start_discovery(programs)
        until = clock.now() + START_S
        probes = {node.id: self._node_probe(node) for node in self.plan.nodes}
        self._await_ready(probes | {DISCOVERY: self._discovery_probe}, until)
        # Each node may be ready while the first election is still under way.
        self._await_ready({"cluster": self._primary_probe}, until)

    def _start_discovery(self, programs: Programs) -> None:
        directory = self._running_directory()
        self._running_supervisor().start(
            DISCOVERY,
            programs.discovery,
            {
                **self._base_environment(),
                **discovery_environment(
                    self.plan,
                    secret_file=directory.secret_file(),
                    principals_key_file=directory.principals_key_file(),
                    detours=self._detours,
                    tls=self._tls,
                    launcher_socket=self._launcher.path if self._launcher else None,
                ),
            },
            cwd=directory.path,
        )

    def _start_node(
        self, node: NodePlan, programs: Programs, peers: tuple[NodePlan, ...] | None = None
    ) -> None:
        plan = self.plan if peers is None else replace(self.plan, nodes=peers)
        directory = self._running_directory()
        self._running_supervisor().start(
            node.id,
            programs.node,
            {
                **self._base_environment(),
                **node_environment(
                    plan,
                    node,
                    data_dir=directory.node(node.id),
                    secret_file=directory.secret_file(),
                    principals_key_file=directory.principals_key_file(),
                    untouched_file=self._untouched_file,
                    detours=self._detours,
                    tls=self._tls,
                ),
            },
            cwd=directory.path,
        )

    @property
    def _detours(self) -> Detours | None:
        return None if self._chaos is None else self._chaos.detours

    def _node(self, node_id: str) -> NodePlan:
        return next(node for node in self.plan.nodes if node.id == node_id)

    def _base_environment(self) -> dict[str, str]:
        return base_environment(self._environ)

    def _node_probe(self, node: NodePlan) -> Probe:
        return lambda: http_ok(f"{node.admin}/readyz", PROBE_S)

    def _discovery_probe(self, *, whole: bool = True) -> str | None:
        """Not ``whole``: it is ready for clients, whatever part of the cluster it can see."""
        address = self.plan.discovery_dax
        try:
            size = dax_roster_size(address, PROBE_S)
        except AsksWho:
            return grpc_problem(self.plan.discovery_grpc, PROBE_S)
        except Unavailable as error:
            return str(error)
        if not whole or size == len(self.plan.nodes):
            return None
        return f"{address} names {size} of {len(self.plan.nodes)} nodes"

    def _primary_probe(self) -> str | None:
        for status in self.statuses().values():
            if isinstance(status, dict) and status.get("role") == "primary":
                return None
        return "no node has been elected primary"

    def _await_ready(self, probes: Mapping[str, Probe], until: float) -> None:
        await_ready(self._running_supervisor(), probes, until, self._cancelled)

    def _running_directory(self) -> ClusterDir:
        if self._directory is None:
            raise RuntimeError("the cluster is not running")
        return self._directory

    def _running_supervisor(self) -> Supervisor:
        if self._supervisor is None:
            raise RuntimeError("the cluster is not running")
        return self._supervisor
