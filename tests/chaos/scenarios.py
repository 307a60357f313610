"""What is done to a cluster under load: one function per kind of trouble, one call per round.

Every choice is drawn from the arena's generator, so a seed names a schedule (the machine decides
what happens meanwhile). A round ends with the cluster whole.
"""

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from tests.chaos.arena import BOUND_S, Arena
from tests.support.cluster import DISCOVERY

Round = Callable[[Arena], Awaitable[None]]

LONG_PAUSE_S = 5.0
"""Longer than every lease of the default settings, and than an election."""
DYNAMODB = "dynamodb"


@dataclass(frozen=True)
class Scenario:
    name: str
    about: str
    round: Round
    nodes_min: int = 3
    reads_may_fail: bool = False
    """There are times at which no node could reach DynamoDB, or no node ran."""
    leases_released: bool = False
    """A node stops gently."""
    own_dynamodb: bool = False
    """It needs a DynamoDB that survives SIGKILL."""


SCENARIOS: dict[str, Scenario] = {}


def scenario(
    name: str,
    about: str,
    *,
    nodes_min: int = 3,
    reads_may_fail: bool = False,
    leases_released: bool = False,
    own_dynamodb: bool = False,
) -> Callable[[Round], Round]:
    def register(round_: Round) -> Round:
        SCENARIOS[name] = Scenario(
            name, about, round_, nodes_min, reads_may_fail, leases_released, own_dynamodb
        )
        return round_

    return register


# -- nodes ----------------------------------------------------------------------------------


@scenario("primary-killed", "SIGKILL of the primary")
async def primary_killed(arena: Arena) -> None:
    await _killed(arena, [await arena.primary()], "the primary")


@scenario("replica-killed", "SIGKILL of a replica")
async def replica_killed(arena: Arena) -> None:
    await _killed(arena, [arena.rng.choice(await arena.replicas())], "a replica")


@scenario("two-killed", "SIGKILL of two nodes at once, the primary or not")
async def two_killed(arena: Arena) -> None:
    victims = arena.rng.sample(arena.cluster.node_ids, 2)
    await _killed(arena, victims, "two nodes")


async def _killed(arena: Arena, victims: list[str], who: str) -> None:
    majority = 2 * len(victims) < len(arena.cluster.node_ids)
    async with arena.fault(f"{who} killed: {', '.join(victims)}", writes_possible=majority) as one:
        for victim in victims:
            await arena.do(arena.cluster.kill, victim)
        if majority:
            await arena.written_since(one.at)
        await arena.hold(0.5, 2.0)
        one.healed()
        await arena.whole()


@scenario(
    "all-killed",
    "SIGKILL of every node, one after the other, each started again a moment later",
    reads_may_fail=True,
)
async def all_killed(arena: Arena) -> None:
    victims = list(arena.cluster.node_ids)
    arena.rng.shuffle(victims)
    async with arena.fault(f"killed in turn: {', '.join(victims)}", writes_possible=False) as one:
        for victim in victims:
            await arena.do(arena.cluster.kill, victim)
            await arena.hold(0.1, 1.0)
            await arena.do(arena.cluster.start_again, victim)
            await arena.hold(0.0, 2.0)
        one.healed()
        await arena.whole()


@scenario("last-node", "SIGKILL of all but the primary: reads go on, without a lease")
async def last_node(arena: Arena) -> None:
    survivor, victims = await arena.primary(), await arena.replicas()

    def lease_lost() -> bool:
        status = arena.cluster.status(survivor)
        return status is not None and not status["serving"]

    what = f"all but {survivor} killed: {', '.join(victims)}"
    async with arena.fault(what, writes_possible=False) as one:
        for victim in victims:
            await arena.do(arena.cluster.kill, victim)
        await arena.until(lease_lost, "the last node has no lease any more", BOUND_S)
        tally = arena.protocol.tally
        reads, node_reads = tally.reads, tally.node_reads
        await arena.until(
            lambda: tally.reads > reads + 20 and tally.node_reads > node_reads + 20,
            "reads go on",
            BOUND_S,
        )
        one.healed()
        await arena.whole()


@scenario("primary-paused", "SIGSTOP of the primary, shorter or longer than every lease")
async def primary_paused(arena: Arena) -> None:
    await _paused(arena, [await arena.primary()], "the primary")


@scenario("primary-replaced", "SIGSTOP of the primary until another node has taken over")
async def primary_replaced(arena: Arena) -> None:
    victim = await arena.primary()
    others = [node_id for node_id in arena.cluster.node_ids if node_id != victim]

    def another_leads() -> bool:
        found = [arena.cluster.status(node_id) for node_id in others]
        return any(status is not None and status["role"] == "primary" for status in found)

    async with arena.fault(f"the primary paused until there is another: {victim}") as one:
        arena.cluster.pause(victim)
        await arena.until(another_leads, "another node is primary", BOUND_S)
        await arena.written_since(one.at)
        await arena.hold(0.0, 2.0)
        arena.cluster.resume(victim)
        one.healed()
        await arena.whole()


