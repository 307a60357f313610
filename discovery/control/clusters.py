"""Clusters, told and changed. Pure.

The home cluster is that of the nodes which discovery follows, made by who started these; further
ones are made by ``creating``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from cluster.log.lifetimes import QUERY_TTL, RECORD_TTL
from cluster.log.state import VOTERS_MAX
from cluster.log.view import Member
from cluster.roster.endpoints import Health
from discovery.control import names
from discovery.control.addressing import inside
from discovery.control.faults import (
    combination,
    fault,
    invalid,
    no_cluster,
    no_parameter_group,
)
from discovery.control.paging import page
from discovery.control.records import (
    DEFAULT_PARAMETERS,
    DEFAULT_SUBNETS,
    ClusterRecord,
    ParameterGroup,
    Records,
)
from discovery.control.world import Asked, Done, Front, World, told

GIB: Final = 1024**3
NODE_TYPES: Final[Mapping[str, float]] = {
    "dax.t3.small": 1.5,
    "dax.t3.medium": 3.0,
    "dax.t2.small": 1.5,
    "dax.t2.medium": 3.0,
    **{
        f"dax.{family}.{size}": gib
        for family in ("r4", "r5", "r7i")
        for size, gib in {
            "large": 13.5,
            "xlarge": 26.5,
            "2xlarge": 52.0,
            "4xlarge": 104.0,
            "8xlarge": 208.0,
            "12xlarge": 312.0,
            "16xlarge": 416.0,
            "24xlarge": 624.0,
        }.items()
        if (family, size) not in {("r4", "12xlarge"), ("r4", "24xlarge")}
    },
}
"""Types of nodes, and what a node of each has for its caches, in GiB."""

DEFAULT_PORTS: Final = {False: 8111, True: 9111}
"""Of clusters without and with TLS, which clients take if an address has none."""

TOPIC_STATES: Final = ("active", "inactive")
NOT_ENFORCED: Final = "not-enforced"
"""The status of a security group: it is kept and told, and keeps nobody out."""


def describe_clusters(world: World, asked: Asked) -> Done:
    home, further = world.place.cluster, world.records.further
    wanted = [name.lower() for name in asked.get("ClusterNames", ())]
    for name in wanted:
        if name not in further and not world.place.is_named(name):
            raise no_cluster(name)
    known = sorted({home, *further})
    entries = [
        (one, cluster(world if one == home else inside(world, one)))
        for one in known
        if not wanted or one in wanted
    ]
    return told(page(asked, "DescribeClusters", entries, "Clusters"))


def update_cluster(world: World, asked: Asked) -> Done:
    is_here(world, asked)
    refuse_unless_running(world)
    if len(asked) == 1:
        raise combination("No modifications were requested.")
    before = world.records.cluster
    after = replace(before, **updates(world.records, before, asked))
    events = []
    if after.parameter_group != before.parameter_group:
        group = after.parameter_group
        events.append(world.happened(f"The parameter group is {group} now."))
    elif after != before:
        events.append(world.happened("The cluster was modified."))
    records = replace(world.records, cluster=after)
    return Done(lambda now: {"Cluster": cluster(now)}, records, tuple(events))


def updates(records: Records, before: ClusterRecord, asked: Asked) -> dict[str, Any]:
    made: dict[str, Any] = {}
    if "Description" in asked:
        made["description"] = names.description(asked["Description"])
    if "PreferredMaintenanceWindow" in asked:
        made["maintenance_window"] = names.window(asked["PreferredMaintenanceWindow"])
    if "NotificationTopicArn" in asked:
        made |= {"topic": names.topic(asked["NotificationTopicArn"]), "topic_status": "active"}
    if "NotificationTopicStatus" in asked:
        if asked["NotificationTopicStatus"] not in TOPIC_STATES:
            raise invalid("The parameter NotificationTopicStatus is active or inactive.")
        if not made.get("topic", before.topic):
            raise combination("The cluster has no notification topic; give NotificationTopicArn.")
        made["topic_status"] = asked["NotificationTopicStatus"]
    if "ParameterGroupName" in asked:
        name = asked["ParameterGroupName"]
        if parameter_group(records, name) is None:
            raise no_parameter_group(name)
        made["parameter_group"] = name
    if "SecurityGroupIds" in asked:
        made["security_groups"] = names.security_groups(asked["SecurityGroupIds"])
    return made


def is_here(world: World, asked: Asked) -> None:
    """Denied: there is no such cluster."""
    if not world.place.is_named(asked["ClusterName"]):
        raise no_cluster(asked["ClusterName"])


def check_factor(factor: int) -> None:
    """Denied."""
    if factor < 1:
        raise invalid("The replication factor must be at least 1.")
    if factor > VOTERS_MAX:
        raise fault(
            "NodeQuotaForClusterExceededFault",
            f"{factor} nodes; a cluster has at most {VOTERS_MAX}.",
        )


def parameter_group(records: Records, name: str) -> ParameterGroup | None:
    if name == DEFAULT_PARAMETERS:
        return ParameterGroup("Default parameter group for dax1.0")
    return records.parameter_groups.get(name)


def cluster(world: World) -> dict[str, Any]:
    """As DAX tells a cluster."""
    record, place, front = world.records.cluster, world.place, world.front
    beside = world.beside
    members = sorted(world.view.members, key=lambda one: one.id)
    nodes = [node(world, member) for member in members]
    known = {member.id for member in members}
    nodes += [
        {"NodeId": name, "AvailabilityZone": one.zone, "NodeStatus": "creating"}
        for name, one in sorted(world.acting.items())
        if one.kind == "add" and name not in known
    ]
    nodes += _nodes_to_be(world, {one["NodeId"] for one in nodes})
    removed = sorted(name for name, one in world.acting.items() if one.kind == "remove")
    states = [one["NodeStatus"] for one in nodes]
    pending = [one for one in nodes if one.get("ParameterGroupStatus") == "applying"]
    made = {
        "ClusterName": place.cluster,
        "Description": record.description,
        "ClusterArn": place.arn(place.cluster),
        "TotalNodes": len(nodes),
        "ActiveNodes": states.count("available"),
        "NodeType": beside.node_type if beside else node_type(world.facts.get("bytes_max", 0)),
        "Status": _status(world, states),
        "Nodes": nodes,
        "PreferredMaintenanceWindow": record.maintenance_window,
        "SubnetGroup": beside.subnet_group if beside else DEFAULT_SUBNETS,
        "SecurityGroups": [
            {"SecurityGroupIdentifier": one, "Status": NOT_ENFORCED}
            for one in record.security_groups
        ],
        "ParameterGroup": {
            "ParameterGroupName": record.parameter_group,
            "ParameterApplyStatus": "in-sync" if world.in_sync and not pending else "applying",
            "NodeIdsToReboot": [],
        },
        "SSEDescription": {"Status": "ENABLED"},
        "ClusterEndpointEncryptionType": "TLS" if front.only_tls else "NONE",
        "NetworkType": "ipv6" if ":" in front.host else "ipv4",
    }
    if front.host:
        made["ClusterDiscoveryEndpoint"] = {
            "Address": front.host,
            "Port": front.port,
            "URL": _url(front),
        }
    if removed:
        made["NodeIdsToRemove"] = removed
    if record.topic:
        made["NotificationConfiguration"] = {
            "TopicArn": record.topic,
            "TopicStatus": record.topic_status,
        }
    return made


def node(world: World, member: Member) -> dict[str, Any]:
    seen = world.records.observed.nodes.get(member.id)
    status = _node_status(world, member)
    made: dict[str, Any] = {
        "NodeId": member.id,
        "AvailabilityZone": member.zone,
        "NodeStatus": status,
        # A node that is there has what the log says in the moment in which it hears of it.
        "ParameterGroupStatus": "in-sync" if status == "available" else "applying",
    }
    address = _address(world.front, member)
    if address:
        host, _, port = address.rpartition(":")
        made["Endpoint"] = {"Address": host.strip("[]"), "Port": int(port)}
    if seen is not None:
        made["NodeCreateTime"] = seen.since
    return made


def node_type(bytes_max: int) -> str:
    """The smallest type that has as much memory for its caches."""
    fitting = [(gib, name) for name, gib in NODE_TYPES.items() if gib * GIB >= bytes_max]
    return min(fitting, key=lambda one: one[0])[1] if fitting else "dax.r5.24xlarge"


_DOING: Final = {"restart": "rebooting", "add": "creating", "remove": "deleting"}


def general_lifetimes(world: World) -> dict[str, str]:
    """What nodes go by where a group sets nothing: their own settings."""
    return {
        QUERY_TTL: str(world.facts.get("query_ttl_millis", 300_000)),
        RECORD_TTL: str(world.facts.get("record_ttl_millis", 300_000)),
    }


def refuse_unless_running(world: World) -> None:
    """Denied."""
    if world.beside is not None and world.beside.state != "running":
        raise fault("InvalidClusterStateFault", f"The cluster is {_STATES[world.beside.state]}.")


_STATES: Final = {
    "creating": "creating",
    "running": "available",
    "failed": "create-failed",
    "deleting": "deleting",
}


def _status(world: World, states: list[str]) -> str:
    """``unavailable``: a majority does not answer, so that writes fail."""
    if world.beside is not None and world.beside.state != "running":
        return _STATES[world.beside.state]
    down = sum(one in ("unreachable", "draining") for one in states)
    if 2 * down >= len(world.view.members):
        return "unavailable"
    return "modifying" if world.acting else "available"


def _nodes_to_be(world: World, known: set[str]) -> list[dict[str, Any]]:
    """Those of a further cluster that no roster tells of, or not yet."""
    beside = world.beside
    if beside is None or beside.state == "failed" or (known and beside.state == "running"):
        return []
    status = "unreachable" if beside.state == "running" else beside.state
    return [
        {"NodeId": name, "AvailabilityZone": zone, "NodeStatus": status}
        for name, zone in sorted(beside.nodes.items())
        if name not in known
    ]


def _node_status(world: World, member: Member) -> str:
    if world.beside is not None and world.beside.state == "deleting":
        return "deleting"
    doing = world.acting.get(member.id)
    if doing is not None:
        return _DOING[doing.kind]
    if member.draining:
        return "draining"
    health = world.health.get(member.id, Health.UNKNOWN)
    return "unreachable" if health is Health.UNREACHABLE else "available"


def _address(front: Front, member: Member) -> str:
    """The one of the listener of the same name, else any of the same kind; "" if it has none."""
    kind = "dax-tls/" if front.tls else "dax/"
    fitting = [at for name, at in sorted(member.addresses.items()) if name.startswith(kind)]
    return member.addresses.get(kind + front.listener) or (fitting[0] if fitting else "")


def _url(front: Front) -> str:
    scheme = "daxs" if front.tls else "dax"
    host = f"[{front.host}]" if ":" in front.host else front.host
    is_default = front.port == DEFAULT_PORTS[front.tls]
    return f"{scheme}://{host}" if is_default else f"{scheme}://{host}:{front.port}"
