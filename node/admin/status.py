"""What a node says of itself: ``/status``, ``/readyz`` and ``/metrics``."""

from __future__ import annotations

import asyncio
import math
import os
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import structlog
from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector

from cluster.agent import Agent
from cluster.coherence.guard import Guard
from cluster.coherence.replica import Replica
from cluster.roster.endpoints import Health
from cluster.roster.live_roster import LiveRoster
from cluster.service.metrics import Gauge, LabelledHistogram, Series, SeriesCollector
from cluster.settings import NodeSettings
from cluster.transport.client_server import ClientServer
from cluster.transport.grpc_server import GrpcServer
from node.admin.series import machine_series, request_series
from node.cache.caches import Caches
from node.operations import Operations
from node.requests.counts import Latencies
from node.writes.fencing import PrimaryAccess
from paceline.clock import now

READINESS_S = 0.25
"""The time between two looks at whether this node can do its work."""

GRACE_S = 3.0
"""A failover takes one to two seconds. Clients need not look elsewhere meanwhile, since all nodes
have it."""

_log = structlog.get_logger()


class Readiness:
    """Decides whether clients should be sent to this node. A node becomes ready once nothing is in
    the way; after that, an obstacle that lasts longer than a failover makes it unready. Such a node
    still passes reads through."""

    def __init__(self, grace_s: float = GRACE_S) -> None:
        self._grace_s = grace_s
        self._was_ready = False
        self._since: float | None = None

    def unready(self, obstacle: str | None, now: float) -> str | None:
        """Returns why the node is unready. ``obstacle`` is what keeps it from its work now. Has to
        be asked at least every second, or the age of the obstacle is not known."""
        if obstacle is None:
            self._was_ready = True
            self._since = None
            return None
        if not self._was_ready:
            return obstacle
        if self._since is None:
            self._since = now
        standing_s = now - self._since
        return None if standing_s < self._grace_s else f"{obstacle} (for {standing_s:.0f} s)"