@scenario("replica-paused", "SIGSTOP of a replica")
async def replica_paused(arena: Arena) -> None:
    await _paused(arena, [arena.rng.choice(await arena.replicas())], "a replica")


@scenario("all-paused", "SIGSTOP of every node at once", reads_may_fail=True)
async def all_paused(arena: Arena) -> None:
    await _paused(arena, arena.cluster.node_ids, "every node")


async def _paused(arena: Arena, victims: list[str], who: str) -> None:
    pause_s = arena.rng.choice((0.3, 0.8, 1.2, 1.7, 2.5, LONG_PAUSE_S))
    majority = 2 * len(victims) < len(arena.cluster.node_ids)
    what = f"{who} paused for {pause_s:g} s: {', '.join(victims)}"
    async with arena.fault(what, writes_possible=majority) as one:
        for victim in victims:
            arena.cluster.pause(victim)
        await asyncio.sleep(pause_s)
        for victim in victims:
            arena.cluster.resume(victim)
        one.healed()
        await arena.whole()


@scenario("rolling-restart", "each node stopped gently and started again", leases_released=True)
async def rolling_restart(arena: Arena) -> None:
    for node_id in arena.cluster.node_ids:
        async with arena.fault(f"{node_id} stopped and started again"):
            await arena.do(arena.terminate, node_id)
            await arena.do(arena.cluster.start_again, node_id)
            await arena.whole()


@scenario("discovery-killed", "SIGKILL of discovery: no client notices")
async def discovery_killed(arena: Arena) -> None:
    failed = arena.official.tally.read_failed
    unknown = arena.official.tally.unknown
    async with arena.fault("discovery killed"):
        await arena.do(arena.cluster.kill, DISCOVERY)
        # Longer than the official client's 4 s between two looks at the roster.
        await asyncio.sleep(5.0)
        assert arena.official.tally.read_failed == failed, "reads failed without discovery"
        assert arena.official.tally.unknown == unknown, "writes broke without discovery"
        await arena.whole()
    # A client that starts when discovery has just come back.
    await arena.official_writes(arena.join(f"late{len(arena.loads)}"))


# -- links ----------------------------------------------------------------------------------


@scenario("primary-isolated", "the primary parted from all other nodes")
async def primary_isolated(arena: Arena) -> None:
    primary = await arena.primary()
    await _parted(arena, [[primary]], f"the primary, {primary}, alone")


@scenario("primary-and-one", "the primary and one replica parted from the majority", nodes_min=5)
async def primary_and_one(arena: Arena) -> None:
    side = [await arena.primary(), arena.rng.choice(await arena.replicas())]
    await _parted(arena, [side], f"the primary and one more, {', '.join(side)}")


@scenario("replica-isolated", "a replica parted from all other nodes")
async def replica_isolated(arena: Arena) -> None:
    replica = arena.rng.choice(await arena.replicas())
    await _parted(arena, [[replica]], f"a replica, {replica}, alone")


@scenario("primary-mute", "what the primary sends to other nodes is lost, it hears them")
async def primary_mute(arena: Arena) -> None:
    primary = await arena.primary()
    await _parted(arena, [[primary]], f"the primary, {primary}, mute", one_way=True)


@scenario("primary-deaf", "what other nodes send to the primary is lost, they hear it")
async def primary_deaf(arena: Arena) -> None:
    primary = await arena.primary()
    others = [node_id for node_id in arena.cluster.node_ids if node_id != primary]
    await _parted(arena, [others, [primary]], f"the primary, {primary}, deaf", one_way=True)


@scenario("bridge", "the primary parted from one replica, while both reach the others")
async def bridge(arena: Arena) -> None:
    primary = await arena.primary()
    other = arena.rng.choice(await arena.replicas())
    await _parted(arena, [[primary], [other]], f"{primary} and {other} from each other")


async def _parted(
    arena: Arena, groups: list[list[str]], what: str, *, one_way: bool = False
) -> None:
    cut = not one_way and arena.rng.random() < 0.5
    how = "connections reset" if cut else "silence"
    async with arena.fault(f"partition: {what} ({how})") as one:
        await arena.do(lambda: arena.links.partition(*groups, one_way=one_way, cut=cut))
        await arena.written_since(one.at)
        await arena.hold(1.0, 4.0)
        one.healed()
        await arena.whole()


@scenario("slow-links", "latency, jitter and little bandwidth between the nodes")
async def slow_links(arena: Arena) -> None:
    latency_s = arena.rng.choice((0.005, 0.02, 0.05))
    async with arena.fault(f"links slower by {1000 * latency_s:g} ms each way"):
        await arena.do(lambda: arena.links.latency(latency_s, jitter_s=latency_s / 2))
        await arena.do(lambda: arena.links.bandwidth(500_000))
        await arena.hold(3.0, 6.0)
        await arena.whole()


