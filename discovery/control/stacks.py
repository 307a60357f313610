"""Stacks: what a template's resources have become, noted by who applied it. Pure.

DAX has no stacks. ``arn:aws:dax:REGION:ACCOUNT:stack/NAME`` is an ARN of ours, whose tags are the
resources of a stack: the key is one's logical id, the value a text of who applies templates
(``paceline_local/stacks/record.py``). They are told and changed by the operations on tags, so that
any client of DAX can, and whoever may change tags of that ARN may. Tags of clusters have other
bounds.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from discovery.control.addressing import for_any
from discovery.control.faults import fault, invalid
from discovery.control.names import Place
from discovery.control.paging import page
from discovery.control.world import Asked, Done, Operate, World, told

STACKS_MAX: Final = 20
RESOURCES_MAX: Final = 50
STACK_BYTES_MAX: Final = 16 * 1024
"""Of all of a stack's resources, as JSON: so all stacks that there may be fit into the log."""

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,127}")
_LOGICAL_ID = re.compile(r"[A-Za-z0-9]{1,128}")


def or_of_stack(of_cluster: Operate, of_stack: Operate) -> Operate:
    """The operation on tags, of a stack where the ARN is one's, else of whichever cluster."""
    for_clusters = for_any(of_cluster)

    @functools.wraps(of_cluster)
    def operate(world: World, asked: Asked) -> Done:
        is_stack = asked["ResourceName"].startswith(_arn(world.place, ""))
        return (of_stack if is_stack else for_clusters)(world, asked)

    return operate


def list_stack(world: World, asked: Asked) -> Done:
    entries = [(one["Key"], one) for one in _shown(world, _name(world, asked))]
    return told(page(asked, "ListTags", entries, "Tags"))


def tag_stack(world: World, asked: Asked) -> Done:
    name = _name(world, asked)
    resources = dict(world.records.stacks.get(name, {}))
    for one in asked["Tags"]:
        if not _LOGICAL_ID.fullmatch(one.get("Key", "")):
            raise invalid("A resource's logical id has 1 to 128 ASCII letters and digits.")
        resources[one["Key"]] = one.get("Value", "")
    if len(resources) > RESOURCES_MAX or len(json.dumps(resources)) > STACK_BYTES_MAX:
        raise fault(
            "TagQuotaPerResourceExceeded",
            f"A stack has at most {RESOURCES_MAX} resources in {STACK_BYTES_MAX} bytes.",
        )
    return _changed(world, name, resources)


def untag_stack(world: World, asked: Asked) -> Done:
    name = _name(world, asked)
    resources = world.records.stacks.get(name, {})
    for key in asked["TagKeys"]:
        if key not in resources:
            raise fault("TagNotFoundFault", f"Tag {key[:128]} not found.")
    return _changed(world, name, {k: v for k, v in resources.items() if k not in asked["TagKeys"]})


def _changed(world: World, name: str, resources: Mapping[str, str]) -> Done:
    """A stack without resources is none."""
    others = {k: v for k, v in world.records.stacks.items() if k != name}
    if resources and len(others) >= STACKS_MAX:
        raise fault("TagQuotaPerResourceExceeded", f"There are {STACKS_MAX} stacks already.")
    stacks = {**others, name: resources} if resources else others
    return Done(lambda now: {"Tags": _shown(now, name)}, replace(world.records, stacks=stacks))


def _shown(world: World, name: str) -> list[dict[str, str]]:
    resources = world.records.stacks.get(name, {})
    return [{"Key": key, "Value": value} for key, value in sorted(resources.items())]


def _name(world: World, asked: Asked) -> str:
    """Denied."""
    prefix = _arn(world.place, "")
    name = str(asked["ResourceName"]).removeprefix(prefix)
    if not _NAME.fullmatch(name):
        raise fault("InvalidARNFault", f"{prefix}NAME: letters, digits and hyphens, 128 at most.")
    return name


def _arn(place: Place, name: str) -> str:
    return f"arn:{place.partition}:dax:{place.region}:{place.account}:stack/{name}"
