"""What is done to a cluster under the load of the SDK. Each ends with the cluster whole."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from paceline.client.settings import DYNAMODB
from paceline.clock import now
from tests.chaos.sdk_world import World
from tests.support.cluster import DISCOVERY

PAUSE_S = 6.0
"""Longer than every lease and than an election."""
LOSS_S = 6.0
READY_BOUND_S = 5.0


@dataclass
class Outcome:
    """Of one fault. Times are of ``paceline.clock``."""

    what: str
    begun: float
    ended: float = 0.0
    killed_at: float = 0.0
    """Of a total loss: the last node was gone."""
    back_at: float = 0.0
    """The first node was ready again."""
    fallback_s: dict[str, float] = field(default_factory=dict)
    """Client to the time from the loss to its first read from DynamoDB."""
    return_s: dict[str, float] = field(default_factory=dict)
    """Client to the time from the first ready node to its last read from DynamoDB."""


Fault = Callable[[World], Awaitable[Outcome]]


@asynccontextmanager
async def fault(world: World, what: str, hold_s: float = 1.0) -> AsyncIterator[Outcome]:
    """Around a fault, until the cluster is whole and both clients write."""
    one = Outcome(what, now())
    print(f"  {what}", flush=True)
    yield one
    await world.whole()
    await world.hold(hold_s)
    one.ended = now()


async def replica_killed(world: World) -> Outcome:
    primary = await world.primary()
    victim = world.rng.choice([node for node in world.cluster.node_ids if node != primary])
    async with fault(world, f"kill -9 of a replica, {victim}") as one:
        await world.kill([victim])
        await world.hold(4.0)
    return one


async def primary_killed(world: World) -> Outcome:
    victim = await world.primary()
    async with fault(world, f"kill -9 of the primary, {victim}") as one:
        await world.kill([victim])
        await world.written()
        await world.hold(2.0)
    return one


async def zone_killed(world: World) -> Outcome:
    """The primary's; a majority is left."""
    zone = world.zone_of(await world.primary())
    victims = world.zone(zone)
    async with fault(world, f"kill -9 of zone {zone}: {', '.join(victims)}") as one:
        await world.kill(victims)
        await world.written()
        await world.hold(2.0)
    return one


async def other_zone_killed(world: World) -> Outcome:
    """One without the primary."""
    home = world.zone_of(await world.primary())
    zone = min({world.zone_of(node) for node in world.cluster.node_ids} - {home})
    victims = world.zone(zone)
    async with fault(world, f"kill -9 of zone {zone}, not the primary's") as one:
        await world.kill(victims)
        await world.written()
        await world.hold(2.0)
    return one


async def rolling_restart(world: World) -> Outcome:
    """Each node is back in before the next one goes."""
    nodes = list(world.cluster.node_ids)
    if world.brief:
        primary = await world.primary()
        nodes = [primary, next(node for node in nodes if node != primary)]
    async with fault(world, f"rolling restart of {len(nodes)} nodes by SIGTERM") as one:
        for node_id in nodes:
            await world.terminate(node_id)
            await world.start([node_id])
            await world.do(world.cluster.wait_ready, node_id)
            await world.do(world.cluster.wait_serving)
    return one


async def primary_restarted(world: World) -> Outcome:
    """Planned stops of whoever is primary, three times in a row."""
    async with fault(world, "SIGTERM of the primary, three times") as one:
        for _ in range(3):
            victim = await world.primary()
            await world.terminate(victim)
            await world.start([victim])
            await world.do(world.cluster.wait_ready, victim)
            await world.do(world.cluster.wait_serving)
    return one


async def primary_paused(world: World) -> Outcome:
    victim = await world.primary()
    async with fault(world, f"SIGSTOP of the primary, {victim}, for {PAUSE_S:g} s") as one:
        await _paused(world, victim)
    return one


async def replica_paused(world: World) -> Outcome:
    """One in the zone of the asynchronous client, if the primary is not there."""
    primary = await world.primary()
    victim = next(node for node in world.cluster.node_ids if node != primary)
    async with fault(world, f"SIGSTOP of a replica, {victim}, for {PAUSE_S:g} s") as one:
        await _paused(world, victim)
    return one


async def _paused(world: World, victim: str) -> None:
    await world.do(world.cluster.pause, victim)
    try:
        await world.hold(PAUSE_S)
    finally:
        await world.do(world.cluster.resume, victim)
    await world.hold(2.0)


async def discovery_killed(world: World) -> Outcome:
    """And then the primary, while it is away."""
    async with fault(world, "kill -9 of discovery, then of the primary") as one:
        await world.kill([DISCOVERY])
        await world.hold(2.0)
        await world.kill([await world.primary()])
        await world.written()
        await world.hold(2.0)
    return one


async def total_loss(world: World) -> Outcome:
    """Every node and discovery; needs clients with a fallback."""
    nodes = world.cluster.node_ids
    async with fault(world, f"kill -9 of all, for {LOSS_S:g} s", READY_BOUND_S) as one:
        await world.kill([*nodes, DISCOVERY])
        one.killed_at = now()
        await world.hold(LOSS_S)
        await world.start([*nodes, DISCOVERY])
        one.back_at = await world.ready_at(nodes)
        await _returned(world)
    for name, seen in world.report.seen.items():
        fallen = [at for at, node in seen.answered if node == DYNAMODB and at >= one.begun]
        if fallen:
            one.fallback_s[name] = min(fallen) - one.killed_at
            one.return_s[name] = max(fallen) - one.back_at
    return one


async def _returned(world: World) -> None:
    """No client asks DynamoDB any more."""
    await world.until(
        lambda: not any(client.stats()["away"] for client in world.clients.values()),
        "both clients ask the cluster again",
    )


FAULTS: dict[str, Fault] = {
    "replica-killed": replica_killed,
    "primary-killed": primary_killed,
    "zone-killed": zone_killed,
    "other-zone-killed": other_zone_killed,
    "rolling-restart": rolling_restart,
    "primary-restarted": primary_restarted,
    "primary-paused": primary_paused,
    "replica-paused": replica_paused,
    "discovery-killed": discovery_killed,
    "total-loss": total_loss,
}
