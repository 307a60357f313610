"""The cluster's nodes: reboots, more and fewer of them. Pure.

What is to be done stands in the records until it is done, so that every discovery process tells of
it, and none begins something else meanwhile.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from cluster.access.denied import Denied
from cluster.log.state import VOTERS_MAX
from cluster.roster.endpoints import Health
from discovery.control.addressing import decided_inside
from discovery.control.clusters import check_factor, cluster, is_here, refuse_unless_running
from discovery.control.faults import combination, fault, invalid
from discovery.control.records import Acting, Event
from discovery.control.world import Act, Asked, Done, World, told

NO_LAUNCHER = "No launcher is configured here (PACELINE_LAUNCHER_SOCKET, or _COMMAND)"
NODES_MAX = 60
"""The most nodes of all clusters together, since metrics are kept of 64. The home cluster counts
with ``HOME_NODES_MAX``, however many it has."""
HOME_NODES_MAX = VOTERS_MAX
NODE = "node-"
"""What the ids of added nodes begin with; a number follows."""

_DONE = {"restart": "rebooted", "add": "added", "remove": "removed"}


def reboot_node(world: World, asked: Asked) -> Done:
    is_here(world, asked)
    node = asked["NodeId"]
    if world.view.member(node) is None:
        raise _no_node(node)
    _refuse_busy(world)
    if not world.acts:
        raise _state(f"{NO_LAUNCHER} that could restart a node.")
    _refuse_without_majority(world, {node})
    return _begin(world, [Act("restart", node)], f"The node {node} is rebooted by request.")


def increase_replication_factor(world: World, asked: Asked) -> Done:
    is_here(world, asked)
    factor, before = asked["NewReplicationFactor"], len(world.view.members)
    check_factor(factor)
    if factor <= before:
        raise invalid(f"The cluster has {before} nodes; the new replication factor is to be more.")
    given = asked.get("AvailabilityZones")
    if given is not None and len(given) != factor - before:
        raise combination(f"AvailabilityZones must have {factor - before} entries, one a new node.")
    zones = _more_zones(world, factor - before) if given is None else known_zones(world, given)
    _refuse_busy(world)
    if not world.acts:
        raise fault(
            "InsufficientClusterCapacityFault",
            f"{NO_LAUNCHER} that could start a node; 'paceline member add' takes in one that was"
            " started otherwise.",
        )
    if world.beside is not None:
        check_node_quota(world, factor - before)
    _refuse_without_majority(world, set())
    known = {member.id for member in world.view.members}
    free = [
        one for one in (f"{NODE}{n}" for n in range(1, factor + before + 1)) if one not in known
    ]
    acts = [Act("add", node, zone) for node, zone in zip(free, zones, strict=False)]
    return _begin(world, acts, f"The replication factor is raised from {before} to {factor}.")


def decrease_replication_factor(world: World, asked: Asked) -> Done:
    is_here(world, asked)
    factor, before = asked["NewReplicationFactor"], len(world.view.members)
    if not 1 <= factor < before:
        raise invalid(f"The cluster has {before} nodes; the new replication factor is 1 to less.")
    if "AvailabilityZones" in asked and "NodeIdsToRemove" in asked:
        raise combination("Give AvailabilityZones or NodeIdsToRemove.")
    nodes = _to_remove(world, asked, before - factor)
    _refuse_busy(world)
    if not world.acts:
        raise _state(
            f"{NO_LAUNCHER} that could stop a node; 'paceline member remove' takes one out of the"
            " cluster."
        )
    _refuse_without_majority(world, set())
    zones = {member.id: member.zone for member in world.view.members}
    acts = [Act("remove", node, zones[node]) for node in nodes]
    return _begin(world, acts, f"The replication factor is lowered from {before} to {factor}.")


def ended(world: World, act: Act, problem: str) -> Done:
    """``world``: the home cluster's, and the act may be of a further one."""
    if not act.cluster:
        return _ended(world, act, problem)
    if act.cluster not in world.records.further:
        return told({})
    return decided_inside(world, act.cluster, lambda inner: _ended(inner, act, problem))


