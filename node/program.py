"""Puts a node together: the one place that names all of its parts."""

from __future__ import annotations

import asyncio
import random
import secrets
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import structlog

from cluster.agent import Agent
from cluster.coherence.guard import Fill, Guard
from cluster.coherence.replica import Replica
from cluster.data_dir import DataDir
from cluster.log.state import ReplicatedState
from cluster.log.view import Member
from cluster.roster.endpoints import Health
from cluster.roster.live_roster import LiveRoster
from cluster.roster.servicer import SERVICE as DISCOVERY_SERVICE
from cluster.roster.servicer import add_discovery
from cluster.service.admin_token import AdminToken
from cluster.service.authentication import Authentication
from cluster.service.commands import AdminCommand
from cluster.service.configuration import read_secret
from cluster.service.lifecycle import Lifecycle
from cluster.service.metrics import Gauge
from cluster.service.metrics_feed import add_metrics
from cluster.settings import NodeSettings
from cluster.transport.client_server import ClientServer, Shared
from cluster.transport.dax_server import ConnectionInfo, DaxServer
from cluster.transport.grpc_limits import GrpcLimits
from cluster.transport.grpc_server import GrpcServer
from cluster.transport.tls import ServerCertificate
from node.admin.addresses import addresses_of
from node.admin.commands import commands_of
from node.admin.port import admin_port
from node.admin.status import NodeStatus
from node.audit.auditor import Auditor
from node.audit.peeking import Peeker, Peers
from node.audit.sampling import Sampler
from node.authorization import authorizer_of, keep_current
from node.cache.caches import Caches
from node.control import join_control
from node.founding import open_data_dir, take_untouched
from node.frontends.dax.handler import DaxHandler
from node.frontends.dax.json_requests import raw_requests
from node.frontends.grpc.servicer import DATA_SERVICE, add_data
from node.frontends.http.server import start_http
from node.frontends.peers import add_replication
from node.members_port import MembersPort, members_port
from node.operations import REQUEST_TIMEOUT_S, Operations
from node.reads.batch_get import BatchGet
from node.reads.cacheability import Cacheability, ConsistentTables
from node.reads.items import ItemFlights, ReadPath
from node.reads.queries import Queries, QueryAnswer
from node.reads.reading import ReadOperations
from node.reads.single_flight import SingleFlight
from node.replicated_log import participant
from node.replication.channels import Channels
from node.replication.coordinator import Coordinator
from node.replication.forwarding import Forwarder
from node.replication.primary_driver import PrimaryDriver
from node.replication.replica_driver import ReplicaDriver
from node.roster_feed import follow_members
from node.streams.assembly import assemble as assemble_streams
from node.streams.followed_tables import FollowedTables
from node.tables.attribute_lists import AttributeLists
from node.tables.schemas import Tables, Upstream
from node.watching import watched
from node.ways_upstream import asks_as_caller, callers_reads, forwarded_callers, start_ways
from node.writes.effects import Effects
from node.writes.fencing import PrimaryAccess
from node.writes.flush import Flushes
from node.writes.path import WritePath
from paceline.clock import now
from paceline.dax.attribute_lists import list_id
from paceline.errors import PacelineError, Unavailable

_log = structlog.get_logger()

REGISTER_S = 60.0
"""The time for a starting node to find a majority: the others may be started by hand."""

WRITES_GRACE_S = 1.5
"""The time for writes that the hand-over did not wait for: they are at, or wait for, another
primary."""

ANNOUNCE_S = 1.0

RELEASE_S = 4.0
"""A planned hand-over waits for read leases (0.6 s), for writes under way, the longest of which
takes as long as a connect and a read (4 s). A commit and the successor come on top."""

DRAIN_CONNECTIONS_S = RELEASE_S + WRITES_GRACE_S + 2.5
"""Longer than all writes are given, so that their clients are told how they ended."""


