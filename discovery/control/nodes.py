"""The cluster's nodes: reboots, more and fewer of them. Pure."""

from __future__ import annotations

from discovery.control.clusters import check_factor, cluster, is_here
from discovery.control.faults import combination, fault, invalid
from discovery.control.world import Act, Asked, Done, World


def reboot_node(world: World, asked: Asked) -> Done:
    is_here(world, asked)
    node = asked["NodeId"]
    if world.view.member(node) is None:
        raise _no_node(node)
    if world.busy:
        raise _state(f"{min(world.busy)} is being rebooted; one node at a time is.")
    if not world.acts:
        raise _state("No launcher is configured here that could restart a node.")
    event = world.happened(f"The node {node} is rebooted by request.")
    return Done(lambda now: {"Cluster": cluster(now)}, world.records, (event,), Act("reboot", node))


def increase_replication_factor(world: World, asked: Asked) -> Done:
    is_here(world, asked)
    factor, before = asked["NewReplicationFactor"], len(world.view.members)
    check_factor(factor)
    if factor <= before:
        raise invalid(f"The cluster has {before} nodes; the new replication factor is to be more.")
    zones = asked.get("AvailabilityZones")
    if zones is not None and len(zones) != factor - before:
        raise combination(f"AvailabilityZones must have {factor - before} entries, one a new node.")
    raise fault(
        "InsufficientClusterCapacityFault",
        "No launcher is configured here that could start a node; 'paceline member add' takes in one"
        " that was started otherwise.",
    )


def decrease_replication_factor(world: World, asked: Asked) -> Done:
    is_here(world, asked)
    factor, before = asked["NewReplicationFactor"], len(world.view.members)
    if not 1 <= factor < before:
        raise invalid(f"The cluster has {before} nodes; the new replication factor is 1 to that.")
    if "AvailabilityZones" in asked and "NodeIdsToRemove" in asked:
        raise combination("Give AvailabilityZones or NodeIdsToRemove.")
    nodes = asked.get("NodeIdsToRemove", ())
    for one in nodes:
        if world.view.member(one) is None:
            raise _no_node(one)
    if nodes and len(set(nodes)) != before - factor:
        raise combination(f"NodeIdsToRemove must have {before - factor} entries.")
    raise _state(
        "No launcher is configured here that could stop a node; 'paceline member remove' takes one"
        " out of the cluster."
    )


def _no_node(node: str) -> Exception:
    return fault("NodeNotFoundFault", f"Node {node[:64]} not found.")


def _state(why: str) -> Exception:
    return fault("InvalidClusterStateFault", why)