def _ended(world: World, act: Act, problem: str) -> Done:
    """Takes it from the records. ``problem``: why it failed, or an empty text. What it has come to
    is seen in the roster, by which it is written down."""
    left = {k: one for k, one in world.records.acting.items() if k != act.node}
    events: tuple[Event, ...] = ()
    if problem:
        events = (world.happened(f"The node {act.node} was not {_DONE[act.kind]}: {problem}"),)
    return Done(lambda _: {}, replace(world.records, acting=left), events)


def _begin(world: World, acts: Sequence[Act], message: str) -> Done:
    since = round(world.now, 3)
    acting = {act.node: Acting(act.kind, since, act.zone) for act in acts}
    records = replace(world.records, acting=acting)
    return Done(
        lambda now: {"Cluster": cluster(now)}, records, (world.happened(message),), tuple(acts)
    )


def check_node_quota(world: World, more: int) -> None:
    """Denied. ``world``: anybody's."""
    further = world.records.further.values()
    count = more + sum(len(one.nodes) for one in further) + HOME_NODES_MAX
    if count > NODES_MAX:
        raise fault(
            "NodeQuotaForCustomerExceededFault",
            f"{count} nodes, with {HOME_NODES_MAX} for the home cluster; there are at most"
            f" {NODES_MAX}.",
        )


def _refuse_busy(world: World) -> None:
    refuse_unless_running(world)
    if world.acting:
        raise _state(f"The cluster is being modified: {', '.join(sorted(world.acting))}.")


def _refuse_without_majority(world: World, without: set[str]) -> None:
    """Denied: too few of the others would be left to decide anything. Whoever has a single node
    knows what its restart means."""
    members = world.view.members
    there = [
        one.id
        for one in members
        if one.id not in without
        and not one.draining
        and world.health.get(one.id, Health.UNKNOWN) is not Health.UNREACHABLE
    ]
    if len(members) > 2 and 2 * len(there) <= len(members):
        raise _state(f"Of {len(members)} nodes only {len(there)} would be there, no majority.")


def _more_zones(world: World, count: int) -> list[str]:
    """One for each new node: that with the fewest nodes, the first of several."""
    nodes = [member.zone for member in world.view.members]
    for _ in range(count):
        nodes.append(min(world.zones, key=lambda zone: (nodes.count(zone), zone)))
    return nodes[-count:]


def known_zones(world: World, given: Sequence[str]) -> list[str]:
    """With or without the region in front. Denied."""
    found = [zone.removeprefix(world.place.region) for zone in given]
    for zone, text in zip(found, given, strict=True):
        if zone not in world.zones:
            raise invalid(f"There is no zone {text[:64]}; there are {', '.join(world.zones)}.")
    return found


def _to_remove(world: World, asked: Asked, count: int) -> list[str]:
    """Those that are named, one of each zone that is named, or the latest ones that are not the
    primary. Denied."""
    members = sorted(
        world.view.members, key=lambda one: (one.id == world.view.primary, -one.number)
    )
    if "NodeIdsToRemove" in asked:
        named = list(dict.fromkeys(asked["NodeIdsToRemove"]))
        for one in named:
            if world.view.member(one) is None:
                raise _no_node(one)
        if len(named) != count:
            raise combination(f"NodeIdsToRemove must have {count} entries.")
        return named
    if "AvailabilityZones" not in asked:
        return [member.id for member in members[:count]]
    zones = known_zones(world, asked["AvailabilityZones"])
    if len(zones) != count:
        raise combination(f"AvailabilityZones must have {count} entries, one for each node.")
    chosen: list[str] = []
    for zone in zones:
        left = [one.id for one in members if one.zone == zone and one.id not in chosen]
        if not left:
            raise combination(f"The zone {zone} has not as many nodes.")
        chosen.append(left[0])
    return chosen


def _no_node(node: str) -> Denied:
    return fault("NodeNotFoundFault", f"Node {node[:64]} not found.")


def _state(why: str) -> Denied:
    return fault("InvalidClusterStateFault", why)
