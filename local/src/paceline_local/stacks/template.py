"""A template's sections, and which resources need which. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from paceline_local.stacks.problems import Path, TemplateError

RESOURCES_MAX: Final = 200
_LOGICAL_ID = re.compile(r"[A-Za-z0-9]{1,128}")
_SECTIONS: Final = {
    *("AWSTemplateFormatVersion", "Description", "Metadata", "Parameters", "Rules", "Mappings"),
    *("Conditions", "Transform", "Resources", "Outputs", "Hooks"),
}
_OF_RESOURCE: Final = {
    *("Type", "Properties", "DependsOn", "Condition", "DeletionPolicy", "UpdateReplacePolicy"),
    *("Metadata", "CreationPolicy", "UpdatePolicy"),
}
_VARIABLE = re.compile(r"\$\{([^!{}][^{}]*)\}")


@dataclass(frozen=True, slots=True)
class Resource:
    """As it is written; ``needs``: logical ids of what it refers to or depends on."""

    id: str
    kind: str
    properties: Mapping[str, Any]
    condition: str | None
    needs: frozenset[str]
    keeps_on_delete: bool
    keeps_on_replace: bool

    @property
    def path(self) -> Path:
        return ("Resources", self.id)


@dataclass(frozen=True, slots=True)
class Template:
    parameters: Mapping[str, Mapping[str, Any]]
    mappings: Mapping[str, Any]
    conditions: Mapping[str, Any]
    resources: Mapping[str, Resource]
    """Each after all that it needs."""
    outputs: Mapping[str, Mapping[str, Any]]
    description: str


def template_of(value: Any) -> Template:
    """TemplateError."""
    if not isinstance(value, dict):
        raise TemplateError("a template is a map with Resources")
    for name in value:
        if name not in _SECTIONS:
            raise TemplateError(f"{name} is no section of a template", (name,))
    for name in ("Transform", "Hooks", "Rules"):
        if value.get(name):
            raise TemplateError(f"{name} is not carried out here", (name,))
    if not value.get("Resources"):
        raise TemplateError("a template has Resources")
    written = _section(value, "Resources")
    if len(written) > RESOURCES_MAX:
        raise TemplateError(f"a template has at most {RESOURCES_MAX} resources", ("Resources",))
    resources = {name: _resource(name, one, written) for name, one in written.items()}
    return Template(
        _section(value, "Parameters"),
        _section(value, "Mappings"),
        _section(value, "Conditions", of_maps=False),
        _ordered(resources),
        _section(value, "Outputs"),
        str(value.get("Description") or ""),
    )


def _section(value: Mapping[str, Any], name: str, *, of_maps: bool = True) -> dict[str, Any]:
    found = value.get(name) or {}
    if not isinstance(found, dict):
        raise TemplateError("it is a map", (name,))
    for key, one in found.items():
        if of_maps and not isinstance(one, dict):
            raise TemplateError("it is a map", (name, key))
        if name != "Mappings" and not _LOGICAL_ID.fullmatch(key):
            raise TemplateError("a logical id has letters and digits alone", (name, key))
    return found


def _resource(name: str, one: Mapping[str, Any], all_ids: Mapping[str, Any]) -> Resource:
    path: Path = ("Resources", name)
    for key in one:
        if key not in _OF_RESOURCE:
            raise TemplateError(f"a resource has no {key}", (*path, key))
    kind, properties = one.get("Type"), one.get("Properties") or {}
    if not isinstance(kind, str):
        raise TemplateError("a resource has a Type", path)
    if not isinstance(properties, dict):
        raise TemplateError("it is a map", (*path, "Properties"))
    condition = one.get("Condition")
    if condition is not None and not isinstance(condition, str):
        raise TemplateError("it is the name of a condition", (*path, "Condition"))
    depends = one.get("DependsOn") or []
    listed = [depends] if isinstance(depends, str) else depends
    if not isinstance(listed, list) or not all(isinstance(each, str) for each in listed):
        raise TemplateError("it is a logical id or a list of them", (*path, "DependsOn"))
    for each in listed:
        if each not in all_ids:
            raise TemplateError(f"there is no resource {each}", (*path, "DependsOn"))
    used = {each for each in _named_in(properties) if each in all_ids}
    return Resource(
        name,
        kind,
        properties,
        condition,
        frozenset({*used, *listed}),
        _keeps(one, "DeletionPolicy", path),
        _keeps(one, "UpdateReplacePolicy", path),
    )


def _keeps(one: Mapping[str, Any], name: str, path: Path) -> bool:
    policy = one.get(name, "Delete")
    if policy not in ("Delete", "Retain", "RetainExceptOnCreate"):
        raise TemplateError("it is Delete or Retain", (*path, name))
    return bool(policy != "Delete")


def _named_in(value: Any) -> Iterator[str]:
    """All that Ref, Fn::GetAtt and Fn::Sub name, in whichever branch."""
    if isinstance(value, list):
        for one in value:
            yield from _named_in(one)
    elif isinstance(value, dict):
        for key, one in value.items():
            if key == "Ref" and isinstance(one, str):
                yield one
            elif key == "Fn::GetAtt":
                first = one[0] if isinstance(one, list) and one else str(one).partition(".")[0]
                yield str(first)
            elif key == "Fn::Sub":
                text = one[0] if isinstance(one, list) and one else one
                for variable in variables_of(text if isinstance(text, str) else ""):
                    yield variable.partition(".")[0]
                yield from _named_in(one)
            else:
                yield from _named_in(one)


def variables_of(text: str) -> list[str]:
    """Of a text of Fn::Sub: what stands in ``${…}``."""
    return [found[1].strip() for found in _VARIABLE.finditer(text)]


def with_variables(text: str, values: Mapping[str, str]) -> str:
    """``${!name}`` is the text ``${name}``."""
    put = _VARIABLE.sub(lambda found: values[found[1].strip()], text)
    return put.replace("${!", "${")


def _ordered(resources: Mapping[str, Resource]) -> dict[str, Resource]:
    """Each after what it needs; else in the order in which they are written."""
    ordered: dict[str, Resource] = {}
    left = dict(resources)
    while left:
        ready = [one for one in left.values() if one.needs <= ordered.keys()]
        if not ready:
            names = ", ".join(left)
            raise TemplateError(f"these need each other: {names}", next(iter(left.values())).path)
        ordered[ready[0].id] = left.pop(ready[0].id)
    return ordered
