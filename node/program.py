"""Puts a node together: the one place that names all of its parts."""

from __future__ import annotations

import secrets

import structlog
from cluster.agent import Agent

from cluster.coherence.guard import Guard
from cluster.coherence.replica import Replica
from cluster.probing import Prober
from cluster.roster import Health
from cluster.roster_feed import RosterFeed
from cluster.service.admin_http import AdminServer
from cluster.service.configuration import read_secret
from cluster.service.discovery_servicer import SERVICE as DISCOVERY_SERVICE
from cluster.service.discovery_servicer import add_discovery
from cluster.service.lifecycle import Lifecycle
from cluster.settings import NodeSettings
from cluster.transport.addresses import refuse_exposed, split_host_port
from cluster.transport.dax_server import DaxServer
from cluster.transport.grpc_server import ChannelFactory, GrpcServer
from cluster.view import ClusterView, Member
from node.backend.client import Backend
from node.backend.tables import Tables
from node.cache.caches import Caches
from node.control import Control
from node.frontends.dax.handler import REQUEST_TIMEOUT_S, DaxHandler
from node.knowledge import TableKnowledge
from node.replication.channels import Channels
from node.replication.coordinator import Coordinator
from node.replication.forwarding import Forwarder
from node.replication.primary_driver import PrimaryDriver
from node.replication.replica_driver import ReplicaDriver
from node.replication.servicer import REPLICATION_SERVICE, add_replication
from node.status import NodeStatus
from node.write_path import WritePath
from paceline.clock import now
from paceline.errors import ConfigError

_log = structlog.get_logger()

REGISTER_S = 60.0
"""How long a starting node waits for a majority: the others may be started by hand."""

DRAIN_CONNECTIONS_S = 3.0
WRITES_GRACE_S = 4.0
"""A write's longest attempt: connect 1 s and read 3 s."""

RELEASE_S = 2.0
"""A planned hand-over waits for read leases (1 s) and one commit."""


def check(settings: NodeSettings) -> None:
    """ConfigError for settings that cannot work."""
    if not settings.listeners:
        raise ConfigError("PACELINE_LISTENERS is empty: a node needs one DAX listener at least")
    binds = {f"listener {item.name!r}": item.bind for item in settings.listeners}
    binds["PACELINE_GRPC_BIND"] = settings.grpc_bind
    binds["PACELINE_ADMIN_BIND"] = settings.admin_bind
    if _clustered(settings):
        binds["PACELINE_CONSENSUS_BIND"] = settings.consensus_bind
        if settings.node_id not in settings.peers:
            raise ConfigError(
                f"PACELINE_PEERS does not name this node ({settings.node_id!r}); it must list every "
                "founding member, this one included, with its consensus address"
            )
        if not read_secret(settings):
            raise ConfigError(
                "a cluster needs a secret that all its nodes share: set PACELINE_SECRET or "
                "PACELINE_SECRET_FILE"
            )
    for address in binds.values():
        split_host_port(address)
    refuse_exposed(binds, insecure=settings.insecure)


def _clustered(settings: NodeSettings) -> bool:
    return len(settings.peers) > 1


