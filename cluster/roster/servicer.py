"""The gRPC service ``Discovery``: the roster on request, and after every change."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import grpc

from cluster.log.view import ClusterView, Member
from cluster.roster.endpoints import Health
from cluster.roster.live_roster import LiveRoster, RosterSnapshot
from paceline.v1 import discovery_pb2, discovery_pb2_grpc

HEARTBEAT_MS_DEFAULT = 1000
HEARTBEAT_MS_MIN = 100
"""The shortest heartbeat interval. A shorter one would keep the server busy with nothing else."""
HEARTBEAT_MS_MAX = 60_000
WATCHES_MAX = 5_000
"""The most Watch calls. Each costs a few kilobytes and a wake-up per change; an SDK process has
one."""

ServicerContext = grpc.aio.ServicerContext[Any, Any]

SERVICE = discovery_pb2.DESCRIPTOR.services_by_name["Discovery"].full_name

_HEALTH_TO_WIRE = {
    Health.UNKNOWN: discovery_pb2.HEALTH_UNSPECIFIED,
    Health.ALIVE: discovery_pb2.HEALTH_ALIVE,
    Health.UNREACHABLE: discovery_pb2.HEALTH_UNREACHABLE,
}
_HEALTH_FROM_WIRE = {wire: health for health, wire in _HEALTH_TO_WIRE.items()}


class DiscoveryServicer(discovery_pb2_grpc.DiscoveryServicer):
    """Answers UNAVAILABLE until the live roster has a view; a Watch waits for one instead.

    ``extra_health`` overrides the live roster, e.g. for a node, which does not probe itself.
    """

    def __init__(
        self, live_roster: LiveRoster, extra_health: Mapping[str, Health] | None = None
    ) -> None:
        self._live_roster = live_roster
        self._extra_health = dict(extra_health or {})
        self._watches = 0

    async def Get(
        self, request: discovery_pb2.GetRosterRequest, context: ServicerContext
    ) -> discovery_pb2.Roster:
        snapshot = self._live_roster.snapshot()
        if snapshot is None:
            await context.abort(
                grpc.StatusCode.UNAVAILABLE,
                "no view of the cluster yet: no node could be asked; try again",
            )
            raise AssertionError("abort raises")
        return self._message(snapshot)

    async def Watch(
        self, request: discovery_pb2.WatchRosterRequest, context: ServicerContext
    ) -> AsyncIterator[discovery_pb2.Roster]:
        if self._watches >= WATCHES_MAX:
            await context.abort(
                grpc.StatusCode.RESOURCE_EXHAUSTED,
                f"more than {WATCHES_MAX} watches; watch another discovery process or node",
            )
        asked_ms = request.heartbeat_ms or HEARTBEAT_MS_DEFAULT
        heartbeat_s = min(max(asked_ms, HEARTBEAT_MS_MIN), HEARTBEAT_MS_MAX) / 1000
        self._watches += 1
        try:
            # Ends when the client goes away or the server stops: grpc.aio cancels it.
            while True:
                revision = self._live_roster.revision
                snapshot = self._live_roster.snapshot()
                if snapshot is not None:
                    yield self._message(snapshot)
                try:
                    async with asyncio.timeout(heartbeat_s):
                        await self._live_roster.changed_since(revision)
                except TimeoutError:
                    pass
        finally:
            self._watches -= 1

    def _message(self, snapshot: RosterSnapshot) -> discovery_pb2.Roster:
        return to_message(snapshot, self._extra_health)


def to_message(
    snapshot: RosterSnapshot, extra_health: Mapping[str, Health] | None = None
) -> discovery_pb2.Roster:
    view = snapshot.view
    health = {**snapshot.health, **(extra_health or {})}
    return discovery_pb2.Roster(
        cluster_id=view.cluster_id,
        epoch=view.epoch,
        primary_id=view.primary or "",
        age_ms=int(snapshot.age_s * 1000),
        revision=snapshot.revision,
        nodes=[
            discovery_pb2.Node(
                id=m.id,
                zone=m.zone,
                role=(
                    discovery_pb2.ROLE_PRIMARY
                    if m.id == view.primary
                    else discovery_pb2.ROLE_REPLICA
                ),
                health=_HEALTH_TO_WIRE[health.get(m.id, Health.UNKNOWN)],
                addresses=dict(m.addresses),
                incarnation=m.incarnation,
                draining=m.draining,
                number=m.number,
            )
            for m in view.members
        ],
    )


def from_message(
    roster: discovery_pb2.Roster,
) -> tuple[ClusterView, dict[str, Health], float]:
    """Returns (view, health as the sender saw it, age in seconds). The epoch's members are not
    sent: nobody outside the cluster's nodes counts majorities."""
    view = ClusterView(
        cluster_id=roster.cluster_id,
        members=tuple(
            Member(
                id=node.id,
                zone=node.zone,
                incarnation=node.incarnation,
                number=node.number,
                addresses=dict(node.addresses),
                draining=node.draining,
            )
            for node in roster.nodes
        ),
        epoch=roster.epoch,
        primary=roster.primary_id or None,
    )
    health = {n.id: _HEALTH_FROM_WIRE.get(n.health, Health.UNKNOWN) for n in roster.nodes}
    return view, health, roster.age_ms / 1000


def add_discovery(
    live_roster: LiveRoster, extra_health: Mapping[str, Health] | None = None
) -> Callable[[Any], None]:
    """For ``GrpcServer.start``: registers the service with a server."""

    def register(server: Any) -> None:
        add: Any = discovery_pb2_grpc.add_DiscoveryServicer_to_server
        add(DiscoveryServicer(live_roster, extra_health), server)

    return register