@scenario("flapping-links", "links between random nodes that break and come back again and again")
async def flapping_links(arena: Arena) -> None:
    pairs = list(itertools.combinations(arena.cluster.node_ids, 2))
    async with arena.fault("links break and come back") as one:
        for _ in range(10):
            a, b = arena.rng.choice(pairs)
            cut = arena.rng.random() < 0.5
            await arena.do(lambda a=a, b=b, cut=cut: arena.links.partition(a, b, cut=cut))
            await arena.hold(0.05, 0.8)
            await arena.do(arena.heal_links)
            await arena.hold(0.0, 0.3)
        one.healed()
        await arena.whole()


@scenario("breaking-links", "connections between nodes are reset at random")
async def breaking_links(arena: Arena) -> None:
    async with arena.fault("2 % of what arrives resets its connection"):
        await arena.do(lambda: arena.links.drop(0.02))
        await arena.hold(3.0, 6.0)
        await arena.whole()


# -- DynamoDB -------------------------------------------------------------------------------


@scenario(
    "dynamodb-unreachable", "DynamoDB refuses every node, or does not answer", reads_may_fail=True
)
async def dynamodb_unreachable(arena: Arena) -> None:
    hang = arena.rng.random() < 0.5
    how = "hangs" if hang else "refuses"
    async with arena.fault(f"DynamoDB {how}", writes_possible=False) as one:
        await arena.do(lambda: arena.links.dynamodb_down(hang=hang))
        await arena.hold(1.0, 5.0)
        one.healed()
        await arena.whole()


@scenario("primary-from-dynamodb", "DynamoDB cannot be reached from the primary alone")
async def primary_from_dynamodb(arena: Arena) -> None:
    """The lease says nothing of DynamoDB: writes stop as long as it lasts, reads go on."""
    primary, hang = await arena.primary(), arena.rng.random() < 0.5
    what = f"DynamoDB {'hangs' if hang else 'refuses'} for the primary"
    async with arena.fault(what, writes_possible=False) as one:
        await arena.do(lambda: arena.links.dynamodb_down(primary, hang=hang))
        await arena.hold(1.0, 5.0)
        one.healed()
        await arena.whole()


@scenario("dynamodb-slow", "DynamoDB answers late")
async def dynamodb_slow(arena: Arena) -> None:
    latency_s = arena.rng.choice((0.05, 0.15))
    async with arena.fault(f"DynamoDB {1000 * latency_s:g} ms further away, each way"):
        await arena.do(lambda: arena.links.dynamodb_latency(latency_s, jitter_s=latency_s / 2))
        await arena.hold(3.0, 6.0)
        await arena.whole()


@scenario("throttling", "DynamoDB throttles half of all requests", reads_may_fail=True)
async def throttling(arena: Arena) -> None:
    async with arena.fault("half of all requests to DynamoDB throttled"):
        await arena.do(lambda: arena.links.throttle(0.5))
        await arena.hold(3.0, 6.0)
        await arena.whole()


@scenario(
    "dynamodb-errors",
    "DynamoDB answers some requests with 500, having carried them out or not",
    reads_may_fail=True,
)
async def dynamodb_errors(arena: Arena) -> None:
    async with arena.fault("10 % of requests answered with 500, before or after they are done"):
        await arena.do(lambda: arena.links.dynamodb_errors(0.05))
        await arena.do(lambda: arena.links.dynamodb_errors(0.05, after=True))
        await arena.hold(3.0, 6.0)
        await arena.whole()


@scenario(
    "dynamodb-killed",
    "SIGKILL of DynamoDB, started again on its data",
    reads_may_fail=True,
    own_dynamodb=True,
)
async def dynamodb_killed(arena: Arena) -> None:
    assert arena.dynamodb is not None
    async with arena.fault("DynamoDB killed", writes_possible=False) as one:
        await arena.do(arena.dynamodb.kill)
        await arena.hold(0.2, 3.0)
        await arena.do(arena.dynamodb.start)
        one.healed()
        await arena.whole()


# -- everything -----------------------------------------------------------------------------


@scenario("everything", "several of the above at once, at random", reads_may_fail=True)
async def everything(arena: Arena) -> None:
    rng, nodes = arena.rng, arena.cluster.node_ids
    async with arena.fault("several troubles at once", writes_possible=False) as one:
        for _ in range(rng.randint(4, 8)):
            victim, other = rng.sample(nodes, 2)
            match rng.randrange(6):
                case 0:
                    await arena.do(arena.cluster.kill, victim)
                case 1:
                    arena.pause(victim)
                case 2:
                    await arena.do(lambda v=victim, o=other: arena.links.partition(v, o))
                case 3:
                    await arena.do(
                        lambda v=victim: arena.links.partition(
                            v, one_way=rng.random() < 0.5, dynamodb=rng.random() < 0.3
                        )
                    )
                case 4:
                    await arena.do(lambda: arena.links.latency(0.02, jitter_s=0.02))
                case 5:
                    await arena.do(arena.heal_links)
            await arena.hold(0.1, 1.5)
            if rng.random() < 0.4:
                await arena.do(arena.restart_dead)
        one.healed()
        await arena.whole()
