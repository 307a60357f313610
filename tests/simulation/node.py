"""One simulated node: the program that production starts, with a simulated world around it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol
from unittest import mock

import cluster.service.authentication
import node.frontends.http.server
import node.program
import node.streams.client
import node.ways_upstream
from cluster.access.sealing import Seal
from cluster.access.session_tokens import SessionTokens
from cluster.agent import Agent
from cluster.coherence.guard import Guard
from cluster.consensus.beginning import Ask, Beginning
from cluster.consensus.core.messages import Durable, Entry, Snapshot
from cluster.consensus.environment import Links
from cluster.consensus.founding import Disks
from cluster.consensus.participant import TIMES, Participant
from cluster.data_dir import DataDir, Identity
from cluster.log.state import ReplicatedState
from cluster.log.view import Member
from cluster.service.authentication import Authentication
from cluster.service.lifecycle import Lifecycle
from cluster.settings import DynamoDBSettings, NodeSettings
from cluster.transport.members_server import STOP_S
from node.audit.auditor import Auditor
from node.backend.client import Backend
from node.cache.caches import Caches
from node.frontends.dax.handler import DaxHandler
from node.frontends.json_api.handler import JsonHandler
from node.members_port import MembersPort
from node.operations import Operations
from node.program import NodeProgram
from node.replication.coordinator import Coordinator
from node.replication.primary_driver import PrimaryDriver
from node.streams.followed_tables import FollowedTables
from node.writes.fencing import PrimaryAccess
from node.writes.flush import Flushes
from node.writes.path import WritePath
from tests.simulation.dynamodb import Store
from tests.simulation.log_watch import LogWatch
from tests.simulation.loop import Owner, current_owner
from tests.simulation.network import Network
from tests.simulation.raft_disk import RaftDisk
from tests.simulation.rights import CLUSTER, KEY, SEAL
from tests.simulation.rpc import Channel
from tests.simulation.rpc_ends import Switchboard
from tests.simulation.streams import StreamCaller, Streams
from tests.simulation.upstream import SimulatedCaller, Upstream, backend

STOP_GRACE_S = 12.0

KEEP_S = 0.001
"""For a promise to be durable."""


@dataclass
class Disk:
    """A data directory: what a restart finds again."""

    identity: Identity
    raft: RaftDisk

    @property
    def name(self) -> str:
        return self.identity.disk_id

    @property
    def promised(self) -> Mapping[str, str] | None:
        return self.identity.promised


class SimulatedDataDir(DataDir):
    def __init__(self, disk: Disk, watch: LogWatch) -> None:
        super().__init__(Path("/simulated"), disk.identity, -1)
        self._disk = disk
        self._watch = watch

    def mark_joined(self) -> None:
        self._change(joined=True)

    def promise(self, disks: Mapping[str, str]) -> None:
        before = self.identity.promised
        self._change(promised=dict(disks))
        self._watch.promised(self._disk, before)

    def _change(self, **fields: Any) -> None:
        self.identity = self._disk.identity = replace(self.identity, **fields)


class WatchedParticipant(Participant):
    def __init__(self, watch: LogWatch, *parts: Any, **named: Any) -> None:
        super().__init__(*parts, **named)
        self._watch = watch

    async def _open(self, begin: Durable | None) -> None:
        await super()._open(begin)
        self._watch.begun(self.name, begin)

    def _apply(self, one: Entry | Snapshot) -> None:
        self._watch.applied(self.name, one)
        super()._apply(one)


class Wire(Links, Protocol):
    def asking(self, source: str) -> Ask:
        """How the processes of a machine introduce themselves to others."""


class Surroundings(Protocol):
    """What a node needs of the cluster that it is in."""

    network: Network
    board: Switchboard
    store: Store
    streams: Streams | None
    upstream: Upstream
    watch: LogWatch
    promise_s: Callable[[], float]

    @property
    def wire(self) -> Wire: ...

    def take_untouched(self) -> bool:
        """As ``node.founding.take_untouched``."""

    def applied(self, node: SimulatedNode) -> None:
        """The log has moved on: the time to look at who believes in the lease."""


class SimulatedNode(NodeProgram):
    """One process. ``machine`` is where it runs; another process may run there later."""

    def __init__(
        self,
        world: Surroundings,
        machine: str,
        owner: Owner,
        settings: NodeSettings,
        disk: Disk,
        rng: random.Random,
    ) -> None:
        super().__init__(settings)
        self._rng.seed(rng.random())
        self.world = world
        self.machine = machine
        self.owner = owner
        self.disk = disk
        self.rng = rng
        self.id = settings.node_id
        self.lifecycle = Lifecycle()
        self.up = False
        """Started and registered, and not told to stop."""
        self.agent: Agent
        self.auditor: Auditor
        self.raft: Participant
        self.operations: Operations
        self.flushes: Flushes
        self.primary: PrimaryDriver
        self.writes: WritePath
        self.coordinator: Coordinator
        self.followed: FollowedTables | None = None
        self.dax: DaxHandler
        self.http: JsonHandler
        self.http_callers: Any = None
        """``Callers``; None where nobody has to sign."""
        self.grpc: Mapping[str, Callable[..., Any]] = {}
        """Methods of its gRPC services, by path."""
        self.channels: list[Channel] = []
        self.callers: dict[asyncio.Future[Any], None] = {}
        """Clients that wait for an answer."""

    @property
    def name(self) -> str:
        return self.owner.name

    @property
    def guard(self) -> Guard:
        return self._guard

    @property
    def caches(self) -> Caches:
        return self._caches

    @property
    def access(self) -> Authentication:
        return self._access

    @property
    def believes(self) -> bool:
        """In the primary lease, at this instant."""
        agent = getattr(self, "agent", None)
        return agent is not None and agent.primary_until > self.owner.clock()

    async def run(self) -> None:
        """As ``lifecycle.run_program``, without signals. A ConfigError ends the process."""
        await self.start(self.lifecycle)
        self.up = True

    async def leave(self) -> None:
        """A planned stop, to its end."""
        self.up = False
        self._settings_stopping()
        await self.lifecycle.stop(STOP_GRACE_S)

    def _settings_stopping(self) -> None:
        self.lifecycle.request_stop("planned")

    # -- parts that reach out of the process ----------------------------------------------------

    def _open_data_dir(self, lifecycle: Lifecycle) -> DataDir:
        return SimulatedDataDir(self.disk, self.world.watch)

    def _agent(self, data_dir: DataDir, member: Member) -> Agent:
        settings, identity = self._settings, data_dir.identity
        name, node_id = identity.disk_id, settings.node_id

        async def keep(disks: Disks) -> None:
            await asyncio.sleep(self.world.promise_s())
            data_dir.promise(disks)

        ask = self.world.wire.asking(self.machine)
        beginning = Beginning(
            node_id, name, settings.cluster, settings.peers, identity.promised, ask, keep
        )
        self.raft = WatchedParticipant(
            self.world.watch,
            node_id,
            name,
            ReplicatedState(),
            self.disk.raft,
            self.world.wire,
            self.rng.random,
            TIMES,
            beginning=beginning,
        )
        self.raft.watch(lambda: self.world.applied(self))
        self.agent = Agent(self.raft, member, settings.founders, settings.lease, data_dir)
        return self.agent

    def _auditor(self, *parts: Any) -> Auditor:
        self.auditor = super()._auditor(*parts)
        return self.auditor

    async def _start_admin(self, lifecycle: Lifecycle, *parts: Any) -> None:
        self.flushes = next(part for part in parts if isinstance(part, Flushes))

    async def _start_members(
        self, lifecycle: Lifecycle, access: PrimaryAccess, writes: WritePath, *rest: Any
    ) -> None:
        self.primary, self.writes = access.driver, writes
        await super()._start_members(lifecycle, access, writes, *rest)

    def _operations(self, *parts: Any) -> Operations:
        self.operations = super()._operations(*parts)
        return self.operations

    def _follow_members(self, lifecycle: Lifecycle, agent: Agent) -> None:
        pass

    def _push_leave(self, lifecycle: Lifecycle, *parts: Any) -> None:
        self.coordinator = next(part for part in parts if isinstance(part, Coordinator))
        self.followed = next(part for part in parts if isinstance(part, FollowedTables))
        super()._push_leave(lifecycle, *parts)


class FrontEnd:
    """In the place of servers that clients would connect to: these call its handler."""

    def __init__(self, handler: DaxHandler | JsonHandler, *_: Any, **more: Any) -> None:
        here = _node_here()
        if isinstance(handler, DaxHandler):
            here.dax = handler
        else:
            here.http, here.http_callers = handler, more["callers"]

    async def start(self, *_: Any) -> None: ...
    async def drain(self, deadline_s: float) -> None: ...
    async def abort(self) -> None: ...


class GrpcServer:
    """In the place of ``cluster.transport.grpc_server.GrpcServer``."""

    def __init__(self, register: Any, **_: Any) -> None:
        self._register = register
        self._handlers: dict[str, Callable[..., Any]] = {}
        self._node = _node_here()

    # What generated code calls to add a servicer.

    def add_generic_rpc_handlers(self, _: Any) -> None: ...

    def add_registered_method_handlers(self, service: str, handlers: dict[str, Any]) -> None:
        for method, handler in handlers.items():
            self._handlers[f"/{service}/{method}"] = handler.stream_stream or handler.unary_unary

    async def start(self, bind: str) -> str:
        for register in self._register:
            register(self)
        self._node.grpc = self._handlers
        return self._serve(bind)

    def _serve(self, bind: str) -> str:
        here = self._node
        self._server = here.world.board.serve(bind, here.machine, here.owner, self._handlers)
        return bind

    async def set_serving(self, serving: bool) -> None: ...

    async def stop(self, grace_s: float = STOP_S) -> None:
        self._server.up = False
        await asyncio.sleep(grace_s if self._server.calls else 0)
        self._server.down()


class MembersServer(GrpcServer):
    """In the place of ``cluster.transport.members_server.MembersServer``."""

    def __init__(self, bind: str) -> None:
        super().__init__([])
        self._bind = bind
        self._before_stop: list[Callable[[], Awaitable[None]]] = []

    def add(self, register: Any, *before_stop: Callable[[], Awaitable[None]]) -> None:
        register(self)
        self._before_stop += before_stop

    async def start(self, *_: Any) -> str:
        return self._serve(self._bind)

    async def stop(self, grace_s: float = STOP_S) -> None:
        for ended in self._before_stop:
            await ended()
        await super().stop(grace_s)


class MemberChannels:
    """In the place of ``cluster.transport.member_channels.MemberChannels``."""

    pair = None

    def __init__(self) -> None:
        self._node = _node_here()

    def open(self, address: str, node_id: str, **_: Any) -> Channel:
        here = self._node
        channel = Channel(here.world.board, here.machine, here.owner, address)
        here.channels.append(channel)
        return channel


class Certificate:
    async def watch(self) -> None:
        await asyncio.Event().wait()


def members_port(settings: NodeSettings, _: str) -> MembersPort:
    server: Any = MembersServer(settings.members_bind)
    channels: Any = MemberChannels()
    certificate: Any = Certificate()
    return MembersPort(certificate, server, channels)


def make_backend(settings: DynamoDBSettings, caller_keys: Any = None, **_: Any) -> Backend:
    here = _node_here()
    world = here.world
    caller = SimulatedCaller(
        settings, here.owner, here.machine, world.network, world.store, world.upstream, here.rng
    )
    if here._settings.access.upstream_credentials == "caller":
        caller.in_name = "caller" if caller_keys is not None else "node"
    return backend(settings, caller, here.rng)


def make_stream_caller(settings: DynamoDBSettings, *_: Any) -> StreamCaller:
    here = _node_here()
    world = here.world
    return StreamCaller(
        settings, here.owner, here.machine, world.network, world.streams, world.upstream, here.rng
    )


def take_untouched(_: Path | None) -> bool:
    return _node_here().world.take_untouched()


def _seals(*_: Any) -> tuple[Seal, SessionTokens]:
    return SEAL, SessionTokens([KEY], CLUSTER)


_nodes: dict[Owner, SimulatedNode] = {}


def _node_here() -> SimulatedNode:
    return _nodes[current_owner()]


def register(node: SimulatedNode) -> None:
    """Before its ``run``: so that what it makes knows whose it is."""
    _nodes[node.owner] = node


@contextmanager
def simulated_parts() -> Iterator[None]:
    with ExitStack() as stack:
        for name, part in {
            "GrpcServer": GrpcServer,
            "members_port": members_port,
            "DaxServer": FrontEnd,
            "take_untouched": take_untouched,
        }.items():
            stack.enter_context(mock.patch.object(node.program, name, part))
        stack.enter_context(mock.patch.object(node.ways_upstream, "Backend", make_backend))
        stack.enter_context(mock.patch.object(cluster.service.authentication, "_seals", _seals))
        stack.enter_context(mock.patch.object(node.streams.client, "Caller", make_stream_caller))
        stack.enter_context(mock.patch.object(node.frontends.http.server, "HttpServer", FrontEnd))
        try:
            yield
        finally:
            _nodes.clear()
