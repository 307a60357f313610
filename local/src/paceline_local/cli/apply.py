"""``paceline apply`` and ``paceline delete-stack``: templates of CloudFormation."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from paceline.errors import ConfigError
from paceline_local.stacks import applying
from paceline_local.stacks.acting import Doer
from paceline_local.stacks.control_plane import ControlPlane, client_of
from paceline_local.stacks.planning import Plan
from paceline_local.stacks.telling import as_json, drift_in, lines_of, outputs_of

CONTROL_PORT = 113
"""Of discovery's HTTP port, counted from the base port."""


@dataclass(frozen=True, slots=True)
class Where:
    endpoint: str | None
    base_port: int
    region: str | None = None

    def plane(self) -> ControlPlane:
        return ControlPlane(client_of(self.url(), self.region))

    def url(self) -> str:
        """Never AWS: this is for clusters of one's own."""
        found = self.endpoint or os.environ.get("AWS_ENDPOINT_URL_DAX")
        return found or f"http://127.0.0.1:{self.base_port + CONTROL_PORT}"


@dataclass(frozen=True, slots=True)
class How:
    """``yes``: nobody is asked. ``only_plan``: nothing is done."""

    yes: bool
    only_plan: bool
    output: str


def apply(
    path: Path,
    words: list[str],
    name: str | None,
    where: Where,
    how: How,
    *,
    delete: bool = False,
) -> int:
    _check(how)
    stack = applying.stack_name(name, path)
    if delete:
        return delete_stack(stack, where, how)
    template = applying.read_file(path, applying.read_parameters(words))
    plane = where.plane()
    return _run(applying.planner_of(template, stack, plane), plane, how)


def delete_stack(stack: str, where: Where, how: How) -> int:
    _check(how)
    plane = where.plane()
    return _run(applying.end_planner_of(stack, plane), plane, how)


def _run(planned: applying.Planned, plane: ControlPlane, how: How) -> int:
    plan = planned()
    as_text = how.output == "text"
    if as_text:
        _say(lines_of(plan))
    if not plan.steps or how.only_plan:
        _tell(plan, plan, how, applied=not plan.steps)
        return 0
    if not how.yes and not _confirmed():
        return 1
    tell = _say_one if as_text else _say_aside
    left = applying.carry_out(plan, planned, Doer(plane, plan.stack), tell)
    _tell(plan, left, how, applied=True)
    return 0


def _tell(plan: Plan, left: Plan, how: How, *, applied: bool) -> None:
    if how.output == "json":
        told = as_json(plan, applied=applied, drifted=drift_in(plan))
        sys.stdout.write(json.dumps({**told, "outputs": outputs_of(left.outputs)}, indent=2) + "\n")
    elif left.outputs:
        _say(["outputs", *(f"  {key}: {one}" for key, one in outputs_of(left.outputs).items())])


def _confirmed() -> bool:
    if not sys.stdin.isatty():
        raise ConfigError("nobody is there to be asked: --yes does it, --plan only shows it")
    sys.stderr.write("Do this? [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _check(how: How) -> None:
    if how.output not in ("text", "json"):
        raise ConfigError(f"--output {how.output!r} is neither 'text' nor 'json'")


def _say(lines: list[str]) -> None:
    for line in lines:
        _say_one(line)


def _say_one(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _say_aside(line: str) -> None:
    """Beside the JSON that is the output."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()
