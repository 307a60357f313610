"""Parameter groups: how long caches keep things. Pure.

A group has what was set in it. What was not is as the nodes' own settings say, which is also what
the default group tells: nobody has set anything in that one.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from cluster.log.lifetimes import QUERY_TTL, RECORD_TTL, TTL_MILLIS_MAX, millis_of
from discovery.control import names
from discovery.control.clusters import general_lifetimes, parameter_group
from discovery.control.faults import combination, fault, invalid, no_parameter_group
from discovery.control.paging import page
from discovery.control.records import DEFAULT_PARAMETERS, ParameterGroup, Records
from discovery.control.world import Asked, Done, World, told

GROUPS_MAX: Final = 20
"""As many as an account may have by AWS in a region."""

KIND: Final = "PARAMETER_GROUP"
PARAMETERS: Final = {
    QUERY_TTL: "Duration in milliseconds for queries to remain cached",
    RECORD_TTL: "Duration in milliseconds for records to remain valid in cache",
}
"""Each one's name and what it is, in the order of names."""

SET, GENERAL = "user", "system"
"""Where a parameter's value comes from: the group, or the nodes' settings."""


def create_parameter_group(world: World, asked: Asked) -> Done:
    name = names.group_name(asked["ParameterGroupName"], "ParameterGroupName")
    groups = world.records.parameter_groups
    if parameter_group(world.records, name) is not None:
        raise fault("ParameterGroupAlreadyExistsFault", f"Parameter group {name} already exists.")
    if name.lower().startswith("default."):
        raise invalid("Names of parameter groups that begin with default. are DAX's own.")
    if len(groups) >= GROUPS_MAX:
        raise fault(
            "ParameterGroupQuotaExceededFault", f"There are {GROUPS_MAX} parameter groups already."
        )
    made = ParameterGroup(names.description(asked.get("Description", "")))
    records = replace(world.records, parameter_groups={**groups, name: made})
    event = world.event(KIND, name, "The parameter group was created.")
    return Done(lambda now: {"ParameterGroup": _shown(now.records, name)}, records, (event,))


def update_parameter_group(world: World, asked: Asked) -> Done:
    name = asked["ParameterGroupName"]
    group = _group(world, name)
    given = asked["ParameterNameValues"]
    if not given:
        raise invalid("The parameter ParameterNameValues must have an entry.")
    values: dict[str, str] = {}
    for one in given:
        if set(one) != {"ParameterName", "ParameterValue"}:
            raise combination("A parameter has a ParameterName and a ParameterValue.")
        parameter, value = one["ParameterName"], one["ParameterValue"]
        if parameter not in PARAMETERS:
            raise invalid(
                f"Invalid parameter: {parameter[:64]}; parameters are {', '.join(PARAMETERS)}."
            )
        if parameter in values:
            raise combination(f"The parameter {parameter} is there twice.")
        millis = millis_of(value)
        if millis is None:
            raise invalid(
                f"Invalid value of {parameter}: {value[:64]}; it is a whole number of milliseconds"
                f" from 0 to {TTL_MILLIS_MAX}."
            )
        values[parameter] = str(millis)
    if name == DEFAULT_PARAMETERS:
        raise fault(
            "InvalidParameterGroupStateFault", f"{name} cannot be modified; create a group."
        )
    after = replace(group, values={**group.values, **values})
    groups = {**world.records.parameter_groups, name: after}
    told_values = ", ".join(f"{k} {v}" for k, v in sorted(values.items()))
    event = world.event(KIND, name, f"The parameter group was modified: {told_values}.")
    return Done(
        lambda now: {"ParameterGroup": _shown(now.records, name)},
        replace(world.records, parameter_groups=groups),
        (event,),
    )


def delete_parameter_group(world: World, asked: Asked) -> Done:
    name = asked["ParameterGroupName"]
    _group(world, name)
    if name == DEFAULT_PARAMETERS:
        raise fault("InvalidParameterGroupStateFault", f"{name} cannot be deleted.")
    if name == world.records.cluster.parameter_group:
        raise fault(
            "InvalidParameterGroupStateFault",
            f"{name} is the parameter group of the cluster {world.place.cluster}.",
        )
    for cluster, further in world.records.further.items():
        if further.cluster.parameter_group == name:
            raise fault(
                "InvalidParameterGroupStateFault",
                f"{name} is the parameter group of the cluster {cluster}.",
            )
    left = {k: v for k, v in world.records.parameter_groups.items() if k != name}
    event = world.event(KIND, name, "The parameter group was deleted.")
    result = {"DeletionMessage": f"Parameter group {name} has been deleted."}
    return Done(lambda _: result, replace(world.records, parameter_groups=left), (event,))


def describe_parameter_groups(world: World, asked: Asked) -> Done:
    wanted = asked.get("ParameterGroupNames")
    for name in wanted or ():
        _group(world, name)
    known = sorted({*world.records.parameter_groups, DEFAULT_PARAMETERS})
    entries = [(one, _shown(world.records, one)) for one in known if not wanted or one in wanted]
    return told(page(asked, "DescribeParameterGroups", entries, "ParameterGroups"))


def describe_parameters(world: World, asked: Asked) -> Done:
    group = _group(world, asked["ParameterGroupName"])
    source = asked.get("Source")
    if source not in (None, SET, GENERAL):
        raise invalid(f"The parameter Source is {SET} or {GENERAL}.")
    entries = [
        (one["ParameterName"], one)
        for one in _parameters(world, group)
        if source in (None, one["Source"])
    ]
    return told(page(asked, "DescribeParameters", entries, "Parameters"))


def describe_default_parameters(world: World, asked: Asked) -> Done:
    entries = [(one["ParameterName"], one) for one in _parameters(world, ParameterGroup())]
    return told(page(asked, "DescribeDefaultParameters", entries, "Parameters"))


def _group(world: World, name: str) -> ParameterGroup:
    found = parameter_group(world.records, name)
    if found is None:
        raise no_parameter_group(name[: names.GROUP_NAME_CHARACTERS_MAX])
    return found


def _shown(records: Records, name: str) -> dict[str, str]:
    group = parameter_group(records, name)
    return {"ParameterGroupName": name, "Description": group.description if group else ""}


def _parameters(world: World, group: ParameterGroup) -> list[dict[str, Any]]:
    general = general_lifetimes(world)
    return [
        {
            "ParameterName": name,
            "ParameterType": "DEFAULT",
            "ParameterValue": group.values.get(name, general[name]),
            "NodeTypeSpecificValues": [],
            "Description": what,
            "Source": SET if name in group.values else GENERAL,
            "DataType": "integer",
            "AllowedValues": f"0-{TTL_MILLIS_MAX}",
            "IsModifiable": "TRUE",
            "ChangeType": "IMMEDIATE",
        }
        for name, what in PARAMETERS.items()
    ]
