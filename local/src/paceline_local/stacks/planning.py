"""What has to be done, by what is wanted, noted and there. Pure.

``what is wanted`` is the template with its parameters. ``Noted`` is what was wanted the last time.
``there`` is what discovery tells. What differs from what is there is changed; where that is not
what was noted either, somebody has changed it by hand.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from paceline_local.stacks.foreign import Foreign
from paceline_local.stacks.intrinsics import NO_VALUE, Later, Resolver, later_in
from paceline_local.stacks.kinds import CLUSTER, KINDS, Kind, wanted_instead
from paceline_local.stacks.problems import Path, TemplateError
from paceline_local.stacks.record import Note
from paceline_local.stacks.template import Resource, Template

Action = Literal["create", "update", "replace", "note", "delete", "forget"]


@dataclass(frozen=True, slots=True)
class Here:
    """Where the control plane is, by the ARNs that it tells. ``zones``: of the home cluster."""

    partition: str
    region: str
    account: str
    zones: tuple[str, ...] = ()

    def arn(self, kind: str, name: str) -> str:
        return f"arn:{self.partition}:dax:{self.region}:{self.account}:{kind}/{name}"


@dataclass(frozen=True, slots=True)
class Live:
    """A resource that is there. ``attributes``: what Fn::GetAtt gives of it."""

    properties: Mapping[str, Any]
    attributes: Mapping[str, str] = field(default_factory=dict)
    failed: bool = False
    """It could not be made."""


Lives = Mapping[tuple[str, str], Live]
"""By type and name."""


@dataclass(frozen=True, slots=True)
class Difference:
    """``before``: what is there, or was noted of what discovery does not tell."""

    property: str
    before: Any
    after: Any
    replaces: bool
    by_hand: bool


@dataclass(frozen=True, slots=True)
class Step:
    """``note``: as it is to be afterwards; ``before``: as it is. ``name``: of what is made, changed
    or deleted. ``later``: what has to be there first, so that its properties are known."""

    action: Action
    id: str
    kind: Kind
    name: str
    note: Note | None
    before: Note | None = None
    differences: tuple[Difference, ...] = ()
    why: str = ""
    later: Later | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """``foreign``: logical ids and types of resources that nothing is made of."""

    stack: str
    steps: tuple[Step, ...]
    foreign: tuple[tuple[str, str], ...] = ()
    outputs: Mapping[str, Any] = field(default_factory=dict)


def make_plan(
    template: Template,
    values: Mapping[str, Any],
    stack: str,
    here: Here,
    notes: Mapping[str, Note],
    lives: Lives,
) -> Plan:
    """``values``: of parameters. TemplateError: what is asked for cannot be."""
    return _Planner(template, values, stack, here, notes, lives).plan()


def plan_of_end(stack: str, notes: Mapping[str, Note], lives: Lives) -> Plan:
    """Of the deletion of a stack."""
    return Plan(stack, tuple(_endings(notes, set(), lives)))


class _Planner:
    def __init__(
        self,
        template: Template,
        values: Mapping[str, Any],
        stack: str,
        here: Here,
        notes: Mapping[str, Note],
        lives: Lives,
    ) -> None:
        self._template, self._stack, self._here = template, stack, here
        self._notes, self._lives = notes, lives
        self._pseudo = pseudo_of(here, stack)
        self._resolver = Resolver(
            {**self._pseudo, **values},
            template.mappings,
            template.conditions,
            here.zones,
            self._attribute,
        )
        self._known: dict[str, Callable[[str | None], Any]] = {}

    def plan(self) -> Plan:
        steps, foreign, ids = [], [], set()
        for one in self._template.resources.values():
            if one.condition and not self._resolver.holds(one.condition, one.path):
                continue
            path = (*one.path, "Properties")
            properties = self._resolver.value(dict(one.properties), path)
            kind = KINDS.get(one.kind)
            if kind is None:
                if one.kind.startswith("AWS::DAX::"):
                    raise TemplateError(f"there is no type {one.kind}", (*one.path, "Type"))
                foreign.append((one.id, one.kind))
                made = Foreign(self._stack, one.id, one.kind, properties, self._pseudo)
                self._known[one.id] = made.attribute
                continue
            ids.add(one.id)
            step, live = self._decided(kind, one, kind.read(properties, path))
            self._known[one.id] = self._attributes_of(kind, one.id, step, live)
            steps.append(step)
        outputs = self._outputs()
        doing = [one for one in steps if one.action != "note" or one.note != one.before]
        endings = _endings(self._notes, ids, self._lives)
        cleaning = [end for one in steps if one.note for end in _cleaning(one, self._lives)]
        ended = sorted([*endings, *cleaning], key=lambda one: one.kind is not CLUSTER)
        return Plan(self._stack, (*doing, *ended), tuple(foreign), outputs)

    def _decided(
        self, kind: Kind, one: Resource, wanted: Mapping[str, Any]
    ) -> tuple[Step, Live | None]:
        """The step is a ``note`` that changes nothing where there is nothing to do."""
        note, given = self._notes.get(one.id), wanted.get(kind.name)
        later = later_in(dict(wanted))
        new = Note(kind.type, "", wanted, keeps=one.keeps_on_delete)
        if note is None:
            name = given or kind.generated_name(self._stack, one.id, 0)
            self._refuse_what_is_there(kind, name, one.path)
            return Step("create", one.id, kind, name, replace(new, name=name), later=later), None
        if note.type != kind.type:
            raise TemplateError(
                f"it was a {note.type}: give what is new another logical id", (*one.path, "Type")
            )
        old = tuple(name for name in note.old if (note.type, name) in self._lives)
        new = replace(new, old=old, number=note.number)
        live = self._lives.get((note.type, note.name))
        if live is None:
            name = given or note.name
            if name != note.name:
                self._refuse_what_is_there(kind, name, one.path)
            why = "" if note.begun else f"{note.name} is not there any more"
            new = replace(new, name=name)
            return Step("create", one.id, kind, name, new, note, why=why, later=later), None
        found = differences(kind, wanted, note, live)
        why = "it could not be made" if live.failed else ""
        if live.failed or any(each.replaces for each in found):
            named_itself = given is None and live.failed and not found
            name = given or (
                note.name
                if named_itself
                else kind.generated_name(self._stack, one.id, note.number + 1)
            )
            number = note.number + (given is None and name != note.name)
            if name != note.name:
                self._refuse_what_is_there(kind, name, one.path)
                old = old if one.keeps_on_replace else (*old, note.name)
            new = replace(new, name=name, number=number, old=old)
            step = Step("replace", one.id, kind, name, new, note, found, why, later)
            return step, None
        new = replace(new, name=note.name)
        action: Action = "update" if found else "note"
        return Step(action, one.id, kind, note.name, new, note, found, later=later), live

    def _refuse_what_is_there(self, kind: Kind, name: str, path: Path) -> None:
        if (kind.type, name) in self._lives:
            raise TemplateError(
                f"the {kind.word} {name} exists, and the stack {self._stack} has not made it", path
            )

    def _attributes_of(
        self, kind: Kind, id: str, step: Step, live: Live | None
    ) -> Callable[[str | None], Any]:
        def attribute(name: str | None) -> Any:
            if name in (None, "Id"):
                return step.name
            if kind is CLUSTER and name == "Arn":
                return self._here.arn("cache", step.name)
            if kind is CLUSTER and name in (
                "ClusterDiscoveryEndpoint",
                "ClusterDiscoveryEndpointURL",
            ):
                return (live.attributes if live else {}).get(name, Later(f"{id}.{name}"))
            raise TemplateError(f"a {kind.word} has no attribute {name}")

        return attribute

    def _attribute(self, id: str, name: str | None, path: Path) -> Any:
        known = self._known.get(id)
        if known is None:
            hint = ": its condition does not hold" if id in self._template.resources else ""
            raise TemplateError(f"there is no {id}{hint}", path)
        try:
            return known(name)
        except TemplateError as error:
            raise TemplateError(str(error), path) from None

    def _outputs(self) -> dict[str, Any]:
        told = {}
        for name, one in self._template.outputs.items():
            path: Path = ("Outputs", name)
            if "Value" not in one:
                raise TemplateError("an output has a Value", path)
            condition = one.get("Condition")
            if condition and not self._resolver.holds(str(condition), path):
                continue
            value = self._resolver.value(one["Value"], (*path, "Value"))
            if isinstance(value, dict) or value is NO_VALUE:
                raise TemplateError("an output is a text", (*path, "Value"))
            told[name] = value
        return told


def pseudo_of(here: Here, stack: str) -> dict[str, Any]:
    where = f"{here.region}:{here.account}"
    return {
        "AWS::AccountId": here.account,
        "AWS::Region": here.region,
        "AWS::Partition": here.partition,
        "AWS::StackName": stack,
        "AWS::StackId": f"arn:{here.partition}:cloudformation:{where}:stack/{stack}/{stack}",
        "AWS::URLSuffix": "amazonaws.com.cn" if here.partition == "aws-cn" else "amazonaws.com",
        "AWS::NotificationARNs": [],
    }


def differences(
    kind: Kind, wanted: Mapping[str, Any], note: Note, live: Live
) -> tuple[Difference, ...]:
    """Between what is wanted and what is there."""
    found = []
    for key, one in kind.properties.items():
        noted = note.properties.get(key)
        if key == kind.name:
            name = wanted.get(key)
            if name != (noted and note.name):
                after = name or "a generated name"
                found.append(Difference(key, note.name, after, replaces=True, by_hand=False))
            continue
        after = wanted.get(key, None if noted is None else one.otherwise)
        if after is None and (one.told or noted is None or not one.replaces):
            continue
        there = live.properties.get(key) if one.told else noted
        after = wanted_instead(kind, key, after, there)
        if _alike(after, there) or (not one.told and not one.replaces):
            continue
        by_hand = one.told and not note.begun and noted is not None and not _alike(noted, there)
        found.append(Difference(key, there, after, one.replaces, by_hand))
    return tuple(found)


def _alike(one: Any, other: Any) -> bool:
    if isinstance(one, list) and isinstance(other, list):
        return sorted(one) == sorted(other)
    return bool(one == other)


def _endings(notes: Mapping[str, Note], stay: set[str], lives: Lives) -> list[Step]:
    """Of what is noted and not wanted any more: clusters first, since they are in the groups."""
    steps = []
    for id, note in notes.items():
        kind = KINDS[note.type]
        if id in stay:
            continue
        is_there = (note.type, note.name) in lives
        action: Action = "delete" if is_there and not note.keeps else "forget"
        why = "" if action == "delete" else "it is kept" if note.keeps else "it is gone"
        left = [old for old in note.old if (note.type, old) in lives]
        steps += [Step("delete", id, kind, old, note, note, why="it was replaced") for old in left]
        steps.append(Step(action, id, kind, note.name, None, note, why=why))
    return sorted(steps, key=lambda one: one.kind is not CLUSTER)


def _cleaning(step: Step, lives: Lives) -> Sequence[Step]:
    """Of what this resource has replaced, now or before."""
    assert step.note is not None
    return [
        Step("delete", step.id, step.kind, old, step.note, step.note, why="it was replaced")
        for old in step.note.old
        if (step.kind.type, old) in lives
    ]
