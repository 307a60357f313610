"""A plan and outputs, for people and for programs. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from paceline_local.stacks.intrinsics import text_of
from paceline_local.stacks.kinds import shown
from paceline_local.stacks.planning import Plan, Step

_SIGNS: Final = {
    "create": "+",
    "update": "~",
    "replace": "±",
    "note": "·",
    "delete": "-",
    "forget": "·",
}
_WORDS: Final = {"note": "note anew", "update": "update in place"}


def lines_of(plan: Plan) -> list[str]:
    lines = [f"stack {plan.stack}"]
    for step in plan.steps:
        lines += _lines_of(step)
    if not plan.steps:
        lines.append("  no changes")
    lines += [f"  ? {id} ({kind}) is not ours: nothing is made of it" for id, kind in plan.foreign]
    return lines


def _lines_of(step: Step) -> list[str]:
    word = _WORDS.get(step.action, step.action)
    why = f": {step.why}" if step.why else ""
    lines = [f"  {_SIGNS[step.action]} {word} {step.kind.word} {step.name} ({step.id}){why}"]
    if step.action == "create" and step.note is not None:
        lines += [f"      {key}: {shown(one)}" for key, one in step.note.properties.items()]
    for one in step.differences:
        marks = ["needs replacement"] if one.replaces else []
        marks += ["was changed by hand"] if one.by_hand else []
        more = f" ({', '.join(marks)})" if marks else ""
        lines.append(f"      {one.property}: {shown(one.before)} → {shown(one.after)}{more}")
    if step.action == "replace" and step.before is not None:
        same = step.before.name == step.name
        lines.append(
            "      the old one is deleted first: the name is the same, and its cache is lost"
            if same
            else f"      {step.before.name} stays until this one is there"
        )
    return lines


def done_line(step: Step) -> str:
    past = {
        "create": "created",
        "update": "updated",
        "replace": "replaced",
        "note": "noted",
        "delete": "deleted",
        "forget": "forgotten",
    }[step.action]
    return f"{step.kind.word} {step.name} {past}"


def as_json(plan: Plan, *, applied: bool, drifted: bool) -> dict[str, Any]:
    """``applied``: whether it was done."""
    return {
        "stack": plan.stack,
        "applied": applied,
        "drift": drifted,
        "changes": [
            {
                "action": step.action,
                "logicalId": step.id,
                "type": step.kind.type,
                "name": step.name,
                "why": step.why,
                "properties": [
                    {
                        "name": one.property,
                        "before": _plain(one.before),
                        "after": _plain(one.after),
                        "replaces": one.replaces,
                        "byHand": one.by_hand,
                    }
                    for one in step.differences
                ],
            }
            for step in plan.steps
        ],
        "notOurs": dict(plan.foreign),
        "outputs": outputs_of(plan.outputs),
    }


def drift_in(plan: Plan) -> bool:
    return any(one.by_hand for step in plan.steps for one in step.differences)


def outputs_of(outputs: Mapping[str, Any]) -> dict[str, str]:
    return {
        name: ",".join(map(text_of, value)) if isinstance(value, list) else text_of(value)
        for name, value in outputs.items()
    }


def _plain(value: Any) -> Any:
    return value if isinstance(value, str | int | float | list | dict) else shown(value)
