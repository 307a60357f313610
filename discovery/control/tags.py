"""Tags of the cluster, which are the only ones that DAX has. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from discovery.control.faults import fault, invalid, no_cluster
from discovery.control.paging import page
from discovery.control.world import Asked, Done, World, told

TAGS_MAX = 50
KEY_CHARACTERS_MAX = 128
VALUE_CHARACTERS_MAX = 256
_ALSO = "_.:/=+-@"


def list_tags(world: World, asked: Asked) -> Done:
    _is_here(world, asked)
    entries = [(one["Key"], one) for one in shown(world)]
    return told(page(asked, "ListTags", entries, "Tags"))


def tag_resource(world: World, asked: Asked) -> Done:
    _is_here(world, asked)
    tags = checked_tags(asked["Tags"], world.records.cluster.tags)
    return _changed(world, tags)


def untag_resource(world: World, asked: Asked) -> Done:
    _is_here(world, asked)
    before = world.records.cluster.tags
    for key in asked["TagKeys"]:
        if key not in before:
            raise fault("TagNotFoundFault", f"Tag {key[:KEY_CHARACTERS_MAX]} not found.")
    return _changed(world, {k: v for k, v in before.items() if k not in asked["TagKeys"]})


def checked_tags(given: Sequence[Mapping[str, str]], before: Mapping[str, str]) -> dict[str, str]:
    """All that there would be. Denied."""
    new: dict[str, str] = {}
    for one in given:
        if "Key" not in one:
            raise invalid("A tag has a Key.")
        key, value = one["Key"], one.get("Value", "")
        if not 1 <= len(key) <= KEY_CHARACTERS_MAX or not _fits(key):
            raise invalid(
                f"A tag's key has 1 to {KEY_CHARACTERS_MAX} letters, digits, spaces and {_ALSO}."
            )
        if len(value) > VALUE_CHARACTERS_MAX or not _fits(value):
            raise invalid(
                f"A tag's value has at most {VALUE_CHARACTERS_MAX} letters, digits, spaces and"
                f" {_ALSO}."
            )
        if key.lower().startswith("aws:"):
            raise invalid("Keys of tags that begin with aws: are AWS's own.")
        if key in new:
            raise invalid(f"The key {key} is there twice.")
        new[key] = value
    tags = {**before, **new}
    if len(tags) > TAGS_MAX:
        raise fault(
            "TagQuotaPerResourceExceeded", f"{len(tags)} tags; a cluster has at most {TAGS_MAX}."
        )
    return tags


def shown(world: World) -> list[dict[str, str]]:
    return [{"Key": k, "Value": v} for k, v in sorted(world.records.cluster.tags.items())]


def _changed(world: World, tags: Mapping[str, str]) -> Done:
    cluster = replace(world.records.cluster, tags=tags)
    records = replace(world.records, cluster=cluster)
    return Done(lambda now: {"Tags": shown(now)}, records)


def _is_here(world: World, asked: Asked) -> None:
    name = world.place.cluster_of(asked["ResourceName"])
    if name != world.place.cluster:
        raise no_cluster(name)


def _fits(text: Any) -> bool:
    return all(one.isalnum() or one in _ALSO or one.isspace() for one in text)
