"""Subnet groups: which zones nodes may be in. Pure.

A subnet's id stands for a zone. A file may say for which one; without it the ids of a group stand
for the cluster's zones in their order, and begin again with the first.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from discovery.control import names
from discovery.control.faults import fault, no_subnet_group
from discovery.control.paging import page
from discovery.control.records import DEFAULT_SUBNETS, SubnetGroup
from discovery.control.world import Asked, Done, World, told

GROUPS_MAX: Final = 50
SUBNETS_MAX: Final = 20
KIND: Final = "SUBNET_GROUP"


def create_subnet_group(world: World, asked: Asked) -> Done:
    name = _name(asked["SubnetGroupName"])
    if name in _groups(world):
        raise fault("SubnetGroupAlreadyExistsFault", f"Subnet group {name} already exists.")
    if len(world.records.subnet_groups) >= GROUPS_MAX:
        raise fault(
            "SubnetGroupQuotaExceededFault", f"There are {GROUPS_MAX} subnet groups already."
        )
    description = names.description(asked.get("Description", ""))
    made = SubnetGroup(description, _subnets(world, asked["SubnetIds"]))
    return _put(world, name, made, "The subnet group was created.")


def update_subnet_group(world: World, asked: Asked) -> Done:
    name = _name(asked["SubnetGroupName"])
    group = _group(world, name)
    if "Description" in asked:
        group = replace(group, description=names.description(asked["Description"]))
    if "SubnetIds" in asked:
        after = _subnets(world, asked["SubnetIds"])
        if name == DEFAULT_SUBNETS:
            missing = sorted({one for one, _ in group.subnets} - {one for one, _ in after})
            if missing:
                raise fault("SubnetInUse", f"Nodes of {world.place.cluster} are in {missing[0]}.")
            zones = dict(group.subnets)
            after = tuple((one, zones.get(one, zone)) for one, zone in after)
        _refuse_without_zones(world, name, {zone for _, zone in after})
        group = replace(group, subnets=after)
    return _put(world, name, group, "The subnet group was modified.")


def delete_subnet_group(world: World, asked: Asked) -> Done:
    name = _name(asked["SubnetGroupName"])
    _group(world, name)
    if name == DEFAULT_SUBNETS:
        raise fault(
            "SubnetGroupInUseFault", f"{name} is the subnet group of {world.place.cluster}."
        )
    for cluster, further in world.records.further.items():
        if further.subnet_group == name:
            raise fault("SubnetGroupInUseFault", f"{name} is the subnet group of {cluster}.")
    left = {k: v for k, v in world.records.subnet_groups.items() if k != name}
    event = world.event(KIND, name, "The subnet group was deleted.")
    result = {"DeletionMessage": f"Subnet group {name} has been deleted."}
    return Done(lambda _: result, replace(world.records, subnet_groups=left), (event,))


def describe_subnet_groups(world: World, asked: Asked) -> Done:
    known = _groups(world)
    wanted = [name.lower() for name in asked.get("SubnetGroupNames", ())]
    for name in wanted:
        _group(world, name)
    entries = [(one, _shown(world, one)) for one in sorted(known) if not wanted or one in wanted]
    return told(page(asked, "DescribeSubnetGroups", entries, "SubnetGroups"))


def _refuse_without_zones(world: World, name: str, zones: set[str]) -> None:
    """Denied: a further cluster has nodes in other zones."""
    for cluster, further in world.records.further.items():
        if further.subnet_group == name and not zones.issuperset(further.nodes.values()):
            missing = min(set(further.nodes.values()) - zones)
            raise fault("SubnetInUse", f"Nodes of {cluster} are in the zone {missing}.")


def _put(world: World, name: str, group: SubnetGroup, message: str) -> Done:
    groups = {**world.records.subnet_groups, name: group}
    event = world.event(KIND, name, message)
    return Done(
        lambda now: {"SubnetGroup": _shown(now, name)},
        replace(world.records, subnet_groups=groups),
        (event,),
    )


def _groups(world: World) -> Mapping[str, SubnetGroup]:
    """With the default one, which has a subnet for each zone with nodes."""
    stored = world.records.subnet_groups
    default = stored.get(DEFAULT_SUBNETS, SubnetGroup("Default subnet group"))
    own = tuple((_subnet_of(zone), zone) for zone in world.zones)
    more = tuple(one for one in default.subnets if one not in own)
    return {**stored, DEFAULT_SUBNETS: replace(default, subnets=own + more)}


def zones_of(world: World, name: str) -> tuple[str, ...]:
    """Where nodes of a cluster with this group may be, in its order; none: there is no such
    group. ``world``: the home cluster's."""
    group = _groups(world).get(name)
    return () if group is None else tuple(dict.fromkeys(zone for _, zone in group.subnets))


def _group(world: World, name: str) -> SubnetGroup:
    found = _groups(world).get(name)
    if found is None:
        raise no_subnet_group(name[: names.GROUP_NAME_CHARACTERS_MAX])
    return found


def _subnets(world: World, ids: list[str]) -> tuple[tuple[str, str], ...]:
    if not ids:
        raise fault("InvalidSubnet", "A subnet group has a subnet at least.")
    found = names.subnets(ids)
    if len(found) > SUBNETS_MAX:
        raise fault(
            "SubnetQuotaExceededFault", f"{len(found)} subnets; a group has at most {SUBNETS_MAX}."
        )
    zones, known = world.zones, world.subnet_zones
    if known is None:
        return tuple((one, zones[at % len(zones)]) for at, one in enumerate(found))
    for one in found:
        if one not in known:
            raise fault("InvalidSubnet", f"{one} is not in the file of subnets.")
    return tuple((one, known[one]) for one in found)


def _name(text: str) -> str:
    """In small letters, as it is stored. Denied, by the words of all services: these operations
    have no error of their own for it."""
    return names.group_name(text, "SubnetGroupName").lower()


def _subnet_of(zone: str) -> str:
    return f"subnet-{hashlib.sha256(zone.encode()).hexdigest()[:8]}"


def _vpc(world: World) -> str:
    return f"vpc-{hashlib.sha256(world.view.cluster_id.encode()).hexdigest()[:8]}"


def _shown(world: World, name: str) -> dict[str, Any]:
    group = _groups(world)[name]
    networks = ["ipv6" if ":" in world.front.host else "ipv4"]
    return {
        "SubnetGroupName": name,
        "Description": group.description,
        "VpcId": _vpc(world),
        "Subnets": [
            {
                "SubnetIdentifier": one,
                "SubnetAvailabilityZone": zone,
                "SupportedNetworkTypes": networks,
            }
            for one, zone in group.subnets
        ],
        "SupportedNetworkTypes": networks,
    }