class NodeProgram:
    """Starts the parts in order of need; ``Lifecycle`` stops them in reverse."""

    def __init__(self, settings: NodeSettings) -> None:
        self._settings = settings
        self._secret = read_secret(settings)
        self._certificate = ServerCertificate.of(settings.tls, settings.access.client_ca_file)
        self._members: MembersPort | None = None
        self._incarnation = secrets.token_hex(16)
        self._live_roster = LiveRoster()
        self._caches = Caches.from_settings(settings.cache)
        self._guard = Guard(self._caches, settings.lease.quarantine_s)
        self._consistent = ConsistentTables(settings.cache)
        self._rng = random.Random()
        sampler = Sampler(self._caches.items, self._rng)
        self._peeker = Peeker(self._caches.items, self._guard, sampler, now)
        self._shared = Shared.of(settings.limits)
        self._access: Authentication
        self._stopping = False

    async def start(self, lifecycle: Lifecycle) -> None:
        settings = self._settings
        self._members = members_port(settings, self._secret)
        data_dir = self._open_data_dir(lifecycle)
        # Ends last: whoever still waits for DynamoDB needs it for large answers.
        lifecycle.push("large work", self._shared.large_work.aclose)
        ways = await start_ways(lifecycle, settings, self._shared)
        tables = Tables(
            ways.own,
            check_s=settings.dynamodb.schema_check_s,
            on_changed=lambda *change: flushes.table_changed(*change),  # noqa: PLW0108 - made below
        )
        addresses = await addresses_of(settings, members=self._members is not None)
        member = Member(settings.node_id, settings.zone, self._incarnation, addresses=addresses)
        agent = self._agent(data_dir, member)
        agent.consensus.watch_failure(lifecycle.fail)
        self._access = self._authentication(lifecycle, agent)
        channels, forwarder = self._ways(lifecycle, agent)
        primary = PrimaryDriver(settings.node_id, self._guard, settings.lease, now)
        replica = Replica(settings.node_id, self._incarnation, self._guard, settings.lease)
        keep_current(self._access, agent, self._guard, lambda: replica.level_at, settings, now)
        replica_driver = ReplicaDriver(replica, channels.get, now)
        coordinator = self._coordinator(agent, primary, replica_driver, forwarder)
        access = PrimaryAccess(coordinator, primary, forwarder, now)
        large_work, memory = self._shared.large_work, self._shared.memory
        lists = AttributeLists(agent, large_work)
        upstream = Upstream(ways.own, tables, lists, large_work, memory)
        of_clients = replace(upstream, backend=ways.clients)
        effects = Effects(tables, self._caches, self._guard, upstream.lists.names_of, now)
        callers = forwarded_callers(settings, self._access.principals)
        writes = WritePath(of_clients, access, effects, callers)
        operations = self._operations(lifecycle, of_clients, writes)
        flushes = Flushes(self._guard, tables, access)
        lifecycle.push("flushes", flushes.aclose)
        caches, guard, roster = self._caches, self._guard, self._live_roster
        status = NodeStatus(settings, agent, access, replica, guard, caches, operations, roster)
        auditor = self._auditor(status, agent, access, channels, upstream)
        streams = await assemble_streams(lifecycle, settings, agent, access, upstream)
        status.add("streams", streams.as_dict, streams.series())
        commands = commands_of(agent, status, self._access, operations)
        await self._start_admin(lifecycle, status, flushes, commands, data_dir)
        await self._start_members(lifecycle, access, writes, flushes)
        grpc_servers = await self._start_grpc(lifecycle, operations)
        clients = status.clients = await self._start_clients(lifecycle, operations)
        self._follow_members(lifecycle, agent)
        lifecycle.spawn("coordinator", coordinator.run())
        await tables.start()
        lifecycle.push("tables", tables.stop)
        lifecycle.push("consensus", partial(self._stop_consensus, agent))
        await agent.start(REGISTER_S)
        lifecycle.spawn("readiness", status.tell_readiness(grpc_servers))
        if settings.audit.reads_per_s and not asks_as_caller(settings):
            lifecycle.spawn("auditor", auditor.run())
        streams.start()
        self._push_leave(lifecycle, agent, member, clients, writes, coordinator, streams)
        _log.info(
            "node is up",
            node=settings.node_id,
            zone=settings.zone,
            addresses=dict(member.addresses),
            dynamodb=ways.own.endpoint,
        )

    def _push_leave(
        self,
        lifecycle: Lifecycle,
        agent: Agent,
        member: Member,
        clients: Sequence[ClientServer],
        writes: WritePath,
        coordinator: Coordinator,
        streams: FollowedTables,
    ) -> None:
        settings = self._settings

        async def leave() -> None:
            """Out of the roster first, then clients, then the lease, then the work under way:
            other nodes forward their writes here until they know the next primary."""
            self._stopping = True
            await self._announce_drain(agent, member)
            await asyncio.sleep(settings.drain_s)

            async def finish_writes() -> None:
                await streams.aclose()
                await coordinator.hand_over(RELEASE_S)
                await writes.aclose(WRITES_GRACE_S)

            # At the same time: idle clients need not close, and take the whole linger time; and
            # a write that is cut off is answered so, which needs its connection.
            drains = [server.drain(DRAIN_CONNECTIONS_S) for server in clients]
            await asyncio.gather(*drains, finish_writes())

        lifecycle.push(
            "clients and writes",
            leave,
            deadline_s=settings.drain_s + ANNOUNCE_S + DRAIN_CONNECTIONS_S + 1,
        )

    # -- parts ------------------------------------------------------------------------------

    def _open_data_dir(self, lifecycle: Lifecycle) -> DataDir:
        return open_data_dir(self._settings, lifecycle)

    def _agent(self, data_dir: DataDir, member: Member) -> Agent:
        settings = self._settings
        machine = ReplicatedState(list_id)
        consensus = participant(settings, self._members, data_dir, machine)
        return Agent(
            consensus, member, settings.founders, settings.lease, data_dir, list_id=list_id
        )

    def _authentication(self, lifecycle: Lifecycle, agent: Agent) -> Authentication:
        settings, secret = self._settings, self._secret
        region, restraint = settings.dynamodb.region, self._shared.restraint
        access = Authentication(
            settings, region, secret, lambda: agent.state.principals.by_name, restraint
        )
        access.start(lifecycle)
        return access

    def _ways(self, lifecycle: Lifecycle, agent: Agent) -> tuple[Channels, Forwarder]:
        join_control(lifecycle, self._settings.cache, self._members, agent, self._caches)
        channels = Channels(self._members.channels if self._members else None, agent.address_of)
        lifecycle.push("channels", channels.aclose)
        forwarder = Forwarder(channels.get, now, self._shared.large_work)
        lifecycle.push("forwarding", forwarder.aclose)
        return channels, forwarder

    def _coordinator(
        self, agent: Agent, primary: PrimaryDriver, replica: ReplicaDriver, forwarder: Forwarder
    ) -> Coordinator:
        settings, guard, recall = self._settings, self._guard, forwarder.recall
        untouched = partial(take_untouched, settings.dynamodb.untouched_file)
        return Coordinator(settings.node_id, agent, guard, primary, replica, recall, now, untouched)

    def _operations(
        self,
        lifecycle: Lifecycle,
        upstream: Upstream,
        writes: WritePath,
    ) -> Operations:
        self._caches.on_clear = upstream.tables.forget
        settings, guard, caches = self._settings, self._guard, self._caches
        pending_max = settings.pending_max
        item_flights = ItemFlights(pending_max)
        query_flights: SingleFlight[Hashable, Fill, QueryAnswer] = SingleFlight(pending_max)
        lifecycle.push("query fills", query_flights.aclose)
        items = ReadPath(upstream, guard, caches, item_flights, now, Cacheability(self._consistent))
        lifecycle.push("item fills", items.aclose)
        queries = Queries(
            upstream.backend,
            guard,
            caches,
            query_flights,
            items.counters,
            now,
            self._consistent,
            upstream.large_work,
        )
        batches = BatchGet(upstream, items, guard, now)
        reads = ReadOperations(upstream, items, batches, queries)
        authorizer = authorizer_of(settings, upstream.tables.peek, self._access)
        as_callers = callers_reads(lifecycle, settings, upstream, reads, guard, self._shared, now)
        made = Operations(upstream, reads, writes, settings.pending_max, authorizer, as_callers)
        return watched(made, lifecycle, settings)

    def _auditor(
        self,
        status: NodeStatus,
        agent: Agent,
        access: PrimaryAccess,
        channels: Channels,
        upstream: Upstream,
    ) -> Auditor:
        auditor = Auditor(
            self._settings.audit.reads_per_s,
            lambda: access.coordinator.is_primary,
            lambda: agent.view.members,
            Peers(self._settings.node_id, self._peeker, channels.get),
            self._guard,
            upstream,
            now,
            self._rng,
        )
        status.add("audit", auditor.as_dict, auditor.series())
        return auditor

    async def _start_admin(
        self,
        lifecycle: Lifecycle,
        status: NodeStatus,
        flushes: Flushes,
        commands: Mapping[str, AdminCommand],
        data_dir: DataDir,
    ) -> None:
        self._watch_certificate(lifecycle, status)
        if self._members is not None:
            self._members.server.add(add_metrics(status.registry()))
        settings = self._settings
        admin = admin_port(
            settings,
            status,
            lambda: "stopping" if self._stopping else status.unready(),
            AdminToken.of(self._secret, data_dir.path),
            {"/flush": flushes.command, **commands},
            self._access.audit,
        )
        await admin.start(settings.admin_bind)
        lifecycle.push("admin", admin.stop)

    async def _start_members(
        self, lifecycle: Lifecycle, access: PrimaryAccess, writes: WritePath, flushes: Flushes
    ) -> None:
        """Listens before consensus begins."""
        if self._members is None:
            return
        server = self._members.server
        server.add(
            *add_replication(
                access.driver,
                writes,
                flushes,
                self._peeker.serve,
                access.coordinator.report_for_takeover,
                now,
                REQUEST_TIMEOUT_S,
                self._shared.large_work,
                self._shared.memory,
            )
        )
        server.add(self._add_roster())
        await server.start()
        lifecycle.push("members", server.stop)
        lifecycle.spawn("member certificate", self._members.certificate.watch())

    async def _stop_consensus(self, agent: Agent) -> None:
        """The port goes with it: by their streams' end the others learn that this node is gone."""
        await agent.stop()
        if self._members is not None:
            await self._members.server.stop()

    def _add_roster(self) -> Callable[[Any], None]:
        return add_discovery(self._live_roster, {self._settings.node_id: Health.ALIVE})

    async def _start_grpc(self, lifecycle: Lifecycle, operations: Operations) -> list[GrpcServer]:
        settings, shared = self._settings, self._shared
        limits = GrpcLimits.of(
            settings.limits,
            shared.memory,
            [DATA_SERVICE],
            shared.large_work,
            self._access.grpc,
            shared.restraint,
        )
        services = [self._add_roster(), add_data(operations, now, shared)]
        names = [DISCOVERY_SERVICE, DATA_SERVICE]
        shows = settings.grpc_reflection
        server = GrpcServer(services, names=names, limits=limits, reflects=shows)
        await server.start(settings.grpc_bind)
        lifecycle.push("grpc", server.stop)
        if not settings.grpc_tls_bind or self._certificate is None:
            return [server]
        setting = "PACELINE_GRPC_TLS_BIND"
        secure = GrpcServer(services, names=names, setting=setting, limits=limits, reflects=shows)
        await secure.start(
            settings.grpc_tls_bind,
            self._certificate.grpc_credentials(
                demands_certificates=settings.access.grpc_client_certificates
            ),
        )
        lifecycle.push("grpc with TLS", secure.stop)
        return [server, secure]

    def _watch_certificate(self, lifecycle: Lifecycle, status: NodeStatus) -> None:
        certificate = self._certificate
        if self._members is not None:
            shown = self._members.certificate
            status.add("member_tls", shown.as_dict, [Gauge(*one) for one in shown.gauges()])
        if certificate is not None:
            status.add("tls", certificate.as_dict, [Gauge(*one) for one in certificate.gauges()])
            lifecycle.spawn("certificate", certificate.watch())

    async def _start_clients(
        self, lifecycle: Lifecycle, operations: Operations
    ) -> list[ClientServer]:
        dax = await self._start_dax(lifecycle, operations)
        settings, certificate, shared = self._settings, self._certificate, self._shared
        access = self._access
        http = await start_http(lifecycle, settings, certificate, operations, shared, access)
        return [dax, *http]

    async def _start_dax(self, lifecycle: Lifecycle, operations: Operations) -> DaxServer:
        handler = DaxHandler(
            operations,
            self._caches.items,
            self._guard,
            self._endpoints,
            now,
            raw_requests(operations, self._shared.large_work),
            self._shared.large_work,
        )
        server = DaxServer(
            handler,
            connections_max=self._settings.connections_max,
            shared=self._shared,
            callers=self._access.dax,
        )
        shown = self._certificate
        await server.start(self._settings.listeners, shown.context() if shown else None)
        lifecycle.push("dax", server.abort)
        return server

    def _follow_members(self, lifecycle: Lifecycle, agent: Agent) -> None:
        sign = self._access.probe_signature
        follow_members(lifecycle, self._settings, agent, self._live_roster, sign)

    def _endpoints(self, peer: ConnectionInfo) -> bytes:
        reply = self._live_roster.endpoints_reply(peer.listener, peer.family, tls=peer.tls)
        if reply is None:
            raise Unavailable("this node has not joined its cluster yet; try another one")
        return reply

    async def _announce_drain(self, agent: Agent, member: Member) -> None:
        """Takes this node out of every roster. Without a majority nobody can be told."""
        try:
            await agent.register(replace(member, draining=True), ANNOUNCE_S)
        except PacelineError as error:
            _log.warning("could not announce the stop", reason=str(error))
