"""Further clusters: made and deleted by request. Pure.

What is made is started by the launcher; ``life`` follows what becomes of it.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Final

from discovery.control import names
from discovery.control.addressing import changed, inside
from discovery.control.clusters import (
    NODE_TYPES,
    check_factor,
    cluster,
    is_here,
    node_type,
    updates,
)
from discovery.control.faults import combination, fault, invalid, no_subnet_group
from discovery.control.nodes import NO_LAUNCHER, NODE, check_node_quota, known_zones
from discovery.control.records import DEFAULT_SUBNETS, ClusterRecord, Further
from discovery.control.subnet_groups import zones_of
from discovery.control.tags import checked_tags
from discovery.control.world import Asked, ClusterAct, Done, World

CLUSTERS_MAX: Final = 10
"""With the home cluster."""

_ALSO_SET: Final = (
    *("Description", "PreferredMaintenanceWindow", "NotificationTopicArn"),
    *("ParameterGroupName", "SecurityGroupIds"),
)


def create_cluster(world: World, asked: Asked) -> Done:
    name, factor = asked["ClusterName"].lower(), asked["ReplicationFactor"]
    if world.place.is_named(asked["ClusterName"]) or name in world.records.further:
        raise fault("ClusterAlreadyExistsFault", f"Cluster {name} already exists.")
    if asked["NodeType"] not in NODE_TYPES:
        types = ", ".join(sorted(NODE_TYPES))
        raise invalid(f"Invalid node type: {asked['NodeType'][:64]}; types are {types}.")
    check_factor(factor)
    names.iam_role(asked["IamRoleArn"])
    record = replace(
        ClusterRecord(),
        **updates(world.records, ClusterRecord(), {k: asked[k] for k in _ALSO_SET if k in asked}),
    )
    record = replace(record, tags=checked_tags(asked.get("Tags", []), {}))
    subnets = asked.get("SubnetGroupName", DEFAULT_SUBNETS).lower()
    nodes = _nodes(world, asked, subnets)
    _check_ways(asked)
    if len(world.records.further) + 1 >= CLUSTERS_MAX:
        raise fault(
            "ClusterQuotaForCustomerExceededFault", f"There are {CLUSTERS_MAX} clusters already."
        )
    check_node_quota(world, factor)
    if not world.acts:
        raise fault(
            "InsufficientClusterCapacityFault", f"{NO_LAUNCHER} that could start a cluster."
        )
    made = Further(
        _id_of(world, name),
        "creating",
        round(world.now, 3),
        asked["NodeType"],
        cache_bytes(world, asked["NodeType"]),
        subnets,
        dict(nodes),
        cluster=record,
    )
    return Done(
        lambda now: {"Cluster": cluster(inside(now, name))},
        changed(world, name, made),
        (world.event("CLUSTER", name, "The cluster is created by request."),),
        (start_of(name, made),),
    )


def delete_cluster(world: World, asked: Asked) -> Done:
    name = asked["ClusterName"].lower()
    further = world.records.further.get(name)
    if further is None:
        is_here(world, asked)
        raise fault(
            "InvalidClusterStateFault",
            f"{world.place.cluster} has the records of the control plane, and ends with the"
            " programs that it was started by.",
        )
    inner = inside(world, name)
    if further.state in ("creating", "deleting"):
        raise fault("InvalidClusterStateFault", f"The cluster is {further.state}.")
    if inner.acting:
        busy = ", ".join(sorted(inner.acting))
        raise fault("InvalidClusterStateFault", f"The cluster is being modified: {busy}.")
    if not world.acts:
        raise fault("InvalidClusterStateFault", f"{NO_LAUNCHER} that could stop a cluster.")
    ends = replace(further, state="deleting", since=round(world.now, 3))
    told = cluster(inside(world.with_records(changed(world, name, ends)), name))
    return Done(
        lambda _: {"Cluster": told},
        changed(world, name, ends),
        (world.event("CLUSTER", name, "The cluster is deleted by request."),),
        (ClusterAct("end", name, further.id),),
    )


def start_of(name: str, further: Further) -> ClusterAct:
    return ClusterAct(
        "start", name, further.id, tuple(sorted(further.nodes.items())), further.cache_bytes
    )


def cache_bytes(world: World, kind: str) -> int:
    """A node's memory for its caches: as much more or less than that of the home cluster's nodes
    as the types differ."""
    own = world.facts.get("bytes_max", 0)
    return max(1, round(own * NODE_TYPES[kind] / NODE_TYPES[node_type(own)]))


def _nodes(world: World, asked: Asked, subnets: str) -> list[tuple[str, str]]:
    """Each one's id and zone. Denied."""
    zones = zones_of(world, subnets)
    if not zones:
        raise no_subnet_group(subnets[: names.GROUP_NAME_CHARACTERS_MAX])
    count, given = asked["ReplicationFactor"], asked.get("AvailabilityZones")
    if given is None:
        placed = [zones[at % len(zones)] for at in range(count)]
    else:
        if len(given) != count:
            raise combination(
                "AvailabilityZones must have as many entries as ReplicationFactor says."
            )
        placed = known_zones(replace(world, zones_given=zones), given)
    return [(f"{NODE}{number}", zone) for number, zone in enumerate(placed, 1)]


def _check_ways(asked: Asked) -> None:
    """Denied."""
    if asked.get("ClusterEndpointEncryptionType", "NONE") != "NONE":
        raise combination(
            "ClusterEndpointEncryptionType is NONE here: clusters have ports without TLS, and with"
            " it where the launcher gives them such ports."
        )
    if asked.get("NetworkType", "ipv4") != "ipv4":
        raise combination("NetworkType is ipv4 here.")


def _id_of(world: World, name: str) -> str:
    """Another one each time: nobody has made anything at this revision before."""
    text = f"{world.view.cluster_id}/{name}/{world.stored.revision}"
    return hashlib.sha256(text.encode()).hexdigest()[:16]