class NodeStatus:
    def __init__(
        self,
        settings: NodeSettings,
        agent: Agent,
        access: PrimaryAccess,
        replica: Replica,
        guard: Guard,
        caches: Caches,
        operations: Operations,
        live_roster: LiveRoster,
    ) -> None:
        self._settings = settings
        self.node_id = settings.node_id
        self._agent = agent
        self._coordinator = access.coordinator
        self._primary = access.driver
        self._replica = replica
        self._guard = guard
        self._caches = caches
        self._operations = operations
        self._live_roster = live_roster
        self._started_at = now()
        self._readiness = Readiness()
        self._sections: dict[str, Callable[[], dict[str, Any]]] = {}
        self._series: list[Series] = []
        self._registry: CollectorRegistry | None = None
        self._loop_delays = Latencies()
        """How much later than it should the event loop came to ``tell_readiness``."""
        self.clients: Sequence[ClientServer] = ()
        """The servers of clients, once they listen."""

    def add(
        self, name: str, section: Callable[[], dict[str, Any]], series: Iterable[Series]
    ) -> None:
        """Adds a part's own section of ``/status`` and its metrics. Called before ``registry``."""
        self._sections[name] = section
        self._series += series

    @property
    def serving(self) -> bool:
        """True if the node may answer from its caches right now."""
        return now() < self._guard.serve_until

    def unready(self) -> str | None:
        """Returns why clients should not be sent here. See ``Readiness``, also for how often to
        ask."""
        return self._readiness.unready(self.obstacle(), now())

    def obstacle(self) -> str | None:
        """Returns what keeps this node right now from its work, which is to hit and to write."""
        view, consensus = self._agent.view, self._agent.consensus
        if view.member(self._settings.node_id) is None:
            return "not registered with the cluster yet: no majority of its nodes is reachable"
        if not consensus.has_quorum:
            return consensus.trouble or "no majority of the cluster's nodes is reachable"
        if consensus.leader is None:
            return "the cluster's log has no leader"
        if view.primary is None:
            return "the cluster has no primary yet"
        if not self.serving:
            return "no lease from the primary"
        return None

    async def tell_readiness(self, servers: Sequence[GrpcServer]) -> None:
        """Tells gRPC's health checks, for ever, what ``/readyz`` answers when asked."""
        told: bool | None = None
        while True:
            unready = self.unready()
            if (unready is None) is not told:
                told = unready is None
                await asyncio.gather(*(server.set_serving(told) for server in servers))
                _log.info("readiness", ready=told, reason=unready)
            slept_at = now()
            await asyncio.sleep(READINESS_S)
            self._loop_delays.add((), max(0.0, now() - slept_at - READINESS_S))

    def as_dict(self) -> dict[str, Any]:
        view = self._agent.view
        snapshot = self._live_roster.snapshot()
        health = snapshot.health if snapshot is not None else {}
        counters = self._operations.reads.counters
        position = self._position()
        return {
            "id": self._settings.node_id,
            "zone": self._settings.zone,
            "role": "primary" if self._coordinator.is_primary else "replica",
            "epoch": view.epoch,
            "primary": view.primary,
            "ready": (unready := self.unready()) is None,
            "unready": unready,
            "obstacle": self.obstacle(),
            "serving": self.serving,
            "members": [
                {
                    "id": member.id,
                    "zone": member.zone,
                    "role": "primary" if member.id == view.primary else "replica",
                    "alive": member.id == self._settings.node_id
                    or health.get(member.id) is not Health.UNREACHABLE,
                    "draining": member.draining,
                    "addresses": dict(member.addresses),
                }
                for member in view.members
            ],
            "cache": {
                "items": self._caches.items.count,
                "queries": self._caches.queries.count,
                "bytes": self._caches.budget.bytes_used,
                "bytes_max": self._settings.cache.bytes_max,
                "hits": counters.hits,
                "misses": counters.misses,
                "bypasses": counters.bypasses,
                "query_hits": counters.query_hits,
                "query_misses": counters.query_misses,
                "queries_invalidated": self._caches.queries.invalidated,
                "evictions": self._caches.budget.evictions,
            },
            "replication": {
                "position": position,
                "lag_messages": self._lag(),
                "lease_remaining_s": round(self._lease_s(), 3),
                "links": self._primary.links,
            },
            **{name: section() for name, section in self._sections.items()},
            "requests_in_work": self._operations.pending,
            "writes_in_work": self._operations.writes.running,
            "uptime_s": round(now() - self._started_at, 3),
            "pid": os.getpid(),
            "version": _version(),
        }

    def registry(self) -> CollectorRegistry:
        """The same at each call, from the first one on."""
        if self._registry is None:
            self._registry = self._made_registry()
        return self._registry

    def _made_registry(self) -> CollectorRegistry:
        registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        own = request_series(self._operations, self._caches, lambda: self.clients)
        states: list[Series] = [
            Gauge("epoch", "Epoch of the last grant", lambda: self._agent.view.epoch),
            Gauge("primary", "Holds the lease", lambda: self._coordinator.is_primary),
            Gauge("serving", "May answer from its caches", lambda: self.serving),
            Gauge("replication_lag", "Messages known to be missing here", self._lag_or_nan),
            Gauge("read_lease_remaining_seconds", "Until hits end without another", self._lease_s),
            LabelledHistogram(
                "fence_wait_seconds",
                "Until a write's fence was held by all who have to hold it",
                (),
                self._primary.fence_waits.distributions,
            ),
            LabelledHistogram(
                "loop_delay_seconds",
                "How late the event loop comes to what it has to do",
                (),
                self._loop_delays.distributions,
            ),
        ]
        registry.register(SeriesCollector([*own, *states, *machine_series()]))
        registry.register(SeriesCollector(self._series))
        return registry

    def _position(self) -> list[int] | None:
        primary = self._primary.primary
        position = primary.position if primary is not None else self._replica.position
        return None if position is None else [position.epoch, position.sequence]

    def _lease_s(self) -> float:
        return max(0.0, self._guard.serve_until - now())

    def _lag_or_nan(self) -> float:
        lag = self._lag()
        return math.nan if lag is None else lag

    def _lag(self) -> int | None:
        """The number of messages known to be missing here; 0 at the primary, None without a
        position."""
        if self._primary.primary is not None:
            return 0
        return self._replica.lag


@cache
def _version() -> str:
    """Cached, because status is asked for every second."""
    try:
        return version("paceline-server")
    except PackageNotFoundError:
        return "unknown"
