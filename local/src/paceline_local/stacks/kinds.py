"""DAX's three types of resources: their properties, and what changes them in place. Pure.

``replaces`` is what the schemas of the types name as properties that can be set at creation alone.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from paceline_local.stacks.intrinsics import Later, later_in, text_of
from paceline_local.stacks.problems import Path, TemplateError

Form = Literal["text", "name", "number", "texts", "map", "object"]
TTL_MILLIS_DEFAULT: Final = "300000"
"""What a parameter that left a template gets: groups have no way to unset one."""


@dataclass(frozen=True, slots=True)
class Property:
    """``told``: whether discovery tells it. ``otherwise``: what it becomes when it leaves the
    template; None: it stays. ``small``: letters count as small ones."""

    form: Form = "text"
    replaces: bool = False
    told: bool = True
    required: bool = False
    otherwise: Any = None
    small: bool = False


@dataclass(frozen=True, slots=True)
class Kind:
    type: str
    word: str
    name: str
    """The property that is its name."""
    name_characters_max: int
    properties: Mapping[str, Property]

    def read(self, given: Mapping[str, Any], path: Path) -> dict[str, Any]:
        """In one form each, whichever it is written in. TemplateError."""
        for key in given:
            if key not in self.properties:
                raise TemplateError(f"{self.type} has no property {key}", (*path, key))
        for key, one in self.properties.items():
            if one.required and key not in given:
                raise TemplateError(f"{self.type} needs {key}", path)
        return {
            key: _read(self.properties[key], value, (*path, key))
            for key, value in given.items()
            if value is not None
        }

    def generated_name(self, stack: str, id: str, number: int) -> str:
        """``number``: how many it had before."""
        digest = hashlib.sha256(f"{stack}/{id}/{number}".encode()).hexdigest()[:6]
        room = min(self.name_characters_max, 100) - len(digest) - 1
        begin = re.sub(r"-+", "-", f"{stack}-{id}".lower())[:room].rstrip("-")
        return f"{begin}-{digest}"


CLUSTER: Final = Kind(
    "AWS::DAX::Cluster",
    "cluster",
    "ClusterName",
    20,
    {
        "ClusterName": Property("name", replaces=True, small=True),
        "NodeType": Property(replaces=True, required=True),
        "ReplicationFactor": Property("number", required=True),
        "IAMRoleARN": Property(replaces=True, told=False, required=True),
        "Description": Property(otherwise=""),
        "AvailabilityZones": Property("texts", told=False),
        "SubnetGroupName": Property("name", replaces=True, otherwise="default", small=True),
        "SecurityGroupIds": Property("texts"),
        "PreferredMaintenanceWindow": Property(otherwise="sun:05:00-sun:06:00", small=True),
        "NotificationTopicARN": Property(otherwise=""),
        "ParameterGroupName": Property("name", otherwise="default.dax1.0"),
        "SSESpecification": Property("object", replaces=True, told=False),
        "ClusterEndpointEncryptionType": Property(replaces=True, told=False),
        "NetworkType": Property(replaces=True, told=False),
        "Tags": Property("map", otherwise={}),
    },
)
SUBNET_GROUP: Final = Kind(
    "AWS::DAX::SubnetGroup",
    "subnet group",
    "SubnetGroupName",
    255,
    {
        "SubnetGroupName": Property("name", replaces=True, small=True),
        "Description": Property(otherwise=""),
        "SubnetIds": Property("texts", required=True),
    },
)
PARAMETER_GROUP: Final = Kind(
    "AWS::DAX::ParameterGroup",
    "parameter group",
    "ParameterGroupName",
    255,
    {
        "ParameterGroupName": Property("name", replaces=True),
        # DAX changes no description of a group: what a template says anew is noted alone.
        "Description": Property(told=False),
        "ParameterNameValues": Property("map", otherwise={}),
    },
)
KINDS: Final = {one.type: one for one in (CLUSTER, SUBNET_GROUP, PARAMETER_GROUP)}


def wanted_instead(kind: Kind, key: str, wanted: Any, there: Any) -> Any:
    """What is to be compared with what is there: parameters of a group that are in no template any
    more are as by default, for they cannot be unset."""
    if kind is PARAMETER_GROUP and key == "ParameterNameValues" and isinstance(wanted, dict):
        left = dict.fromkeys(set(there or {}) - set(wanted), TTL_MILLIS_DEFAULT)
        return {**left, **wanted}
    return wanted


def _read(form: Property, value: Any, path: Path) -> Any:
    if (later := later_in(value)) is not None:
        if form.replaces:
            raise TemplateError(f"{later} has to be known before", path)
        return later
    if form.form in ("text", "name"):
        if isinstance(value, dict | list):
            raise TemplateError("it is a text", path)
        text = text_of(value)
        return text.lower() if form.small else text
    if form.form == "number":
        if isinstance(value, bool) or not re.fullmatch(r"[0-9]{1,9}", text_of(value)):
            raise TemplateError("it is a whole number", path)
        return int(value)
    if form.form == "texts":
        return _texts(value, path)
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            raise TemplateError("it is a map, or JSON of one", path) from None
    if form.form == "map" and isinstance(value, list):
        value = _pairs(value, path)
    if not isinstance(value, dict) or any(isinstance(one, dict | list) for one in value.values()):
        raise TemplateError("it is a map of texts", path)
    return {str(key): text_of(one) for key, one in value.items()}


def _texts(value: Any, path: Path) -> list[str]:
    """A parameter of the type CommaDelimitedList comes as a list, a text as one of one."""
    values = value if isinstance(value, list) else [value]
    if any(isinstance(one, dict | list) for one in values):
        raise TemplateError("it is a list of texts", path)
    return [text_of(one) for one in values]


def _pairs(value: list[Any], path: Path) -> dict[str, Any]:
    """``[{"Key": …, "Value": …}]``, which other services' tags are."""
    if not all(isinstance(one, dict) and set(one) == {"Key", "Value"} for one in value):
        raise TemplateError("it is a map", path)
    return {text_of(one["Key"]): one["Value"] for one in value}


def shown(value: Any) -> str:
    """For people."""
    if value is None:
        return "nothing"
    if isinstance(value, Later):
        return str(value)
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k}: {one}" for k, one in sorted(value.items())) + "}"
    return ", ".join(value) if isinstance(value, list) else text_of(value) or "''"