class NodeProgram:
    """Starts the parts in order of need; ``Lifecycle`` stops them in reverse."""

    def __init__(self, settings: NodeSettings) -> None:
        self._settings = settings
        self._secret = read_secret(settings)
        self._feed = RosterFeed()
        self._stopping = False
        self._caches = Caches.from_settings(settings.cache)
        self._guard = Guard(self._caches, settings.lease.quarantine_s)

    async def start(self, lifecycle: Lifecycle) -> None:
        settings = self._settings
        data_dir = self._open_data_dir(lifecycle)
        incarnation = secrets.token_hex(8)

        backend = Backend(settings.dynamodb)
        await backend.start()
        lifecycle.push("dynamodb", backend.stop)
        tables = Tables(backend, settings.dynamodb.schema_check_s)

        consensus = self._consensus(data_dir)
        member = Member(settings.node_id, settings.zone, incarnation)
        agent = Agent(consensus, member, settings.lease, data_dir=data_dir)
        knowledge = TableKnowledge(tables, agent, now)

        channels = Channels(ChannelFactory(settings.dial_map, self._secret))
        lifecycle.push("channels", channels.aclose)
        primary = PrimaryDriver(settings.node_id, self._guard, settings.lease, now)
        replica = ReplicaDriver(
            Replica(settings.node_id, incarnation, self._guard, settings.lease), channels.get, now
        )
        coordinator = Coordinator(settings.node_id, agent, self._guard, primary, replica, now)
        forwarder = Forwarder(settings.node_id, channels.get, now)
        writes = WritePath(backend, coordinator, primary, forwarder, knowledge, now)
        operations = self._operations(backend, tables, knowledge, writes)
        control = Control(self._guard, tables, coordinator, primary, forwarder, agent, now)
        tables.on_changed = control.table_changed

        status = NodeStatus(
            settings, agent, coordinator, replica, self._guard, self._caches, operations, self._feed
        )
        admin = AdminServer(
            unready=lambda: "stopping" if self._stopping else status.unready(),
            status=status.as_dict,
            registry=status.registry(),
            insecure=settings.insecure,
        )
        admin.command("/flush", control.flush_command)
        admin_address = await admin.start(settings.admin_bind)
        lifecycle.push("admin", admin.stop)

        grpc_server = GrpcServer(
            [
                add_replication(primary, writes, control, now, REQUEST_TIMEOUT_S),
                add_discovery(self._feed, {settings.node_id: Health.ALIVE}),
            ],
            secret=self._secret,
            protected=[REPLICATION_SERVICE],
            names=[REPLICATION_SERVICE, DISCOVERY_SERVICE],
        )
        grpc_address = await grpc_server.start(settings.grpc_bind)
        lifecycle.push("grpc", grpc_server.stop)

        handler = DaxHandler(
            operations,
            self._caches.items,
            self._guard,
            operations.reads.counters,
            self._endpoints,
            now,
        )
        dax_server = DaxServer(handler, connections_max=settings.connections_max)
        await dax_server.start(settings.listeners)
        lifecycle.push("dax", dax_server.abort)

        prober = Prober(
            self._feed.update_health,
            own_id=settings.node_id,
            listener_names=[listener.name for listener in settings.listeners],
            dial_map=settings.dial_map,
        )
        lifecycle.push("prober", prober.aclose)

        def viewed(view: ClusterView) -> None:
            self._feed.update_view(view)
            prober.follow(view.members)

        agent.subscribe(viewed)
        self._feed.update_health(settings.node_id, Health.ALIVE)
        lifecycle.spawn("coordinator", coordinator.run())
        lifecycle.spawn("tables", tables.run())
        lifecycle.push("consensus", agent.stop)
        await agent.start(
            await self._addresses(dax_server, grpc_address, admin_address), timeout_s=REGISTER_S
        )
        await grpc_server.set_serving(True)

        async def leave() -> None:
            """Out of the roster first, then the work under way, then the lease."""
            self._stopping = True
            await agent.drain()
            await dax_server.drain_after(settings.drain_s, DRAIN_CONNECTIONS_S)
            await writes.aclose(WRITES_GRACE_S)
            await coordinator.hand_over(RELEASE_S)

        lifecycle.push(
            "clients and writes",
            leave,
            deadline_s=settings.drain_s + DRAIN_CONNECTIONS_S + WRITES_GRACE_S + RELEASE_S + 1,
        )
        _log.info(
            "node is up",
            node=settings.node_id,
            zone=settings.zone,
            dax={name: f"{host}:{port}" for name, (host, port) in dax_server.addresses.items()},
            grpc=grpc_address,
            admin=admin_address,
        )
