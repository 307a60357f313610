"""From a file to its outputs: what is wanted is read, planned, shown and done."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from paceline.errors import ConfigError, PacelineError
from paceline_local.stacks import parameters
from paceline_local.stacks.acting import Doer
from paceline_local.stacks.control_plane import ControlPlane, Refused
from paceline_local.stacks.planning import Plan, Step, make_plan, plan_of_end
from paceline_local.stacks.problems import TemplateError
from paceline_local.stacks.telling import done_line
from paceline_local.stacks.template import template_of
from paceline_local.stacks.template_text import BYTES_MAX, Located, read_template

_STACK = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,127}")
ROUNDS_MAX: Final = 50
"""Plans in which something has to be there before something else is known."""

Planned = Callable[[], Plan]
Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Template:
    """A file, read. ``name``: as it was given."""

    name: str
    located: Located
    given: Mapping[str, str] = field(default_factory=dict)


def read_file(path: Path, given: Mapping[str, str]) -> Template:
    """ConfigError, which names the line."""
    try:
        with path.open("rb") as file:
            data = file.read(BYTES_MAX + 1)
    except OSError as error:
        raise ConfigError(f"cannot read the template: {error}") from error
    try:
        return Template(str(path), read_template(data), given)
    except TemplateError as error:
        raise ConfigError(f"{path}:{error.line or 1}: {error}") from None


def read_parameters(words: list[str]) -> dict[str, str]:
    """``NAME=VALUE``, or the name of a file (``file://`` before it or not). ConfigError."""
    given: dict[str, str] = {}
    for word in words:
        name = word.removeprefix("file://")
        if "=" in word and not word.startswith("file://"):
            more = parameters.given_in([word])
        else:
            try:
                with Path(name).open(encoding="utf-8") as file:
                    more = parameters.given_in_file(json.loads(file.read(BYTES_MAX)))
            except (OSError, ValueError, RecursionError) as error:
                raise ConfigError(f"cannot read parameters from {name}: {error}") from error
        twice = sorted(given.keys() & more.keys())
        if twice:
            raise ConfigError(f"the parameter {twice[0]} is given twice")
        given |= more
    return given


def stack_name(given: str | None, path: Path) -> str:
    """By the file's name, if none is given. ConfigError."""
    name = given or re.sub(r"[^A-Za-z0-9]+", "-", path.stem).strip("-")
    if not _STACK.fullmatch(name):
        raise ConfigError(
            f"{name!r} is no name of a stack: it begins with a letter, and has letters, digits and"
            " hyphens (--stack-name)"
        )
    return name


def planner_of(template: Template, stack: str, plane: ControlPlane) -> Planned:
    """Looks, and plans by what is there then. ConfigError: the template cannot be applied."""

    def planned() -> Plan:
        located = template.located
        try:
            read = template_of(located.value)
            values = parameters.values_of(read.parameters, template.given)
            here, lives = plane.look()
            return make_plan(read, values, stack, here, _notes(plane, stack), lives)
        except TemplateError as error:
            raise ConfigError(located.explain(error, template.name)) from None

    return planned


def end_planner_of(stack: str, plane: ControlPlane) -> Planned:
    def planned() -> Plan:
        _, lives = plane.look()
        return plan_of_end(stack, _notes(plane, stack), lives)

    return planned


def _notes(plane: ControlPlane, stack: str) -> Mapping[str, Any]:
    try:
        return plane.notes(stack)
    except Refused as refused:
        if refused.code == "InvalidARNFault":
            raise PacelineError(
                "this discovery keeps no stacks: it is of an earlier release"
            ) from None
        raise


class Halfway(PacelineError):
    """``done``: lines of what was done before it failed; ``left``: steps that were not begun."""

    def __init__(self, why: str, at: Step, done: list[str], left: int) -> None:
        doing = f"{at.action} of the {at.kind.word} {at.name} ({at.id})"
        before = f"done before: {', '.join(done)}" if done else "nothing was done before"
        rest = f"; {left} more not begun" if left else ""
        super().__init__(
            f"{doing}: {why}\n  {before}{rest}. What was done is noted: the same command goes on"
            " from there."
        )


def carry_out(plan: Plan, planned: Planned, doer: Doer, tell: Tell) -> Plan:
    """Does all of it; the plan that is left, which has the outputs. Halfway."""
    done: list[str] = []
    for _ in range(ROUNDS_MAX):
        began = len(done)
        for at, step in enumerate(plan.steps):
            if step.later is not None:
                break  # what it needs is there now, or comes to be: look again
            tell(f"{step.action} {step.kind.word} {step.name} …")
            try:
                doer.do(step)
            except PacelineError as error:
                raise Halfway(str(error), step, done, len(plan.steps) - at - 1) from error
            done.append(done_line(step))
            tell(done[-1])
        plan = planned()
        if not plan.steps:
            return plan
        if len(done) == began:
            raise PacelineError(f"{plan.steps[0].later} is not told, though all of it was done")
    raise PacelineError(
        f"{len(plan.steps)} changes are left after {ROUNDS_MAX} rounds: somebody else changes it"
    )
